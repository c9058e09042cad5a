// Gradients of activations and dense layers. As in operations.cc, NotImplemented asks Python code
// to convert the operands first.

#include <algorithm>
#include <array>

#include "activate.h"
#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "dispatch.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// Whether x and y of one shape have their elements at the same places.
bool same_layout(const Array& x, const Array& y) {
  for (int d = 0; d < x.ndim; ++d) {
    if (x.shape[d] > 1 && x.strides[d] != y.strides[d]) return false;
  }
  return true;
}

std::int64_t size(const Array& array) {
  std::int64_t size = 1;
  for (const std::int64_t extent : array.dims()) size *= extent;
  return size;
}

bool contiguous(const Array& array) {
  std::int64_t stride = size(array);
  for (int d = 0; d < array.ndim && stride > 0; ++d) {
    stride /= array.shape[d];
    if (array.shape[d] > 1 && array.strides[d] != stride) return false;
  }
  return true;
}

// grad_x, which lies as `saved` does, without gaps. A grad_y that lies otherwise is first copied
// there.
void activation_grad(Activation activation, const Array& saved, const Array& grad_y,
                     const Array& grad_x, int threads) {
  const RowKernels& kernels = row_kernels(saved.dtype);
  const void* gradient = grad_y.data;
  if (!same_layout(grad_y, grad_x)) {
    std::array<ElementwiseDim, kMaxDims> dims;
    for (int d = 0; d < grad_x.ndim; ++d) {
      dims[d] = {grad_x.shape[d], grad_y.strides[d], grad_x.strides[d]};
    }
    activate(Activation::none, kernels,
             {.dtype = grad_x.dtype,
              .x = grad_y.data,
              .y = grad_x.data,
              .dims = std::span(dims).first(static_cast<std::size_t>(grad_x.ndim)),
              .y_is_new = true},
             threads);
    gradient = grad_x.data;
  }
  const std::int64_t cols = saved.ndim > 0 ? saved.shape[saved.ndim - 1] : 1;
  activation_grad(activation, kernels,
                  {.dtype = saved.dtype,
                   .rows = cols == 0 ? 0 : size(saved) / cols,
                   .cols = cols,
                   .saved = saved.data,
                   .grad_y = gradient,
                   .grad_x = grad_x.data},
                  threads);
}

py::object activation_grad_arrays(py::handle name, py::handle saved_object,
                                  py::handle grad_y_object) {
  const Activation activation = activation_named("activation_grad", name);
  Array saved;
  Array grad_y;
  if (!view(saved_object, saved) || !view(grad_y_object, grad_y) || saved.api != grad_y.api ||
      saved.dtype != grad_y.dtype || !std::ranges::equal(saved.dims(), grad_y.dims())) {
    return not_implemented();
  }
  Array grad_x;
  py::object array = new_array_like(saved_object, saved, grad_x);
  if (!same_layout(saved, grad_x) || (activation == Activation::softmax && !contiguous(saved))) {
    return not_implemented();
  }
  compute(size(saved),
          [&](int threads) { activation_grad(activation, saved, grad_y, grad_x, threads); });
  return result(std::move(array), grad_x);
}

}  // namespace

void register_vjp(py::module_& m) {
  static PyMethodDef methods[] = {
      method<activation_grad_arrays, 3>("activation_grad",
                                        "activation_grad(activation: object, saved: object, "
                                        "grad_y: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();
}

}  // namespace hotloops
