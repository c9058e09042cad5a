// All that a driver may know of an instruction set: tables of function pointers with their shapes.

#pragma once

#include <cstdint>

#include "element.h"
#include "epilogue.h"
#include "summation.h"
#include "update.h"

namespace hotloops {

// What products are summed in. Integers are summed modulo 2^32 or 2^64, which is the same for
// signed and unsigned ones.
enum class DType : std::uint8_t { f32, f64, i32, i64 };
inline constexpr int kDTypes = 4;

// The operands' types and how they are multiplied. The first ones are plain: operands, products and
// sums of one type.
enum class Arithmetic : std::uint8_t {
  f32,
  f64,
  i32,
  i64,
  // float32 operands as sums of bfloat16: of three, two or one, and so many products of these.
  bf16x6,
  bf16x3,
  bf16x1,
  // Narrow operands, summed in f32 and i32.
  bf16,
  f16,
  i16,
  i8,
  u8,
  i8u8,  // a's type and b's
  u8i8,
  // Complex operands, summed in f32 and f64: see Kernel::parts.
  c64,
  c128,
};
inline constexpr int kArithmetics = 16;

constexpr const char* name_of(Arithmetic arithmetic) {
  constexpr const char* kNames[kArithmetics] = {
      "float32",      "float64",    "int32",     "int64",     "float32_bf16x6", "float32_bf16x3",
      "float32_bf16", "bfloat16",   "float16",   "int16",     "int8",           "uint8",
      "int8_uint8",   "uint8_int8", "complex64", "complex128"};
  return kNames[static_cast<int>(arithmetic)];
}

// Ways to multiply float32 fall back to float32 itself: where an ISA has nothing of its own for
// one, and where its kernel cannot multiply the values or is the slower one. All others are their
// own.
constexpr Arithmetic fallback_of(Arithmetic arithmetic) {
  const bool of_float32 = arithmetic == Arithmetic::bf16x6 || arithmetic == Arithmetic::bf16x3 ||
                          arithmetic == Arithmetic::bf16x1;
  return of_float32 ? Arithmetic::f32 : arithmetic;
}

constexpr ElementType element_type(DType dtype) {
  return static_cast<ElementType>(dtype);  // which begins with these
}
constexpr std::int64_t size_of(DType dtype) { return size_of(element_type(dtype)); }
constexpr const char* name_of(DType dtype) { return name_of(element_type(dtype)); }

enum class Isa : std::uint8_t { baseline, neon, avx2, avx512, amx };

constexpr const char* name_of(Isa isa) {
  constexpr const char* kNames[] = {"baseline", "neon", "avx2", "avx512", "amx"};
  return kNames[static_cast<int>(isa)];
}

// The numerical contract: sums are formed in blocks of this many values of k, each block one chain
// of fused multiply-adds from zero, blocks added in order. Part of the result's definition, hence
// the same for every ISA and never tuned.
inline constexpr std::int64_t kKc = 256;

// Elements from one row of a packed A panel to the next. Not kKc, at which all rows of a panel
// would fall into the same few sets of L1, nor any whole number of cache lines: then the
// microkernel comes to new lines of all rows at once, and where B has pushed them out of L1 it
// waits for them at once. Measured, the fraction of a line is worth 2 % for float64.
constexpr std::int64_t panel_pitch(DType dtype) { return kKc + (size_of(dtype) == 4 ? 12 : 4); }

// Values that a microkernel copies at a time.
inline constexpr std::int64_t kCopyStep = 16;

// A rectangle of an operand, and the panel that it becomes a part of: from row `row` and column
// `col` of the panel on, columns being values of k for A and rows for B. The pieces of a panel come
// in order, the first from its beginning.
struct Piece {
  const void* data;
  std::int64_t row_stride, col_stride;
  std::int64_t rows, cols;
  std::int64_t row = 0, col = 0;
  void* panel;
};

// One call of a microkernel: C = or += A B, then the epilogue.
//
//      b: kc rows, b_stride apart    c: rows, c_stride apart
//         +------+
//         |      |
//         |      |
//         +------+
//   a  +--+------+
//      |  |  c   |                   a: rows of kc
//      +--+------+
//
// Nothing beyond the valid rows and columns is read or written.
struct Tile {
  std::int64_t kc;
  int rows;  // of a and c
  int cols;  // of b and c
  const void* a;
  std::int64_t a_row_stride, a_col_stride;  // unless packed: then panel_pitch and 1
  const void* b;
  std::int64_t b_stride;  // nr in a packed panel
  void* packed_b;         // where to store b as a packed panel in passing, for packed_a_pack_b
  void* pending;          // for kernels that leave a tile's end to the next one: see Kernel
  void* c;
  std::int64_t c_stride;
  bool accumulate;    // add to what c holds: every block of k but the first
  Epilogue epilogue;  // of this tile's columns; its residual's rows are c_stride apart
  // For kernels that leave something pending: where the results go instead of c if they are to be
  // rounded or wrapped to a narrower type. Null: to c.
  void* narrow_c;
  std::int64_t narrow_c_stride;
  ElementType narrow_type;
  bool swapped;  // A and B have changed places: see Kernel::commutes

  // Work for the tiles to come, interleaved with this one's so that nobody waits for memory.
  // Kernels that do it say so (see Interleaved); no other is asked. Null: nothing.
  const void* copy_from;  // kc values to be copied, kc a multiple of kCopyStep
  void* copy_to;
  const void* fetch[2];  // kc values each, to be prefetched: a hint, which any kernel may ignore
  // Contiguous rows of A, to be packed where this panel is, the last of whose tiles this is.
  const Piece* next_a = nullptr;
};

// What a microkernel does for other tiles than its own. A driver that asks for more would read
// memory that nobody has written.
struct Interleaved {
  bool copies_a = false;      // Tile::copy_from: a row of the next panel of A
  bool packs_b = false;       // Operands::packed_a_pack_b: the rows of B that it loads
  bool packs_next_a = false;  // Tile::next_a
};

// A few rows of A times columns of B that lie along k, over all of k; C's columns side by side.
struct Columns {
  std::int64_t k;
  const void* a;
  std::int64_t a_row_stride, a_col_stride;  // unless packed
  const void* b;
  std::int64_t b_col_stride;
  int cols;  // whole vectors of them, or fewer than fill one
  void* c;   // columns that fill no vector have a whole one here, and in the epilogue
  std::int64_t c_stride;
  Epilogue epilogue;
  bool swapped;  // A and B have changed places: see Kernel::commutes
};

// Rows of A and rows of B, of which the i-th ones make a dot product; `count` of these are as many
// as a vector has lanes, or more. Values of k lie side by side.
struct Dots {
  std::int64_t k;
  std::int64_t count;
  const void* a;
  std::int64_t a_stride;  // from one row to the next
  const void* b;
  std::int64_t b_stride;
  void* sums;
};

// Kernels whose vectors hold chains of different columns, of different products, or of different
// blocks of k.
inline constexpr int kColumnsRows = 4;
inline constexpr int kColumnsVectors = 4;
inline constexpr int kPackedRows = 16;
inline constexpr int kMaxLanes = 16;
struct DotKernels {
  int lanes;           // values in a vector
  int row_bytes = 16;  // what is read at a time of each row along k
  // Columns have the same bits in whatever company, so that those which fill no vector may come
  // with some that have been.
  bool any_company;
  // So many rows of A are worth reading the columns again, from L1 and L2, for each kColumnsRows of
  // them. With more, transposing B into panels once costs less.
  int most_rows;
  // By rows - 1, up to kColumnsRows: the most vectors of columns at a time (no fewer for fewer
  // rows), and the kernel for each number of them, one first.
  int vectors[kColumnsRows];
  void (*columns[kColumnsRows][kColumnsVectors])(const Columns&);
  // The same, by rows - 1, of one vector of columns from memory, fetched ahead; or null.
  void (*far_columns[kColumnsRows])(const Columns&) = {};
  // The same, by rows - 1, of fewer columns than a vector has lanes; or null.
  void (*few_columns[kColumnsRows])(const Columns&) = {};
  // A product in each lane, or a block of k of one product where rows begin where blocks do.
  void (*row_dots)(const Dots&) = nullptr;
  // A vector of blocks of one product from memory, fetched ahead; or null.
  void (*far_block_sums)(const void* a, const void* b, void* sums) = nullptr;
  // One chain for each block of so many values behind each other: of fewer than a vector of blocks
  // has; and of that and fewer than another one has. Sums are stored for whole vectors.
  void (*last_block_sums[2])(const void* a, const void* b, std::int64_t values, void* sums) = {};
  // One vector of blocks, and two, of complex numbers' parts by turns. A chain sums one part of the
  // products.
  void (*complex_block_sums[2])(const void* a, const void* b, void* real, void* imaginary) = {};
  // More rows of A, packed as a panel for each block of k, times one vector of so many columns:
  // from `least_packed_rows` on, `packed_rows` at most in a panel, and so many panels at most. With
  // more, each value of B is transposed once more than it is worth. By rows - 1. 0: there are none.
  int packed_lanes = 0;
  int least_packed_rows = 0, packed_rows = 0, most_packed_panels = 0;
  void (*packed[kPackedRows])(const Columns&) = {};
  void (*far_packed[kPackedRows])(const Columns&) = {};  // see far_columns
};

// A product whose A and C are of rows that follow each other in memory; nothing is added to it.
struct ShortRows {
  std::int64_t m, n, k;
  std::int64_t period;  // vectors of C after which a row begins where one began at first
  const void* a;
  const void* b;
  std::int64_t b_row_stride, b_col_stride;
  void* c;
};

// Kernels whose vectors hold several rows of C.
struct ShortRowKernel {
  int lanes = 0;  // values in a vector; 0: there is no such kernel
  // A's rows that a vector of C needs are to be no more than two vectors long.
  void (*run)(const ShortRows&) = nullptr;
};

// Vectors of B's values, one for each value of k and vector of a period, that such kernels have
// room for.
inline constexpr std::int64_t kMostShortRowsSteps = 64;

// How a microkernel finds its operands: an a of any strides; a packed one; a packed one and a b to
// be packed.
enum class Operands : std::uint8_t { in_place, packed_a, packed_a_pack_b };
inline constexpr int kOperands = 3;

using RunTile = void (*)(const Tile&);

// Tiles of one row whose B stays in place, of any multiple of nr columns up to `cols`: for a B that
// is read from beyond half of L2. 0 and null: there are none.
struct WideRowKernel {
  std::int64_t cols = 0;
  RunTile run = nullptr;
};

// How a kernel wants its operands packed.
struct Panels {
  void (*pack_a)(const Piece& piece);
  void (*pack_b)(const Piece& piece);
  // The values of B back, rows and columns of them, into rows so many values apart. Of pieces that
  // are not the whole number: what they are together.
  void (*unpack_b)(const void* panel, std::int64_t rows, std::int64_t cols, void* values,
                   std::int64_t stride);
  std::int64_t a_bytes;       // of a panel of mr rows, whatever its depth
  std::int64_t b_head_bytes;  // of a panel of nr columns, and for each
  std::int64_t b_step_bytes;  // k_step values of k
  // A is packed in pieces of whole rows, or of so many values of k (but for the last piece). So is
  // B where its rows are contiguous, for so many panels side by side at a time, one piece of each
  // before the next.
  std::int64_t k_step;
  int b_group = 1;
  bool always;  // the kernel reads nothing but panels
  // But contiguous rows of A, which it takes in place, too, and leaves as a panel in `copy_to`.
  bool a_in_first_tile = false;
  // Whether the kernel can multiply these two panels, which depends on their values; if not, the
  // kernel's `plain` can. Null: any two.
  bool (*suit)(const void* a_panel, const void* b_panel) = nullptr;
};

// Complex matrices are multiplied as real ones twice as large, by the real microkernels:
//
//                    |  br bi ... |
//   | ar ai ... |    | -bi br ... |     A and C as they lie in memory, their parts by turns; of B,
//   |    :      |    |     :      |     each row becomes two as it is packed.
//
// Kernels, and the drivers behind matmul() and PackedMatrix, know sizes and places in the real
// matrices only, all of them even but for rows of A and C. An element is then found where its first
// part is sought, in steps of the real type, if strides from one of its rows to the next of A and C
// are doubled, and all others are left as they are.
inline constexpr int kComplexParts = 2;

constexpr ElementType element_type(DType dtype, int parts) {
  if (parts == 1) return element_type(dtype);
  return dtype == DType::f32 ? ElementType::c64 : ElementType::c128;
}

struct Kernel {
  Isa isa;
  Arithmetic arithmetic;
  ElementType a_type, b_type;  // of their parts
  int parts = 1;               // of an element: 1, or kComplexParts
  DType dtype;                 // of the sums and of C
  int mr, nr, kr;              // kr: values of k that one instruction takes together
  std::int64_t kc;             // values of k in one block
  Panels panels;
  // The microkernel for tiles of so many rows and columns, at most mr and nr. To be asked once for
  // many tiles: a choice for each, behind the call, took 100 cycles of 3600. Null in the place of a
  // kernel that an ISA has not.
  RunTile (*choose)(int rows, int cols, Operands operands);
  Interleaved interleaved{};
  // A B has the bits of B' A' transposed. Where it has not, a column vector may still take the
  // place of a row: kernels of one row are told.
  bool commutes = true;
  const DotKernels* dots;  // for what tiles are not made for, or null
  ShortRowKernel short_rows{};
  WideRowKernel wide_row{};
  // The kernel for tall products that takes the same operands, and any panels; or null. It is the
  // faster one where packing outweighs multiplying: below m n = break_even (m + n). 0: it is not to
  // be used for that.
  const Kernel* plain = nullptr;
  std::int64_t break_even = 0;
  // Kernels may write C while the next tile is multiplied; what is pending they remember in so many
  // bytes, and narrow it themselves. `begin` is called by each thread before its first tile of a
  // product, `finish` to have C written, and `end` after the last tile, when nothing is pending. 0
  // and null: a tile is done when its call returns.
  std::int64_t pending_bytes = 0;
  void (*begin)(void* pending) = nullptr;
  void (*finish)(void* pending) = nullptr;
  void (*end)() = nullptr;
};

// Functions over n contiguous values; the result may be written over an operand.
struct RowKernels {
  // Softmax takes the n values for its whole row.
  void (*activate)(Activation activation, std::int64_t n, const void* x, void* y);
  // grad_x = f'(x) grad_y of y = f(x). `saved` is the one of x and y that it is computed from:
  // see saves_input. Softmax again takes a whole row.
  void (*activation_grad)(Activation activation, std::int64_t n, const void* saved,
                          const void* grad_y, void* grad_x);
  // A step of an optimizer.
  void (*update)(const Update& update);
};

// What a tile unit multiplies: pairs of bfloat16, quadruples of int8.
enum class TileProduct : std::uint8_t { bf16, i8 };
inline constexpr int kTileProducts = 2;

// The shapes of tiles that an ISA has: for many rows, for a few, and for one.
inline constexpr int kTileShapes = 3;

// Everything an ISA's leaf provides, indexed by DType or Arithmetic; for integers there are
// products alone.
struct KernelSet {
  Isa isa;
  const char* name;
  Kernel matmul[kArithmetics][kTileShapes];  // tallest first
  RowKernels rows[kDTypes];
  ElementKernels elements[kElementTypes];  // indexed by ElementType
  SumKernels sums[kDTypes];
  // Rounds or wraps n sums of products to a narrower type, indexed by it; null for the others.
  void (*narrow[kElementTypes])(std::int64_t n, const void* sums, void* values);
  // The way back, for half types.
  void (*widen[kElementTypes])(std::int64_t n, const void* values, void* sums);
  // Runs `iterations` rounds of independent fused multiply-adds (without FMA: of a multiplication
  // and an addition) in registers and returns how many floating-point operations that were.
  std::int64_t (*fma_burst[kDTypes])(std::int64_t iterations);
  // Negates n values in place: the least that a pass over memory can do.
  void (*negate[kDTypes])(std::int64_t n, void* x);
  // Like fma_burst, of the tile unit, indexed by TileProduct; null where there is none.
  std::int64_t (*tile_burst[kTileProducts])(std::int64_t iterations) = {};
};

// What a leaf has for an instruction that only some CPUs of an ISA have, or for CPUs that want the
// same instructions in another order. It takes the place of what a KernelSet has; where this is
// null, that stays. Like a KernelSet it is data: dispatch.cc puts the two together on whatever CPU,
// so nothing of a leaf runs before its instructions are known to be there.
struct KernelOverlay {
  Isa isa;
  // Their `plain` is left to dispatch.cc: the kernel for tall products of their fallback_of() in
  // the set beneath.
  Kernel matmul[kArithmetics][kTileShapes] = {};
  // Whether dot products and short rows, too, are left to the kernel's `plain`.
  bool shares_dots = false;
  // By Arithmetic, for kernels that stay: of all shapes, and of one row.
  const DotKernels* dots[kArithmetics] = {};
  WideRowKernel wide_row[kArithmetics] = {};
  void (*narrow[kElementTypes])(std::int64_t n, const void* sums, void* values) = {};
  std::int64_t (*tile_burst[kTileProducts])(std::int64_t iterations) = {};
};

}  // namespace hotloops
