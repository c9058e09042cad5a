// Products of every arithmetic but float32's and float64's own, on values for which they are exact:
// all integers, modulo the size of the result, and small integers in half and complex types.

#include <algorithm>
#include <bit>
#include <complex>
#include <concepts>
#include <cstdint>
#include <set>

#include "check.h"
#include "dispatch.h"
#include "guarded.h"
#include "matmul.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

// A half type's bits.
struct Float16Bits {
  std::uint16_t bits;
};
struct BFloat16Bits {
  std::uint16_t bits;
};

template <std::integral T>
T value_of(T x) {
  return x;
}
std::int64_t value_of(BFloat16Bits x) {
  return static_cast<std::int64_t>(std::bit_cast<float>(std::uint32_t{x.bits} << 16U));
}
// Of a small integer.
std::int64_t value_of(Float16Bits x) {
  if ((x.bits & 0x7fffU) == 0) return 0;
  const int exponent = static_cast<int>(x.bits >> 10U & 31U) - 15;
  const std::int64_t magnitude = ((x.bits & 0x3ffU) | 0x400U) >> (10 - exponent);
  return (x.bits & 0x8000U) != 0 ? -magnitude : magnitude;
}

template <class T>
std::complex<double> value_of(std::complex<T> x) {
  return x;
}

// What products are summed in: integers modulo 2^64.
std::uint64_t times(std::int64_t x, std::int64_t y) {
  return static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y);
}
std::complex<double> times(std::complex<double> x, std::complex<double> y) { return x * y; }

// Whether the result is that sum, wrapped or held exactly.
bool is_sum(std::integral auto result, std::uint64_t sum) {
  return result == static_cast<decltype(result)>(sum);
}
bool is_sum(std::floating_point auto result, std::uint64_t sum) {
  return result == static_cast<decltype(result)>(static_cast<std::int64_t>(sum));
}
template <class Half>
bool is_sum(Half result, std::uint64_t sum) {
  return value_of(result) == static_cast<std::int64_t>(sum);
}
template <class T>
bool is_sum(std::complex<T> result, std::complex<double> sum) {
  return value_of(result) == sum;
}

template <std::integral T>
void fill(std::span<T> x, SplitMix64& random) {
  for (T& value : x) value = static_cast<T>(random.next());
}
// -4 to 4.
void fill(std::span<BFloat16Bits> x, SplitMix64& random) {
  for (BFloat16Bits& value : x) {
    const auto real = static_cast<float>(static_cast<int>(random.next() % 9) - 4);
    value.bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(real) >> 16U);
  }
}
template <class T>
void fill(std::span<std::complex<T>> x, SplitMix64& random) {
  const auto real = [&] { return static_cast<T>(static_cast<int>(random.next() % 9) - 4); };
  for (std::complex<T>& value : x) {
    value.real(real());
    value.imag(real());
  }
}
void fill(std::span<Float16Bits> x, SplitMix64& random) {
  constexpr std::uint16_t kMagnitudes[] = {0, 0x3c00, 0x4000, 0x4200, 0x4400};
  for (Float16Bits& value : x) {
    const std::uint64_t bits = random.next();
    value.bits = static_cast<std::uint16_t>(kMagnitudes[bits % 5] | (bits >> 40U & 1U) << 15U);
  }
}

struct Strides {
  std::int64_t row, col;
};

// Rows, columns, or with gaps.
Strides strides(int layout, std::int64_t rows, std::int64_t cols) {
  if (layout == 0) return {cols, 1};
  if (layout == 1) return {1, rows};
  return {2 * cols + 3, 2};
}

std::int64_t extent(Strides s, std::int64_t rows, std::int64_t cols) {
  return rows == 0 || cols == 0 ? 0 : (rows - 1) * s.row + (cols - 1) * s.col + 1;
}

struct Size {
  std::int64_t m, n, k;
};

template <class A, class B, class C>
void test_product(std::span<const Kernel> kernels, const Narrowing& narrowing, Size size,
                  int layout, Guard guard, int threads) {
  const auto [m, n, k] = size;
  const Strides in_a = strides(layout, m, k);
  const Strides in_b = strides(layout, k, n);
  const Strides in_c = strides(layout, m, n);
  const GuardedArray<A> a(extent(in_a, m, k), guard);
  const GuardedArray<B> b(extent(in_b, k, n), guard);
  const GuardedArray<C> c(extent(in_c, m, n), guard);
  SplitMix64 random(static_cast<std::uint64_t>(m * 7 + n * 5 + k));
  fill(a.span(), random);
  fill(b.span(), random);
  const MatmulArgs args{.m = m,
                        .n = n,
                        .k = k,
                        .a = {.data = a.data(), .row_stride = in_a.row, .col_stride = in_a.col},
                        .b = {.data = b.data(), .row_stride = in_b.row, .col_stride = in_b.col},
                        .c = {.data = c.data(), .row_stride = in_c.row, .col_stride = in_c.col},
                        .epilogue = {},
                        .narrowing = narrowing};
  matmul(kernels, args, {}, threads);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const auto product = [&](std::int64_t p) {
        return times(value_of(a[i * in_a.row + p * in_a.col]),
                     value_of(b[p * in_b.row + j * in_b.col]));
      };
      auto sum = decltype(product(0)){};
      for (std::int64_t p = 0; p < k; ++p) sum += product(p);
      check(is_sum(c[i * in_c.row + j * in_c.col], sum), name_of(kernels.front()), ' ', m, 'x', k,
            'x', n, " layout ", layout, ": c[", i, ", ", j, ']');
    }
  }
}

template <class A, class B, class C>
void test(const KernelSet& set, Arithmetic arithmetic, ElementType result) {
  const auto& kernels = set.matmul[static_cast<int>(arithmetic)];
  const Kernel& kernel = kernels[0];
  Narrowing narrowing{};
  if (sizeof(C) < static_cast<std::size_t>(size_of(kernel.dtype))) {
    narrowing = {.type = result, .row = set.narrow[static_cast<int>(result)]};
  }
  int turn = 0;
  const auto once = [&](std::span<const Kernel> choice, Size size) {
    // A half type holds no more than small sums.
    if (!std::integral<C> && sizeof(C) < 4) size.k = std::min<std::int64_t>(size.k, 15);
    ++turn;
    test_product<A, B, C>(choice, narrowing, size, turn % 3,
                          turn % 2 == 0 ? Guard::after : Guard::before, 1 + turn % 2);
  };
  const auto around = [](std::int64_t tile) {
    return std::set<std::int64_t>{1, tile - 1, tile, tile + 1, 2 * tile + 1};
  };
  const std::int64_t nr = kernel.nr / kernel.parts;
  const std::int64_t kc = kernel.kc / kernel.parts;
  for (const std::int64_t m : around(kernel.mr)) {
    for (const std::int64_t n : around(nr)) {
      for (const std::int64_t k : {std::int64_t{1}, std::int64_t{3}, std::int64_t{65}}) {
        once({&kernel, 1}, {m, n, k});
      }
    }
  }
  for (const std::int64_t k : {kc - 1, kc, kc + 1, 2 * kc + 3}) {
    once({&kernel, 1}, {kernel.mr + 1, nr + 1, k});
  }
  // The choice among tile shapes; several parts of a narrow C.
  for (const std::int64_t m : {1, 2, 3, 4, 5, 70, 300}) once(kernels, {m, 130, 70});
  once(kernels, {3, 1100, 5});
  // Columns, and dot products of several blocks of k.
  for (const std::int64_t m : {1, 3, 70}) {
    for (const std::int64_t k : {3, 130, 3000}) once(kernels, {m, 1, k});
  }
}

}  // namespace

void test_dtypes(const KernelSet& set) {
  using enum ElementType;
  test<std::int32_t, std::int32_t, std::int32_t>(set, Arithmetic::i32, i32);
  test<std::int64_t, std::int64_t, std::int64_t>(set, Arithmetic::i64, i64);
  test<std::int16_t, std::int16_t, std::int32_t>(set, Arithmetic::i16, i32);
  test<std::int16_t, std::int16_t, std::int16_t>(set, Arithmetic::i16, i16);
  test<std::int8_t, std::int8_t, std::int32_t>(set, Arithmetic::i8, i32);
  test<std::int8_t, std::int8_t, std::int8_t>(set, Arithmetic::i8, i8);
  test<std::uint8_t, std::uint8_t, std::int32_t>(set, Arithmetic::u8, i32);
  test<std::uint8_t, std::uint8_t, std::uint8_t>(set, Arithmetic::u8, u8);
  test<std::int8_t, std::uint8_t, std::int16_t>(set, Arithmetic::i8u8, i16);
  test<std::uint8_t, std::int8_t, std::int16_t>(set, Arithmetic::u8i8, i16);
  test<BFloat16Bits, BFloat16Bits, float>(set, Arithmetic::bf16, f32);
  test<BFloat16Bits, BFloat16Bits, BFloat16Bits>(set, Arithmetic::bf16, bf16);
  test<Float16Bits, Float16Bits, float>(set, Arithmetic::f16, f32);
  test<Float16Bits, Float16Bits, Float16Bits>(set, Arithmetic::f16, f16);
  using Complex64 = std::complex<float>;
  using Complex128 = std::complex<double>;
  test<Complex64, Complex64, Complex64>(set, Arithmetic::c64, c64);
  test<Complex128, Complex128, Complex128>(set, Arithmetic::c128, c128);
}

}  // namespace hotloops::testing
