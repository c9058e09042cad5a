// Panels of complex operands for the microkernels of real ones: see kComplexParts.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

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
  using I = typename S::I;
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
    // The sign bit of the first of two.
    const I sign = (S::iota() & 1) == 0 ? I{} + kSign : I{};
    S::store(to, v);
    S::store(to + M::kNr, reinterpret_cast<V>(reinterpret_cast<I>(S::swap_pairs(v)) ^ sign));
  }

  static constexpr typename S::Int kSign = static_cast<typename S::Int>(1) << (8 * sizeof(T) - 1);
};

}  // namespace hotloops::HOTLOOPS_ISA
