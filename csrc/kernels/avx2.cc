#define HOTLOOPS_ISA avx2
#include "kernels/leaf.h"
#include "kernels/leaves.h"

namespace hotloops::avx2 {

constexpr KernelSet kKernels = make_kernel_set<32, 6, 2, 4, 2>(Isa::avx2);

}  // namespace hotloops::avx2
