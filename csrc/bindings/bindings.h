// One registration a topic.

#pragma once

#include <pybind11/pybind11.h>

namespace hotloops {

void register_computed_function(pybind11::module_& m);
void register_einsum(pybind11::module_& m);
void register_elementwise(pybind11::module_& m);
void register_operations(pybind11::module_& m);
void register_packing(const pybind11::module_& m);
void register_vjp(pybind11::module_& m);
void register_settings(pybind11::module_& m);
void register_ladder(pybind11::module_& m);
void register_training(pybind11::module_& m);

}  // namespace hotloops
