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
// cycles. Streaming loads of B halve that, and so does vector work in between.) The accumulators
// themselves are stored between the first products of the next tile: one after the other, the unit
// waited 90 cycles for them, so 18.
//
// The next panel of A is packed in the last tile of this one and in its place, each step where one
// has just been read. Anywhere else it took L1 from the panels in use, however little was packed at
// a time, and products in six took a tenth longer. (To fetch its rows earlier was no gain, and up
// to 5 % slower.) Where packing is copying even that is too much, because vector loads share the
// load buffer with those of tiles, and with too many of them the unit does not see the next step's
// in time: 32 a step took 24 ns more than 20. There the first tile of a panel loads its tiles from
// A itself, and stores them: 1 ns a step.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "kernels/tile_panels.h"
#include "kernels/tile_sums.h"
#include "kernels/tile_unit.h"

namespace hotloops::HOTLOOPS_ISA {

inline void begin_product(void* pending_tile) {
  begin_tiles();
  static_cast<PendingTile*>(pending_tile)->any = false;
}

// One addition of vectors. Measured: without any floating-point work of the vector units, storing
// accumulators puts the tile unit into a slower state; kernels of 144 products took 35 % longer.
HOTLOOPS_INLINE void keep_awake() {
  Simd<float, 64>::V v = {};
  asm volatile("" : "+v"(v));
  v += v;
  asm volatile("" ::"v"(v));
}

// What is done between the steps of a tile, a share after each: the pending tile is finished, lines
// of C are fetched, and the next panel of A is packed.
template <class Sums, class Form>
class BetweenSteps {
 public:
  HOTLOOPS_INLINE explicit BetweenSteps(const Tile& tile)
      : tile_(tile),
        pending_(*static_cast<PendingTile*>(tile.pending)),
        rows_pending_(pending_.any ? pending_.tile.rows : 0) {
    const bool narrows = tile.narrow_c != nullptr && !tile.accumulate;
    c_ = static_cast<const char*>(narrows ? tile.narrow_c : tile.c);
    c_stride_ = narrows ? tile.narrow_c_stride * size_of(tile.narrow_type) : tile.c_stride * kSize;
    straddles_ = reinterpret_cast<uintptr_t>(c_) % 64 != 0;
    const int steps = static_cast<int>((tile.kc + Form::kStep - 1) / Form::kStep);
    rows_a_step_ = (Sums::kRows - 1 + steps) / (steps == 0 ? 1 : steps);
    if (tile.next_a != nullptr) Form::begin(*tile.next_a);
  }

  HOTLOOPS_INLINE void run() {
    const int end = row_ + rows_a_step_;
    if (row_ < rows_pending_) {
      finish_rows<Sums>(pending_, row_, end < rows_pending_ ? end : rows_pending_);
    }
    for (; row_ < end && row_ < tile_.rows; ++row_) {
      for (int byte = 0; byte < kSize * Sums::kCols; byte += 64) fetch(c_ + byte);
      if (straddles_) fetch(c_ + kSize * Sums::kCols - 1);
      c_ += c_stride_;
    }
    row_ = end;
  }

  // Into L2, as far as it matters: in L1, rows of some KB would be in each other's way, and in A's.
  HOTLOOPS_INLINE static void fetch(const char* line) { __builtin_prefetch(line, 0, 2); }

  // One of so many parts of A's next panel's step at k, where this one's has been read.
  template <int Part, int Parts>
  HOTLOOPS_INLINE void pack(int64_t k) {
    if (tile_.next_a == nullptr || k >= tile_.next_a->cols) return;
    Panels::template pack_a_step<Part, Parts>(form_, *tile_.next_a, k);
  }

  // The rest, from that step of A's next panel on.
  HOTLOOPS_INLINE void finish(int64_t k) {
    if (row_ < rows_pending_) finish_rows<Sums>(pending_, row_, rows_pending_);
    if (tile_.next_a == nullptr) return;
    for (; k < tile_.next_a->cols; k += Form::kStep) pack<0, 1>(k);
    form_.note(*tile_.next_a);
  }

 private:
  using Panels = TilePanels<Form>;
  static constexpr int64_t kSize = sizeof(typename Sums::S::T);

  const Tile& tile_;
  const PendingTile& pending_;
  int rows_pending_;
  int row_ = 0;
  int rows_a_step_;
  const char* c_;
  int64_t c_stride_;
  bool straddles_;  // its rows begin within lines
  Form form_;
};

template <class Sums>
HOTLOOPS_INLINE void leave_pending(const Tile& tile) {
  PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
  pending.tile = tile;
  pending.any = true;
  pending.plain = tile.cols == Sums::kCols && tile.epilogue.is_trivial();
}

// A's tiles, step by step: of a panel.
template <class Form>
class TilesOfA {
 public:
  static constexpr bool kPacks = false;

  HOTLOOPS_INLINE explicit TilesOfA(const Tile& tile)
      : tiles_(static_cast<const char*>(tile.a) + sizeof(PanelHead)) {}

  HOTLOOPS_INLINE void next_step() { tiles_ += TilePanels<Form>::kStepBytes; }

  template <int Register, int RowTile>
  HOTLOOPS_INLINE void load(int piece) const {
    tile_load<Register>(tiles_ + kTileBytes * (2 * piece + RowTile));
  }

 private:
  const char* tiles_;
};

// Of contiguous rows as they lie in memory, which may become the panel `copy_to`.
template <class Form, bool Packs = true>
class RowsOfA {
 public:
  static constexpr bool kPacks = Packs;

  HOTLOOPS_INLINE explicit RowsOfA(const Tile& tile)
      : rows_(static_cast<const char*>(tile.a)),
        stride_(tile.a_row_stride * kSize),
        tiles_(static_cast<char*>(tile.copy_to) + sizeof(PanelHead)) {}

  HOTLOOPS_INLINE void next_step() {
    rows_ += Form::kStep * kSize;
    tiles_ += TilePanels<Form>::kStepBytes;
  }

  template <int Register, int RowTile>
  HOTLOOPS_INLINE void load(int) const {
    tile_load_rows<Register>(rows_ + stride_ * RowTile * kTileRows, stride_);
    if constexpr (kPacks) tile_store<Register>(tiles_ + RowTile * kTileBytes);
  }

 private:
  static constexpr int64_t kSize = sizeof(typename Form::T);
  const char* rows_;
  int64_t stride_;
  char* tiles_;
};

// 32 x 32, or half of it in either direction. Scheme has
//   Form    of the operands (see tile_panels.h)
//   Dot     the instruction
//   Sum     the type of its sums
//   kOrder  the products of a step
template <class Scheme>
class QuarteredKernel {
 public:
  using Form = typename Scheme::Form;
  using Sums = Quarters<typename Scheme::Sum>;

  // Where an operand is what a tile's rows are made of, A is taken as it lies in memory, too: as
  // whole tiles, or to be left in the panel `copy_to` for the tiles to come, which is all that
  // packing it takes.
  static constexpr bool kPacksA = requires { Form::kAsItIs; };

  static RunTile choose(int rows, int cols, Operands operands) {
    if constexpr (kPacksA) {
      if (operands == Operands::in_place) return choose<RowsOfA<Form>>(rows, cols);
    }
    return choose<TilesOfA<Form>>(rows, cols);
  }

  static void finish(void* pending_tile) {
    PendingTile& pending = *static_cast<PendingTile*>(pending_tile);
    if (!pending.any) return;
    take_all(pending);
    finish_rows<Sums>(pending, 0, pending.tile.rows);
    pending.any = false;
  }

 private:
  using Panels = TilePanels<Form>;
  using Dot = typename Scheme::Dot;

  template <class A>
  static RunTile choose(int rows, int cols) {
    if (rows > kTileRows) return cols > kTileCols ? &run<A, 2, 2> : &run<A, 2, 1>;
    return cols > kTileCols ? &run<A, 1, 2> : &run<A, 1, 1>;
  }

  template <class A, int RowTiles, int ColTiles>
  static void run(const Tile& tile) {
    if constexpr (A::kPacks) {
      if (tile.copy_to == nullptr) return run<RowsOfA<Form, false>, RowTiles, ColTiles>(tile);
      if (tile.rows % kTileRows != 0 || tile.kc % Form::kStep != 0) {
        Panels::pack_a({.data = tile.a,
                        .row_stride = tile.a_row_stride,
                        .col_stride = 1,
                        .rows = tile.rows,
                        .cols = tile.kc,
                        .panel = tile.copy_to});
        Tile packed = tile;
        packed.a = tile.copy_to;
        return run<TilesOfA<Form>, RowTiles, ColTiles>(packed);
      }
    }
    PendingTile& pending = *static_cast<PendingTile*>(tile.pending);
    BetweenSteps<Sums, Form> between(tile);
    A a(tile);
    const char* b = static_cast<const char*>(tile.b) + sizeof(PanelHead);
    if (tile.kc == 0) {
      take_all(pending);
    } else {
      products<RowTiles, ColTiles, true>(a, b, 0, pending, between);
      between.run();
    }
    int64_t k = Form::kStep;
    for (; k < tile.kc; k += Form::kStep) {
      keep_awake();
      a.next_step();
      b += Panels::kStepBytes;
      products<RowTiles, ColTiles, false>(a, b, k, pending, between);
      between.run();
    }
    between.finish(k - Form::kStep);
    leave_pending<Sums>(tile);
  }

  // The sums of the tile before, and a new one.
  template <int Accumulator>
  HOTLOOPS_INLINE static void take(PendingTile& pending) {
    tile_store<Accumulator>(pending.sums[Accumulator]);
    tile_zero<Accumulator>();
  }
  HOTLOOPS_INLINE static void take_all(PendingTile& pending) {
    take<0>(pending);
    take<1>(pending);
    take<2>(pending);
    take<3>(pending);
  }

  template <int RowTiles, int ColTiles, bool First, int I = 0, class A>
  HOTLOOPS_INLINE static void products(const A& a, const char* b, int64_t k, PendingTile& pending,
                                       BetweenSteps<Sums, Form>& between) {
    constexpr Pieces kNow = Scheme::kOrder[I];
    constexpr Pieces kBefore = Scheme::kOrder[I == 0 ? 0 : I - 1];
    constexpr bool kLoadA = I == 0 || kBefore.a != kNow.a;
    constexpr bool kLoadB = I == 0 || kBefore.b != kNow.b;
    constexpr bool kTake = First && I == 0;
    if constexpr (kLoadA) a.template load<4, 0>(kNow.a);
    if constexpr (kLoadB) tile_stream<6>(b + kTileBytes * 2 * kNow.b);
    if constexpr (kTake) take<0>(pending);
    Dot::template run<0, 4, 6>();
    if constexpr (kLoadA && RowTiles > 1) a.template load<5, 1>(kNow.a);
    if constexpr (kTake) take<2>(pending);
    if constexpr (RowTiles > 1) Dot::template run<2, 5, 6>();
    if constexpr (kLoadB && ColTiles > 1) tile_stream<7>(b + kTileBytes * (2 * kNow.b + 1));
    if constexpr (kTake) take<1>(pending);
    if constexpr (ColTiles > 1) Dot::template run<1, 4, 7>();
    if constexpr (kTake) take<3>(pending);
    if constexpr (RowTiles > 1 && ColTiles > 1) Dot::template run<3, 5, 7>();
    constexpr int kProducts = sizeof Scheme::kOrder / sizeof(Pieces);
    // Where the step before has been read.
    if constexpr (!First) between.template pack<I, kProducts>(k - Form::kStep);
    if constexpr (I + 1 < kProducts) {
      products<RowTiles, ColTiles, First, I + 1>(a, b, k, pending, between);
    }
  }
};

// 16 x 16. Scheme has Form, kShifts, and multiply() for the products of a step.
template <class Scheme>
class ShiftedKernel {
 public:
  using Sums = Shifted<Scheme::kShifts>;
  static constexpr bool kPacksA = false;

  static RunTile choose(int, int, Operands) { return &run; }

  static void finish(void* pending_tile) {
    PendingTile& pending = *static_cast<PendingTile*>(pending_tile);
    if (pending.any) finish_rows<Sums>(pending, 0, pending.tile.rows);
    pending.any = false;
  }

 private:
  using Form = typename Scheme::Form;

  static void run(const Tile& tile) {
    constexpr bool kTwice = Scheme::kShifts > 4;
    BetweenSteps<Sums, Form> between(tile);
    each_step(tile, [&](int64_t k, const char* a, const char* b) HOTLOOPS_LAMBDA_INLINE {
      between.run();
      Scheme::multiply(a, b);
      if constexpr (!kTwice) between.template pack<0, 1>(k);
    });
    store(tile, 0);
    if constexpr (kTwice) {
      each_step(tile, [&](int64_t k, const char* a, const char* b) HOTLOOPS_LAMBDA_INLINE {
        Scheme::multiply_high(a, b);
        between.template pack<0, 1>(k);
      });
      store(tile, 4);
    }
    between.finish((tile.kc + Form::kStep - 1) / Form::kStep * Form::kStep);
    leave_pending<Sums>(tile);
  }

  // Clears the accumulators and runs step(k, a, b) for all steps of a tile, a pair of the panels'
  // each.
  template <class Step>
  HOTLOOPS_INLINE static void each_step(const Tile& tile, Step step) {
    const char* a = static_cast<const char*>(tile.a) + sizeof(PanelHead);
    const char* b = static_cast<const char*>(tile.b) + sizeof(PanelHead);
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
    for (int64_t k = 0; k < tile.kc; k += Form::kStep) {
      keep_awake();
      step(k, a, b);
      a += TilePanels<Form>::kStepBytes;
      b += TilePanels<Form>::kStepBytes;
    }
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
