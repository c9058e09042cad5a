#define HOTLOOPS_ISA avx2
#include "kernels/leaf.h"

namespace hotloops::avx2 {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<32, 6, 2, 2>(Isa::avx2);

}  // namespace hotloops::avx2
