// Integers of 16, 32 and 64 bits by the unit's products of bytes.
//
// x = sum of x_i 2^(8 i), with bytes x_i; a b = sum of a_i b_j 2^(8 (i + j)). Products of one shift
// i + j are summed in an accumulator of their own, modulo 2^32, and the accumulators are put
// together when they are stored. Modulo 2^32 nothing is left of a shift of four bytes or more, so
// that ten of sixteen products remain for 32 bits, all of them unsigned. For 16 bits, whose exact
// sums may be wanted, there are four products, and the upper bytes are signed. For 64 bits there
// are 36 in two passes, of four shifts each; a block of k is short enough that no sum of eight
// products of bytes leaves 32 bits.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "kernels/tile_panels.h"
#include "kernels/tile_unit.h"
#include "kernels/transposed.h"

namespace hotloops::HOTLOOPS_ISA {

// The value whose pieces have their byte in that place of a step, behind where a column begins.
template <class T>
T from_bytes(const char* column, int place) {
  column += place / 4 * kTileRowBytes + place % 4;
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i, column += kTileBytes) {
    value |= static_cast<T>(T{static_cast<uint8_t>(*column)} << (8 * i));
  }
  return value;
}

// The bytes of integers of up to 32 bits, each a piece of its own.
template <class Element, ElementType Type>
struct SlicedForm {
  using T = Element;
  static constexpr ElementType kType = Type;
  static constexpr int kStep = kTileRowBytes;
  static constexpr int kPieces = static_cast<int>(sizeof(T));
  static constexpr int kTiles = 1;

  static void begin(const Piece&) {}
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

  static T b_value(const char* column, int k) { return from_bytes<T>(column, k); }

 private:
  typedef uint32_t U __attribute__((vector_size(64)));

  HOTLOOPS_INLINE static U load(const T* p, int n) {
    return __builtin_convertvector(load_sixteen<T>(p, n), U);
  }
};

// Those of 64 bits, transposed by bytes. A step's values of k are in another order than in memory,
// for both operands: byte 8 i + j of a piece's row is of value i + 8 j.
struct SlicedLongForm {
  using T = uint64_t;
  static constexpr ElementType kType = ElementType::i64;
  static constexpr int kStep = kTileRowBytes;
  static constexpr int kPieces = 8;
  static constexpr int kTiles = 1;

  static void begin(const Piece&) {}
  void note(const Piece&) {}

  HOTLOOPS_INLINE static void a_row(const T* row, int n, char* to) {
    T whole[kStep] = {};
    if (n < kStep) {
      __builtin_memcpy(whole, row, static_cast<size_t>(n) * sizeof(T));
      row = whole;
    }
    V x[8];
    V y[8];
#pragma GCC unroll 8
    for (int64_t j = 0; j < 8; ++j) __builtin_memcpy(&x[j], row + 8 * j, sizeof x[j]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      y[j] = Bytes::zip_low(x[j], x[j + 4]);
      y[j + 4] = Bytes::zip_high(x[j], x[j + 4]);
    }
    // Vectors 0 to 3 have the even values of i from here on, and 4 to 7 the odd ones.
#pragma GCC unroll 2
    for (int odd = 0; odd < 8; odd += 4) {
#pragma GCC unroll 2
      for (int j = odd; j < odd + 2; ++j) {
        x[j] = Bytes::zip_low(y[j], y[j + 2]);
        x[j + 2] = Bytes::zip_high(y[j], y[j + 2]);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < 8; j += 2) {
      y[j] = Bytes::zip_low(x[j], x[j + 1]);
      y[j + 1] = Bytes::zip_high(x[j], x[j + 1]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j, to += 2 * kTileBytes) {
      const auto even = reinterpret_cast<Eights::V>(y[j]);
      const auto odd = reinterpret_cast<Eights::V>(y[j + 4]);
      const Eights::V pieces[2] = {Eights::zip_low(even, odd), Eights::zip_high(even, odd)};
      __builtin_memcpy(to, &pieces[0], sizeof pieces[0]);
      __builtin_memcpy(to + kTileBytes, &pieces[1], sizeof pieces[1]);
    }
  }

  HOTLOOPS_INLINE static void b_row(const T* rows, int64_t stride, int depth, int p, int cols,
                                    char* to) {
    // In each 16 bytes, of two columns: the first two of four, and the last two.
    V x[4];
    V y[4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const int byte = 4 * p + q;
      const int k = byte / 8 + byte % 8 * 8;
      const T* row = rows + k * stride;
      __builtin_prefetch(row + kTileCols);
      T whole[kTileCols] = {};
      if (k >= depth || cols < kTileCols) {
        if (k < depth) __builtin_memcpy(whole, row, static_cast<size_t>(cols) * sizeof(T));
        row = whole;
      }
      const auto pair = [&](int first) {
        return [=](int64_t lane) HOTLOOPS_LAMBDA_INLINE { return row + first + 4 * lane; };
      };
      x[q] = Bytes::load_lanes(pair(0));
      y[q] = Bytes::load_lanes(pair(2));
    }
    Fours::V low[4];
    Fours::V high[4];
    zip_four(x, low, high);
    zip_four(y, low + 2, high + 2);
    transpose_lanes<Fours>(low);
    transpose_lanes<Fours>(high);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      __builtin_memcpy(to + i * kTileBytes, &low[i], sizeof low[i]);
      __builtin_memcpy(to + (i + 4) * kTileBytes, &high[i], sizeof high[i]);
    }
  }

  static T b_value(const char* column, int k) { return from_bytes<T>(column, k % 8 * 8 + k / 8); }

 private:
  using Bytes = Simd<uint8_t, 64>;
  using Fours = Simd<float, 64>;
  using Eights = Simd<double, 64>;
  using V = Bytes::V;

  // Of four vectors, each 16 bytes' first value (in [0]) and second one (in [1]): the fours of
  // their lower bytes, and those of their upper ones.
  HOTLOOPS_INLINE static void zip_four(const V (&x)[4], Fours::V* low, Fours::V* high) {
    const V first_02 = Bytes::zip_low(x[0], x[2]);
    const V first_13 = Bytes::zip_low(x[1], x[3]);
    const V second_02 = Bytes::zip_high(x[0], x[2]);
    const V second_13 = Bytes::zip_high(x[1], x[3]);
    low[0] = reinterpret_cast<Fours::V>(Bytes::zip_low(first_02, first_13));
    high[0] = reinterpret_cast<Fours::V>(Bytes::zip_high(first_02, first_13));
    low[1] = reinterpret_cast<Fours::V>(Bytes::zip_low(second_02, second_13));
    high[1] = reinterpret_cast<Fours::V>(Bytes::zip_high(second_02, second_13));
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

// The sums of shifts 0 to 3, and then those of 4 to 7.
struct Int64Tiles {
  using Form = SlicedLongForm;
  static constexpr int kShifts = 8;

  HOTLOOPS_INLINE static void multiply(const char* a, const char* b) { Int32Tiles::multiply(a, b); }

  HOTLOOPS_INLINE static void multiply_high(const char* a, const char* b) {
    load_pair<4>(a, 0);
    load_pair<6>(b, 3);
    products<0 + 3>();
    load_pair<6>(b, 1);
    products<0 + 1>();
    load_pair<6>(b, 2);
    products<0 + 2>();
    load_pair<4>(a, 1);
    products<1 + 2>();
    load_pair<6>(b, 0);
    products<1 + 0>();
    load_pair<6>(b, 1);
    products<1 + 1>();
    load_pair<4>(a, 2);
    products<2 + 1>();
    load_pair<6>(b, 0);
    products<2 + 0>();
    load_pair<4>(a, 3);
    products<3 + 0>();
  }

 private:
  // Pieces 2 pair and 2 pair + 1 of an operand.
  template <int First>
  HOTLOOPS_INLINE static void load_pair(const char* pieces, int64_t pair) {
    tile_load<First>(pieces + 2 * pair * kTileBytes);
    tile_load<First + 1>(pieces + (2 * pair + 1) * kTileBytes);
  }

  // Of a pair of A's pieces and one of B's, those whose shift, from 2 pairs to 2 pairs + 2, is
  // wanted.
  template <int Pairs>
  HOTLOOPS_INLINE static void products() {
    using Dot = DotInt8<false, false>;
    constexpr int kLeast = 2 * Pairs - 4;
    if constexpr (kLeast >= 0) {
      Dot::run<kLeast, 4, 6>();
      Dot::run<kLeast + 1, 4, 7>();
      Dot::run<kLeast + 1, 5, 6>();
    }
    if constexpr (kLeast + 2 < 4) Dot::run<kLeast + 2, 5, 7>();
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
