#include "bindings/names.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "dispatch.h"

namespace py = pybind11;

namespace hotloops {
namespace {

constexpr std::pair<std::string_view, Arithmetic> kPrecisionNames[] = {
    {"float32", Arithmetic::f32},
    {"bf16x6", Arithmetic::bf16x6},
    {"bf16x3", Arithmetic::bf16x3},
    {"bf16", Arithmetic::bf16x1}};

// The value of that name; None is not among them, but offered in the message if it is one more.
template <class Table>
auto find_named(std::string_view function, std::string_view argument, py::handle name, bool or_none,
                const Table& table) {
  if (py::isinstance<py::str>(name)) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(name.ptr(), &size);
    if (text == nullptr) {
      PyErr_Clear();  // lone surrogates, which no name has
    } else {
      const std::string_view given(text, static_cast<std::size_t>(size));
      for (const auto& [known, value] : table) {
        if (given == known) return value;
      }
    }
  }
  const py::object shown = py::module_::import("reprlib").attr("repr")(name);
  std::string message = std::string(function) + ": " + std::string(argument) + " is " +
                        shown.cast<std::string>() + " but must be";
  const char* separator = " ";
  if (or_none) {
    message += " None";
    separator = ", ";
  }
  for (const auto& [known, value] : table) {
    message.append(separator).append("'").append(known).append("'");
    separator = ", ";
  }
  throw std::invalid_argument(message);
}

}  // namespace

Activation activation_named(std::string_view function, py::handle name, bool or_none) {
  if (or_none && name.is_none()) return Activation::none;
  return find_named(function, "activation", name, or_none, kActivationNames);
}

Arithmetic precision_named(std::string_view function, py::handle name, bool or_none) {
  if (or_none && name.is_none()) return float32_precision();
  return find_named(function, "precision", name, or_none, kPrecisionNames);
}

std::string_view name_of_precision(Arithmetic precision) {
  const auto* found = std::ranges::find(kPrecisionNames, precision,
                                        &std::pair<std::string_view, Arithmetic>::second);
  return found->first;
}

}  // namespace hotloops
