// Elementwise operations on arrays that need no conversion. What does need one is answered with
// NotImplemented, and python/hotloops/_elementwise_likes.py takes over.

#include "elementwise.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/steps.h"
#include "dispatch.h"

namespace py = pybind11;

namespace hotloops {
namespace {

constexpr int kMaxOperands = kMaxArrays - 1;

enum class Result : std::uint8_t { as_last_operand, boolean, none };

struct Operation {
  ElementOp op;
  std::string_view function;
  int operands;
  std::string_view names[kMaxOperands];
  int typed;  // the operand whose type chooses the kernels
  Result result;
};

constexpr Operation kRelu = {ElementOp::relu, "relu", 1, {"x"}, 0, Result::as_last_operand};
constexpr Operation kMultiply = {ElementOp::multiply, "multiply", 2,
                                 {"a", "b"},          0,          Result::as_last_operand};
constexpr Operation kAdd = {ElementOp::add, "add", 2, {"a", "b"}, 0, Result::as_last_operand};
constexpr Operation kSubtract = {ElementOp::subtract, "subtract", 2,
                                 {"a", "b"},          0,          Result::as_last_operand};
constexpr Operation kGreater = {ElementOp::greater, "greater", 2, {"a", "b"}, 0, Result::boolean};
constexpr Operation kAllGreater = {
    ElementOp::all_greater, "all_greater", 2, {"a", "b"}, 0, Result::none};
constexpr Operation kWhere = {ElementOp::where,        "where", 3,
                              {"condition", "x", "y"}, 1,       Result::as_last_operand};
constexpr Operation kWhereGreater = {
    ElementOp::where_greater, "where_greater", 4, {"a", "b", "x", "y"}, 0, Result::as_last_operand};

// A Python number that takes an operand's place: it has the type of its partner.
union Scalar {
  float f32;
  double f64;
  std::int32_t i32;
  std::int64_t i64;
};

// The number in the type of `partner`, if NumPy and torch give it that type, and it fits exactly or
// is rounded without a word. What they warn of or refuse is theirs to say.
bool view_scalar(py::handle object, const Array& partner, Scalar& scalar, Array& v) {
  const bool is_float = PyFloat_CheckExact(object.ptr()) != 0;
  double real = 0;
  int overflow = 0;
  std::int64_t whole = 0;
  if (is_float) {
    real = PyFloat_AS_DOUBLE(object.ptr());
  } else {
    whole = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    real = static_cast<double>(whole);
    constexpr std::int64_t kExact = 1 << 24;
    if (overflow != 0) return false;
    const bool exact = -kExact <= whole && whole <= kExact;
    if (!exact && partner.type != ElementType::i32 && partner.type != ElementType::i64) {
      return false;
    }
  }
  switch (partner.type) {
    case ElementType::f32:
      scalar.f32 = static_cast<float>(real);
      if (std::isinf(scalar.f32) && !std::isinf(real)) return false;
      break;
    case ElementType::f64:
      scalar.f64 = real;
      break;
    case ElementType::i32:
      if (is_float || !std::in_range<std::int32_t>(whole)) return false;
      scalar.i32 = static_cast<std::int32_t>(whole);
      break;
    case ElementType::i64:
      if (is_float) return false;
      scalar.i64 = whole;
      break;
    default:
      return false;
  }
  v.api = partner.api;
  v.data = reinterpret_cast<std::byte*>(&scalar);
  v.type = partner.type;
  v.ndim = 0;
  v.shape = nullptr;
  return true;
}

// The operand that an operand has its type from, if it has none of its own.
std::size_t partner_of(const Operation& operation, std::size_t operand) {
  if (operation.op != ElementOp::where) return operand ^ 1U;
  return operand == 0 ? 0 : 3 - operand;
}

// Whether there is a kernel for operands of these types and kinds.
bool knows(const Operation& operation, std::span<const Array> operands) {
  const Array& first = operands.front();
  const Array& last = operands.back();
  for (std::size_t i = 0; i < operands.size(); ++i) {
    ElementType wanted = last.type;
    if (operation.op == ElementOp::where && i == 0) wanted = ElementType::boolean;
    if (operation.op == ElementOp::where_greater && i < 2) wanted = first.type;
    if (operands[i].type != wanted || operands[i].api != last.api) return false;
  }
  // Values are moved by kernels for what is compared, as bits.
  if (operation.op == ElementOp::where_greater && size_of(first.type) != size_of(last.type)) {
    return false;
  }
  const ElementType type = operands[operation.typed].type;
  return element_kernels(type).run[static_cast<int>(operation.op)] != nullptr;
}

[[noreturn]] void refuse_shapes(std::string_view function, std::span<const std::string_view> names,
                                std::span<const Array> operands, int dim, std::size_t p,
                                std::size_t q) {
  const auto has = [&](std::size_t i) {
    return std::to_string(operands[i].shape[operands[i].ndim + dim]) + " in " +
           std::string(names[i]);
  };
  std::string message = std::string(function) + ": dimension " + std::to_string(dim) +
                        " has size " + has(p) + " but " + has(q) +
                        "; sizes must be equal or 1 (shapes ";
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (i > 0) message += i + 1 < operands.size() ? ", " : " and ";
    message += shape_text(operands[i]);
  }
  throw std::invalid_argument(message + ")");
}

int most_dims(std::span<const Array> operands) {
  int ndim = 0;
  for (const Array& operand : operands) ndim = std::max(ndim, operand.ndim);
  return ndim;
}

// The shape to which operands are broadcast, by NumPy's rules, into most_dims() sizes.
void broadcast(std::string_view function, std::span<const std::string_view> names,
               std::span<const Array> operands, std::span<std::int64_t> sizes) {
  const auto ndim = static_cast<int>(sizes.size());
  for (int d = 0; d < ndim; ++d) {
    std::int64_t& broadcast_size = sizes[static_cast<std::size_t>(d)];
    broadcast_size = 1;
    std::size_t leader = 0;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const int own = d - (ndim - operands[i].ndim);
      const std::int64_t size = own < 0 ? 1 : operands[i].shape[own];
      if (size == 1 || size == broadcast_size) continue;
      if (broadcast_size != 1) refuse_shapes(function, names, operands, d - ndim, leader, i);
      broadcast_size = size;
      leader = i;
    }
  }
}

// The same of arrays that have been viewed, and so have no more than kMaxDims dimensions.
struct Shape {
  int ndim;
  std::array<std::int64_t, kMaxDims> sizes;

  Shape(std::string_view function, std::span<const std::string_view> names,
        std::span<const Array> operands)
      : ndim(most_dims(operands)) {
    broadcast(function, names, operands, std::span(sizes).first(static_cast<std::size_t>(ndim)));
  }

  [[nodiscard]] std::span<const std::int64_t> dims() const {
    return std::span(sizes).first(static_cast<std::size_t>(ndim));
  }
};

std::int64_t stretched_stride(const Array& operand, const Shape& shape, int d) {
  const int own = d - (shape.ndim - operand.ndim);
  return own < 0 || operand.shape[own] == 1 ? 0 : operand.strides[own];
}

// The dimensions of a result, outermost first, in the order in which the operands lie in memory.
// Where they disagree or have nothing to say the order stays as it is: NumPy's rule.
std::array<int, kMaxDims> memory_order(std::span<const Array> operands, const Shape& shape) {
  enum class Verdict : std::uint8_t { none, keep, exchange };
  const auto compare = [&](int outer, int inner) {
    Verdict verdict = Verdict::none;
    for (const Array& operand : operands) {
      const std::int64_t p = std::abs(stretched_stride(operand, shape, outer));
      const std::int64_t q = std::abs(stretched_stride(operand, shape, inner));
      if (p == 0 || q == 0) continue;
      if (p >= q) return Verdict::keep;
      verdict = Verdict::exchange;
    }
    return verdict;
  };
  std::array<int, kMaxDims> order;
  for (int d = shape.ndim - 1; d >= 0; --d) {
    int place = d;
    for (int i = d + 1; i < shape.ndim; ++i) {
      const Verdict verdict = compare(d, order[i]);
      if (verdict == Verdict::keep) break;
      if (verdict == Verdict::exchange) place = i;
    }
    std::copy(order.begin() + d + 1, order.begin() + place + 1, order.begin() + d);
    order[place] = d;
  }
  return order;
}

// The result of an operation, in the caller's array or a new one. Null if the caller's cannot be
// written to directly.
py::object result_array(const Operation& operation, py::handle model,
                        std::span<const Array> operands, const Shape& shape, py::handle out,
                        Array& view) {
  const bool boolean = operation.result == Result::boolean;
  const Array& like = operands.back();
  if (out.is_none()) {
    const auto order = memory_order(operands, shape);
    return new_array(model, like, boolean, shape.dims(),
                     std::span(order).first(static_cast<std::size_t>(shape.ndim)), view);
  }
  const ElementType type = boolean ? ElementType::boolean : like.type;
  if (!view_elements(out, view) || !fits(view, like.api, type, shape.dims())) return {};
  for (const Array& operand : operands) {
    if (overlap(view, operand) && !same_memory(view, operand)) return {};
  }
  return py::reinterpret_borrow<py::object>(out);
}

// The result as an array, or the answer of an operation that has none; null for what there are no
// kernels for. `arrays` are the operands and a place for the result's view, `model` is the object
// of an operand.
py::object apply(const Operation& operation, std::span<Array> arrays, py::handle model,
                 py::handle out) {
  const auto count = static_cast<std::size_t>(operation.operands);
  const std::span<const Array> operands = arrays.first(count);
  if (!knows(operation, operands)) return {};
  const Shape shape(operation.function, operation.names, operands);

  const bool has_result = operation.result != Result::none;
  py::object array;
  if (has_result) {
    array = result_array(operation, model, operands, shape, out, arrays[count]);
    if (!array) return {};
  } else {
    bytes_of(shape.dims(), operands.back().type);  // it may be too large to be gone through
  }
  std::array<ElementwiseDim, kMaxDims> dims;
  std::int64_t work = 1;
  for (int d = 0; d < shape.ndim; ++d) {
    dims[d].size = shape.sizes[d];
    work *= shape.sizes[d];
    for (std::size_t i = 0; i < count; ++i) {
      dims[d].strides[i] = stretched_stride(arrays[i], shape, d);
    }
    if (has_result) dims[d].strides[count] = arrays[count].strides[d];
  }
  ElementwiseArgs args{
      .arrays = operation.operands + (has_result ? 1 : 0),
      .has_result = has_result,
      .result_is_new = out.is_none(),
      .array = {},
      .dims = std::span<const ElementwiseDim>(dims).first(static_cast<std::size_t>(shape.ndim))};
  for (int i = 0; i < args.arrays; ++i) args.array[i] = {arrays[i].data, arrays[i].type};
  const ElementKernels& kernels = element_kernels(arrays[operation.typed].type);
  bool answer = true;
  compute(work, [&](int threads) { answer = elementwise(kernels, operation.op, args, threads); });
  if (!has_result) return py::bool_(answer);
  return array;
}

py::object apply(const Operation& operation, std::span<const py::handle> objects, py::handle out) {
  const auto count = static_cast<std::size_t>(operation.operands);
  Array arrays[kMaxArrays];
  Scalar scalars[kMaxOperands];
  std::size_t model = count - 1;  // what the result is like
  for (std::size_t i = 0; i < count; ++i) {
    PyObject* const object = objects[i].ptr();
    const bool is_scalar = PyFloat_CheckExact(object) || PyLong_CheckExact(object);
    if (!is_scalar) {
      if (!view_elements(objects[i], arrays[i])) return not_implemented();
      continue;
    }
    const std::size_t partner = partner_of(operation, i);
    if (partner == i || partner >= count || !view_elements(objects[partner], arrays[partner]) ||
        !view_scalar(objects[i], arrays[partner], scalars[i], arrays[i])) {
      return not_implemented();
    }
    if (i == model) model = partner;
  }
  py::object answer = apply(operation, arrays, objects[model], out);
  if (!answer) return not_implemented();
  if (operation.result == Result::none) return answer;
  return finish(out, std::move(answer), arrays[count]);
}

// The operands of an operation, and where its result goes, as CPython hands them over.
template <const Operation* operation, class... Handles>
py::object call_with_out(Handles... handles) {
  const std::array<py::handle, sizeof...(Handles)> objects{handles...};
  const std::span<const py::handle> all = objects;
  return apply(*operation, all.first(all.size() - 1), all.back());
}

py::object all_greater(py::handle a, py::handle b) {
  const py::handle objects[] = {a, b};
  return apply(kAllGreater, objects, py::none());
}

// The shape of the result for operands of whatever kind, type and number of dimensions (a tensor
// may have more than kMaxDims); raises if they do not fit.
py::tuple broadcast_shape(const std::string& function, const std::vector<std::string>& names,
                          const std::vector<std::vector<std::int64_t>>& shapes) {
  std::vector<Array> operands(shapes.size());
  std::vector<std::string_view> views(names.begin(), names.end());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    operands[i].ndim = static_cast<int>(shapes[i].size());
    operands[i].shape = shapes[i].data();
  }
  std::vector<std::int64_t> shape(static_cast<std::size_t>(most_dims(operands)));
  broadcast(function, views, operands, shape);
  return py::tuple(py::cast(shape));
}

}  // namespace

py::object multiply_views(py::handle model, std::span<Array, 3> arrays) {
  return apply(kMultiply, arrays, model, py::none());
}

void register_elementwise(py::module_& m) {
  using H = py::handle;
  // The signatures are written as pybind11 writes them, for the stub generator.
  static PyMethodDef methods[] = {
      method<call_with_out<&kRelu, H, H>, 2>("relu",
                                             "relu(x: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kMultiply, H, H, H>, 3>(
          "multiply", "multiply(a: object, b: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kAdd, H, H, H>, 3>(
          "add", "add(a: object, b: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kSubtract, H, H, H>, 3>(
          "subtract", "subtract(a: object, b: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kGreater, H, H, H>, 3>(
          "greater", "greater(a: object, b: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kWhere, H, H, H, H>, 4>(
          "where", "where(condition: object, x: object, y: object, out: object, /) -> typing.Any"),
      method<call_with_out<&kWhereGreater, H, H, H, H, H>, 5>(
          "where_greater",
          "where_greater(a: object, b: object, x: object, y: object, out: object, /) -> "
          "typing.Any"),
      method<all_greater, 2>("all_greater", "all_greater(a: object, b: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();
  m.def("broadcast_shape", &broadcast_shape, py::arg("function"), py::arg("names"),
        py::arg("shapes"));
}

}  // namespace hotloops
