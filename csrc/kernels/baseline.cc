#define HOTLOOPS_ISA baseline
#include "kernels/leaf.h"

namespace hotloops::baseline {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<16, 6, 2, 2>(Isa::baseline);

}  // namespace hotloops::baseline
