// Drives a function on rows of elements over arrays of any strides.

#pragma once

#include <cstdint>
#include <span>

#include "element.h"

namespace hotloops {

// One dimension of all arrays. An array that is stretched along it has stride 0.
struct ElementwiseDim {
  std::int64_t size;
  std::int64_t strides[kMaxArrays];  // elements
};

// Arrays of one shape, outermost dimension first. The result's elements do not overlap each other,
// and it is the same memory as an operand, element by element, or apart from it.
struct ElementwiseArgs {
  int arrays;
  bool has_result;             // the last array; all others are only read
  bool result_is_new = false;  // just allocated: its pages are not there yet
  struct {
    void* data;
    ElementType type;
  } array[kMaxArrays];
  std::span<const ElementwiseDim> dims;
};

// A kernel with whatever else it needs bound to it. It answers false if its elements decide the
// whole, and need not be called again then.
struct RowFunction {
  bool (*run)(const void* context, const Row& row);
  const void* context;
  // Whether it minds Row::stretched; if not, it gets no such operand.
  bool stretches = false;
  // The same past the caches, if there is such a thing.
  bool (*stream)(const void* context, const Row& row) = nullptr;
};

// f on every element, in any order and in pieces of any length. False if f answered so.
bool map_elements(const ElementwiseArgs& args, RowFunction f, int threads);

// f on every whole row along the last dimension.
void map_rows(const ElementwiseArgs& args, RowFunction f, int threads);

// An operation of element.h by the kernels for its operands' type. False if all_greater is.
bool elementwise(const ElementKernels& kernels, ElementOp op, const ElementwiseArgs& args,
                 int threads);

}  // namespace hotloops
