#include "blocking.h"

#include <algorithm>
#include <array>
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
  if (extent <= most) return round_up(extent, multiple);
  const std::int64_t limit = std::max(multiple, most / multiple * multiple);
  return round_up(ceil_div(extent, ceil_div(extent, limit)), multiple);
}

// With a few values of k, most of the time is taken by writing C, which long pieces of a few rows
// do faster than short ones of many: 1000 x 1 x 1000 and 176 x 6 x 1173 by a quarter.
bool is_short_and_wide(const Kernel& tall, const Kernel& low, std::int64_t m, std::int64_t n,
                       std::int64_t k) {
  if (k <= 2 && n >= std::int64_t{8} * tall.nr) return true;
  if (k > kShortK || low.nr <= tall.nr || tall.panels.always) return false;
  if (m <= std::int64_t{2} * tall.mr || n <= tall.nr) return false;
  // But not if the last piece of each row is a short one, and one of few.
  const auto tiles = [&](const Kernel& kernel) {
    return ceil_div(m, kernel.mr) * ceil_div(n, kernel.nr);
  };
  return 4 * tiles(low) <= 5 * tiles(tall);
}

// Whether columns of one vector more than a tall tile has are to be one low tile with it: in a tile
// of its own, each multiply-add would load its own value of A. 17 x 17 x 17 of float64 took a fifth
// longer so. Where A comes from beyond L2, tall tiles read it better.
bool are_one_low_tile(const Kernel& tall, const Kernel& low, std::int64_t m, std::int64_t n,
                      std::int64_t k) {
  if (n <= tall.nr || n > low.nr || tall.dots == nullptr || tall.panels.always) return false;
  return n <= tall.nr + tall.dots->packed_lanes && is_kept_in_l2(tall, m, k) &&
         columns_in_excess(tall, m, n, k) == 0;
}

}  // namespace

bool is_kept_in_l2(const Kernel& kernel, std::int64_t m, std::int64_t k) {
  return m * k * size_of(kernel.a_type) <= cache_sizes().l2 / 2;
}

std::int64_t columns_in_excess(const Kernel& kernel, std::int64_t m, std::int64_t n,
                               std::int64_t k) {
  if (kernel.dots == nullptr || n <= kernel.nr || m < kLeastForExcess || k < kLeastForExcess ||
      !is_kept_in_l2(kernel, m, k)) {
    return 0;
  }
  // Of half a vector, the multiply-adds of the transpose alone take as long as a tile.
  const std::int64_t rest = n % kernel.nr;
  return 4 * rest <= kernel.dots->packed_lanes ? rest : 0;
}

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = read_cache_sizes();
  return sizes;
}

const Kernel& choose_kernel(std::span<const Kernel> kernels, std::int64_t m, std::int64_t n,
                            std::int64_t k) {
  // The lowest tile that holds all rows, or the tallest.
  for (std::size_t i = kernels.size(); i-- > 1;) {
    if (m <= kernels[i].mr) return kernels[i];
  }
  const Kernel& tall = kernels.front();
  if (kernels.size() > 1 && (is_short_and_wide(tall, kernels[1], m, n, k) ||
                             are_one_low_tile(tall, kernels[1], m, n, k))) {
    return kernels[1];
  }
  const bool small = k < tall.kr || m * n < tall.break_even * (m + n);
  return tall.break_even > 0 && small && kernels.size() > 1 ? *tall.plain : tall;
}

std::int64_t choose_block_columns(const Kernel& kernel, const CacheSizes& caches, std::int64_t n,
                                  bool keeps_sums) {
  if (n <= kernel.nr) return kernel.nr;
  // B's block takes half of L2: every panel of A streams it into L1 once. The rest is for C and A,
  // which pass by, and for the next block, which is fetched meanwhile (three quarters were up to 2
  // % slower). Kernels that read nothing but panels do not fetch it, and take an eighth more if
  // that is all of B (int8 was up to 9 % faster: A is packed less often), but not where sums of C
  // pass by (bfloat16 was 1 to 9 % slower). On CPUs with a small L2, B may overflow into L3
  // instead: with fewer than 256 columns A would be packed and C loaded too often for too little
  // work.
  const Panels& panels = kernel.panels;
  const std::int64_t block = kernel.kc / panels.k_step * panels.b_step_bytes;
  // A panel more, so that the columns before the first one (see choose_lead) do not make two blocks
  // of one.
  const auto columns_in = [&](std::int64_t bytes) {
    return std::max<std::int64_t>(256, bytes / block * kernel.nr) + kernel.nr;
  };
  const std::int64_t all = columns_in(caches.l2 / 8 * 5);
  if (panels.always && !keeps_sums && n <= all) return round_up(n, kernel.nr);
  return even_block(n, columns_in(caches.l2 / 2), kernel.nr);
}

std::int64_t b_panel_bytes(const Panels& panels, std::int64_t kc) {
  return round_up(panels.b_head_bytes + ceil_div(kc, panels.k_step) * panels.b_step_bytes, 64);
}

Grid choose_grid(const Kernel& kernel, const Rectangle& c, std::int64_t k, int threads) {
  // To read and pack a value of A or B takes the time of so many multiply-adds.
  constexpr std::int64_t kReadWork = 16;
  // Where shares meet within lines of C, each of these goes to and fro once, in the time of so many
  // bytes of factors: 64 x 64 x 64, side by side, took two threads 7.2 us and one 2.9.
  constexpr std::int64_t kLineWork = 1 << 15;
  // Multiply-adds take four cycles: tiles of fewer rows, of two vectors each, wait for them.
  constexpr std::int64_t kLeastRows = 4;
  const std::int64_t unit = kernel.panels.always ? kernel.mr : 1;
  const std::int64_t row_units = ceil_div(c.rows, unit);
  const std::int64_t col_panels = ceil_div(c.cols, kernel.nr);
  Grid best{.rows = 1, .cols = 1};
  if (threads == 1) return best;
  std::int64_t least_work = 0;
  // The one whose largest share is the least work; of those with much the same, the one with more
  // rows, whose shares meet in a few lines.
  for (std::int64_t rows = std::min<std::int64_t>(threads, row_units); rows >= 1; --rows) {
    const std::int64_t cols = std::min(threads / rows, col_panels);
    const std::int64_t high = ceil_div(row_units, rows) * unit;
    const std::int64_t wide = ceil_div(col_panels, cols) * kernel.nr;
    const std::int64_t products = std::max(high, kLeastRows) * wide + kReadWork * (high + wide);
    const bool meet = cols > 1 && c.straddles_lines;
    const std::int64_t work = products * k * size_of(kernel.dtype) + (meet ? high * kLineWork : 0);
    if (least_work == 0 || 32 * work < 31 * least_work) {
      least_work = work;
      best = {.rows = static_cast<int>(rows), .cols = static_cast<int>(cols)};
    }
  }
  return best;
}

Range part(std::int64_t size, std::int64_t unit, std::int64_t parts, std::int64_t index) {
  if (parts == 1) return {.begin = 0, .end = size};
  const std::int64_t units = ceil_div(size, unit);
  return {.begin = std::min(size, units * index / parts * unit),
          .end = std::min(size, units * (index + 1) / parts * unit)};
}

}  // namespace hotloops
