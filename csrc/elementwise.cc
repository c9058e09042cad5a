#include "elementwise.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "blocking.h"
#include "matmul.h"
#include "threads.h"
#include "workspace.h"

namespace hotloops {
namespace {

// From this many bytes on, a result is written past the caches: an ordinary store would read each
// line of memory first. Not in place, where the line has just been read anyway; nor in new memory,
// whose pages the kernel clears, through the caches, at the first touch (a quarter slower then).
constexpr std::int64_t kStreamBytes = 32 << 20;

// Elements of a block whose arrays lie well: so many that a call of the kernel costs nothing beside
// them, and so few that threads end together.
constexpr std::int64_t kDirectBlock = 8192;
// A result that is streamed is cut less often: at each end of a block there is a line that is not
// written whole. Streaming in blocks of 8192 elements was 8 % slower.
constexpr std::int64_t kStreamedBlock = 65536;
// Where there is no result, a block may answer the question.
constexpr std::int64_t kQuestionBlock = 2048;
// Elements of a block of which some arrays go through buffers; a buffer of the widest elements.
constexpr std::int64_t kBufferedBlock = 1024;
constexpr std::int64_t kBufferBytes = kBufferedBlock * 8;
// From one thread's buffers to the next one's.
constexpr std::int64_t kBuffersApart = kMaxArrays * kBufferBytes + kThreadGap;
// Columns of such a block where an array runs across: few, for then its many rows are long pieces
// of memory. Adding a transposed matrix of 3000 x 3000, 64 columns took a third longer.
constexpr std::int64_t kCrossColumns = 16;
// Rows shorter than this are handed to the kernel many at once.
constexpr std::int64_t kShortRow = 64;

// The two innermost dimensions of one array.
struct Plane {
  std::byte* data;
  std::int64_t row_stride, col_stride;  // bytes
};

// Elements so far apart, side by side into a buffer. One by one, each with a store of its own, took
// half as long again from L1; and from memory they are fetched ahead, for a row ends long before
// the hardware has foreseen enough of it: half of 1000 x 1000 took another fifth.
constexpr std::int64_t kAtATime = 4;
template <int Item>
void collect(const std::byte* source, std::int64_t stride, std::byte* target, std::int64_t count) {
  constexpr std::int64_t kAhead = 128;
  std::int64_t i = 0;
  for (; i + kAtATime <= count; i += kAtATime) {
    __builtin_prefetch(source + kAhead * stride);
    std::byte values[kAtATime * Item];
    for (int v = 0; v < kAtATime; ++v) std::memcpy(values + v * Item, source + v * stride, Item);
    std::memcpy(target, values, sizeof values);
    source += kAtATime * stride;
    target += kAtATime * Item;
  }
  for (; i < count; ++i, source += stride, target += Item) std::memcpy(target, source, Item);
}

template <int Item>
void copy(const Plane& from, const Plane& to, std::int64_t rows, std::int64_t cols) {
  if (to.col_stride == Item && cols >= kAtATime) {
    for (std::int64_t i = 0; i < rows; ++i) {
      collect<Item>(from.data + i * from.row_stride, from.col_stride, to.data + i * to.row_stride,
                    cols);
    }
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::byte* source = from.data + i * from.row_stride;
    std::byte* target = to.data + i * to.row_stride;
    for (std::int64_t j = 0; j < cols; ++j) {
      std::memcpy(target + j * to.col_stride, source + j * from.col_stride, Item);
    }
  }
}

// `strided` is the one of the two that is not a buffer: it is gone through as it lies in memory. A
// single row has no stride, and is one all the same.
void copy(std::int64_t item, Plane from, Plane to, const Plane& strided, std::int64_t rows,
          std::int64_t cols) {
  if (rows > 1 && std::abs(strided.row_stride) < std::abs(strided.col_stride)) {
    std::swap(from.row_stride, from.col_stride);
    std::swap(to.row_stride, to.col_stride);
    std::swap(rows, cols);
  }
  if (item == 8) return copy<8>(from, to, rows, cols);
  if (item == 4) return copy<4>(from, to, rows, cols);
  if (item == 2) return copy<2>(from, to, rows, cols);
  copy<1>(from, to, rows, cols);
}

// How the arrays are gone through: blocks of rows and columns in the two innermost dimensions, for
// each index of the outer ones.
//
//   An array's columns are   in a row                  in a block of short rows
//   next to each other       read where they are       read where they are, if the rows are, too
//   one element              stretched by the kernel   stretched, if the rows are, too
//   anything else            copied to a buffer in L1  copied to a buffer in L1
//
// A block is copied in the order in which it lies in memory, so that each cache line is read once
// even if an array is transposed. Whole operands are never copied.
class Blocks {
 public:
  // Each thread's memory for the arrays that need it.
  struct Buffers {
    std::byte* data;
    std::int64_t bytes;  // of one array's
    // What an operand's buffer holds: the same block of a broadcast operand is not copied again.
    struct Held {
      const std::byte* source = nullptr;
      std::int64_t rows = 0;
      std::int64_t cols = 0;
    };
    Held held[kMaxArrays] = {};
  };

  // With `any_order` the dimensions may be turned, exchanged and joined into as few as the strides
  // allow. Otherwise a block is one row.
  Blocks(const ElementwiseArgs& args, bool any_order, bool stretches)
      : arrays_(args.arrays), result_(args.has_result ? args.arrays - 1 : -1) {
    for (int k = 0; k < arrays_; ++k) {
      data_[k] = static_cast<std::byte*>(args.array[k].data);
      item_[k] = size_of(args.array[k].type);
    }
    for (const ElementwiseDim& dim : args.dims) {
      if (dim.size == 1 && any_order) continue;
      dims_[ndim_] = dim;
      for (int k = 0; k < arrays_; ++k) dims_[ndim_].strides[k] *= item_[k];
      ++ndim_;
    }
    if (any_order) {
      order();
      join();
    }
    while (ndim_ < 2) add_outer();
    for (int d = 0; d < ndim_; ++d) elements_ *= dims_[d].size;
    if (elements_ == 0) return;
    if (any_order) {
      choose_block(stretches);
    } else {
      block_cols_ = cols();
      for (int k = 0; k < arrays_; ++k) buffered_[k] = cols() > 1 && col_stride(k) != item_[k];
    }
    row_blocks_ = ceil_div(rows(), block_rows_);
    col_blocks_ = ceil_div(cols(), block_cols_);
  }

  [[nodiscard]] std::int64_t elements() const { return elements_; }
  [[nodiscard]] std::int64_t cols() const { return dims_[ndim_ - 1].size; }
  [[nodiscard]] std::int64_t bytes_per_element() const {
    std::int64_t bytes = 0;
    for (int k = 0; k < arrays_; ++k) bytes += item_[k];
    return bytes;
  }
  [[nodiscard]] bool needs_buffers() const {
    return std::ranges::find(buffered_, true) != std::end(buffered_);
  }
  [[nodiscard]] std::int64_t result_bytes() const {
    return result_ < 0 ? 0 : elements_ * item_[result_];
  }
  // Whether the kernel writes long rows to memory that it does not read.
  [[nodiscard]] bool may_stream() const {
    if (result_ < 0 || buffered_[result_] || block_cols_ < kBufferedBlock) return false;
    return std::none_of(data_, data_ + result_,
                        [&](const std::byte* operand) { return operand == data_[result_]; });
  }

  [[nodiscard]] std::int64_t count() const {
    return elements_ == 0 ? 0 : elements_ / (rows() * cols()) * row_blocks_ * col_blocks_;
  }

  // f on the index-th block.
  template <class F>
  bool run(F f, std::int64_t index, Buffers& buffers) const {
    const std::int64_t col = index % col_blocks_ * block_cols_;
    index /= col_blocks_;
    const std::int64_t row = index % row_blocks_ * block_rows_;
    index /= row_blocks_;
    const std::int64_t block_rows = std::min(block_rows_, rows() - row);
    const std::int64_t block_cols = std::min(block_cols_, cols() - col);

    Plane plane[kMaxArrays];
    for (int k = 0; k < arrays_; ++k) {
      plane[k] = {.data = data_[k] + row * row_stride(k) + col * col_stride(k),
                  .row_stride = row_stride(k),
                  .col_stride = col_stride(k)};
    }
    for (int d = ndim_ - 3; d >= 0; --d) {
      const std::int64_t i = index % dims_[d].size;
      index /= dims_[d].size;
      for (int k = 0; k < arrays_; ++k) plane[k].data += i * dims_[d].strides[k];
    }

    Row call;
    call.n = at_once_ ? block_rows * block_cols : block_cols;
    std::int64_t step[kMaxArrays];
    for (int k = 0; k < arrays_; ++k) {
      call.data[k] = plane[k].data;
      call.stretched[k] = !buffered_[k] && plane[k].col_stride == 0 && k != result_;
      step[k] = plane[k].row_stride;
      if (!buffered_[k]) continue;
      const Plane buffer = buffer_of(k, block_cols, buffers);
      call.data[k] = buffer.data;
      step[k] = buffer.row_stride;
      if (k != result_) fill(k, plane[k], buffer, block_rows, block_cols, buffers);
    }
    bool undecided = true;
    for (std::int64_t i = 0; i < (at_once_ ? 1 : block_rows) && undecided; ++i) {
      undecided = f(call);
      for (int k = 0; k < arrays_; ++k) call.data[k] += step[k];
    }
    if (result_ >= 0 && buffered_[result_]) {
      copy(item_[result_], buffer_of(result_, block_cols, buffers), plane[result_], plane[result_],
           block_rows, block_cols);
    }
    return undecided;
  }

 private:
  [[nodiscard]] std::int64_t rows() const { return dims_[ndim_ - 2].size; }
  [[nodiscard]] std::int64_t row_stride(int k) const { return dims_[ndim_ - 2].strides[k]; }
  [[nodiscard]] std::int64_t col_stride(int k) const { return dims_[ndim_ - 1].strides[k]; }

  void add_outer() {
    dims_[1] = dims_[0];
    if (ndim_ == 0) {
      dims_[1].size = 1;
      for (int k = 0; k < arrays_; ++k) dims_[1].strides[k] = item_[k];
    }
    dims_[0].size = 1;
    for (int k = 0; k < arrays_; ++k) dims_[0].strides[k] = 0;
    ndim_ = 2;
  }

  // Sorts the dimensions as the result lies in memory; without one, as the operands do on the
  // whole. And turns those that are walked backwards.
  void order() {
    const auto reach = [&](const ElementwiseDim& dim) {
      std::int64_t reach = 0;
      for (int k = std::max(result_, 0); k < arrays_; ++k) reach += std::abs(dim.strides[k]);
      return reach;
    };
    for (int sorted = 1; sorted < ndim_; ++sorted) {
      for (int d = sorted; d > 0 && reach(dims_[d - 1]) < reach(dims_[d]); --d) {
        std::swap(dims_[d - 1], dims_[d]);
      }
    }
    const int leader = std::max(result_, 0);
    for (int d = 0; d < ndim_; ++d) {
      if (dims_[d].strides[leader] >= 0) continue;
      for (int k = 0; k < arrays_; ++k) {
        data_[k] += (dims_[d].size - 1) * dims_[d].strides[k];
        dims_[d].strides[k] = -dims_[d].strides[k];
      }
    }
  }

  void join() {
    int kept = 0;
    for (int d = 1; d < ndim_; ++d) {
      ElementwiseDim& outer = dims_[kept];
      const ElementwiseDim& dim = dims_[d];
      bool one = true;
      for (int k = 0; k < arrays_; ++k) one &= outer.strides[k] == dim.size * dim.strides[k];
      const std::int64_t outer_size = outer.size;
      if (one) {
        outer = dim;
        outer.size *= outer_size;
      } else {
        dims_[++kept] = dim;
      }
    }
    ndim_ = std::min(ndim_, kept + 1);
  }

  void choose_block(bool stretches) {
    at_once_ = cols() < kShortRow && rows() > 1;
    bool any_buffered = false;
    bool any_across = false;
    for (int k = 0; k < arrays_; ++k) {
      const bool next_to = col_stride(k) == item_[k] || cols() == 1;
      const bool stretched = stretches && col_stride(k) == 0 && k != result_;
      const bool rows_too = next_to ? row_stride(k) == cols() * item_[k] : row_stride(k) == 0;
      buffered_[k] = !(next_to || stretched) || (at_once_ && !rows_too);
      any_buffered |= buffered_[k];
      any_across |= buffered_[k] && std::abs(row_stride(k)) < std::abs(col_stride(k));
    }
    if (!any_buffered) {
      std::int64_t block = result_bytes() >= kStreamBytes ? kStreamedBlock : kDirectBlock;
      if (result_ < 0) block = kQuestionBlock;
      block_cols_ = std::min(cols(), block);
      block_rows_ = block / block_cols_;
    } else {
      const bool across = any_across && !at_once_ && rows() > 1;
      block_cols_ = std::min(cols(), across ? kCrossColumns : kBufferedBlock);
      block_rows_ = kBufferedBlock / block_cols_;
    }
  }

  [[nodiscard]] Plane buffer_of(int k, std::int64_t block_cols, const Buffers& buffers) const {
    return {.data = buffers.data + k * buffers.bytes,
            .row_stride = block_cols * item_[k],
            .col_stride = item_[k]};
  }

  void fill(int k, const Plane& from, const Plane& buffer, std::int64_t block_rows,
            std::int64_t block_cols, Buffers& buffers) const {
    Buffers::Held& held = buffers.held[k];
    // Windows that overlap begin at one address with blocks of different lengths.
    const bool holds = from.row_stride == 0 && held.source == from.data &&
                       held.cols == block_cols && held.rows >= block_rows;
    if (holds) return;
    copy(item_[k], from, buffer, from, block_rows, block_cols);
    held = {.source = from.data, .rows = block_rows, .cols = block_cols};
  }

  int arrays_;
  int result_;  // its index, or -1
  std::byte* data_[kMaxArrays];
  std::int64_t item_[kMaxArrays];
  int ndim_ = 0;
  ElementwiseDim dims_[kMaxDims + 1];
  std::int64_t elements_ = 1;
  bool at_once_ = false;  // all rows of a block in one call of the kernel
  bool buffered_[kMaxArrays] = {};
  std::int64_t block_rows_ = 1;
  std::int64_t block_cols_ = 1;
  std::int64_t row_blocks_ = 1;
  std::int64_t col_blocks_ = 1;
};

// The number of elements if all arrays have them next to each other, in C order; otherwise -1.
std::int64_t dense_elements(const ElementwiseArgs& args) {
  std::int64_t elements = 1;
  for (auto dim = args.dims.rbegin(); dim != args.dims.rend(); ++dim) {
    for (int k = 0; k < args.arrays; ++k) {
      if (dim->strides[k] != elements && dim->size != 1) return -1;
    }
    elements *= dim->size;
  }
  return elements;
}

}  // namespace

bool map_elements(const ElementwiseArgs& args, RowFunction f, int threads) {
  // One small row is not worth a plan, which takes a quarter of the time of a call on 4 x 4.
  const std::int64_t dense = dense_elements(args);
  if (dense >= 0 && dense <= kQuestionBlock) {
    Row row{.n = dense, .data = {}, .stretched = {}};
    for (int k = 0; k < args.arrays; ++k) row.data[k] = static_cast<std::byte*>(args.array[k].data);
    return f.run(f.context, row);
  }
  const Blocks blocks(args, true, f.stretches);
  const bool stream = f.stream != nullptr && !args.result_is_new &&
                      blocks.result_bytes() >= kStreamBytes && blocks.may_stream();
  const auto run = stream ? f.stream : f.run;
  const auto call = [&](const Row& row) { return run(f.context, row); };

  const std::int64_t bytes = blocks.elements() * blocks.bytes_per_element();
  const int count = worthwhile_threads(bytes, kBytesPerThread, threads);
  std::byte* memory = blocks.needs_buffers() ? workspace(count * kBuffersApart) : nullptr;
  std::atomic<bool> undecided = true;
  const auto run_blocks = [&](Range range, int thread) {
    Blocks::Buffers buffers{.data = memory + thread * kBuffersApart, .bytes = kBufferBytes};
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      if (!undecided.load(std::memory_order_relaxed)) return;
      if (!blocks.run(call, i, buffers)) undecided.store(false, std::memory_order_relaxed);
    }
  };

  // Where there is only a question, the first elements may answer it: no other thread is woken.
  const std::int64_t alone = args.has_result ? 0 : std::min<std::int64_t>(blocks.count(), 1);
  run_blocks({0, alone}, 0);
  if (blocks.count() == alone || !undecided) return undecided;
  parallel(count, [&](Team team) {
    const Range share = part(blocks.count() - alone, 1, team.count, team.index);
    run_blocks({alone + share.begin, alone + share.end}, team.index);
  });
  return undecided;
}

void map_rows(const ElementwiseArgs& args, RowFunction f, int threads) {
  const Blocks blocks(args, false, false);
  const std::int64_t rows = blocks.count();
  if (rows == 0) return;
  const std::int64_t bytes = blocks.elements() * blocks.bytes_per_element();
  const int count = static_cast<int>(
      std::min<std::int64_t>(rows, worthwhile_threads(bytes, kBytesPerThread, threads)));
  const std::int64_t buffer_bytes = round_up(blocks.cols() * size_of(args.array[0].type), 64);
  const std::int64_t thread_bytes = args.arrays * buffer_bytes;
  std::byte* memory = blocks.needs_buffers() ? workspace(count * thread_bytes) : nullptr;
  parallel(count, [&](Team team) {
    Blocks::Buffers buffers{.data = memory + team.index * thread_bytes, .bytes = buffer_bytes};
    const Range share = part(rows, 1, team.count, team.index);
    for (std::int64_t i = share.begin; i < share.end; ++i) {
      blocks.run([&](const Row& row) { return f.run(f.context, row); }, i, buffers);
    }
  });
}

bool elementwise(const ElementKernels& kernels, ElementOp op, const ElementwiseArgs& args,
                 int threads) {
  struct Bound {
    ElementKernel run, stream;
  };
  const auto index = static_cast<int>(op);
  const Bound bound{.run = kernels.run[index], .stream = kernels.stream[index]};
  return map_elements(
      args,
      {.run = [](const void* context,
                 const Row& row) { return static_cast<const Bound*>(context)->run(row); },
       .context = &bound,
       .stretches = true,
       .stream = [](const void* context,
                    const Row& row) { return static_cast<const Bound*>(context)->stream(row); }},
      threads);
}

}  // namespace hotloops
