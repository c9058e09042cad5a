// The chains of different blocks do not depend on each other: each block is a product of its own,
// on one thread, into memory of its own, and then the blocks are added in order. Shared out by rows
// and columns, of which there are too few, on two threads 37 x 20000 x 41 gained a fifth, and 8 x
// 100000 x 8, a single tile, nothing; so they gain 60 and 75 %.

#include "blocks_of_k.h"

#include <algorithm>

#include "blocking.h"
#include "workspace.h"

namespace hotloops {
namespace {

// Bytes of C up to which its sums are worth keeping once for each block.
constexpr std::int64_t kMostBytes = 1 << 16;
// Blocks for each thread: with fewer, one thread's last block is too large a part of its share.
constexpr std::int64_t kBlocksPerThread = 4;
// Bytes of the sums that wait to be added: a part of L2.
constexpr std::int64_t kRoundBytes = 1 << 18;

std::int64_t bytes_of_c(const Kernel& kernel, const MatmulArgs& args) {
  return args.m * args.n * size_of(kernel.dtype);
}

// Whether C falls into shares of much the same size: of rows, for threads that share only columns
// all pack the same rows of A.
bool has_shares_for_all(const Method& method, const MatmulArgs& args, int threads) {
  const Kernel& kernel = *method.plan.kernel;
  if (method.dots) return args.n >= std::int64_t{4} * threads * kernel.dots->lanes;
  const std::int64_t rows = method.plan.row_panels;
  const Grid grid = choose_grid(kernel, {.rows = args.m, .cols = args.n, .straddles_lines = true},
                                args.k, threads);
  return grid.rows == threads && ceil_div(rows, threads) * threads * 4 <= rows * 5;
}

}  // namespace

bool shares_blocks_of_k(const Method& method, const MatmulArgs& args, int threads) {
  const Kernel& kernel = *method.plan.kernel;
  const bool plain = kernel.a_type == element_type(kernel.dtype) && !kernel.panels.always &&
                     kernel.parts == 1 && !args.narrows() && !args.accumulate &&
                     args.packed_b.data == nullptr;
  return plain && args.epilogue.is_trivial() && args.m * args.n > 1 &&
         bytes_of_c(kernel, args) <= kMostBytes &&
         args.k >= kBlocksPerThread * threads * kernel.kc &&
         !has_shares_for_all(method, args, threads);
}

BlocksOfK::BlocksOfK(const Kernel& kernel, const MatmulArgs& args, int threads)
    : kernel_(kernel),
      count_(ceil_div(args.k, kernel.kc)),
      round_(std::clamp<std::int64_t>(kRoundBytes / bytes_of_c(kernel, args),
                                      kBlocksPerThread * threads, count_)),
      whole_(kernel, block(args, 0, nullptr)),
      last_(kernel, block(args, count_ - 1, nullptr)),
      threads_(threads),
      own_bytes_(std::max(whole_.bytes, last_.bytes) + kThreadGap),
      sums_bytes_(in_lines((round_ + 1) * bytes_of_c(kernel, args)) + kThreadGap) {}

MatmulArgs BlocksOfK::block(const MatmulArgs& args, std::int64_t index, void* sums) const {
  const std::int64_t k = index * kernel_.kc;
  MatmulArgs result = args;
  result.k = std::min(kernel_.kc, args.k - k);
  result.a = from(args.a, 0, k, kernel_.a_type);
  result.b = from(args.b, k, 0, kernel_.b_type);
  result.c = {.data = sums, .row_stride = args.n, .col_stride = 1};
  return result;
}

template <class T>
void BlocksOfK::run_typed(const MatmulArgs& args, Team team, std::byte* memory) const {
  const std::int64_t elements = args.m * args.n;
  T* const total = reinterpret_cast<T*>(memory);
  T* const sums = total + elements;
  std::byte* own = memory + sums_bytes_ + team.index * own_bytes_;
  const Range added = part(elements, 16, team.count, team.index);
  for (std::int64_t first = 0; first < count_; first += round_) {
    const std::int64_t count = std::min(round_, count_ - first);
    const Range blocks = part(count, 1, team.count, team.index);
    for (std::int64_t i = blocks.begin; i < blocks.end; ++i) {
      const Method& method = first + i + 1 < count_ ? whole_ : last_;
      method.run(block(args, first + i, sums + i * elements), own);
    }
    team.barrier();  // until all sums are there
    for (std::int64_t i = 0; i < count; ++i) {
      const T* block_sums = sums + i * elements;
      if (first + i == 0) {
        std::copy(block_sums + added.begin, block_sums + added.end, total + added.begin);
      } else {
        for (std::int64_t e = added.begin; e < added.end; ++e) total[e] += block_sums[e];
      }
    }
    team.barrier();  // until they have been read
  }
  T* c = static_cast<T*>(args.c.data);
  for (std::int64_t e = added.begin; e < added.end; ++e) {
    c[e / args.n * args.c.row_stride + e % args.n * args.c.col_stride] = total[e];
  }
}

void BlocksOfK::run(const MatmulArgs& args, Team team, std::byte* memory) const {
  if (kernel_.dtype == DType::f32) {
    run_typed<float>(args, team, memory);
  } else {
    run_typed<double>(args, team, memory);
  }
}

}  // namespace hotloops
