#define HOTLOOPS_ISA neon
#include "kernels/leaf.h"
#include "kernels/leaves.h"

namespace hotloops::neon {

constexpr KernelSet kKernels = make_kernel_set<16, 8, 3, 6, 4>(Isa::neon);

}  // namespace hotloops::neon
