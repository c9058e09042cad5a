// A stack of dense layers: its outputs, and its gradients by backpropagation.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel.h"

namespace hotloops {

// activation(x kernel + bias), or activation(x).
struct Layer {
  std::int64_t inputs, units;
  Activation activation;
  bool has_kernel;  // if not: no bias, and as many units as inputs
  bool has_bias;

  // The kernel, then the bias.
  [[nodiscard]] std::int64_t parameter_count() const {
    return has_kernel ? (inputs + (has_bias ? 1 : 0)) * units : 0;
  }
};

// Of all layers; their parameters lie in one array, layer after layer.
std::int64_t parameter_count(std::span<const Layer> layers);

// What a batch becomes on its way through the layers and back. All matrices are contiguous, one row
// a sample.
class Network {
 public:
  Network(DType dtype, std::vector<Layer> layers, std::int64_t max_batch);

  // To be filled before forward().
  [[nodiscard]] void* inputs() const { return passes_.front().y; }

  // Computes the outputs of the first `batch` rows of the inputs.
  void forward(const KernelSet& kernels, const void* parameters, std::int64_t batch, int threads);
  [[nodiscard]] const void* outputs() const { return passes_.back().y; }

  // The gradients with respect to the outputs, to be filled before backward().
  [[nodiscard]] void* output_gradients() const { return passes_.back().grad; }

  // Computes the gradients with respect to the parameters, after forward() of the same batch.
  void backward(const KernelSet& kernels, const void* parameters, std::int64_t batch,
                void* gradients, int threads);

 private:
  // What backward() needs of a layer's forward pass. The first is no layer's: y is the inputs.
  struct Pass {
    void* y;
    void* z;     // what the activation was applied to, where y does not do; may be the y before
    void* grad;  // with respect to y, and then to z
  };

  [[nodiscard]] std::span<const Kernel> products(const KernelSet& kernels) const {
    return kernels.matmul[static_cast<int>(dtype_)];
  }
  [[nodiscard]] const RowKernels& rows(const KernelSet& kernels) const {
    return kernels.rows[static_cast<int>(dtype_)];
  }

  struct Free {
    void operator()(std::byte* p) const;
  };

  DType dtype_;
  std::vector<Layer> layers_;
  std::vector<Pass> passes_;
  std::unique_ptr<std::byte[], Free> memory_;
};

}  // namespace hotloops
