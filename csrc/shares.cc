#include "shares.h"

#include <algorithm>
#include <optional>

#include "blocking.h"
#include "workspace.h"

namespace hotloops {
namespace {

MatmulArgs part_of(const Kernel& kernel, const MatmulArgs& args, Range rows, Range cols) {
  const std::int64_t in_c = rows.begin * args.c.row_stride + cols.begin * args.c.col_stride;
  MatmulArgs result = args;
  result.m = rows.size();
  result.n = cols.size();
  result.a = from(args.a, rows.begin, 0, kernel.a_type);
  result.b = from(args.b, 0, cols.begin, kernel.b_type);
  result.c.data = at(args.c.data, in_c, args.c_type(kernel));
  result.epilogue = from(args.epilogue, cols.begin, in_c, kernel.dtype);
  if (args.packed_b.data != nullptr) {
    result.packed_b.data += cols.begin / kernel.nr * args.packed_b.column_bytes;
    result.packed_b.backwards = nullptr;  // the whole product has turned it
  }
  return result;
}

// Whole panels, which may differ in how they are multiplied (see Panels::suit): they are those that
// one thread would have. Where panels are all alike, rows may be cut anywhere.
Range share_of_rows(const Plan& plan, std::int64_t m, std::int64_t shares, std::int64_t index) {
  if (!plan.kernel->panels.always) return part(m, 1, shares, index);
  const Range panels = part(plan.row_panels, 1, shares, index);
  return {.begin = plan.rows_of(panels.begin).begin, .end = plan.rows_of(panels.end).begin};
}

// Likewise of columns: those that the tiles of a share are aligned to.
std::optional<std::int64_t> lead_of_share(const Plan& plan, Range cols) {
  if (!plan.kernel->panels.always) return {};
  return cols.begin == 0 ? plan.lead : 0;
}

Rectangle rectangle_of(const Plan& plan, const MatmulArgs& args) {
  constexpr std::int64_t kLine = 64;
  const std::int64_t size = size_of(args.c_type(*plan.kernel));
  const auto first_tile =
      reinterpret_cast<std::uintptr_t>(args.c.data) - static_cast<std::uintptr_t>(plan.lead * size);
  return {.rows = args.m,
          .cols = plan.lead + args.n,
          .straddles_lines = first_tile % kLine != 0 || args.c.row_stride * size % kLine != 0};
}

}  // namespace

Shares::Shares(const Method& method, const MatmulArgs& args, int threads) {
  const Plan& plan = method.plan;
  const Kernel& kernel = *plan.kernel;
  const Grid grid = choose_grid(kernel, rectangle_of(plan, args), args.k, threads);
  shares_.reserve(static_cast<std::size_t>(grid.rows) * static_cast<std::size_t>(grid.cols));
  for (int i = 0; i < grid.rows; ++i) {
    const Range rows = share_of_rows(plan, args.m, grid.rows, i);
    for (int j = 0; j < grid.cols; ++j) {
      Range cols = part(plan.lead + args.n, kernel.nr, grid.cols, j);
      cols = {.begin = std::max(cols.begin - plan.lead, std::int64_t{0}),
              .end = cols.end - plan.lead};
      const MatmulArgs share = part_of(kernel, args, rows, cols);
      shares_.push_back({rows, cols, Method(kernel, share, lead_of_share(plan, cols))});
      shares_.back().method.backwards = method.backwards;
      apart_ = std::max(apart_, shares_.back().method.bytes + kThreadGap);
    }
  }
}

void Shares::run(const MatmulArgs& args, Team team, std::byte* memory) const {
  for (int i = team.index; i < count(); i += team.count) {
    const Share& share = shares_[static_cast<std::size_t>(i)];
    const MatmulArgs part = part_of(*share.method.plan.kernel, args, share.rows, share.cols);
    share.method.run(part, memory + i * apart_);
  }
}

}  // namespace hotloops
