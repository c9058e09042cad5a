// matmul and dense on arrays that need no conversion. What does need one is answered with
// NotImplemented, and python/hotloops/_array_likes.py takes over.

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "activate.h"
#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/packing.h"
#include "bindings/products.h"
#include "bindings/steps.h"
#include "dense.h"
#include "dispatch.h"
#include "matmul.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// What the arguments are called in error messages.
struct Names {
  std::string_view function, a, b;
};

std::string shapes_text(const Array& a, const Array& b) {
  return " (shapes " + shape_text(a) + " and " + shape_text(b) + ")";
}

[[noreturn]] void refuse(const Names& names, std::string_view message, const Array& a,
                         const Array& b) {
  throw std::invalid_argument(std::string(names.function) + ": " + std::string(message) +
                              shapes_text(a, b));
}

std::string counted(std::int64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

// A product as the operands' shapes define it, by numpy.matmul's rules.
struct Product {
  MatmulArgs args{};
  int batch_ndim = 0;
  std::array<BatchDim, kMaxDims> batch;
  int ndim = 0;  // of the result
  std::array<std::int64_t, kMaxDims> shape;
  bool has_rows, has_cols;  // whether the result has them as dimensions

  // b_transposed: b's last dimension is the one that is summed over.
  Product(const Array& a, const Array& b, bool b_transposed, const Names& names) {
    if (a.ndim == 0 || b.ndim == 0) {
      const std::string_view scalar = a.ndim == 0 ? names.a : names.b;
      refuse(names,
             std::string(scalar) + " has 0 dimensions but at least 1 is needed; use * to scale", a,
             b);
    }
    has_rows = a.ndim > 1;
    has_cols = b.ndim > 1;
    const int a_last = a.ndim - 1;
    const int b_rows = !has_cols ? 0 : b.ndim - (b_transposed ? 1 : 2);
    const int b_cols = b.ndim - (b_transposed ? 2 : 1);

    args.k = a.shape[a_last];
    if (b.shape[b_rows] != args.k) {
      const std::string_view b_noun = b_transposed ? "column" : "row";
      refuse(names,
             std::string(names.a) + " has " + counted(args.k, has_rows ? "column" : "element") +
                 " but " + std::string(names.b) + " has " +
                 counted(b.shape[b_rows], has_cols ? b_noun : "element"),
             a, b);
    }
    args.m = has_rows ? a.shape[a_last - 1] : 1;
    args.n = has_cols ? b.shape[b_cols] : 1;
    args.a = {a.data, has_rows ? a.strides[a_last - 1] : 0, a.strides[a_last]};
    args.b = {b.data, b.strides[b_rows], has_cols ? b.strides[b_cols] : 0};

    const int a_batch = has_rows ? a.ndim - 2 : 0;
    const int b_batch = has_cols ? b.ndim - 2 : 0;
    batch_ndim = std::max(a_batch, b_batch);
    for (int d = 0; d < batch_ndim; ++d) {
      const int in_a = d - (batch_ndim - a_batch);
      const int in_b = d - (batch_ndim - b_batch);
      const std::int64_t a_size = in_a < 0 ? 1 : a.shape[in_a];
      const std::int64_t b_size = in_b < 0 ? 1 : b.shape[in_b];
      if (a_size != b_size && a_size != 1 && b_size != 1) {
        refuse(names,
               "batch dimension " + std::to_string(d) + " has size " + std::to_string(a_size) +
                   " in " + std::string(names.a) + " but " + std::to_string(b_size) + " in " +
                   std::string(names.b) + "; sizes must be equal or 1",
               a, b);
      }
      batch[d] = {.size = a_size == 1 ? b_size : a_size,
                  .a_stride = a_size == 1 ? 0 : a.strides[in_a],
                  .b_stride = b_size == 1 ? 0 : b.strides[in_b],
                  .c_stride = 0};
      shape[ndim++] = batch[d].size;
    }
    if (has_rows) shape[ndim++] = args.m;
    if (has_cols) shape[ndim++] = args.n;
  }

  void write_to(const Array& c) {
    for (int d = 0; d < batch_ndim; ++d) batch[d].c_stride = c.strides[d];
    args.c = {c.data, has_rows ? c.strides[batch_ndim] : 0, has_cols ? c.strides[ndim - 1] : 1};
  }

  // To memory in which the result lies in C order.
  void write_to(void* c) {
    std::int64_t stride = 1;
    args.c = {.data = c, .row_stride = 0, .col_stride = 1};
    if (has_cols) stride = args.n;
    if (has_rows) {
      args.c.row_stride = stride;
      stride *= args.m;
    }
    for (int d = batch_ndim - 1; d >= 0; --d) {
      batch[d].c_stride = stride;
      stride *= batch[d].size;
    }
  }

  [[nodiscard]] std::span<const std::int64_t> result_shape() const {
    return std::span(shape).first(static_cast<std::size_t>(ndim));
  }
  [[nodiscard]] std::span<const BatchDim> batch_dims() const {
    return std::span(batch).first(static_cast<std::size_t>(batch_ndim));
  }
  [[nodiscard]] std::int64_t work() const {
    std::int64_t work = args.m * args.n * std::max<std::int64_t>(1, args.k);
    for (const BatchDim& dim : batch_dims()) work *= dim.size;
    return work;
  }
};

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

constexpr Names kMatmulNames{.function = "matmul", .a = "a", .b = "b"};

// Runs a product whose result has that type: the sums', or a narrower one.
void compute_into(ElementType result, std::span<const Kernel> kernels, Product& product) {
  product.args.narrowing = {.type = result,
                            .row = active_kernels().narrow[static_cast<int>(result)]};
  compute(product.work(),
          [&](int threads) { matmul(kernels, product.args, product.batch_dims(), threads); });
}

// The type that the caller names, if kernels for operands by `rule` can make it: the rule's own,
// that of the sums, or for bytes 16 bits. False: it is another one's to find out.
bool find_result(const ProductRule& rule, py::handle name, ElementType& result) {
  result = rule.result;
  if (name.is_none()) return true;
  const auto wanted = name.cast<std::string_view>();
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

// `dtype_name` is NumPy's name of the result's type, or None for what the operands' promote to.
py::object matmul_arrays(py::handle a_object, py::handle b_object, py::handle out,
                         py::handle precision_name, py::handle dtype_name) {
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
  if (rule == nullptr || !find_result(*rule, dtype_name, type)) return not_implemented();
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

// A stand-in for operands of whatever kind and dtype, where only shapes matter.
Array of_shape(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxDims) throw std::invalid_argument("more than 64 dimensions");
  Array array{};
  array.ndim = static_cast<int>(shape.size());
  array.shape = shape.data();
  return array;
}

using Shape = std::vector<std::int64_t>;

py::tuple as_tuple(std::span<const std::int64_t> shape) {
  return py::tuple(py::cast(Shape(shape.begin(), shape.end())));
}

py::tuple matmul_shape(const Shape& a, const Shape& b) {
  return as_tuple(Product(of_shape(a), of_shape(b), false, kMatmulNames).result_shape());
}

constexpr Names dense_names(bool transposed) {
  return {
      .function = transposed ? "linear" : "dense", .a = "x", .b = transposed ? "weight" : "kernel"};
}

// A packed weight of `linear` is a kernel already: not `in_rows`, one for each unit.
Product dense_product(const Array& x, const Array& kernel, const Array* bias, bool transposed,
                      bool in_rows) {
  const Names names = dense_names(transposed);
  if (kernel.ndim != 2) {
    refuse(names,
           std::string(names.b) + " has " + counted(kernel.ndim, "dimension") + " but 2 are needed",
           x, kernel);
  }
  const Product product(x, kernel, in_rows, names);
  if (bias != nullptr && (bias->ndim != 1 || bias->shape[0] != product.args.n)) {
    throw std::invalid_argument(std::string(names.function) + ": bias has shape " +
                                shape_text(*bias) + " but (" + std::to_string(product.args.n) +
                                ",) is needed, one value a unit");
  }
  return product;
}

py::tuple dense_shape(const Shape& x, const Shape& kernel, const std::optional<Shape>& bias,
                      bool transposed) {
  const Array bias_array = bias ? of_shape(*bias) : Array{};
  return as_tuple(dense_product(of_shape(x), of_shape(kernel), bias ? &bias_array : nullptr,
                                transposed, transposed)
                      .result_shape());
}

// dense, or linear where `transposed`.
py::object dense_arrays(py::handle x_object, py::handle kernel_object, py::handle bias_object,
                        py::handle activation_name, py::handle residual_object, py::handle out,
                        py::handle is_transposed, py::handle precision_name) {
  const bool transposed = is_transposed.is(py::handle(Py_True));
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

Activation activation_named(std::string_view function, py::handle name) {
  if (name.is_none()) return Activation::none;
  if (py::isinstance<py::str>(name)) {
    const auto text = name.cast<std::string_view>();
    for (const auto& [known, activation] : kActivationNames) {
      if (text == known) return activation;
    }
  }
  std::string message = std::string(function) + ": activation is " +
                        py::repr(name).cast<std::string>() + " but must be None";
  for (const auto& [known, activation] : kActivationNames)
    message += ", '" + std::string(known) + "'";
  throw std::invalid_argument(message);
}

Arithmetic precision_named(std::string_view function, py::handle name) {
  if (name.is_none()) return float32_precision();
  if (py::isinstance<py::str>(name)) {
    const auto text = name.cast<std::string_view>();
    for (const auto& [known, arithmetic] : kPrecisionNames) {
      if (text == known) return arithmetic;
    }
  }
  std::string message = std::string(function) + ": precision is " +
                        py::repr(name).cast<std::string>() + " but must be None";
  for (const auto& [known, arithmetic] : kPrecisionNames)
    message += ", '" + std::string(known) + "'";
  throw std::invalid_argument(message);
}

std::string_view name_of_precision(Arithmetic precision) {
  const auto* found = std::ranges::find(kPrecisionNames, precision,
                                        &std::pair<std::string_view, Arithmetic>::second);
  return found->first;
}

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
                               "matmul(a: object, b: object, out: object, precision: object, "
                               "dtype: object, /) -> typing.Any"),
      method<dense_arrays, 8>(
          "dense",
          "dense(x: object, kernel: object, bias: object, activation: object, residual: object, "
          "out: object, transposed: bool, precision: object, /) -> typing.Any"),
      method<activate_array, 2>("activate", "activate(name: object, x: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();

  m.def("matmul_shape", &matmul_shape, py::arg("a"), py::arg("b"));
  m.def("dense_shape", &dense_shape, py::arg("x"), py::arg("kernel"), py::arg("bias"),
        py::arg("transposed"));
  m.def(
      "check_activation",
      [](const std::string& function, py::handle name) { activation_named(function, name); },
      py::arg("function"), py::arg("activation"));
  m.def(
      "check_precision",
      [](const std::string& function, py::handle name) { precision_named(function, name); },
      py::arg("function"), py::arg("precision"));
}

}  // namespace hotloops
