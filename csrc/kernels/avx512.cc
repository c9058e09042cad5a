#define HOTLOOPS_ISA avx512
#include "kernels/leaf.h"

namespace hotloops::avx512 {

extern const KernelSet kKernels;
constexpr KernelSet kKernels = make_kernel_set<64, 14, 2, 4>(
    Isa::avx512, "avx512",
    {{{"matmul_float32_avx512_14x32", "matmul_float32_avx512_4x64", "matmul_float32_avx512_1x128"},
      {"matmul_float64_avx512_14x16", "matmul_float64_avx512_4x32",
       "matmul_float64_avx512_1x64"}}});

}  // namespace hotloops::avx512
