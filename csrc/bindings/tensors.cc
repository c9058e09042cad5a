#include "bindings/tensors.h"

#include <algorithm>
#include <cstddef>
#include <new>
#include <unordered_map>

#include "bindings/dlpack.h"
#include "result_memory.h"
#include "workspace.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// What is known of a type of objects: of tensors, or of others. To find an attribute takes as long
// as to ask for its value.
struct TensorType {
  const dlpack::ExchangeApi* api = nullptr;  // null: no tensors
  // The type's own, null where it has none, as another library's tensors may.
  PyObject* requires_grad = nullptr;
  PyObject* is_neg = nullptr;
  PyObject* is_conj = nullptr;
};

// An attribute, or null.
PyObject* attribute(PyTypeObject* type, const char* name) {
  PyObject* found = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), name);
  if (found == nullptr) PyErr_Clear();
  return found;
}

const dlpack::ExchangeApi* exchange_api(PyObject* capsule) {
  const auto* api =
      static_cast<const dlpack::ExchangeApi*>(PyCapsule_GetPointer(capsule, dlpack::kCapsuleName));
  if (api == nullptr) PyErr_Clear();
  while (api != nullptr && api->version.major != dlpack::kMajorVersion) api = api->previous;
  return api == nullptr || api->borrow_from_object == nullptr ? nullptr : api;
}

// Null if it has no exchange functions. Found once a type; the type is then kept alive, so that its
// address stays its own.
const TensorType* tensor_type(PyTypeObject* type) {
  static auto* known = new std::unordered_map<PyTypeObject*, TensorType>;
  if (const auto found = known->find(type); found != known->end()) return &found->second;
  const auto capsule =
      py::reinterpret_steal<py::object>(attribute(type, "__dlpack_c_exchange_api__"));
  if (!capsule) return nullptr;
  Py_INCREF(type);
  return &known
              ->emplace(type, TensorType{.api = exchange_api(capsule.ptr()),
                                         .requires_grad = attribute(type, "requires_grad"),
                                         .is_neg = attribute(type, "is_neg"),
                                         .is_conj = attribute(type, "is_conj")})
              .first->second;
}

// Whether that is a value, and True. A new reference, or an exception.
bool is_true(PyObject* value) {
  if (value == nullptr) PyErr_Clear();
  Py_XDECREF(value);
  return value == Py_True;
}

bool is_true(PyObject* tensor, PyObject* property) {
  if (property == nullptr) return false;
  const descrgetfunc get = Py_TYPE(property)->tp_descr_get;
  return get != nullptr &&
         is_true(get(property, tensor, reinterpret_cast<PyObject*>(Py_TYPE(tensor))));
}

bool answers_yes(PyObject* tensor, PyObject* method) {
  return method != nullptr && is_true(PyObject_CallOneArg(method, tensor));
}

// Whether torch records what is computed with tensors that require their gradient.
bool records_gradients() {
  static PyObject* torch = PyUnicode_InternFromString("torch");
  static PyObject* is_grad_enabled = PyUnicode_InternFromString("is_grad_enabled");
  const auto module = py::reinterpret_steal<py::object>(PyImport_GetModule(torch));
  if (!module) return true;
  const auto enabled =
      py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(module.ptr(), is_grad_enabled));
  PyErr_Clear();
  return enabled.ptr() != Py_False;
}

// Whether the values in memory are not the tensor's values (torch's lazy negation and conjugation),
// or autograd would miss what is computed from them.
bool needs_care(const TensorType& type, PyObject* tensor, ElementType element) {
  return (is_true(tensor, type.requires_grad) && records_gradients()) ||
         answers_yes(tensor, type.is_neg) ||
         (is_complex(element) && answers_yes(tensor, type.is_conj));
}

constexpr dlpack::DataType kTensorTypes[kElementTypes] = {
    {.code = dlpack::kFloat, .bits = 32, .lanes = 1},
    {.code = dlpack::kFloat, .bits = 64, .lanes = 1},
    {.code = dlpack::kInt, .bits = 32, .lanes = 1},
    {.code = dlpack::kInt, .bits = 64, .lanes = 1},
    {.code = dlpack::kFloat, .bits = 16, .lanes = 1},
    {.code = dlpack::kBfloat, .bits = 16, .lanes = 1},
    {.code = dlpack::kBool, .bits = 8, .lanes = 1},
    {.code = dlpack::kInt, .bits = 8, .lanes = 1},
    {.code = dlpack::kUInt, .bits = 8, .lanes = 1},
    {.code = dlpack::kInt, .bits = 16, .lanes = 1},
    {.code = dlpack::kUInt, .bits = 32, .lanes = 1},
    {.code = dlpack::kUInt, .bits = 64, .lanes = 1},
    {.code = dlpack::kComplex, .bits = 64, .lanes = 1},
    {.code = dlpack::kComplex, .bits = 128, .lanes = 1}};

bool find_type(const dlpack::DataType& dtype, ElementType& type) {
  for (int i = 0; i < kElementTypes; ++i) {
    const dlpack::DataType& known = kTensorTypes[i];
    if (dtype.code != known.code || dtype.bits != known.bits || dtype.lanes != known.lanes) {
      continue;
    }
    type = static_cast<ElementType>(i);
    return true;
  }
  return false;
}

bool describe(const dlpack::Tensor& tensor, const dlpack::ExchangeApi* api, Array& v) {
  if (tensor.device.type != dlpack::kCpu || !find_type(tensor.dtype, v.type) ||
      tensor.ndim > kMaxDims) {
    return false;
  }
  v.api = api;
  v.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  v.writable = true;
  v.ndim = tensor.ndim;
  v.shape = tensor.shape;
  std::int64_t stride = 1;
  for (int d = v.ndim - 1; d >= 0; --d) {
    v.strides[d] = tensor.strides == nullptr ? stride : tensor.strides[d];
    stride *= tensor.shape[d];
  }
  const bool has_memory = tensor.data != nullptr || std::ranges::count(v.dims(), 0) > 0;
  return has_memory &&
         reinterpret_cast<std::uintptr_t>(v.data) % static_cast<std::size_t>(size_of(v.type)) == 0;
}

// A tensor on memory of its own. Its shape and strides follow, and its values where they are few:
// malloc is quickest with one small block, and slow with those that are to be aligned.
struct OwnedTensor {
  dlpack::ManagedTensor managed;
  bool values_apart;
};

void delete_tensor(dlpack::ManagedTensor* managed) {
  auto* owned = static_cast<OwnedTensor*>(managed->manager_context);
  if (owned->values_apart) free_result(static_cast<std::byte*>(managed->tensor.data));
  ::operator delete(owned);
}

// Of a shape of `ndim` dimensions that is still to be written, and so many bytes.
OwnedTensor* own_tensor(std::size_t ndim, std::int64_t bytes) {
  constexpr std::size_t kLine = 64;
  const bool apart = bytes >= kLeastResult;
  const std::size_t values = sizeof(OwnedTensor) + 2 * ndim * sizeof(std::int64_t);
  const std::size_t room = apart ? 0 : kLine - 1 + static_cast<std::size_t>(bytes);
  std::byte* data = apart ? allocate_result(bytes) : nullptr;
  void* block = ::operator new(values + room, std::nothrow);
  if (block == nullptr) {
    free_result(data);
    throw std::bad_alloc();
  }
  if (!apart) {
    data = static_cast<std::byte*>(block) + values;
    data += -reinterpret_cast<std::uintptr_t>(data) % kLine;
  }
  auto* owned = new (block) OwnedTensor{.managed = {}, .values_apart = apart};
  auto* shape = reinterpret_cast<std::int64_t*>(owned + 1);
  owned->managed.manager_context = owned;
  owned->managed.deleter = delete_tensor;
  owned->managed.tensor = {.data = data,
                           .device = {.type = dlpack::kCpu, .id = 0},
                           .ndim = static_cast<std::int32_t>(ndim),
                           .dtype = {},
                           .shape = shape,
                           .strides = shape + ndim,
                           .byte_offset = 0};
  return owned;
}

}  // namespace

bool view_tensor(PyObject* object, Array& v) {
  const TensorType* type = tensor_type(Py_TYPE(object));
  if (type == nullptr || type->api == nullptr) return false;
  dlpack::Tensor tensor;
  if (type->api->borrow_from_object(object, &tensor) != 0) {
    PyErr_Clear();  // a tensor without memory of its own; Python code finds the words
    return false;
  }
  return describe(tensor, type->api, v) && !needs_care(*type, object, v.type);
}

py::object new_tensor(const Array& like, ElementType type, std::span<const std::int64_t> shape,
                      Array& v) {
  const std::int64_t bytes = bytes_of(shape, type);
  dlpack::ManagedTensor* managed = &own_tensor(shape.size(), bytes)->managed;
  managed->version = like.api->version;
  dlpack::Tensor& made = managed->tensor;
  fill_if_asked(made.data, [=] { return bytes; });
  made.dtype = kTensorTypes[static_cast<int>(type)];
  std::ranges::copy(shape, made.shape);
  std::int64_t stride = 1;
  for (int d = made.ndim - 1; d >= 0; --d) {
    made.strides[d] = stride;
    stride *= made.shape[d];
  }
  void* object = nullptr;
  if (like.api->object_from_managed(managed, &object) != 0) {
    delete_tensor(managed);
    throw py::error_already_set();
  }
  describe(made, like.api, v);  // the tensor keeps it as long as it lives
  return py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
}

}  // namespace hotloops
