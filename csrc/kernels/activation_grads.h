// Derivatives of the activations on vectors, under the rule of activations.h: the same bits on
// every ISA that has fused multiply-add. (That of softmax, which needs a row, is in softmax.h.)
//
// relu, sigmoid and tanh have simple ones in terms of their result y. For
//
//   relu      y > 0 ? g : 0        sigmoid   (g y) (1 - y)       tanh   g ((1 - y) (1 + y))
//
// nothing cancels: 0, 2.5 and 3.5 ulp at most of the formula's exact value at the given y and g.
// (1 - y^2 would cancel where there is no fused multiply-add.) y itself is rounded, of course:
// where it is close to 1, little is left in it of how close.
//
// x F(x) (gelu, gelu_tanh, silu) is differentiated at x. With F' even, its slope is
//
//   s(x) = F(x) + x F'(x) = 1 - s(-x)
//
// so that s(-|x|) = F(-|x|) - |x| F'(x) is all that is needed. It vanishes at some x near -1, where
// the two terms cancel; elsewhere it is accurate relative to the result, in the negative tail, too.
// Hence the error of s in units in the last place of F(x) + |x| F'(x), at most; the product with g
// is then rounded once more:
//
//                  float32             float64
//                FMA    without      FMA    without (baseline)
//   silu         3        3          2.5      2.5
//   gelu         5        5          5        5
//   gelu_tanh    5       80          5      650
//
// Measured on 4 million values of float32 and 40 thousand of float64, and rounded up;
// tests/test_activation_grads.py asserts all of these on fewer.
//
// What comes out below the smallest normal number, s or the gradient, is flushed to zero. Gradients
// in the tails are such numbers easily, and are of no use; but a multiplication by one takes some
// 150 cycles, and in the products that follow each is used hundreds of times. One in a hundred of
// them made the backward pass of a 256 x 784 x 512 layer 14 times slower.

#pragma once

#include "kernels/activations.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

template <class S>
HOTLOOPS_INLINE typename S::V relu_grad(typename S::V y, typename S::V grad) {
  using T = typename S::T;
  return y <= T(0) ? typename S::V{} : grad;  // in this order a NaN lets the gradient pass
}

// x, but zero below the limit. NaN stays.
template <class S>
HOTLOOPS_INLINE typename S::V flush_below(typename S::T limit, typename S::V x) {
  return magnitude<S>(x) < limit ? typename S::V{} : x;
}

template <class S>
HOTLOOPS_INLINE typename S::V flush(typename S::V x) {
  return flush_below<S>(Numbers<typename S::T>::kSmallestNormal, x);
}

template <class S>
HOTLOOPS_INLINE typename S::V sigmoid_grad(typename S::V y, typename S::V grad) {
  return flush<S>((grad * y) * (typename S::T(1) - y));
}

template <class S>
HOTLOOPS_INLINE typename S::V tanh_grad(typename S::V y, typename S::V grad) {
  using T = typename S::T;
  return flush<S>(grad * ((T(1) - y) * (T(1) + y)));
}

// g s(x) from scaled = kScale s(-|x|).
template <class S>
HOTLOOPS_INLINE typename S::V gated_grad(typename S::V x, typename S::V grad,
                                         typename S::V scaled) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V tail = flush_below<S>(N::kSmallestNormal * N::kScale, scaled) * N::kUnscale;
  return flush<S>(grad * (x < T(0) ? tail : T(1) - tail));
}

// kScale s(-a) where F is logistic in w(x): F' = F (1 - F) w', so s(-a) = F(-a) (1 - a w' F(a)).
// From tail = kScale F(-a).
template <class S>
HOTLOOPS_INLINE typename S::V logistic_slope(typename S::V tail, typename S::V a_times_rate) {
  using V = typename S::V;
  using T = typename S::T;
  const V complement = T(1) - tail * Numbers<T>::kUnscale;
  return tail * (T(1) - a_times_rate * complement);
}

template <class S>
HOTLOOPS_INLINE typename S::V silu_grad(typename S::V x, typename S::V grad) {
  using V = typename S::V;
  const V a = at_most<S>(magnitude<S>(x), Numbers<typename S::T>::kExpLimit);
  return gated_grad<S>(x, grad, logistic_slope<S>(logistic_tail<S>(scaled_exp<S>(-a)), a));
}

// w = 2 u = kCubic (a^3 + kLinear a)
template <class S>
HOTLOOPS_INLINE typename S::V gelu_tanh_grad(typename S::V x, typename S::V grad) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V a = at_most<S>(magnitude<S>(x), N::kGeluTanhLimit);
  const V a_times_rate = (a * N::kCubic) * ((a * a) * T(3) + N::kLinearHigh);
  return gated_grad<S>(x, grad, logistic_slope<S>(gelu_tanh_tail<S>(a), a_times_rate));
}

// F' = e^(-x^2 / 2) / sqrt(2 pi), and F(-a) is the same power times the ratio of the two mills_*.
template <class S>
HOTLOOPS_INLINE typename S::V gelu_grad(typename S::V x, typename S::V grad) {
  using V = typename S::V;
  using N = Numbers<typename S::T>;
  const V a = at_most<S>(magnitude<S>(x), N::kGeluLimit);
  const V square = a * a;
  const SplitExp<S> exp = split_gaussian<S>(a, square);
  const V ratio = mills_numerator<S>(a, square) / mills_denominator<S>(a, square);
  const V slope = ratio - a * N::kInverseSqrt2Pi;
  return gated_grad<S>(x, grad, times_exp<S>(exp.power * slope, exp.rest));
}

}  // namespace hotloops::HOTLOOPS_ISA
