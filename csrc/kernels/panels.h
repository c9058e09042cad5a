// Panels of values as they are.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/microkernel.h"
#include "kernels/transposed.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Where what lies side by side in memory becomes a column of the panel: a vector of the panel's row
// at a time, transposed in registers. Rows and columns that are left over are `pack`'s. With its
// vectors, which are the architecture's narrowest, a transposed B took an eighth of the time of a
// product of 64x64, on two threads a quarter.
template <class S>
void pack_transposed(ElementType type, const Piece& piece, int64_t panel_stride) {
  using T = typename S::T;
  constexpr int kDepth = Transposed<S>::kDepth;
  const T* from = static_cast<const T*>(piece.data);
  T* to = static_cast<T*>(piece.panel) + piece.row * panel_stride + piece.col;
  const int64_t rows = piece.rows / kDepth * kDepth;
  const int64_t cols = piece.cols / S::lanes * S::lanes;
  const RowOffsets offsets(piece.col_stride * static_cast<int64_t>(sizeof(T)));
  for (int64_t c = 0; c < cols; c += S::lanes) {
    for (int64_t r = 0; r < rows; r += kDepth) {
      const Transposed<S> values(from + c * piece.col_stride + r, offsets);
#pragma GCC unroll 4
      for (int e = 0; e < kDepth; ++e) S::store(to + (r + e) * panel_stride + c, values.x[e]);
    }
  }
  if (rows < piece.rows) {
    Piece below = piece;
    below.data = from + rows;
    below.rows -= rows;
    below.row += rows;
    pack(type, below, panel_stride);
  }
  if (cols < piece.cols) {
    Piece beside = piece;
    beside.data = from + cols * piece.col_stride;
    beside.rows = rows;
    beside.cols -= cols;
    beside.col += cols;
    pack(type, beside, panel_stride);
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
