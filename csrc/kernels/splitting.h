// float32 as a sum of bfloat16, and panels of such pieces for the tile unit.
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
#include "kernels/simd.h"
#include "kernels/tile_microkernel.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

struct Bf16x6 {
  using Dot = DotBf16;
  static constexpr int kPieces = 3;
  static constexpr int kStep = 32;
  static constexpr bool kRound = false;
  static constexpr Pieces kOrder[] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};
};

struct Bf16x3 {
  using Dot = DotBf16;
  static constexpr int kPieces = 2;
  static constexpr int kStep = 32;
  static constexpr bool kRound = true;
  static constexpr Pieces kOrder[] = {{1, 0}, {0, 0}, {0, 1}};
};

struct Bf16x1 {
  using Dot = DotBf16;
  static constexpr int kPieces = 1;
  static constexpr int kStep = 32;
  static constexpr bool kRound = true;
  static constexpr Pieces kOrder[] = {{0, 0}};
};

template <class Scheme>
class SplitPanels {
 public:
  static void pack_a(const Piece& piece) {
    Magnitudes seen(piece);
    if (piece.col_stride == 1) {
      const float* row = static_cast<const float*>(piece.data);
      for (int64_t i = 0; i < piece.rows; ++i, row += piece.row_stride) {
        for (int64_t k = 0; k < piece.cols; k += 16)
          __builtin_prefetch(row + 2 * piece.row_stride + k);
        pack_row(row, piece.cols, tile_row(piece, piece.row + i, piece.col), seen);
      }
      return seen.note(piece);
    }
    alignas(64) float rows[kTileMr * kPitch];
    for (int64_t k = 0; k < piece.cols; k += kStep) {
      const int64_t cols = piece.cols - k < kStep ? piece.cols - k : kStep;
      const float* from = static_cast<const float*>(piece.data) + k * piece.col_stride;
      copy(from, piece, piece.rows, cols, rows);
      for (int64_t i = 0; i < piece.rows; ++i) {
        pack_row(rows + i * kPitch, cols, tile_row(piece, piece.row + i, piece.col + k), seen);
      }
    }
    seen.note(piece);
  }

  static void pack_b(const Piece& piece) {
    Magnitudes seen(piece);
    alignas(64) float rows[kStep * kPitch];
    const float* from = static_cast<const float*>(piece.data);
    for (int64_t k = 0; k < piece.rows; k += kStep, from += kStep * piece.row_stride) {
      const int depth = static_cast<int>(piece.rows - k < kStep ? piece.rows - k : kStep);
      char* step = steps(piece) + k / kStep * kStepBytes;
      if (piece.col_stride == 1) {
        pack_step(from, piece.row_stride, depth, static_cast<int>(piece.cols), step, seen);
      } else {
        copy(from, piece, depth, piece.cols, rows);
        pack_step(rows, kPitch, depth, static_cast<int>(piece.cols), step, seen);
      }
    }
    seen.note(piece);
  }

  // Tile products lose what is below the smallest normal number, and pieces are finite only if all
  // is that they are made of. With these limits what is lost is below the last place of its sum,
  // and no partial sum overflows that the whole one does not.
  static bool suit(const void* a_panel, const void* b_panel) {
    const PanelHead& a = *static_cast<const PanelHead*>(a_panel);
    const PanelHead& b = *static_cast<const PanelHead*>(b_panel);
    constexpr int64_t kBias = 127;
    constexpr int64_t kLeast = kBias - 103;
    constexpr int64_t kLeastOfProduct = 2 * kBias - 102;
    constexpr int64_t kLargest = 2 * kBias - 1;
    constexpr int64_t kLargestOfProduct = 2 * kBias + 116;
    const int64_t a_least = exponent(a.least_minus_1);
    const int64_t b_least = exponent(b.least_minus_1);
    const int64_t a_largest = exponent(a.largest);
    const int64_t b_largest = exponent(b.largest);
    return a_least >= kLeast && b_least >= kLeast && a_least + b_least >= kLeastOfProduct &&
           a_largest < kLargest && b_largest < kLargest &&
           a_largest + b_largest <= kLargestOfProduct;
  }

 private:
  using S = Simd<float, 64>;
  using V = S::V;
  typedef uint32_t U __attribute__((vector_size(64)));
  static constexpr int kStep = Scheme::kStep;
  static constexpr int kPieces = Scheme::kPieces;
  static constexpr int64_t kStepBytes = kPieces * 2 * kTileBytes;
  static constexpr int64_t kPitch = kStep + 4;

  // Running extremes of the values of a piece.
  class Magnitudes {
   public:
    explicit Magnitudes(const Piece& piece) {
      auto* head = static_cast<PanelHead*>(piece.panel);
      if (piece.row == 0 && piece.col == 0) *head = {.least_minus_1 = ~uint32_t{0}, .largest = 0};
    }
    HOTLOOPS_INLINE void see(V values) {
      const U magnitudes = reinterpret_cast<U>(values) & 0x7fffffff;
      const U less = magnitudes - 1;  // 0 becomes the largest
      least_ = less < least_ ? less : least_;
      largest_ = magnitudes > largest_ ? magnitudes : largest_;
    }
    void note(const Piece& piece) const {
      auto* head = static_cast<PanelHead*>(piece.panel);
      for (int i = 0; i < S::lanes; ++i) {
        if (least_[i] < head->least_minus_1) head->least_minus_1 = least_[i];
        if (largest_[i] > head->largest) head->largest = largest_[i];
      }
    }

   private:
    U least_ = ~U{};
    U largest_ = {};
  };

  static int64_t exponent(uint32_t magnitude) { return magnitude >> 23; }

  static char* steps(const Piece& piece) {
    return static_cast<char*>(piece.panel) + sizeof(PanelHead);
  }
  static char* tile_row(const Piece& piece, int64_t row, int64_t k) {
    return steps(piece) + k / kStep * kStepBytes + row / kTileRows * kTileBytes +
           row % kTileRows * kTileRowBytes;
  }

  static void copy(const float* from, const Piece& piece, int64_t rows, int64_t cols, float* to) {
    pack(DType::f32,
         {.data = from,
          .row_stride = piece.row_stride,
          .col_stride = piece.col_stride,
          .rows = rows,
          .cols = cols,
          .row = 0,
          .col = 0,
          .panel = to},
         kPitch);
  }

  HOTLOOPS_INLINE static V load(const float* p, int64_t n) {
    if (n >= S::lanes) return S::load(p);
    return n > 0 ? S::load_first(static_cast<int>(n), p, V{}) : V{};
  }

  // The next piece of what is left of x.
  HOTLOOPS_INLINE static U cut(V& x) {
    U bits = reinterpret_cast<U>(x);
    if constexpr (Scheme::kRound) bits += 0x8000;
    bits &= 0xffff0000;
    x -= reinterpret_cast<V>(bits);
    return bits;
  }

  // Both vectors' pieces side by side: a row of a tile each.
  HOTLOOPS_INLINE static void split(V low, V high, char* to) {
#pragma GCC unroll 3
    for (int piece = 0; piece < kPieces; ++piece) {
      const U pair = cut(low) >> 16 | cut(high);
      __builtin_memcpy(to + piece * 2 * kTileBytes, &pair, sizeof pair);
    }
  }

  HOTLOOPS_INLINE static void pack_row(const float* row, int64_t cols, char* to, Magnitudes& seen) {
    for (int64_t k = 0; k < cols; k += kStep, to += kStepBytes) {
      const V low = load(row + k, cols - k);
      const V high = load(row + k + S::lanes, cols - k - S::lanes);
      seen.see(low);
      seen.see(high);
      split(low, high, to);
    }
  }

  HOTLOOPS_INLINE static void pack_step(const float* rows, int64_t stride, int depth, int cols,
                                        char* to, Magnitudes& seen) {
    for (int col = 0; col < cols; col += S::lanes, to += kTileBytes) {
      for (int p = 0; p < kTileRows; ++p) {
        const float* low_row = rows + p * stride + col;
        const float* high_row = low_row + kTileRows * stride;
        const V low = p < depth ? load(low_row, cols - col) : V{};
        const V high = p + kTileRows < depth ? load(high_row, cols - col) : V{};
        __builtin_prefetch(low_row + 32);
        __builtin_prefetch(high_row + 32);
        seen.see(low);
        seen.see(high);
        split(low, high, to + p * kTileRowBytes);
      }
    }
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
