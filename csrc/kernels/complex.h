// Complex operands for the microkernels of real ones, in panels: see kComplexParts. And in place
// for a few rows of A, for which a B in panels would be written once and read hardly more often.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/simd.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Of br bi ...: -bi br ...
template <class S>
HOTLOOPS_INLINE typename S::V second_row(typename S::V v) {
  using I = typename S::I;
  constexpr auto kSign = static_cast<typename S::Int>(1) << (8 * sizeof(typename S::T) - 1);
  const I sign = (S::iota() & 1) == 0 ? I{} + kSign : I{};
  return reinterpret_cast<typename S::V>(reinterpret_cast<I>(S::swap_pairs(v)) ^ sign);
}

// A tile of operands in place: the second of B's rows is made in registers. That takes the time of
// multiply-adds: with 14 rows it lost a quarter.
template <class S, int Mr, int Nv, bool Whole, int PanelNr>
class ComplexMicrokernel : Microkernel<S, Mr, Nv, StridedA, Whole, false, PanelNr> {
 public:
  static void run(const Tile& tile) {
    V acc[Mr][Nv] = {};
    const int last = tile.cols - (Nv - 1) * S::lanes;
    const T* a = static_cast<const T*>(tile.a);
    const T* b = static_cast<const T*>(tile.b);
    const int64_t a_step = kComplexParts * tile.a_col_stride;
    const int64_t b_step = kComplexParts * tile.b_stride;
    for (int64_t p = 0; p < tile.kc; p += kComplexParts, a += a_step, b += b_step) {
#pragma GCC unroll 8
      for (int j = 0; j < Base::kRowBytes; j += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(b + Base::kRowsAhead * b_step) + j);
      }
      V b_row[Nv];
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) b_row[j] = Base::load(last, b, j);
#pragma GCC unroll 2
      for (int part = 0; part < kComplexParts; ++part) {
#pragma GCC unroll 4
        for (int i = 0; i < Mr; ++i) {
          const V a_value = S::splat(a[i * tile.a_row_stride + part]);
#pragma GCC unroll 8
          for (int j = 0; j < Nv; ++j) acc[i][j] += a_value * b_row[j];
        }
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) b_row[j] = second_row<S>(b_row[j]);
      }
    }
    Base::finish(tile, last, acc);
  }

 private:
  using Base = Microkernel<S, Mr, Nv, StridedA, Whole, false, PanelNr>;
  using T = typename S::T;
  using V = typename S::V;
};

// The tiles of M and, with InPlace, others for operands in place.
template <class S, class M, bool InPlace>
class ComplexTileKernel {
 public:
  static constexpr DType kDType = M::kDType;
  static constexpr bool kInPlace = InPlace;
  static constexpr int kMr = M::kMr;
  static constexpr int kNr = M::kNr;

  static RunTile choose(int rows, int cols, Operands operands) {
    if constexpr (InPlace) {
      const bool whole = cols % S::lanes == 0;
      if (operands == Operands::in_place) return kTiles.run[rows - 1][(cols - 1) / S::lanes][whole];
    }
    return M::choose(rows, cols, operands);
  }

 private:
  static constexpr int kNv = kNr / S::lanes;
  struct Tiles {
    RunTile run[kMr][kNv][2];
  };

  template <int Rows, int Vectors>
  static constexpr void set(Tiles& tiles) {
    auto& run = tiles.run[Rows - 1][Vectors - 1];
    run[false] = &ComplexMicrokernel<S, Rows, Vectors, false, kNr>::run;
    run[true] = &ComplexMicrokernel<S, Rows, Vectors, true, kNr>::run;
    if constexpr (Vectors > 1) {
      set<Rows, Vectors - 1>(tiles);
    } else if constexpr (Rows > 1) {
      set<Rows - 1, kNv>(tiles);
    }
  }

  static constexpr Tiles make() {
    Tiles tiles{};
    if constexpr (InPlace) set<kMr, kNv>(tiles);
    return tiles;
  }

  static constexpr Tiles kTiles = make();
};

// For the microkernels M, whose sums are vectors S.
template <class S, class M>
struct ComplexPanels {
  static_assert(M::kNr % kComplexParts == 0);

  static void pack_a(const Piece& piece) {
    Piece elements = piece;
    elements.row_stride /= kParts;
    elements.cols /= kParts;
    elements.col /= kParts;
    pack(kType, elements, panel_pitch(M::kDType) / kParts);
  }

  static void pack_b(const Piece& piece) {
    T* to = static_cast<T*>(piece.panel) + piece.row * M::kNr + piece.col;
    if (piece.col_stride == 1) {
      const T* row = static_cast<const T*>(piece.data);
      for (int64_t p = 0; p < piece.rows; p += kParts, to += kParts * M::kNr) {
        make_two_rows(row, piece.cols, to);
        row += kParts * piece.row_stride;
      }
      return;
    }
    constexpr int64_t kRows = 8;
    T rows[kRows * M::kNr];
    const int64_t elements = piece.rows / kParts;
    for (int64_t p = 0; p < elements; p += kRows) {
      Piece some = piece;
      some.data = static_cast<const T*>(piece.data) + kParts * p * piece.row_stride;
      some.rows = elements - p < kRows ? elements - p : kRows;
      some.cols /= kParts;
      some.row = some.col = 0;
      some.panel = rows;
      pack(kType, some, M::kNr / kParts);
      for (int64_t r = 0; r < some.rows; ++r, to += kParts * M::kNr) {
        make_two_rows(rows + r * M::kNr, piece.cols, to);
      }
    }
  }

  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    pack(kType,
         {.data = panel,
          .row_stride = M::kNr,  // of elements: every other row
          .col_stride = 1,
          .rows = rows / kParts,
          .cols = cols / kParts,
          .panel = values},
         stride);
  }

 private:
  static constexpr int kParts = kComplexParts;
  using T = typename S::T;
  using V = typename S::V;
  static constexpr ElementType kType =
      M::kDType == DType::f32 ? ElementType::c64 : ElementType::c128;

  // br bi ... as it is, and behind it -bi br ...
  HOTLOOPS_INLINE static void make_two_rows(const T* row, int64_t cols, T* to) {
    int64_t j = 0;
    for (; j + S::lanes <= cols; j += S::lanes) store_both(S::load(row + j), to + j);
    if (j < cols) {
      store_both(S::load_first(static_cast<int>(cols - j), row + j, V{}), to + j);
    }
  }

  HOTLOOPS_INLINE static void store_both(V v, T* to) {
    S::store(to, v);
    S::store(to + M::kNr, second_row<S>(v));
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
