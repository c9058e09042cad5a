// The part of DLPack that hotloops speaks: borrowing a CPU tensor and making one, through the
// exchange functions that a tensor type offers as `__dlpack_c_exchange_api__`. Layouts and names as
// the DLPack 1.3 specification defines them (https://dmlc.github.io/dlpack).

#pragma once

#include <cstdint>

namespace hotloops::dlpack {

struct Version {
  std::uint32_t major, minor;
};

inline constexpr std::int32_t kCpu = 1;
inline constexpr std::uint8_t kInt = 0;
inline constexpr std::uint8_t kUInt = 1;
inline constexpr std::uint8_t kFloat = 2;
inline constexpr std::uint8_t kBfloat = 4;
inline constexpr std::uint8_t kComplex = 5;
inline constexpr std::uint8_t kBool = 6;

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // elements; null: contiguous
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  Version version;
  void* manager_context;
  void (*deleter)(ManagedTensor* self);
  std::uint64_t flags;
  Tensor tensor;
};

using SetError = void (*)(void* error_context, const char* kind, const char* message);

struct ExchangeApi {
  Version version;
  const ExchangeApi* previous;  // for consumers of an older major version
  // Each returns 0, or -1 with an error set: through SetError, the others as Python exceptions.
  int (*allocate)(Tensor* prototype, ManagedTensor** out, void* error_context, SetError set_error);
  int (*managed_from_object)(void* object, ManagedTensor** out);
  int (*object_from_managed)(ManagedTensor* tensor, void** out_object);
  int (*borrow_from_object)(void* object, Tensor* out);  // may be null
  int (*current_stream)(std::int32_t device_type, std::int32_t device_id, void** out);
};

inline constexpr std::uint32_t kMajorVersion = 1;
inline constexpr const char* kCapsuleName = "dlpack_exchange_api";

}  // namespace hotloops::dlpack
