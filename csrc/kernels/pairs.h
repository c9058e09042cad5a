// Integers of 8 and 16 bits, two values of k at a time: x86 multiplies pairs of 16 bits and adds up
// each pair's two products in one instruction, with VNNI also the sum before. Sums are modulo 2^32,
// and the same in any order.

#pragma once

#include "kernel.h"
#include "kernels/narrow.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

// Vectors whose elements are pairs for multiply_add, and sums otherwise.
template <int Bytes>
struct PairSimd : Simd<uint32_t, Bytes> {
  using V = typename Simd<uint32_t, Bytes>::V;
  using I = typename Simd<uint32_t, Bytes>::I;
  using Shorts = Simd<int16_t, Bytes>;
  static constexpr int kDepth = 2;

  HOTLOOPS_INLINE static V multiply_add(V a, V b, V sums) {
#if defined(__AVX512VNNI__)
    if constexpr (Bytes == 64) {
      return reinterpret_cast<V>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sums),
                                                     reinterpret_cast<__m512i>(a),
                                                     reinterpret_cast<__m512i>(b)));
    }
#endif
#if defined(__AVX512BW__)
    if constexpr (Bytes == 64) {
      return sums + reinterpret_cast<V>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a),
                                                          reinterpret_cast<__m512i>(b)));
    }
#endif
#if defined(__AVX2__)
    if constexpr (Bytes == 32) {
      return sums + reinterpret_cast<V>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a),
                                                          reinterpret_cast<__m256i>(b)));
    }
#endif
#if defined(__x86_64__)
    if constexpr (Bytes == 16) {
      return sums + reinterpret_cast<V>(
                        _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
    }
#endif
    const I odd = (reinterpret_cast<I>(a) >> 16) * (reinterpret_cast<I>(b) >> 16);
    const I even = (reinterpret_cast<I>(a << 16) >> 16) * (reinterpret_cast<I>(b << 16) >> 16);
    return sums + reinterpret_cast<V>(even) + reinterpret_cast<V>(odd);
  }

  // The next values, widened to 16 bits: as many pairs as there are sums.
  template <class T>
  HOTLOOPS_INLINE static V load_pairs(const T* p) {
    typedef T Values __attribute__((vector_size(Shorts::lanes * sizeof(T))));
    Values values;
    __builtin_memcpy(&values, p, sizeof values);
    return reinterpret_cast<V>(__builtin_convertvector(values, typename Shorts::V));
  }
};

// Panels of pairs for the microkernels M. What an odd number of values of k leaves of the last pair
// is 0.
template <class M, class A, ElementType AType, class B, ElementType BType>
struct PairPanels {
  static void pack_a(const Piece& piece) {
    constexpr int64_t kPitch = 2 * panel_pitch(DType::i32);
    auto* to = static_cast<int16_t*>(piece.panel) + piece.row * kPitch + piece.col;
    in_rows<A, AType>(piece, [&](const A* rows, int64_t stride, int64_t count) {
      for (int64_t i = 0; i < count; ++i, rows += stride, to += kPitch) {
        for (int64_t k = 0; k < piece.cols; ++k) {
          to[k] = rows[k];  // NOLINT(bugprone-signed-char-misuse): a number
        }
        if (piece.cols % 2 != 0) to[piece.cols] = 0;
      }
    });
  }

  static void pack_b(const Piece& piece) {
    auto* to = static_cast<uint32_t*>(piece.panel);
    in_rows<B, BType>(piece, [&](const B* rows, int64_t stride, int64_t count) {
      for (int64_t k = 0; k < count; k += 2, rows += 2 * stride, to += M::kNr) {
        if (k + 1 < count) {
          for (int64_t j = 0; j < piece.cols; ++j) to[j] = pair(rows[j], rows[j + stride]);
        } else {
          for (int64_t j = 0; j < piece.cols; ++j) to[j] = pair(rows[j], 0);
        }
      }
    });
  }

  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    B* to = static_cast<B*>(values);
    for (int64_t k = 0; k < rows; ++k, to += stride) {
      const auto* from = static_cast<const uint32_t*>(panel) + k / 2 * M::kNr;
      for (int64_t j = 0; j < cols; ++j) to[j] = static_cast<B>(from[j] >> (k % 2 * 16));
    }
  }

 private:
  static uint32_t pair(int16_t even, int16_t odd) {
    return static_cast<uint16_t>(even) | static_cast<uint32_t>(odd) << 16;
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
