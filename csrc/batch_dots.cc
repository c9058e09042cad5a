#include "batch_dots.h"

#include <algorithm>
#include <cstddef>

#include "blocking.h"
#include "pack.h"
#include "view.h"

namespace hotloops {
namespace {

// Sums that are kept together where they are not side by side in C.
constexpr std::int64_t kSumsAside = 256;
static_assert(kSumsAside >= std::int64_t{2} * kMaxLanes);

// Adds the sums of some blocks each, in order; the first of them becomes the product.
template <class T>
void add_blocks(std::int64_t products, std::int64_t blocks, T* sums) {
  for (std::int64_t i = 0; i < products; ++i) {
    const T* of_blocks = sums + i * blocks;
    T sum = of_blocks[0];
    for (std::int64_t block = 1; block < blocks; ++block) sum += of_blocks[block];
    sums[i] = sum;
  }
}

void add_blocks(DType dtype, std::int64_t products, std::int64_t blocks, void* sums) {
  switch (dtype) {
    case DType::f32:
      return add_blocks(products, blocks, static_cast<float*>(sums));
    case DType::f64:
      return add_blocks(products, blocks, static_cast<double*>(sums));
    case DType::i32:
      return add_blocks(products, blocks, static_cast<std::uint32_t*>(sums));
    case DType::i64:
      return add_blocks(products, blocks, static_cast<std::uint64_t*>(sums));
  }
}

// Blocks of k that are treated like products. Where products follow each other in memory and are
// whole blocks, these are as far apart as rows of a matrix of such a width: far enough for few
// lines of L1 to hold all. Rows of 1024 values took twice as long.
std::int64_t blocks_of(std::int64_t k, const BatchDim& dim) {
  return k % kKc == 0 && dim.a_stride == k && dim.b_stride == k ? k / kKc : 1;
}

}  // namespace

bool are_batch_dots(const Kernel& kernel, const MatmulArgs& args, const BatchDim& dim) {
  if (kernel.dots == nullptr || kernel.dots->row_dots == nullptr || kernel.parts > 1) return false;
  if (args.accumulate) return false;
  const bool along_k = args.k > 0 && args.a.col_stride == 1 && args.b.row_stride == 1;
  const std::int64_t lanes = kernel.dots->lanes;
  // Longer ones fill vectors by themselves, with blocks of k.
  const std::int64_t vectors = dim.size >= 4 * lanes ? 2 : 1;
  return args.m == 1 && args.n == 1 && along_k && args.k < vectors * lanes * kKc &&
         dim.size >= lanes && args.epilogue.is_trivial() && !args.narrows() &&
         args.packed_b.data == nullptr;
}

void run_batch_dots(const Kernel& kernel, const MatmulArgs& first, const BatchDim& dim,
                    std::int64_t count) {
  const DType dtype = kernel.dtype;
  const std::int64_t lanes = kernel.dots->lanes;
  // Of fewer than fill a vector, each fills one with the same sum again and again.
  const bool alone = count < lanes;
  const std::int64_t blocks = alone ? 1 : blocks_of(first.k, dim);
  const bool aside = alone || blocks > 1 || dim.c_stride != 1;
  std::int64_t most = aside ? kSumsAside / blocks : count;
  if (alone) most = 1;
  const std::int64_t pieces = ceil_div(count, most);
  alignas(64) std::byte sums[kSumsAside * 8];
  for (std::int64_t i = 0; i < pieces; ++i) {
    const Range own = part(count, 1, pieces, i);
    void* c = at(first.c.data, own.begin * dim.c_stride, dtype);
    kernel.dots->row_dots({.k = first.k / blocks,
                           .count = std::max(own.size() * blocks, lanes),
                           .a = at(first.a.data, own.begin * dim.a_stride, dtype),
                           .a_stride = alone ? 0 : dim.a_stride / blocks,
                           .b = at(first.b.data, own.begin * dim.b_stride, dtype),
                           .b_stride = alone ? 0 : dim.b_stride / blocks,
                           .sums = aside ? sums : c});
    if (!aside) continue;
    if (blocks > 1) add_blocks(dtype, own.size(), blocks, sums);
    const ConstView column{.data = sums, .row_stride = 1, .col_stride = 1};
    copy_piece(element_type(dtype), piece_of(column, own.size(), 1, c), dim.c_stride, 1);
  }
}

}  // namespace hotloops
