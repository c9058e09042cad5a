#include "in_place.h"

#include <algorithm>
#include <numeric>

#include "view.h"

namespace hotloops {
namespace {

// The columns of the tile that begins here, if it begins where tiles do: whole ones' columns, or
// those of a tile.
std::int64_t wide_columns(const Kernel& kernel, std::int64_t begin, std::int64_t end) {
  const std::int64_t whole = (end - begin) / kernel.nr * kernel.nr;
  return begin % kernel.nr == 0 && whole > 0 ? std::min(whole, kernel.wide_row.cols) : kernel.nr;
}

// Vectors of so many values after which rows of n, one behind the other, begin anew.
std::int64_t period_of_rows(std::int64_t n, std::int64_t lanes) { return n / std::gcd(n, lanes); }

}  // namespace

Tile tile_in_place(const MatmulArgs& args, std::int64_t k, std::int64_t kc) {
  return {.kc = kc,
          .rows = 0,
          .cols = 0,
          .a = nullptr,
          .a_row_stride = args.a.row_stride,
          .a_col_stride = args.a.col_stride,
          .b = nullptr,
          .b_stride = args.b.row_stride,
          .packed_b = nullptr,
          .pending = nullptr,
          .c = nullptr,
          .c_stride = args.c.row_stride,
          .accumulate = args.accumulate || k > 0,
          .epilogue = {},
          .narrow_c = nullptr,
          .narrow_c_stride = args.c.row_stride,
          .narrow_type = args.narrowing.type,
          .swapped = args.swapped,
          .copy_from = nullptr,
          .copy_to = nullptr,
          .fetch = {}};
}

void run_in_place(const Plan& plan, const MatmulArgs& args, Range panels, const BlockOfB& b,
                  const std::byte* packed_b, const std::byte* packed_a) {
  const Kernel& kernel = *plan.kernel;
  const Epilogue epilogue = b.k + b.kc == args.k ? args.epilogue : Epilogue{};
  const void* first_b = from(args.b, b.k, 0, kernel.b_type).data;
  const std::int64_t panel_bytes = b_panel_bytes(kernel.panels, b.kc);
  Tile tile = tile_in_place(args, b.k, b.kc);
  if (packed_b != nullptr) tile.b_stride = kernel.nr;
  const Operands operands = packed_a == nullptr ? Operands::in_place : Operands::packed_a;
  RunTile run = nullptr;
  for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
    const Range rows = plan.rows_of(panel);
    const std::int64_t in_c = rows.begin * args.c.row_stride;
    tile.a = packed_a == nullptr ? from(args.a, rows.begin, b.k, kernel.a_type).data : packed_a;
    const std::byte* panel_of_b = packed_b;
    std::int64_t end = b.first_col;
    while (end < b.end_col) {
      const std::int64_t begin = std::max(end, plan.lead);
      const std::int64_t j = begin - plan.lead;
      const std::int64_t most = plan.wide_rows ? wide_columns(kernel, begin, b.end_col) : kernel.nr;
      end = std::min<std::int64_t>(end + most, b.end_col);
      if (tile.rows != rows.size() || tile.cols != end - begin) {
        tile.rows = static_cast<int>(rows.size());
        tile.cols = static_cast<int>(end - begin);
        run = tile.cols > kernel.nr ? kernel.wide_row.run
                                    : kernel.choose(tile.rows, tile.cols, operands);
      }
      if (packed_b == nullptr) {
        tile.b = at(first_b, j, kernel.b_type);
      } else {
        tile.b = panel_of_b;
        panel_of_b += panel_bytes;
      }
      tile.c = at(args.c.data, in_c + j, kernel.dtype);
      tile.epilogue = from(epilogue, j, in_c + j, kernel.dtype);
      run(tile);
    }
  }
}

bool are_short_rows(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t lanes = kernel.short_rows.lanes;
  // Longer ones waste little of a tile's vectors.
  if (args.n * 8 > lanes * 5 || args.n == 1 || args.k == 0) return false;
  // Laying out B's values takes the time of four times as many values of C.
  constexpr std::int64_t kLayOut = 4;
  if (args.m * args.n < kLayOut * args.k * lanes) return false;
  const bool side_by_side = args.a.col_stride == 1 && args.a.row_stride == args.k &&
                            args.c.col_stride == 1 && args.c.row_stride == args.n;
  if (!side_by_side || !args.epilogue.is_trivial() || args.packed_b.data != nullptr ||
      args.narrows() || args.accumulate) {
    return false;
  }
  // A vector of C may begin at any multiple of what its length and a row's have in common.
  const std::int64_t latest = args.n - std::gcd(args.n, lanes);
  const std::int64_t rows = (latest + lanes - 1) / args.n + 1;
  const std::int64_t steps = period_of_rows(args.n, lanes) * args.k;
  return rows * args.k <= 2 * lanes && steps <= kMostShortRowsSteps &&
         args.m * args.n >= kLayOut * steps * lanes;
}

void run_short_rows(const Kernel& kernel, const MatmulArgs& args) {
  kernel.short_rows.run({.m = args.m,
                         .n = args.n,
                         .k = args.k,
                         .period = period_of_rows(args.n, kernel.short_rows.lanes),
                         .a = args.a.data,
                         .b = args.b.data,
                         .b_row_stride = args.b.row_stride,
                         .b_col_stride = args.b.col_stride,
                         .c = args.c.data});
}

void run_packed_in_place(const Plan& plan, const MatmulArgs& args, bool backwards) {
  const Kernel& kernel = *plan.kernel;
  const std::int64_t panels = ceil_div(args.n, kernel.nr);
  for (std::int64_t i = 0; i < panels; ++i) {
    const std::int64_t index = backwards ? panels - 1 - i : i;
    const std::int64_t j = index * kernel.nr;
    const std::byte* panel = args.packed_b.data + index * args.packed_b.column_bytes;
    std::int64_t k = 0;
    do {  // once for k == 0, too
      Tile tile = tile_in_place(args, k, std::min(kernel.kc, args.k - k));
      const Epilogue epilogue = k + tile.kc == args.k ? args.epilogue : Epilogue{};
      tile.cols = static_cast<int>(std::min<std::int64_t>(kernel.nr, args.n - j));
      tile.b = panel;
      tile.b_stride = kernel.nr;
      for (std::int64_t p = 0; p < plan.row_panels; ++p) {
        const Range rows = plan.rows_of(p);
        const std::int64_t in_c = rows.begin * args.c.row_stride + j;
        tile.rows = static_cast<int>(rows.size());
        tile.a = from(args.a, rows.begin, k, kernel.a_type).data;
        tile.c = at(args.c.data, in_c, kernel.dtype);
        tile.epilogue = from(epilogue, j, in_c, kernel.dtype);
        kernel.choose(tile.rows, tile.cols, Operands::in_place)(tile);
      }
      panel += args.packed_b.block_bytes;
      k += kernel.kc;
    } while (k < args.k);
  }
}

FewTiles few_tiles(const Plan& plan, const MatmulArgs& args) {
  const Kernel& kernel = *plan.kernel;
  FewTiles few;
  for (std::int64_t panel = 0; panel < plan.row_panels; ++panel) {
    const Range rows = plan.rows_of(panel);
    for (std::int64_t j = 0; j < args.n; j += kernel.nr) {
      const auto height = static_cast<int>(rows.size());
      const auto width = static_cast<int>(std::min<std::int64_t>(kernel.nr, args.n - j));
      const std::int64_t in_c = rows.begin * args.c.row_stride + j;
      // Made where it stays: to copy it took 2 ns more.
      FewTiles::Slot& slot = few.slots[few.count++];
      new (&slot.run) FewTiles::Run{.tile = tile_in_place(args, 0, args.k),
                                    .run = kernel.choose(height, width, Operands::in_place)};
      Tile& tile = slot.run.tile;
      tile.rows = height;
      tile.cols = width;
      tile.a = from(args.a, rows.begin, 0, kernel.a_type).data;
      tile.b = from(args.b, 0, j, kernel.b_type).data;
      tile.c = at(args.c.data, in_c, kernel.dtype);
      tile.epilogue = from(args.epilogue, j, in_c, kernel.dtype);
    }
  }
  return few;
}

}  // namespace hotloops
