// Activations on arrays: the elementwise ones, and softmax along the last dimension.

#pragma once

#include <span>

#include "elementwise.h"
#include "kernel.h"

namespace hotloops {

void activate(Activation activation, const RowKernels& kernels, const ElementwiseArgs& args,
              int threads);

// Copies values of float32 or float64 over these dimensions, whose strides are those of both.
void copy(const RowKernels& kernels, ElementType type, const void* from, void* to,
          std::span<const ElementwiseDim> dims, int threads);

// Contiguous arrays of rows. y may be x.
struct ActivateRowsArgs {
  DType dtype;
  std::int64_t rows, cols;
  const void* x;
  void* y;
};

void activate_rows(Activation activation, const RowKernels& kernels, const ActivateRowsArgs& args,
                   int threads);

// Contiguous arrays of rows. grad_x may be one of the other two.
struct ActivationGradArgs {
  DType dtype;
  std::int64_t rows, cols;
  const void* saved;  // what the activation was applied to or its result: see saves_input
  const void* grad_y;
  void* grad_x;
};

// The gradient with respect to what the activation was applied to.
void activation_grad(Activation activation, const RowKernels& kernels,
                     const ActivationGradArgs& args, int threads);

}  // namespace hotloops
