// Rows of bfloat16 as the tile unit multiplies them, to the bit, without it: of one row or a few
// tiles are mostly empty, and a B that is read once need not be packed.
//
// In each 32 values of k the even and the odd ones are chains of fused multiply-adds from zero, for
// which subnormal operands and results are zero; the sum of both is added to that of the steps
// before.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/microkernel.h"
#include "kernels/tile_panels.h"

namespace hotloops::HOTLOOPS_ISA {

using RowVector = Simd<float, 64>;
inline constexpr int kRowStep = 32;

// From here to _mm_setcsr() of what is returned, subnormal numbers are zero, as for the tile unit.
// What is computed in between should be behind a call: the compiler does not know of this. (No
// object does it, whose destructor would bring exceptions into the leaf.)
inline unsigned flush_subnormals() {
  constexpr unsigned kFlush = 0x8040;  // flush to zero, denormals are zero
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kFlush);
  return before;
}

// The values of A that a step takes, with zeros behind them.
HOTLOOPS_INLINE void widen_step(const uint16_t* a, int64_t stride, int64_t n, float* to) {
  for (int64_t p = 0; p < kRowStep; ++p) {
    const uint32_t bits = p < n ? static_cast<uint32_t>(a[p * stride]) << 16 : 0;
    __builtin_memcpy(to + p, &bits, sizeof bits);
  }
}

// ---- Columns of B that lie along k -------------------------------------------------------------

// The chains of a step.
template <int Rows, int Groups>
struct ColumnStep {
  using S = RowVector;
  using V = S::V;
  typedef uint32_t U __attribute__((vector_size(64)));

  alignas(64) float a[Rows][kRowStep];
  V even[Rows][Groups] = {};
  V odd[Rows][Groups] = {};

  // All of the step; columns of B so many values apart.
  HOTLOOPS_INLINE void add(const uint16_t* b, int64_t stride) {
    for (int p = 0; p < kRowStep; p += 2 * Words::kDepth) {
#pragma GCC unroll 2
      for (int64_t g = 0; g < Groups; ++g) {
        const Words words(b + g * S::lanes * stride + p, 2 * stride);
#pragma GCC unroll 4
        for (int e = 0; e < Words::kDepth; ++e) {
          const U bits = reinterpret_cast<U>(words.x[e]);
          const V low = reinterpret_cast<V>(bits << 16);
          const V high = reinterpret_cast<V>(bits & 0xffff0000);
#pragma GCC unroll 2
          for (int i = 0; i < Rows; ++i) {
            even[i][g] += S::splat(a[i][p + 2 * e]) * low;
            odd[i][g] += S::splat(a[i][p + 2 * e + 1]) * high;
          }
        }
      }
    }
  }

  // The value at p alone.
  HOTLOOPS_INLINE void add_one(const uint16_t* b, int64_t stride, int64_t p) {
    for (int64_t g = 0; g < Groups; ++g) {
      U bits;
      for (int64_t lane = 0; lane < S::lanes; ++lane) {
        bits[lane] = b[(g * S::lanes + lane) * stride + p];
      }
      const V values = reinterpret_cast<V>(bits << 16);
      for (int i = 0; i < Rows; ++i) {
        V& chain = p % 2 == 0 ? even[i][g] : odd[i][g];
        chain += S::splat(a[i][p]) * values;
      }
    }
  }
};

template <int Rows, int Groups>
[[gnu::noinline]] void sum_column_block(const Columns& task, int64_t k, int64_t depth,
                                        RowVector::V (&block)[Rows][Groups]) {
  const auto* a = static_cast<const uint16_t*>(task.a) + k * task.a_col_stride;
  const auto* b = static_cast<const uint16_t*>(task.b) + k;
  RowVector::V sums[Rows][Groups] = {};
  for (int64_t first = 0; first < depth; first += kRowStep, b += kRowStep) {
    const int64_t n = depth - first < kRowStep ? depth - first : kRowStep;
    ColumnStep<Rows, Groups> step;
    for (int i = 0; i < Rows; ++i) {
      widen_step(a + i * task.a_row_stride + first * task.a_col_stride, task.a_col_stride, n,
                 step.a[i]);
    }
    if (n == kRowStep) {
      step.add(b, task.b_col_stride);
    } else {
      for (int64_t p = 0; p < n; ++p) step.add_one(b, task.b_col_stride, p);
    }
#pragma GCC unroll 2
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) sums[i][g] += step.even[i][g] + step.odd[i][g];
    }
  }
  __builtin_memcpy(block, sums, sizeof sums);
}

// Kc: the values of k in a block of the tile kernel.
template <int64_t Kc, int Rows, int Groups>
void bf16_columns(const Columns& task) {
  using V = RowVector::V;
  V sum[Rows][Groups] = {};
  for (int64_t k = 0; k < task.k; k += Kc) {
    V block[Rows][Groups];
    const unsigned mode = flush_subnormals();
    sum_column_block<Rows, Groups>(task, k, task.k - k < Kc ? task.k - k : Kc, block);
    _mm_setcsr(mode);
    for (int i = 0; i < Rows; ++i) {
      for (int g = 0; g < Groups; ++g) sum[i][g] = k == 0 ? block[i][g] : sum[i][g] + block[i][g];
    }
  }
  finish_columns<RowVector, Rows, Groups>(task, sum);
}

template <int64_t Kc>
inline constexpr DotKernels kBf16Dots = {
    .lanes = RowVector::lanes,
    .most_rows = 2,
    .vectors = {2, 2},
    .columns = {{&bf16_columns<Kc, 1, 1>, &bf16_columns<Kc, 1, 2>},
                {&bf16_columns<Kc, 2, 1>, &bf16_columns<Kc, 2, 2>}},
    .block_sums = {},
    .complex_block_sums = {}};

// ---- A single row times rows of B --------------------------------------------------------------

template <int Nv, bool Whole, int PanelNr>
class Bf16Row : Microkernel<RowVector, 1, Nv, StridedA, Whole, false, PanelNr> {
 public:
  template <bool InPlace>
  static void run(const Tile& tile) {
    V acc[1][Nv];
    const unsigned mode = flush_subnormals();
    sum_block(tile, InPlace ? tile.a_col_stride : 1, acc);
    _mm_setcsr(mode);
    Base::finish(tile, tile.cols - (Nv - 1) * S::lanes, acc);
  }

 private:
  using S = RowVector;
  using V = S::V;
  using Base = Microkernel<S, 1, Nv, StridedA, Whole, false, PanelNr>;
  using Values = Half<S, BFloat16>;
  static constexpr int kRowBytes = Nv * S::lanes * 2;

  [[gnu::noinline]] static void sum_block(const Tile& tile, int64_t a_stride, V (&block)[1][Nv]) {
    const auto* a = static_cast<const uint16_t*>(tile.a);
    const auto* b = static_cast<const uint16_t*>(tile.b);
    const int last = tile.cols - (Nv - 1) * S::lanes;
    alignas(64) float a_values[kRowStep];
    V sums[Nv] = {};
    for (int64_t step = 0; step < tile.kc; step += kRowStep) {
      const int64_t n = tile.kc - step < kRowStep ? tile.kc - step : kRowStep;
      widen_step(a + step * a_stride, a_stride, n, a_values);
      V even[Nv] = {};
      V odd[Nv] = {};
      int64_t p = 0;
      for (; p + 2 <= n; p += 2) {
        add_row(a_values[p], b, tile.b_stride, last, even);
        add_row(a_values[p + 1], b + tile.b_stride, tile.b_stride, last, odd);
        b += 2 * tile.b_stride;
      }
      if (p < n) add_row(a_values[p], b, tile.b_stride, last, even);
#pragma GCC unroll 8
      for (int j = 0; j < Nv; ++j) sums[j] += even[j] + odd[j];
    }
    __builtin_memcpy(block[0], sums, sizeof sums);
  }

  HOTLOOPS_INLINE static void add_row(float a, const uint16_t* row, int64_t stride, int last,
                                      V (&chains)[Nv]) {
    constexpr int kRowsAhead = 8;
#pragma GCC unroll 8
    for (int j = 0; j < kRowBytes; j += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(row + kRowsAhead * stride) + j);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Nv; ++j) {
      const uint16_t* from = row + int64_t{j} * S::lanes;
      V values;
      if (Whole || j < Nv - 1) {
        values = Values::load(from);
      } else {
        values = BFloat16<Values>::widen(load_sixteen<uint16_t>(from, last));
      }
      chains[j] += S::splat(a) * values;
    }
  }
};

template <int Nr>
class Bf16RowKernel {
 public:
  static constexpr int kNr = Nr;

  static RunTile choose(int, int cols, Operands operands) {
    const bool whole = cols % RowVector::lanes == 0;
    return kRuns.run[(cols - 1) / RowVector::lanes][whole][operands == Operands::in_place];
  }

  static void pack_a(const Piece& piece) { pack(ElementType::bf16, piece, piece.cols); }
  static void pack_b(const Piece& piece) { pack(ElementType::bf16, piece, kNr); }

 private:
  static constexpr int kNv = kNr / RowVector::lanes;
  struct Runs {
    RunTile run[kNv][2][2];
  };

  template <int Nv>
  static constexpr void set(Runs& runs) {
    runs.run[Nv - 1][false][false] = &Bf16Row<Nv, false, kNr>::template run<false>;
    runs.run[Nv - 1][false][true] = &Bf16Row<Nv, false, kNr>::template run<true>;
    runs.run[Nv - 1][true][false] = &Bf16Row<Nv, true, kNr>::template run<false>;
    runs.run[Nv - 1][true][true] = &Bf16Row<Nv, true, kNr>::template run<true>;
    if constexpr (Nv > 1) set<Nv - 1>(runs);
  }

  static constexpr Runs make() {
    Runs runs{};
    set<kNv>(runs);
    return runs;
  }

  static constexpr Runs kRuns = make();
};

}  // namespace hotloops::HOTLOOPS_ISA
