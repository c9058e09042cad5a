// Panels of values as they are.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/microkernel.h"
#include "kernels/transposed.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Where what lies side by side in memory becomes a column of the panel: a vector of the panel's row
// at a time, transposed in registers. Rows and columns that fill no square of vectors come with
// some that have been; where there is no square, they are `pack`'s. With its vectors, which are the
// architecture's narrowest, a transposed B took an eighth of the time of a product of 64x64, on two
// threads a quarter.
template <class S>
void pack_transposed(ElementType type, const Piece& piece, int64_t panel_stride) {
  using T = typename S::T;
  constexpr int kDepth = Transposed<S>::kDepth;
  if (piece.rows < kDepth || piece.cols < S::lanes) return pack(type, piece, panel_stride);
  const T* from = static_cast<const T*>(piece.data);
  T* to = static_cast<T*>(piece.panel) + piece.row * panel_stride + piece.col;
  const RowOffsets offsets(piece.col_stride * static_cast<int64_t>(sizeof(T)));
  for (int64_t next_col = 0; next_col < piece.cols; next_col += S::lanes) {
    const int64_t most_cols = piece.cols - S::lanes;
    const int64_t col = next_col < most_cols ? next_col : most_cols;
    for (int64_t next_row = 0; next_row < piece.rows; next_row += kDepth) {
      const int64_t most_rows = piece.rows - kDepth;
      const int64_t row = next_row < most_rows ? next_row : most_rows;
      const Transposed<S> values(from + col * piece.col_stride + row, offsets);
#pragma GCC unroll 4
      for (int e = 0; e < kDepth; ++e) S::store(to + (row + e) * panel_stride + col, values.x[e]);
    }
  }
}

template <class S, class M>
struct PlainPanels {
  static constexpr ElementType kType = element_type(M::kDType);
  static void pack_a(const Piece& piece) { pack_into(piece, panel_pitch(M::kDType)); }
  static void pack_b(const Piece& piece) { pack_into(piece, M::kNr); }
  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    pack(kType,
         {.data = panel,
          .row_stride = M::kNr,
          .col_stride = 1,
          .rows = rows,
          .cols = cols,
          .panel = values},
         stride);
  }

 private:
  static void pack_into(const Piece& piece, int64_t panel_stride) {
    if constexpr (kIsReal<typename S::T>) {
      if (piece.row_stride == 1 && piece.col_stride != 1) {
        using Narrow = Simd<typename S::T, kDotBytes<S>>;
        return pack_transposed<Narrow>(kType, piece, panel_stride);
      }
    }
    pack(kType, piece, panel_stride);
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
