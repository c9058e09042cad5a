// From cache sizes to block sizes.

#pragma once

#include <cstdint>

#include "kernel.h"

namespace hotloops {

struct CacheSizes {
  std::int64_t l1d, l2, l3;  // bytes; l3 is that of the whole socket
};

// Of this machine, read once from the operating system; typical sizes where it does not tell.
const CacheSizes& cache_sizes();

struct Blocking {
  std::int64_t mc;  // rows of A packed at once, a multiple of mr
  std::int64_t nc;  // columns of B packed at once, a multiple of nr
};

Blocking choose_blocking(const Kernel& kernel, const CacheSizes& caches, std::int64_t m,
                         std::int64_t n);

constexpr std::int64_t ceil_div(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return ceil_div(x, multiple) * multiple;
}

}  // namespace hotloops
