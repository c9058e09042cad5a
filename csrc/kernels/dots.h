// Chains of multiply-adds side by side in a vector, where what lies side by side in memory is k.
//
// A chain's values follow each other in memory, and a vector needs one value each of as many
// chains: rows are transposed in registers. Packing such rows first, and then multiplying from L1,
// took three to five times as long.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/simd.h"
#include "kernels/transposed.h"

namespace hotloops::HOTLOOPS_ISA {

// One value of each of S::lanes rows.
template <class S>
HOTLOOPS_INLINE typename S::V gather(const typename S::T* p, int64_t stride) {
  typename S::V v;
  for (int lane = 0; lane < S::lanes; ++lane) v[lane] = p[lane * stride];
  return v;
}

// The end of `columns`: the sums with the epilogue to C.
template <class S, int Rows, int Groups>
HOTLOOPS_INLINE void finish_columns(const Columns& task, const typename S::V (&sum)[Rows][Groups]) {
  using T = typename S::T;
  using V = typename S::V;
  T* c = static_cast<T*>(task.c);
  const T* bias = static_cast<const T*>(task.epilogue.bias);
  const T* residual = static_cast<const T*>(task.epilogue.residual);
  for (int i = 0; i < Rows; ++i, c += task.c_stride) {
    for (int g = 0; g < Groups; ++g) {
      const int j = g * S::lanes;
      V value = sum[i][g];
      if (bias != nullptr) value += S::load(bias + j);
      if (residual != nullptr) value += S::load(residual + i * task.c_stride + j);
      if (task.epilogue.activation == Activation::relu) value = relu<S>(value);
      S::store(c + j, value);
    }
    if (task.epilogue.activation > Activation::relu) {
      activate_row<S>(task.epilogue.activation, Groups * S::lanes, c, c);
    }
  }
}

// `Rows` rows of A times Groups * S::lanes columns of B.
template <class S, int Rows, int Groups>
void columns(const Columns& task) {
  using T = typename S::T;
  using V = typename S::V;
  constexpr int kDepth = Transposed<S>::kDepth;
  constexpr int64_t kSize = sizeof(T);
  const T* a = static_cast<const T*>(task.a);
  const T* b = static_cast<const T*>(task.b);
  const int64_t a_row = task.a_row_stride;
  const int64_t a_col = task.a_col_stride;
  const int64_t stride = task.b_col_stride;
  V sum[Rows][Groups] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t end = k + kKc < task.k ? k + kKc : task.k;
    V block[Rows][Groups] = {};
    int64_t p = k;
    for (; p + kDepth <= end; p += kDepth) {
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) {
        const Transposed<S> values(b + g * S::lanes * stride + p, stride * kSize);
#pragma GCC unroll 4
        for (int e = 0; e < kDepth; ++e) {
#pragma GCC unroll 4
          for (int i = 0; i < Rows; ++i) {
            block[i][g] += S::splat(a[i * a_row + (p + e) * a_col]) * values.x[e];
          }
        }
      }
    }
    for (; p < end; ++p) {
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) {
        const V values = gather<S>(b + g * S::lanes * stride + p, stride);
#pragma GCC unroll 4
        for (int i = 0; i < Rows; ++i) block[i][g] += S::splat(a[i * a_row + p * a_col]) * values;
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) sum[i][g] = k == 0 ? block[i][g] : sum[i][g] + block[i][g];
    }
  }

  finish_columns<S, Rows, Groups>(task, sum);
}

// Calls add(x, y) with the values of a and of b at some next places of S::lanes blocks of kKc
// values, one block a lane, until the blocks' ends.
//
// As many streams as these are more than the hardware foresees. The blocks behind these, which come
// next, are asked for line by line in the meantime.
template <class S, class F>
HOTLOOPS_INLINE void each_in_blocks(const void* a, const void* b, F add) {
  using T = typename S::T;
  constexpr int kDepth = Transposed<S>::kDepth;
  constexpr int64_t kSize = sizeof(T);
  constexpr int kLine = 64 / sizeof(T);
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  for (int64_t line = 0; line < kKc; line += kLine) {
    const int64_t next = S::lanes * (kKc + line);
#pragma GCC unroll 16
    for (int64_t lane = 0; lane < S::lanes; ++lane) {
      __builtin_prefetch(x + next + lane * kLine, 0, 2);
      __builtin_prefetch(y + next + lane * kLine, 0, 2);
    }
#pragma GCC unroll 4
    for (int64_t p = line; p < line + kLine; p += kDepth) {
      add(Transposed<S>(x + p, kKc * kSize), Transposed<S>(y + p, kKc * kSize));
    }
  }
}

// sums[i] = the chain over a's and b's values [i * kKc, (i + 1) * kKc), for S::lanes of them.
template <class S>
void block_sums(const void* a, const void* b, void* sums) {
  typename S::V sum = {};
  each_in_blocks<S>(a, b,
                    [&](const Transposed<S>& x, const Transposed<S>& y) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 4
                      for (int e = 0; e < Transposed<S>::kDepth; ++e) sum += x.x[e] * y.x[e];
                    });
  S::store(static_cast<typename S::T*>(sums), sum);
}

// The same of complex numbers: see DotKernels.
template <class S>
void complex_block_sums(const void* a, const void* b, void* real, void* imaginary) {
  using T = typename S::T;
  typename S::V re = {};
  typename S::V im = {};
  each_in_blocks<S>(a, b,
                    [&](const Transposed<S>& x, const Transposed<S>& y) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 4
                      for (int e = 0; e < Transposed<S>::kDepth; e += kComplexParts) {
                        re += x.x[e] * y.x[e];
                        im += x.x[e] * y.x[e + 1];
                        re -= x.x[e + 1] * y.x[e + 1];
                        im += x.x[e + 1] * y.x[e];
                      }
                    });
  S::store(static_cast<T*>(real), re);
  S::store(static_cast<T*>(imaginary), im);
}

// The width of their vectors: eight values at most. With sixteen rows as many streams come in at a
// time, more than the hardware foresees, and three units move 32 bytes about where two move 64: a
// matrix of float32 was read 15 % more slowly from L2, 25 % from L3.
template <class S>
inline constexpr int kDotBytes = S::lanes > 8 ? 32 : sizeof(typename S::V);

template <class S>
inline constexpr DotKernels kDotKernels = {.lanes = S::lanes,
                                           .any_company = true,
                                           .most_rows = 8,
                                           .columns = {{&columns<S, 1, 1>, &columns<S, 1, 2>},
                                                       {&columns<S, 2, 1>, &columns<S, 2, 2>},
                                                       {&columns<S, 3, 1>, &columns<S, 3, 2>},
                                                       {&columns<S, 4, 1>, &columns<S, 4, 2>}},
                                           .block_sums = &block_sums<S>,
                                           .complex_block_sums = &complex_block_sums<S>};

}  // namespace hotloops::HOTLOOPS_ISA
