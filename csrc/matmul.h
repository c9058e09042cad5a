// C = A B for matrices of any strides, batched, with an epilogue.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "kernel.h"
#include "view.h"

namespace hotloops {

// A B of which all panels have been packed (see packed.h): column panel after column panel, each
// with its blocks of k, first to last.
struct PackedView {
  const std::byte* data = nullptr;  // null: there is none
  std::int64_t column_bytes = 0;    // from one column panel to the next
  std::int64_t block_bytes = 0;     // from one block of k to the next
  // At which end products of a few rows begin: where the one before has ended. A matrix somewhat
  // larger than a cache would otherwise not be found there at all: of its 2.4 MB, an L2 of 2 MB
  // gave 57 GB/s when they were read again and again in one order, and 105 to and fro.
  std::atomic<bool>* backwards = nullptr;

  // Whether this product begins at the far end; the next one will begin at the other.
  [[nodiscard]] bool turn() const {
    if (backwards == nullptr) return false;
    const bool now = backwards->load(std::memory_order_relaxed);
    backwards->store(!now, std::memory_order_relaxed);
    return now;
  }
};

// What sums of products are rounded or wrapped to, once, at the very end.
struct Narrowing {
  ElementType type;
  void (*row)(std::int64_t n, const void* sums, void* values) = nullptr;  // null: not at all
};

// C[m, n] = epilogue(A[m, k] B[k, n]); strides in elements. C overlaps neither operands nor
// itself. The epilogue is of the sums' type; a residual has the strides of C, and there is none
// where C's type is narrower. Complex numbers have no activation.
struct MatmulArgs {
  std::int64_t m, n, k;
  ConstView a, b;
  View c;
  Epilogue epilogue;      // not softmax
  PackedView packed_b{};  // in place of b, for the one kernel that is to be chosen from
  Narrowing narrowing{};
  // For kernels that do not commute: B' A' is meant. A bias then runs along the rows, and there is
  // no residual; dot products know that.
  bool swapped = false;
  // C holds the sums of blocks of k before these, which are added to them: C += A B, by tiles and
  // without an epilogue.
  bool accumulate = false;

  [[nodiscard]] bool narrows() const { return narrowing.row != nullptr; }
  [[nodiscard]] ElementType c_type(const Kernel& kernel) const {
    return narrows() ? narrowing.type : element_type(kernel.dtype);
  }
};

// C' = B' A'.
inline MatmulArgs transpose_of(const MatmulArgs& product) {
  MatmulArgs result = product;
  std::swap(result.m, result.n);
  std::swap(result.a, result.b);
  result.swapped = !product.swapped;
  std::swap(result.a.row_stride, result.a.col_stride);
  std::swap(result.b.row_stride, result.b.col_stride);
  std::swap(result.c.row_stride, result.c.col_stride);
  return result;
}

// NumPy's limit, the highest of the array libraries.
inline constexpr int kMaxDims = 64;

// One dimension over which a product is repeated. A stretched operand has stride 0 there.
struct BatchDim {
  std::int64_t size;
  std::int64_t a_stride, b_stride, c_stride;
};

// The product for each index of `batch` (outermost dimension first; none means one product) with
// the strides added to the views of `args`, on up to `threads` threads. The bits of a product
// depend on its operands' values alone (see kKc), not on the batch, the strides or the threads.
//
// `kernels` are the tile shapes to choose from, for one dtype.
void matmul(std::span<const Kernel> kernels, const MatmulArgs& args,
            std::span<const BatchDim> batch, int threads);

}  // namespace hotloops
