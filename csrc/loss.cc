// Compiled without fused multiply-add on any architecture (see CMakeLists.txt), so that the
// gradients have the same bits on all.

#include "loss.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "activate.h"

namespace hotloops {
namespace {

// Outputs that are taken as probabilities stay this far from 0 and 1, where a logarithm or its
// derivative is infinite.
constexpr double kClip = 1e-7;

// One sample. The gradients are those of the sample's loss; `gradients` of a loss from logits holds
// the activated outputs at first.
template <class T>
struct SampleRow {
  std::span<const T> outputs;
  std::span<T> gradients;
};

template <class T>
std::int64_t argmax(std::span<const T> values) {
  return std::ranges::max_element(values) - values.begin();
}

template <class T>
double count_equal_halves(std::span<const T> outputs, const T* targets) {
  std::int64_t count = 0;
  for (std::size_t j = 0; j < outputs.size(); ++j) count += T(outputs[j] > T(0.5)) == targets[j];
  return static_cast<double>(count) / static_cast<double>(outputs.size());
}

template <class T>
Score mse(SampleRow<T> row, const T* targets) {
  const auto units = static_cast<double>(row.outputs.size());
  Score score;
  score.hits =
      row.outputs.size() == 1
          ? count_equal_halves(row.outputs, targets)
          : double(argmax(row.outputs) == argmax(std::span<const T>(targets, row.outputs.size())));
  for (std::size_t j = 0; j < row.outputs.size(); ++j) {
    const T difference = row.outputs[j] - targets[j];
    score.loss += double(difference) * double(difference) / units;
    row.gradients[j] = difference * T(2 / units);
  }
  return score;
}

template <class T>
Score binary_from_logits(SampleRow<T> row, const T* targets) {
  const auto units = static_cast<double>(row.outputs.size());
  Score score;
  score.hits = count_equal_halves(std::span<const T>(row.gradients), targets);
  for (std::size_t j = 0; j < row.outputs.size(); ++j) {
    const double z = row.outputs[j];
    const double t = targets[j];
    // -t log y - (1 - t) log(1 - y) with y = 1 / (1 + e^-z), for either sign of z
    score.loss += (std::max(z, 0.0) - z * t + std::log1p(std::exp(-std::abs(z)))) / units;
    row.gradients[j] = (row.gradients[j] - targets[j]) * T(1 / units);
  }
  return score;
}

template <class T>
Score binary_from_probabilities(SampleRow<T> row, const T* targets) {
  const auto units = static_cast<double>(row.outputs.size());
  Score score;
  score.hits = count_equal_halves(row.outputs, targets);
  for (std::size_t j = 0; j < row.outputs.size(); ++j) {
    const double y = row.outputs[j];
    const double t = targets[j];
    const double p = std::clamp(y, kClip, 1 - kClip);
    score.loss -= (t * std::log(p) + (1 - t) * std::log1p(-p)) / units;
    row.gradients[j] = y == p ? T((p - t) / (p * (1 - p)) / units) : T(0);
  }
  return score;
}

// The targets of a sample as probabilities of classes.
template <class T>
struct Classes {
  const T* values;
  T operator[](std::size_t j) const { return values[j]; }
  [[nodiscard]] std::int64_t best(std::size_t count) const {
    return argmax(std::span<const T>(values, count));
  }
};

// The one class of a sample.
template <class T>
struct Class {
  std::int64_t number;
  T operator[](std::size_t j) const { return T(std::cmp_equal(j, number)); }
  [[nodiscard]] std::int64_t best(std::size_t) const { return number; }
};

template <class T, class Targets>
Score categorical_from_logits(SampleRow<T> row, Targets targets) {
  const std::span<const T> z = row.outputs;
  const std::int64_t best = argmax(std::span<const T>(row.gradients));
  // log of softmax y: z - largest z + log of the largest y, which is at least 1 / units
  const auto top = static_cast<std::size_t>(best);
  const double log_best = std::log(double(row.gradients[top]));
  Score score;
  score.hits = double(best == targets.best(z.size()));
  T total = 0;
  for (std::size_t j = 0; j < z.size(); ++j) {
    const double t = targets[j];
    if (t != 0) score.loss -= t * ((double(z[j]) - double(z[top])) + log_best);
    total += targets[j];
  }
  for (std::size_t j = 0; j < z.size(); ++j) {
    row.gradients[j] = row.gradients[j] * total - targets[j];
  }
  return score;
}

// Outputs that no softmax made are first divided by their sum.
template <class T, class Targets>
Score categorical_from_probabilities(SampleRow<T> row, Targets targets) {
  const std::span<const T> y = row.outputs;
  Score score;
  score.hits = double(argmax(y) == targets.best(y.size()));
  double sum = 0;
  for (const T value : y) sum += value;
  double total = 0;  // of the targets whose output is not clipped
  for (std::size_t j = 0; j < y.size(); ++j) {
    const double t = targets[j];
    const double share = y[j] / sum;
    const double p = std::clamp(share, kClip, 1 - kClip);
    if (t != 0) score.loss -= t * std::log(p);
    if (share == p) total += t;
  }
  for (std::size_t j = 0; j < y.size(); ++j) {
    const double share = y[j] / sum;
    const bool clipped = share < kClip || share > 1 - kClip;
    row.gradients[j] = T((total - (clipped ? 0 : targets[j] / share)) / sum);
  }
  return score;
}

template <class T>
Score of_sample(const LossArgs& args, SampleRow<T> row, std::int64_t sample) {
  if (args.loss == Loss::sparse_categorical_crossentropy) {
    const Class<T> target{static_cast<const std::int64_t*>(args.targets)[sample]};
    return args.from_logits ? categorical_from_logits(row, target)
                            : categorical_from_probabilities(row, target);
  }
  const T* targets = static_cast<const T*>(args.targets) + sample * args.units;
  switch (args.loss) {
    case Loss::mse:
      return mse(row, targets);
    case Loss::binary_crossentropy:
      return args.from_logits ? binary_from_logits(row, targets)
                              : binary_from_probabilities(row, targets);
    default:
      return args.from_logits ? categorical_from_logits(row, Classes<T>{targets})
                              : categorical_from_probabilities(row, Classes<T>{targets});
  }
}

template <class T>
Score of_batch(const LossArgs& args) {
  const auto units = static_cast<std::size_t>(args.units);
  const T scale = T(1) / T(args.batch);
  Score score;
  for (std::int64_t i = 0; i < args.batch; ++i) {
    const SampleRow<T> row{.outputs = {static_cast<const T*>(args.outputs) + i * args.units, units},
                           .gradients = {static_cast<T*>(args.gradients) + i * args.units, units}};
    score += of_sample(args, row, args.sample[i]);
    for (T& gradient : row.gradients) gradient *= scale;
  }
  return score;
}

}  // namespace

Score evaluate_loss(const RowKernels& kernels, const LossArgs& args, int threads) {
  if (args.from_logits) {
    activate_rows(link_of(args.loss), kernels,
                  {.dtype = args.dtype,
                   .rows = args.batch,
                   .cols = args.units,
                   .x = args.outputs,
                   .y = args.gradients},
                  threads);
  }
  return args.dtype == DType::f32 ? of_batch<float>(args) : of_batch<double>(args);
}

}  // namespace hotloops
