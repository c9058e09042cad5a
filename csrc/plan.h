// How a product is to be computed: what is packed, what is read where it is, and in which blocks.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "blocking.h"
#include "matmul.h"

namespace hotloops {

// Bytes in whole cache lines.
constexpr std::int64_t in_lines(std::int64_t bytes) { return round_up(bytes, 64); }

// What is needed behind the panels: for one tile's operands as the plain kernel has them
// packed, and for what is pending.
std::int64_t tail_bytes(const Kernel& kernel);

inline constexpr std::int64_t kMostFewTiles = 16;

// How products of one shape and layout are computed, and the packing buffers that follow from it.
struct Plan {
  const Kernel* kernel;
  std::int64_t row_panels;  // C is cut into so many panels of nearly equal height:
  std::int64_t height;      // all have so many rows,
  std::int64_t higher;      // and so many of them, the first ones, one more
  std::int64_t lead = 0;    // columns before the first one that tiles are aligned to
  std::int64_t nc;          // columns of B in one block
  bool a_in_place, b_in_place;
  bool c_in_place;       // in rows and of the sums' type, and complete when a tile's call returns
  bool in_place;         // all three
  bool wide_rows;        // all three, and B is read in pieces as long as kernel->wide_row.cols
  bool packed_in_place;  // A and C in place, B packed before; a few rows
  bool b_kept;           // packed panels of B are kept for the panels of A that follow
  bool few_in_passing;   // too few values of k for work in passing to gain
  std::int64_t b_group;  // panels of B that are packed at a time
  // Row panels that go through all blocks of k before the next ones do. Where C's type is narrower
  // than the sums', the sums of so many and of nc columns are kept from one block to the next.
  std::int64_t group;
  std::int64_t sums_bytes = 0;
  // The packing buffers, in this order after the sums: panels of B that are kept, or a group of
  // them; two panels of A; what tail_bytes counts.
  std::int64_t b_bytes = 0, a_bytes = 0;
  std::int64_t bytes = 0;  // of all

  bool few_tiles;  // at most kMostFewTiles, of operands as they are, over one block of k

  // With a lead, unless it is to be chosen.
  Plan(const Kernel& kernel, const MatmulArgs& args, std::optional<std::int64_t> lead = {});

  // Without a division, which would take a quarter of the time of a tile with a few values of k.
  [[nodiscard]] Range rows_of(std::int64_t panel) const {
    const std::int64_t begin = panel * height + std::min(panel, higher);
    return {.begin = begin, .end = begin + height + (panel < higher ? 1 : 0)};
  }
};

// The block of B that is in use: kc rows of k from `k` on, columns [first_col, end_col). Columns
// are counted with the plan's lead.
struct BlockOfB {
  std::int64_t k, kc;
  std::int64_t first_col, end_col;
};

}  // namespace hotloops
