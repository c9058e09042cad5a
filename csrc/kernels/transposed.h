// Rows of contiguous values, transposed in registers.
//
// 16 bytes of each of the rows are loaded straight into their place in a vector, so that only the
// transposition within 16 bytes is left to shuffles: two for each vector of float32, one of
// float64. Where shuffles are cheaper than loads, it is 32 bytes and one shuffle more.

#pragma once

#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

// The transpose of each 16 bytes of as many vectors as they have values: 4 x 4 or 2 x 2.
template <class S>
HOTLOOPS_INLINE void transpose_lanes(typename S::V* x) {
  using V = typename S::V;
  if constexpr (sizeof(typename S::T) == 8) {
    const V low = S::zip_low(x[0], x[1]);
    x[1] = S::zip_high(x[0], x[1]);
    x[0] = low;
  } else {
    using Pairs = Simd<double, sizeof(V)>;
    using P = typename Pairs::V;
    const P low_01 = reinterpret_cast<P>(S::zip_low(x[0], x[1]));
    const P low_23 = reinterpret_cast<P>(S::zip_low(x[2], x[3]));
    const P high_01 = reinterpret_cast<P>(S::zip_high(x[0], x[1]));
    const P high_23 = reinterpret_cast<P>(S::zip_high(x[2], x[3]));
    x[0] = reinterpret_cast<V>(Pairs::zip_low(low_01, low_23));
    x[1] = reinterpret_cast<V>(Pairs::zip_high(low_01, low_23));
    x[2] = reinterpret_cast<V>(Pairs::zip_low(high_01, high_23));
    x[3] = reinterpret_cast<V>(Pairs::zip_high(high_01, high_23));
  }
}

// How far rows are from the first of them: so many bytes apart. Odd multiples only, which an
// address adds once, twice or four times: few enough for registers.
class RowOffsets {
 public:
  HOTLOOPS_INLINE explicit RowOffsets(int64_t stride) {
#pragma GCC unroll 8
    for (int i = 0; i < kOdd; ++i) {
      odd_[i] = (2 * i + 1) * stride;
      asm("" : "+r"(odd_[i]));  // so that GCC keeps them, and computes none from another
    }
  }
  HOTLOOPS_INLINE int64_t operator[](int row) const {
    if (row == 0) return 0;
    const int twos = __builtin_ctz(row);
    return odd_[row >> twos >> 1] << twos;
  }

 private:
  static constexpr int kOdd = 8;
  int64_t odd_[kOdd];
};

// The same where few of them are needed.
struct EvenOffsets {
  int64_t stride;
  HOTLOOPS_INLINE int64_t operator[](int row) const { return row * stride; }
};

// The same of each lane's row by itself: several may be the same one.
template <class S>
struct LaneOffsets {
  int64_t bytes[S::lanes];
  HOTLOOPS_INLINE int64_t operator[](int lane) const { return bytes[lane]; }
};

// The next bytes of S::lanes rows: x[e] has each row's e-th value.
template <class S, int RowBytes = 16>
struct Transposed {
  using V = typename S::V;
  static constexpr int kDepth = RowBytes / sizeof(typename S::T);

  V x[kDepth];

  HOTLOOPS_INLINE Transposed(const void* p, int64_t stride) : Transposed(p, EvenOffsets{stride}) {}
  template <class Offsets>
  HOTLOOPS_INLINE Transposed(const void* p, const Offsets& offsets) {
    constexpr int kLane = 16 / sizeof(typename S::T);
    static_assert(RowBytes == 16 || (RowBytes == 32 && sizeof(V) == 64));
    const char* from = static_cast<const char*>(p);
#pragma GCC unroll 4
    for (int i = 0; i < kLane; ++i) {
      const auto row = [&](int lane)
                           HOTLOOPS_LAMBDA_INLINE { return from + offsets[i + lane * kLane]; };
      if constexpr (RowBytes == 16) {
        x[i] = S::load_lanes(row);
      } else {
        const V low = S::load_halves(row(0), row(1));
        const V high = S::load_halves(row(2), row(3));
        x[i] = S::even_quarters(low, high);
        x[i + kLane] = S::odd_quarters(low, high);
      }
    }
#pragma GCC unroll 2
    for (int i = 0; i < kDepth; i += kLane) transpose_lanes<S>(x + i);
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
