// NumPy arrays and DLPack tensors as one kind of array. No data is copied in either direction.

#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>

#include "bindings/dlpack.h"
#include "kernel.h"
#include "matmul.h"

namespace hotloops {

// A view of a Python object's memory, valid as long as the object.
struct Array {
  const dlpack::ExchangeApi* api;  // of the tensor's type; null for a NumPy array
  std::byte* data;
  ElementType type;
  DType dtype;  // the same, of float32 and float64: set by view()
  bool writable;
  int ndim;
  const std::int64_t* shape;
  std::int64_t strides[kMaxDims];  // elements

  [[nodiscard]] std::span<const std::int64_t> dims() const {
    return {shape, static_cast<std::size_t>(ndim)};
  }
};

// Fills `view` if kernels can work on the object as it is: a numpy.ndarray itself (subclasses have
// semantics of their own) or a CPU tensor that autograd does not watch, of a type that kernels
// know, native byte order, aligned. Everything else is false, and Python code's to convert.
// (Not std::optional: moving the strides' half kilobyte twice a call was a tenth of a small
// product's time.)
bool view_elements(pybind11::handle object, Array& view);
// The same for gradients and activations: float32 and float64 only.
bool view(pybind11::handle object, Array& view);

// What an array takes. Throws std::invalid_argument if no memory is so large; dimensions without
// elements do not count then, for the strides of the others have to be numbers, too.
std::int64_t bytes_of(std::span<const std::int64_t> shape, ElementType type);

// A new C-contiguous array of the kind of `like`, and its view; of a type or of the same one.
pybind11::object new_array(const Array& like, ElementType type, std::span<const std::int64_t> shape,
                           Array& view);
pybind11::object new_array(const Array& like, std::span<const std::int64_t> shape, Array& view);
// A new array of the kind and type of `like` or, with `boolean`, of truth values. `order` names its
// dimensions as they lie in memory, outermost first.
pybind11::object new_array(pybind11::handle object, const Array& like, bool boolean,
                           std::span<const std::int64_t> shape, std::span<const int> order,
                           Array& view);
// A new array as `like` is: of a NumPy array in its memory order, of a tensor C-contiguous (as the
// operators of hotloops.torch announce). `object` is the one that `like` views.
pybind11::object new_array_like(pybind11::handle object, const Array& like, Array& view);

// As NumPy returns results: rank 0 as a scalar.
pybind11::object result(pybind11::object array, const Array& view);

// Whether writing `out` while reading `in` could go wrong.
bool overlap(const Array& out, const Array& in);
// Whether two elements may be one.
bool overlaps_itself(const Array& out);

// Whether both are of the same library's arrays, and of one type.
inline bool same_kind(const Array& x, const Array& y) { return x.api == y.api && x.type == y.type; }
bool same_memory(const Array& x, const Array& y);
// Whether both have one shape, and their elements, if there are any, lie at the same distances.
bool same_layout(const Array& x, const Array& y);

// "(2, 3)"
std::string shape_text(std::span<const std::int64_t> shape);
inline std::string shape_text(const Array& array) { return shape_text(array.dims()); }

void import_numpy();

}  // namespace hotloops
