// Rows of 32 narrow values, interleaved: two rows of 16 bits or four of 8 become two vectors of 16
// columns, whose values lie side by side in 32 bits. Leaves with AVX-512 only.

#pragma once

#include <immintrin.h>

#include "kernels/elements.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

inline constexpr int kInterleaved = 32;  // values in a row

// A row, of elements of so many bytes, in four parts, each of four columns of the first vector and
// four of the second one, at the beginning of 16 bytes.
template <int Bytes>
HOTLOOPS_INLINE __m512i spread(__m512i row) {
  if constexpr (Bytes == 2) {
    typedef uint64_t Places __attribute__((vector_size(64)));
    constexpr Places kPlaces = {0, 4, 1, 5, 2, 6, 3, 7};
    return _mm512_maskz_permutexvar_epi64(static_cast<__mmask8>(kEachLane),
                                          reinterpret_cast<__m512i>(kPlaces), row);
  } else {
    typedef uint32_t Places __attribute__((vector_size(64)));
    constexpr Places kPlaces = {0, 4, 0, 0, 1, 5, 0, 0, 2, 6, 0, 0, 3, 7, 0, 0};
    return _mm512_maskz_permutexvar_epi32(kEachLane, reinterpret_cast<__m512i>(kPlaces), row);
  }
}

// The columns of the rows that row(0), row(1) ... are.
template <int Bytes>
struct InterleavedRows {
  __m512i left, right;

  template <class F>
  HOTLOOPS_INLINE explicit InterleavedRows(F row) {
    const auto pairs = [&](int i) HOTLOOPS_LAMBDA_INLINE {
      if constexpr (Bytes == 2)
        return spread<2>(row(i));
      else
        return _mm512_unpacklo_epi8(spread<Bytes>(row(2 * i)), spread<Bytes>(row(2 * i + 1)));
    };
    const __m512i first = pairs(0);
    const __m512i second = pairs(1);
    left = _mm512_unpacklo_epi16(first, second);
    right = _mm512_unpackhi_epi16(first, second);
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
