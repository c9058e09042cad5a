// Matrices that are packed once and multiplied often.

#include "bindings/packing.h"

#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "bindings/initialized.h"
#include "bindings/names.h"
#include "bindings/products.h"
#include "dispatch.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// Null if it takes a conversion that Python code makes.
std::unique_ptr<PackedArray> pack_array(py::handle object, py::handle precision_name) {
  const Arithmetic precision = precision_named("pack", precision_name);
  Array b;
  if (!view_elements(object, b)) return nullptr;
  if (b.ndim != 2) {
    throw std::invalid_argument("pack: b has shape " + shape_text(b) + " but must be a matrix");
  }
  const ProductRule* rule = find_product_rule(b.type, b.type);
  if (rule == nullptr) return nullptr;
  const std::span<const Kernel> kernels = kernels_of(*rule, precision);
  const ConstView view{.data = b.data, .row_stride = b.strides[0], .col_stride = b.strides[1]};
  const std::int64_t rows = b.shape[0];
  const std::int64_t cols = b.shape[1];
  const Isa isa = active_kernels().isa;
  const WithoutGil without_gil;
  return std::make_unique<PackedArray>(b.api, b.type, precision, isa,
                                       PackedMatrix(kernels, view, rows, cols));
}

py::object unpack(const PackedArray& packed) {
  Array like{};
  like.api = packed.api;
  Array view;
  py::object array = new_array(like, packed.type, packed.matrix.shape(), view);
  packed.matrix.unpack(view.data);
  return array;
}

}  // namespace

const PackedArray* as_packed(py::handle object) {
  return py::isinstance<PackedArray>(object) ? object.cast<const PackedArray*>() : nullptr;
}

void check_packed(std::string_view function, std::string_view name, const PackedArray& packed,
                  py::handle precision) {
  const auto refuse = [&](const std::string& what) {
    throw std::invalid_argument(std::string(function) + ": " + what + "; pack " +
                                std::string(name) + " again");
  };
  if (packed.isa != active_kernels().isa) {
    refuse(std::string(name) + " was packed for " + name_of(packed.isa) + " but " +
           active_kernels().name + " is in use");
  }
  if (!precision.is_none() && packed.type == ElementType::f32 &&
      precision_named(function, precision) != packed.precision) {
    refuse("precision is " + py::repr(precision).cast<std::string>() + " but " + std::string(name) +
           " was packed for '" + std::string(name_of_precision(packed.precision)) + "'");
  }
}

void register_packing(const py::module_& m) {
  py::class_<PackedArray> type(m, "PackedMatrix");
  refuse_uninitialized(type);
  type.def(py::init([](py::handle b, py::handle precision) {
             auto packed = pack_array(b, precision);
             if (packed == nullptr) throw py::type_error("pack: b has no dtype with kernels");
             return packed;
           }),
           py::arg("b"), py::arg("precision"))
      .def_property_readonly("dtype_name", [](const PackedArray& p) { return name_of(p.type); })
      .def_property_readonly(
          "shape",
          [](const PackedArray& p) { return std::pair(p.matrix.shape()[0], p.matrix.shape()[1]); })
      .def_property_readonly("nbytes", [](const PackedArray& p) { return p.matrix.bytes(); })
      .def_property_readonly("isa", [](const PackedArray& p) { return name_of(p.isa); })
      .def_property_readonly("kernel",
                             [](const PackedArray& p) { return name_of(p.matrix.kernel()); })
      .def_property_readonly("kc", [](const PackedArray& p) { return p.matrix.kernel().kc; })
      .def_property_readonly("precision",
                             [](const PackedArray& p) { return name_of_precision(p.precision); })
      .def("unpack", &unpack);
}

}  // namespace hotloops
