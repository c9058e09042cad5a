// What the machine's multiply-add and tile units deliver when nothing else is in their way.

#pragma once

#include <span>

#include "kernel.h"

namespace hotloops {

// Floating-point operations a second of independent fused multiply-adds in registers on the calling
// thread, the median over short bursts. The clock drifts with load, so a kernel's share of the peak
// means something only if the two are measured in turns of a few milliseconds: pure multiply-adds
// let it rise above what a kernel's loads leave.
double fma_peak(const KernelSet& kernels, DType dtype, double seconds);

// The same of the tile unit: products of bfloat16 or int8 from its registers. Throws
// std::invalid_argument where the ISA has no tiles.
double tile_peak(const KernelSet& kernels, TileProduct product, double seconds);

// Reads each value and writes it back, negated: the yardstick for elementwise operations.
void update_in_place(const KernelSet& kernels, std::span<double> values, int threads);

}  // namespace hotloops
