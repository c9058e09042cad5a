// What a driver may know of an instruction set's sums: a table of function pointers.

#pragma once

#include <cstdint>

namespace hotloops {

// A sum's definition, for float32 and float64: in each block of kKc values of k, this many chains
// of additions from zero, one for every value of k modulo it, k increasing; then chain c plus chain
// c + 8, of these c plus c + 4, and so on to the block's sum. Blocks are added in order. Many
// values that lie side by side are then a vector, whether they belong to one sum or to several, and
// it takes no other width of vectors and no other order to add either.
inline constexpr int kSumChains = 16;

// y[i] = the sum of row i of x, whose values lie side by side.
struct RowSums {
  std::int64_t k;  // values of a row
  std::int64_t rows, row_stride;
  const void* x;
  void* y;
  std::int64_t y_stride;
};

// y[j] = the sum of column j of x; columns lie side by side in x, sums in y.
struct ColumnSums {
  std::int64_t k;  // values of a column
  std::int64_t k_stride;
  std::int64_t columns;
  const void* x;
  void* y;
};

// For one type.
struct SumKernels {
  void (*rows)(const RowSums& task);
  void (*columns)(const ColumnSums& task);
};

}  // namespace hotloops
