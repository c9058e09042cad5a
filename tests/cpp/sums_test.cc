// Sums of every usable ISA have the bits of their definition: every tail, at guard pages, by any
// strides and threads.

#include <algorithm>
#include <array>
#include <vector>

#include "blocking.h"
#include "check.h"
#include "guarded.h"
#include "sums.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

constexpr std::array<std::int64_t, 17> kLengths = {0,  1,   2,   7,   15,  16,  17,  31, 33,
                                                   64, 255, 256, 257, 271, 300, 512, 600};

// The definition, word by word.
template <class T>
T defined_sum(const T* x, std::int64_t stride, std::int64_t k) {
  T total = 0;
  for (std::int64_t first = 0; first < k; first += kKc) {
    std::array<T, kSumChains> chains{};
    for (std::int64_t p = first; p < std::min(first + kKc, k); ++p) {
      chains[static_cast<std::size_t>((p - first) % kSumChains)] += x[p * stride];
    }
    for (std::size_t half = kSumChains / 2; half > 0; half /= 2) {
      for (std::size_t c = 0; c < half; ++c) chains[c] += chains[c + half];
    }
    total = first == 0 ? chains[0] : total + chains[0];
  }
  return total;
}

template <class T>
void check_bits(T sum, T expected, const KernelSet& set, const char* what, std::int64_t k) {
  check(same_bits<T>({&sum, 1}, {&expected, 1}), set.name, " sum of ", k, " values, ", what, ": ",
        sum, " instead of ", expected);
}

template <class T>
void test_kernels(const KernelSet& set, Guard guard) {
  const SumKernels& kernels = set.sums[static_cast<int>(kDTypeOf<T>)];
  for (const std::int64_t k : kLengths) {
    for (const std::int64_t count : {1, 2, 3, 4, 5, 9, 16, 37, 130}) {
      const GuardedArray<T> x(k * count, guard);
      const GuardedArray<T> y(count, guard);
      fill_real(x.span(), static_cast<std::uint64_t>(k));
      kernels.rows(
          {.k = k, .rows = count, .row_stride = k, .x = x.data(), .y = y.data(), .y_stride = 1});
      for (std::int64_t i = 0; i < count; ++i) {
        check_bits(y[i], defined_sum(x.data() + i * k, 1, k), set, "in a row", k);
      }
      kernels.columns({.k = k, .k_stride = count, .columns = count, .x = x.data(), .y = y.data()});
      for (std::int64_t j = 0; j < count; ++j) {
        check_bits(y[j], defined_sum(x.data() + j, count, k), set, "in a column", k);
      }
    }
  }
}

// Values apart from each other by these strides, the last one the sum's.
template <class T>
void test_strides(const KernelSet& set, std::array<std::int64_t, 3> sizes,
                  std::array<std::int64_t, 3> strides) {
  std::int64_t reach = 1;
  std::int64_t before = 0;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::int64_t step = (sizes[d] - 1) * strides[d];
    (step < 0 ? before : reach) += std::abs(step);
  }
  std::vector<T> memory(static_cast<std::size_t>(before + reach));
  fill_real(std::span<T>(memory), 7);
  const T* x = memory.data() + before;
  for (const bool y_in_order : {true, false}) {
    const std::array<SumDim, 2> dims = {
        SumDim{.size = sizes[0], .x_stride = strides[0], .y_stride = y_in_order ? sizes[1] : 1},
        SumDim{.size = sizes[1], .x_stride = strides[1], .y_stride = y_in_order ? 1 : sizes[0]}};
    for (const int threads : {1, 2, 3}) {
      std::vector<T> y(static_cast<std::size_t>(sizes[0] * sizes[1]), kNan<T>);
      sum({.dtype = kDTypeOf<T>,
           .k = sizes[2],
           .k_stride = strides[2],
           .x = x,
           .y = y.data(),
           .dims = dims},
          threads);
      for (std::int64_t i = 0; i < sizes[0]; ++i) {
        for (std::int64_t j = 0; j < sizes[1]; ++j) {
          const std::int64_t in_y = i * dims[0].y_stride + j * dims[1].y_stride;
          const T* first = x + i * strides[0] + j * strides[1];
          check_bits(y[static_cast<std::size_t>(in_y)], defined_sum(first, strides[2], sizes[2]),
                     set, "strided", sizes[2]);
        }
      }
    }
  }
}

template <class T>
void test_driver(const KernelSet& set) {
  test_strides<T>(set, {3, 5, 300}, {1500, 300, 1});      // rows
  test_strides<T>(set, {3, 300, 5}, {1500, 1, 300});      // columns
  test_strides<T>(set, {300, 3, 5}, {1, 300, 900});       // columns that are far apart in y
  test_strides<T>(set, {3, 5, 300}, {3000, 600, 2});      // neither
  test_strides<T>(set, {3, 5, 300}, {1500, 300, -1});     // backwards
  test_strides<T>(set, {3, 5, 300}, {0, 1, 0});           // stretched
  test_strides<T>(set, {3, 5, 1}, {7, 50, 3});            // nothing to add
  test_strides<T>(set, {3, 5, 0}, {7, 50, 3});            // nothing at all
  test_strides<T>(set, {1, 1, 70000}, {0, 0, 1});         // blocks for several threads
  test_strides<T>(set, {1, 2, 1050000}, {0, 0, 1});       // more blocks than are kept at a time
  test_strides<T>(set, {2, 400, 700}, {280000, 700, 1});  // rows for several threads
  test_strides<T>(set, {2, 400, 700}, {280000, 1, 400});  // columns for several threads
}

}  // namespace

void test_sum_kernels(const KernelSet& set) {
  for (const Guard guard : {Guard::after, Guard::before}) {
    test_kernels<float>(set, guard);
    test_kernels<double>(set, guard);
  }
}

void test_sums(const KernelSet& set) {
  test_driver<float>(set);
  test_driver<double>(set);
}

}  // namespace hotloops::testing
