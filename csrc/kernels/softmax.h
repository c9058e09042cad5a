// Softmax and its derivative on a whole row. A sum over a row has sixteen partial sums, whatever
// the vector: that, and the rule in activations.h, gives the same bits on every ISA that has fused
// multiply-add.

#pragma once

#include "kernels/activation_grads.h"
#include "kernels/activations.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

// A row in blocks of as many values as there are partial sums.
template <class S>
struct SumBlock {
  static constexpr int kSize = 16;
  static constexpr int kVectors = kSize / S::lanes;
  static_assert(kSize % S::lanes == 0);
};

// The sum of the partial sums, in a tree.
template <class S>
HOTLOOPS_INLINE typename S::T total(const typename S::V (&sums)[SumBlock<S>::kVectors]) {
  typename S::T lanes[SumBlock<S>::kSize];
  for (int v = 0; v < SumBlock<S>::kVectors; ++v) S::store(lanes + v * S::lanes, sums[v]);
  for (int half = SumBlock<S>::kSize / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

// e^(x - max) over its sum; x == y is allowed. A NaN or +infinity in the row, or nothing but
// -infinity, makes the whole row NaN.
template <class S>
void softmax_row(int64_t n, const typename S::T* x, typename S::T* y) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  constexpr int kBlock = SumBlock<S>::kSize;
  constexpr int kVectors = SumBlock<S>::kVectors;
  constexpr T kInfinity = sizeof(T) == 4 ? T(__builtin_huge_valf()) : T(__builtin_huge_val());

  const int64_t whole = n - n % kBlock;
  T tail[kBlock];
  for (int j = 0; j < kBlock; ++j) tail[j] = whole + j < n ? x[whole + j] : -kInfinity;
  T lanes[kBlock];

  V largest[kVectors];
  for (int v = 0; v < kVectors; ++v) largest[v] = S::splat(-kInfinity);
  const auto include = [&](const T* from) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const V values = S::load(from + v * S::lanes);
      largest[v] = values > largest[v] ? values : largest[v];
    }
  };
  for (int64_t i = 0; i < whole; i += kBlock) include(x + i);
  include(tail);
  for (int v = 0; v < kVectors; ++v) S::store(lanes + v * S::lanes, largest[v]);
  T maximum = lanes[0];
  for (int j = 1; j < kBlock; ++j) maximum = lanes[j] > maximum ? lanes[j] : maximum;

  V sums[kVectors] = {};
  const auto exponentiate = [&](const T* from, T* to) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const V distance = S::load(from + v * S::lanes) - maximum;
      const V exp = scaled_exp<S>(at_least<S>(distance, -N::kExpLimit));
      sums[v] += exp;
      S::store(to + v * S::lanes, exp);
    }
  };
  for (int64_t i = 0; i < whole; i += kBlock) exponentiate(x + i, y + i);
  if (whole < n) exponentiate(tail, tail);

  const T factor = T(1) / total<S>(sums) * N::kScale;
  const auto divide = [&](T* values) HOTLOOPS_LAMBDA_INLINE {
    S::store(values, unscaled<S>(S::load(values) * factor));
  };
  for (int64_t i = 0; i < whole; i += S::lanes) divide(y + i);
  if (whole == n) return;
  for (int j = 0; j < kBlock; j += S::lanes) divide(tail + j);
  for (int64_t i = whole; i < n; ++i) y[i] = tail[i - whole];
}

// y (g - sum of g y), the derivative of a softmax y of a row applied to its gradient g; grad_x may
// be either of them. The error is that of the sum, n / 16 + 5 roundings of |g| y, and two roundings
// of the result; below the smallest normal number that is zero (see activation_grads.h).
template <class S>
void softmax_grad_row(int64_t n, const typename S::T* y, const typename S::T* grad_y,
                      typename S::T* grad_x) {
  using V = typename S::V;
  using T = typename S::T;
  constexpr int kBlock = SumBlock<S>::kSize;
  constexpr int kVectors = SumBlock<S>::kVectors;

  const int64_t whole = n - n % kBlock;
  T y_tail[kBlock] = {};
  T grad_tail[kBlock] = {};
  for (int64_t i = whole; i < n; ++i) {
    y_tail[i - whole] = y[i];
    grad_tail[i - whole] = grad_y[i];
  }

  V sums[kVectors] = {};
  const auto include = [&](const T* p, const T* q) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[v] += S::load(p + v * S::lanes) * S::load(q + v * S::lanes);
    }
  };
  for (int64_t i = 0; i < whole; i += kBlock) include(y + i, grad_y + i);
  include(y_tail, grad_tail);
  const T sum = total<S>(sums);

  for (int64_t i = 0; i < whole; i += S::lanes) {
    S::store(grad_x + i, flush<S>(S::load(y + i) * (S::load(grad_y + i) - sum)));
  }
  for (int64_t j = 0; j < kBlock; j += S::lanes) {
    S::store(y_tail + j, flush<S>(S::load(y_tail + j) * (S::load(grad_tail + j) - sum)));
  }
  for (int64_t i = whole; i < n; ++i) grad_x[i] = y_tail[i - whole];
}

}  // namespace hotloops::HOTLOOPS_ISA
