// Training: epochs of steps of forward pass, loss, backward pass and update.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "loss.h"
#include "network.h"
#include "optimizer.h"
#include "poll.h"

namespace hotloops {

// Rows without gaps: `x` of the network's inputs, `y` as the loss takes its targets.
struct Samples {
  std::int64_t count;
  const void* x;
  const void* y;
};

// What changes from step to step, besides the parameters. Training that goes on with the same state
// gives the same bits as training that was never interrupted.
struct TrainingState {
  std::int64_t steps = 0;     // done so far
  std::uint64_t shuffle = 0;  // of the random numbers that shuffle the samples
};

// Puts `order` into a random order (R. A. Fisher and F. Yates; numbers from SplitMix64).
void shuffle(std::span<std::int64_t> order, std::uint64_t& state);

class Trainer {
 public:
  Trainer(DType dtype, std::vector<Layer> layers, Loss loss, const Samples& samples,
          std::int64_t batch_size);

  // When `poll` throws, what is being done ends after a whole step.

  // The means over all samples.
  Score evaluate(const void* parameters, Poll& poll);

  struct Schedule {
    std::int64_t epochs;
    double seconds;  // after so many, no other epoch is begun
    bool shuffle;
  };

  // Trains `parameters`; `slots` are the optimizer's. Returns the means over each epoch, of outputs
  // from before each step: of one epoch at least, of fewer than asked for if the time is up.
  std::vector<Score> train(const Optimizer& optimizer, void* parameters,
                           void* const (&slots)[kMaxSlots], TrainingState& state,
                           const Schedule& schedule, Poll& poll);

 private:
  Score forward(const KernelSet& kernels, const void* parameters,
                std::span<const std::int64_t> batch, int threads);
  // step(batch) for all samples in order, which returns the batch's score; the mean of these.
  template <class Step>
  Score for_batches(Step step, Poll& poll);

  DType dtype_;
  std::int64_t inputs_, units_;
  Loss loss_;
  bool from_logits_;
  std::int64_t parameters_;
  Samples samples_;
  std::int64_t batch_size_;
  Network network_;
  std::vector<std::int64_t> order_;
};

}  // namespace hotloops
