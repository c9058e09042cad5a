// Matrices in memory, and where their elements are.

#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel.h"

namespace hotloops {

// A matrix in memory; strides in elements, of any sign, or zero.
struct ConstView {
  const void* data;
  std::int64_t row_stride;
  std::int64_t col_stride;
};

struct View {
  void* data;
  std::int64_t row_stride;
  std::int64_t col_stride;

  [[nodiscard]] ConstView as_const() const { return {data, row_stride, col_stride}; }
};

// The address of an element so many elements after p.
inline const void* at(const void* p, std::int64_t elements, ElementType type) {
  return static_cast<const std::byte*>(p) + elements * size_of(type);
}
inline const void* at(const void* p, std::int64_t elements, DType dtype) {
  return static_cast<const std::byte*>(p) + elements * size_of(dtype);
}
inline void* at(void* p, std::int64_t elements, ElementType type) {
  return static_cast<std::byte*>(p) + elements * size_of(type);
}
inline void* at(void* p, std::int64_t elements, DType dtype) {
  return static_cast<std::byte*>(p) + elements * size_of(dtype);
}

inline ConstView from(const ConstView& view, std::int64_t row, std::int64_t col, ElementType type) {
  return {.data = at(view.data, row * view.row_stride + col * view.col_stride, type),
          .row_stride = view.row_stride,
          .col_stride = view.col_stride};
}

// The epilogue of a part of C that begins in this column, so many elements after C does.
// (Put together from values: a copy whose parts are replaced goes through memory, and to read that
// back at once waits for everything the tile before has stored, 2 % of a product.)
inline Epilogue from(const Epilogue& epilogue, std::int64_t col, std::int64_t in_c, DType dtype) {
  return {.bias = epilogue.bias == nullptr ? nullptr : at(epilogue.bias, col, dtype),
          .residual = epilogue.residual == nullptr ? nullptr : at(epilogue.residual, in_c, dtype),
          .activation = epilogue.activation};
}

// A panel's first piece, or the whole of it.
inline Piece piece_of(const ConstView& operand, std::int64_t rows, std::int64_t cols, void* panel) {
  return {.data = operand.data,
          .row_stride = operand.row_stride,
          .col_stride = operand.col_stride,
          .rows = rows,
          .cols = cols,
          .panel = panel};
}

}  // namespace hotloops
