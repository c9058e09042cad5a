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

// A[rows, depth] into rows panel_pitch apart. Any rectangle of a panel can be packed by itself.
void pack_a(DType dtype, ConstView a, std::int64_t rows, std::int64_t depth, void* panel);

// B[depth, cols] into depth rows of nr values. The columns that a panel has but B has not are
// copies of the last one: the microkernel then computes on nothing but the operand's values, and
// padding can raise no floating-point exception that the result itself does not raise.
void pack_b(DType dtype, ConstView b, std::int64_t depth, std::int64_t cols, std::int64_t nr,
            void* panel);

}  // namespace hotloops
