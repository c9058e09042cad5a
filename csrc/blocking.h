// How a product is cut: tile shape, cache blocks, threads.

#pragma once

#include <cstdint>
#include <span>

#include "kernel.h"

namespace hotloops {

struct CacheSizes {
  std::int64_t l1d, l2, l3;  // bytes; l3 is that of the whole socket
};

// So few values of k that preparing a tile, and writing it, takes longer than multiplying.
inline constexpr std::int64_t kShortK = 8;

// Of this machine, read once from the operating system; typical sizes where it does not tell.
const CacheSizes& cache_sizes();

// The kernel for a product of that size, of an ISA's several: the one that wastes least.
const Kernel& choose_kernel(std::span<const Kernel> kernels, std::int64_t m, std::int64_t n,
                            std::int64_t k);

// Whether A, of m rows and k columns, is still in L2 after a product.
bool is_kept_in_l2(const Kernel& kernel, std::int64_t m, std::int64_t k);

// The last columns, if they are too few for a tile of their own, whose vector they would leave
// empty but for a quarter: vectors of rows take less time. With fewer rows or values of k than so
// many, beginning anew takes more than that.
inline constexpr std::int64_t kLeastForExcess = 48;
std::int64_t columns_in_excess(const Kernel& kernel, std::int64_t m, std::int64_t n,
                               std::int64_t k);

// Columns of B that are packed and used together, a multiple of nr. Sums of C may be kept apart
// from it, from one block of k to the next.
std::int64_t choose_block_columns(const Kernel& kernel, const CacheSizes& caches, std::int64_t n,
                                  bool keeps_sums);

// Of a packed panel of B, for so many values of k; a multiple of a cache line.
std::int64_t b_panel_bytes(const Panels& panels, std::int64_t kc);

// Threads as a grid over C. Its columns are cut at multiples of nr, its rows between panels, or
// anywhere, unless the kernel always packs.
struct Grid {
  int rows, cols;
};

struct Rectangle {
  std::int64_t rows, cols;
  bool straddles_lines;  // columns that tiles begin at lie within cache lines
};

Grid choose_grid(const Kernel& kernel, const Rectangle& c, std::int64_t k, int threads);

struct Range {
  std::int64_t begin, end;

  [[nodiscard]] std::int64_t size() const { return end - begin; }
};

// The index-th of `parts` nearly equal pieces of [0, size), cut at multiples of `unit`.
Range part(std::int64_t size, std::int64_t unit, std::int64_t parts, std::int64_t index);

constexpr std::int64_t ceil_div(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return ceil_div(x, multiple) * multiple;
}

}  // namespace hotloops
