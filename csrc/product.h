// One product on one thread, cut into blocks that fit the caches.

#pragma once

#include <cstddef>

#include "matmul.h"
#include "plan.h"

namespace hotloops {

// Computes the product, with plan.bytes of memory. Blocks of columns come last to first if it goes
// backwards.
void run_product(const Plan& plan, const MatmulArgs& args, std::byte* memory, bool backwards);

}  // namespace hotloops
