// Sums of rows and of columns, by the definition in summation.h.
//
// A product with ones, which is what sums were before, has to transpose rows in registers and waits
// for shuffles: 512 x 512 values of float32 took 18 us in L2, of which reading them is 11.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "summation.h"

namespace hotloops::HOTLOOPS_ISA {

// The sum of a vector's values: its halves are added until one value is left.
template <class S>
HOTLOOPS_INLINE typename S::T sum_of_lanes(typename S::V v) {
  if constexpr (S::lanes == 16) {
    return sum_of_lanes<Simd<typename S::T, sizeof(v) / 2>>(
        __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
        __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
  } else if constexpr (S::lanes == 8) {
    return sum_of_lanes<Simd<typename S::T, sizeof(v) / 2>>(
        __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
  } else if constexpr (S::lanes == 4 && sizeof(v) > 16) {
    return sum_of_lanes<Simd<typename S::T, sizeof(v) / 2>>(__builtin_shufflevector(v, v, 0, 1) +
                                                            __builtin_shufflevector(v, v, 2, 3));
  } else if constexpr (S::lanes == 4) {
    return (v[0] + v[2]) + (v[1] + v[3]);
  } else {
    return v[0] + v[1];
  }
}

// The sum of vectors that hold kSumChains values: the second half is added to the first.
template <int Count, class V>
HOTLOOPS_INLINE V sum_of_halves(const V* v) {
  if constexpr (Count == 1) {
    return v[0];
  } else {
    V half[Count / 2];
#pragma GCC unroll 8
    for (int i = 0; i < Count / 2; ++i) half[i] = v[i] + v[i + Count / 2];
    return sum_of_halves<Count / 2>(half);
  }
}

// `Rows` rows at a time: an addition takes four cycles, and a row is but one to eight vectors of
// chains.
template <class S, int Rows>
HOTLOOPS_INLINE void sum_some_rows(const RowSums& task, int64_t first) {
  using T = typename S::T;
  using V = typename S::V;
  constexpr int kVectors = kSumChains / S::lanes;
  const int64_t stride = task.row_stride;
  const T* x = static_cast<const T*>(task.x) + first * stride;
  T sum[Rows] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t count = task.k - k < kKc ? task.k - k : kKc;
    const T* block = x + k;
    V chains[Rows][kVectors] = {};
    int64_t p = 0;
    for (; p + kSumChains <= count; p += kSumChains) {
#pragma GCC unroll 4
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          chains[i][v] += S::load(block + i * stride + p + v * S::lanes);
        }
      }
    }
    if (p < count) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const int64_t left = count - p - v * S::lanes;
        if (left <= 0) continue;
        const int n = left < S::lanes ? static_cast<int>(left) : S::lanes;
#pragma GCC unroll 4
        for (int i = 0; i < Rows; ++i) {
          chains[i][v] += S::load_first(n, block + i * stride + p + v * S::lanes, V{});
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
      const T of_block = sum_of_lanes<S>(sum_of_halves<kVectors>(chains[i]));
      sum[i] = k == 0 ? of_block : sum[i] + of_block;
    }
  }
  T* y = static_cast<T*>(task.y) + first * task.y_stride;
  for (int i = 0; i < Rows; ++i) y[i * task.y_stride] = sum[i];
}

template <class S>
void sum_rows(const RowSums& task) {
  int64_t i = 0;
  for (; i + 4 <= task.rows; i += 4) sum_some_rows<S, 4>(task, i);
  for (; i < task.rows; ++i) sum_some_rows<S, 1>(task, i);
}

// A block of k of `Vectors` vectors of columns, or of the first `columns` of a single vector. Four
// rows of a chain at a time: with fewer, the chains, which are in L1 meanwhile, are read and
// written too often; with more, rows come from more places than the hardware foresees.
template <class S, int Vectors, bool Whole>
HOTLOOPS_INLINE void sum_block_of_columns(const typename S::T* x, int64_t stride, int64_t count,
                                          int columns, bool first, typename S::T* y) {
  using V = typename S::V;
  constexpr int64_t kTogether = 4;
  V chains[kSumChains][Vectors];
  for (int64_t k = 0; k == 0 || k < count; k += kTogether * kSumChains) {
    for (int64_t c = 0; c < kSumChains; ++c) {
      V chain[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) chain[v] = k == 0 ? V{} : chains[c][v];
#pragma GCC unroll 4
      for (int64_t t = 0; t < kTogether; ++t) {
        const int64_t p = k + t * kSumChains + c;
        if (p >= count) break;
        const typename S::T* row = x + p * stride;
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) {
          if constexpr (Whole) {
            chain[v] += S::load(row + v * S::lanes);
          } else {
            chain[v] += S::load_first(columns, row, V{});
          }
        }
      }
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) chains[c][v] = chain[v];
    }
  }
  for (int half = kSumChains / 2; half > 0; half /= 2) {
    for (int c = 0; c < half; ++c) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) chains[c][v] += chains[c + half][v];
    }
  }
  if constexpr (Whole) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      typename S::T* to = y + v * S::lanes;
      S::store(to, first ? chains[0][v] : S::load(to) + chains[0][v]);
    }
  } else {
    const V sum = first ? chains[0][0] : S::load_first(columns, y, V{}) + chains[0][0];
    S::store_first(columns, y, sum);
  }
}

// All columns block by block: what the hardware fetches beyond a row's stretch is used soon then.
template <class S>
void sum_columns(const ColumnSums& task) {
  using T = typename S::T;
  constexpr int kVectors = 8;
  constexpr int64_t kWide = kVectors * S::lanes;
  const int64_t stride = task.k_stride;
  T* y = static_cast<T*>(task.y);
  for (int64_t k = 0; k == 0 || k < task.k; k += kKc) {
    const T* x = static_cast<const T*>(task.x) + k * stride;
    const int64_t count = task.k - k < kKc ? task.k - k : kKc;
    int64_t j = 0;
    for (; j + kWide <= task.columns; j += kWide) {
      sum_block_of_columns<S, kVectors, true>(x + j, stride, count, S::lanes, k == 0, y + j);
    }
    for (; j + S::lanes <= task.columns; j += S::lanes) {
      sum_block_of_columns<S, 1, true>(x + j, stride, count, S::lanes, k == 0, y + j);
    }
    if (j < task.columns) {
      const int rest = static_cast<int>(task.columns - j);
      sum_block_of_columns<S, 1, false>(x + j, stride, count, rest, k == 0, y + j);
    }
  }
}

template <class S>
inline constexpr SumKernels kSumKernels = {.rows = &sum_rows<S>, .columns = &sum_columns<S>};

}  // namespace hotloops::HOTLOOPS_ISA
