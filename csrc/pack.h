// Operands into plain panels: rows of values as they are, whatever the operand's strides.

#pragma once

#include <cstdint>

#include "kernel.h"

namespace hotloops {

// Copies a piece into a panel whose rows are so many elements apart. What a panel has beyond its
// operand stays as it is: microkernels do not read it.
void pack(ElementType type, const Piece& piece, std::int64_t panel_stride);

// The same to where rows and columns are so many elements apart.
void copy_piece(ElementType type, const Piece& piece, std::int64_t row_stride,
                std::int64_t col_stride);

}  // namespace hotloops
