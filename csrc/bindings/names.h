// What callers call activations and precisions.

#pragma once

#include <pybind11/pybind11.h>

#include <string_view>
#include <utility>

#include "epilogue.h"
#include "kernel.h"

namespace hotloops {

inline constexpr std::pair<std::string_view, Activation> kActivationNames[] = {
    {"relu", Activation::relu},           {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh}, {"sigmoid", Activation::sigmoid},
    {"tanh", Activation::tanh},           {"silu", Activation::silu},
    {"softmax", Activation::softmax}};

// The activation of that name, None included unless `or_none` is false. Throws
// std::invalid_argument, in the name of `function`, if there is none.
Activation activation_named(std::string_view function, pybind11::handle name, bool or_none = true);

// How to multiply float32 for a caller who accepts the precision of that name, or who says None
// unless `or_none` is false. Throws std::invalid_argument, in the name of `function`, if there is
// none.
Arithmetic precision_named(std::string_view function, pybind11::handle name, bool or_none = true);

// The name of f32 or one of its bfloat16 arithmetics.
std::string_view name_of_precision(Arithmetic precision);

}  // namespace hotloops
