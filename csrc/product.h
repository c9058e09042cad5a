// One product, cut into blocks that fit the caches and shares for a team of threads.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

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
  bool in_place;  // both, and C in rows
  bool b_kept;    // packed panels of B are kept for the panels of A that follow
  // Where C's type is narrower than the sums', the sums of so many row panels and nc columns are
  // kept from one block of k to the next.
  std::int64_t group;
  std::int64_t sums_bytes = 0;
  std::int64_t a_bytes = 0;       // of each thread
  std::int64_t shared_bytes = 0;  // of all threads of a team together: such sums, panels of B

  bool few_tiles;  // of operands as they are, over one block of k

  Plan(const Kernel& kernel, const MatmulArgs& args);
};

// The tiles of a product of a few, each with its microkernel. Many such products, as a batch of
// small matrices has, are these tiles with other addresses: what run_product decides anew takes as
// long as a product of 16x16.
inline constexpr std::int64_t kMostFewTiles = 16;
struct FewTiles {
  struct Run {
    Tile tile;
    RunTile run;
  };
  // Not initialised: that of all would take as long as a product of 4x4.
  union Slot {
    Run run;
    Slot() {}  // NOLINT(modernize-use-equals-default): deleted then
  };
  int count = 0;
  std::array<Slot, kMostFewTiles> slots;

  [[nodiscard]] std::span<Slot> used() {
    return std::span(slots).first(static_cast<std::size_t>(count));
  }
};
FewTiles few_tiles(const Plan& plan, const MatmulArgs& args);

// Computes the product; called by each thread of a team with the same arguments but for `a_panels`.
void run_product(const Plan& plan, const MatmulArgs& args, Team team, std::byte* a_panels,
                 std::byte* shared);

}  // namespace hotloops
