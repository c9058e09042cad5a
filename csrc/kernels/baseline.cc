#define HOTLOOPS_ISA baseline
#include "kernels/leaf.h"

namespace hotloops::baseline {

extern const KernelSet kKernels;
constexpr KernelSet kKernels =
    make_kernel_set<16, 6, 2, 2>(Isa::baseline, "baseline",
                                 {{{"matmul_float32_baseline_6x8", "matmul_float32_baseline_4x8",
                                    "matmul_float32_baseline_1x32"},
                                   {"matmul_float64_baseline_6x4", "matmul_float64_baseline_4x4",
                                    "matmul_float64_baseline_1x16"}}});

}  // namespace hotloops::baseline
