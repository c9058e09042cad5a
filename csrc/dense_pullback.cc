#include "dense_pullback.h"

#include <utility>

namespace hotloops {
namespace {

ConstView transposed(const ConstView& matrix) {
  return {.data = matrix.data, .row_stride = matrix.col_stride, .col_stride = matrix.row_stride};
}

const void* one(DType dtype) {
  static constexpr float kFloat = 1;
  static constexpr double kDouble = 1;
  return dtype == DType::f32 ? static_cast<const void*>(&kFloat) : &kDouble;
}

}  // namespace

void dense_pullback(std::span<const Kernel> kernels, const DensePullbackArgs& args, int threads) {
  const auto multiply = [&](std::int64_t m, std::int64_t n, std::int64_t k, const ConstView& a,
                            const ConstView& b, const View& c) {
    if (c.data == nullptr) return;
    matmul(kernels, {.m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .epilogue = {}}, {}, threads);
  };
  multiply(args.rows, args.in, args.units, args.grad_z, transposed(args.kernel), args.grad_x);
  multiply(args.in, args.units, args.rows, transposed(args.x), args.grad_z, args.grad_kernel);
  const ConstView ones{.data = one(kernels.front().dtype), .row_stride = 0, .col_stride = 0};
  multiply(1, args.units, args.rows, ones, args.grad_z,
           {.data = args.grad_bias, .row_stride = args.units, .col_stride = 1});
}

}  // namespace hotloops
