// All that a driver may know of an instruction set: tables of function pointers with their shapes.

#pragma once

#include <cstdint>

#include "element.h"
#include "epilogue.h"

namespace hotloops {

enum class DType : std::uint8_t { f32, f64 };
inline constexpr int kDTypes = 2;

constexpr std::int64_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 8; }
constexpr ElementType element_type(DType dtype) {
  return dtype == DType::f32 ? ElementType::f32 : ElementType::f64;
}
constexpr const char* name_of(DType dtype) { return dtype == DType::f32 ? "float32" : "float64"; }

enum class Isa : std::uint8_t { baseline, neon, avx2, avx512 };

// The numerical contract: sums are formed in blocks of this many values of k, each block one chain
// of fused multiply-adds from zero, blocks added in order. Part of the result's definition, hence
// the same for every ISA and never tuned.
inline constexpr std::int64_t kKc = 256;

// Elements from one row of a packed A panel to the next. One cache line more than kKc: at a power
// of two all rows of a panel would fall into the same few sets of L1.
constexpr std::int64_t panel_pitch(DType dtype) { return kKc + 64 / size_of(dtype); }

// One call of a microkernel: C[mr, nr] = or += A[mr, kc] B[kc, nr], then the epilogue.
//
//      b: kc rows of nr,           c: mr rows of nr, c_stride apart
//         b_stride apart
//      +--------------+
//      |              |
//      +--------------+
//   a  +--------------+
//   +--+              |            a: mr rows of kc, panel_pitch apart
//   |  |      c       |
//   +--+--------------+
struct Tile {
  std::int64_t kc;
  const void* a;
  const void* b;
  std::int64_t b_stride;  // nr in a packed panel
  void* c;
  std::int64_t c_stride;
  bool accumulate;    // add to what c holds: every block of k but the first
  Epilogue epilogue;  // its bias points to this tile's nr values
};

struct Kernel {
  const char* name;
  Isa isa;
  DType dtype;
  int mr, nr, kr;  // kr: values of k that one instruction takes together
  void (*run)(const Tile&);
};

// Functions over n contiguous values; x == y is allowed.
struct RowKernels {
  // Softmax takes the n values for its whole row.
  void (*activate)(Activation activation, std::int64_t n, const void* x, void* y);
};

// The shapes of tiles that an ISA has: for many rows, for a few, and for one.
inline constexpr int kTileShapes = 3;

// Everything an ISA's leaf provides, indexed by DType.
struct KernelSet {
  Isa isa;
  const char* name;
  Kernel matmul[kDTypes][kTileShapes];  // tallest first
  RowKernels rows[kDTypes];
  ElementKernels elements[kElementTypes];  // indexed by ElementType
  // Runs `iterations` rounds of independent fused multiply-adds (without FMA: of a multiplication
  // and an addition) in registers and returns how many floating-point operations that were.
  std::int64_t (*fma_burst[kDTypes])(std::int64_t iterations);
  // Negates n values in place: the least that a pass over memory can do.
  void (*negate[kDTypes])(std::int64_t n, void* x);
};

}  // namespace hotloops
