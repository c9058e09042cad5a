// grad_z = f'(saved) grad_y is never there as a whole, unless it is small. Some of its rows are
// made, and all three products take what they need of them before the next ones are made in their
// place:
//
//    grad_y    saved          grad_z             grad_x
//   +------+  +------+                          +------+
//   +------+  +------+       +------+  kernel'  +------+
//   | rows |  | rows |  -->  | rows |  ------>  | rows |     grad_kernel, grad_bias
//   +------+  +------+       +------+           +------+        +------+ +------+
//   |      |  |      |           |              |      |        |  +=  | |  +=  |
//   +------+  +------+           |              +------+        +------+ +------+
//                                +---  x's rows', ones  ----------->
//
// These are whole blocks of k in the sums over rows, which therefore keep their bits. Measured on
// one thread against one pass for all of grad_z, 16384 x 128 x 512 takes 0.79 of the time and 4096
// x 512 x 2048 0.91: the pass, through memory and new pages, was that much. Blocks that L2 would
// hold gain nothing more, and as each has the kernel packed again, 2048 x 784 x 512 took 1.05.
// (Applied to panels as they are packed, f' would be computed twice, for each of two products, and
// the pass over a block that a cache holds takes only 1 % of their time.)

#include "dense_pullback.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>

#include "activate.h"
#include "blocking.h"
#include "view.h"

namespace hotloops {
namespace {

// Of grad_z at a time, or kKc rows if they are more.
constexpr std::int64_t kBlockBytes = 8 << 20;

ConstView transposed(const ConstView& matrix) {
  return {.data = matrix.data, .row_stride = matrix.col_stride, .col_stride = matrix.row_stride};
}

const void* one(DType dtype) {
  static constexpr float kFloat = 1;
  static constexpr double kDouble = 1;
  return dtype == DType::f32 ? static_cast<const void*>(&kFloat) : &kDouble;
}

class DensePullback {
 public:
  DensePullback(std::span<const Kernel> kernels, const RowKernels& row_kernels,
                const DensePullbackArgs& args, int threads)
      : kernels_(kernels),
        row_kernels_(row_kernels),
        args_(args),
        threads_(threads),
        dtype_(kernels.front().dtype) {}

  void run() {
    if (args_.activation == Activation::none) return pull_back({0, args_.rows}, args_.grad_y);
    const std::int64_t row_bytes = std::max<std::int64_t>(1, args_.units) * size_of(dtype_);
    const std::int64_t rows = std::min(args_.rows, round_up(kBlockBytes / row_bytes, kKc));
    std::unique_ptr<std::byte[]> memory;
    if (args_.grad_z == nullptr) {
      memory =
          std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(rows * row_bytes));
    }
    std::int64_t begin = 0;
    do {  // once for no rows, too: the sums of none
      const Range block{.begin = begin, .end = std::min(begin + rows, args_.rows)};
      void* grad_z = memory.get();
      if (args_.grad_z != nullptr) grad_z = at(args_.grad_z, begin * args_.units, dtype_);
      make_grad_z(block, grad_z);
      pull_back(block, {.data = grad_z, .row_stride = args_.units, .col_stride = 1});
      begin = block.end;
    } while (begin < args_.rows);
  }

 private:
  void make_grad_z(Range rows, void* grad_z) const {
    const ElementType type = element_type(dtype_);
    const auto& [all, row_stride, col_stride] = args_.grad_y;
    const void* grad_y = at(all, rows.begin * row_stride, type);
    if (col_stride != 1 || row_stride != args_.units) {
      const std::array dims = {
          ElementwiseDim{.size = rows.size(), .strides = {row_stride, args_.units}},
          ElementwiseDim{.size = args_.units, .strides = {col_stride, 1}}};
      copy(row_kernels_, type, grad_y, grad_z, dims, threads_);
      grad_y = grad_z;
    }
    activation_grad(args_.activation, row_kernels_,
                    {.dtype = dtype_,
                     .rows = rows.size(),
                     .cols = args_.units,
                     .saved = at(args_.saved, rows.begin * args_.units, dtype_),
                     .grad_y = grad_y,
                     .grad_x = grad_z},
                    threads_);
  }

  // Of these rows: grad_x, and their part of the sums over rows.
  void pull_back(Range rows, const ConstView& grad_z) const {
    const ElementType type = element_type(dtype_);
    if (args_.grad_x.data != nullptr) {
      View grad_x = args_.grad_x;
      grad_x.data = at(grad_x.data, rows.begin * grad_x.row_stride, dtype_);
      multiply(rows.size(), args_.in, args_.units, grad_z, transposed(args_.kernel), grad_x, false);
    }
    const bool adds = rows.begin > 0;
    if (args_.grad_kernel.data != nullptr) {
      const ConstView x = from(args_.x, rows.begin, 0, type);
      multiply(args_.in, args_.units, rows.size(), transposed(x), grad_z, args_.grad_kernel, adds);
    }
    if (args_.grad_bias != nullptr) {
      const ConstView ones{.data = one(dtype_), .row_stride = 0, .col_stride = 0};
      const View grad_bias{.data = args_.grad_bias, .row_stride = args_.units, .col_stride = 1};
      multiply(1, args_.units, rows.size(), ones, grad_z, grad_bias, adds);
    }
  }

  void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const ConstView& a,
                const ConstView& b, const View& c, bool adds) const {
    matmul(kernels_,
           {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .epilogue = {}, .accumulate = adds}, {},
           threads_);
  }

  std::span<const Kernel> kernels_;
  const RowKernels& row_kernels_;
  const DensePullbackArgs& args_;
  int threads_;
  DType dtype_;
};

}  // namespace

void dense_pullback(std::span<const Kernel> kernels, const RowKernels& rows,
                    const DensePullbackArgs& args, int threads) {
  DensePullback(kernels, rows, args, threads).run();
}

}  // namespace hotloops
