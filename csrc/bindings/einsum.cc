// einsum where all has been thought out: python/hotloops/_einsum_program.py finds, once for the
// subscripts and the layouts of the operands, the steps that an einsum consists of. Here they are
// kept, and carried out by the calls that follow, on views that are no Python objects. To find the
// steps again in a dictionary, and to make the views, took Python as long as a product of 64x64.

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"
#include "bindings/steps.h"
#include "sums.h"

namespace py = pybind11;

namespace hotloops {
namespace {

using Sizes = std::vector<std::int64_t>;

// Operands and results of steps: more than a person writes.
constexpr std::size_t kMostValues = 16;

// A value with its dimensions in another order, then in another shape; nothing: as it is.
struct Viewing {
  std::size_t value;
  std::optional<std::vector<int>> axes;
  std::optional<Sizes> shape;
};

enum class Work : std::uint8_t { matmul, multiply, sum };

struct Step {
  Work work;
  Viewing left, right;
  int axis;                    // that is summed over
  std::optional<Sizes> shape;  // what the product is reshaped to
};

struct Program {
  std::vector<Step> steps;
  py::object axes;      // of the last value, in the result's order, or None
  bool copies = false;  // a shape cannot be had by a view: Python's to do
  // What it is for: the layout is each operand's number of dimensions, sizes and strides.
  py::object subscripts;
  bool optimize;
  Sizes layout;
};

// ---- Views --------------------------------------------------------------------------------------

// An array that is not as any object has it.
struct View {
  Array& array;
  std::array<std::int64_t, kMaxDims> sizes;  // if they are not an object's either

  explicit View(Array& the_array) : array(the_array) {}
};

void copy(const Array& from, Array& to) {
  to.api = from.api;
  to.data = from.data;
  to.type = from.type;
  to.dtype = from.dtype;
  to.writable = from.writable;
  to.ndim = from.ndim;
  to.shape = from.shape;
  std::copy_n(from.strides, from.ndim, to.strides);
}

// Gives an array another shape; false if that needs a copy. Dimensions are cut, the last one first,
// from stretches of memory along which the array's own follow each other.
bool reshape(std::span<const std::int64_t> shape, View& view) {
  Array& array = view.array;
  struct Stretch {
    std::int64_t size, stride;
  };
  std::array<Stretch, kMaxDims> stretches;
  int count = 0;
  for (int d = 0; d < array.ndim; ++d) {
    const Stretch own = {.size = array.shape[d], .stride = array.strides[d]};
    if (own.size == 0) return false;
    if (own.size == 1) continue;
    if (count > 0 && stretches[count - 1].stride == own.size * own.stride) {
      stretches[count - 1] = {.size = stretches[count - 1].size * own.size, .stride = own.stride};
    } else {
      stretches[count++] = own;
    }
  }
  for (std::size_t d = shape.size(); d-- > 0;) {
    view.sizes[d] = shape[d];
    array.strides[d] = 1;
    if (shape[d] == 1) continue;
    if (count > 0 && stretches[count - 1].size == 1) --count;
    if (count == 0 || shape[d] == 0 || stretches[count - 1].size % shape[d] != 0) return false;
    Stretch& stretch = stretches[count - 1];
    array.strides[d] = stretch.stride;
    stretch = {.size = stretch.size / shape[d], .stride = stretch.stride * shape[d]};
  }
  array.ndim = static_cast<int>(shape.size());
  array.shape = view.sizes.data();
  return true;
}

// A value as a step sees it: itself or `view`; null if that needs a copy.
const Array* look(const Array& value, const Viewing& how, View& view) {
  if (!how.axes && !how.shape) return &value;
  Array& array = view.array;
  copy(value, array);
  if (how.axes) {
    for (int d = 0; d < value.ndim; ++d) {
      const int axis = (*how.axes)[static_cast<std::size_t>(d)];
      view.sizes[d] = value.shape[axis];
      array.strides[d] = value.strides[axis];
    }
    array.shape = view.sizes.data();
  }
  return !how.shape || reshape(*how.shape, view) ? &array : nullptr;
}

// ---- Steps --------------------------------------------------------------------------------------

// The sum over a dimension, or null where it has no kernels.
py::object sum_view(const Array& x, int axis, Array& y) {
  if (x.type != ElementType::f32 && x.type != ElementType::f64) return {};
  std::array<std::int64_t, kMaxDims> shape;
  std::array<SumDim, kMaxDims> dims;
  std::size_t ndim = 0;
  std::int64_t work = x.shape[axis];
  for (int d = 0; d < x.ndim; ++d) {
    if (d == axis) continue;
    shape[ndim] = x.shape[d];
    dims[ndim++] = {.size = x.shape[d], .x_stride = x.strides[d], .y_stride = 0};
    work *= x.shape[d];
  }
  py::object array = new_array(x, x.type, std::span(shape).first(ndim), y);
  for (std::size_t d = 0; d < ndim; ++d) dims[d].y_stride = y.strides[d];
  const SumArgs args{.dtype = x.type == ElementType::f32 ? DType::f32 : DType::f64,
                     .k = x.shape[axis],
                     .k_stride = x.strides[axis],
                     .x = x.data,
                     .y = y.data,
                     .dims = std::span<const SumDim>(dims).first(ndim)};
  compute(work, [&](int threads) { sum(args, threads); });
  return array;
}

struct Value {
  Array array;
  py::object made;  // what has the memory, if it is the result of a step
};

// The result of a step, and its view; null if it is Python's to find.
py::object carry_out(Program& program, const Step& step, std::span<const Value> values,
                     py::handle model, Array& result) {
  const Array& first = values[step.left.value].array;
  if (step.work == Work::sum) return sum_view(first, step.axis, result);
  Array arrays[3];
  View left_view(arrays[0]);
  View right_view(arrays[1]);
  const Array* left = look(first, step.left, left_view);
  const Array* right = look(values[step.right.value].array, step.right, right_view);
  if (left == nullptr || right == nullptr) {
    program.copies = true;
    return {};
  }
  if (step.work == Work::matmul) return matmul_views(*left, *right, step.shape, result);
  if (left != &arrays[0]) copy(*left, arrays[0]);
  if (right != &arrays[1]) copy(*right, arrays[1]);
  py::object made = multiply_views(model, arrays);
  if (made) copy(arrays[2], result);
  return made;
}

py::object run(Program& program, std::span<Value> values, std::size_t operands, py::handle model) {
  std::size_t count = operands;
  for (const Step& step : program.steps) {
    Value& value = values[count];
    value.made = carry_out(program, step, values, model, value.array);
    if (!value.made) return not_implemented();
    ++count;
  }
  const Value& last = values[count - 1];
  if (program.axes.is_none()) return result(last.made, last.array);
  return last.made.attr(last.array.api == nullptr ? "transpose" : "permute")(program.axes);
}

// ---- Calls --------------------------------------------------------------------------------------

// The arguments of a call: what programs are for.
struct Call {
  PyObject* subscripts;
  bool optimize;
  std::size_t operands;
  Value values[kMostValues];

  // False: no program is for such arguments.
  bool read(py::handle text, py::handle tuple, py::handle optimized) {
    subscripts = text.ptr();
    optimize = optimized.is(py::handle(Py_True));
    if (PyUnicode_CheckExact(subscripts) == 0 || PyTuple_CheckExact(tuple.ptr()) == 0 ||
        (!optimize && !optimized.is(py::handle(Py_False)))) {
      return false;
    }
    operands = static_cast<std::size_t>(PyTuple_GET_SIZE(tuple.ptr()));
    if (operands == 0 || operands > kMostValues) return false;
    const Array& first = values[0].array;
    for (std::size_t i = 0; i < operands; ++i) {
      Array& array = values[i].array;
      if (!view_elements(operand(tuple, i), array) || array.api != first.api ||
          array.type != first.type) {
        return false;
      }
    }
    return true;
  }

  static py::handle operand(py::handle tuple, std::size_t i) {
    return PyTuple_GET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i));
  }

  // f on each of the numbers that a layout consists of.
  template <class F>
  void for_layout(F f) const {
    for (std::size_t i = 0; i < operands; ++i) {
      const Array& array = values[i].array;
      f(array.ndim);
      for (int d = 0; d < array.ndim; ++d) {
        f(array.shape[d]);
        f(array.strides[d]);
      }
    }
  }

  [[nodiscard]] std::uint64_t hash() const {
    auto hash = static_cast<std::uint64_t>(PyObject_Hash(subscripts));
    for_layout([&](std::int64_t number) {
      hash = (hash ^ static_cast<std::uint64_t>(number)) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 32;
    });
    return hash;
  }

  [[nodiscard]] bool is_for(const Program& program) const {
    const Sizes& layout = program.layout;
    std::size_t i = 0;
    bool same = optimize == program.optimize;
    for_layout([&](std::int64_t number) {
      same = same && i < layout.size() && layout[i] == number;
      ++i;
    });
    return same && i == layout.size() &&
           (subscripts == program.subscripts.ptr() ||
            PyUnicode_Compare(subscripts, program.subscripts.ptr()) == 0);
  }
};

// Programs have a few places each that they may be at; if all are taken, the first one is given
// away. A program stays alive while it runs.
constexpr std::size_t kMostPrograms = 1024;
constexpr std::size_t kPlaces = 4;
using Programs = std::array<std::shared_ptr<Program>, kMostPrograms>;

// Where the program for a call is, or else belongs.
struct Place {
  std::shared_ptr<Program>& program;
  bool found;
};
Place place_of(const Call& call) {
  static auto* programs = new Programs;
  const std::uint64_t hash = call.hash();
  for (std::size_t i = 0; i < kPlaces; ++i) {
    std::shared_ptr<Program>& program = (*programs)[(hash + i) % kMostPrograms];
    if (program == nullptr) return {.program = program, .found = false};
    if (call.is_for(*program)) return {.program = program, .found = true};
  }
  return {.program = (*programs)[hash % kMostPrograms], .found = false};
}

py::object einsum(py::handle subscripts, py::handle operands, py::handle optimize) {
  Call call;
  if (!call.read(subscripts, operands, optimize)) return not_implemented();
  const Place place = place_of(call);
  if (!place.found || place.program->copies) return not_implemented();
  const std::shared_ptr<Program> program = place.program;
  return run(*program, call.values, call.operands, Call::operand(operands, 0));
}

// A value's number, its axes and its shape, the latter two or None.
using ViewingArgs = std::tuple<std::size_t, std::optional<std::vector<int>>, std::optional<Sizes>>;

Viewing viewing(const ViewingArgs& args) {
  const auto& [value, axes, shape] = args;
  return {.value = value, .axes = axes, .shape = shape};
}

Step step(py::handle sum_or_product) {
  const auto parts = py::cast<py::tuple>(sum_or_product);
  if (parts.size() == 2) {
    const auto [value, axis] = parts.cast<std::pair<std::size_t, int>>();
    return {.work = Work::sum,
            .left = {.value = value, .axes = {}, .shape = {}},
            .right = {},
            .axis = axis,
            .shape = {}};
  }
  const auto [is_matmul, left, right, shape] =
      parts.cast<std::tuple<bool, ViewingArgs, ViewingArgs, std::optional<Sizes>>>();
  return {.work = is_matmul ? Work::matmul : Work::multiply,
          .left = viewing(left),
          .right = viewing(right),
          .axis = 0,
          .shape = shape};
}

// Steps are (value, axis) for a sum, (whether it is a matmul, left, right, shape) for a product.
void remember(py::handle subscripts, py::handle operands, py::handle optimize,
              const py::sequence& steps, py::object axes) {
  Call call;
  if (!call.read(subscripts, operands, optimize)) return;
  const Place place = place_of(call);
  if (place.found || call.operands + steps.size() > kMostValues || steps.empty()) return;
  auto program = std::make_shared<Program>();
  for (const py::handle each : steps) program->steps.push_back(step(each));
  program->axes = std::move(axes);
  program->subscripts = py::reinterpret_borrow<py::object>(subscripts);
  program->optimize = call.optimize;
  call.for_layout([&](std::int64_t number) { program->layout.push_back(number); });
  place.program = std::move(program);
}

// The sum over an axis of an array.
py::object sum_array(py::handle object, py::handle axis) {
  Array x;
  if (!view_elements(object, x)) return not_implemented();
  Array y;
  py::object array = sum_view(x, axis.cast<int>(), y);
  return array ? result(std::move(array), y) : not_implemented();
}

}  // namespace

void register_einsum(py::module_& m) {
  // The signatures are written as pybind11 writes them, for the stub generator.
  static PyMethodDef methods[] = {
      method<einsum, 3>("einsum",
                        "einsum(subscripts: object, operands: object, optimize: object, /) -> "
                        "typing.Any"),
      method<sum_array, 2>("sum", "sum(x: object, axis: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();
  m.def("remember_einsum", &remember, py::arg("subscripts"), py::arg("operands"),
        py::arg("optimize"), py::arg("steps"), py::arg("axes"));
}

}  // namespace hotloops
