// The elementwise kernels of every usable ISA: every tail and start, stretched operands, in place,
// at guard pages.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "dispatch.h"
#include "guarded.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

constexpr std::int64_t kLongest = 140;  // several of the widest vectors, and every tail

// The upper half of a float: enough for small integers.
struct BFloat16 {
  std::uint16_t bits;

  static BFloat16 of(float value) {
    std::uint32_t wide = 0;
    std::memcpy(&wide, &value, sizeof wide);
    return {static_cast<std::uint16_t>(wide >> 16U)};
  }
  [[nodiscard]] float value() const {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16U;
    float value = 0;
    std::memcpy(&value, &wide, sizeof value);
    return value;
  }
};

template <class T>
constexpr ElementType kTypeOf = ElementType::bf16;
template <>
constexpr ElementType kTypeOf<float> = ElementType::f32;
template <>
constexpr ElementType kTypeOf<double> = ElementType::f64;
template <>
constexpr ElementType kTypeOf<std::int32_t> = ElementType::i32;
template <>
constexpr ElementType kTypeOf<std::int64_t> = ElementType::i64;

template <class T>
double number(T value) {
  return static_cast<double>(value);
}
template <>
double number(BFloat16 value) {
  return value.value();
}

template <class T>
T element(double number) {
  return static_cast<T>(number);
}
template <>
BFloat16 element(double number) {
  return BFloat16::of(static_cast<float>(number));
}

double expected(ElementOp op, const double (&x)[4]) {
  switch (op) {
    case ElementOp::relu:
      return std::max(x[0], 0.0);
    case ElementOp::multiply:
      return x[0] * x[1];
    case ElementOp::add:
      return x[0] + x[1];
    case ElementOp::subtract:
      return x[0] - x[1];
    case ElementOp::greater:
    case ElementOp::all_greater:
      return x[0] > x[1] ? 1 : 0;
    case ElementOp::where:
      return x[0] != 0 ? x[1] : x[2];
    case ElementOp::where_greater:
      return x[0] > x[1] ? x[2] : x[3];
  }
  return 0;
}

constexpr int kOperands[kElementOps] = {1, 2, 2, 2, 2, 3, 4, 2};

// One call on n elements; `stretched` has a bit for each operand. With `in_place` the result is
// written over the last operand.
template <class T>
void test_call(const KernelSet& set, ElementOp op, bool stream, std::int64_t n, unsigned stretched,
               bool in_place, Guard guard) {
  const ElementKernels& kernels = set.elements[static_cast<int>(kTypeOf<T>)];
  const auto* table = stream ? kernels.stream : kernels.run;
  const int operands = kOperands[static_cast<int>(op)];
  const bool has_flags = op == ElementOp::where;
  std::vector<std::vector<double>> values;
  // Five arrays of elements, one of truth values in, one out: each ends at its guard page.
  const GuardedArray<T> arrays[] = {{n, guard}, {n, guard}, {n, guard}, {n, guard}, {n, guard}};
  const GuardedArray<std::uint8_t> condition(n, guard);
  const GuardedArray<std::uint8_t> flags(n, guard);

  Row row{};
  row.n = n;
  for (int k = 0; k < operands; ++k) {
    row.stretched[k] = (stretched >> static_cast<unsigned>(k) & 1U) != 0 && n > 0;
    SplitMix64 random(static_cast<std::uint64_t>(n * 8 + k));
    values.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) {
      const bool flag = has_flags && k == 0;
      const double value = static_cast<double>(random.next() % 9) - 4;
      const bool repeats = row.stretched[k] && i > 0;
      const double own = flag ? static_cast<double>(value > 0) : value;
      values.back().push_back(repeats ? values.back()[0] : own);
      if (flag) {
        condition[i] = static_cast<std::uint8_t>(values.back().back() * 255);
      } else {
        arrays[k][i] = element<T>(values.back().back());
      }
    }
    row.data[k] = has_flags && k == 0 ? reinterpret_cast<std::byte*>(condition.data())
                                      : reinterpret_cast<std::byte*>(arrays[k].data());
  }
  if (in_place && !row.stretched[operands - 1]) {
    row.data[operands] = row.data[operands - 1];
  } else {
    row.data[operands] = reinterpret_cast<std::byte*>(arrays[operands].data());
  }
  if (op == ElementOp::greater) row.data[operands] = reinterpret_cast<std::byte*>(flags.data());

  const bool answer = table[static_cast<int>(op)](row);
  bool all = true;
  for (std::int64_t i = 0; i < n; ++i) {
    double x[4] = {};
    for (int k = 0; k < operands; ++k)
      x[k] = values[static_cast<std::size_t>(k)][static_cast<std::size_t>(i)];
    const double want = expected(op, x);
    all = all && want != 0;
    if (op == ElementOp::all_greater) continue;
    const double got = op == ElementOp::greater
                           ? flags[i]
                           : number(reinterpret_cast<const T*>(row.data[operands])[i]);
    check(got == want, set.name, " operation ", static_cast<int>(op), " of type ",
          static_cast<int>(kTypeOf<T>), ", element ", i, " of ", n, ", stretched ", stretched, ": ",
          got, " is not ", want);
  }
  const bool want = op != ElementOp::all_greater || all;
  check(answer == want, set.name, " operation ", static_cast<int>(op), " of ", n, " answers ",
        answer);
}

template <class T>
void test_operations(const KernelSet& set, Guard guard) {
  for (int op = 0; op < kElementOps; ++op) {
    const unsigned combinations = 1U << static_cast<unsigned>(kOperands[op]);
    for (std::int64_t n = 0; n <= kLongest; ++n) {
      // All combinations for short rows; one after another for long ones.
      for (unsigned stretched = 0; stretched < combinations; ++stretched) {
        if (n > 20 && stretched != static_cast<unsigned>(n) % combinations) continue;
        for (const bool stream : {false, true}) {
          test_call<T>(set, static_cast<ElementOp>(op), stream, n, stretched, false, guard);
        }
        const bool results_like_operands = static_cast<ElementOp>(op) != ElementOp::greater;
        if (results_like_operands) {
          test_call<T>(set, static_cast<ElementOp>(op), false, n, stretched, true, guard);
        }
      }
    }
  }
}

// One element that is not greater, wherever it is, decides.
void test_all_greater(const KernelSet& set) {
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    std::vector<double> a(static_cast<std::size_t>(n), 1);
    std::vector<double> b(static_cast<std::size_t>(n), 0);
    Row row{};
    row.n = n;
    row.data[0] = reinterpret_cast<std::byte*>(a.data());
    row.data[1] = reinterpret_cast<std::byte*>(b.data());
    const ElementKernels& kernels = set.elements[static_cast<int>(ElementType::f64)];
    auto* const all_greater = kernels.run[static_cast<int>(ElementOp::all_greater)];
    check(all_greater(row), set.name, " all_greater of ", n);
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (const double value : {0.0, kNan<double>}) {
        a[i] = value;
        check(!all_greater(row), set.name, " all_greater of ", n, " with ", value, " at ", i);
      }
      a[i] = 1;
    }
  }
}

// NaN and the signs of zero, in vectors and alone.
template <class T>
void test_relu_of_specials(const KernelSet& set) {
  const ElementKernels& kernels = set.elements[static_cast<int>(kTypeOf<T>)];
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T specials[] = {kNan<T>, -T(0), kInfinity, -kInfinity, T(-1), T(2)};
  std::vector<T> x(101);
  std::vector<T> y(101);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = specials[i % std::size(specials)];
  Row row{};
  row.n = std::ssize(x);
  row.data[0] = reinterpret_cast<std::byte*>(x.data());
  row.data[1] = reinterpret_cast<std::byte*>(y.data());
  for (const auto* table : {kernels.run, kernels.stream}) {
    table[static_cast<int>(ElementOp::relu)](row);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool right =
          std::isnan(x[i]) ? std::isnan(y[i]) : y[i] == std::max(x[i], T(0)) && !std::signbit(y[i]);
      check(right, set.name, " relu of ", x[i], " gives ", y[i]);
    }
  }
}

// Streaming stores begin at an aligned address, wherever the row does.
template <class T>
void test_streaming(const KernelSet& set) {
  auto* const multiply =
      set.elements[static_cast<int>(kTypeOf<T>)].stream[static_cast<int>(ElementOp::multiply)];
  constexpr std::int64_t kCount = 5000;
  std::vector<T> x(kCount + 20);
  fill_small_integers<T>(x, 1);
  for (std::int64_t start = 0; start < 20; ++start) {
    std::vector<T> y(kCount + 20, T(7));
    Row row{};
    row.n = kCount;
    row.data[0] = reinterpret_cast<std::byte*>(&x[5]);
    row.data[1] = reinterpret_cast<std::byte*>(&x[3]);
    row.data[2] = reinterpret_cast<std::byte*>(&y[static_cast<std::size_t>(start)]);
    multiply(row);
    for (std::int64_t i = 0; i < std::ssize(y); ++i) {
      const auto from = static_cast<std::size_t>(i - start);
      const bool inside = i >= start && i < start + kCount;
      const T want = inside ? x[from + 5] * x[from + 3] : T(7);
      check(y[static_cast<std::size_t>(i)] == want, set.name, " streamed from ", start, ", ", i);
    }
  }
}

}  // namespace

void test_element_kernels(const KernelSet& set) {
  for (const Guard guard : {Guard::after, Guard::before}) {
    test_operations<float>(set, guard);
    test_operations<double>(set, guard);
    test_operations<std::int32_t>(set, guard);
    test_operations<std::int64_t>(set, guard);
    test_operations<BFloat16>(set, guard);
  }
  test_all_greater(set);
  test_relu_of_specials<float>(set);
  test_relu_of_specials<double>(set);
  test_streaming<float>(set);
  test_streaming<double>(set);
  test_streaming<std::int64_t>(set);
}

}  // namespace hotloops::testing
