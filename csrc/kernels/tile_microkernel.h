// The microkernel of the tile unit: 32 x 32 of C in four accumulators, one block of k.
//
// Operands are packed in steps of one tile's depth. A step has, for each piece of the operand (see
// splitting.h), two tiles: of A the upper and the lower 16 rows, of B the left and the right 16
// columns:
//
//   head | step 0: piece 0: tile tile | piece 1: tile tile | ... | step 1: ...
//
// A dot-product instruction occupies the unit for 16 cycles and has its result after 52, so four
// accumulators in turn keep it busy. Loading a tile takes 8 cycles of both load ports: with two
// products for each load, as here, L1 keeps up; the orders of products reload as little as eight
// registers allow.
//
// The sums are not added to C when they are there, but a few rows at a time between the steps of
// the next tile, when the vector units have nothing to do and C has been fetched. Measured with
// 144 products a tile, 2304 cycles: adding at once took 1500 cycles more, so 280. (Storing the
// accumulators is what is slow, once A's panel and B's stream together exceed L1: 1300 of these
// cycles. Streaming loads of B halve that, and so does vector work in between.)

#pragma once

#include "kernel.h"
#include "kernels/rows.h"
#include "kernels/simd.h"
#include "kernels/tile_unit.h"

namespace hotloops::HOTLOOPS_ISA {

inline constexpr int kTileMr = 2 * kTileRows;
inline constexpr int kTileNr = 2 * 16;

// What is known of the values in a panel; in front of its steps.
struct alignas(64) PanelHead {
  // Magnitudes' bits in float32: of the smallest one but 0, less 1, and of the largest.
  uint32_t least_minus_1, largest;
};

// A product of pieces.
struct Pieces {
  int a, b;
};

// A tile whose sums wait for their way to C.
struct alignas(64) PendingTile {
  float sums[4][kTileRows][kTileRowBytes / sizeof(float)];  // one accumulator after the other
  Tile tile;
  bool any;
  bool plain;  // of full width, without an epilogue
};

using Vectors = Simd<float, 64>;

// Most tiles: of full width, and to be stored as they are or added to C.
template <bool Accumulate>
HOTLOOPS_INLINE void finish_whole_rows(const PendingTile& pending, int row, int end) {
  using S = Vectors;
  float* c = static_cast<float*>(pending.tile.c) + row * pending.tile.c_stride;
  for (; row < end; ++row, c += pending.tile.c_stride) {
    const auto* sums = &pending.sums[row / kTileRows * 2];
    S::V left = S::load(sums[0][row % kTileRows]);
    S::V right = S::load(sums[1][row % kTileRows]);
    if constexpr (Accumulate) {
      left += S::load(c);
      right += S::load(c + S::lanes);
    }
    S::store(c, left);
    S::store(c + S::lanes, right);
  }
}

// Any tile.
[[gnu::noinline]] inline void finish_any_rows(const PendingTile& pending, int row, int end) {
  using S = Vectors;
  const Tile& tile = pending.tile;
  const Epilogue& epilogue = tile.epilogue;
  for (; row < end; ++row) {
    const int64_t in_c = row * tile.c_stride;
    float* c = static_cast<float*>(tile.c) + in_c;
    for (int j = 0; j < tile.cols; j += S::lanes) {
      S::V value = S::load(pending.sums[row / kTileRows * 2 + j / S::lanes][row % kTileRows]);
      const int n = tile.cols - j < S::lanes ? tile.cols - j : S::lanes;
      const auto add = [&](const void* row_of_it) HOTLOOPS_LAMBDA_INLINE {
        const float* from = static_cast<const float*>(row_of_it) + j;
        return (n == S::lanes ? S::load(from) : S::load_first(n, from, S::V{})) + value;
      };
      if (tile.accumulate) value = add(c);
      if (epilogue.bias != nullptr) value = add(epilogue.bias);
      if (epilogue.residual != nullptr) {
        value = add(static_cast<const float*>(epilogue.residual) + in_c);
      }
      if (epilogue.activation == Activation::relu) value = relu<S>(value);
      if (n == S::lanes) {
        S::store(c + j, value);
      } else {
        S::store_first(n, c + j, value);
      }
    }
    if (epilogue.activation > Activation::relu) {
      activate_row<S>(epilogue.activation, tile.cols, c, c);
    }
  }
}

HOTLOOPS_INLINE void finish_rows(const PendingTile& pending, int row, int end) {
  if (!pending.plain) return finish_any_rows(pending, row, end);
  if (pending.tile.accumulate) return finish_whole_rows<true>(pending, row, end);
  finish_whole_rows<false>(pending, row, end);
}

inline void finish_pending(void* pending_tile) {
  PendingTile& pending = *static_cast<PendingTile*>(pending_tile);
  if (pending.any) finish_rows(pending, 0, pending.tile.rows);
  pending.any = false;
}

// Scheme has `Dot`, the instruction; `kPieces`, of an operand; `kOrder`, the products of a step;
// `kStep`, the values of k in it.
template <class Scheme, int RowTiles, int ColTiles>
class TileMicrokernel {
 public:
  static void run(const Tile& tile) {
    constexpr int kStepBytes = Scheme::kPieces * 2 * kTileBytes;
    PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
    const char* a = static_cast<const char*>(tile.a) + sizeof(PanelHead);
    const char* b = static_cast<const char*>(tile.b) + sizeof(PanelHead);
    const char* c = static_cast<const char*>(tile.c);
    const int64_t c_stride = tile.c_stride * static_cast<int64_t>(sizeof(float));
    const int steps = static_cast<int>((tile.kc + Scheme::kStep - 1) / Scheme::kStep);
    const int rows_pending = pending.any ? pending.tile.rows : 0;
    // By the step: rows of the pending tile, and rows of C to be fetched.
    const int rows_a_step = (kTileMr - 1 + steps) / (steps == 0 ? 1 : steps);
    int row = 0;
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
    for (int step = 0; step < steps; ++step) {
      const int end = row + rows_a_step;
      if (row < rows_pending) finish_rows(pending, row, end < rows_pending ? end : rows_pending);
      for (; row < end && row < tile.rows; ++row) {
        __builtin_prefetch(c);
        __builtin_prefetch(c + 64);
        __builtin_prefetch(c + 127);
        c += c_stride;
      }
      row = end;
      keep_awake();
      products<0>(a, b);
      a += kStepBytes;
      b += kStepBytes;
    }
    if (steps == 0) finish_rows(pending, 0, rows_pending);
    tile_store<0>(pending.sums[0]);
    if constexpr (ColTiles > 1) tile_store<1>(pending.sums[1]);
    if constexpr (RowTiles > 1) tile_store<2>(pending.sums[2]);
    if constexpr (RowTiles > 1 && ColTiles > 1) tile_store<3>(pending.sums[3]);
    pending.tile = tile;
    pending.any = true;
    pending.plain = tile.cols == kTileNr && tile.epilogue.bias == nullptr &&
                    tile.epilogue.residual == nullptr &&
                    tile.epilogue.activation == Activation::none;
  }

 private:
  // One addition of vectors. Measured: without any floating-point work of the vector units, storing
  // accumulators puts the tile unit into a slower state; kernels of 144 products took 35 % longer.
  HOTLOOPS_INLINE static void keep_awake() {
    Vectors::V v = {};
    asm volatile("" : "+v"(v));
    v += v;
    asm volatile("" ::"v"(v));
  }

  template <int I>
  HOTLOOPS_INLINE static void products(const char* a, const char* b) {
    constexpr Pieces kNow = Scheme::kOrder[I];
    if constexpr (I == 0 || Scheme::kOrder[I == 0 ? 0 : I - 1].a != kNow.a) {
      tile_load<4>(a + 2 * kNow.a * kTileBytes);
      if constexpr (RowTiles > 1) tile_load<5>(a + (2 * kNow.a + 1) * kTileBytes);
    }
    if constexpr (I == 0 || Scheme::kOrder[I == 0 ? 0 : I - 1].b != kNow.b) {
      tile_stream<6>(b + 2 * kNow.b * kTileBytes);
      if constexpr (ColTiles > 1) tile_stream<7>(b + (2 * kNow.b + 1) * kTileBytes);
    }
    using Dot = typename Scheme::Dot;
    Dot::template run<0, 4, 6>();
    if constexpr (RowTiles > 1) Dot::template run<2, 5, 6>();
    if constexpr (ColTiles > 1) Dot::template run<1, 4, 7>();
    if constexpr (RowTiles > 1 && ColTiles > 1) Dot::template run<3, 5, 7>();
    if constexpr (I + 1 < sizeof Scheme::kOrder / sizeof(Pieces)) products<I + 1>(a, b);
  }
};

template <class Scheme>
RunTile choose_tile(int rows, int cols, Operands) {
  if (rows > kTileRows) {
    return cols > kTileRows ? &TileMicrokernel<Scheme, 2, 2>::run
                            : &TileMicrokernel<Scheme, 2, 1>::run;
  }
  return cols > kTileRows ? &TileMicrokernel<Scheme, 1, 2>::run
                          : &TileMicrokernel<Scheme, 1, 1>::run;
}

}  // namespace hotloops::HOTLOOPS_ISA
