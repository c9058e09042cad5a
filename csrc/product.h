// One product, cut into blocks that fit the caches and shares for a team of threads.

#pragma once

#include <cstddef>
#include <cstdint>

#include "blocking.h"
#include "matmul.h"
#include "threads.h"

namespace hotloops {

// How products of one shape and layout are computed, and the packing buffers that follow from it.
struct Plan {
  const Kernel* kernel;
  std::int64_t row_panels;  // C is cut into so many panels of nearly equal height
  std::int64_t lead;        // columns before the first one that tiles are aligned to
  std::int64_t nc;          // columns of B in one block
  bool a_in_place, b_in_place;
  bool b_kept;           // packed panels of B are kept for the panels of A that follow
  std::int64_t a_bytes;  // of each thread
  std::int64_t b_bytes;  // of all threads of a team together

  bool one_tile;  // nothing to cut and nothing to pack

  Plan(const Kernel& kernel, const MatmulArgs& args);
};

// The tile of a product of one, and its microkernel. Many such products, as a batch of small
// matrices has, are this tile with other addresses: what run_product decides anew takes longer.
struct OneTile {
  Tile tile;
  RunTile run;
};
OneTile one_tile(const Plan& plan, const MatmulArgs& args);

// Computes the product; called by each thread of a team with the same arguments but for `a_panels`.
void run_product(const Plan& plan, const MatmulArgs& args, Team team, std::byte* a_panels,
                 std::byte* b_panels);

}  // namespace hotloops
