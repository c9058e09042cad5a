// One product, cut into blocks that fit the caches and shares for a team of threads.

#pragma once

#include <cstddef>
#include <cstdint>

#include "blocking.h"
#include "matmul.h"
#include "threads.h"

namespace hotloops {

// How products of one shape are cut up, and the packing buffers that follow from it.
struct Plan {
  const Kernel* kernel;
  Blocking block;
  bool b_in_place;       // B is read where it is; only its last, narrow panel is packed
  std::int64_t a_bytes;  // for each thread
  std::int64_t b_bytes;  // for all threads of a team together

  Plan(const Kernel& kernel, const MatmulArgs& args);
};

// Computes the product; called by each thread of a team with the same arguments but for `a_panels`.
void run_product(const Plan& plan, const MatmulArgs& args, Team team, std::byte* a_panels,
                 std::byte* b_panels);

}  // namespace hotloops
