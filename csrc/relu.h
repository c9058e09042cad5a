// y = max(x, 0), a NaN staying NaN.

#pragma once

#include "elementwise.h"

namespace hotloops {

void relu(const RowKernels& kernels, const ElementwiseArgs& args, int threads);

}  // namespace hotloops
