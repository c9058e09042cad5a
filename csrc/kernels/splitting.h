// float32 and float16 as sums of bfloat16, and panels of such pieces for the tile unit.
//
// A bfloat16 has the upper 16 bits of a float32: 8 of the 24 bits of the significand. Cut off three
// times, what is left each time being exact, they are the whole number: x = x1 + x2 + x3. Of the
// nine products of such sums the six with i + j <= 4 are formed (bf16x6); the others are below
// 2^-21 |a b|. With two pieces, rounded, three products are left (bf16x3), off by some 2^-16 |a b|.
// After N. J. Higham and T. Mary, "Mixed precision algorithms in numerical linear algebra" (2022),
// section 13, and G. Henry, P. T. P. Tang and A. Heinecke, "Leveraging the bfloat16 artificial
// intelligence datatype for higher-precision computations" (2019).
//
// Which two values of k share the 32 bits of a pair is free, as long as A and B agree: here the
// p-th and the (p + 16)-th of a step, one vector's and the next one's, which takes a shift and an
// or. Shifts and masks beat conversion instructions: these round, and two of them are needed.

#pragma once

#include "kernel.h"
#include "kernels/elements.h"
#include "kernels/magnitudes.h"
#include "kernels/simd.h"
#include "kernels/tile_panels.h"

namespace hotloops::HOTLOOPS_ISA {

// Values in the format Source (of elements.h, or float32 itself), cut into pieces; with Round, each
// piece is the nearest bfloat16.
template <class Source, ElementType Type, int Pieces, bool Round>
class SplitForm {
 public:
  using T = typename Source::T;
  static constexpr ElementType kType = Type;
  static constexpr int kStep = 32;
  static constexpr int kPieces = Pieces;
  static constexpr int kTiles = 2;

  static void begin(const Piece& piece) {
    if (piece.row == 0 && piece.col == 0) *static_cast<PanelHead*>(piece.panel) = {};
  }

  HOTLOOPS_INLINE void a_row(const T* row, int n, char* to) {
    split(load(row, n), load(row + kLanes, n - kLanes), to);
  }

  HOTLOOPS_INLINE void b_row(const T* rows, int64_t stride, int depth, int p, int cols, char* to) {
    const T* low = rows + p * stride;
    const T* high = low + kTileRows * stride;
    __builtin_prefetch(low + 2 * kTileCols);
    __builtin_prefetch(high + 2 * kTileCols);
    split(load(low, p < depth ? cols : 0), load(high, p + kTileRows < depth ? cols : 0), to);
  }

  HOTLOOPS_INLINE void b_columns(const T* columns, int64_t stride, char* to) {
    constexpr int kValues = 16 / static_cast<int>(sizeof(T));  // of k, in Words
#pragma GCC unroll 4
    for (int p = 0; p < kTileRows; p += kValues) {
      const Words low(columns + p, stride);
      const Words high(columns + p + kTileRows, stride);
#pragma GCC unroll 4
      for (int word = 0; word < Words::kDepth; ++word) {
#pragma GCC unroll 2
        for (int part = 0; part < 4; part += sizeof(T), to += kTileRowBytes) {
          split(load_part(low.x[word], part), load_part(high.x[word], part), to);
        }
      }
    }
  }

  static T b_value(const char* column, int k) {
    float value = 0;
    for (int piece = kPieces - 1; piece >= 0; --piece) {
      uint32_t pair;
      __builtin_memcpy(&pair, column + kTileBytes * kTiles * piece + k % kTileRows * kTileRowBytes,
                       sizeof pair);
      const uint32_t bits = k < kTileRows ? pair << 16 : pair & 0xffff0000;
      float part;
      __builtin_memcpy(&part, &bits, sizeof part);
      value += part;
    }
    T values[kLanes];
    Source::store(values, Simd<float, 64>::splat(value));
    return values[0];
  }

  // Leaves the extremes of the values seen in the panel's head.
  void note(const Piece& piece) const {
    seen_.note(static_cast<PanelHead*>(piece.panel)->magnitudes);
  }

  static bool suit(const void* a_panel, const void* b_panel) {
    return suit_bf16(static_cast<const PanelHead*>(a_panel)->magnitudes,
                     static_cast<const PanelHead*>(b_panel)->magnitudes);
  }

 private:
  using V = Simd<float, 64>::V;
  typedef uint32_t U __attribute__((vector_size(64)));
  static constexpr int kLanes = 16;

  HOTLOOPS_INLINE static V load(const T* p, int n) {
    if (n >= kLanes) return Source::load(p);
    T values[kLanes] = {};
    if (n > 0) __builtin_memcpy(values, p, static_cast<size_t>(n) * sizeof(T));
    return Source::load(values);
  }

  // The values in 32 bits each, from that byte on.
  HOTLOOPS_INLINE static V load_part(V words, int byte) {
    if constexpr (sizeof(T) == 4) {
      return words;
    } else {
      const U bits = reinterpret_cast<U>(words) >> (8 * byte);
      typedef T Narrow __attribute__((vector_size(kLanes * sizeof(T))));
      const Narrow values = __builtin_convertvector(bits, Narrow);
      T each[kLanes];
      __builtin_memcpy(each, &values, sizeof each);
      return Source::load(each);
    }
  }

  // The next piece of what is left of x.
  HOTLOOPS_INLINE static U cut(V& x) {
    U bits = reinterpret_cast<U>(x);
    if constexpr (Round) bits += 0x8000;
    bits &= 0xffff0000;
    x -= reinterpret_cast<V>(bits);
    return bits;
  }

  // Both vectors' pieces side by side: a row of a tile each.
  HOTLOOPS_INLINE void split(V low, V high, char* to) {
    seen_.see(low);
    seen_.see(high);
#pragma GCC unroll 3
    for (int piece = 0; piece < kPieces; ++piece) {
      const U pair = cut(low) >> 16 | cut(high);
      __builtin_memcpy(to + kTileBytes * kTiles * piece, &pair, sizeof pair);
    }
  }

  Seen seen_;
};

// Ways to multiply in tiles (see tile_microkernel.h).
struct Bf16x6 {
  using Form = SplitForm<Simd<float, 64>, ElementType::f32, 3, false>;
  using Dot = DotBf16;
  using Sum = float;
  static constexpr Pieces kOrder[] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};
};

struct Bf16x3 {
  using Form = SplitForm<Simd<float, 64>, ElementType::f32, 2, true>;
  using Dot = DotBf16;
  using Sum = float;
  static constexpr Pieces kOrder[] = {{1, 0}, {0, 0}, {0, 1}};
};

struct Bf16x1 {
  using Form = SplitForm<Simd<float, 64>, ElementType::f32, 1, true>;
  using Dot = DotBf16;
  using Sum = float;
  static constexpr Pieces kOrder[] = {{0, 0}};
};

// A float16 has 11 bits: two pieces are the whole number, and all four products are formed.
struct Float16Tiles {
  using Form = SplitForm<Half<Simd<float, 64>, Float16>, ElementType::f16, 2, false>;
  using Dot = DotBf16;
  using Sum = float;
  static constexpr Pieces kOrder[] = {{1, 1}, {1, 0}, {0, 0}, {0, 1}};
};

}  // namespace hotloops::HOTLOOPS_ISA
