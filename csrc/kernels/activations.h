// Activation functions on vectors. No libm: the same bits on every ISA that has fused multiply-add.
//
// One rule makes that so. A product is added at most once, and never to another product: which of
// two to fuse would be the compiler's choice. Where there are two, both are exact, and fusing
// changes nothing.
//
// Every function here needs e^x for x <= 0 only, of
//
//   e^x = 2^n e^r,   n = round(x / ln 2),   r = x - n ln 2 in [-0.3466, 0.3466]
//
// with ln 2 in two parts, the first so short that n times it is exact (W. J. Cody and W. Waite,
// Software Manual for the Elementary Functions, 1980). n comes from adding 1.5 * 2^23 (2^52), which
// leaves the rounded integer in the low bits of the sum, where a shift turns it into 2^n: no
// conversion to integer, which AVX2 lacks for float64. That 2^n is kept 2^64 (2^128) times too
// large until the end of a function. So the smallest results, subnormal ones too, are rounded once.
//
// x times a cumulative distribution function F (gelu, gelu_tanh, silu) is
//
//   x F(x) = max(x, 0) - |x| F(-|x|)
//
// because F(x) = 1 - F(-x): one formula, accurate relative to the result on both sides. It also
// gives the limit -0 at -infinity, where the product of the definition would be -inf * 0 = NaN.
//
// Error in units in the last place, at most, over the whole range and for subnormal results too:
//
//                  float32             float64
//                FMA    without      FMA    without (baseline)
//   sigmoid      1.6      1.6        1.6      1.6
//   tanh         1.5      1.5        1.5      1.5
//   silu         2.5      2.5        2.5      2.6
//   gelu         5.5      6          6        8
//   gelu_tanh    2.7     80          2.7    650
//
// Measured on every 19th float32 and 20 million values of float64, and rounded up;
// tests/test_activations.py asserts it on fewer.
//
// Coefficients are minimax (Remez exchange in 50 digits, then rounded one after another, the rest
// fitted again), with errors stated after rounding.

#pragma once

#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

template <class T>
struct Numbers;

template <>
struct Numbers<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int32_t kSignBit = INT32_MIN;
  static constexpr int32_t kHeadMask = ~0xfff;  // leaves 12 bits, whose square is exact

  static constexpr float kSmallestNormal = 0x1p-126f;

  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.62e4p-1f;  // 16 bits
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;

  static constexpr float kScale = 0x1p64f;
  static constexpr float kUnscale = 1 / kScale;
  static constexpr float kLeastExp = 0x1p-27f;  // any e^-a below is as good: 1 + e^-a rounds to 1
  static constexpr float kShifter = 0x1.8p23f + 127 + 64;  // plus n: the exponent of kScale 2^n

  // Beyond these the scaled functions are below half of the smallest subnormal, or 1 - tanh below
  // half of an ulp, and n stays within the exponent's range.
  static constexpr float kExpLimit = 110;
  static constexpr float kTanhLimit = 10;
  static constexpr float kGeluLimit = 14.5f;
  static constexpr float kGeluTanhLimit = 11;

  // gelu_tanh: 2 u = kCubic (|x|^3 + kLinear |x|), and ln 2 in units of kCubic.
  static constexpr float kGridShifter = 0x1.8p15f;     // grid 2^-8
  static constexpr float kLinearHigh = 0x1.65d26p+4f;  // multiple of 2^-16
  static constexpr float kLinearLow = -0x1.226128p-20f;
  static constexpr float kCubic = 0x1.2444f2p-4f;
  static constexpr float kCubicLog2E = 0x1.a5a7dp-4f;
  static constexpr float kLn2OverCubicHigh = 0x1.36dap+3f;  // 16 bits
  static constexpr float kLn2OverCubicLow = -0x1.549446p-16f;

  static constexpr float kInverseSqrt2Pi = 0x1.988454p-2f;
};

template <>
struct Numbers<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int64_t kSignBit = INT64_MIN;
  static constexpr int64_t kHeadMask = ~0x7ffffff;  // leaves 26 bits

  static constexpr double kSmallestNormal = 0x1p-1022;

  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefa4p-1;  // 41 bits
  static constexpr double kLn2Low = -0x1.8432a1b0e2634p-43;

  static constexpr double kScale = 0x1p128;
  static constexpr double kUnscale = 1 / kScale;
  static constexpr double kLeastExp = 0x1p-56;
  static constexpr double kShifter = 0x1.8p52 + 1023 + 128;

  static constexpr double kExpLimit = 756;
  static constexpr double kTanhLimit = 20;
  static constexpr double kGeluLimit = 38.7;
  static constexpr double kGeluTanhLimit = 21.6;

  static constexpr double kGridShifter = 0x1.8p31;            // grid 2^-21
  static constexpr double kLinearHigh = 0x1.65d25edd9ed8p+4;  // multiple of 2^-42
  static constexpr double kLinearLow = 0x1.fd4f2671c239cp-48;
  static constexpr double kCubic = 0x1.2444f2a4d8b4bp-4;
  static constexpr double kCubicLog2E = 0x1.a5a7cf7572a98p-4;
  static constexpr double kLn2OverCubicHigh = 0x1.36d9d56d77p+3;  // 41 bits
  static constexpr double kLn2OverCubicLow = 0x1.4921390cf500dp-39;

  static constexpr double kInverseSqrt2Pi = 0x1.9884533d43651p-2;
};

template <class S>
HOTLOOPS_INLINE typename S::I bits_of(typename S::V x) {
  return reinterpret_cast<typename S::I>(x);
}

template <class S>
HOTLOOPS_INLINE typename S::V from_bits(typename S::I bits) {
  return reinterpret_cast<typename S::V>(bits);
}

template <class S>
HOTLOOPS_INLINE typename S::V magnitude(typename S::V x) {
  return from_bits<S>(bits_of<S>(x) & ~Numbers<typename S::T>::kSignBit);
}

// The leading bits, so few that the square is exact.
template <class S>
HOTLOOPS_INLINE typename S::V head_of(typename S::V x) {
  return from_bits<S>(bits_of<S>(x) & Numbers<typename S::T>::kHeadMask);
}

// NaN passes through both.
template <class S>
HOTLOOPS_INLINE typename S::V at_most(typename S::V x, typename S::T limit) {
  return S::smaller(S::splat(limit), x);
}

template <class S>
HOTLOOPS_INLINE typename S::V at_least(typename S::V x, typename S::T limit) {
  return S::larger(S::splat(limit), x);
}

// c0 + c1 x + c2 x^2 + ...
template <class V, class T>
HOTLOOPS_INLINE V horner(V x, T c0, T c1) {
  return x * c1 + c0;
}

template <class V, class T, class... More>
HOTLOOPS_INLINE V horner(V x, T c0, T c1, T c2, More... more) {
  return horner(x, c1, c2, more...) * x + c0;
}

// (e^r - 1 - r) / r^2 on [-0.3467, 0.3467]. Error as part of e^r - 1:
// float32 degree 4, 2^-26.0; float64 degree 9, 2^-55.4.
template <class S>
HOTLOOPS_INLINE typename S::V exp_curvature(typename S::V r) {
  if constexpr (sizeof(typename S::T) == 4) {
    return horner(r, 0x1.fffffep-2f, 0x1.5554aap-3f, 0x1.55579cp-5f, 0x1.122c5ep-7f,
                  0x1.6ab8fcp-10f);
  } else {
    return horner(r, 0x1.0000000000005p-1, 0x1.5555555555541p-3, 0x1.555555555201dp-5,
                  0x1.11111111162bcp-7, 0x1.6c16c17f8bdbep-10, 0x1.a01a01897b6fp-13,
                  0x1.a019a549c8a5ap-16, 0x1.71de4e8f3a21cp-19, 0x1.28a413dc647dp-22,
                  0x1.aed9a3a26cee4p-26);
  }
}

// kScale 2^n from kShifter + n. All other bits are shifted out.
template <class S>
HOTLOOPS_INLINE typename S::V power_of_two(typename S::V shifted) {
  return from_bits<S>(bits_of<S>(shifted) << Numbers<typename S::T>::kMantissaBits);
}

// y e^r, rounded as if y times a number near 1 were added to y: better than e^r times y.
template <class S>
HOTLOOPS_INLINE typename S::V times_exp(typename S::V y, typename S::V r) {
  using T = typename S::T;
  return (y * r) * (exp_curvature<S>(r) * r + T(1)) + y;
}

// kScale e^x for -kExpLimit <= x <= 0.
template <class S>
HOTLOOPS_INLINE typename S::V scaled_exp(typename S::V x) {
  using V = typename S::V;
  using N = Numbers<typename S::T>;
  const V shifted = x * N::kLog2E + N::kShifter;
  const V n = shifted - N::kShifter;
  const V r = (x - n * N::kLn2High) - n * N::kLn2Low;
  return times_exp<S>(power_of_two<S>(shifted), r);
}

// scaled / kScale for scaled >= 0. What would be subnormal is first added to the smallest number
// that is not, and so rounded at the right bit; it is subtracted again as an integer. No
// multiplication has a subnormal result then, which would take 150 cycles: sigmoid of saturated
// values took 30 times as long as of others, softmax of masked ones 9 times.
template <class S>
HOTLOOPS_INLINE typename S::V unscaled(typename S::V scaled) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  constexpr T kLeast = N::kSmallestNormal * N::kScale;
  asm("" : HOTLOOPS_VECTOR_OPERAND(scaled));  // not to be fused if it is a product
  const auto is_small = scaled < kLeast;
  const V result = (is_small ? scaled + kLeast : scaled) * N::kUnscale;
  const typename S::I bits = bits_of<S>(result);
  const typename S::I step = bits_of<S>(S::splat(N::kSmallestNormal));
  return from_bits<S>(is_small ? bits - step : bits);
}

// max(x, 0) - tail / kScale, that is x F(x) from tail = kScale |x| F(-|x|). The sign of zero stays.
template <class S>
HOTLOOPS_INLINE typename S::V gate(typename S::V x, typename S::V tail) {
  using T = typename S::T;
  return (x >= T(0) ? x : S::splat(T(-0.0))) - unscaled<S>(tail);
}

template <class S>
HOTLOOPS_INLINE typename S::V relu(typename S::V x) {
  using T = typename S::T;
  return x <= T(0) ? typename S::V{} : x;  // in this order NaN stays
}

// kScale / (1 + e^a) from kScale e^-a, corrected for the rounding of the denominator.
template <class S>
HOTLOOPS_INLINE typename S::V logistic_tail(typename S::V scaled) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V exp = at_least<S>(scaled, N::kLeastExp * N::kScale) * N::kUnscale;
  const V tail = scaled / (exp + T(1));
  const V residual = (scaled - tail) - tail * exp;
  const V reciprocal = exp * T(-8.0 / 17) + T(16.0 / 17);  // of 1 + exp, within 6 %
  return residual * reciprocal + tail;
}

template <class S>
HOTLOOPS_INLINE typename S::V sigmoid(typename S::V x) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V a = at_most<S>(magnitude<S>(x), N::kExpLimit);
  const V tail = unscaled<S>(logistic_tail<S>(scaled_exp<S>(-a)));
  return x < T(0) ? tail : T(1) - tail;
}

// x sigmoid(x)
template <class S>
HOTLOOPS_INLINE typename S::V silu(typename S::V x) {
  using V = typename S::V;
  const V a = at_most<S>(magnitude<S>(x), Numbers<typename S::T>::kExpLimit);
  return gate<S>(x, a * logistic_tail<S>(scaled_exp<S>(-a)));
}

// (tanh(x) - x) / x^3 as a function of x^2, |x| <= 0.65. Error as part of tanh(x):
// float32 degree 4, 2^-27.1; float64 degree 10, 2^-55.1.
template <class S>
HOTLOOPS_INLINE typename S::V tanh_curvature(typename S::V square) {
  if constexpr (sizeof(typename S::T) == 4) {
    return horner(square, -0x1.555524p-2f, 0x1.1103fp-3f, -0x1.b7cfb2p-5f, 0x1.4f5d36p-6f,
                  -0x1.6968fap-8f);
  } else {
    return horner(square, -0x1.5555555555497p-2, 0x1.111111110441ap-3, -0x1.ba1ba1b07ea08p-5,
                  0x1.664f46b4f9bdbp-6, -0x1.226e02d83e6ap-7, 0x1.d6ccd444b7d4ap-9,
                  -0x1.7d51c61e695e2p-10, 0x1.32d693caaad78p-11, -0x1.dafbbbc7c0189p-13,
                  0x1.3a0ed67f453a1p-14, -0x1.f7813c72f8788p-17);
  }
}

// 1 - 2 / (1 + e^(2 |x|)), which would lose where |x| is small: there a polynomial.
template <class S>
HOTLOOPS_INLINE typename S::V tanh(typename S::V x) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V a = at_most<S>(magnitude<S>(x), N::kTanhLimit);
  const V square = a * a;
  const V near_zero = (a * square) * tanh_curvature<S>(square) + a;
  const V exp = scaled_exp<S>(a * T(-2)) * N::kUnscale;
  const V far = T(1) - T(2) * (exp / (exp + T(1)));
  const V result = a < T(0.65) ? near_zero : far;
  return from_bits<S>(bits_of<S>(result) | (bits_of<S>(x) & N::kSignBit));
}

// e^(a^2 / 2) erfc(a / sqrt 2) / 2 as numerator / denominator:
// float32 degrees 4 and 5 on [0, 15], relative error 2^-26.1;
// float64 degrees 10 and 11 on [0, 39], 2^-56.6.
// All coefficients are positive. Even and odd powers apart: half as many roundings follow each
// other as in one Horner chain, for the same number of operations.
template <class S>
HOTLOOPS_INLINE typename S::V mills_numerator(typename S::V a, typename S::V square) {
  if constexpr (sizeof(typename S::T) == 4) {
    return horner(square, 0x1.bd294ap-2f, 0x1.44da3ep-5f) * a +
           horner(square, 0.5f, 0x1.719078p-3f, 0x1.03891p-8f);
  } else {
    return horner(square, 0x1.a67fb31c98076p-1, 0x1.6a697e429a84dp-2, 0x1.1f523d5dafd8fp-5,
                  0x1.099d5cd034e1ap-10, 0x1.c2995600d4531p-18) *
               a +
           horner(square, 0.5, 0x1.59baca15a338ap-1, 0x1.0aec2379ce9e3p-3, 0x1.c91aa1d3d55fbp-8,
                  0x1.b12d2ad7cc364p-14, 0x1.cb5c4d97f3b37p-23);
  }
}

template <class S>
HOTLOOPS_INLINE typename S::V mills_denominator(typename S::V a, typename S::V square) {
  if constexpr (sizeof(typename S::T) == 4) {
    return horner(square, 0x1.aad6dp+0f, 0x1.d92dfap-2f, 0x1.45466ep-7f) * a +
           horner(square, 1.0f, 0x1.30f57ap+0f, 0x1.972bc2p-4f);
  } else {
    return horner(square, 0x1.3960ee5d9cdcfp+1, 0x1.fca48b3fd7fcap+0, 0x1.5fea78cdd545bp-2,
                  0x1.22abde0f0ef14p-6, 0x1.1003eaff599e6p-12, 0x1.1fdc8df9511f6p-21) *
               a +
           horner(square, 1.0, 0x1.66e7a0ed94af3p+1, 0x1.f0b6f28e0b776p-1, 0x1.725e7630af049p-4,
                  0x1.4f1acc3ffcce0p-9, 0x1.1a5efbbde9099p-16);
  }
}

// kScale e^x as y = kScale 2^n and r: times_exp(y, r), or of a product with y.
template <class S>
struct SplitExp {
  typename S::V power, rest;
};

// e^(-a^2 / 2), 0 <= a <= kGeluLimit. It is as accurate as its argument is absolutely: a^2 is taken
// as head^2, exact, and the small rest (W. J. Cody, Rational Chebyshev approximations for the error
// function, Math. Comp. 23, 1969).
template <class S>
HOTLOOPS_INLINE SplitExp<S> split_gaussian(typename S::V a, typename S::V square) {
  using V = typename S::V;
  using T = typename S::T;
  using N = Numbers<T>;
  const V head = head_of<S>(a);
  const V shifted = square * (T(-0.5) * N::kLog2E) + N::kShifter;
  const V n = shifted - N::kShifter;
  const V half = head * T(-0.5);
  const V r = (half * head - n * N::kLn2High) + (a - head) * (half - a * T(0.5));
  return {power_of_two<S>(shifted), r - n * N::kLn2Low};
}

// x erfc(-x / sqrt 2) / 2
template <class S>
HOTLOOPS_INLINE typename S::V gelu(typename S::V x) {
  using V = typename S::V;
  const V a = at_most<S>(magnitude<S>(x), Numbers<typename S::T>::kGeluLimit);
  const V square = a * a;
  const SplitExp<S> exp = split_gaussian<S>(a, square);
  const V numerator = (a * exp.power) * mills_numerator<S>(a, square);
  return gate<S>(x, times_exp<S>(numerator, exp.rest) / mills_denominator<S>(a, square));
}

// kScale / (1 + e^(2 u)), u = sqrt(2 / pi) (a + 0.044715 a^3), 0 <= a <= kGeluTanhLimit. As in gelu
// the exponent must be right absolutely:
//
//   2 u = kCubic a (a^2 + kLinear),   a^2 + kLinear = sum + rest
//
// where sum is exact because a is split on a fixed grid. `coarse` is most of a (sum + rest). What
// it leaves out, a sum - coarse, is right only as one fused operation: see the table for what the
// baseline loses.
template <class S>
HOTLOOPS_INLINE typename S::V gelu_tanh_tail(typename S::V a) {
  using V = typename S::V;
  using N = Numbers<typename S::T>;
  const V head = (a + N::kGridShifter) - N::kGridShifter;
  const V sum = head * head + N::kLinearHigh;
  const V rest = (a - head) * (a + head) + N::kLinearLow;
  const V approximate = a * (sum + rest);
  const V coarse = head_of<S>(approximate);
  const V fine = a * rest + (a * sum - coarse);
  const V shifted = N::kShifter - approximate * N::kCubicLog2E;
  const V n = shifted - N::kShifter;
  const V reduced = (coarse + n * N::kLn2OverCubicHigh) + (fine + n * N::kLn2OverCubicLow);
  return logistic_tail<S>(times_exp<S>(power_of_two<S>(shifted), reduced * -N::kCubic));
}

// x (1 + tanh u) / 2 = x / (1 + e^(-2 u))
template <class S>
HOTLOOPS_INLINE typename S::V gelu_tanh(typename S::V x) {
  using V = typename S::V;
  const V a = at_most<S>(magnitude<S>(x), Numbers<typename S::T>::kGeluTanhLimit);
  return gate<S>(x, a * gelu_tanh_tail<S>(a));
}

}  // namespace hotloops::HOTLOOPS_ISA
