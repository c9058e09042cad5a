// Drives a row kernel over two arrays of any strides: y = f(x).

#pragma once

#include <cstdint>
#include <span>

#include "kernel.h"

namespace hotloops {

struct ElementwiseDim {
  std::int64_t size;
  std::int64_t x_stride, y_stride;  // elements
};

// Two arrays of one shape, outermost dimension first. They are one array, or do not overlap.
struct ElementwiseArgs {
  DType dtype;
  const void* x;
  void* y;
  std::span<const ElementwiseDim> dims;
  bool y_is_new = false;  // just allocated: its pages are not there yet
};

// A kernel over n contiguous values, with whatever else it needs bound to it.
struct RowFunction {
  void (*run)(const void* context, std::int64_t n, const void* x, void* y);
  const void* context;
};

// f on every element, in any order and in pieces of any length.
void map_elements(const ElementwiseArgs& args, RowFunction f, int threads);

// f on every whole row along the last dimension.
void map_rows(const ElementwiseArgs& args, RowFunction f, int threads);

}  // namespace hotloops
