// What elementwise drivers may know of an instruction set: a table of functions on rows of
// elements.

#pragma once

#include <cstddef>
#include <cstdint>

namespace hotloops {

// Types of elements in memory. Not all are known to every operation.
enum class ElementType : std::uint8_t {
  f32,
  f64,
  i32,
  i64,
  f16,
  bf16,
  boolean,
  i8,
  u8,
  i16,
  u32,
  u64,
  c64,
  c128
};
inline constexpr int kElementTypes = 14;

constexpr std::int64_t size_of(ElementType type) {
  // Binary logarithms, four bits each, the first type's last. GCC would write a table to the stack
  // in every call, and one outside of the function would be a name that leaves export.
  constexpr std::uint64_t kLogarithms = 0x43321000113232;
  return std::int64_t{1} << (kLogarithms >> (4 * static_cast<int>(type)) & 15);
}

constexpr bool is_real(ElementType type) {
  using enum ElementType;
  return type == f32 || type == f64 || type == f16 || type == bf16;
}

constexpr bool is_complex(ElementType type) {
  return type == ElementType::c64 || type == ElementType::c128;
}

// As NumPy names it.
constexpr const char* name_of(ElementType type) {
  constexpr const char* kNames[kElementTypes] = {
      "float32", "float64", "int32", "int64",  "float16", "bfloat16",  "bool",
      "int8",    "uint8",   "int16", "uint32", "uint64",  "complex64", "complex128"};
  return kNames[static_cast<int>(type)];
}

enum class ElementOp : std::uint8_t {
  relu,           // max(x, 0)
  multiply,       // a * b
  add,            // a + b
  subtract,       // a - b
  greater,        // a > b
  where,          // condition ? x : y
  where_greater,  // a > b ? x : y
  all_greater,    // no result: whether a > b for all
};
inline constexpr int kElementOps = 8;

// Operands and result of any operation.
inline constexpr int kMaxArrays = 5;

// One call of an elementwise kernel: n consecutive elements of each array, the result's last. They
// are one memory, or do not overlap.
struct Row {
  std::int64_t n;
  std::byte* data[kMaxArrays];
  bool stretched[kMaxArrays];  // an operand of one element, which serves all n
};

// False: these elements decide the answer, whatever the others are.
using ElementKernel = bool (*)(const Row& row);

// The kernels for operands of one type, indexed by ElementOp; null where there is none. `where` has
// the type of x and y; `where_greater` that of a and b, and x and y are any two of the same size.
struct ElementKernels {
  ElementKernel run[kElementOps];
  // Around the cache: for results too large to be still in it when they are read again.
  ElementKernel stream[kElementOps];
};

}  // namespace hotloops
