#include "rungs.h"

#include <algorithm>
#include <vector>

#include "scalar_loops.h"

namespace hotloops::rungs {
namespace {

// 32 rows of 8 KiB: a block of b stays in L2, also in a small one of 256 KiB, while every row of a
// passes over it, and the piece of c that is being summed stays in L1. Narrow blocks made for L1
// lost: their inner loops are too short.
constexpr std::int64_t kBlockDepth = 32;
template <class T>
constexpr std::int64_t kBlockWidth = 8192 / sizeof(T);

// The baseline x86-64 CPU has 16 registers of 16 bytes. A tile of 4 rows by 32 bytes takes 8 of
// them and leaves room for the operands: 2 vectors of b, 4 broadcast elements of a.
constexpr int kTileRows = 4;
template <class T>
constexpr int kTileColumns = 32 / sizeof(T);

// A panel of b (8 KiB) stays in L1 while the packed block of a (128 KiB) streams past it from L2;
// the packed block of b (1 MiB) is read once for each block of a.
constexpr std::int64_t kPackedDepth = 256;
template <class T>
constexpr std::int64_t kPackedRows = 512 / sizeof(T);
template <class T>
constexpr std::int64_t kPackedColumns = 4096 / sizeof(T);

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Panels of kTileRows rows, each stored k by k; the rows that the matrix lacks are zeros.
template <class T>
void pack_a(std::int64_t rows, std::int64_t depth, const T* a, std::int64_t stride, T* packed) {
  for (std::int64_t i0 = 0; i0 < rows; i0 += kTileRows) {
    for (std::int64_t p = 0; p < depth; ++p) {
      for (std::int64_t i = i0; i < i0 + kTileRows; ++i) {
        *packed++ = i < rows ? a[i * stride + p] : T(0);
      }
    }
  }
}

// Panels of kTileColumns columns, each stored row by row; zeros beyond the last column.
template <class T>
void pack_b(std::int64_t depth, std::int64_t columns, const T* b, std::int64_t stride, T* packed) {
  for (std::int64_t j0 = 0; j0 < columns; j0 += kTileColumns<T>) {
    for (std::int64_t p = 0; p < depth; ++p) {
      for (std::int64_t j = j0; j < j0 + kTileColumns<T>; ++j) {
        *packed++ = j < columns ? b[p * stride + j] : T(0);
      }
    }
  }
}

// The bounds of the two inner loops are constants, so the compiler unrolls them, and `sum` never
// leaves the registers: two loads of b serve 4 rows, and c is not touched until the end.
template <class T>
void multiply_panels(std::int64_t depth, const T* a, const T* b, std::int64_t rows,
                     std::int64_t columns, T* c, std::int64_t stride) {
  T sum[kTileRows][kTileColumns<T>] = {};
  for (std::int64_t p = 0; p < depth; ++p) {
    for (int i = 0; i < kTileRows; ++i) {
      for (int j = 0; j < kTileColumns<T>; ++j) {
        sum[i][j] += a[p * kTileRows + i] * b[p * kTileColumns<T> + j];
      }
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) c[i * stride + j] += sum[i][j];
  }
}

}  // namespace

template <class T>
void matmul_ikj(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c) {
  matmul_ikj_loop(m, n, k, a, b, c);
}

template <class T>
void matmul_blocked(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b,
                    T* __restrict c) {
  std::fill(c, c + m * n, T(0));
  for (std::int64_t p0 = 0; p0 < k; p0 += kBlockDepth) {
    const std::int64_t p1 = std::min(p0 + kBlockDepth, k);
    for (std::int64_t j0 = 0; j0 < n; j0 += kBlockWidth<T>) {
      const std::int64_t width = std::min(kBlockWidth<T>, n - j0);
      for (std::int64_t i = 0; i < m; ++i) {
        T* c_row = c + i * n + j0;
        for (std::int64_t p = p0; p < p1; ++p) {
          const T a_ip = a[i * k + p];
          const T* b_row = b + p * n + j0;
          for (std::int64_t j = 0; j < width; ++j) c_row[j] += a_ip * b_row[j];
        }
      }
    }
  }
}

template <class T>
void matmul_register_tile(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b,
                          T* c) {
  const std::int64_t max_depth = std::min(k, kPackedDepth);
  std::vector<T> packed_a(max_depth * round_up(std::min(m, kPackedRows<T>), kTileRows));
  std::vector<T> packed_b(max_depth * round_up(std::min(n, kPackedColumns<T>), kTileColumns<T>));
  std::fill(c, c + m * n, T(0));
  for (std::int64_t j0 = 0; j0 < n; j0 += kPackedColumns<T>) {
    const std::int64_t columns = std::min(kPackedColumns<T>, n - j0);
    for (std::int64_t p0 = 0; p0 < k; p0 += kPackedDepth) {
      const std::int64_t depth = std::min(kPackedDepth, k - p0);
      pack_b(depth, columns, b + p0 * n + j0, n, packed_b.data());
      for (std::int64_t i0 = 0; i0 < m; i0 += kPackedRows<T>) {
        const std::int64_t rows = std::min(kPackedRows<T>, m - i0);
        pack_a(rows, depth, a + i0 * k + p0, k, packed_a.data());
        for (std::int64_t j = 0; j < columns; j += kTileColumns<T>) {
          for (std::int64_t i = 0; i < rows; i += kTileRows) {
            multiply_panels(depth, &packed_a[i * depth], &packed_b[j * depth],
                            std::min<std::int64_t>(kTileRows, rows - i),
                            std::min<std::int64_t>(kTileColumns<T>, columns - j),
                            c + (i0 + i) * n + j0 + j, n);
          }
        }
      }
    }
  }
}

template void matmul_ikj(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void matmul_ikj(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void matmul_blocked(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                             float*);
template void matmul_blocked(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                             double*);
template void matmul_register_tile(std::int64_t, std::int64_t, std::int64_t, const float*,
                                   const float*, float*);
template void matmul_register_tile(std::int64_t, std::int64_t, std::int64_t, const double*,
                                   const double*, double*);

}  // namespace hotloops::rungs
