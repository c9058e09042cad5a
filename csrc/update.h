// One step of an optimizer: how parameters follow their gradients.

#pragma once

#include <cstdint>

namespace hotloops {

// With p parameters, g gradients, v a velocity and m, s running means of g and g^2:
//
//   sgd       p -= rate g
//   momentum  v = momentum v + g          p -= rate v
//   nesterov  v = momentum v + g          p -= rate (momentum v + g)
//   adam      m += (1 - beta1) (g - m)    p -= rate m / (scale sqrt(s) + epsilon)
//             s += (1 - beta2) (g^2 - s)
//
// v, m and s become zero where they would be subnormal.
enum class Rule : std::uint8_t { sgd, momentum, nesterov, adam };

// Arrays of the parameters' size that a rule keeps from step to step, zero at first.
constexpr int slots_of(Rule rule) {
  switch (rule) {
    case Rule::sgd:
      return 0;
    case Rule::momentum:
    case Rule::nesterov:
      return 1;
    case Rule::adam:
      return 2;
  }
  __builtin_unreachable();
}
inline constexpr int kMaxSlots = 2;

// A step over n parameters.
struct Update {
  Rule rule;
  std::int64_t n;
  const void* gradients;
  void* parameters;
  void* slots[kMaxSlots];  // v, or m and s
  double rate;
  double momentum;
  double beta1, beta2;
  double scale, epsilon;
};

}  // namespace hotloops
