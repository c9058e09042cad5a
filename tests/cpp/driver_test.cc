// The drivers over the kernels in use: shapes around the tile and the block of k, strides, batches,
// threads, epilogues; every operand at a guard page, NaN between its elements.

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <set>
#include <thread>
#include <vector>

#include "blocking.h"
#include "check.h"
#include "dispatch.h"
#include "guarded.h"
#include "matmul.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

enum class Layout : std::uint8_t { rows, columns, spread, reversed };
constexpr std::array kLayouts = {Layout::rows, Layout::columns, Layout::spread, Layout::reversed};

// A matrix that occupies exactly what its strides span, filled with NaN where it has no element.
template <class T>
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t cols, Layout layout, Guard guard)
      : rows_(rows), cols_(cols), view_(strides(layout)), values_(extent(), guard) {
    std::ranges::fill(values_.span(), kNan<T>);
    view_.data = values_.data();
    if (layout == Layout::reversed && extent() > 0) view_.data = &values_[extent() - 1];
  }

  void fill(void (*values)(std::span<T>, std::uint64_t), std::uint64_t seed) {
    std::vector<T> x(static_cast<std::size_t>(rows_ * cols_));
    values(x, seed);
    for (std::int64_t i = 0; i < rows_ * cols_; ++i) {
      at(i / cols_, i % cols_) = x[static_cast<std::size_t>(i)];
    }
  }

  [[nodiscard]] T& at(std::int64_t i, std::int64_t j) const {
    return static_cast<T*>(view_.data)[i * view_.row_stride + j * view_.col_stride];
  }
  [[nodiscard]] View view() const { return view_; }
  [[nodiscard]] std::span<T> memory() const { return values_.span(); }

 private:
  [[nodiscard]] View strides(Layout layout) const {
    switch (layout) {
      case Layout::rows:
        return {.data = nullptr, .row_stride = cols_, .col_stride = 1};
      case Layout::columns:
        return {.data = nullptr, .row_stride = 1, .col_stride = rows_};
      case Layout::spread:
        return {.data = nullptr, .row_stride = 3 * cols_ + 1, .col_stride = 3};
      case Layout::reversed:
        return {.data = nullptr, .row_stride = -cols_, .col_stride = -1};
    }
    __builtin_unreachable();
  }

  [[nodiscard]] std::int64_t extent() const {
    if (rows_ == 0 || cols_ == 0) return 0;
    return (rows_ - 1) * std::abs(view_.row_stride) + (cols_ - 1) * std::abs(view_.col_stride) + 1;
  }

  std::int64_t rows_, cols_;
  View view_;
  GuardedArray<T> values_;
};

struct Shape {
  std::int64_t m, n, k;
};

std::ostream& operator<<(std::ostream& out, Shape s) {
  return out << s.m << 'x' << s.k << 'x' << s.n;
}

// Of the operands and the result. A residual lies as c does.
struct Layouts {
  Layout a, b, c;
};

// Operands and result of one product.
template <class T>
struct Problem {
  Problem(Shape s, Layout layout, Guard guard) : Problem(s, {layout, layout, layout}, guard) {}
  Problem(Shape s, Layouts layouts, Guard guard)
      : shape(s),
        kernels(matmul_kernels(kDTypeOf<T>)),
        a(s.m, s.k, layouts.a, guard),
        b(s.k, s.n, layouts.b, guard),
        c(s.m, s.n, layouts.c, guard),
        residual(s.m, s.n, layouts.c, guard),
        bias(s.n, guard) {}

  void fill(void (*values)(std::span<T>, std::uint64_t)) {
    a.fill(values, 1);
    b.fill(values, 2);
    values(bias.span(), 3);
    residual.fill(values, 4);
  }

  void run(Epilogue epilogue = {}, int threads = 1) {
    const MatmulArgs args{.m = shape.m,
                          .n = shape.n,
                          .k = shape.k,
                          .a = a.view().as_const(),
                          .b = b.view().as_const(),
                          .c = c.view(),
                          .epilogue = epilogue};
    matmul(kernels, args, {}, threads);
  }

  // The numerical contract, word for word.
  [[nodiscard]] T defined(std::int64_t i, std::int64_t j) const {
    T sum = 0;
    for (std::int64_t first = 0; first < shape.k; first += kKc) {
      T block = 0;
      for (std::int64_t p = first; p < std::min(shape.k, first + kKc); ++p) {
        block = std::fma(a.at(i, p), b.at(p, j), block);
      }
      sum = first == 0 ? block : sum + block;
    }
    return sum;
  }

  // Whether c[i, j] is within the contract's bound of the product.
  // With `more` roundings a product than float32 has itself, of arithmetics with less precision.
  [[nodiscard]] bool within_bound(std::int64_t i, std::int64_t j, std::int64_t more = 0) const {
    long double exact = 0;
    long double magnitude = 0;
    for (std::int64_t p = 0; p < shape.k; ++p) {
      const long double product = static_cast<long double>(a.at(i, p)) * b.at(p, j);
      exact += product;
      magnitude += std::abs(product);
    }
    const std::int64_t roundings = std::min(shape.k, kKc) + (shape.k + kKc - 1) / kKc + more;
    const long double nu =
        static_cast<long double>(roundings) * std::numeric_limits<T>::epsilon() / 2;
    // A part in 1024 for the reference's own rounding.
    return std::abs(c.at(i, j) - exact) <= nu / (1 - nu) * magnitude * (1 + 1.0L / 1024);
  }

  template <class Holds>
  void expect(const char* what, Holds holds) const {
    for (std::int64_t i = 0; i < shape.m; ++i) {
      for (std::int64_t j = 0; j < shape.n; ++j) {
        check(holds(i, j), active_kernels().name, ' ', name_of(kDTypeOf<T>), ' ', shape, ' ', what,
              ": c[", i, ", ", j, "] is ", c.at(i, j), ", defined as ", defined(i, j));
      }
    }
  }

  // Nothing but the elements of c was written.
  void expect_gaps_untouched() const {
    const auto numbers = std::ranges::count_if(c.memory(), [](T x) { return !std::isnan(x); });
    check(numbers == shape.m * shape.n, shape, " wrote ", numbers, " values");
  }

  Shape shape;
  std::span<const Kernel> kernels;  // to choose from
  Matrix<T> a, b, c, residual;
  GuardedArray<T> bias;
};

template <class T>
void test_shape(std::span<const Kernel> kernels, Shape shape, Layouts layouts, Guard guard,
                std::int64_t more_roundings = 0) {
  Problem<T> problem(shape, layouts, guard);
  problem.kernels = kernels;
  problem.fill(fill_small_integers<T>);
  problem.run();
  problem.expect("small integers",
                 [&](auto i, auto j) { return problem.c.at(i, j) == problem.defined(i, j); });
  problem.expect_gaps_untouched();
  problem.run({.bias = problem.bias.data(), .activation = Activation::relu});
  problem.expect("bias and relu", [&](auto i, auto j) {
    return problem.c.at(i, j) == std::max(problem.defined(i, j) + problem.bias[j], T(0));
  });
  const auto with_residual = [&](auto i, auto j) {
    return problem.defined(i, j) + problem.residual.at(i, j);
  };
  problem.run({.residual = problem.residual.view().data});
  problem.expect("residual",
                 [&](auto i, auto j) { return problem.c.at(i, j) == with_residual(i, j); });
  problem.run({.bias = problem.bias.data(),
               .residual = problem.residual.view().data,
               .activation = Activation::relu});
  problem.expect("bias, residual and relu", [&](auto i, auto j) {
    return problem.c.at(i, j) == std::max(with_residual(i, j) + problem.bias[j], T(0));
  });
  problem.expect_gaps_untouched();

  problem.fill(fill_real<T>);
  problem.run();
  const bool bits = has_fma(active_kernels()) && more_roundings == 0;
  problem.expect("real values", [&](auto i, auto j) {
    return bits ? problem.c.at(i, j) == problem.defined(i, j)
                : problem.within_bound(i, j, more_roundings);
  });
}

template <class T>
void test_shape(std::span<const Kernel> kernels, Shape shape, Layout layout, Guard guard,
                std::int64_t more_roundings = 0) {
  test_shape<T>(kernels, shape, Layouts{layout, layout, layout}, guard, more_roundings);
}

template <class T>
void test_shapes_around(const Kernel& kernel, std::int64_t more_roundings = 0) {
  const auto around = [](std::int64_t tile) {
    return std::set<std::int64_t>{0, 1, tile - 1, tile, tile + 1, 2 * tile + 1};
  };
  int turn = 0;
  for (const std::int64_t m : around(kernel.mr)) {
    for (const std::int64_t n : around(kernel.nr)) {
      for (const std::int64_t k :
           {std::int64_t{0}, std::int64_t{1}, kernel.kc - 1, kernel.kc, kernel.kc + 1}) {
        // Every shape in the plain layout, and in one of the others in turn.
        test_shape<T>({&kernel, 1}, {m, n, k}, Layout::rows, Guard::after, more_roundings);
        ++turn;
        const Layout layout = kLayouts[static_cast<std::size_t>(turn) % kLayouts.size()];
        test_shape<T>({&kernel, 1}, {m, n, k}, layout, turn % 3 == 0 ? Guard::before : Guard::after,
                      more_roundings);
      }
    }
  }
}

// A batch with a stretched operand, against its items alone; threads change nothing.
template <class T>
void test_batch(Shape shape) {
  constexpr std::int64_t kItems = 5;
  const auto [m, n, k] = shape;
  const GuardedArray<T> a(kItems * m * k, Guard::after);
  const GuardedArray<T> b(k * n, Guard::after);
  const GuardedArray<T> c(kItems * m * n, Guard::after);
  std::vector<T> alone(c.span().size());
  fill_real(a.span(), 1);
  fill_real(b.span(), 2);
  MatmulArgs args{.m = m,
                  .n = n,
                  .k = k,
                  .a = {.data = a.data(), .row_stride = k, .col_stride = 1},
                  .b = {.data = b.data(), .row_stride = n, .col_stride = 1},
                  .c = {.data = nullptr, .row_stride = n, .col_stride = 1},
                  .epilogue = {}};
  for (std::int64_t item = 0; item < kItems; ++item) {
    args.a.data = a.data() + item * m * k;
    args.c.data = alone.data() + item * m * n;
    matmul(matmul_kernels(kDTypeOf<T>), args, {}, 1);
  }
  args.a.data = a.data();
  args.c.data = c.data();
  const BatchDim batch{.size = kItems, .a_stride = m * k, .b_stride = 0, .c_stride = m * n};
  for (const int threads : {1, 2, 3, 5}) {
    std::ranges::fill(c.span(), kNan<T>);
    matmul(matmul_kernels(kDTypeOf<T>), args, {&batch, 1}, threads);
    check(same_bits<T>(c.span(), alone), active_kernels().name, " batch of ", shape, " on ",
          threads, " threads");
  }
}

// Dot products of a batch, so far apart, against each alone.
template <class T>
void test_batch_dots(std::int64_t count, std::int64_t k, std::int64_t gap, std::int64_t c_stride,
                     Guard guard) {
  const std::int64_t stride = k + gap;
  const GuardedArray<T> a((count - 1) * stride + k, guard);
  const GuardedArray<T> b(count * k, guard);
  const GuardedArray<T> c((count - 1) * c_stride + 1, guard);
  fill_real(a.span(), 1);
  fill_real(b.span(), 2);
  std::ranges::fill(c.span(), kNan<T>);
  for (std::int64_t i = 0; i + 1 < count; ++i) {
    std::fill_n(a.data() + i * stride + k, gap, kNan<T>);
  }
  MatmulArgs args{.m = 1,
                  .n = 1,
                  .k = k,
                  .a = {.data = a.data(), .row_stride = 0, .col_stride = 1},
                  .b = {.data = b.data(), .row_stride = 1, .col_stride = 0},
                  .c = {.data = c.data(), .row_stride = 0, .col_stride = 0},
                  .epilogue = {}};
  const BatchDim batch{.size = count, .a_stride = stride, .b_stride = k, .c_stride = c_stride};
  const auto kernels = matmul_kernels(kDTypeOf<T>);
  matmul(kernels, args, {&batch, 1}, 1);
  std::vector<T> expected(c.span().size(), kNan<T>);
  for (std::int64_t i = 0; i < count; ++i) {
    args.a.data = a.data() + i * stride;
    args.b.data = b.data() + i * k;
    args.c.data = &expected[static_cast<std::size_t>(i * c_stride)];
    matmul(kernels, args, {}, 1);
  }
  check(same_bits<T>(c.span(), expected), active_kernels().name, ' ', name_of(kDTypeOf<T>), ' ',
        count, " dot products of ", k, " values, gap ", gap, ", c stride ", c_stride);
}

// A product in two parts of k: the sums of the second one are added to what C holds, by whatever
// way the first one was computed, and the bits are those of one product.
template <class T>
void test_accumulate(Shape shape, Layouts layouts) {
  Problem<T> problem(shape, layouts, Guard::after);
  problem.fill(fill_real<T>);
  problem.run();
  const std::vector<T> whole(problem.c.memory().begin(), problem.c.memory().end());
  const ElementType type = element_type(kDTypeOf<T>);
  for (const int threads : {1, 3}) {
    for (const Range k : {Range{0, kKc}, Range{kKc, shape.k}}) {
      matmul(problem.kernels,
             {.m = shape.m,
              .n = shape.n,
              .k = k.size(),
              .a = from(problem.a.view().as_const(), 0, k.begin, type),
              .b = from(problem.b.view().as_const(), k.begin, 0, type),
              .c = problem.c.view(),
              .epilogue = {},
              .accumulate = k.begin > 0},
             {}, threads);
    }
    check(same_bits<T>(problem.c.memory(), whole), active_kernels().name, ' ', name_of(kDTypeOf<T>),
          ' ', shape, " in two parts on ", threads, " threads");
  }
}

template <class T>
void print_digests() {
  const KernelSet& set = active_kernels();
  const auto print = [&](Shape shape, int activation, std::span<const T> c) {
    std::cout << "digest " << set.name << ' ' << name_of(kDTypeOf<T>) << ' ' << shape << ' '
              << activation << ' ' << std::hex << std::setfill('0') << std::setw(16) << digest(c)
              << std::dec << '\n';
  };
  for (const Shape shape : {Shape{1, 1, 700}, Shape{3, 7, 5}, Shape{1, 100, 300},
                            Shape{100, 1, 300}, Shape{70, 65, 515}, Shape{33, 130, 257}}) {
    Problem<T> problem(shape, Layout::rows, Guard::after);
    problem.fill(fill_real<T>);
    problem.run();
    print(shape, static_cast<int>(Activation::none), problem.c.memory());
    for (const Activation activation : kElementwise) {
      problem.run({.bias = problem.bias.data(), .activation = activation});
      print(shape, static_cast<int>(activation), problem.c.memory());
    }
    problem.run({.bias = problem.bias.data()});
    for (std::int64_t i = 0; i < shape.m; ++i) {
      T* row = &problem.c.at(i, 0);
      row_kernels(kDTypeOf<T>).activate(Activation::softmax, shape.n, row, row);
    }
    print(shape, static_cast<int>(Activation::softmax), problem.c.memory());
  }
}

template <class T>
void test_drivers_typed() {
  const auto kernels = matmul_kernels(kDTypeOf<T>);
  for (const Kernel& kernel : kernels) test_shapes_around<T>(kernel);
  for (const std::int64_t m : {1, 2, 3, 4, 5, 8, 13, 50}) {
    test_shape<T>(kernels, {m, 90, 2 * kKc + 3}, Layout::rows, Guard::after);
    test_shape<T>(kernels, {m, 90, 2 * kKc + 3}, Layout::columns, Guard::before);
  }
  // A row times so many rows of B that they come from far away.
  for (const Shape shape : {Shape{1, 1100, 603}, Shape{1, 2100, 2 * kKc + 2}}) {
    test_shape<T>(kernels, shape, Layout::rows, Guard::after);
    test_shape<T>(kernels, shape, Layout::rows, Guard::before);
  }
  // A few rows times columns that lie along k, around the vector and some of them; dot products.
  const std::int64_t lanes = kernels.front().dots->lanes;
  for (const std::int64_t m : {1, 2, 3, 4, 5, 8, 9, 11, 16, 17}) {
    for (const std::int64_t n :
         {lanes - 1, lanes, lanes + 1, 2 * lanes, 3 * lanes + 1, 5 * lanes - 1}) {
      for (const std::int64_t k : {std::int64_t{1}, kKc - 1, kKc + 6}) {
        const Layouts layouts{Layout::rows, Layout::columns, Layout::rows};
        test_shape<T>(kernels, {m, n, k}, layouts, Guard::after);
        test_shape<T>(kernels, {m, n, k}, layouts, Guard::before);
      }
    }
  }
  // A few columns, which are computed as the rows of the transpose.
  const std::int64_t nr = kernels.front().nr;
  const std::int64_t mr = kernels.front().mr;
  for (const std::int64_t n : {std::int64_t{2}, std::int64_t{4}, std::int64_t{5}, mr, mr + 3}) {
    for (const std::int64_t m : {lanes, lanes + 1, nr, 2 * nr + 1}) {
      for (const std::int64_t k : {4 * n, kKc + 6}) {
        for (const Layout layout : {Layout::rows, Layout::columns}) {
          test_shape<T>(kernels, {m, n, k}, Layouts{layout, Layout::rows, Layout::rows},
                        Guard::after);
          test_shape<T>(kernels, {m, n, k}, Layouts{layout, Layout::columns, Layout::spread},
                        Guard::before);
        }
      }
    }
  }
  // So many rows that they are packed for these columns, in one panel or two.
  for (const std::int64_t m : {10, 19, 32}) {
    test_shape<T>(kernels, {m, 99, 2 * kKc + 7},
                  Layouts{Layout::rows, Layout::columns, Layout::rows}, Guard::after);
    test_shape<T>(kernels, {m, 99, 2 * kKc + 7}, Layout::columns, Guard::before);
  }
  // Rows of C shorter than a vector, several of them in one.
  for (const std::int64_t n : {2, 3, 4, 5, 7, 10, 11}) {
    for (const std::int64_t k : {1, 2, 3, 4, 5, 9}) {
      for (const std::int64_t m : {70, 401}) {
        test_shape<T>(kernels, {m, n, k}, Layout::rows, Guard::after);
        test_shape<T>(kernels, {m, n, k}, Layouts{Layout::rows, Layout::columns, Layout::rows},
                      Guard::before);
      }
    }
  }
  // Dot products: of a part of a vector of blocks, of one, and of more, with short blocks at the
  // end.
  for (const std::int64_t k :
       {std::int64_t{2}, std::int64_t{5}, kKc - 1, kKc, kKc + 1, 2 * kKc, 2 * kKc + 7, lanes * kKc,
        lanes * kKc + 1, (lanes + 2) * kKc - 1, 2 * lanes * kKc, (2 * lanes + 1) * kKc + 3}) {
    test_shape<T>(kernels, {1, 1, k}, Layout::rows, Guard::after);
    test_shape<T>(kernels, {1, 1, k}, Layout::rows, Guard::before);
  }
  for (const Shape shape : {Shape{1, 1, 3}, Shape{4, 4, 4}, Shape{31, 33, 300}}) {
    test_batch<T>(shape);
  }
  for (const std::int64_t count : {std::int64_t{2}, lanes, 2 * lanes + 1, 9 * lanes - 1}) {
    for (const std::int64_t k :
         {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, std::int64_t{4}, std::int64_t{7},
          std::int64_t{18}, kKc, kKc + 1, 2 * kKc, 3 * kKc - 2}) {
      test_batch_dots<T>(count, k, 0, 1, Guard::after);
      test_batch_dots<T>(count, k, 0, 3, Guard::before);
      test_batch_dots<T>(count, k, 5, 1, Guard::before);
      test_batch_dots<T>(count, k, 5, 1, Guard::after);
    }
  }
  for (const Shape shape : {Shape{1, 1, 4000}, Shape{1, 40, 300}, Shape{50, 1, 300},
                            Shape{700, 4, 300}, Shape{9, 33, 4000}, Shape{70, 130, 800}}) {
    for (const Layout a : {Layout::rows, Layout::columns}) {
      for (const Layout b : {Layout::rows, Layout::columns}) {
        for (const Layout c : kLayouts) test_accumulate<T>(shape, {a, b, c});
      }
    }
  }
  print_digests<T>();
}

// float32 by bfloat16 pieces: what the products that are left out, and the pieces' own rounding,
// add to the error of each product, in units of float32's roundoff.
void test_split_float32(const KernelSet& set) {
  const auto test = [&](Arithmetic arithmetic, std::int64_t more_roundings) {
    const Kernel& kernel = set.matmul[static_cast<int>(arithmetic)][0];
    if (kernel.choose != nullptr) test_shapes_around<float>(kernel, more_roundings);
  };
  test(Arithmetic::bf16x6, 8);
  test(Arithmetic::bf16x3, 512);
  test(Arithmetic::bf16x1, 1 << 17);
}

}  // namespace

bool has_fma(const KernelSet& set) { return set.isa != Isa::baseline; }

void test_drivers(const KernelSet& set) {
  test_drivers_typed<float>();
  test_drivers_typed<double>();
  test_split_float32(set);
}

void test_concurrent_calls() {
  constexpr Shape kShape{70, 65, 515};
  Problem<float> alone(kShape, Layout::rows, Guard::after);
  alone.fill(fill_real<float>);
  alone.run();
  for (const int threads : {1, 2}) {
    std::vector<std::jthread> callers(4);
    for (std::jthread& caller : callers) {
      caller = std::jthread([&alone, threads, kShape] {
        Problem<float> problem(kShape, Layout::rows, Guard::after);
        problem.fill(fill_real<float>);
        for (int repeat = 0; repeat < 5; ++repeat) {
          problem.run({}, threads);
          // Failures are counted without a lock, and so by nobody but the main thread.
          if (!same_bits<float>(problem.c.memory(), alone.c.memory())) std::abort();
        }
      });
    }
  }
}

}  // namespace hotloops::testing
