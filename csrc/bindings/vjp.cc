// Gradients of activations and dense layers. As in operations.cc, NotImplemented asks Python code
// to convert the operands first.

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "activate.h"
#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/names.h"
#include "bindings/products.h"
#include "dense_pullback.h"
#include "dispatch.h"

namespace py = pybind11;

namespace hotloops {
namespace {

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

// An array as a matrix of all its rows, where these lie evenly in memory. Without elements it is
// one whatever its strides are: NumPy and torch leave odd ones there.
bool as_matrix(const Array& array, ConstView& matrix, std::int64_t& rows) {
  const int last = array.ndim - 1;
  const bool empty = size(array) == 0;
  rows = 1;
  std::int64_t row_stride = 0;
  for (int d = last - 1; d >= 0; --d) {
    if (array.shape[d] == 1) continue;
    if (rows == 1) {
      row_stride = array.strides[d];
    } else if (!empty && array.strides[d] != rows * row_stride) {
      return false;
    }
    rows *= array.shape[d];
  }
  matrix = {.data = array.data, .row_stride = row_stride, .col_stride = array.strides[last]};
  return true;
}

void copy(const Array& from, const Array& to, int threads) {
  std::array<ElementwiseDim, kMaxDims> dims;
  for (int d = 0; d < to.ndim; ++d) {
    dims[d] = {.size = to.shape[d], .strides = {from.strides[d], to.strides[d]}};
  }
  copy(row_kernels(to.dtype), to.type, from.data, to.data,
       std::span<const ElementwiseDim>(dims).first(static_cast<std::size_t>(to.ndim)), threads);
}

// grad_x, which lies as `saved` does, without gaps. A grad_y that lies otherwise is first copied
// there.
void fill_activation_grad(Activation activation, const Array& saved, const Array& grad_y,
                          const Array& grad_x, int threads) {
  const bool in_place = !same_layout(grad_y, grad_x);
  if (in_place) copy(grad_y, grad_x, threads);
  const std::int64_t cols = saved.ndim > 0 ? saved.shape[saved.ndim - 1] : 1;
  activation_grad(activation, row_kernels(saved.dtype),
                  {.dtype = saved.dtype,
                   .rows = cols == 0 ? 0 : size(saved) / cols,
                   .cols = cols,
                   .saved = saved.data,
                   .grad_y = in_place ? grad_x.data : grad_y.data,
                   .grad_x = grad_x.data},
                  threads);
}

py::object activation_grad_arrays(py::handle name, py::handle saved_object,
                                  py::handle grad_y_object) {
  const Activation activation = activation_named("activation_grad", name);
  Array saved;
  Array grad_y;
  if (!view(saved_object, saved) || !view(grad_y_object, grad_y) || !same_kind(saved, grad_y) ||
      !std::ranges::equal(saved.dims(), grad_y.dims())) {
    return not_implemented();
  }
  Array grad_x;
  py::object array = new_array_like(saved_object, saved, grad_x);
  if (!same_layout(saved, grad_x) || (activation == Activation::softmax && !contiguous(saved))) {
    return not_implemented();
  }
  compute(size(saved),
          [&](int threads) { fill_activation_grad(activation, saved, grad_y, grad_x, threads); });
  return result(std::move(array), grad_x);
}

// The gradients of activation(x kernel + bias), or with the weights of `linear` where `transposed`:
// a tuple of those of x, kernel and bias, with None for each that is not needed. `saved` is the
// input of the activation or its result, contiguous; without activation it is not looked at.
py::object dense_pullback_arrays(py::handle x_object, py::handle kernel_object,
                                 py::handle activation_name, py::handle saved_object,
                                 py::handle grad_y_object, py::handle is_transposed,
                                 py::handle needs_x, py::handle needs_kernel,
                                 py::handle needs_bias) {
  const auto is_true = [](py::handle object) { return object.is(py::handle(Py_True)); };
  const Activation activation = activation_named("dense_vjp", activation_name);
  const bool has_saved = activation != Activation::none;
  Array x;
  Array kernel;
  Array saved;
  Array grad_y;
  DensePullbackArgs args{};
  args.activation = activation;
  if (!view(x_object, x) || !view(kernel_object, kernel) || !view(grad_y_object, grad_y) ||
      !same_kind(x, kernel) || !same_kind(x, grad_y) || !as_matrix(x, args.x, args.rows) ||
      (has_saved && (!view(saved_object, saved) || !same_kind(x, saved) || !contiguous(saved)))) {
    return not_implemented();
  }
  args.saved = has_saved ? saved.data : nullptr;
  const bool transposed = is_true(is_transposed);
  const int in_dim = transposed ? 1 : 0;
  args.in = kernel.shape[in_dim];
  args.units = kernel.shape[1 - in_dim];
  args.kernel = {.data = kernel.data,
                 .row_stride = kernel.strides[in_dim],
                 .col_stride = kernel.strides[1 - in_dim]};
  std::int64_t grad_y_rows = 0;
  if (grad_y.ndim != x.ndim || grad_y.shape[x.ndim - 1] != args.units ||
      !std::equal(grad_y.shape, grad_y.shape + grad_y.ndim - 1, x.shape) ||
      !as_matrix(grad_y, args.grad_y, grad_y_rows)) {
    return not_implemented();
  }

  Array grad;
  py::object grad_x = py::none();
  py::object grad_kernel = py::none();
  py::object grad_bias = py::none();
  if (is_true(needs_x)) {
    grad_x = new_array(x, x.dims(), grad);
    args.grad_x = {.data = grad.data, .row_stride = args.in, .col_stride = 1};
  }
  if (is_true(needs_kernel)) {
    grad_kernel = new_array(x, kernel.dims(), grad);
    args.grad_kernel = {.data = grad.data,
                        .row_stride = transposed ? 1 : args.units,
                        .col_stride = transposed ? args.in : 1};
  }
  if (is_true(needs_bias)) {
    grad_bias = new_array(x, std::span(&args.units, 1), grad);
    args.grad_bias = grad.data;
  }
  const ProductRule* rule = find_product_rule(x.type, x.type);
  const std::span<const Kernel> kernels = kernels_of(*rule, float32_precision());
  compute(2 * args.rows * args.in * args.units,
          [&](int threads) { dense_pullback(kernels, row_kernels(x.dtype), args, threads); });
  return py::make_tuple(std::move(grad_x), std::move(grad_kernel), std::move(grad_bias));
}

// Whether there are kernels for the gradients of layers of such operands.
py::object has_gradients(py::handle object) {
  Array x;
  return py::bool_(view(object, x));
}

}  // namespace

void register_vjp(py::module_& m) {
  static PyMethodDef methods[] = {
      method<has_gradients, 1>("has_gradients", "has_gradients(x: object, /) -> bool"),
      method<activation_grad_arrays, 3>("activation_grad",
                                        "activation_grad(activation: object, saved: object, "
                                        "grad_y: object, /) -> typing.Any"),
      method<dense_pullback_arrays, 9>(
          "dense_pullback",
          "dense_pullback(x: object, kernel: object, activation: object, saved: object, grad_y: "
          "object, transposed: bool, needs_x: bool, needs_kernel: bool, needs_bias: bool, /) -> "
          "typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();

  py::list names;
  for (const auto& [name, activation] : kActivationNames) {
    if (saves_input(activation)) names.append(py::str(name.data(), name.size()));
  }
  m.attr("SAVES_INPUT") = py::tuple(names);
}

}  // namespace hotloops
