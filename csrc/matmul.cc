#include "matmul.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "batch_dots.h"
#include "blocking.h"
#include "blocks_of_k.h"
#include "dot_products.h"
#include "in_place.h"
#include "method.h"
#include "shares.h"
#include "threads.h"
#include "workspace.h"

namespace hotloops {
namespace {

// Bytes of factors of multiply-adds that are worth a thread of their own: of products of 6 us on
// one thread two gain a tenth, of 9 us a third, of 20 us 1.6, and 1.9 of one from 250 us on.
constexpr std::int64_t kWorkPerThread = 1 << 20;

int threads_for(const Kernel& kernel, const MatmulArgs& args, std::int64_t items, int threads) {
  if (threads == 1) return 1;
  const auto& [m, n, k] = std::tie(args.m, args.n, args.k);
  const std::int64_t bytes = m * k * size_of(kernel.a_type) + k * n * size_of(kernel.b_type) +
                             m * n * size_of(args.c_type(kernel));
  const std::int64_t work = m * n * std::max<std::int64_t>(1, k) * size_of(kernel.dtype);
  return std::max(worthwhile_threads(items * work, kWorkPerThread, threads),
                  worthwhile_threads(items * bytes, kBytesPerThread, threads));
}

// The same products said with as few dimensions as possible.
struct Batch {
  MatmulArgs args;
  int ndim = 0;
  std::array<BatchDim, kMaxDims> dims;  // the first ndim, outermost first

  Batch(const Kernel& kernel, const MatmulArgs& product, std::span<const BatchDim> batch)
      : args(product) {
    for (const BatchDim& dim : batch) {
      if (dim.size == 1) continue;
      const bool merges = ndim > 0 && continues(dims[ndim - 1], dim);
      const std::int64_t before = merges ? dims[--ndim].size : 1;
      dims[ndim] = dim;
      dims[ndim++].size *= before;
    }
    while (ndim > 0 && continues_rows(dims[ndim - 1])) fold(dims[--ndim]);
    if (is_better_transposed(kernel)) transpose();
    if (kernel.parts > 1) count_parts(kernel.parts);
  }

  [[nodiscard]] std::int64_t size() const {
    std::int64_t size = 1;
    for (int d = 0; d < ndim; ++d) size *= dims[d].size;
    return size;
  }

  [[nodiscard]] MatmulArgs item(const Kernel& kernel, std::int64_t index) const {
    MatmulArgs result = args;
    for (int d = ndim - 1; d >= 0; --d) {
      std::int64_t i = index;
      if (d > 0) {  // a division costs as much as a product of 4x4
        i = index % dims[d].size;
        index /= dims[d].size;
      }
      result.a.data = at(result.a.data, i * dims[d].a_stride, kernel.a_type);
      result.b.data = at(result.b.data, i * dims[d].b_stride, kernel.b_type);
      result.c.data = at(result.c.data, i * dims[d].c_stride, args.c_type(kernel));
      const void*& residual = result.epilogue.residual;
      if (residual != nullptr) residual = at(residual, i * dims[d].c_stride, kernel.dtype);
    }
    return result;
  }

 private:
  // Whether the outer of two dimensions is nothing but more of the inner one.
  static bool continues(const BatchDim& outer, const BatchDim& inner) {
    return outer.a_stride == inner.size * inner.a_stride &&
           outer.b_stride == inner.size * inner.b_stride &&
           outer.c_stride == inner.size * inner.c_stride;
  }

  // Many A's over one B are one taller A if their rows lie evenly in memory, and C's too.
  [[nodiscard]] bool continues_rows(const BatchDim& dim) const {
    return dim.b_stride == 0 && (args.m == 1 || (dim.a_stride == args.m * args.a.row_stride &&
                                                 dim.c_stride == args.m * args.c.row_stride));
  }

  void fold(const BatchDim& dim) {
    if (args.m == 1) {
      args.a.row_stride = dim.a_stride;
      args.c.row_stride = dim.c_stride;
    }
    args.m *= dim.size;
  }

  // Tiles have rows in memory, and long ones. A C of columns, or a single column, or a few short of
  // them, is the transpose of one that has: C' = B' A', whose products commute bit for bit.
  [[nodiscard]] bool is_better_transposed(const Kernel& kernel) const {
    if (!may_transpose(kernel)) return false;
    const bool columns = args.c.col_stride != 1 && args.c.row_stride == 1;
    const bool column = args.n == 1 && args.m > 1;
    bool by_dots = args.epilogue.bias != nullptr;  // which then runs along the rows
    if (!columns && !column) {
      if (!is_narrow(kernel)) return false;
      by_dots = by_dots || args.a.col_stride == 1;
    }
    return !by_dots || are_dot_products(kernel, transpose_of(args));
  }

  // Whether C has few columns for vectors to be filled with, and its transpose takes less time,
  // often half, bringing it back included. Rows of A that lie along k then meet these columns as
  // dot products do, unless they nearly fill vectors; where columns of A are what lies side by
  // side, they fill the vectors of B, and need no transposing. Less work than that gains nothing.
  [[nodiscard]] bool is_narrow(const Kernel& kernel) const {
    constexpr std::int64_t kLeastWork = 1024;  // values of A
    if (kernel.dots == nullptr || kernel.dots->packed_lanes == 0 || kernel.panels.always ||
        args.m < 2 * args.n || args.m * args.k < kLeastWork) {
      return false;
    }
    const auto fills = [&](std::int64_t width) {
      const std::int64_t rest = args.n % width;
      return rest == 0 || 4 * rest > 3 * width;
    };
    const std::int64_t lanes = kernel.dots->packed_lanes;
    // An A from memory is read in half the time, too.
    const bool from_memory = args.m * args.k * size_of(kernel.a_type) > cache_sizes().l2;
    if (args.a.col_stride == 1) {
      return args.k >= 8 * args.n &&
             (args.n <= kColumnsRows ||
              (args.n <= kernel.dots->packed_rows &&
               (from_memory || (2 * args.n <= 3 * lanes && !fills(lanes)))));
    }
    if (args.a.row_stride != 1 || args.m < kernel.dots->lanes) return false;
    if (args.n <= std::max(kernel.mr, kernel.nr / 2)) return args.k >= args.n;
    // Packing A for some more columns, which do not fill tiles, still takes more time than bringing
    // a tall C back, if there are many values of k: 2212 x 248 x 36 took twice as long.
    const std::int64_t least = (fills(lanes) ? 8 : 4) * args.n;
    return args.n < std::int64_t{3} * kernel.nr && args.m >= least && args.k >= least &&
           (from_memory || !fills(kernel.nr));
  }

  [[nodiscard]] bool may_transpose(const Kernel& kernel) const {
    // Of complex operands the parts of B would come first, in another order.
    if (kernel.a_type != kernel.b_type || kernel.parts > 1 || args.packed_b.data != nullptr) {
      return false;
    }
    return (kernel.commutes || args.n == 1) &&
           (args.epilogue.bias == nullptr ||
            (args.epilogue.residual == nullptr && !args.narrows()));
  }

  void transpose() {
    args = transpose_of(args);
    for (int d = 0; d < ndim; ++d) std::swap(dims[d].a_stride, dims[d].b_stride);
  }

  // As the kernels for complex matrices see them.
  void count_parts(int parts) {
    if (args.n == 1) args.b.col_stride = 1;  // whatever it was: there is no other column
    args.n *= parts;
    args.k *= parts;
    args.a.row_stride *= parts;
    args.c.row_stride *= parts;
    for (int d = 0; d < ndim; ++d) {
      dims[d].a_stride *= parts;
      dims[d].b_stride *= parts;
      dims[d].c_stride *= parts;
    }
  }
};

// Some products of a batch along one dimension that are a few tiles each.
void run_few_tiles(const Plan& plan, const Batch& batch, Range items) {
  if (items.size() == 0) return;
  const Kernel& kernel = *plan.kernel;
  FewTiles few = few_tiles(plan, batch.item(kernel, items.begin));
  const BatchDim step = batch.ndim == 0 ? BatchDim{} : batch.dims[0];
  for (std::int64_t i = items.begin; i < items.end; ++i) {
    for (FewTiles::Slot& slot : few.used()) {
      auto& [tile, run] = slot.run;
      run(tile);
      tile.a = at(tile.a, step.a_stride, kernel.a_type);
      tile.b = at(tile.b, step.b_stride, kernel.b_type);
      tile.c = at(tile.c, step.c_stride, kernel.dtype);
      const void*& residual = tile.epilogue.residual;
      if (residual != nullptr) residual = at(residual, step.c_stride, kernel.dtype);
    }
  }
}

// Some dot products of a batch, as far as they lie evenly in memory.
void run_dots(const Kernel& kernel, const Batch& batch, Range items) {
  const BatchDim& dim = batch.dims[batch.ndim - 1];
  for (std::int64_t i = items.begin; i < items.end;) {
    const std::int64_t count = std::min(dim.size - i % dim.size, items.end - i);
    run_batch_dots(kernel, batch.item(kernel, i), dim, count);
    i += count;
  }
}

}  // namespace

void matmul(std::span<const Kernel> kernels, const MatmulArgs& args,
            std::span<const BatchDim> batch_dims, int threads) {
  const Batch batch(kernels.front(), args, batch_dims);
  const std::int64_t items = batch.size();
  if (items == 0 || batch.args.m == 0 || batch.args.n == 0) return;

  const Kernel& kernel = choose_kernel(kernels, batch.args.m, batch.args.n, batch.args.k);
  const Method method(kernel, batch.args);
  const int threads_an_item = threads_for(kernel, batch.args, 1, threads);
  const int most = static_cast<int>(std::min<std::int64_t>(items, threads));
  const int count = threads_for(kernel, batch.args, items, most);
  if (dealt_out(items, count, threads_an_item)) {
    const bool batch_dots =
        batch.ndim > 0 && are_batch_dots(kernel, batch.args, batch.dims[batch.ndim - 1]);
    // One dot product is not made of tiles, but of many, short ones, tiles cost the least.
    const bool few_tiles = method.plan.few_tiles && method.rest == 0 && !method.short_rows &&
                           (method.dots ? batch.ndim == 1 : batch.ndim <= 1);
    const std::int64_t apart = method.bytes + kThreadGap;
    std::byte* memory = workspace(count * apart - kThreadGap);
    parallel(count, [&](Team team) {
      std::byte* own = memory + team.index * apart;
      const Range range = part(items, 1, team.count, team.index);
      if (batch_dots) {
        run_dots(kernel, batch, range);
        return;
      }
      if (few_tiles) {
        run_few_tiles(method.plan, batch, range);
        return;
      }
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        method.run(batch.item(kernel, i), own);
      }
    });
  } else if (shares_blocks_of_k(method, batch.args, threads_an_item)) {
    const BlocksOfK blocks(kernel, batch.args, threads_an_item);
    std::byte* memory = workspace(blocks.bytes());
    for (std::int64_t i = 0; i < items; ++i) {
      const MatmulArgs item = batch.item(kernel, i);
      parallel(threads_an_item, [&](Team team) { blocks.run(item, team, memory); });
    }
  } else if (method.dots) {
    std::byte* memory = workspace(method.bytes);
    for (std::int64_t i = 0; i < items; ++i) {
      const MatmulArgs item = batch.item(kernel, i);
      parallel(threads_an_item, [&](Team team) { method.run(item, memory, team); });
    }
  } else {
    const Shares shares(method, batch.args, threads_an_item);
    std::byte* memory = workspace(shares.bytes());
    for (std::int64_t i = 0; i < items; ++i) {
      const MatmulArgs item = batch.item(kernel, i);
      parallel(shares.count(), [&](Team team) { shares.run(item, team, memory); });
    }
  }
}

}  // namespace hotloops
