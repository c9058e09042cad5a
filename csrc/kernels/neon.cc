#define HOTLOOPS_ISA neon
#include "kernels/leaf.h"

namespace hotloops::neon {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<16, 8, 3, 4>(
    Isa::neon, "neon",
    {{{"matmul_float32_neon_8x12", "matmul_float32_neon_4x16", "matmul_float32_neon_1x32"},
      {"matmul_float64_neon_8x6", "matmul_float64_neon_4x8", "matmul_float64_neon_1x16"}}});

}  // namespace hotloops::neon
