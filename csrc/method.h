// How one product is computed, of the ways that there are, and the memory that this takes.

#pragma once

#include <cstddef>
#include <cstdint>

#include "dot_products.h"
#include "in_place.h"
#include "plan.h"
#include "product.h"
#include "threads.h"

namespace hotloops {

struct Method {
  Plan plan;
  bool dots;           // not by tiles
  bool short_rows;     // nor these
  std::int64_t bytes;  // of memory
  bool backwards;      // through a packed B

  // For products of the shapes and strides that these arguments have.
  Method(const Kernel& kernel, const MatmulArgs& args)
      : plan(kernel, args),
        dots(are_dot_products(kernel, args)),
        short_rows(!dots && are_short_rows(kernel, args)),
        bytes(dots ? dot_products_bytes(kernel, args) : plan.bytes),
        backwards(!dots && args.packed_b.turn()) {}

  // On one thread; but dot products may be called by all threads of a team, with the same memory.
  void run(const MatmulArgs& args, std::byte* memory, Team team = {}) const {
    if (dots) {
      run_dot_products(*plan.kernel, args, team, memory);
    } else if (short_rows) {
      run_short_rows(*plan.kernel, args);
    } else if (plan.packed_in_place) {
      run_packed_in_place(plan, args, backwards);
    } else {
      run_product(plan, args, memory, backwards);
    }
  }
};

}  // namespace hotloops
