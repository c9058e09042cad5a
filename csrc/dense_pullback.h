// The backward pass of a dense layer: z = x kernel + bias for one matrix of rows x.

#pragma once

#include <cstdint>
#include <span>

#include "matmul.h"

namespace hotloops {

// Strides in elements. A gradient that is not wanted has null for its data. Gradients overlap
// neither operands nor each other.
struct DensePullbackArgs {
  std::int64_t rows, in, units;
  ConstView x;       // (rows, in)
  ConstView kernel;  // (in, units)
  ConstView grad_z;  // (rows, units): the gradient with respect to z
  View grad_x;       // grad_z kernel'
  View grad_kernel;  // x' grad_z
  void* grad_bias;   // the sum of grad_z's rows; contiguous
};

// All three are products by the numerical contract, the sum of rows being that of a row of ones and
// grad_z. So sums over rows run over blocks of kKc of them, and the bits do not depend on strides
// or threads.
void dense_pullback(std::span<const Kernel> kernels, const DensePullbackArgs& args, int threads);

}  // namespace hotloops
