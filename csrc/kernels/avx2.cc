#define HOTLOOPS_ISA avx2
#include "kernels/leaf.h"

namespace hotloops::avx2 {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<32, 6, 2, 2>(
    Isa::avx2, "avx2",
    {{{"matmul_float32_avx2_6x16", "matmul_float32_avx2_4x16", "matmul_float32_avx2_1x64"},
      {"matmul_float64_avx2_6x8", "matmul_float64_avx2_4x8", "matmul_float64_avx2_1x32"}}});

}  // namespace hotloops::avx2
