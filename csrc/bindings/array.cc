#include "bindings/array.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>

#include "bindings/tensors.h"
#include "result_memory.h"
#include "workspace.h"

namespace py = pybind11;

namespace hotloops {
namespace {

static_assert(sizeof(npy_intp) == sizeof(std::int64_t));

// NumPy's number of the type that the package ml_dtypes registers, once an array of it has been
// seen: it is told by its name.
int bfloat16_number = -1;

bool is_bfloat16(PyArrayObject* array) {
  const int type = PyArray_TYPE(array);
  if (type < NPY_USERDEF) return false;
  if (bfloat16_number < 0) {
    const py::handle scalar(reinterpret_cast<PyObject*>(PyArray_DESCR(array)->typeobj));
    const bool same = scalar.attr("__module__").cast<std::string>() == "ml_dtypes" &&
                      scalar.attr("__name__").cast<std::string>() == "bfloat16";
    if (same) bfloat16_number = type;
  }
  return type == bfloat16_number;
}

int numpy_number(ElementType type) {
  if (type == ElementType::bf16) return bfloat16_number;
  constexpr int kNumbers[kElementTypes] = {
      NPY_FLOAT, NPY_DOUBLE, NPY_INT32, NPY_INT64,  NPY_HALF,   -1,         NPY_BOOL,
      NPY_INT8,  NPY_UINT8,  NPY_INT16, NPY_UINT32, NPY_UINT64, NPY_CFLOAT, NPY_CDOUBLE};
  return kNumbers[static_cast<int>(type)];
}

bool find_type(PyArrayObject* array, ElementType& type) {
  const int number = PyArray_TYPE(array);
  for (int i = 0; i < kElementTypes; ++i) {
    type = static_cast<ElementType>(i);
    if (type != ElementType::bf16 && numpy_number(type) == number) return true;
  }
  type = ElementType::bf16;
  return is_bfloat16(array);
}

bool view_numpy(PyArrayObject* array, Array& v) {
  // BEHAVED_RO: aligned and in native byte order.
  if (!find_type(array, v.type) || !PyArray_ISBEHAVED_RO(array)) return false;
  v.api = nullptr;
  v.data = static_cast<std::byte*>(PyArray_DATA(array));
  v.writable = PyArray_ISWRITEABLE(array) != 0;
  v.ndim = PyArray_NDIM(array);
  v.shape = reinterpret_cast<const std::int64_t*>(PyArray_DIMS(array));
  const npy_intp* strides = PyArray_STRIDES(array);
  const int log2_size = std::countr_zero(static_cast<std::uint64_t>(size_of(v.type)));
  for (int d = 0; d < v.ndim; ++d) {
    // A field of a packed record: elements lie between multiples of the element size.
    if ((strides[d] & ((1 << log2_size) - 1)) != 0) return false;
    v.strides[d] = strides[d] >> log2_size;
  }
  return true;
}

// ---- NumPy's way to ask for the memory of arrays ------------------------------------------------

void* allocate(void* /*context*/, std::size_t bytes) {
  try {
    return allocate_result(static_cast<std::int64_t>(bytes));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void* allocate_zeros(void* context, std::size_t count, std::size_t size) {
  void* data = allocate(context, count * size);
  return data == nullptr ? nullptr : std::memset(data, 0, count * size);
}

void* resize(void* /*context*/, void* data, std::size_t bytes) {
  try {
    return resize_result(static_cast<std::byte*>(data), static_cast<std::int64_t>(bytes));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void release(void* /*context*/, void* data, std::size_t /*bytes*/) {
  free_result(static_cast<std::byte*>(data));
}

PyDataMem_Handler memory_handler = {
    .name = "hotloops",
    .version = 1,
    .allocator = {nullptr, allocate, allocate_zeros, resize, release}};

// While it lives, new arrays of this thread have memory for results, if they are so large.
class ResultMemory {
 public:
  ResultMemory(std::span<const std::int64_t> shape, ElementType type) {
    if (bytes_of(shape, type) < kLeastResult) return;
    static PyObject* handler = PyCapsule_New(&memory_handler, "mem_handler", nullptr);
    previous_ = py::reinterpret_steal<py::object>(PyDataMem_SetHandler(handler));
    if (!previous_) throw py::error_already_set();
  }
  ResultMemory(const ResultMemory&) = delete;
  ResultMemory& operator=(const ResultMemory&) = delete;
  ~ResultMemory() {
    if (previous_) Py_XDECREF(PyDataMem_SetHandler(previous_.ptr()));
  }

 private:
  py::object previous_;
};

py::object owned_numpy(PyObject* array, Array& v) {
  if (array == nullptr) throw py::error_already_set();
  auto* numpy = reinterpret_cast<PyArrayObject*>(array);
  view_numpy(numpy, v);
  fill_if_asked(v.data, [=] { return PyArray_NBYTES(numpy); });
  return py::reinterpret_steal<py::object>(array);
}

struct Extent {
  const std::byte* begin;
  const std::byte* end;
};

Extent extent(const Array& array) {
  std::int64_t low = 0;
  std::int64_t high = 1;
  for (int d = 0; d < array.ndim; ++d) {
    if (array.shape[d] == 0) return {array.data, array.data};
    const std::int64_t reach = (array.shape[d] - 1) * array.strides[d];
    (reach < 0 ? low : high) += reach;
  }
  const std::int64_t size = size_of(array.type);
  return {array.data + low * size, array.data + high * size};
}

}  // namespace

bool view_elements(py::handle object, Array& v) {
  if (PyArray_CheckExact(object.ptr())) {
    return view_numpy(reinterpret_cast<PyArrayObject*>(object.ptr()), v);
  }
  return view_tensor(object.ptr(), v);
}

bool view(py::handle object, Array& v) {
  if (!view_elements(object, v)) return false;
  v.dtype = v.type == ElementType::f32 ? DType::f32 : DType::f64;
  return v.type == ElementType::f32 || v.type == ElementType::f64;
}

std::int64_t bytes_of(std::span<const std::int64_t> shape, ElementType type) {
  std::int64_t bytes = size_of(type);
  bool empty = false;
  for (const std::int64_t extent : shape) {
    empty |= extent == 0;
    if (extent != 0 && __builtin_mul_overflow(bytes, extent, &bytes)) {
      throw std::invalid_argument("an array of shape " + shape_text(shape) + ", of " +
                                  std::to_string(size_of(type)) +
                                  " bytes an element, is too large for any memory");
    }
  }
  return empty ? 0 : bytes;
}

py::object new_array(const Array& like, ElementType type, std::span<const std::int64_t> shape,
                     Array& v) {
  if (like.api != nullptr) return new_tensor(like, type, shape, v);
  const ResultMemory memory(shape, type);
  return owned_numpy(
      PyArray_SimpleNew(static_cast<int>(shape.size()),
                        reinterpret_cast<npy_intp*>(const_cast<std::int64_t*>(shape.data())),
                        numpy_number(type)),
      v);
}

py::object new_array(const Array& like, std::span<const std::int64_t> shape, Array& v) {
  v.dtype = like.dtype;
  return new_array(like, like.type, shape, v);
}

py::object new_array(py::handle object, const Array& like, bool boolean,
                     std::span<const std::int64_t> shape, std::span<const int> order, Array& v) {
  const auto ndim = static_cast<int>(shape.size());
  const bool c_order = std::ranges::is_sorted(order);
  if (like.api == nullptr) {
    PyArray_Descr* descr = nullptr;
    if (boolean) {
      descr = PyArray_DescrFromType(NPY_BOOL);
    } else {
      descr = PyArray_DESCR(reinterpret_cast<PyArrayObject*>(object.ptr()));
      Py_INCREF(descr);
    }
    std::array<npy_intp, kMaxDims> strides;
    npy_intp stride = boolean ? 1 : size_of(like.type);
    for (int i = ndim - 1; i >= 0; --i) {
      strides[order[i]] = stride;
      stride *= shape[order[i]];
    }
    const ResultMemory memory(shape, boolean ? ElementType::boolean : like.type);
    return owned_numpy(
        PyArray_NewFromDescr(&PyArray_Type, descr, ndim,
                             reinterpret_cast<npy_intp*>(const_cast<std::int64_t*>(shape.data())),
                             c_order ? nullptr : strides.data(), nullptr, 0, nullptr),
        v);
  }
  const ElementType type = boolean ? ElementType::boolean : like.type;
  if (c_order) return new_tensor(like, type, shape, v);
  std::array<std::int64_t, kMaxDims> in_memory;
  const py::tuple axes(ndim);
  for (int i = 0; i < ndim; ++i) {
    in_memory[i] = shape[order[i]];
    axes[order[i]] = i;
  }
  const py::object tensor =
      new_tensor(like, type, std::span(in_memory).first(shape.size()), v).attr("permute")(axes);
  view_tensor(tensor.ptr(), v);
  return tensor;
}

py::object new_array_like(py::handle object, const Array& like, Array& v) {
  if (like.api != nullptr) return new_array(like, like.dims(), v);
  v.dtype = like.dtype;
  const ResultMemory memory(like.dims(), like.type);
  return owned_numpy(PyArray_NewLikeArray(reinterpret_cast<PyArrayObject*>(object.ptr()),
                                          NPY_KEEPORDER, nullptr, 0),
                     v);
}

py::object result(py::object array, const Array& v) {
  if (v.ndim > 0 || v.api != nullptr) return array;
  return py::reinterpret_steal<py::object>(
      PyArray_Return(reinterpret_cast<PyArrayObject*>(array.release().ptr())));
}

bool overlap(const Array& out, const Array& in) {
  const Extent o = extent(out);
  const Extent i = extent(in);
  return o.begin < i.end && i.begin < o.end;
}

bool overlaps_itself(const Array& out) {
  std::array<int, kMaxDims> order;
  int ndim = 0;
  for (int d = 0; d < out.ndim; ++d) {
    if (out.shape[d] == 0) return false;
    if (out.shape[d] > 1) order[ndim++] = d;
  }
  const auto stride = [&](int d) { return std::abs(out.strides[d]); };
  std::sort(order.begin(), order.begin() + ndim,
            [&](int p, int q) { return stride(p) < stride(q); });
  // Each dimension steps over all that the smaller ones reach. Rare layouts that interleave without
  // meeting are taken for overlapping: a copy then, never a wrong result.
  std::int64_t reach = 0;
  for (int i = 0; i < ndim; ++i) {
    if (stride(order[i]) <= reach) return true;
    reach += (out.shape[order[i]] - 1) * stride(order[i]);
  }
  return false;
}

bool same_memory(const Array& x, const Array& y) {
  return x.data == y.data && size_of(x.type) == size_of(y.type) &&
         std::ranges::equal(x.dims(), y.dims()) &&
         std::equal(x.strides, x.strides + x.ndim, y.strides);
}

bool same_layout(const Array& x, const Array& y) {
  if (!std::ranges::equal(x.dims(), y.dims())) return false;
  bool same = true;
  for (int d = 0; d < x.ndim; ++d) {
    if (x.shape[d] == 0) return true;
    same &= x.shape[d] == 1 || x.strides[d] == y.strides[d];
  }
  return same;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (const std::int64_t extent : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

void import_numpy() {
  if (_import_array() < 0) throw py::error_already_set();
}

}  // namespace hotloops
