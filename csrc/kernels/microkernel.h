// The microkernel: one tile of C in registers, one block of k.
//
// With dots.h, the only place where products are summed, whatever the ISA, the dtype and the shape
// of the problem. Each element is one chain of `acc += a * b`, k increasing, which
// -ffp-contract=fast makes a fused multiply-add on every ISA that has one; that is the numerical
// contract.
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
// There is one of it for every height up to Mr and every width up to Nv vectors, so that no tile
// computes rows or vectors that C has not: TileKernel picks the one that fits. Columns that do not
// fill the last vector go through masks.
//
// A packed A comes in rows (see panel_pitch), not in columns of Mr: packing a row-major A is then a
// plain copy, and the broadcasts' addresses are constants from one pointer. Measured on AVX-512,
// the column order was no faster in the driver. Unrolling k by 2 gained nothing and by 4 lost 7 %;
// tiles of 9 x 3 and 8 x 3 were equal or slower.

#pragma once

#include "kernel.h"
#include "kernels/rows.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

template <class T>
inline constexpr bool kIsReal = static_cast<T>(0.5) != T{};

// The elements of A that one value of k needs, in a packed panel.
template <class T, int Mr>
class PackedA {
 public:
  static constexpr bool kPacked = true;
  HOTLOOPS_INLINE explicit PackedA(const Tile& tile) : a_(static_cast<const T*>(tile.a)) {}
  HOTLOOPS_INLINE T operator[](int row) const { return a_[row * kPitch]; }
  HOTLOOPS_INLINE void next() { ++a_; }

 private:
  static constexpr int64_t kPitch = panel_pitch(sizeof(T) == 4 ? DType::f32 : DType::f64);
  const T* a_;
};

// The same where A is, of any strides. A pointer for every third row: two more are reached with one
// stride in a register, once and twice; a pointer for each row is more than there are registers.
template <class T, int Mr>
class StridedA {
 public:
  static constexpr bool kPacked = false;
  HOTLOOPS_INLINE explicit StridedA(const Tile& tile)
      : row_stride_(tile.a_row_stride), col_stride_(tile.a_col_stride) {
    a_[0] = static_cast<const T*>(tile.a);
#pragma GCC unroll 8
    for (int group = 1; group < kGroups; ++group) a_[group] = a_[group - 1] + 3 * row_stride_;
  }
  HOTLOOPS_INLINE T operator[](int row) const { return a_[row / 3][row % 3 * row_stride_]; }
  HOTLOOPS_INLINE void next() {
#pragma GCC unroll 8
    for (int group = 0; group < kGroups; ++group) {
      a_[group] += col_stride_;
      asm volatile("" : "+r"(a_[group]));  // so that GCC sees no relation and keeps the pointers
    }
  }

 private:
  static constexpr int kGroups = (Mr + 2) / 3;
  const T* a_[kGroups];
  int64_t row_stride_, col_stride_;
};

// One tile of Mr rows and Nv vectors.
//   A        PackedA or StridedA
//   Whole    the columns fill the last vector
//   PackB    the rows of B are packed to tile.packed_b
//   PanelNr  the values in each row of a packed panel: those of the widest tile
template <class S, int Mr, int Nv, template <class, int> class A, bool Whole, bool PackB,
          int PanelNr>
class Microkernel {
 public:
  static void run(const Tile& tile) {
    V acc[Mr][Nv] = {};
    const int last = tile.cols - (Nv - 1) * S::lanes;
    multiply(tile, last, acc);
    finish(tile, last, acc);
  }

 protected:
  using T = typename S::T;
  using V = typename S::V;
  static constexpr int kRowBytes = Nv * static_cast<int>(sizeof(V));
  static constexpr int64_t kStep = kCopyStep;
  // Rows of B on the way. Of a packed panel, which comes from L2, many; with so many of wide tiles,
  // or of a B in memory, nothing else comes through: half of them gain 10 % for 8 rows of A.
  static constexpr int kPanelRowsAhead = Nv > 3 ? 6 : 16;
  static constexpr int kRowsAhead = Nv > 3 ? 6 : 8;

  // The j-th vector of a row whose last vector has `last` values. The lanes beyond compute on the
  // row's last value: no exception that the result does not raise.
  HOTLOOPS_INLINE static V load(int last, const T* row, int j) {
    const T* from = row + j * S::lanes;
    if (Whole || j < Nv - 1) return S::load(from);
    return S::load_first(last, from, S::splat(from[last - 1]));
  }

  // Values of k between two looks at what else is to be done, and how far ahead of them B is
  // fetched.
  struct Stretch {
    int64_t end;
    int64_t rows_ahead;
  };

  HOTLOOPS_INLINE static Stretch next_stretch(int64_t p, int64_t kc, int64_t b_stride) {
    const int64_t end = p + kStep < kc ? p + kStep : kc;
    if (b_stride == PanelNr) return {end, kPanelRowsAhead};
    if constexpr (A<T, Mr>::kPacked) return {end, kRowsAhead};
    // Behind a panel is the next one, but behind B another thread may be writing, to C as a rule,
    // and a line that is fetched from it has to be fetched back: two threads took 10 to 15 % longer
    // for 88 to 96 cubed.
    const int64_t last_fetched = kc - kRowsAhead;
    if (p >= last_fetched) return {end, 0};
    return {end < last_fetched ? end : last_fetched, kRowsAhead};
  }

  // GCC lets up to three multiply-adds load their operand themselves, each time anew: of rows that
  // straddle cache lines, three rows of A took half as long again as four.
  HOTLOOPS_INLINE static void keep(V (&b_row)[Nv]) {
    if constexpr (Mr == 1 || Mr > 3) return;
#pragma GCC unroll 8
    for (int j = 0; j < Nv; ++j) asm("" : HOTLOOPS_VECTOR_OPERAND(b_row[j]));
  }

  // NumPy aligns arrays to 16 bytes: the row's last byte may be on a line of its own.
  HOTLOOPS_INLINE static void fetch_row(const char* c) {
    for (int j = 0; j < kRowBytes; j += 64) __builtin_prefetch(c + j);
    __builtin_prefetch(c + kRowBytes - 1);
  }

  // Of very few values of k, all rows of C at once: writing it is nearly all that there is to do,
  // and took a tenth to a third longer without. Of 5 to 8 values this gained nothing, and with C in
  // memory it lost a tenth; of rows a multiple of 4 KB apart, a set of L1 does not hold all, and
  // those that share lines come one after the other, as the hardware expects.
  HOTLOOPS_INLINE static bool fetch_c(const Tile& tile) {
    constexpr int64_t kFewValues = 4;
    const int64_t c_stride = tile.c_stride * static_cast<int64_t>(sizeof(T));
    if (tile.kc > kFewValues || c_stride % 4096 == 0 || c_stride <= 64) return false;
    const char* c = static_cast<const char*>(tile.c);
#pragma GCC unroll 16
    for (int i = 0; i < Mr; ++i, c += c_stride) fetch_row(c);
    return true;
  }

  HOTLOOPS_INLINE static void multiply(const Tile& tile, int last, V (&acc)[Mr][Nv]) {
    A<T, Mr> a(tile);
    const T* b = static_cast<const T*>(tile.b);
    const int64_t b_stride = tile.b_stride;
    T* packed_b = static_cast<T*>(tile.packed_b);
    const char* c = static_cast<const char*>(tile.c);
    const T* copy_from = static_cast<const T*>(tile.copy_from);
    T* copy_to = static_cast<T*>(tile.copy_to);
    const int64_t kc = (tile.kc + S::kDepth - 1) / S::kDepth;
    const int64_t c_stride = tile.c_stride * static_cast<int64_t>(sizeof(T));
    if constexpr (S::kFlip != 0) {
      if (kc > 0) start(static_cast<const T*>(tile.a), b, last, acc);
    }
    if constexpr (S::kHead) b += PanelNr;

    // A row of C is fetched every kStep values of k. It will be needed some thousand cycles from
    // now, and the hardware cannot guess it: the rows are too far apart. All rows at once, at the
    // start, was slower by 5 to 8 % where C is not in L2: such a burst holds up the loads of A and
    // B. B streams through L1 and is fetched some rows ahead: 3 % faster. Fetching A, which
    // stays in L1, lost 3 to 6 %.
    for (int64_t p = 0, row = fetch_c(tile) ? Mr : 0; p < kc; ++row) {
      if (row < Mr) {
        fetch_row(c);
        c += c_stride;
      }
      if (copy_from != nullptr) {
        for (int64_t i = p; i < p + kStep; i += S::lanes)
          S::store(copy_to + i, S::load(copy_from + i));
      }
      for (const void* run : tile.fetch) {
        if (run == nullptr) continue;
        const T* from = static_cast<const T*>(run);
        for (int64_t i = p; i < p + kStep; i += 64 / sizeof(T)) __builtin_prefetch(from + i);
      }
      const Stretch stretch = next_stretch(p, kc, b_stride);
      const int64_t ahead = stretch.rows_ahead * b_stride;
      for (; p < stretch.end; ++p) {
#pragma GCC unroll 8
        for (int j = 0; j < kRowBytes; j += 64) {
          __builtin_prefetch(reinterpret_cast<const char*>(b + ahead) + j);
        }
        // As of C: without it, 10 x 784 x 10000 took 40 % longer. In panels, which are aligned, it
        // costs 3 % of a large product.
        if constexpr (!A<T, Mr>::kPacked || PackB) {
          __builtin_prefetch(reinterpret_cast<const char*>(b + ahead) + kRowBytes - 1);
        }
        V b_row[Nv];
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) b_row[j] = load(last, b, j);
        keep(b_row);
        if constexpr (PackB) {
#pragma GCC unroll 8
          for (int j = 0; j < Nv; ++j) S::store(packed_b + j * S::lanes, b_row[j]);
          packed_b += PanelNr;
        }
#pragma GCC unroll 16
        for (int i = 0; i < Mr; ++i) {
          const V a_value = S::splat(a[i]);
#pragma GCC unroll 8
          for (int j = 0; j < Nv; ++j) {
            acc[i][j] = S::multiply_add(a_value, b_row[j], acc[i][j]);
          }
        }
        a.next();
        b += b_stride;
      }
    }
  }

  // The sums are to begin with what panels have for the bits of A that may be flipped (see
  // words.h).
  HOTLOOPS_INLINE static void start(const T* a, const T* starts, int last, V (&acc)[Mr][Nv]) {
    const V flipped = S::splat(a[kKc]);
#pragma GCC unroll 8
    for (int j = 0; j < Nv; ++j) {
      const V values = load(last, starts, j) & flipped;
#pragma GCC unroll 16
      for (int i = 0; i < Mr; ++i) acc[i][j] = values;
    }
  }

  HOTLOOPS_INLINE static void finish(const Tile& tile, int last, V (&acc)[Mr][Nv]) {
    T* c = static_cast<T*>(tile.c);
    const int64_t c_stride = tile.c_stride;
    if (tile.accumulate) {
#pragma GCC unroll 16
      for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) {
          acc[i][j] = load(last, c + i * c_stride, j) + acc[i][j];
        }
      }
    }
    if constexpr (kIsReal<T>) apply_epilogue(tile, last, acc);
    store(tile, last, acc);
    // The transcendental ones need more registers than the tile leaves: they take the rows from L1,
    // where the stores above have just put them.
    if constexpr (kIsReal<T>) {
      if (tile.epilogue.activation <= Activation::relu) return;
      // Rows without gaps are one: with a store for each of a few columns, the next row's load
      // waits until it is done.
      const bool one = tile.cols == c_stride;
      activate_rows<S>(tile.epilogue.activation, one ? 1 : Mr, one ? Mr * c_stride : tile.cols,
                       c_stride, c, c);
    }
  }

  HOTLOOPS_INLINE static void apply_epilogue(const Tile& tile, int last, V (&acc)[Mr][Nv]) {
    if (tile.epilogue.bias != nullptr) {
      const T* bias = static_cast<const T*>(tile.epilogue.bias);
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) {
        const V bias_values = load(last, bias, j);
#pragma GCC unroll 16
        for (int i = 0; i < Mr; ++i) acc[i][j] += bias_values;
      }
    }
    if (tile.epilogue.residual != nullptr) add_residual(tile, last, acc);
    if (tile.epilogue.activation == Activation::relu) {
#pragma GCC unroll 16
      for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Nv; ++j) acc[i][j] = relu<S>(acc[i][j]);
      }
    }
  }

  HOTLOOPS_INLINE static void store(const Tile& tile, int last, V (&acc)[Mr][Nv]) {
#pragma GCC unroll 16
    for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) {
        T* to = static_cast<T*>(tile.c) + i * tile.c_stride + j * S::lanes;
        if (Whole || j < Nv - 1) {
          S::store(to, acc[i][j]);
        } else {
          S::store_first(last, to, acc[i][j]);
        }
      }
    }
  }

  HOTLOOPS_INLINE static void add_residual(const Tile& tile, int last, V (&acc)[Mr][Nv]) {
    const T* residual = static_cast<const T*>(tile.epilogue.residual);
#pragma GCC unroll 16
    for (int i = 0; i < Mr; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) {
        acc[i][j] += load(last, residual + i * tile.c_stride, j);
      }
    }
  }
};

template <class T>
constexpr DType dtype_of() {
  if constexpr (kIsReal<T>) {
    return sizeof(T) == 4 ? DType::f32 : DType::f64;
  } else {
    return sizeof(T) == 4 ? DType::i32 : DType::i64;
  }
}

// All tiles up to Mr rows and Nv vectors; without InPlace, for packed operands only.
template <class S, int Mr, int Nv, bool InPlace>
class TileKernel {
 public:
  static constexpr DType kDType = dtype_of<typename S::T>();
  static constexpr bool kInPlace = InPlace;
  static constexpr int kMr = Mr;
  static constexpr int kNr = Nv * S::lanes;

  static RunTile choose(int rows, int cols, Operands operands) {
    const bool whole = cols % S::lanes == 0;
    return kTiles.run[rows - 1][(cols - 1) / S::lanes][whole][static_cast<int>(operands)];
  }

 private:
  struct Tiles {
    RunTile run[Mr][Nv][2][kOperands];
  };

  template <int Rows, int Vectors, bool Whole>
  static constexpr void set(Tiles& tiles) {
    auto& run = tiles.run[Rows - 1][Vectors - 1][Whole];
    run[static_cast<int>(Operands::packed_a)] =
        &Microkernel<S, Rows, Vectors, PackedA, Whole, false, kNr>::run;
    if constexpr (InPlace) {
      run[static_cast<int>(Operands::in_place)] =
          &Microkernel<S, Rows, Vectors, StridedA, Whole, false, kNr>::run;
      run[static_cast<int>(Operands::packed_a_pack_b)] =
          &Microkernel<S, Rows, Vectors, PackedA, Whole, true, kNr>::run;
    }
    if constexpr (Whole) {
      set<Rows, Vectors, false>(tiles);
    } else if constexpr (Vectors > 1) {
      set<Rows, Vectors - 1, true>(tiles);
    } else if constexpr (Rows > 1) {
      set<Rows - 1, Nv, true>(tiles);
    }
  }

  static constexpr Tiles make() {
    Tiles tiles{};
    set<Mr, Nv, true>(tiles);
    return tiles;
  }

  static constexpr Tiles kTiles = make();
};

}  // namespace hotloops::HOTLOOPS_ISA
