#include "neuron.h"

#include <vector>

#include "matmul.h"

namespace hotloops {

void train_neuron(const KernelSet& kernels, const NeuronSamples& samples, Slope slope,
                  std::int64_t iterations, double* weights, Poll& poll, int threads) {
  constexpr auto kDouble = static_cast<int>(DType::f64);
  const auto count = static_cast<std::size_t>(samples.count);
  std::vector<double> y(count);
  std::vector<double> change(count);
  std::vector<double> step(static_cast<std::size_t>(samples.inputs));
  const ConstView x{.data = samples.x, .row_stride = samples.inputs, .col_stride = 1};
  const MatmulArgs forward{.m = samples.count,
                           .n = 1,
                           .k = samples.inputs,
                           .a = x,
                           .b = {.data = weights, .row_stride = 1, .col_stride = 1},
                           .c = {.data = y.data(), .row_stride = 1, .col_stride = 1},
                           .epilogue = {.bias = nullptr, .activation = Activation::tanh}};
  const MatmulArgs backward{
      .m = samples.inputs,
      .n = 1,
      .k = samples.count,
      .a = {.data = x.data, .row_stride = x.col_stride, .col_stride = x.row_stride},
      .b = {.data = change.data(), .row_stride = 1, .col_stride = 1},
      .c = {.data = step.data(), .row_stride = 1, .col_stride = 1},
      .epilogue = {}};
  for (std::int64_t i = 0; i < iterations; ++i) {
    matmul(kernels.matmul[kDouble], forward, {}, threads);
    if (slope == Slope::classic) {
      kernels.rows[kDouble].activate(Activation::tanh, samples.count, y.data(), change.data());
    } else {
      change = y;
    }
    for (std::size_t s = 0; s < count; ++s) {
      change[s] = (samples.targets[s] - y[s]) * (1 - change[s] * change[s]);
    }
    matmul(kernels.matmul[kDouble], backward, {}, threads);
    for (std::size_t w = 0; w < step.size(); ++w) weights[w] += step[w];
    poll.now_and_then();
  }
}

}  // namespace hotloops
