// Products that are no work for tiles: a few rows times columns that lie along k, dot products, and
// complex matrices times a vector.

#pragma once

#include <cstddef>
#include <cstdint>

#include "matmul.h"
#include "threads.h"

namespace hotloops {

// Whether run_dot_products can compute the product, and faster than tiles.
bool are_dot_products(const Kernel& kernel, const MatmulArgs& args);

// How many columns, the last ones, of a product by tiles are to be dot products: a tile of one
// column takes as long as one of a vector of them. So 97 x 97 x 97 of float32 took 11 % longer.
std::int64_t columns_left(const Kernel& kernel, const MatmulArgs& args);
// The product without them, and their transpose.
MatmulArgs without_last_columns(const MatmulArgs& args, std::int64_t columns);
MatmulArgs last_columns_turned(const Kernel& kernel, const MatmulArgs& args, std::int64_t columns);

// Bytes that it needs for a team.
std::int64_t dot_products_bytes(const Kernel& kernel, const MatmulArgs& args);

// Computes the product; called by each thread of a team with the same arguments.
void run_dot_products(const Kernel& kernel, const MatmulArgs& args, Team team, std::byte* memory);

}  // namespace hotloops
