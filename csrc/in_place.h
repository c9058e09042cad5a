// Products of operands that are read where they are: small ones, those of a few values of k, those
// with short rows, and those of a few rows with a B packed before.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel.h"
#include "matmul.h"
#include "plan.h"

namespace hotloops {

// A tile of operands where they are, in the kc values of k from `k` on; all but which rows and
// columns.
Tile tile_in_place(const MatmulArgs& args, std::int64_t k, std::int64_t kc);

// All tiles of these row panels and the block, where nothing is left to be packed: of B there is
// nothing, or the block's panels are in `packed_b`. What the driver decides for each tile otherwise
// takes longer than multiplying a few values of k. Of one row panel, A may be packed as well.
void run_in_place(const Plan& plan, const MatmulArgs& args, Range panels, const BlockOfB& b,
                  const std::byte* packed_b = nullptr, const std::byte* packed_a = nullptr);

// Whether C's rows are so short, and lie so, that several of them are computed in one vector; and
// that many of them.
bool are_short_rows(const Kernel& kernel, const MatmulArgs& args);
void run_short_rows(const Kernel& kernel, const MatmulArgs& args);

// A few rows times a B packed before: panel after panel as they lie, or the last one first.
void run_packed_in_place(const Plan& plan, const MatmulArgs& args, bool backwards);

// The tiles of a product of a few, each with its microkernel. Many such products, as a batch of
// small matrices has, are these tiles with other addresses: what run_product decides anew takes as
// long as a product of 16x16.
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

}  // namespace hotloops
