#define HOTLOOPS_ISA baseline
#include "kernels/leaf.h"

namespace hotloops::baseline {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<16, 6, 2>(
    Isa::baseline, "baseline", "matmul_float32_baseline_6x8", "matmul_float64_baseline_6x4");

}  // namespace hotloops::baseline
