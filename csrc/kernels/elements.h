// Elementwise kernels on rows: one text for every operation, type and ISA.
//
// An operand is read through a *format*: how its elements lie in memory (`T`) and as what vector
// they are computed (`V`). Plain numbers are their own vectors (Simd); half types are widened to
// float32 in registers; truth values, one byte each, are masks as wide as the elements they choose
// among. All formats of one kernel have the same number of lanes.
//
// A stretched operand is not copied into a row of its own: one vector of it is read again and
// again. So a kernel is one loop, whichever of its operands are stretched, and each load costs what
// a load from L1 does.

#pragma once

#include "element.h"
#include "kernels/activations.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

// ---- Formats
// -------------------------------------------------------------------------------------

// Vectors of as many elements as S has.
template <class Element, class S>
using As = typename Simd<Element, static_cast<int>(sizeof(Element)) * S::lanes>::V;

// Truth values beside the elements of S.
//
// GCC 12 converts a vector to elements of more than twice the width, or less than half, one by one
// (but for AVX-512's narrowing). So it is done in steps; where all bytes fit one element, each
// element gets all of them and keeps its own.
template <class S>
struct Flags {
  using T = uint8_t;
  using V = typename S::I;
  using Bytes = As<int8_t, S>;
  static constexpr int lanes = S::lanes;
  static constexpr int kWidth = sizeof(typename S::T);

  // Any byte but 0 is true, as in C.
  HOTLOOPS_INLINE static V load(const T* p) {
    if constexpr (kWidth == 8) {
      uint64_t all = 0;
      __builtin_memcpy(&all, p, lanes);
      As<uint64_t, S> own;
      for (int i = 0; i < lanes; ++i) own[i] = uint64_t{0xff} << (8 * i);
      return (Simd<uint64_t, 8 * lanes>::splat(all) & own) != 0;
    } else {
      Bytes bytes;
      __builtin_memcpy(&bytes, p, sizeof bytes);
      if constexpr (kWidth == 4) {
        return __builtin_convertvector(__builtin_convertvector(bytes, As<int16_t, S>), V) != 0;
      } else {
        return __builtin_convertvector(bytes, V) != 0;
      }
    }
  }

  HOTLOOPS_INLINE static void store(T* p, V mask) {
    Bytes bytes;
    if constexpr (kWidth == 4 && sizeof(V) < 64) {
      bytes = __builtin_convertvector(__builtin_convertvector(mask, As<int16_t, S>), Bytes);
    } else {
      bytes = __builtin_convertvector(mask, Bytes);
    }
    bytes &= 1;
    __builtin_memcpy(p, &bytes, sizeof bytes);
  }
};

// float32 vectors of S for 16-bit floating-point numbers; Encoding has the conversions.
template <class S, template <class> class Encoding>
struct Half {
  using T = uint16_t;
  using V = typename S::V;
  using I = typename S::I;
  static constexpr int lanes = S::lanes;
  using Wide = As<uint32_t, S>;
  using Narrow = As<T, S>;

  HOTLOOPS_INLINE static V load(const T* p) {
    Narrow bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return Encoding<Half>::widen(bits);
  }
  HOTLOOPS_INLINE static void store(T* p, V values) {
    const Narrow bits = Encoding<Half>::narrow(values);
    __builtin_memcpy(p, &bits, sizeof bits);
  }
};

// bfloat16: the upper half of a float32.
template <class H>
struct BFloat16 {
  using V = typename H::V;
  using Wide = typename H::Wide;
  using Narrow = typename H::Narrow;

  HOTLOOPS_INLINE static V widen(Narrow values) {
    return reinterpret_cast<V>(__builtin_convertvector(values, Wide) << 16);
  }
  // To nearest, ties to even. The sum would carry a NaN's payload into infinity: it is cut instead.
  HOTLOOPS_INLINE static Narrow narrow(V values) {
    const Wide bits = reinterpret_cast<Wide>(values);
    const Wide magnitude = bits & 0x7fffffff;
    const Wide rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const Wide half = (magnitude > 0x7f800000 ? bits | 0x400000 : rounded) >> 16;
    return __builtin_convertvector(half, Narrow);
  }
};

// For conversions that zero what is masked off: GCC 12 warns of those without a mask.
#if defined(__AVX512F__)
inline constexpr __mmask16 kEachLane = 0xffff;
#endif

// IEEE binary16: 5 bits of exponent, of bias 15 where float32 has 127, and 10 of significand.
template <class H>
struct Float16 {
  using V = typename H::V;
  using I = typename H::I;
  using Wide = typename H::Wide;
  using Narrow = typename H::Narrow;
  static constexpr uint32_t kBias = (127 - 15) << 23;
  static constexpr uint32_t kInfinity = 31 << 23;  // and above it NaN; in place, before the bias
  static constexpr uint32_t kNormal = 1 << 23;

  HOTLOOPS_INLINE static V widen(Narrow values) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) {
      return reinterpret_cast<V>(
          _mm512_maskz_cvtph_ps(kEachLane, reinterpret_cast<__m256i>(values)));
    }
#endif
    const Wide bits = __builtin_convertvector(values, Wide);
    const Wide magnitude = (bits & 0x7fff) << 13;
    const Wide normal = magnitude + kBias;
    const Wide special = normal + kBias;
    const I significand = reinterpret_cast<I>(bits & 0x3ff);
    const V subnormal = __builtin_convertvector(significand, V) * 0x1p-24f;
    const Wide finite = magnitude < kNormal ? reinterpret_cast<Wide>(subnormal) : normal;
    const Wide unsigned_value = magnitude < kInfinity ? finite : special;
    return reinterpret_cast<V>(unsigned_value | (bits & 0x8000) << 16);
  }

  // To nearest, ties to even. A subnormal is rounded by adding 0.5, whose last place is float16's.
  HOTLOOPS_INLINE static Narrow narrow(V values) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) {
      return reinterpret_cast<Narrow>(_mm512_maskz_cvtps_ph(
          kEachLane, reinterpret_cast<__m512>(values), _MM_FROUND_TO_NEAREST_INT));
    }
#endif
    const Wide bits = reinterpret_cast<Wide>(values);
    const Wide magnitude = bits & 0x7fffffff;
    const Wide normal = (magnitude - kBias + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    const V shifted = reinterpret_cast<V>(magnitude) + 0.5f;
    const Wide subnormal = reinterpret_cast<Wide>(shifted) - 0x3f000000;
    const Wide finite = magnitude < kNormal + kBias ? subnormal : normal;
    const Wide quiet_nan = (magnitude >> 13 & 0x3ff) | 0x7e00;
    const Wide special = magnitude > 0x7f800000 ? quiet_nan : Wide{} + 0x7c00;
    const Wide half = (magnitude < kInfinity + kBias ? finite : special) | (bits >> 16 & 0x8000);
    return __builtin_convertvector(half, Narrow);
  }
};

// ---- Rows
// ----------------------------------------------------------------------------------------

// Operand of a kernel on its way through a row: the next element, and how far to go for a vector.
template <class F>
struct Input {
  using T = typename F::T;

  const T* next;
  int64_t step;  // 0: stretched, and `next` is a whole vector

  [[nodiscard]] HOTLOOPS_INLINE typename F::V load() const { return F::load(next); }
  // The last vector of n elements, at least a vector.
  [[nodiscard]] HOTLOOPS_INLINE typename F::V load_end(int64_t n) const {
    return F::load(step == 0 ? next : next + (n - F::lanes));
  }
  // All of n elements, less than a vector; nothing beyond them is read.
  [[nodiscard]] HOTLOOPS_INLINE typename F::V load_few(int64_t n) const {
    if (step == 0) return load();
    T few[F::lanes] = {};
    for (int64_t i = 0; i < n; ++i) few[i] = next[i];
    return F::load(few);
  }
};

// `vector` is where a stretched element is repeated.
template <class F>
HOTLOOPS_INLINE Input<F> input(const Row& row, int array, typename F::T (&vector)[F::lanes]) {
  const auto* data = reinterpret_cast<const typename F::T*>(row.data[array]);
  if (!row.stretched[array]) return {data, F::lanes};
  for (typename F::T& element : vector) element = *data;
  return {vector, 0};
}

// y = f(x...) over n elements; `store` takes an address, aligned to what a vector becomes in
// memory, and a vector.
//
//   y:   |begin ... |          |          |   ... end|
//           |  middle  |  middle  |  middle  |
//
// The first vector and the last one overlap the others, which are aligned: measured on AVX-512,
// half a vector's misalignment costs 7 % even where memory is the limit. They are loaded before
// anything is stored and stored last, for y may be one of x.
template <class Out, class Store, class F, class... Formats>
HOTLOOPS_INLINE void map_vectors(int64_t n, typename Out::T* y, Store store, F f,
                                 Input<Formats>... x) {
  using T = typename Out::T;
  if (n < Out::lanes) {
    T few[Out::lanes];
    Out::store(few, f(x.load_few(n)...));
    for (int64_t i = 0; i < n; ++i) y[i] = few[i];
    return;
  }
  constexpr uintptr_t kBytes = Out::lanes * sizeof(T);
  const auto skipped = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(y) % kBytes / sizeof(T));
  const auto begin = f(x.load()...);
  const auto end = f(x.load_end(n)...);
  ((x.next += x.step == 0 ? 0 : skipped), ...);
  T* const last = y + (n - Out::lanes);
  for (T* to = y + skipped; to <= last; to += Out::lanes) {
    store(to, f(x.load()...));
    ((x.next += x.step), ...);
  }
  if (skipped != 0) Out::store(y, begin);
  Out::store(last, end);
}

// Only plain numbers can be streamed: other results are smaller than their operands, and gain
// little.
template <class Format>
inline constexpr bool kStreams = false;
template <class T, int Bytes>
inline constexpr bool kStreams<Simd<T, Bytes>> = true;

template <bool Stream, class Out, class F, class... Formats>
HOTLOOPS_INLINE bool run_row(const Row& row, int result, F f, Input<Formats>... x) {
  auto* y = reinterpret_cast<typename Out::T*>(row.data[result]);
  if constexpr (Stream && kStreams<Out>) {
    const auto stream = [](auto* to, auto v) HOTLOOPS_LAMBDA_INLINE { Out::stream(to, v); };
    map_vectors<Out>(row.n, y, stream, f, x...);
#if defined(__x86_64__)
    _mm_sfence();  // streaming stores are not ordered before what announces the result
#endif
  } else {
    const auto store = [](auto* to, auto v) HOTLOOPS_LAMBDA_INLINE { Out::store(to, v); };
    map_vectors<Out>(row.n, y, store, f, x...);
  }
  return true;
}

// ---- Operations
// ----------------------------------------------------------------------------------

struct Relu {
  template <class V>
  HOTLOOPS_INLINE V operator()(V x) const {
    return x <= 0 ? V{} : x;  // in this order NaN stays
  }
};
struct Multiply {
  template <class V>
  HOTLOOPS_INLINE V operator()(V a, V b) const {
    return a * b;
  }
};
struct Add {
  template <class V>
  HOTLOOPS_INLINE V operator()(V a, V b) const {
    return a + b;
  }
};
struct Subtract {
  template <class V>
  HOTLOOPS_INLINE V operator()(V a, V b) const {
    return a - b;
  }
};
struct Greater {
  template <class V>
  HOTLOOPS_INLINE auto operator()(V a, V b) const {
    return a > b;
  }
};
struct Where {
  template <class I, class V>
  HOTLOOPS_INLINE V operator()(I condition, V x, V y) const {
    return condition ? x : y;
  }
};
struct WhereGreater {
  template <class Compared, class V>
  HOTLOOPS_INLINE V operator()(Compared a, Compared b, V x, V y) const {
    // Half types are compared as float32: their masks are twice as wide as what is chosen.
    return __builtin_convertvector(a > b, V) ? x : y;
  }
};

template <bool Stream, class Out, class F, class In>
bool unary(const Row& row) {
  typename In::T x[In::lanes];
  return run_row<Stream, Out>(row, 1, F{}, input<In>(row, 0, x));
}

template <bool Stream, class Out, class F, class In>
bool binary(const Row& row) {
  typename In::T a[In::lanes];
  typename In::T b[In::lanes];
  return run_row<Stream, Out>(row, 2, F{}, input<In>(row, 0, a), input<In>(row, 1, b));
}

template <bool Stream, class Out>
bool where(const Row& row) {
  typename Flags<Out>::T condition[Out::lanes];
  typename Out::T x[Out::lanes];
  typename Out::T y[Out::lanes];
  return run_row<Stream, Out>(row, 3, Where{}, input<Flags<Out>>(row, 0, condition),
                              input<Out>(row, 1, x), input<Out>(row, 2, y));
}

template <bool Stream, class Out, class In>
bool where_greater(const Row& row) {
  typename In::T a[In::lanes];
  typename In::T b[In::lanes];
  typename Out::T x[Out::lanes];
  typename Out::T y[Out::lanes];
  return run_row<Stream, Out>(row, 4, WhereGreater{}, input<In>(row, 0, a), input<In>(row, 1, b),
                              input<Out>(row, 2, x), input<Out>(row, 3, y));
}

template <class In>
bool all_greater(const Row& row) {
  typename In::T a_vector[In::lanes];
  typename In::T b_vector[In::lanes];
  Input<In> a = input<In>(row, 0, a_vector);
  Input<In> b = input<In>(row, 1, b_vector);
  int64_t n = row.n;
  typename In::I all = ~typename In::I{};
  for (; n >= In::lanes; n -= In::lanes) {
    all &= a.load() > b.load();
    a.next += a.step;
    b.next += b.step;
  }
  uint8_t flags[In::lanes];
  Flags<In>::store(flags, all);
  bool result = true;
  for (const uint8_t flag : flags) result &= flag != 0;
  Flags<In>::store(flags, a.load_few(n) > b.load_few(n));
  for (int64_t i = 0; i < n; ++i) result &= flags[i] != 0;
  return result;
}

// ---- Tables
// --------------------------------------------------------------------------------------

// `Sum` is the format for arithmetic, `In` the one for comparing, `Bits` that of elements which are
// only moved, as many as there are lanes in `In`.
template <bool Stream, class Sum, class In, class Bits>
constexpr void set_kernels(ElementKernel (&kernels)[kElementOps]) {
  const auto set = [&](ElementOp op, ElementKernel kernel) {
    kernels[static_cast<int>(op)] = kernel;
  };
  set(ElementOp::relu, &unary<Stream, In, Relu, In>);
  set(ElementOp::multiply, &binary<Stream, Sum, Multiply, Sum>);
  set(ElementOp::add, &binary<Stream, Sum, Add, Sum>);
  set(ElementOp::subtract, &binary<Stream, Sum, Subtract, Sum>);
  set(ElementOp::greater, &binary<false, Flags<In>, Greater, In>);
  set(ElementOp::where_greater, &where_greater<Stream, Bits, In>);
  set(ElementOp::all_greater, &all_greater<In>);
}

template <class Sum, class In, class Bits>
constexpr void set_numbers(ElementKernels& kernels) {
  set_kernels<false, Sum, In, Bits>(kernels.run);
  set_kernels<true, Sum, In, Bits>(kernels.stream);
}

template <class Bits>
constexpr void set_where(ElementKernels& kernels) {
  kernels.run[static_cast<int>(ElementOp::where)] = &where<false, Bits>;
  kernels.stream[static_cast<int>(ElementOp::where)] = &where<true, Bits>;
}

// Integers are added and multiplied unsigned: they wrap.
template <int Bytes>
constexpr void set_element_kernels(ElementKernels (&kernels)[kElementTypes]) {
  using F32 = Simd<float, Bytes>;
  using F64 = Simd<double, Bytes>;
  using I32 = Simd<int32_t, Bytes>;
  using I64 = Simd<int64_t, Bytes>;
  using HalfBits = Simd<int16_t, Bytes / 2>;
  using F16 = Half<F32, Float16>;
  using BF16 = Half<F32, BFloat16>;
  const auto of = [&](ElementType type) -> ElementKernels& {
    return kernels[static_cast<int>(type)];
  };
  set_numbers<F32, F32, I32>(of(ElementType::f32));
  set_numbers<F64, F64, I64>(of(ElementType::f64));
  set_numbers<Simd<uint32_t, Bytes>, I32, I32>(of(ElementType::i32));
  set_numbers<Simd<uint64_t, Bytes>, I64, I64>(of(ElementType::i64));
  set_numbers<F16, F16, HalfBits>(of(ElementType::f16));
  set_numbers<BF16, BF16, HalfBits>(of(ElementType::bf16));
  set_where<I32>(of(ElementType::f32));
  set_where<I64>(of(ElementType::f64));
  set_where<I32>(of(ElementType::i32));
  set_where<I64>(of(ElementType::i64));
  set_where<Simd<int16_t, Bytes>>(of(ElementType::f16));
  set_where<Simd<int16_t, Bytes>>(of(ElementType::bf16));
  set_where<Simd<int8_t, Bytes>>(of(ElementType::boolean));
}

}  // namespace hotloops::HOTLOOPS_ISA
