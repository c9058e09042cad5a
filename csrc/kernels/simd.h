// Vectors of one width, in the compiler's own vector extension. Leaves only.
//
// GCC and Clang lower these types to the registers of whatever ISA the including leaf is compiled
// for, so one text serves SSE2, AVX2, AVX-512 and NEON. Arithmetic, comparison (masks of -1 and 0)
// and `mask ? a : b` are operators of the language.

#pragma once

#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef HOTLOOPS_ISA
#error "a leaf defines HOTLOOPS_ISA (the namespace of its code) before it includes a leaf header"
#endif

#if defined(__has_builtin)
#if __has_builtin(__builtin_nontemporal_store)
#define HOTLOOPS_HAS_NONTEMPORAL_STORE 1
#endif
#endif

#define HOTLOOPS_INLINE [[gnu::always_inline]] inline
#define HOTLOOPS_LAMBDA_INLINE __attribute__((always_inline))

// Constraint of an asm operand that lives in a vector register.
#if defined(__x86_64__)
#define HOTLOOPS_VECTOR_OPERAND(v) "+v"(v)
#else
#define HOTLOOPS_VECTOR_OPERAND(v) "+w"(v)
#endif

namespace hotloops::HOTLOOPS_ISA {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kVectorRegisters = 32;
#else
inline constexpr int kVectorRegisters = 16;
#endif

template <int Bytes>
struct SignedOf;
template <>
struct SignedOf<1> {
  using type = int8_t;
};
template <>
struct SignedOf<2> {
  using type = int16_t;
};
template <>
struct SignedOf<4> {
  using type = int32_t;
};
template <>
struct SignedOf<8> {
  using type = int64_t;
};

// 0, 1, 2 ... N - 1, to be deduced.
template <int... I>
struct Indices {};
template <int N, int... I>
struct IndicesBelow : IndicesBelow<N - 1, N - 1, I...> {};
template <int... I>
struct IndicesBelow<0, I...> {
  using type = Indices<I...>;
};

template <class Element, int Bytes>
struct Simd {
  using T = Element;
  using Int = typename SignedOf<sizeof(T)>::type;
  typedef T V __attribute__((vector_size(Bytes)));
  typedef Int I __attribute__((vector_size(Bytes)));
  // Memory is aligned to the element only, and may be read as any type.
  typedef T Unaligned __attribute__((vector_size(Bytes), aligned(alignof(T)), may_alias));

  static constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
  static constexpr int kDepth = 1;  // values of k in an element: see PairSimd
  // See words.h.
  static constexpr bool kHead = false;
  static constexpr uint32_t kFlip = 0;

  HOTLOOPS_INLINE static V load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
  HOTLOOPS_INLINE static void store(T* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }
  HOTLOOPS_INLINE static V splat(T x) { return x - V{}; }

  // The smaller and the larger of floating-point numbers; y where one is NaN. (GCC makes two
  // instructions of the operators where AVX-512 has one. It takes the masks away, which keep it
  // from warning of its own headers.)
  HOTLOOPS_INLINE static V smaller(V x, V y) {
#if defined(__AVX512F__)
    if constexpr (Bytes == 64 && sizeof(T) == 4) {
      const auto a = reinterpret_cast<__m512>(x);
      const auto b = reinterpret_cast<__m512>(y);
      return reinterpret_cast<V>(_mm512_mask_min_ps(b, 0xffff, a, b));
    } else if constexpr (Bytes == 64) {
      const auto a = reinterpret_cast<__m512d>(x);
      const auto b = reinterpret_cast<__m512d>(y);
      return reinterpret_cast<V>(_mm512_mask_min_pd(b, 0xff, a, b));
    }
#endif
    return x < y ? x : y;
  }
  HOTLOOPS_INLINE static V larger(V x, V y) {
#if defined(__AVX512F__)
    if constexpr (Bytes == 64 && sizeof(T) == 4) {
      const auto a = reinterpret_cast<__m512>(x);
      const auto b = reinterpret_cast<__m512>(y);
      return reinterpret_cast<V>(_mm512_mask_max_ps(b, 0xffff, a, b));
    } else if constexpr (Bytes == 64) {
      const auto a = reinterpret_cast<__m512d>(x);
      const auto b = reinterpret_cast<__m512d>(y);
      return reinterpret_cast<V>(_mm512_mask_max_pd(b, 0xff, a, b));
    }
#endif
    return x > y ? x : y;
  }

  // The first n values at p and those of `rest` behind them; nothing else is read. 0 < n <= lanes.
  HOTLOOPS_INLINE static V load_first(int n, const T* p, V rest) {
#if defined(__AVX512F__)
    if constexpr (Bytes == 64) {
      const auto mask = (1U << n) - 1;
      if constexpr (sizeof(T) == 4) {
        return reinterpret_cast<V>(
            _mm512_mask_loadu_ps(reinterpret_cast<__m512>(rest), static_cast<__mmask16>(mask), p));
      } else {
        return reinterpret_cast<V>(
            _mm512_mask_loadu_pd(reinterpret_cast<__m512d>(rest), static_cast<__mmask8>(mask), p));
      }
    }
#endif
#if defined(__AVX__)
    if constexpr (Bytes == 32) {
      const I mask = iota() < n;
      if constexpr (sizeof(T) == 4) {
        return mask ? reinterpret_cast<V>(_mm256_maskload_ps(reinterpret_cast<const float*>(p),
                                                             reinterpret_cast<__m256i>(mask)))
                    : rest;
      } else {
        return mask ? reinterpret_cast<V>(_mm256_maskload_pd(reinterpret_cast<const double*>(p),
                                                             reinterpret_cast<__m256i>(mask)))
                    : rest;
      }
    }
#endif
    for (int i = 0; i < n; ++i) rest[i] = p[i];
    return rest;
  }

  // Stores the first n values of v; nothing else is written. 0 < n <= lanes.
  HOTLOOPS_INLINE static void store_first(int n, T* p, V v) {
#if defined(__AVX512F__)
    if constexpr (Bytes == 64) {
      const auto mask = (1U << n) - 1;
      if constexpr (sizeof(T) == 4) {
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), reinterpret_cast<__m512>(v));
      } else {
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), reinterpret_cast<__m512d>(v));
      }
      return;
    }
#endif
#if defined(__AVX__)
    if constexpr (Bytes == 32) {
      const I mask = iota() < n;
      if constexpr (sizeof(T) == 4) {
        _mm256_maskstore_ps(reinterpret_cast<float*>(p), reinterpret_cast<__m256i>(mask),
                            reinterpret_cast<__m256>(v));
      } else {
        _mm256_maskstore_pd(reinterpret_cast<double*>(p), reinterpret_cast<__m256i>(mask),
                            reinterpret_cast<__m256d>(v));
      }
      return;
    }
#endif
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }

  // The 16 bytes at row(0), row(1) ..., side by side.
  template <class F>
  HOTLOOPS_INLINE static V load_lanes(F row) {
#if defined(__x86_64__)
    [[maybe_unused]] const auto lane = [=](int i) HOTLOOPS_LAMBDA_INLINE {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row(i)));
    };
#endif
#if defined(__AVX512F__)
    if constexpr (Bytes == 64) {
      __m512i v = _mm512_castsi128_si512(lane(0));
      v = _mm512_inserti32x4(v, lane(1), 1);
      v = _mm512_inserti32x4(v, lane(2), 2);
      return reinterpret_cast<V>(_mm512_inserti32x4(v, lane(3), 3));
    }
#endif
#if defined(__AVX2__)
    if constexpr (Bytes == 32) {
      return reinterpret_cast<V>(
          _mm256_inserti128_si256(_mm256_castsi128_si256(lane(0)), lane(1), 1));
    }
#endif
    return load(reinterpret_cast<const T*>(row(0)));
  }

#if defined(__AVX512F__)
  // The 32 bytes at low and those at high, side by side. (GCC would make a shuffle of it.)
  HOTLOOPS_INLINE static V load_halves(const void* low, const void* high)
    requires(Bytes == 64)
  {
    const __m256i first = _mm256_loadu_si256(static_cast<const __m256i*>(low));
    const __m256i second = _mm256_loadu_si256(static_cast<const __m256i*>(high));
    return reinterpret_cast<V>(
        _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(first), second, 1));
  }
#endif

  // Of a's and, behind them, b's quarters of 16 bytes, every second one: from the first on, or from
  // the second.
  HOTLOOPS_INLINE static V even_quarters(V a, V b) { return quarters<0>(a, b, Lanes{}); }
  HOTLOOPS_INLINE static V odd_quarters(V a, V b) { return quarters<kInLane>(a, b, Lanes{}); }

  // Of the values of a and, behind them, of b, those with the indices. Only AVX-512 does it in one
  // instruction for every index.
#if defined(__AVX512F__)
  static constexpr bool kPermutes = Bytes == 64;
  HOTLOOPS_INLINE static V permute(V a, V b, I index) {
    const auto i = reinterpret_cast<__m512i>(index);
    if constexpr (sizeof(T) == 4) {
      return reinterpret_cast<V>(
          _mm512_permutex2var_ps(reinterpret_cast<__m512>(a), i, reinterpret_cast<__m512>(b)));
    } else {
      return reinterpret_cast<V>(
          _mm512_permutex2var_pd(reinterpret_cast<__m512d>(a), i, reinterpret_cast<__m512d>(b)));
    }
  }
#else
  static constexpr bool kPermutes = false;
#endif

  HOTLOOPS_INLINE static V multiply_add(V a, V b, V sums) { return a * b + sums; }

  // In each 16 bytes, the first halves of a's and b's values by turns; the second halves. Shuffled
  // as integers: of 32 bytes, Intel's CPUs take two such a cycle, and one of floating-point
  // numbers.
  HOTLOOPS_INLINE static V zip_low(V a, V b) { return zip<0>(a, b, Lanes{}); }
  HOTLOOPS_INLINE static V zip_high(V a, V b) { return zip<kInLane / 2>(a, b, Lanes{}); }

  // Each pair of values the other way round.
  HOTLOOPS_INLINE static V swap_pairs(V v) {
    if constexpr (lanes == 16) {
      return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    } else if constexpr (lanes == 8) {
      return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
    } else if constexpr (lanes == 4) {
      return __builtin_shufflevector(v, v, 1, 0, 3, 2);
    } else {
      return __builtin_shufflevector(v, v, 1, 0);
    }
  }

  // 0, 1, 2 ...
  HOTLOOPS_INLINE static I iota() {
    I index;
    for (int i = 0; i < lanes; ++i) index[i] = i;
    return index;
  }

  // Stores past the caches; p is aligned to the vector. Only Clang has a word for it in the
  // language; where there is none and no intrinsic either, this is an ordinary store.
  HOTLOOPS_INLINE static void stream(T* p, V v) {
#if defined(HOTLOOPS_HAS_NONTEMPORAL_STORE)
    __builtin_nontemporal_store(v, reinterpret_cast<V*>(p));
#else
#if defined(__AVX512F__)
    if constexpr (Bytes == 64) {
      return _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
    }
#endif
#if defined(__AVX__)
    if constexpr (Bytes == 32) {
      return _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
    }
#endif
#if defined(__x86_64__)
    if constexpr (Bytes == 16) return _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)v);
#endif
    store(p, v);
#endif
  }

  // One instruction, whatever it looks like: -fno-math-errno allows for it.
  HOTLOOPS_INLINE static V sqrt(V v) {
    V root;
    for (int i = 0; i < lanes; ++i) {
      if constexpr (sizeof(T) == 4) root[i] = __builtin_sqrtf(v[i]);
      if constexpr (sizeof(T) == 8) root[i] = __builtin_sqrt(v[i]);
    }
    return root;
  }

 private:
  static constexpr int kInLane = 16 / static_cast<int>(sizeof(T));
  using Lanes = typename IndicesBelow<lanes>::type;

  template <int First, int... At>
  HOTLOOPS_INLINE static V zip(V a, V b, Indices<At...>) {
    const I zipped = __builtin_shufflevector(
        reinterpret_cast<I>(a), reinterpret_cast<I>(b),
        (At / kInLane * kInLane + First + At % kInLane / 2 + At % 2 * lanes)...);
    return reinterpret_cast<V>(zipped);
  }

  template <int First, int... At>
  HOTLOOPS_INLINE static V quarters(V a, V b, Indices<At...>) {
    return __builtin_shufflevector(a, b, (First + At / kInLane * 2 * kInLane + At % kInLane)...);
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
