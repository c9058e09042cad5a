// Work on n contiguous values, and the measured peak of the multiply-add units.

#pragma once

#include "kernels/activation_grads.h"
#include "kernels/activations.h"
#include "kernels/simd.h"
#include "kernels/softmax.h"

namespace hotloops::HOTLOOPS_ISA {

// y = f(x) for rows of n values, which are so far apart; nothing beyond a row is read or written.
// One loop over all whole vectors, for f's constants to stay in registers: with a loop for each
// row, tiles' rows of two vectors took a quarter longer.
template <class S, class F>
HOTLOOPS_INLINE void map_rows(int64_t rows, int64_t n, int64_t stride, const typename S::T* x,
                              typename S::T* y, F f) {
  const int rest = static_cast<int>(n % S::lanes);
  const int64_t whole = n - rest;
  const typename S::T* from = x;
  typename S::T* to = y;
  int64_t j = 0;
  for (int64_t left = whole > 0 ? rows : 0; left > 0;) {
    S::store(to + j, f(S::load(from + j)));
    j += S::lanes;
    if (j == whole) {
      j = 0;
      from += stride;
      to += stride;
      --left;
    }
  }
  if (rest == 0) return;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t last = i * stride + whole;
    S::store_first(rest, y + last, f(S::load_first(rest, x + last, typename S::V{})));
  }
}

template <class S, class F>
HOTLOOPS_INLINE void map_row(int64_t n, const typename S::T* x, typename S::T* y, F f) {
  map_rows<S>(1, n, n, x, y, f);
}

// An activation of rows. Neither inlined nor cloned: the microkernel would have a copy of each
// loop.
template <class S>
[[gnu::noinline, gnu::noclone]] void activate_rows(Activation activation, int64_t rows, int64_t n,
                                                   int64_t stride, const typename S::T* x,
                                                   typename S::T* y) {
  using V = typename S::V;
  const auto map = [=](auto f) HOTLOOPS_LAMBDA_INLINE { map_rows<S>(rows, n, stride, x, y, f); };
  switch (activation) {
    case Activation::none:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return v; });
    case Activation::relu:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return relu<S>(v); });
    case Activation::gelu:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return gelu<S>(v); });
    case Activation::gelu_tanh:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return gelu_tanh<S>(v); });
    case Activation::sigmoid:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return sigmoid<S>(v); });
    case Activation::tanh:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return tanh<S>(v); });
    case Activation::silu:
      return map([](V v) HOTLOOPS_LAMBDA_INLINE { return silu<S>(v); });
    case Activation::softmax:
      for (int64_t i = 0; i < rows; ++i) softmax_row<S>(n, x + i * stride, y + i * stride);
  }
}

// z = f(x, y), as map_row.
template <class S, class F>
HOTLOOPS_INLINE void map_two_rows(int64_t n, const typename S::T* x, const typename S::T* y,
                                  typename S::T* z, F f) {
  int64_t i = 0;
  for (; i + S::lanes <= n; i += S::lanes) S::store(z + i, f(S::load(x + i), S::load(y + i)));
  if (i == n) return;
  const int rest = static_cast<int>(n - i);
  const auto last = [=](const typename S::T* row) HOTLOOPS_LAMBDA_INLINE {
    return S::load_first(rest, row + i, typename S::V{});
  };
  S::store_first(rest, z + i, f(last(x), last(y)));
}

template <class S>
struct Rows {
  using T = typename S::T;
  using V = typename S::V;

  static void activate(Activation activation, int64_t n, const void* x, void* y) {
    activate_rows<S>(activation, 1, n, n, static_cast<const T*>(x), static_cast<T*>(y));
  }

  static void activation_grad(Activation activation, int64_t n, const void* saved,
                              const void* grad_y, void* grad_x) {
    const T* s = static_cast<const T*>(saved);
    const T* g = static_cast<const T*>(grad_y);
    T* to = static_cast<T*>(grad_x);
    switch (activation) {
      case Activation::none:
        return map_row<S>(n, g, to, [](V v) HOTLOOPS_LAMBDA_INLINE { return v; });
      case Activation::relu:
        return map_two_rows<S>(
            n, s, g, to, [](V y, V grad) HOTLOOPS_LAMBDA_INLINE { return relu_grad<S>(y, grad); });
      case Activation::gelu:
        return map_two_rows<S>(
            n, s, g, to, [](V z, V grad) HOTLOOPS_LAMBDA_INLINE { return gelu_grad<S>(z, grad); });
      case Activation::gelu_tanh:
        return map_two_rows<S>(n, s, g, to, [](V z, V grad) HOTLOOPS_LAMBDA_INLINE {
          return gelu_tanh_grad<S>(z, grad);
        });
      case Activation::sigmoid:
        return map_two_rows<S>(n, s, g, to, [](V y, V grad) HOTLOOPS_LAMBDA_INLINE {
          return sigmoid_grad<S>(y, grad);
        });
      case Activation::tanh:
        return map_two_rows<S>(
            n, s, g, to, [](V y, V grad) HOTLOOPS_LAMBDA_INLINE { return tanh_grad<S>(y, grad); });
      case Activation::silu:
        return map_two_rows<S>(
            n, s, g, to, [](V z, V grad) HOTLOOPS_LAMBDA_INLINE { return silu_grad<S>(z, grad); });
      case Activation::softmax:
        return softmax_grad_row<S>(n, s, g, to);
    }
  }

  static void negate(int64_t n, void* x) {
    T* values = static_cast<T*>(x);
    map_row<S>(n, values, values, [](V v) HOTLOOPS_LAMBDA_INLINE { return -v; });
  }

  // Twelve chains hide four cycles of latency on two units (eight would do, just) and fit the
  // sixteen registers of the smallest ISA. The values stay near 1, far from slow subnormals.
  static int64_t fma_burst(int64_t iterations) {
    constexpr int kChains = 12;
    V chain[kChains];
    const V factor = S::splat(T(0.5));
    const V addend = S::splat(T(0.5));
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) chain[i] = addend;
    for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + addend;
      // Keeps the optimiser from seeing what the values are.
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) asm volatile("" : HOTLOOPS_VECTOR_OPERAND(chain[i]));
    }
    return iterations * kChains * S::lanes * 2;
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
