#include "training.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "dispatch.h"
#include "threads.h"
#include "view.h"

namespace hotloops {
namespace {

// Steele, Lea and Flood's SplitMix64: a state of one integer, the same numbers everywhere.
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15U);
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

// Whether `loss` takes over the last layer's activation.
bool fuses(const std::vector<Layer>& layers, Loss loss) {
  const Activation last = layers.back().activation;
  return last != Activation::none && last == link_of(loss);
}

// The last layer without its activation if the loss takes it over.
std::vector<Layer> before_loss(std::vector<Layer> layers, bool from_logits) {
  if (from_logits) layers.back().activation = Activation::none;
  return layers;
}

}  // namespace

void shuffle(std::span<std::int64_t> order, std::uint64_t& state) {
  for (std::size_t i = order.size(); i > 1; --i) {
    // A random fraction of i: uneven by less than i / 2^64.
    const auto scaled = static_cast<unsigned __int128>(next_random(state)) * i;
    std::swap(order[i - 1], order[static_cast<std::size_t>(scaled >> 64U)]);
  }
}

Trainer::Trainer(DType dtype, std::vector<Layer> layers, Loss loss, const Samples& samples,
                 std::int64_t batch_size)
    : dtype_(dtype),
      inputs_(layers.front().inputs),
      units_(layers.back().units),
      loss_(loss),
      from_logits_(fuses(layers, loss)),
      parameters_(parameter_count(layers)),
      samples_(samples),
      batch_size_(std::min(batch_size, samples.count)),
      network_(dtype, before_loss(std::move(layers), from_logits_), batch_size_),
      order_(static_cast<std::size_t>(samples.count)) {
  std::iota(order_.begin(), order_.end(), 0);
}

Score Trainer::evaluate(const void* parameters, Poll& poll) {
  const KernelSet& kernels = active_kernels();
  const int threads = num_threads();
  return for_batches(
      [&](std::span<const std::int64_t> batch) {
        return forward(kernels, parameters, batch, threads);
      },
      poll);
}

std::vector<Score> Trainer::train(const Optimizer& optimizer, void* parameters,
                                  void* const (&slots)[kMaxSlots], TrainingState& state,
                                  const Schedule& schedule, Poll& poll) {
  const KernelSet& kernels = active_kernels();
  const RowKernels& rows = kernels.rows[static_cast<int>(dtype_)];
  const int threads = num_threads();
  std::vector<std::byte> gradients(static_cast<std::size_t>(parameters_ * size_of(dtype_)));
  const Trained arrays{.n = parameters_,
                       .parameters = parameters,
                       .gradients = gradients.data(),
                       .slots = {slots[0], slots[1]}};
  std::vector<Score> epochs;
  const double end = seconds_now() + schedule.seconds;
  do {
    if (schedule.shuffle) {
      std::iota(order_.begin(), order_.end(), 0);
      shuffle(order_, state.shuffle);
    }
    epochs.push_back(for_batches(
        [&](std::span<const std::int64_t> batch) {
          const Score score = forward(kernels, parameters, batch, threads);
          network_.backward(kernels, parameters, std::ssize(batch), gradients.data(), threads);
          optimize(optimizer, rows, dtype_, arrays, ++state.steps, threads);
          return score;
        },
        poll));
  } while (std::ssize(epochs) < schedule.epochs && seconds_now() < end);
  return epochs;
}

template <class Step>
Score Trainer::for_batches(Step step, Poll& poll) {
  Score sum;
  for (std::int64_t first = 0; first < samples_.count; first += batch_size_) {
    const std::int64_t size = std::min(batch_size_, samples_.count - first);
    sum += step(std::span<const std::int64_t>(order_).subspan(static_cast<std::size_t>(first),
                                                              static_cast<std::size_t>(size)));
    poll.now_and_then();
  }
  const auto count = static_cast<double>(samples_.count);
  return {.loss = sum.loss / count, .hits = sum.hits / count};
}

Score Trainer::forward(const KernelSet& kernels, const void* parameters,
                       std::span<const std::int64_t> batch, int threads) {
  const auto row_bytes = static_cast<std::size_t>(inputs_ * size_of(dtype_));
  for (std::size_t i = 0; i < batch.size(); ++i) {
    std::memcpy(at(network_.inputs(), static_cast<std::int64_t>(i) * inputs_, dtype_),
                at(samples_.x, batch[i] * inputs_, dtype_), row_bytes);
  }
  network_.forward(kernels, parameters, std::ssize(batch), threads);
  return evaluate_loss(kernels.rows[static_cast<int>(dtype_)],
                       {.loss = loss_,
                        .from_logits = from_logits_,
                        .dtype = dtype_,
                        .batch = std::ssize(batch),
                        .units = units_,
                        .outputs = network_.outputs(),
                        .gradients = network_.output_gradients(),
                        .targets = samples_.y,
                        .sample = batch.data()},
                       threads);
}

}  // namespace hotloops
