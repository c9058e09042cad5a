// Integers of 16 and 32 bits by the unit's products of bytes.
//
// x = sum of x_i 2^(8 i), with bytes x_i; a b = sum of a_i b_j 2^(8 (i + j)). Products of one shift
// i + j are summed in an accumulator of their own, modulo 2^32, and the accumulators are put
// together when they are stored. Modulo 2^32 nothing is left of a shift of four bytes or more, so
// that ten of sixteen products remain for 32 bits, all of them unsigned. For 16 bits, whose exact
// sums may be wanted, there are four products, and the upper bytes are signed.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "kernels/tile_panels.h"
#include "kernels/tile_unit.h"

namespace hotloops::HOTLOOPS_ISA {

// The bytes of integers, each a piece of its own.
template <class Element, ElementType Type>
struct SlicedForm {
  using T = Element;
  static constexpr ElementType kType = Type;
  static constexpr int kStep = kTileRowBytes;
  static constexpr int kPieces = static_cast<int>(sizeof(T));
  static constexpr int kTiles = 1;

  explicit SlicedForm(const Piece&) {}
  void note(const Piece&) {}

  HOTLOOPS_INLINE void a_row(const T* row, int n, char* to) {
    for (int k = 0; k < kStep; k += 16, to += 16) {
      const U values = load(row + k, n - k);
#pragma GCC unroll 4
      for (int i = 0; i < kPieces; ++i) {
        const __m128i bytes =
            _mm512_maskz_cvtepi32_epi8(kEachLane, reinterpret_cast<__m512i>(values >> (8 * i)));
        __builtin_memcpy(to + i * kTileBytes, &bytes, sizeof bytes);
      }
    }
  }

  HOTLOOPS_INLINE void b_row(const T* rows, int64_t stride, int depth, int p, int cols, char* to) {
    U values[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int k = 4 * p + q;
      __builtin_prefetch(rows + k * stride + kTileCols);
      values[q] = load(rows + k * stride, k < depth ? cols : 0);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPieces; ++i) {
      U group = {};
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) group |= (values[q] >> (8 * i) & 0xff) << (8 * q);
      __builtin_memcpy(to + i * kTileBytes, &group, sizeof group);
    }
  }

  static T b_value(const char* column, int k) {
    uint32_t value = 0;
    for (int i = 0; i < kPieces; ++i) {
      const char byte = column[i * kTileBytes + k / 4 * kTileRowBytes + k % 4];
      value |= static_cast<uint32_t>(static_cast<uint8_t>(byte)) << (8 * i);
    }
    return static_cast<T>(value);
  }

 private:
  typedef uint32_t U __attribute__((vector_size(64)));

  HOTLOOPS_INLINE static U load(const T* p, int n) {
    return __builtin_convertvector(load_sixteen<T>(p, n), U);
  }
};

// Products of a step. Four registers hold accumulators, by shift; in the other four, three of B's
// pieces stay, and eight loads serve ten products.
struct Int32Tiles {
  using Form = SlicedForm<uint32_t, ElementType::i32>;
  static constexpr int kShifts = 4;

  HOTLOOPS_INLINE static void multiply(const char* a, const char* b) {
    using Dot = DotInt8<false, false>;
    tile_load<4>(a + 3 * kTileBytes);
    tile_load<5>(b);
    Dot::run<3, 4, 5>();
    tile_load<4>(a + 2 * kTileBytes);
    tile_load<6>(b + kTileBytes);
    Dot::run<2, 4, 5>();
    Dot::run<3, 4, 6>();
    tile_load<4>(a + kTileBytes);
    tile_load<7>(b + 2 * kTileBytes);
    Dot::run<1, 4, 5>();
    Dot::run<2, 4, 6>();
    Dot::run<3, 4, 7>();
    tile_load<4>(a);
    Dot::run<0, 4, 5>();
    Dot::run<1, 4, 6>();
    Dot::run<2, 4, 7>();
    tile_load<5>(b + 3 * kTileBytes);
    Dot::run<3, 4, 5>();
  }
};

struct Int16Tiles {
  using Form = SlicedForm<uint16_t, ElementType::i16>;
  static constexpr int kShifts = 3;

  HOTLOOPS_INLINE static void multiply(const char* a, const char* b) {
    tile_load<4>(a);
    tile_load<5>(a + kTileBytes);
    tile_load<6>(b);
    tile_load<7>(b + kTileBytes);
    DotInt8<false, false>::run<0, 4, 6>();
    DotInt8<false, true>::run<1, 4, 7>();
    DotInt8<true, true>::run<2, 5, 7>();
    DotInt8<true, false>::run<1, 5, 6>();
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
