// The backward pass of a dense layer: y = activation(x kernel + bias) for one matrix of rows x.

#pragma once

#include <span>

#include "kernel.h"
#include "matmul.h"

namespace hotloops {

// Gradients with a null pointer are not computed. Matrices have any strides, and those that are
// written overlap neither an operand nor each other.
struct DensePullbackArgs {
  std::int64_t rows, in, units;
  ConstView x;       // (rows, in)
  ConstView kernel;  // (in, units)
  Activation activation;
  const void* saved;  // what it was applied to or its result (see saves_input): rows without gaps
  ConstView grad_y;   // (rows, units)
  void* grad_z;       // where rows of it may be put, without gaps; it may be grad_y. Null: nowhere
  View grad_x;        // grad_z kernel', where z is what the activation was applied to
  View grad_kernel;   // x' grad_z
  void* grad_bias;    // the sum of grad_z's rows; contiguous
};

// All three are products by the numerical contract, the sum of rows being that of a row of ones and
// grad_z. So sums over rows run over blocks of kKc of them, and the bits do not depend on strides
// or threads.
void dense_pullback(std::span<const Kernel> kernels, const RowKernels& rows,
                    const DensePullbackArgs& args, int threads);

}  // namespace hotloops
