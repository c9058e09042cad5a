// What happens to a finished sum of products before it is stored for the last time.

#pragma once

#include <cstdint>

namespace hotloops {

enum class Activation : std::uint8_t { none, relu, gelu, gelu_tanh, sigmoid, tanh, silu, softmax };

// Whether the derivative is computed from what the activation was applied to. If not, it is from
// its result: that is at hand anyway, and the derivatives of relu, sigmoid, tanh and softmax are
// simpler in it.
constexpr bool saves_input(Activation activation) {
  return activation == Activation::gelu || activation == Activation::gelu_tanh ||
         activation == Activation::silu;
}

// Applied by the microkernel to the last block of k, on the values that are still in registers:
// first the bias, then the residual, then the activation. `softmax` needs whole rows; drivers run
// it after the tiles.
struct Epilogue {
  const void* bias = nullptr;      // one value a column, or null
  const void* residual = nullptr;  // a matrix that lies as the result does, or null
  Activation activation = Activation::none;

  // Sums are stored as they are.
  [[nodiscard]] constexpr bool is_trivial() const {
    return bias == nullptr && residual == nullptr && activation == Activation::none;
  }
};

}  // namespace hotloops
