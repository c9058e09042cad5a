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
  bool dots;                  // not by tiles
  bool short_rows;            // nor these
  std::int64_t a_bytes;       // of each thread
  std::int64_t shared_bytes;  // of all threads of a team together
  bool backwards;             // through a packed B

  // For products of the shapes and strides that these arguments have.
  Method(const Kernel& kernel, const MatmulArgs& args)
      : plan(kernel, args),
        dots(are_dot_products(kernel, args)),
        short_rows(!dots && are_short_rows(kernel, args)),
        a_bytes(dots ? 0 : plan.a_bytes),
        shared_bytes(dots ? dot_products_bytes(kernel, args) : plan.shared_bytes),
        backwards(!dots && args.packed_b.turn()) {}

  // To be called by all threads of a team.
  void run(const MatmulArgs& args, Team team, std::byte* a_panels, std::byte* shared) const {
    if (dots) {
      run_dot_products(*plan.kernel, args, team, shared);
    } else if (short_rows) {
      run_short_rows(*plan.kernel, args, part(args.m, 1, team.count, team.index));
    } else if (plan.packed_in_place) {
      const Range cols = part(args.n, plan.kernel->nr, team.count, team.index);
      run_packed_in_place(plan, args, cols, backwards);
    } else {
      run_product(plan, args, team, a_panels, shared, backwards);
    }
  }
};

}  // namespace hotloops
