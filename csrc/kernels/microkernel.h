// The microkernel: one tile of C in registers, one block of k.
//
// The only place where products are summed, whatever the ISA, the dtype and the shape of the
// problem. Each element is one chain of `acc += a * b`, k increasing, which -ffp-contract=fast
// makes a fused multiply-add on every ISA that has one; that is the numerical contract.
//
// Per value of k: Nv loads of B, Mr broadcasts of A, Mr * Nv multiply-adds. With Mr * Nv
// accumulators, Nv vectors of B and one of A the tile must fit the registers:
//
//   ISA       registers   Mr x Nv    used
//   baseline  16 x 16 B    6 x 2       15
//   avx2      16 x 32 B    6 x 2       15
//   avx512    32 x 64 B   14 x 2       31
//   neon      32 x 16 B    8 x 3       28
//
// A comes in rows (see panel_pitch), not in columns of Mr: packing a row-major A is then a plain
// copy, and the broadcasts' addresses are constants from one pointer. Measured on AVX-512, the
// column order was no faster in the driver. Unrolling k by 2 gained nothing and by 4 lost 7 %;
// tiles of 9 x 3 and 8 x 3 were equal or slower.

#pragma once

#include "kernel.h"
#include "kernels/rows.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

template <class S, int Mr, int Nv>
struct Microkernel {
  using T = typename S::T;
  using V = typename S::V;
  static constexpr DType kDType = sizeof(T) == 4 ? DType::f32 : DType::f64;
  static constexpr int64_t kPitch = panel_pitch(kDType);
  static constexpr int kMr = Mr;
  static constexpr int kNr = Nv * S::lanes;
  static constexpr int kRowBytes = Nv * static_cast<int>(sizeof(V));
  static constexpr int kStep = 16;
  static constexpr int kRowsAhead = 16;

  static void run(const Tile& tile) {
    const T* a = static_cast<const T*>(tile.a);
    const T* b = static_cast<const T*>(tile.b);
    T* c = static_cast<T*>(tile.c);

    V acc[Mr][Nv] = {};
    // A row of C is fetched every kStep values of k. It will be needed some thousand cycles from
    // now, and the hardware cannot guess it: the rows are too far apart. All rows at once, at the
    // start, was slower by 5 to 8 % where C is not in L2: such a burst holds up the loads of A and
    // B. B streams through L1 and is fetched kRowsAhead rows ahead: 3 % faster. Fetching A, which
    // stays in L1, lost 3 to 6 %.
    for (int64_t p = 0, row = 0; p < tile.kc; ++row) {
      if (row < Mr) {
        // NumPy aligns arrays to 16 bytes: the row's last byte may be on a line of its own.
        const char* begin = reinterpret_cast<const char*>(c + row * tile.c_stride);
        for (int j = 0; j < kRowBytes; j += 64) __builtin_prefetch(begin + j);
        __builtin_prefetch(begin + kRowBytes - 1);
      }
      const int64_t end = p + kStep < tile.kc ? p + kStep : tile.kc;
      for (; p < end; ++p) {
#pragma GCC unroll 8
        for (int j = 0; j < kRowBytes; j += 64) {
          __builtin_prefetch(reinterpret_cast<const char*>(b + kRowsAhead * tile.b_stride) + j);
        }
        V b_row[Nv];
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) b_row[j] = S::load(b + j * S::lanes);
#pragma GCC unroll 16
        for (int i = 0; i < Mr; ++i) {
          const V a_value = S::splat(a[i * kPitch]);
#pragma GCC unroll 8
          for (int j = 0; j < Nv; ++j) acc[i][j] += a_value * b_row[j];
        }
        a += 1;
        b += tile.b_stride;
      }
    }

    if (tile.accumulate) {
#pragma GCC unroll 16
      for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) {
          acc[i][j] = S::load(c + i * tile.c_stride + j * S::lanes) + acc[i][j];
        }
      }
    }
    if (tile.epilogue.bias != nullptr) {
      const T* bias = static_cast<const T*>(tile.epilogue.bias);
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) {
        const V bias_values = S::load(bias + j * S::lanes);
#pragma GCC unroll 16
        for (int i = 0; i < Mr; ++i) acc[i][j] += bias_values;
      }
    }
    if (tile.epilogue.activation == Activation::relu) {
#pragma GCC unroll 16
      for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) acc[i][j] = relu<S>(acc[i][j]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) S::store(c + i * tile.c_stride + j * S::lanes, acc[i][j]);
    }
    // The transcendental ones need more registers than the tile leaves: they take the rows from L1,
    // where the stores above have just put them.
    if (tile.epilogue.activation > Activation::relu) {
      for (int i = 0; i < Mr; ++i) {
        T* row = c + i * tile.c_stride;
        activate_row<S>(tile.epilogue.activation, kNr, row, row);
      }
    }
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
