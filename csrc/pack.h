// Operands into panels: the order in which a microkernel reads them, whatever their strides.
//
// Rows and columns that a panel has but the operand has not are copies of its last row or column:
// the microkernel then computes on nothing but the operand's values, and padding can raise no
// floating-point exception that the result itself does not raise.

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

// A[rows, depth] into panels of kernel.mr rows, each row panel_pitch apart; depth <= kKc.
void pack_a(const Kernel& kernel, ConstView a, std::int64_t rows, std::int64_t depth, void* panels);

// B[depth, cols] into panels of kernel.nr columns, each panel depth rows of nr values; depth <=
// kKc.
void pack_b(const Kernel& kernel, ConstView b, std::int64_t depth, std::int64_t cols, void* panels);

}  // namespace hotloops
