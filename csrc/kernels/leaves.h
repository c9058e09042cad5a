// What each leaf has for the table of dispatch.cc.

#pragma once

#include "kernel.h"

namespace hotloops {

namespace baseline {
extern const KernelSet kKernels;
}
namespace neon {
extern const KernelSet kKernels;
}
namespace avx2 {
extern const KernelSet kKernels;
}
namespace avx512 {
extern const KernelSet kKernels;
}
namespace avx512vnni {
// Products of integers of 8 and 16 bits by VNNI, in place of AVX-512's.
void set_integers(KernelSet& set);
}  // namespace avx512vnni
namespace avx512bf16 {
// Products of bfloat16 by AVX512-BF16, in place of AVX-512's, and of float32 rounded to it.
// `avx512` outlives `set`.
void set_bf16(KernelSet& set, const KernelSet& avx512);
}  // namespace avx512bf16
namespace avx512zen {
// Products of a row, and of what lies along k, where shuffles are cheap and loads are not, in place
// of AVX-512's.
void set_rows(KernelSet& set);
}  // namespace avx512zen
namespace amx {
// Tiles in place of the kernels of `avx512` where they are better. `avx512` outlives `set`.
void set_tiles(KernelSet& set, const KernelSet& avx512);
}  // namespace amx

}  // namespace hotloops
