// Optimizers: a rule, its numbers, and what it remembers from step to step.

#pragma once

#include "kernel.h"

namespace hotloops {

struct Optimizer {
  Rule rule;
  double learning_rate;
  double momentum;               // of momentum and nesterov
  double beta1, beta2, epsilon;  // of adam
};

// Arrays of n values each.
struct Trained {
  std::int64_t n;
  void* parameters;
  const void* gradients;
  void* slots[kMaxSlots];
};

// The step-th step, counted from 1. In adam the means of the first steps, which begin at zero, are
// corrected for it (D. P. Kingma and J. Ba, "Adam", 2015, algorithm 1).
void optimize(const Optimizer& optimizer, const RowKernels& kernels, DType dtype,
              const Trained& arrays, std::int64_t step, int threads);

}  // namespace hotloops
