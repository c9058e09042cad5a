// Tensors of torch, and of whoever else has DLPack's exchange functions.

#pragma once

#include <pybind11/pybind11.h>

#include <span>

#include "bindings/array.h"

namespace hotloops {

// As view_elements, for what is no NumPy array.
bool view_tensor(PyObject* object, Array& v);

// A new tensor of the kind of `like`, and a view of it.
pybind11::object new_tensor(const Array& like, ElementType type,
                            std::span<const std::int64_t> shape, Array& v);

}  // namespace hotloops
