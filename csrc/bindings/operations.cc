// matmul and dense on arrays that need no conversion. What does need one is answered with
// NotImplemented, and python/hotloops/_array_likes.py takes over.

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "activate.h"
#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/names.h"
#include "bindings/packing.h"
#include "bindings/products.h"
#include "bindings/shapes.h"
#include "bindings/steps.h"
#include "dense.h"
#include "dispatch.h"
#include "matmul.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// The array to write to: `out` if it is one that fits and overlaps none of `operands`, or a new one
// where out is None. Null if out is neither.
py::object output(py::handle out, const Array& like, ElementType type,
                  std::span<const std::int64_t> shape, std::initializer_list<const Array*> operands,
                  Array& view_of_it) {
  if (out.is_none()) return new_array(like, type, shape, view_of_it);
  if (!view_elements(out, view_of_it) || !fits(view_of_it, like.api, type, shape)) return {};
  for (const Array* operand : operands) {
    if (overlap(view_of_it, *operand)) return {};
  }
  return py::reinterpret_borrow<py::object>(out);
}

// Runs a product whose result has that type: the sums', or a narrower one.
void compute_into(ElementType result, std::span<const Kernel> kernels, Product& product) {
  product.args.narrowing = {.type = result,
                            .row = active_kernels().narrow[static_cast<int>(result)]};
  compute(product.work(),
          [&](int threads) { matmul(kernels, product.args, product.batch_dims(), threads); });
}

// NumPy's name of a dtype that may be said in many ways, or torch's.
std::string numpy_name(py::handle dtype) {
  static const auto* dtype_name =
      new py::object(py::module_::import("hotloops._array_likes").attr("dtype_name"));
  return (*dtype_name)(dtype).cast<std::string>();
}

// The type that the caller wants, if kernels for operands by `rule` can make it: the rule's own,
// that of the sums, or for bytes 16 bits. False: it is another one's to find out.
bool find_result(const ProductRule& rule, py::handle dtype, ElementType& result) {
  result = rule.result;
  if (dtype.is_none()) return true;
  const std::string wanted = numpy_name(dtype);
  if (wanted == name_of(rule.result)) return true;
  const bool bytes = size_of(rule.a) == 1;
  const auto is = [&](ElementType type) {
    result = type;
    return wanted == name_of(type);
  };
  if (rule.arithmetic == Arithmetic::bf16 || rule.arithmetic == Arithmetic::f16) {
    return is(ElementType::f32);
  }
  if (!bytes && rule.arithmetic != Arithmetic::i16) return false;
  return is(ElementType::i32) || (rule.arithmetic == Arithmetic::u8 && is(ElementType::u32)) ||
         (bytes && is(ElementType::i16));
}

// A packed matrix as the array that it was, but for its memory.
Array stand_in(const PackedArray& packed) {
  Array array{};
  array.api = packed.api;
  array.type = packed.type;
  array.ndim = 2;
  array.shape = packed.matrix.shape().data();
  return array;
}

// The kernel for a left operand by `rule` and a packed right one: the one that packed it, or where
// bytes are signed or not only in the left operand, its sibling.
std::span<const Kernel> kernel_for(const ProductRule& rule, const PackedArray& packed) {
  const Kernel& own = packed.matrix.kernel();
  const bool same = find_product_rule(packed.type, packed.type)->arithmetic == rule.arithmetic;
  return {same ? &own : kernels_of(rule, packed.precision).data(), 1};
}

// `dtype` is the result's type, or None for what the operands' promote to.
py::object matmul_arrays(py::handle a_object, py::handle b_object, py::handle out, py::handle dtype,
                         py::handle precision_name) {
  const Arithmetic precision = precision_named("matmul", precision_name);
  Array a;
  Array b;
  if (!view_elements(a_object, a)) return not_implemented();
  const PackedArray* packed = nullptr;
  if (!view_elements(b_object, b)) {
    packed = as_packed(b_object);
    if (packed == nullptr) return not_implemented();
    check_packed("matmul", "b", *packed, precision_name);
    b = stand_in(*packed);
  } else if (a.api != b.api) {
    return not_implemented();
  }
  const ProductRule* rule = find_product_rule(a.type, b.type);
  ElementType type{};
  if (rule == nullptr || !find_result(*rule, dtype, type)) return not_implemented();
  Product product(a, b, false, kMatmulNames);
  Array c;
  py::object array = output(out, a, type, product.result_shape(), {&a, &b}, c);
  if (!array) return not_implemented();
  product.write_to(c);
  if (packed != nullptr) product.args.packed_b = packed->matrix.view();
  compute_into(type, packed != nullptr ? kernel_for(*rule, *packed) : kernels_of(*rule, precision),
               product);
  return finish(out, std::move(array), c);
}

using Shape = std::vector<std::int64_t>;

py::tuple as_tuple(std::span<const std::int64_t> shape) {
  return py::tuple(py::cast(Shape(shape.begin(), shape.end())));
}

py::tuple matmul_shape(const Shape& a, const Shape& b) {
  return as_tuple(Product(of_shape(a), of_shape(b), false, kMatmulNames).result_shape());
}

py::tuple dense_shape(const Shape& x, const Shape& kernel, const std::optional<Shape>& bias,
                      bool transposed) {
  const Array bias_array = bias ? of_shape(*bias) : Array{};
  return as_tuple(dense_product(of_shape(x), of_shape(kernel), bias ? &bias_array : nullptr,
                                transposed, transposed)
                      .result_shape());
}

// dense, or linear where `transposed`.
template <bool transposed>
py::object dense_arrays(py::handle x_object, py::handle kernel_object, py::handle bias_object,
                        py::handle activation_name, py::handle residual_object, py::handle out,
                        py::handle precision_name) {
  const Arithmetic precision = precision_named(dense_names(transposed).function, precision_name);
  const Activation activation = activation_named(dense_names(transposed).function, activation_name);
  Array x;
  Array kernel;
  Array bias;
  Array residual;
  const bool has_bias = !bias_object.is_none();
  const bool has_residual = !residual_object.is_none();
  if (!view_elements(x_object, x)) return not_implemented();
  const PackedArray* packed = nullptr;
  if (!view_elements(kernel_object, kernel)) {
    packed = as_packed(kernel_object);
    if (packed == nullptr) return not_implemented();
    const Names names = dense_names(transposed);
    check_packed(names.function, names.b, *packed, precision_name);
    kernel = stand_in(*packed);
  } else if (x.api != kernel.api) {
    return not_implemented();
  }
  const ProductRule* rule = x.type == kernel.type ? find_product_rule(x.type, x.type) : nullptr;
  // Complex numbers have no activations.
  const bool has_layers = is_real(x.type) || (is_complex(x.type) && activation == Activation::none);
  if (rule == nullptr || !has_layers) return not_implemented();
  if ((has_bias && (!view_elements(bias_object, bias) || !same_kind(x, bias))) ||
      (has_residual && (!view_elements(residual_object, residual) || !same_kind(x, residual)))) {
    return not_implemented();
  }
  // What has to wait for all of a row, or is as narrow as the result, is not for tiles of sums.
  const Narrowing narrowing{.type = x.type,
                            .row = active_kernels().narrow[static_cast<int>(x.type)]};
  const bool narrows = narrowing.row != nullptr;
  if (narrows && (has_residual || activation == Activation::softmax)) return not_implemented();
  Product product = dense_product(x, kernel, has_bias ? &bias : nullptr, transposed,
                                  transposed && packed == nullptr);
  if (has_bias && bias.shape[0] > 1 && bias.strides[0] != 1) return not_implemented();
  Array y;
  py::object array = output(out, x, x.type, product.result_shape(), {&x, &kernel}, y);
  if (!array || (has_bias && !out.is_none() && overlap(y, bias))) return not_implemented();
  if (has_residual && (!same_layout(y, residual) || overlap(y, residual))) return not_implemented();
  product.write_to(y);
  product.args.narrowing = narrowing;
  product.args.epilogue = {.bias = has_bias ? bias.data : nullptr,
                           .residual = has_residual ? residual.data : nullptr,
                           .activation = activation};
  std::vector<float> wide_bias;
  if (narrows && has_bias) {
    wide_bias.resize(static_cast<std::size_t>(product.args.n));
    active_kernels().widen[static_cast<int>(x.type)](product.args.n, bias.data, wide_bias.data());
    product.args.epilogue.bias = wide_bias.data();
  }
  std::span<const Kernel> kernels = kernels_of(*rule, precision);
  if (packed != nullptr) {
    product.args.packed_b = packed->matrix.view();
    kernels = {&packed->matrix.kernel(), 1};
  }
  compute(product.work(), [&](int threads) {
    dense(kernels, row_kernels(kernels.front().dtype), product.args, product.batch_dims(), threads);
  });
  return finish(out, std::move(array), y);
}

py::object activate_array(py::handle name, py::handle x_object) {
  const Activation activation = activation_named("activate", name);
  Array x;
  if (!view(x_object, x)) return not_implemented();
  Array y;
  py::object array = new_array_like(x_object, x, y);
  std::array<ElementwiseDim, kMaxDims> dims;
  std::int64_t work = 1;
  for (int d = 0; d < x.ndim; ++d) {
    dims[d] = {.size = x.shape[d], .strides = {x.strides[d], y.strides[d]}};
    work *= x.shape[d];
  }
  const ElementwiseArgs args{
      .arrays = 2,
      .has_result = true,
      .array = {{x.data, x.type}, {y.data, y.type}},
      .dims = std::span<const ElementwiseDim>(dims).first(static_cast<std::size_t>(x.ndim))};
  compute(work, [&](int threads) { activate(activation, row_kernels(x.dtype), args, threads); });
  return result(std::move(array), y);
}

}  // namespace

py::object matmul_views(const Array& a, const Array& b,
                        std::optional<std::span<const std::int64_t>> shape, Array& result) {
  const ProductRule* rule = find_product_rule(a.type, b.type);
  if (rule == nullptr) return {};
  Product product(a, b, false, kMatmulNames);
  py::object array = new_array(a, rule->result, shape.value_or(product.result_shape()), result);
  product.write_to(static_cast<void*>(result.data));
  compute_into(rule->result, kernels_of(*rule, float32_precision()), product);
  return array;
}

void register_operations(py::module_& m) {
  // The signatures are written as pybind11 writes them, for the stub generator.
  static PyMethodDef methods[] = {
      method<matmul_arrays, 5>("matmul",
                               "matmul(a: object, b: object, out: object, dtype: object, "
                               "precision: object, /) -> typing.Any"),
      method<dense_arrays<false>, 7>(
          "dense",
          "dense(x: object, kernel: object, bias: object, activation: object, residual: object, "
          "out: object, precision: object, /) -> typing.Any"),
      method<dense_arrays<true>, 7>(
          "linear",
          "linear(x: object, weight: object, bias: object, activation: object, residual: object, "
          "out: object, precision: object, /) -> typing.Any"),
      method<activate_array, 2>("activate", "activate(name: object, x: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();

  m.def("matmul_shape", &matmul_shape, py::arg("a"), py::arg("b"));
  m.def("dense_shape", &dense_shape, py::arg("x"), py::arg("kernel"), py::arg("bias"),
        py::arg("transposed"));
  m.def(
      "check_activation",
      [](const std::string& function, py::handle name, bool or_none) {
        activation_named(function, name, or_none);
      },
      py::arg("function"), py::arg("activation"), py::arg("or_none") = true);
  m.def(
      "check_precision",
      [](const std::string& function, py::handle name, bool or_none) {
        precision_named(function, name, or_none);
      },
      py::arg("function"), py::arg("precision"), py::arg("or_none") = true);
}

}  // namespace hotloops
