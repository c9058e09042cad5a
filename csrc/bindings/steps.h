// Operations on views of arrays, for calls that are several of them in a row. Each makes a new
// array, or answers with null where it has no kernels for the operands.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <span>

#include "bindings/array.h"

namespace hotloops {

// The product of two arrays, or the same values in another shape of as many.
pybind11::object matmul_views(const Array& a, const Array& b,
                              std::optional<std::span<const std::int64_t>> shape, Array& result);

// The elementwise product of the first two arrays; the last one becomes the result's view. `model`
// is an array of the operands' type.
pybind11::object multiply_views(pybind11::handle model, std::span<Array, 3> arrays);

}  // namespace hotloops
