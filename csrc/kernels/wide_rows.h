// A row times rows of B where they are, in long pieces.
//
// A tile of one row reads eight vectors of each row of B, then goes on to the next row: pieces so
// short, and so far apart, that the hardware does not foresee them. Here rows of B are read in long
// pieces, a few at a time, and sums are kept in L1.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"

namespace hotloops::HOTLOOPS_ISA {

// Tiles of one row and any multiple of Nv vectors, up to kCols columns.
template <class S, int Nv>
class WideRow : Microkernel<S, 1, Nv, StridedA, true, false, Nv * S::lanes> {
 public:
  static constexpr int kNr = Nv * S::lanes;
  static constexpr int kCols = 8 * kNr;

  static void run(const Tile& tile) {
    alignas(64) T sums[kCols];
    const T* a = static_cast<const T*>(tile.a);
    const T* b = static_cast<const T*>(tile.b);
    int64_t p = 0;
    const auto add = [&]<int Values, bool First>() HOTLOOPS_LAMBDA_INLINE {
      add_values<Values, First>(tile, a, b, sums);
      p += Values;
      a += Values * tile.a_col_stride;
      b += Values * tile.b_stride;
    };
    // Four rows of B at a time: eight were no faster, and sixteen slower than two.
    if (tile.kc < 4) {
      add.template operator()<1, true>();
    } else {
      add.template operator()<4, true>();
    }
    while (p + 4 <= tile.kc) add.template operator()<4, false>();
    while (p < tile.kc) add.template operator()<1, false>();
    for (int j = 0; j < tile.cols; j += kNr) finish_some(tile, j, sums);
  }

 private:
  using Base = Microkernel<S, 1, Nv, StridedA, true, false, Nv * S::lanes>;
  using typename Base::T;
  using typename Base::V;

  template <int Values, bool First>
  HOTLOOPS_INLINE static void add_values(const Tile& tile, const T* a, const T* b, T* sums) {
    V x[Values];
#pragma GCC unroll 4
    for (int i = 0; i < Values; ++i) x[i] = S::splat(a[i * tile.a_col_stride]);
    for (int j = 0; j < tile.cols; j += S::lanes) {
      V sum = First ? V{} : S::load(sums + j);
#pragma GCC unroll 4
      for (int i = 0; i < Values; ++i) sum += x[i] * S::load(b + i * tile.b_stride + j);
      S::store(sums + j, sum);
    }
  }

  static void finish_some(const Tile& tile, int j, const T* sums) {
    Tile part = tile;
    part.cols = kNr;
    part.c = static_cast<T*>(tile.c) + j;
    part.epilogue.bias = moved(tile.epilogue.bias, j);
    part.epilogue.residual = moved(tile.epilogue.residual, j);
    V acc[1][Nv];
#pragma GCC unroll 8
    for (int v = 0; v < Nv; ++v) acc[0][v] = S::load(sums + j + v * S::lanes);
    Base::finish(part, S::lanes, acc);
  }

  static const void* moved(const void* values, int j) {
    return values == nullptr ? nullptr : static_cast<const T*>(values) + j;
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
