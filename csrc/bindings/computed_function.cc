// Python functions that the core computes first. To run one that does nothing but call the core
// takes 70 ns, a quarter of a small product; to place the arguments as it would takes 14.

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/call.h"

namespace py = pybind11;

namespace hotloops {
namespace {

constexpr Py_ssize_t kMostParameters = 16;

struct ComputedFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject* core;
  PyObject* function;
  PyObject* names;             // of its parameters, in order
  Py_ssize_t positional_only;  // so many of them are,
  Py_ssize_t positional;       // and so many may be
  Py_ssize_t required;
  PyObject* dict;
  PyObject* weak_references;

  using Values = std::array<PyObject*, kMostParameters>;

  [[nodiscard]] Py_ssize_t count() const { return PyTuple_GET_SIZE(names); }

  // The arguments in the order of the parameters, None for those that are not given. False if
  // `function` does not take them.
  bool place(PyObject* const* args, Py_ssize_t given, PyObject* keywords, Values& values) const {
    if (given > positional) return false;
    std::copy_n(args, given, values.begin());
    std::fill(values.begin() + given, values.begin() + count(), nullptr);
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t i = 0; i < named; ++i) {
      const Py_ssize_t place = find(PyTuple_GET_ITEM(keywords, i));
      if (place == count() || values[place] != nullptr) return false;
      values[place] = args[given + i];
    }
    for (Py_ssize_t i = given; i < count(); ++i) {
      if (values[i] != nullptr) continue;
      if (i < required) return false;
      values[i] = Py_None;
    }
    return true;
  }

  // A parameter by its name, which as a rule is the same object; count() if there is none.
  [[nodiscard]] Py_ssize_t find(PyObject* name) const {
    for (Py_ssize_t i = positional_only; i < count(); ++i) {
      if (PyTuple_GET_ITEM(names, i) == name) return i;
    }
    for (Py_ssize_t i = positional_only; i < count(); ++i) {
      if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), name) == 0) return i;
    }
    return count();
  }
};

ComputedFunction* as_computed(PyObject* self) { return reinterpret_cast<ComputedFunction*>(self); }

using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

// `function(*args)`, if the core declines or they are none of its arguments: it finds the words.
PyObject* call(PyObject* self, PyObject* const* args, std::size_t flags, PyObject* keywords) {
  const ComputedFunction& computed = *as_computed(self);
  ComputedFunction::Values values;
  if (computed.place(args, PyVectorcall_NARGS(flags), keywords, values)) {
    const auto core = reinterpret_cast<FastFunction>(
        reinterpret_cast<void (*)()>(PyCFunction_GET_FUNCTION(computed.core)));
    PyObject* result = core(PyCFunction_GET_SELF(computed.core), values.data(), computed.count());
    if (result != Py_NotImplemented) return result;
    Py_DECREF(result);
  }
  return PyObject_Vectorcall(computed.function, args, flags, keywords);
}

// Every parameter that may be missing has to be None then.
bool are_none(py::handle defaults) {
  return std::ranges::all_of(defaults, [](py::handle value) { return value.is_none(); });
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  const ComputedFunction& computed = *as_computed(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(computed.core);
  Py_VISIT(computed.function);
  Py_VISIT(computed.names);
  Py_VISIT(computed.dict);
  return 0;
}

int clear(PyObject* self) {
  ComputedFunction& computed = *as_computed(self);
  Py_CLEAR(computed.core);
  Py_CLEAR(computed.function);
  Py_CLEAR(computed.names);
  Py_CLEAR(computed.dict);
  return 0;
}

void deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_computed(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* represent(PyObject* self) {
  return PyUnicode_FromFormat(
      "<hotloops function %S>",
      reinterpret_cast<PyFunctionObject*>(as_computed(self)->function)->func_qualname);
}

// Bound to an instance, as functions are: what inspect knows routines by.
PyObject* bind(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// Pickled as functions are, by name.
PyObject* reduce(PyObject* self, PyObject* /*none*/) {
  return PyObject_GetAttrString(self, "__qualname__");
}

PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ComputedFunction, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(ComputedFunction, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ComputedFunction, weak_references), READONLY,
     nullptr},
    {},
};

PyGetSetDef properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {},
};

template <class F>
PyType_Slot slot(int id, F* f) {
  return {id, reinterpret_cast<void*>(f)};
}

PyTypeObject* make_type() {
  static PyType_Slot slots[] = {
      slot(Py_tp_dealloc, deallocate), slot(Py_tp_traverse, traverse),
      slot(Py_tp_clear, clear),        slot(Py_tp_call, PyVectorcall_Call),
      slot(Py_tp_repr, represent),     slot(Py_tp_descr_get, bind),
      slot(Py_tp_methods, methods),    slot(Py_tp_members, members),
      slot(Py_tp_getset, properties),  {0, nullptr},
  };
  static PyType_Spec spec = {.name = "hotloops._core.ComputedFunction",
                             .basicsize = sizeof(ComputedFunction),
                             .itemsize = 0,
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                                      Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
                                      Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             .slots = slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) throw py::error_already_set();
  return reinterpret_cast<PyTypeObject*>(type);
}

// The function as it is to be called: `core` first.
py::object computed_function(py::handle core, py::handle function) {
  if (!PyCFunction_Check(core.ptr()) || PyCFunction_GET_FLAGS(core.ptr()) != METH_FASTCALL ||
      !PyFunction_Check(function.ptr())) {
    throw std::invalid_argument(
        "computed_function: core must be a function of the core that takes positional arguments, "
        "and function one in Python");
  }
  const py::object code = function.attr("__code__");
  const auto number = [&](const char* name) { return code.attr(name).cast<Py_ssize_t>(); };
  const Py_ssize_t positional = number("co_argcount");
  const Py_ssize_t count = positional + number("co_kwonlyargcount");
  const py::object defaults = function.attr("__defaults__");
  const py::object keyword_defaults = function.attr("__kwdefaults__");
  const std::size_t optional = defaults.is_none() ? 0 : py::len(defaults);
  const std::size_t keywords = keyword_defaults.is_none() ? 0 : py::len(keyword_defaults);
  if (count > kMostParameters || (number("co_flags") & (CO_VARARGS | CO_VARKEYWORDS)) != 0 ||
      std::cmp_not_equal(keywords, count - positional) || (optional > 0 && !are_none(defaults)) ||
      (keywords > 0 && !are_none(keyword_defaults.attr("values")()))) {
    throw std::invalid_argument("computed_function: " + py::repr(function).cast<std::string>() +
                                " must have at most " + std::to_string(kMostParameters) +
                                " parameters, neither * nor **, and no default but None");
  }
  static PyTypeObject* type = make_type();
  auto self = py::reinterpret_steal<py::object>(type->tp_alloc(type, 0));
  if (!self) throw py::error_already_set();
  ComputedFunction& computed = *as_computed(self.ptr());
  computed.vectorcall = &call;
  computed.core = core.inc_ref().ptr();
  computed.function = function.inc_ref().ptr();
  computed.names =
      code.attr("co_varnames")[py::slice(0, count, 1)].cast<py::tuple>().release().ptr();
  computed.positional_only = number("co_posonlyargcount");
  computed.positional = positional;
  computed.required = positional - static_cast<Py_ssize_t>(optional);
  return self;
}

}  // namespace

void register_computed_function(py::module_& m) {
  static PyMethodDef functions[] = {
      method<computed_function, 2>(
          "computed_function",
          "computed_function(core: object, function: object, /) -> typing.Any"),
      {}};
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
}

}  // namespace hotloops
