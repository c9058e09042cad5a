// What the machine's multiply-add units deliver when nothing else is in their way.

#pragma once

#include "kernel.h"

namespace hotloops {

// Floating-point operations a second of independent fused multiply-adds in registers, on `threads`
// threads at once: the sum of each thread's median over short bursts. The clock drifts with load,
// so a kernel's share of the peak means something only if the two are measured in turns of a few
// milliseconds: pure multiply-adds let it rise above what a kernel's loads leave.
double fma_peak(const KernelSet& kernels, DType dtype, double seconds, int threads);

}  // namespace hotloops
