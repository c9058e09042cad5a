// Losses of a batch of outputs, and their gradients.

#pragma once

#include <cstdint>

#include "kernel.h"

namespace hotloops {

// Means over the batch; the first two also over the outputs of a sample:
//
//   mse                              (y - t)^2
//   binary_crossentropy              -t log y - (1 - t) log(1 - y)
//   categorical_crossentropy         -sum over classes of t log y
//   sparse_categorical_crossentropy  the same; t is the number of the one class
enum class Loss : std::uint8_t {
  mse,
  binary_crossentropy,
  categorical_crossentropy,
  sparse_categorical_crossentropy,
};

// The activation together with which a loss is a simple and stable function of what the activation
// is applied to, the logits: log y and log(1 - y) of a saturated y would be infinite.
constexpr Activation link_of(Loss loss) {
  switch (loss) {
    case Loss::mse:
      return Activation::none;
    case Loss::binary_crossentropy:
      return Activation::sigmoid;
    case Loss::categorical_crossentropy:
    case Loss::sparse_categorical_crossentropy:
      return Activation::softmax;
  }
  __builtin_unreachable();
}

// Sums over samples.
struct Score {
  double loss = 0;
  double hits = 0;  // of a sample: the part of its outputs, or 1 or 0 for its class, that is right

  void operator+=(const Score& other) {
    loss += other.loss;
    hits += other.hits;
  }
};

struct LossArgs {
  Loss loss;
  bool from_logits;  // link_of(loss) is still to be applied to the outputs
  DType dtype;
  std::int64_t batch, units;
  const void* outputs;         // contiguous, as are the next two
  void* gradients;             // with respect to the outputs; written
  const void* targets;         // rows of `units` values; one int64 a row if sparse
  const std::int64_t* sample;  // the row of the targets for each of the batch
};

Score evaluate_loss(const RowKernels& kernels, const LossArgs& args, int threads);

}  // namespace hotloops
