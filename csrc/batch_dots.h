// Dot products of a batch, several of them in one vector.

#pragma once

#include <cstdint>

#include "matmul.h"

namespace hotloops {

// Whether that is how to compute the products that have these arguments and follow each other along
// this dimension.
bool are_batch_dots(const Kernel& kernel, const MatmulArgs& args, const BatchDim& dim);

// So many of them, from this one on.
void run_batch_dots(const Kernel& kernel, const MatmulArgs& first, const BatchDim& dim,
                    std::int64_t count);

}  // namespace hotloops
