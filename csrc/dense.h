// activation(x kernel + bias): a product with its epilogue.

#pragma once

#include <span>

#include "matmul.h"

namespace hotloops {

// As matmul, with any activation. The bias has n contiguous values.
void dense(std::span<const Kernel> kernels, const RowKernels& rows, const MatmulArgs& args,
           std::span<const BatchDim> batch, int threads);

}  // namespace hotloops
