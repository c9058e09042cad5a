#include "plan.h"

#include <algorithm>
#include <cstdlib>

namespace hotloops {
namespace {

// Rows of C whose sums are kept where they are to be narrowed: with more, B is packed less often.
// Of bfloat16, 2048 rows in one piece were 12 % faster than in two.
constexpr std::int64_t kRowsOfSums = 2048;

// Rows of C that are multiplied together, with all blocks of k: a block's values of A and C lie in
// a page or more for each of them, and their addresses are to be known to the second TLB, which has
// 2048 entries or more, when the next block comes to the same pages. With all rows, a float64
// product of 4096 x 4096 in small pages took 8 % longer, and 50000 x 1024 x 64 a sixth: there C
// stays in L2.
constexpr std::int64_t kRowsOfGroup = 1024;

// Panels of A that are few for B to be packed.
constexpr std::int64_t kFewPanels = 6;

// So few values of k that deciding on each tile what to do in passing takes longer than packing a
// panel of A in one go, for rows of so many tiles.
constexpr std::int64_t kMostInOneGo = 64;
constexpr std::int64_t kTilesInOneGo = 8;

constexpr std::int64_t kLine = 64;

// Bytes that rows so far apart span.
std::int64_t span_bytes(std::int64_t rows, std::int64_t stride, ElementType type) {
  return rows * std::abs(stride) * size_of(type);
}

std::int64_t misalignment(const ConstView& matrix) {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(matrix.data) % kLine);
}

// Whether rows begin where cache lines do.
bool on_lines(const ConstView& matrix, ElementType type) {
  return misalignment(matrix) == 0 && matrix.row_stride * size_of(type) % kLine == 0;
}

// Whether rows of A are to be read in place by a kernel that could pack them in their first tile:
// whole panels of whole steps, in whole lines and so close together that L1 holds a panel as it
// holds a packed one. Those were 2 to 6 % slower (with B packed before up to 7 %).
bool rows_like_panels(const ConstView& a, const Kernel& kernel, std::int64_t m, std::int64_t k) {
  const Panels& panels = kernel.panels;
  return panels.a_in_first_tile && m % kernel.mr == 0 && k > 0 && k % panels.k_step == 0 &&
         a.col_stride == 1 && on_lines(a, kernel.a_type) &&
         span_bytes(kernel.mr, a.row_stride, kernel.a_type) <= panels.a_bytes;
}

// Whether columns of A, so many, may stay where they are: a piece of each has the lines of L1 to
// itself, if they are all close together, or if they are few and their distance brings them to
// different sets.
bool columns_close(const ConstView& a, const Kernel& kernel, std::int64_t columns) {
  const std::int64_t l1 = cache_sizes().l1d / 2;
  if (span_bytes(columns, a.col_stride, kernel.a_type) <= l1) return true;
  const std::int64_t size = size_of(kernel.a_type);
  return a.row_stride == 1 && a.col_stride * size % (2 * kLine) != 0 &&
         columns * (kernel.mr * size + kLine) <= l1;
}

// How many columns to put before the first one for the tiles to begin at cache lines of a matrix
// with n columns; 0 where that cannot be or does not pay. NumPy aligns large arrays to 16 bytes
// only, and a tile whose rows straddle lines takes 3 to 5 % longer where they are C's, and a third
// where they are those of a B in memory; the tile more in each row of tiles takes half of one's
// time. With a few values of k, writing C is nearly all that there is to do.
std::int64_t choose_lead(const Kernel& kernel, const ConstView& matrix, std::int64_t n,
                         std::int64_t k) {
  const std::int64_t worthwhile_tiles = k <= kShortK ? 8 : 24;
  const std::int64_t size = size_of(kernel.dtype) * kernel.parts;
  const std::int64_t offset = misalignment(matrix);
  if (n < worthwhile_tiles * kernel.nr || matrix.col_stride != 1 ||
      matrix.row_stride * size_of(kernel.dtype) % kLine != 0 || offset % size != 0) {
    return 0;
  }
  return offset / size_of(kernel.dtype) % kernel.nr;  // a tile may be narrower than a line
}

}  // namespace

std::int64_t tail_bytes(const Kernel& kernel) {
  std::int64_t bytes = in_lines(kernel.pending_bytes);
  if (kernel.panels.suit != nullptr) {
    const Panels& panels = kernel.plain->panels;
    bytes += in_lines(panels.a_bytes) + b_panel_bytes(panels, kernel.kc);
    // A panel of B that was packed before, unpacked.
    bytes += in_lines(kernel.kc * kernel.nr * size_of(kernel.b_type));
  }
  return bytes;
}

Plan::Plan(const Kernel& the_kernel, const MatmulArgs& args, std::optional<std::int64_t> the_lead)
    : kernel(&the_kernel),
      row_panels(ceil_div(args.m, the_kernel.mr)),
      height(args.m / row_panels),
      higher(args.m % row_panels) {
  const Panels& panels = the_kernel.panels;
  const std::int64_t kc = std::min(args.k, the_kernel.kc);
  const bool packed = args.packed_b.data != nullptr;

  // Packing pays when a panel is read several times, unless it lies close together as it is: A's in
  // half of L1, where no two of its lines compete for a set more than others do; B's in a part of
  // L2 that few pages cover, or anywhere if it is read by a few panels of A only. Measured for up
  // to kFewPanels of them, B in place is 2 to 10 % faster (float64 up to 17) than packed in
  // passing. Rows that straddle cache lines make it 4 to 9 % slower for any number of panels, but
  // for a B that L1 holds, where few columns leave A in place, too, and for a few values of k,
  // where deciding on each tile takes longer than that.
  const CacheSizes& caches = cache_sizes();
  const bool few_columns = args.n < std::int64_t{4} * the_kernel.nr;
  const bool b_in_rows = args.b.col_stride == 1;
  const std::int64_t b_span = span_bytes(kc, args.b.row_stride, the_kernel.b_type);
  const bool b_close = b_span <= caches.l2 / 16;
  const bool b_in_lines = b_span <= caches.l1d / 2 || few_columns ||
                          on_lines(args.b, the_kernel.b_type) || args.k <= kShortK;
  const bool is_complex = the_kernel.parts > 1;
  c_in_place = args.c.col_stride == 1 && !args.narrows() && !panels.always;
  b_in_place =
      !panels.always && !packed && b_in_rows &&
      (row_panels <= 2 || (b_in_lines && (b_close || row_panels <= kFewPanels)) || is_complex);
  b_kept = !b_in_place && !packed && row_panels > 1;
  if (the_lead.has_value()) {
    lead = *the_lead;
  } else if (!packed && !args.narrows()) {
    const bool b_once = b_in_place && !b_close && !is_complex;
    lead = choose_lead(the_kernel, b_once ? args.b : args.c.as_const(), args.n, args.k);
  }
  const bool keeps_sums = args.narrows() && args.k > the_kernel.kc;
  nc = choose_block_columns(the_kernel, caches, lead + args.n, keeps_sums);
  const bool a_read_often = args.n > std::int64_t{2} * the_kernel.nr;
  const std::int64_t highest = std::min<std::int64_t>(args.m, the_kernel.mr);
  const bool a_close = args.a.col_stride == 1 ? span_bytes(highest, args.a.row_stride,
                                                           the_kernel.a_type) <= caches.l1d / 2
                                              : columns_close(args.a, the_kernel, kc);
  // An A that lies close together is little slower in place: by 3 to 10 % where there is enough to
  // do for packing in passing to cost nothing.
  const bool a_packed_in_passing = !few_columns && args.n * kc >= std::int64_t{512} * the_kernel.nr;
  // Nor need a few rows be packed for a packed B larger than L2: with A in place, all of B is read
  // in its order, and then in the other one, and half of L2's misses are saved (see PackedView). A
  // row times 1536 x 384 took 51 us and takes 37, one times 1024 x 1024 146 and 97.
  const std::int64_t all_of_b = args.n * args.k * size_of(the_kernel.b_type);
  const bool few_rows_of_large_b = packed && 2 * args.m <= the_kernel.mr && all_of_b > caches.l2;
  // A B from far away is read in long pieces of its rows, where there is a kernel for it.
  wide_rows = the_kernel.wide_row.cols > 0 && args.m == 1 && b_in_place && c_in_place &&
              all_of_b > caches.l2 / 2;
  if (wide_rows) nc = round_up(lead + args.n, the_kernel.nr);
  // The microkernel has no words for packing B while reading A in place. That for complex operands
  // has both in place, or none.
  a_in_place =
      (!a_read_often || wide_rows || (a_close && (!a_packed_in_passing || few_rows_of_large_b))) &&
      (b_in_place || packed || !b_in_rows);
  if (is_complex) a_in_place = b_in_place;
  if (panels.always) a_in_place = rows_like_panels(args.a, the_kernel, args.m, args.k);

  group = row_panels;
  few_in_passing = args.k <= kMostInOneGo && args.n >= kTilesInOneGo * the_kernel.nr && b_kept &&
                   !a_in_place && c_in_place;
  in_place = a_in_place && b_in_place && c_in_place;
  packed_in_place = a_in_place && packed && c_in_place && row_panels <= 2;
  few_tiles = in_place && lead == 0 && args.k <= the_kernel.kc &&
              row_panels * ceil_div(args.n, the_kernel.nr) <= kMostFewTiles;
  if (few_tiles) return;

  // Kernels that read nothing but panels would take time to pack B again.
  if (keeps_sums || (args.k > the_kernel.kc && !panels.always)) {
    const std::int64_t most_rows = keeps_sums ? kRowsOfSums : kRowsOfGroup;
    group = ceil_div(row_panels, ceil_div(row_panels, ceil_div(most_rows, the_kernel.mr)));
  }
  if (keeps_sums) {
    sums_bytes = in_lines(group * the_kernel.mr * nc * size_of(the_kernel.dtype));
  }

  b_group = b_in_rows && lead == 0 ? panels.b_group : 1;
  const std::int64_t b_panel = b_panel_bytes(panels, kc);
  if (!b_in_place && !packed) {
    b_bytes = b_panel * (b_kept ? ceil_div(std::min(nc, lead + args.n), the_kernel.nr) : b_group);
  }
  if (!a_in_place) a_bytes = 2 * in_lines(panels.a_bytes);
  bytes = sums_bytes + b_bytes + a_bytes + tail_bytes(the_kernel);
}

}  // namespace hotloops
