#include "elementwise.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "blocking.h"
#include "matmul.h"
#include "threads.h"
#include "workspace.h"

namespace hotloops {
namespace {

// Bytes of y that are worth a thread of their own.
constexpr std::int64_t kBytesPerThread = 1 << 18;
// Values of strided arrays that go through a contiguous buffer at once: x's and y's share fits L1.
constexpr std::int64_t kBufferBytes = 8192;

template <class T>
void copy_strided(const void* src, std::int64_t src_stride, void* dst, std::int64_t dst_stride,
                  std::int64_t n) {
  const T* from = static_cast<const T*>(src);
  T* to = static_cast<T*>(dst);
  for (std::int64_t i = 0; i < n; ++i) to[i * dst_stride] = from[i * src_stride];
}

void copy_strided(DType dtype, const void* src, std::int64_t src_stride, void* dst,
                  std::int64_t dst_stride, std::int64_t n) {
  if (dtype == DType::f32) {
    copy_strided<float>(src, src_stride, dst, dst_stride, n);
  } else {
    copy_strided<double>(src, src_stride, dst, dst_stride, n);
  }
}

// The arrays as rows: the last dimension, and all others.
class RowSet {
 public:
  // With `any_order` the dimensions may be exchanged and joined into as few as the strides allow.
  RowSet(const ElementwiseArgs& args, bool any_order) : dtype_(args.dtype), x_(args.x), y_(args.y) {
    for (const ElementwiseDim& dim : args.dims) {
      if (dim.size != 1 || !any_order) dims_[ndim_++] = dim;
    }
    if (any_order) {
      join();
    }
    if (ndim_ == 0) dims_[ndim_++] = {.size = 1, .x_stride = 1, .y_stride = 1};
  }

  [[nodiscard]] const ElementwiseDim& inner() const { return dims_[ndim_ - 1]; }

  [[nodiscard]] std::int64_t rows() const {
    std::int64_t rows = 1;
    for (int d = 0; d < ndim_ - 1; ++d) rows *= dims_[d].size;
    return rows;
  }

  // f on n values of one row from `begin` on; `buffer` has room for n.
  void run(RowFunction f, std::int64_t row, std::int64_t begin, std::int64_t n,
           void* buffer) const {
    std::int64_t x_offset = begin * inner().x_stride;
    std::int64_t y_offset = begin * inner().y_stride;
    for (int d = ndim_ - 2; d >= 0; --d) {
      const std::int64_t i = row % dims_[d].size;
      row /= dims_[d].size;
      x_offset += i * dims_[d].x_stride;
      y_offset += i * dims_[d].y_stride;
    }
    const void* x = static_cast<const std::byte*>(x_) + x_offset * size_of(dtype_);
    void* y = static_cast<std::byte*>(y_) + y_offset * size_of(dtype_);
    if (contiguous()) return f.run(f.context, n, x, y);
    copy_strided(dtype_, x, inner().x_stride, buffer, 1, n);
    f.run(f.context, n, buffer, buffer);
    copy_strided(dtype_, buffer, 1, y, inner().y_stride, n);
  }

  [[nodiscard]] bool contiguous() const {
    return inner().size == 1 || (inner().x_stride == 1 && inner().y_stride == 1);
  }

 private:
  void join() {
    // The order in which y lies in memory.
    std::stable_sort(dims_.begin(), dims_.begin() + ndim_,
                     [](const ElementwiseDim& p, const ElementwiseDim& q) {
                       return std::abs(p.y_stride) > std::abs(q.y_stride);
                     });
    int kept = 0;
    for (int d = 1; d < ndim_; ++d) {
      ElementwiseDim& outer = dims_[kept];
      const ElementwiseDim& dim = dims_[d];
      if (outer.x_stride == dim.size * dim.x_stride && outer.y_stride == dim.size * dim.y_stride) {
        outer = {.size = outer.size * dim.size, .x_stride = dim.x_stride, .y_stride = dim.y_stride};
      } else {
        dims_[++kept] = dim;
      }
    }
    ndim_ = std::min(ndim_, kept + 1);
  }

  DType dtype_;
  const void* x_;
  void* y_;
  int ndim_ = 0;
  std::array<ElementwiseDim, kMaxDims + 1> dims_;
};

}  // namespace

void map_elements(const ElementwiseArgs& args, RowFunction f, int threads) {
  const RowSet set(args, true);
  const std::int64_t length = set.inner().size;
  const std::int64_t total = set.rows() * length;
  if (total == 0) return;
  const std::int64_t piece = kBufferBytes / size_of(args.dtype);
  parallel(worthwhile_threads(total * size_of(args.dtype), kBytesPerThread, threads),
           [&](Team team) {
             alignas(64) std::byte buffer[kBufferBytes];
             const std::int64_t end = total * (team.index + 1) / team.count;
             for (std::int64_t i = total * team.index / team.count; i < end;) {
               std::int64_t n = std::min(end - i, length - i % length);
               if (!set.contiguous()) n = std::min(n, piece);
               set.run(f, i / length, i % length, n, buffer);
               i += n;
             }
           });
}

void map_rows(const ElementwiseArgs& args, RowFunction f, int threads) {
  const RowSet set(args, false);
  const std::int64_t length = set.inner().size;
  const std::int64_t rows = set.rows();
  if (rows * length == 0) return;
  const std::int64_t row_bytes = round_up(length * size_of(args.dtype), 64);
  const int count = static_cast<int>(
      std::min<std::int64_t>(rows, worthwhile_threads(rows * row_bytes, kBytesPerThread, threads)));
  std::byte* buffers = set.contiguous() ? nullptr : workspace(count * row_bytes);
  parallel(count, [&](Team team) {
    const std::int64_t end = rows * (team.index + 1) / team.count;
    for (std::int64_t row = rows * team.index / team.count; row < end; ++row) {
      set.run(f, row, 0, length, buffers + team.index * row_bytes);
    }
  });
}

}  // namespace hotloops
