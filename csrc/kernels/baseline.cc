#define HOTLOOPS_ISA baseline
#include "kernels/leaf.h"
#include "kernels/leaves.h"

namespace hotloops::baseline {

constexpr KernelSet kKernels = make_kernel_set<16, 6, 2, 4, 2>(Isa::baseline);

}  // namespace hotloops::baseline
