#define HOTLOOPS_ISA avx512
#include "kernels/leaf.h"
#include "kernels/leaves.h"

namespace hotloops::avx512 {

constexpr KernelSet kKernels = make_kernel_set<64, 14, 2, 6, 4>(Isa::avx512);

}  // namespace hotloops::avx512
