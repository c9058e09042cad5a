// How one product is computed, of the ways that there are, and the memory that this takes.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dot_products.h"
#include "in_place.h"
#include "plan.h"
#include "product.h"
#include "threads.h"

namespace hotloops {

struct Method {
  bool dots;          // not by tiles
  std::int64_t rest;  // columns, the last ones, that are dot products beside tiles
  Plan plan;
  bool short_rows;     // neither dot products nor tiles
  std::int64_t bytes;  // of memory
  bool backwards;      // through a packed B

  // For products of the shapes and strides that these arguments have; for `lead` see Plan.
  Method(const Kernel& kernel, const MatmulArgs& args, std::optional<std::int64_t> lead = {})
      : dots(are_dot_products(kernel, args)),
        rest(dots || args.m < kLeastForExcess ? 0 : columns_left(kernel, args)),
        plan(rest == 0 ? Plan(kernel, args, lead) : Plan(kernel, without_last_columns(args, rest))),
        short_rows(!dots && are_short_rows(kernel, args)),
        bytes(dots ? dot_products_bytes(kernel, args) : plan.bytes),
        backwards(!dots && args.packed_b.turn()) {
    if (rest == 0) return;
    bytes = std::max(bytes, dot_products_bytes(kernel, last_columns_turned(kernel, args, rest)));
  }

  // On one thread; but dot products may be called by all threads of a team, with the same memory.
  void run(const MatmulArgs& args, std::byte* memory, Team team = {}) const {
    if (dots) {
      run_dot_products(*plan.kernel, args, team, memory);
    } else if (short_rows) {
      run_short_rows(*plan.kernel, args);
    } else if (plan.packed_in_place) {
      run_packed_in_place(plan, args, backwards);
    } else if (rest > 0) {
      run_product(plan, without_last_columns(args, rest), memory, backwards);
      run_dot_products(*plan.kernel, last_columns_turned(*plan.kernel, args, rest), {}, memory);
    } else {
      run_product(plan, args, memory, backwards);
    }
  }
};

}  // namespace hotloops
