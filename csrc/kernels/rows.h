// Work on n contiguous values, and the measured peak of the multiply-add units.

#pragma once

#include "kernels/activation_grads.h"
#include "kernels/activations.h"
#include "kernels/simd.h"
#include "kernels/softmax.h"

namespace hotloops::HOTLOOPS_ISA {

// y = f(x) over n values in vectors; nothing beyond n is read or written.
template <class S, class F>
HOTLOOPS_INLINE void map_row(int64_t n, const typename S::T* x, typename S::T* y, F f) {
  int64_t i = 0;
  for (; i + S::lanes <= n; i += S::lanes) S::store(y + i, f(S::load(x + i)));
  if (i == n) return;
  const int rest = static_cast<int>(n - i);
  S::store_first(rest, y + i, f(S::load_first(rest, x + i, typename S::V{})));
}

// Neither inlined nor cloned: the microkernel would have a copy of each loop.
template <class S>
[[gnu::noinline, gnu::noclone]] void activate_row(Activation activation, int64_t n,
                                                  const typename S::T* x, typename S::T* y) {
  using V = typename S::V;
  switch (activation) {
    case Activation::none:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return v; });
    case Activation::relu:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return relu<S>(v); });
    case Activation::gelu:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return gelu<S>(v); });
    case Activation::gelu_tanh:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return gelu_tanh<S>(v); });
    case Activation::sigmoid:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return sigmoid<S>(v); });
    case Activation::tanh:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return tanh<S>(v); });
    case Activation::silu:
      return map_row<S>(n, x, y, [](V v) HOTLOOPS_LAMBDA_INLINE { return silu<S>(v); });
    case Activation::softmax:
      return softmax_row<S>(n, x, y);
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
    activate_row<S>(activation, n, static_cast<const T*>(x), static_cast<T*>(y));
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
