// One product, cut into blocks that fit the caches and shares for a team of threads.

#pragma once

#include <cstddef>

#include "matmul.h"
#include "plan.h"
#include "threads.h"

namespace hotloops {

// Computes the product; called by each thread of a team with the same arguments but for `a_panels`.
// Blocks of columns come last to first if it goes backwards.
void run_product(const Plan& plan, const MatmulArgs& args, Team team, std::byte* a_panels,
                 std::byte* shared, bool backwards);

}  // namespace hotloops
