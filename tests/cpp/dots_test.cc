// Every kernel for columns that lie along k, called directly: the sums of the definition.

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"
#include "guarded.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

constexpr int kColsGap = 3;  // values between two columns of B, and between two rows of C

// A's rows as a kernel wants them.
enum class RowsOfA : std::uint8_t { in_place, strided, packed };

// Some rows times some columns. What lies between them is NaN; every array ends (or begins) at a
// guard page.
template <class T>
class ColumnsCall {
 public:
  ColumnsCall(const KernelSet& set, RowsOfA rows_of_a, int rows, int cols, std::int64_t k,
              Guard guard)
      : set_(set),
        rows_of_a_(rows_of_a),
        rows_(rows),
        cols_(cols),
        k_(k),
        a_(a_index(rows - 1, k - 1) + 1, guard),
        b_((cols - 1) * b_col_stride() + k, guard) {
    std::ranges::fill(a_.span(), kNan<T>);
    std::ranges::fill(b_.span(), kNan<T>);
    // Without multiply-adds, bits are the compiler's choice but for sums that are exact.
    const auto fill = has_fma(set) ? fill_real<T> : fill_small_integers<T>;
    std::vector<T> values(static_cast<std::size_t>(k));
    for (int i = 0; i < rows; ++i) {
      fill(values, static_cast<std::uint64_t>(i));
      for (std::int64_t p = 0; p < k; ++p) a_[a_index(i, p)] = values[static_cast<std::size_t>(p)];
    }
    for (int j = 0; j < cols; ++j) {
      const std::span<T> column(&b_[j * b_col_stride()], static_cast<std::size_t>(k));
      fill(column, static_cast<std::uint64_t>(j) + 100);
    }
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) expected_.push_back(sum(i, j));
    }
  }

  // Columns that fill no vector have room for a whole one in C.
  void check_kernel(void (*kernel)(const Columns&), int width, Guard guard,
                    const char* what) const {
    const std::int64_t c_stride = width + kColsGap;
    const GuardedArray<T> c((rows_ - 1) * c_stride + width, guard);
    std::ranges::fill(c.span(), kNan<T>);
    kernel({.k = k_,
            .a = a_.data(),
            .a_row_stride = a_index(1, 0),
            .a_col_stride = rows_of_a_ == RowsOfA::strided ? 2 : 1,
            .b = b_.data(),
            .b_col_stride = b_col_stride(),
            .cols = cols_,
            .c = c.data(),
            .c_stride = c_stride,
            .epilogue = {},
            .swapped = false});
    const auto n = static_cast<std::size_t>(cols_);
    for (int i = 0; i < rows_; ++i) {
      check(same_bits<T>({&c[i * c_stride], n}, {&expected_[static_cast<std::size_t>(i) * n], n}),
            set_.name, ' ', what, ": row ", i, " of ", rows_, " times ", cols_,
            " columns, k = ", k_);
      for (std::int64_t j = width; i + 1 < rows_ && j < c_stride; ++j) {
        check(std::isnan(c[i * c_stride + j]), set_.name, ' ', what, " wrote beyond row ", i);
      }
    }
  }

 private:
  [[nodiscard]] std::int64_t b_col_stride() const { return k_ + kColsGap; }

  [[nodiscard]] std::int64_t a_index(int row, std::int64_t k) const {
    constexpr std::int64_t kPitch = panel_pitch(kDTypeOf<T>);
    if (rows_of_a_ == RowsOfA::packed) return (k / kKc * rows_ + row) * kPitch + k % kKc;
    return rows_of_a_ == RowsOfA::strided ? row * (2 * k_ + 1) + 2 * k : row * (k_ + 1) + k;
  }

  [[nodiscard]] T sum(int i, int j) const {
    T total = 0;
    for (std::int64_t block = 0; block < k_; block += kKc) {
      T chain = 0;
      for (std::int64_t p = block; p < std::min(k_, block + kKc); ++p) {
        chain = std::fma(a_[a_index(i, p)], b_[j * b_col_stride() + p], chain);
      }
      total = block == 0 ? chain : total + chain;
    }
    return total;
  }

  const KernelSet& set_;
  RowsOfA rows_of_a_;
  int rows_, cols_;
  std::int64_t k_;
  GuardedArray<T> a_, b_;
  std::vector<T> expected_;
};

template <class T>
void test_columns(const KernelSet& set, const DotKernels& dots, std::int64_t k, Guard guard) {
  for (int rows = 1; rows <= kColumnsRows; ++rows) {
    for (const RowsOfA rows_of_a : {RowsOfA::in_place, RowsOfA::strided}) {
      for (int vectors = 1; vectors <= dots.vectors[rows - 1]; ++vectors) {
        const int cols = vectors * dots.lanes;
        const ColumnsCall<T> call(set, rows_of_a, rows, cols, k, guard);
        call.check_kernel(dots.columns[rows - 1][vectors - 1], cols, guard, "columns");
        if (vectors == 1 && dots.far_columns[rows - 1] != nullptr) {
          call.check_kernel(dots.far_columns[rows - 1], cols, guard, "far_columns");
        }
      }
      for (int cols = 1; cols < dots.lanes && dots.few_columns[rows - 1] != nullptr; ++cols) {
        const ColumnsCall<T> call(set, rows_of_a, rows, cols, k, guard);
        call.check_kernel(dots.few_columns[rows - 1], dots.lanes, guard, "few_columns");
      }
    }
  }
}

template <class T>
void test_packed_columns(const KernelSet& set, const DotKernels& dots, std::int64_t k,
                         Guard guard) {
  if (dots.packed_lanes == 0) return;
  for (int rows = std::max(1, dots.least_packed_rows); rows <= dots.packed_rows; ++rows) {
    const int cols = dots.packed_lanes;
    const ColumnsCall<T> call(set, RowsOfA::packed, rows, cols, k, guard);
    call.check_kernel(dots.packed[rows - 1], cols, guard, "packed");
    if (dots.far_packed[rows - 1] != nullptr) {
      call.check_kernel(dots.far_packed[rows - 1], cols, guard, "far_packed");
    }
  }
}

// A chain for each block of k of one product.
template <class T>
void test_block_sums(const KernelSet& set, const DotKernels& dots, Guard guard) {
  if (dots.far_block_sums == nullptr) return;
  const GuardedArray<T> a(dots.lanes * kKc, guard);
  const GuardedArray<T> b(dots.lanes * kKc, guard);
  const GuardedArray<T> sums(dots.lanes, guard);
  fill_real(a.span(), 1);
  fill_real(b.span(), 2);
  dots.far_block_sums(a.data(), b.data(), sums.data());
  for (std::int64_t block = 0; block < dots.lanes; ++block) {
    T chain = 0;
    for (std::int64_t p = block * kKc; p < (block + 1) * kKc; ++p) {
      chain = std::fma(a[p], b[p], chain);
    }
    check(same_bits<T>({&chain, 1}, {&sums[block], 1}), set.name, " far_block_sums: ", block);
  }
}

template <class T>
void test_dots_of(const KernelSet& set, Arithmetic arithmetic) {
  for (const Kernel& kernel : set.matmul[static_cast<int>(arithmetic)]) {
    if (kernel.dots == nullptr) continue;
    for (const Guard guard : {Guard::after, Guard::before}) {
      test_block_sums<T>(set, *kernel.dots, guard);
      for (const std::int64_t k : {1, 3, 4, 15, 16, 17, 63, 255, 256, 257, 600}) {
        test_columns<T>(set, *kernel.dots, k, guard);
        test_packed_columns<T>(set, *kernel.dots, k, guard);
      }
    }
    return;  // all kernels of an arithmetic have the same ones
  }
}

}  // namespace

void test_dot_kernels(const KernelSet& set) {
  test_dots_of<float>(set, Arithmetic::f32);
  test_dots_of<double>(set, Arithmetic::f64);
}

}  // namespace hotloops::testing
