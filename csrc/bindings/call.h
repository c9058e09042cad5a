// What the bindings of operations share: how they are called, and how they call the drivers.

#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <utility>

#include "bindings/array.h"
#include "bindings/gil.h"
#include "threads.h"

namespace hotloops {

// The answer to operands that need converting.
inline pybind11::object not_implemented() {
  return pybind11::reinterpret_borrow<pybind11::object>(Py_NotImplemented);
}

// Below this many multiply-adds or elements a call is over before another thread could have taken
// the GIL or a share of the work.
inline constexpr std::int64_t kTinyWork = 1 << 15;

// Runs f(threads), with the GIL released and all threads that the caller may use, or at once.
template <class F>
void compute(std::int64_t work, F f) {
  if (work < kTinyWork) return f(1);
  const WithoutGil without_gil;
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
