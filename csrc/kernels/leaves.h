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
namespace amx {
// Tiles in place of AVX-512's kernels where they are better.
void set_tiles(KernelSet& set);
}  // namespace amx

}  // namespace hotloops
