// Operands into panels: the order in which a microkernel reads them, whatever their strides.

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

// The address of an element so many elements after p.
inline const void* at(const void* p, std::int64_t elements, DType dtype) {
  return static_cast<const std::byte*>(p) + elements * size_of(dtype);
}
inline void* at(void* p, std::int64_t elements, DType dtype) {
  return static_cast<std::byte*>(p) + elements * size_of(dtype);
}

inline ConstView from(const ConstView& view, std::int64_t row, std::int64_t col, DType dtype) {
  return {.data = at(view.data, row * view.row_stride + col * view.col_stride, dtype),
          .row_stride = view.row_stride,
          .col_stride = view.col_stride};
}

// A rectangle of an operand into rows of a panel, so many elements apart: of A in steps of
// panel_pitch, of B in steps of the kernel's nr. Any rectangle of a panel can be packed by itself;
// what a panel has beyond its operand stays as it is, for microkernels do not read it.
void pack(DType dtype, const ConstView& operand, std::int64_t rows, std::int64_t cols, void* panel,
          std::int64_t panel_stride);

}  // namespace hotloops
