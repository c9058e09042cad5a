// Sums over one dimension of an array of any strides.

#pragma once

#include <cstdint>
#include <span>

#include "kernel.h"

namespace hotloops {

// One of the dimensions that stay; strides in elements.
struct SumDim {
  std::int64_t size;
  std::int64_t x_stride, y_stride;
};

// y[...] = the sum of k values of x, k_stride apart, for each index of `dims` (outermost first). y
// overlaps neither x nor itself.
struct SumArgs {
  DType dtype;  // f32 or f64
  std::int64_t k, k_stride;
  const void* x;
  void* y;
  std::span<const SumDim> dims;
};

// The bits of a sum depend on its values alone (see kSumChains): not on strides, threads or the
// instruction set.
void sum(const SumArgs& args, int threads);

}  // namespace hotloops
