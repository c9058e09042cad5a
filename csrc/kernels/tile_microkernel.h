// The microkernels of the tile unit: 32 x 32 of C in four accumulators, or 16 x 16 in several whose
// sums are to be shifted (see slicing.h); one block of k, in steps of a tile's depth.
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
#include "kernels/microkernel.h"
#include "kernels/narrow.h"
#include "kernels/rows.h"
#include "kernels/simd.h"
#include "kernels/tile_panels.h"
#include "kernels/tile_unit.h"

namespace hotloops::HOTLOOPS_ISA {

// A tile whose sums wait for their way to C.
struct alignas(64) PendingTile {
  uint32_t sums[8][kTileRows][kTileCols];  // one accumulator after the other
  Tile tile;
  bool any;
  bool plain;  // of full width, without an epilogue
};

// How 32 x 32 sums lie in four accumulators.
template <class Sum>
struct Quarters {
  using S = Simd<Sum, 64>;
  static constexpr int kRows = 2 * kTileRows;
  static constexpr int kCols = 2 * kTileCols;

  // The sums from column `col` of a row on.
  HOTLOOPS_INLINE static typename S::V load(const PendingTile& pending, int row, int col) {
    const uint32_t* sums = pending.sums[row / kTileRows * 2 + col / kTileCols][row % kTileRows];
    return S::load(reinterpret_cast<const Sum*>(sums));
  }
};

// How 16 x 16 integers lie in accumulators, each to be shifted by a byte more than the one before.
template <int Shifts>
struct Shifted {
  using S = Simd<uint32_t, 64>;
  static constexpr int kRows = kTileRows;
  static constexpr int kCols = kTileCols;

  HOTLOOPS_INLINE static S::V load(const PendingTile& pending, int row, int) {
    S::V sum = S::load(pending.sums[0][row]);
#pragma GCC unroll 4
    for (int i = 1; i < Shifts; ++i) sum += S::load(pending.sums[i][row]) << (8 * i);
    return sum;
  }
};

// The same for 64 bits. Of the upper four shifts' sums, 32 bits are left.
template <>
struct Shifted<8> {
  using S = Simd<uint64_t, 64>;
  static constexpr int kRows = kTileRows;
  static constexpr int kCols = kTileCols;

  HOTLOOPS_INLINE static S::V load(const PendingTile& pending, int row, int col) {
    using Half = Simd<uint32_t, 32>;
    S::V sum = {};
    Half::V high = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Half::V low = Half::load(&pending.sums[i][row][col]);
      sum += __builtin_convertvector(low, S::V) << (8 * i);
      high += Half::load(&pending.sums[i + 4][row][col]) << (8 * i);
    }
    return sum + (__builtin_convertvector(high, S::V) << 32);
  }
};

// f(format) with the format that sums of S are narrowed to.
template <class S, class F>
HOTLOOPS_INLINE void with_format(ElementType type, F f) {
  if constexpr (kIsReal<typename S::T>) {
    if (type == ElementType::bf16) return f(Half<S, BFloat16>{});
    f(Half<S, Float16>{});
  } else {
    if (type == ElementType::i16) return f(SmallInteger<int16_t, S>{});
    f(SmallInteger<int8_t, S>{});
  }
}

// Most tiles: of full width, and to be stored as they are, or added to C.
template <class Sums, bool Accumulate>
HOTLOOPS_INLINE void finish_whole_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  auto* c = static_cast<typename S::T*>(pending.tile.c) + row * pending.tile.c_stride;
  for (; row < end; ++row, c += pending.tile.c_stride) {
#pragma GCC unroll 2
    for (int j = 0; j < Sums::kCols; j += S::lanes) {
      const typename S::V sums = Sums::load(pending, row, j);
      S::store(c + j, Accumulate ? S::load(c + j) + sums : sums);
    }
  }
}

// The last block of k of those that are narrowed.
template <class Sums, class To, bool Accumulate>
HOTLOOPS_INLINE void narrow_whole_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  const Tile& tile = pending.tile;
  const auto* c = static_cast<const typename S::T*>(tile.c) + row * tile.c_stride;
  auto* to = static_cast<typename To::T*>(tile.narrow_c) + row * tile.narrow_c_stride;
  for (; row < end; ++row, c += tile.c_stride, to += tile.narrow_c_stride) {
#pragma GCC unroll 2
    for (int j = 0; j < Sums::kCols; j += S::lanes) {
      const typename S::V sums = Sums::load(pending, row, j);
      To::store(to + j, Accumulate ? S::load(c + j) + sums : sums);
    }
  }
}

// Any tile.
template <class Sums>
[[gnu::noinline]] void finish_any_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  using T = typename S::T;
  using V = typename S::V;
  const Tile& tile = pending.tile;
  const Epilogue& epilogue = tile.epilogue;
  for (; row < end; ++row) {
    const int64_t in_c = row * tile.c_stride;
    const T* c = static_cast<const T*>(tile.c) + in_c;
    T wide[Sums::kCols];
    T* to = tile.narrow_c == nullptr ? static_cast<T*>(tile.c) + in_c : wide;
    for (int j = 0; j < tile.cols; j += S::lanes) {
      V value = Sums::load(pending, row, j);
      const int n = tile.cols - j < S::lanes ? tile.cols - j : S::lanes;
      const auto add = [&](const void* row_of_it) HOTLOOPS_LAMBDA_INLINE {
        const T* from = static_cast<const T*>(row_of_it) + j;
        return (n == S::lanes ? S::load(from) : S::load_first(n, from, V{})) + value;
      };
      if (tile.accumulate) value = add(c);
      if constexpr (kIsReal<T>) {
        if (epilogue.bias != nullptr) value = add(epilogue.bias);
        if (epilogue.residual != nullptr) {
          value = add(static_cast<const T*>(epilogue.residual) + in_c);
        }
        if (epilogue.activation == Activation::relu) value = relu<S>(value);
      }
      if (n == S::lanes) {
        S::store(to + j, value);
      } else {
        S::store_first(n, to + j, value);
      }
    }
    if constexpr (kIsReal<T>) {
      if (epilogue.activation > Activation::relu) {
        activate_row<S>(epilogue.activation, tile.cols, to, to);
      }
    }
    if (tile.narrow_c == nullptr) continue;
    with_format<S>(tile.narrow_type, [&]<class To>(To) {
      auto* narrow_c = static_cast<typename To::T*>(tile.narrow_c) + row * tile.narrow_c_stride;
      convert_row<S, To>(tile.cols, wide, narrow_c);
    });
  }
}

template <class Sums>
HOTLOOPS_INLINE void finish_rows(const PendingTile& pending, int row, int end) {
  const Tile& tile = pending.tile;
  if (!pending.plain) return finish_any_rows<Sums>(pending, row, end);
  if (tile.narrow_c != nullptr) {
    return with_format<typename Sums::S>(
        tile.narrow_type, [&]<class To>(To) HOTLOOPS_LAMBDA_INLINE {
          if (tile.accumulate) return narrow_whole_rows<Sums, To, true>(pending, row, end);
          narrow_whole_rows<Sums, To, false>(pending, row, end);
        });
  }
  if (tile.accumulate) return finish_whole_rows<Sums, true>(pending, row, end);
  finish_whole_rows<Sums, false>(pending, row, end);
}

inline void begin_product(void* pending_tile) {
  begin_tiles();
  static_cast<PendingTile*>(pending_tile)->any = false;
}

template <class Sums>
void finish_pending(void* pending_tile) {
  PendingTile& pending = *static_cast<PendingTile*>(pending_tile);
  if (pending.any) finish_rows<Sums>(pending, 0, pending.tile.rows);
  pending.any = false;
}

// One addition of vectors. Measured: without any floating-point work of the vector units, storing
// accumulators puts the tile unit into a slower state; kernels of 144 products took 35 % longer.
HOTLOOPS_INLINE void keep_awake() {
  Simd<float, 64>::V v = {};
  asm volatile("" : "+v"(v));
  v += v;
  asm volatile("" ::"v"(v));
}

// Clears the accumulators and runs step(a, b) for all steps of a tile, a pair of the panels'
// each.
template <class Form, class Step>
HOTLOOPS_INLINE void each_step(const Tile& tile, Step step) {
  constexpr int64_t kStepBytes = TilePanels<Form>::kStepBytes;
  const char* a = static_cast<const char*>(tile.a) + sizeof(PanelHead);
  const char* b = static_cast<const char*>(tile.b) + sizeof(PanelHead);
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int64_t k = 0; k < tile.kc; k += Form::kStep) {
    keep_awake();
    step(a, b);
    a += kStepBytes;
    b += kStepBytes;
  }
}

// The same, and between the steps the pending tile is finished.
template <class Sums, class Form, class Multiply>
HOTLOOPS_INLINE void run_steps(const Tile& tile, Multiply multiply) {
  const PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
  const bool narrows = tile.narrow_c != nullptr && !tile.accumulate;
  const char* c = static_cast<const char*>(narrows ? tile.narrow_c : tile.c);
  constexpr int64_t kSize = sizeof(typename Sums::S::T);
  const int64_t c_stride =
      narrows ? tile.narrow_c_stride * size_of(tile.narrow_type) : tile.c_stride * kSize;
  const int steps = static_cast<int>((tile.kc + Form::kStep - 1) / Form::kStep);
  const int rows_pending = pending.any ? pending.tile.rows : 0;
  // By the step: rows of the pending tile, and rows of C to be fetched.
  const int rows_a_step = (Sums::kRows - 1 + steps) / (steps == 0 ? 1 : steps);
  int row = 0;
  each_step<Form>(tile, [&](const char* a, const char* b) HOTLOOPS_LAMBDA_INLINE {
    const int end = row + rows_a_step;
    if (row < rows_pending) {
      finish_rows<Sums>(pending, row, end < rows_pending ? end : rows_pending);
    }
    for (; row < end && row < tile.rows; ++row) {
      for (int byte = 0; byte < kSize * Sums::kCols; byte += 64) __builtin_prefetch(c + byte);
      __builtin_prefetch(c + kSize * Sums::kCols - 1);
      c += c_stride;
    }
    row = end;
    multiply(a, b);
  });
  if (steps == 0 && rows_pending > 0) finish_rows<Sums>(pending, 0, rows_pending);
}

template <class Sums>
HOTLOOPS_INLINE void leave_pending(const Tile& tile) {
  PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
  pending.tile = tile;
  pending.any = true;
  pending.plain = tile.cols == Sums::kCols && tile.epilogue.is_trivial();
}

// 32 x 32, or half of it in either direction. Scheme has
//   Form    of the operands (see tile_panels.h)
//   Dot     the instruction
//   Sum     the type of its sums
//   kOrder  the products of a step
template <class Scheme>
class QuarteredKernel {
 public:
  using Sums = Quarters<typename Scheme::Sum>;

  static RunTile choose(int rows, int cols, Operands) {
    if (rows > kTileRows) return cols > kTileCols ? &run<2, 2> : &run<2, 1>;
    return cols > kTileCols ? &run<1, 2> : &run<1, 1>;
  }

 private:
  template <int RowTiles, int ColTiles>
  static void run(const Tile& tile) {
    run_steps<Sums, typename Scheme::Form>(
        tile, [](const char* a, const char* b)
                  HOTLOOPS_LAMBDA_INLINE { products<RowTiles, ColTiles, 0>(a, b); });
    PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
    tile_store<0>(pending.sums[0]);
    if constexpr (ColTiles > 1) tile_store<1>(pending.sums[1]);
    if constexpr (RowTiles > 1) tile_store<2>(pending.sums[2]);
    if constexpr (RowTiles > 1 && ColTiles > 1) tile_store<3>(pending.sums[3]);
    leave_pending<Sums>(tile);
  }

  template <int RowTiles, int ColTiles, int I>
  HOTLOOPS_INLINE static void products(const char* a, const char* b) {
    constexpr Pieces kNow = Scheme::kOrder[I];
    constexpr Pieces kBefore = Scheme::kOrder[I == 0 ? 0 : I - 1];
    if constexpr (I == 0 || kBefore.a != kNow.a) {
      tile_load<4>(a + kTileBytes * 2 * kNow.a);
      if constexpr (RowTiles > 1) tile_load<5>(a + kTileBytes * (2 * kNow.a + 1));
    }
    if constexpr (I == 0 || kBefore.b != kNow.b) {
      tile_stream<6>(b + kTileBytes * 2 * kNow.b);
      if constexpr (ColTiles > 1) tile_stream<7>(b + kTileBytes * (2 * kNow.b + 1));
    }
    using Dot = typename Scheme::Dot;
    Dot::template run<0, 4, 6>();
    if constexpr (RowTiles > 1) Dot::template run<2, 5, 6>();
    if constexpr (ColTiles > 1) Dot::template run<1, 4, 7>();
    if constexpr (RowTiles > 1 && ColTiles > 1) Dot::template run<3, 5, 7>();
    if constexpr (I + 1 < sizeof Scheme::kOrder / sizeof(Pieces)) {
      products<RowTiles, ColTiles, I + 1>(a, b);
    }
  }
};

// 16 x 16. Scheme has Form, kShifts, and multiply() for the products of a step.
template <class Scheme>
class ShiftedKernel {
 public:
  using Sums = Shifted<Scheme::kShifts>;

  static RunTile choose(int, int, Operands) { return &run; }

 private:
  static void run(const Tile& tile) {
    run_steps<Sums, typename Scheme::Form>(
        tile, [](const char* a, const char* b) HOTLOOPS_LAMBDA_INLINE { Scheme::multiply(a, b); });
    store(tile, 0);
    if constexpr (Scheme::kShifts > 4) {
      each_step<typename Scheme::Form>(tile,
                                       [](const char* a, const char* b)
                                           HOTLOOPS_LAMBDA_INLINE { Scheme::multiply_high(a, b); });
      store(tile, 4);
    }
    leave_pending<Sums>(tile);
  }

  HOTLOOPS_INLINE static void store(const Tile& tile, int shift) {
    PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
    tile_store<0>(pending.sums[shift]);
    tile_store<1>(pending.sums[shift + 1]);
    tile_store<2>(pending.sums[shift + 2]);
    tile_store<3>(pending.sums[shift + 3]);
  }
};

// Bfloat16 and bytes as they are.
struct Bf16Tiles {
  using Form = WholeForm<uint16_t, ElementType::bf16>;
  using Dot = DotBf16;
  using Sum = float;
  static constexpr Pieces kOrder[] = {{0, 0}};
};

template <bool ASigned, bool BSigned>
struct Int8Tiles {
  using Form = WholeForm<uint8_t, ElementType::u8>;
  using Dot = DotInt8<ASigned, BSigned>;
  using Sum = uint32_t;
  static constexpr Pieces kOrder[] = {{0, 0}};
};

}  // namespace hotloops::HOTLOOPS_ISA
