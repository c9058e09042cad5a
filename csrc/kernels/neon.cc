#define HOTLOOPS_ISA neon
#include "kernels/leaf.h"

namespace hotloops::neon {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<16, 8, 3, 4>(Isa::neon);

}  // namespace hotloops::neon
