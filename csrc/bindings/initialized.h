// Objects that are used before they are made.

#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>
#include <typeinfo>

namespace hotloops {

// Refuses objects whose __init__ has not run, as cls.__new__(cls) makes them. pybind11 would give
// them memory as it finds it for a value, by this operator.
template <class T, class... Options>
void refuse_uninitialized(const pybind11::class_<T, Options...>& /*type*/) {
  pybind11::detail::get_type_info(typeid(T))->operator_new = [](std::size_t) -> void* {
    const auto name = pybind11::type::of<T>().attr("__name__").template cast<std::string>();
    PyErr_SetString(PyExc_TypeError, (name + ".__init__() has not been called").c_str());
    throw pybind11::error_already_set();
  };
}

}  // namespace hotloops
