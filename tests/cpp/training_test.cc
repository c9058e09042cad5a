// The optimizers' kernels, every tail at guard pages; and training from end to end, to the bit.

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "guarded.h"
#include "tests.h"
#include "threads.h"
#include "training.h"
#include "values.h"

namespace hotloops::testing {
namespace {

constexpr std::array<std::pair<std::string_view, Rule>, 4> kRules = {{{"sgd", Rule::sgd},
                                                                      {"momentum", Rule::momentum},
                                                                      {"nesterov", Rule::nesterov},
                                                                      {"adam", Rule::adam}}};

// What a step makes of one parameter, with every operation rounded.
struct Scalar {
  double parameter, first, second;
};

Scalar step(const Update& u, Scalar x, double gradient) {
  switch (u.rule) {
    case Rule::sgd:
      x.parameter -= u.rate * gradient;
      break;
    case Rule::momentum:
      x.first = u.momentum * x.first + gradient;
      x.parameter -= u.rate * x.first;
      break;
    case Rule::nesterov:
      x.first = u.momentum * x.first + gradient;
      x.parameter -= u.rate * (u.momentum * x.first + gradient);
      break;
    case Rule::adam:
      x.first += (1 - u.beta1) * (gradient - x.first);
      x.second += (1 - u.beta2) * (gradient * gradient - x.second);
      x.parameter -= u.rate * x.first / (std::sqrt(x.second) * u.scale + u.epsilon);
      break;
  }
  return x;
}

template <class T>
void test_update(const KernelSet& set, Rule rule, std::int64_t n, Guard guard) {
  const GuardedArray<T> gradients(n, guard);
  const GuardedArray<T> parameters(n, guard);
  const GuardedArray<T> first(n, guard);
  const GuardedArray<T> second(n, guard);
  fill_real(gradients.span(), 1);
  fill_real(parameters.span(), 2);
  fill_real(first.span(), 3);
  fill_real(second.span(), 4);
  for (T& value : second.span()) value = std::abs(value);
  const Update update{.rule = rule,
                      .n = n,
                      .gradients = gradients.data(),
                      .parameters = parameters.data(),
                      .slots = {first.data(), second.data()},
                      .rate = 0.25,
                      .momentum = 0.75,
                      .beta1 = 0.5,
                      .beta2 = 0.875,
                      .scale = 2,
                      .epsilon = 0.125};
  std::vector<Scalar> expected;
  expected.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    expected.push_back(step(update, {parameters[i], first[i], second[i]}, gradients[i]));
  }
  set.rows[static_cast<int>(kDTypeOf<T>)].update(update);
  // Sums may cancel, but their terms are below 2^21.
  const double tolerance = std::ldexp(8 * std::numeric_limits<T>::epsilon(), 21);
  for (std::int64_t i = 0; i < n; ++i) {
    const Scalar& want = expected[static_cast<std::size_t>(i)];
    const double error = std::max({std::abs(double(parameters[i]) - want.parameter),
                                   std::abs(double(first[i]) - want.first),
                                   std::abs(double(second[i]) - want.second)});
    check(error <= tolerance, set.name, " update by rule ", static_cast<int>(rule), " of ", n,
          " values: element ", i, " is wrong by ", error);
  }
}

// Classes of points: a network with activations of every kind between its layers.
template <class T>
std::vector<T> train(Rule rule, int threads) {
  constexpr std::int64_t kSamples = 300;
  constexpr std::int64_t kInputs = 5;
  constexpr std::int64_t kClasses = 3;
  const std::vector<Layer> layers = {
      {.inputs = kInputs,
       .units = 40,
       .activation = Activation::gelu,
       .has_kernel = true,
       .has_bias = true},
      {.inputs = 40,
       .units = 33,
       .activation = Activation::softmax,
       .has_kernel = true,
       .has_bias = false},
      {.inputs = 33,
       .units = 33,
       .activation = Activation::silu,
       .has_kernel = false,
       .has_bias = false},
      {.inputs = 33,
       .units = kClasses,
       .activation = Activation::softmax,
       .has_kernel = true,
       .has_bias = true},
  };
  std::vector<T> x(kSamples * kInputs);
  fill_small_integers(std::span(x), 5);
  std::vector<std::int64_t> y(kSamples);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i * kInputs] > 1 ? 2 : x[i * kInputs] > -2;
  std::vector<T> parameters(static_cast<std::size_t>(parameter_count(layers)));
  fill_small_integers(std::span(parameters), 6);
  for (T& value : parameters) value /= 8;
  std::vector<T> first(parameters.size());
  std::vector<T> second(parameters.size());

  int polls = 0;
  Trainer trainer(kDTypeOf<T>, layers, Loss::sparse_categorical_crossentropy,
                  {.count = kSamples, .x = x.data(), .y = y.data()}, 64);
  Poll poll([&] { ++polls; });
  TrainingState state{.steps = 0, .shuffle = 7};
  const Optimizer optimizer{.rule = rule,
                            .learning_rate = rule == Rule::adam ? 0.01 : 1.0,
                            .momentum = 0.5,
                            .beta1 = 0.9,
                            .beta2 = 0.999,
                            .epsilon = 1e-7};
  set_num_threads_here(threads);
  const std::vector<Score> epochs =
      trainer.train(optimizer, parameters.data(), {first.data(), second.data()}, state,
                    {.epochs = 20, .seconds = 1e9, .shuffle = true}, poll);
  const Score end = trainer.evaluate(parameters.data(), poll);
  set_num_threads_here(1);
  check(std::ssize(epochs) == 20 && state.steps == 100 && polls > 0, "not all was done");
  check(end.loss < 0.8 * epochs.front().loss && end.hits > 0.6, "nothing learned: loss from ",
        epochs.front().loss, " to ", end.loss, ", accuracy ", end.hits);
  return parameters;
}

template <class T>
void test_training_typed(const KernelSet& set) {
  for (const auto& [name, rule] : kRules) {
    for (std::int64_t n = 0; n <= 70; ++n) {
      test_update<T>(set, rule, n, Guard::after);
      test_update<T>(set, rule, n, Guard::before);
    }
    const std::vector<T> parameters = train<T>(rule, 1);
    check(same_bits<T>(parameters, train<T>(rule, 2)), set.name, " training by ", name,
          " depends on the number of threads");
    std::cout << "digest " << set.name << ' ' << name_of(kDTypeOf<T>) << " training " << name << ' '
              << std::hex << digest(std::span<const T>(parameters)) << std::dec << '\n';
  }
}

}  // namespace

void test_training(const KernelSet& set) {
  test_training_typed<float>(set);
  test_training_typed<double>(set);

  std::vector<std::int64_t> order(50);
  std::iota(order.begin(), order.end(), 0);
  std::uint64_t state = 1;
  shuffle(order, state);
  check(!std::ranges::is_sorted(order), "shuffle moved nothing");
  std::ranges::sort(order);
  for (std::size_t i = 0; i < order.size(); ++i) {
    check(std::cmp_equal(order[i], i), "shuffle lost ", i);
  }
}

}  // namespace hotloops::testing
