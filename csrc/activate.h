// Activations on arrays: the elementwise ones, and softmax along the last dimension.

#pragma once

#include "elementwise.h"
#include "kernel.h"

namespace hotloops {

void activate(Activation activation, const RowKernels& kernels, const ElementwiseArgs& args,
              int threads);

}  // namespace hotloops
