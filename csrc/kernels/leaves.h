// What each leaf has for the table of dispatch.cc: data alone, for that is put together before it
// is known which instructions there are.

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
// Products of integers of 8 and 16 bits by VNNI, over AVX-512's.
namespace avx512vnni {
extern const KernelOverlay kOverlay;
}
// Products of bfloat16, and of float32 rounded to it, by AVX512-BF16, over AVX-512's.
namespace avx512bf16 {
extern const KernelOverlay kOverlay;
}
// Products of a row, and of what lies along k, where shuffles are cheap and loads are not, over
// AVX-512's.
namespace avx512zen {
extern const KernelOverlay kOverlay;
}
// AMX tiles where they are better, over the kernels of AVX-512.
namespace amx {
extern const KernelOverlay kOverlay;
}

}  // namespace hotloops
