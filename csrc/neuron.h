// A neuron, tanh(x w), and the loop that trains it on all samples at once.

#pragma once

#include <cstdint>

#include "kernel.h"
#include "poll.h"

namespace hotloops {

// The slope of tanh where its result is y: 1 - y^2, or 1 - tanh(y)^2, as a classic program has it.
enum class Slope : std::uint8_t { of_tanh, classic };

// float64, rows without gaps.
struct NeuronSamples {
  std::int64_t count, inputs;
  const double* x;
  const double* targets;  // one a sample
};

// Repeats w += x^T ((targets - y) slope(y)) with y = tanh(x w).
void train_neuron(const KernelSet& kernels, const NeuronSamples& samples, Slope slope,
                  std::int64_t iterations, double* weights, Poll& poll, int threads);

}  // namespace hotloops
