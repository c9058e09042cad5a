// What the bindings of operations share: how they are called, and how they call the drivers.

#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "bindings/array.h"
#include "epilogue.h"
#include "kernel.h"
#include "threads.h"

namespace hotloops {

// The answer to operands that need converting.
inline pybind11::object not_implemented() {
  return pybind11::reinterpret_borrow<pybind11::object>(Py_NotImplemented);
}

inline constexpr std::pair<std::string_view, Activation> kActivationNames[] = {
    {"relu", Activation::relu},           {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh}, {"sigmoid", Activation::sigmoid},
    {"tanh", Activation::tanh},           {"silu", Activation::silu},
    {"softmax", Activation::softmax}};

// The activation of that name, None included. Throws std::invalid_argument, in the name of
// `function`, if there is none.
Activation activation_named(std::string_view function, pybind11::handle name);

inline constexpr std::pair<std::string_view, Arithmetic> kPrecisionNames[] = {
    {"float32", Arithmetic::f32},
    {"bf16x6", Arithmetic::bf16x6},
    {"bf16x3", Arithmetic::bf16x3},
    {"bf16", Arithmetic::bf16x1}};

// How to multiply float32 for a caller who accepts the precision of that name, or who says None.
// Throws std::invalid_argument, in the name of `function`, if there is none.
Arithmetic precision_named(std::string_view function, pybind11::handle name);

// The name of f32 or one of its bfloat16 arithmetics.
std::string_view name_of_precision(Arithmetic precision);

// Below this many multiply-adds or elements a call is over before another thread could have taken
// the GIL or a share of the work.
inline constexpr std::int64_t kTinyWork = 1 << 15;

// Runs f(threads), with the GIL released and all threads that the caller may use, or at once.
template <class F>
void compute(std::int64_t work, F f) {
  if (work < kTinyWork) return f(1);
  const pybind11::gil_scoped_release release;
  f(num_threads());
}

// An output array that the kernels can write to directly.
inline bool fits(const Array& out, const dlpack::ExchangeApi* api, ElementType type,
                 std::span<const std::int64_t> shape) {
  return out.writable && out.api == api && out.type == type &&
         std::ranges::equal(out.dims(), shape) && !overlaps_itself(out);
}

// What the caller gets: its own `out`, or the new array.
inline pybind11::object finish(pybind11::handle out, pybind11::object array, const Array& view) {
  return out.is_none() ? result(std::move(array), view) : std::move(array);
}

// Calls F(args...) for CPython's vector call protocol. pybind11's own dispatch is more general and
// takes 30 ns more, a tenth of a small product.
template <auto F, std::size_t... I>
PyObject* call(PyObject* const* args, std::index_sequence<I...>) {
  try {
    return F(pybind11::handle(args[I])...).release().ptr();
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

template <auto F, std::size_t Count>
PyObject* fast_call(PyObject* /*module*/, PyObject* const* args, Py_ssize_t count) {
  if (std::cmp_not_equal(count, Count)) {
    return PyErr_Format(PyExc_TypeError, "expected %zu positional arguments, got %zd", Count,
                        count);
  }
  return call<F>(args, std::make_index_sequence<Count>{});
}

template <auto F, std::size_t Count>
PyMethodDef method(const char* name, const char* signature) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fast_call<F, Count>)),
          METH_FASTCALL, signature};
}

}  // namespace hotloops
