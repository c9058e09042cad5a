// Operands and results narrower than the sums of their products: half types, summed in float32, and
// small integers, summed in 32 bits. They are widened while they are packed, so that the
// microkernels are those of the sums' type, and narrowed once, at the very end.

#pragma once

#include "kernel.h"
#include "kernels/elements.h"
#include "kernels/simd.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Integers of type Element beside vectors of the 32-bit integers of S.
template <class Element, class S>
struct SmallInteger {
  using T = Element;
  using V = typename S::V;
  static constexpr int lanes = S::lanes;

  // In steps: GCC 12 converts by more than twice the width one by one.
  HOTLOOPS_INLINE static V load(const T* p) {
    As<T, S> values;
    __builtin_memcpy(&values, p, sizeof values);
    if constexpr (sizeof(T) == 1) {
      return __builtin_convertvector(__builtin_convertvector(values, As<int16_t, S>), V);
    } else {
      return __builtin_convertvector(values, V);
    }
  }
  HOTLOOPS_INLINE static void store(T* p, V sums) {
    As<T, S> values;
    if constexpr (sizeof(T) == 1) {
      values = __builtin_convertvector(__builtin_convertvector(sums, As<int16_t, S>), As<T, S>);
    } else {
      values = __builtin_convertvector(sums, As<T, S>);
    }
    __builtin_memcpy(p, &values, sizeof values);
  }
};

// y[i] = x[i], read as format From and written as format To; the last few through buffers.
template <class From, class To>
void convert_row(int64_t n, const typename From::T* x, typename To::T* y) {
  constexpr int kLanes = From::lanes;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) To::store(y + i, From::load(x + i));
  if (i == n) return;
  typename From::T from[kLanes] = {};
  typename To::T to[kLanes];
  for (int64_t t = i; t < n; ++t) from[t - i] = x[t];
  To::store(to, From::load(from));
  for (int64_t t = i; t < n; ++t) y[t] = to[t - i];
}

template <class From, class To>
void convert(int64_t n, const void* x, void* y) {
  convert_row<From, To>(n, static_cast<const typename From::T*>(x),
                        static_cast<typename To::T*>(y));
}

// f(rows, stride, count) for all rows of a piece, contiguous ones so many values apart: those of
// the operand, or copies of an even number of them at a time, of so many values at most.
template <class T, ElementType Type, int64_t Most = kKc, class F>
HOTLOOPS_INLINE void in_rows(const Piece& piece, F f) {
  if (piece.col_stride == 1) {
    return f(static_cast<const T*>(piece.data), piece.row_stride, piece.rows);
  }
  constexpr int64_t kRows = 8;
  T rows[kRows * Most];
  for (int64_t i = 0; i < piece.rows; i += kRows) {
    Piece some = piece;
    some.data = static_cast<const T*>(piece.data) + i * piece.row_stride;
    some.rows = piece.rows - i < kRows ? piece.rows - i : kRows;
    some.row = some.col = 0;
    some.panel = rows;
    pack(Type, some, Most);
    f(rows, Most, some.rows);
  }
}

// Panels for the microkernels M, whose operands are in the format From, of type Type.
template <class S, class M, class From, ElementType Type>
struct WidenedPanels {
  static void pack_a(const Piece& piece) { widen(piece, panel_pitch(M::kDType)); }
  static void pack_b(const Piece& piece) { widen(piece, M::kNr); }
  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    const auto* row = static_cast<const typename S::T*>(panel);
    auto* to = static_cast<typename From::T*>(values);
    for (int64_t i = 0; i < rows; ++i, row += M::kNr, to += stride) {
      convert_row<S, From>(cols, row, to);
    }
  }

 private:
  static void widen(const Piece& piece, int64_t pitch) {
    using T = typename From::T;
    auto* to = static_cast<typename S::T*>(piece.panel) + piece.row * pitch + piece.col;
    in_rows<T, Type>(piece,
                     [&](const T* rows, int64_t stride, int64_t count) HOTLOOPS_LAMBDA_INLINE {
                       for (int64_t i = 0; i < count; ++i, rows += stride, to += pitch) {
                         convert_row<From, S>(piece.cols, rows, to);
                       }
                     });
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
