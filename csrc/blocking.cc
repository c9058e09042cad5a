#include "blocking.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace hotloops {
namespace {

// Linux lists the caches of CPU 0 with their level and type; sysconf knows them on x86 only.
CacheSizes read_cache_sizes() {
  CacheSizes sizes{.l1d = 32 << 10, .l2 = 512 << 10, .l3 = 8 << 20};
  for (int index = 0;; ++index) {
    const std::string dir =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    int level = 0;
    std::string type;
    std::int64_t kib = 0;
    if (!(std::ifstream(dir + "level") >> level)) return sizes;
    std::ifstream(dir + "type") >> type;
    if (!(std::ifstream(dir + "size") >> kib) || kib <= 0 || type == "Instruction") continue;
    if (level == 1) sizes.l1d = kib << 10;
    if (level == 2) sizes.l2 = kib << 10;
    if (level == 3) sizes.l3 = kib << 10;
  }
}

// The largest block size up to `most` that cuts `extent` into blocks of nearly equal size: no thin
// last block that pays for packing and earns little.
std::int64_t even_block(std::int64_t extent, std::int64_t most, std::int64_t multiple) {
  if (extent <= multiple) return multiple;
  if (extent <= most) return round_up(extent, multiple);
  const std::int64_t limit = std::max(multiple, most / multiple * multiple);
  return round_up(ceil_div(extent, ceil_div(extent, limit)), multiple);
}

}  // namespace

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = read_cache_sizes();
  return sizes;
}

Blocking choose_blocking(const Kernel& kernel, const CacheSizes& caches, std::int64_t m,
                         std::int64_t n) {
  const std::int64_t size = size_of(kernel.dtype);
  // B's block takes half of L2: it is read again for every panel of A. On CPUs with a small L2 it
  // may overflow into L3 instead, since fewer than 512 columns would have A packed and C loaded too
  // often for too little work.
  const std::int64_t nc = std::max<std::int64_t>(512, caches.l2 / 2 / (kKc * size));
  // A's block takes a quarter: it streams through once for every panel of B, and C passes by too.
  const std::int64_t mc = caches.l2 / 4 / (panel_pitch(kernel.dtype) * size);
  return {.mc = even_block(m, mc, kernel.mr), .nc = even_block(n, nc, kernel.nr)};
}

}  // namespace hotloops
