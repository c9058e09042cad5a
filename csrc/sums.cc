#include "sums.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "blocking.h"
#include "dispatch.h"
#include "matmul.h"
#include "threads.h"
#include "view.h"
#include "workspace.h"

namespace hotloops {
namespace {

// Blocks of one row whose sums are kept until they are added in order.
constexpr std::int64_t kRound = 4096;
// Rows from here on are summed block by block if there are too few to go side by side.
constexpr std::int64_t kLongRow = 8 * kKc;
constexpr std::int64_t kFewRows = 4;

// Columns whose sums are collected before they go where they do not lie side by side.
constexpr std::int64_t kStrip = 256;

// One dimension of `args` is walked by kernels, the others are a batch around it.
class Sum {
 public:
  explicit Sum(const SumArgs& args)
      : kernels_(active_kernels().sums[static_cast<int>(args.dtype)]), args_(args) {
    int inner = -1;
    for (const SumDim& dim : args.dims) {
      if (dim.size == 1) continue;
      dims_[ndim_] = dim;
      const bool better = inner < 0 || dim.size > dims_[inner].size;
      if (in_rows() ? better : dim.x_stride == 1) inner = ndim_;
      ++ndim_;
    }
    if (inner < 0) {
      inner_ = {.size = 1, .x_stride = 0, .y_stride = 0};
      scattered_ = !in_rows();
      return;
    }
    inner_ = dims_[inner];
    std::copy(dims_.begin() + inner + 1, dims_.begin() + ndim_, dims_.begin() + inner);
    --ndim_;
  }

  [[nodiscard]] std::int64_t count() const {
    std::int64_t count = inner_.size;
    for (int d = 0; d < ndim_; ++d) count *= dims_[d].size;
    return count;
  }

  // Whether sums are so few and long that their blocks are what threads share.
  [[nodiscard]] bool by_blocks(int threads) const {
    return in_rows() && args_.k >= kLongRow && count() < kFewRows * threads;
  }

  void run(Range sums) const {
    for (std::int64_t i = sums.begin; i < sums.end;) {
      const std::int64_t first = i % inner_.size;
      const std::int64_t many = std::min(inner_.size - first, sums.end - i);
      const auto [x, y] = addresses(i / inner_.size, first);
      if (in_rows()) {
        kernels_.rows({.k = args_.k,
                       .rows = many,
                       .row_stride = inner_.x_stride,
                       .x = x,
                       .y = y,
                       .y_stride = inner_.y_stride});
      } else if (scattered_) {
        sum_scattered(x, y);
      } else {
        sum_columns(x, y, many);
      }
      i += many;
    }
  }

  // The index-th sum, of which each thread of the team computes some blocks in turn.
  void run_by_blocks(std::int64_t index, Team team, std::byte* sums) const {
    const auto [x, y] = addresses(index / inner_.size, index % inner_.size);
    const std::int64_t blocks = ceil_div(args_.k, kKc);
    for (std::int64_t first = 0; first < blocks; first += kRound) {
      const std::int64_t many = std::min(kRound, blocks - first);
      const Range own = part(many, kFewRows, team.count, team.index);
      const std::int64_t whole = std::min(own.end, args_.k / kKc - first);
      if (own.size() > 0) {
        const void* blocks_of_x = at(x, first * kKc, args_.dtype);
        sum_blocks(blocks_of_x, {.begin = own.begin, .end = whole}, kKc, sums);
        sum_blocks(blocks_of_x, {.begin = whole, .end = own.end}, args_.k % kKc, sums);
      }
      team.barrier();  // until all sums are there
      if (team.index == 0) add_in_order(sums, many, first == 0, y);
      team.barrier();  // until they have been read
    }
  }

 private:
  [[nodiscard]] bool in_rows() const { return args_.k_stride == 1 || args_.k == 1; }

  [[nodiscard]] std::pair<const void*, void*> addresses(std::int64_t batch,
                                                        std::int64_t first) const {
    std::int64_t in_x = first * inner_.x_stride;
    std::int64_t in_y = first * inner_.y_stride;
    for (int d = ndim_ - 1; d >= 0; --d) {
      in_x += batch % dims_[d].size * dims_[d].x_stride;
      in_y += batch % dims_[d].size * dims_[d].y_stride;
      batch /= dims_[d].size;
    }
    return {at(args_.x, in_x, args_.dtype), at(args_.y, in_y, args_.dtype)};
  }

  template <class F>
  void typed(F f) const {
    if (args_.dtype == DType::f32) return f(float());
    f(double());
  }

  void sum_columns(const void* x, void* y, std::int64_t columns) const {
    ColumnSums task{.k = args_.k, .k_stride = args_.k_stride, .columns = columns, .x = x, .y = y};
    if (inner_.y_stride == 1) return kernels_.columns(task);
    typed([&]<class T>(T) {
      std::array<T, kStrip> strip;
      task.y = strip.data();
      for (std::int64_t j = 0; j < columns; j += kStrip) {
        task.columns = std::min(kStrip, columns - j);
        task.x = at(x, j, args_.dtype);
        kernels_.columns(task);
        T* to = static_cast<T*>(y) + j * inner_.y_stride;
        for (std::int64_t i = 0; i < task.columns; ++i) to[i * inner_.y_stride] = strip[i];
      }
    });
  }

  // A sum of values with nothing beside them: they are brought together block by block.
  void sum_scattered(const void* x, void* y) const {
    typed([&]<class T>(T) {
      std::array<T, kKc> block;
      T total = 0;
      for (std::int64_t k = 0; k < args_.k; k += kKc) {
        const std::int64_t many = std::min(kKc, args_.k - k);
        const T* from = static_cast<const T*>(x) + k * args_.k_stride;
        for (std::int64_t p = 0; p < many; ++p) block[p] = from[p * args_.k_stride];
        T of_block;
        kernels_.rows({.k = many,
                       .rows = 1,
                       .row_stride = 0,
                       .x = block.data(),
                       .y = &of_block,
                       .y_stride = 0});
        total = k == 0 ? of_block : total + of_block;
      }
      *static_cast<T*>(y) = total;
    });
  }

  void sum_blocks(const void* x, Range blocks, std::int64_t k, std::byte* sums) const {
    if (blocks.size() == 0) return;
    kernels_.rows({.k = k,
                   .rows = blocks.size(),
                   .row_stride = kKc,
                   .x = at(x, blocks.begin * kKc, args_.dtype),
                   .y = at(sums, blocks.begin, args_.dtype),
                   .y_stride = 1});
  }

  void add_in_order(const std::byte* sums, std::int64_t many, bool first, void* y) const {
    typed([&]<class T>(T) {
      const T* of_block = reinterpret_cast<const T*>(sums);
      T total = first ? of_block[0] : *static_cast<T*>(y) + of_block[0];
      for (std::int64_t i = 1; i < many; ++i) total += of_block[i];
      *static_cast<T*>(y) = total;
    });
  }

  const SumKernels& kernels_;
  const SumArgs& args_;
  SumDim inner_;
  int ndim_ = 0;
  std::array<SumDim, kMaxDims> dims_;  // the others, outermost first
  bool scattered_ = false;
};

}  // namespace

void sum(const SumArgs& args, int threads) {
  const Sum task(args);
  const std::int64_t count = task.count();
  if (count == 0) return;
  const std::int64_t bytes = count * args.k * size_of(args.dtype);
  threads = worthwhile_threads(bytes, kBytesPerThread, threads);
  if (task.by_blocks(threads)) {
    std::byte* sums = workspace(kRound * size_of(args.dtype));
    parallel(threads, [&](Team team) {
      for (std::int64_t i = 0; i < count; ++i) task.run_by_blocks(i, team, sums);
    });
    return;
  }
  parallel(threads, [&](Team team) {
    // Columns by the line.
    task.run(part(count, 64 / size_of(args.dtype), team.count, team.index));
  });
}

}  // namespace hotloops
