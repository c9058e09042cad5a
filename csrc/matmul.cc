// The five loops around the microkernel, after Goto & van de Geijn, "Anatomy of high-performance
// matrix multiplication" (2008), and BLIS.
//
//   for each block of nc columns of B and C                 fits L2 (with kc)
//     for each block of kc values of k          pack B      shared by all threads
//       for each block of mc rows of A and C    pack A      a quarter of L2, one per thread
//         for each panel of nr columns                      B's panel stays in L1
//           for each panel of mr rows                       A's panels stream through L1
//             the microkernel: one tile of C in registers

#include "matmul.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "blocking.h"
#include "threads.h"
#include "workspace.h"

namespace hotloops {
namespace {

constexpr std::int64_t kMaxTileBytes = 4096;

std::int64_t aligned(std::int64_t bytes) { return round_up(bytes, 64); }

const void* at(const void* p, std::int64_t elements, DType dtype) {
  return static_cast<const std::byte*>(p) + elements * size_of(dtype);
}
void* at(void* p, std::int64_t elements, DType dtype) {
  return static_cast<std::byte*>(p) + elements * size_of(dtype);
}

template <class T>
void copy_tile(const void* src, std::int64_t src_rows, std::int64_t src_cols, void* dst,
               std::int64_t dst_rows, std::int64_t dst_cols, std::int64_t m, std::int64_t n) {
  const T* from = static_cast<const T*>(src);
  T* to = static_cast<T*>(dst);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      to[i * dst_rows + j * dst_cols] = from[i * src_rows + j * src_cols];
    }
  }
}

// How one product is cut up: the packing buffers that follow from the blocks.
struct Plan {
  Blocking block;
  std::int64_t a_bytes;  // for each thread
  std::int64_t b_bytes;  // for all threads of a team together

  Plan(const Kernel& kernel, const MatmulArgs& args)
      : block(choose_blocking(kernel, cache_sizes(), args.m, args.n)),
        a_bytes(aligned(block.mc * panel_pitch(kernel.dtype) * size_of(kernel.dtype))),
        b_bytes(aligned(block.nc * std::min(args.k, kKc) * size_of(kernel.dtype))) {}
};

// A team's threads as a grid over the rows and columns of C.
struct Grid {
  int rows, cols;
};

// The grid whose largest share is smallest. Between equals the one with more rows: threads side by
// side in a row of the grid pack the same rows of A each for themselves, while B is packed once.
Grid choose_grid(const Kernel& kernel, const MatmulArgs& args, int threads) {
  if (threads == 1) return {.rows = 1, .cols = 1};
  const std::int64_t row_panels = ceil_div(args.m, kernel.mr);
  const std::int64_t col_panels = ceil_div(args.n, kernel.nr);
  Grid best{.rows = 1, .cols = 1};
  std::int64_t least = row_panels * col_panels + 1;
  for (int rows = threads; rows >= 1; --rows) {
    if (threads % rows != 0) continue;
    const int cols = threads / rows;
    const std::int64_t share = ceil_div(row_panels, rows) * ceil_div(col_panels, cols);
    if (share < least) {
      least = share;
      best = {.rows = rows, .cols = cols};
    }
  }
  return best;
}

struct Range {
  std::int64_t begin, end;
};

// The index-th of `parts` nearly equal pieces of [0, size), cut at multiples of `unit`.
Range part(std::int64_t size, std::int64_t unit, std::int64_t parts, std::int64_t index) {
  if (parts == 1) return {.begin = 0, .end = size};
  const std::int64_t units = ceil_div(size, unit);
  return {.begin = std::min(size, units * index / parts * unit),
          .end = std::min(size, units * (index + 1) / parts * unit)};
}

// One product on a team, each thread calling run() with itself.
class Product {
 public:
  Product(const Kernel& kernel, const MatmulArgs& args, const Plan& plan, std::byte* b_panels)
      : kernel_(kernel), args_(args), plan_(plan), b_panels_(b_panels) {}

  void run(Team team, std::byte* a_panels) const {
    const Grid grid = choose_grid(kernel_, args_, team.count);
    const Range rows = part(args_.m, kernel_.mr, grid.rows, team.index / grid.cols);
    const std::int64_t blocks_of_k = std::max<std::int64_t>(1, ceil_div(args_.k, kKc));
    for (std::int64_t j = 0; j < args_.n; j += plan_.block.nc) {
      const std::int64_t width = std::min(plan_.block.nc, args_.n - j);
      const Range cols = part(width, kernel_.nr, grid.cols, team.index % grid.cols);
      for (std::int64_t block = 0; block < blocks_of_k; ++block) {
        const Slice k{.begin = block * kKc,
                      .depth = std::min(kKc, args_.k - block * kKc),
                      .last = block == blocks_of_k - 1};
        team.barrier();  // until nobody reads the previous block of B
        pack_b_share(team, k, j, width);
        team.barrier();  // until all of this one is there
        for (std::int64_t i = rows.begin; i < rows.end; i += plan_.block.mc) {
          const std::int64_t height = std::min(plan_.block.mc, rows.end - i);
          const ConstView a{
              .data = at(args_.a.data, i * args_.a.row_stride + k.begin * args_.a.col_stride,
                         kernel_.dtype),
              .row_stride = args_.a.row_stride,
              .col_stride = args_.a.col_stride};
          pack_a(kernel_, a, height, k.depth, a_panels);
          multiply_block(k, {i, i + height}, {j + cols.begin, j + cols.end}, j, a_panels);
        }
      }
    }
  }

 private:
  struct Slice {
    std::int64_t begin, depth;
    bool last;
  };

  void pack_b_share(Team team, Slice k, std::int64_t j, std::int64_t width) const {
    const Range cols = part(width, kernel_.nr, team.count, team.index);
    const std::int64_t first = j + cols.begin;
    const ConstView b{
        .data = at(args_.b.data, k.begin * args_.b.row_stride + first * args_.b.col_stride,
                   kernel_.dtype),
        .row_stride = args_.b.row_stride,
        .col_stride = args_.b.col_stride};
    pack_b(kernel_, b, k.depth, cols.end - cols.begin,
           at(static_cast<void*>(b_panels_), cols.begin * k.depth, kernel_.dtype));
  }

  // The two inner loops. Packed A begins at rows.begin, packed B at column `packed_from`.
  void multiply_block(Slice k, Range rows, Range cols, std::int64_t packed_from,
                      const std::byte* a_panels) const {
    const std::int64_t pitch = panel_pitch(kernel_.dtype);
    for (std::int64_t j = cols.begin; j < cols.end; j += kernel_.nr) {
      const std::int64_t width = std::min<std::int64_t>(kernel_.nr, cols.end - j);
      for (std::int64_t i = rows.begin; i < rows.end; i += kernel_.mr) {
        const std::int64_t height = std::min<std::int64_t>(kernel_.mr, rows.end - i);
        Tile tile{
            .kc = k.depth,
            .a = at(static_cast<const void*>(a_panels), (i - rows.begin) * pitch, kernel_.dtype),
            .b =
                at(static_cast<const void*>(b_panels_), (j - packed_from) * k.depth, kernel_.dtype),
            .c = at(args_.c.data, i * args_.c.row_stride + j * args_.c.col_stride, kernel_.dtype),
            .c_stride = args_.c.row_stride,
            .accumulate = k.begin > 0,
            .epilogue = {}};
        if (k.last) {
          tile.epilogue = args_.epilogue;
          if (tile.epilogue.bias != nullptr) {
            tile.epilogue.bias = at(tile.epilogue.bias, j, kernel_.dtype);
          }
        }
        if (height == kernel_.mr && width == kernel_.nr && args_.c.col_stride == 1) {
          kernel_.run(tile);
        } else if (kernel_.dtype == DType::f32) {
          run_on_scratch<float>(tile, height, width);
        } else {
          run_on_scratch<double>(tile, height, width);
        }
      }
    }
  }

  // A tile that sticks out of C, or whose columns are not contiguous there, is computed whole on a
  // tile of its own.
  template <class T>
  void run_on_scratch(Tile tile, std::int64_t height, std::int64_t width) const {
    alignas(64) std::byte scratch[kMaxTileBytes];
    alignas(64) T bias[kMaxTileBytes / sizeof(T)];
    void* c = tile.c;
    tile.c = scratch;
    tile.c_stride = kernel_.nr;
    if (tile.accumulate) {
      std::memset(scratch, 0, static_cast<std::size_t>(kernel_.mr * kernel_.nr) * sizeof(T));
      copy_tile<T>(c, args_.c.row_stride, args_.c.col_stride, scratch, kernel_.nr, 1, height,
                   width);
    }
    if (tile.epilogue.bias != nullptr) {
      const T* valid = static_cast<const T*>(tile.epilogue.bias);
      std::copy_n(valid, width, bias);
      std::fill(bias + width, bias + kernel_.nr, valid[width - 1]);
      tile.epilogue.bias = bias;
    }
    kernel_.run(tile);
    copy_tile<T>(scratch, kernel_.nr, 1, c, args_.c.row_stride, args_.c.col_stride, height, width);
  }

  const Kernel& kernel_;
  const MatmulArgs& args_;
  const Plan& plan_;
  std::byte* b_panels_;
};

// Fused multiply-adds that are worth a thread of their own.
constexpr std::int64_t kWorkPerThread = 1 << 19;

int worthwhile_threads(std::int64_t work, int threads) {
  return static_cast<int>(std::clamp<std::int64_t>(work / kWorkPerThread, 1, threads));
}

// The same products said with as few dimensions as possible.
struct Batch {
  MatmulArgs args;
  int ndim = 0;
  std::array<BatchDim, kMaxDims> dims;  // the first ndim, outermost first

  Batch(const MatmulArgs& product, std::span<const BatchDim> batch) : args(product) {
    for (const BatchDim& dim : batch) {
      if (dim.size != 1) dims[ndim++] = dim;
    }
    while (ndim > 0 && continues_rows(dims[ndim - 1])) fold(dims[--ndim]);
    // Tiles have rows in memory. A C of columns is the transpose of one: C' = B' A', whose products
    // commute bit for bit. A bias runs along the columns and stays where it is.
    if (args.c.col_stride != 1 && args.c.row_stride == 1 && args.epilogue.bias == nullptr) {
      transpose();
    }
  }

  [[nodiscard]] std::int64_t size() const {
    std::int64_t size = 1;
    for (int d = 0; d < ndim; ++d) size *= dims[d].size;
    return size;
  }

  [[nodiscard]] MatmulArgs item(DType dtype, std::int64_t index) const {
    MatmulArgs result = args;
    for (int d = ndim - 1; d >= 0; --d) {
      const std::int64_t i = index % dims[d].size;
      index /= dims[d].size;
      result.a.data = at(result.a.data, i * dims[d].a_stride, dtype);
      result.b.data = at(result.b.data, i * dims[d].b_stride, dtype);
      result.c.data = at(result.c.data, i * dims[d].c_stride, dtype);
    }
    return result;
  }

 private:
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

  void transpose() {
    std::swap(args.m, args.n);
    std::swap(args.a, args.b);
    std::swap(args.a.row_stride, args.a.col_stride);
    std::swap(args.b.row_stride, args.b.col_stride);
    std::swap(args.c.row_stride, args.c.col_stride);
    for (int d = 0; d < ndim; ++d) std::swap(dims[d].a_stride, dims[d].b_stride);
  }
};

}  // namespace

void matmul(const Kernel& kernel, const MatmulArgs& args, std::span<const BatchDim> batch_dims,
            int threads) {
  const Batch batch(args, batch_dims);
  const std::int64_t items = batch.size();
  if (items == 0 || batch.args.m == 0 || batch.args.n == 0) return;

  const Plan plan(kernel, batch.args);
  const std::int64_t work = batch.args.m * batch.args.n * std::max<std::int64_t>(1, batch.args.k);
  const int threads_an_item = worthwhile_threads(work, threads);
  // Whole items on each thread need no barriers, but a few large ones would be shared unevenly.
  if (items >= std::int64_t{4} * threads || threads_an_item < threads) {
    const int count =
        static_cast<int>(std::min<std::int64_t>(items, worthwhile_threads(work * items, threads)));
    const std::int64_t bytes = plan.a_bytes + plan.b_bytes;
    std::byte* memory = workspace(count * bytes);
    parallel(count, [&](Team team) {
      std::byte* own = memory + team.index * bytes;
      const Range range = part(items, 1, team.count, team.index);
      for (std::int64_t i = range.begin; i < range.end; ++i) {
        const MatmulArgs item = batch.item(kernel.dtype, i);
        Product(kernel, item, plan, own).run(Team{}, own + plan.b_bytes);
      }
    });
  } else {
    std::byte* memory = workspace(plan.b_bytes + threads_an_item * plan.a_bytes);
    for (std::int64_t i = 0; i < items; ++i) {
      const MatmulArgs item = batch.item(kernel.dtype, i);
      const Product product(kernel, item, plan, memory);
      parallel(threads_an_item, [&](Team team) {
        product.run(team, memory + plan.b_bytes + team.index * plan.a_bytes);
      });
    }
  }
}

}  // namespace hotloops
