// Rows of half types as the tile unit multiplies them, to the bit, without it: of one row or a few
// tiles are mostly empty, and a B that is read once need not be packed.
//
// In each 32 values of k there are two chains of fused multiply-adds from zero, for which subnormal
// operands and results are zero; the sum of both is added to that of the steps before. Of bfloat16,
// one chain has the even values and the other the odd ones. Of float16, they have the first and the
// last 16 (see splitting.h), and there are two of them for each product of pieces.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/half_rows.h"
#include "kernels/microkernel.h"
#include "kernels/narrow_rows.h"
#include "kernels/splitting.h"
#include "kernels/tile_panels.h"

namespace hotloops::HOTLOOPS_ISA {

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

// The next 16 values, of which there are so many.
template <template <class> class Format>
HOTLOOPS_INLINE RowVector::V load_columns(bool whole, const uint16_t* from, int n) {
  using Values = Half<RowVector, Format>;
  return whole ? Values::load(from) : Format<Values>::widen(load_sixteen<uint16_t>(from, n));
}

// Whether no sum is NaN.
inline bool are_numbers(const RowVector::V* sums, int n) {
  bool all = true;
  for (int i = 0; i < n; ++i) {
    for (int lane = 0; lane < RowVector::lanes; ++lane) all &= __builtin_isnan(sums[i][lane]) == 0;
  }
  return all;
}

struct Float16Pieces {
  RowVector::V pieces[Float16Tiles::Form::kPieces];

  HOTLOOPS_INLINE explicit Float16Pieces(RowVector::V values) {
    typedef uint32_t U __attribute__((vector_size(64)));
    pieces[0] = reinterpret_cast<RowVector::V>(reinterpret_cast<U>(values) & 0xffff0000);
    pieces[1] = values - pieces[0];
  }
};

// A's values in a step, in pieces.
struct Float16Step {
  static constexpr int kPieces = Float16Tiles::Form::kPieces;
  alignas(64) float pieces[kPieces][kRowStep];

  HOTLOOPS_INLINE Float16Step(const uint16_t* a, int64_t stride, int64_t n) {
    uint16_t values[kRowStep] = {};
    for (int64_t p = 0; p < n; ++p) values[p] = a[p * stride];
    for (int p = 0; p < kRowStep; p += RowVector::lanes) {
      const Float16Pieces of(Half<RowVector, Float16>::load(values + p));
      for (int i = 0; i < kPieces; ++i) RowVector::store(&pieces[i][p], of.pieces[i]);
    }
  }
};

// The chains of half a step, of N vectors of columns: one for each product of pieces.
template <int N>
struct Float16Chains {
  using V = RowVector::V;
  static constexpr int kProducts = sizeof Float16Tiles::kOrder / sizeof(Pieces);
  V chains[kProducts][N] = {};

  // The p-th value of the step and B's, of the i-th vector.
  HOTLOOPS_INLINE void add(int i, const Float16Step& a, int64_t p, V b) {
    const Float16Pieces of_b(b);
#pragma GCC unroll 4
    for (int product = 0; product < kProducts; ++product) {
      const Pieces of = Float16Tiles::kOrder[product];
      chains[product][i] += RowVector::splat(a.pieces[of.a][p]) * of_b.pieces[of.b];
    }
  }

  // With the other half's, added to the sum of the steps before. Where A and B have changed places,
  // so have the second and the last product.
  [[nodiscard]] HOTLOOPS_INLINE V add_to(V sum, const Float16Chains& other, int i,
                                         bool swapped) const {
    const auto add = [&](int product) HOTLOOPS_LAMBDA_INLINE {
      sum += chains[product][i] + other.chains[product][i];
    };
    add(0);
    if (swapped) {
      add(3);
      add(2);
      add(1);
    } else {
      add(1);
      add(2);
      add(3);
    }
    return sum;
  }
};

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
      const U bits =
          gather<Simd<uint32_t, 64>>(b + g * S::lanes * stride + p, EvenOffsets{2 * stride});
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
    .any_company = true,
    .most_rows = 2,
    .vectors = {2, 2},
    .columns = {{&bf16_columns<Kc, 1, 1>, &bf16_columns<Kc, 1, 2>},
                {&bf16_columns<Kc, 2, 1>, &bf16_columns<Kc, 2, 2>}}};

// The sums of a block of k, of the two vectors of columns that make a panel of tiles.
template <int64_t Kc>
struct Float16ColumnSums {
  using S = RowVector;
  using V = S::V;
  static constexpr int kVectors = 2;

  [[gnu::noinline]] static void run(const Columns& task, int64_t k, int64_t depth,
                                    const uint16_t* b, V (&sums)[kVectors]) {
    const auto* a = static_cast<const uint16_t*>(task.a) + k * task.a_col_stride;
    b += k;
    for (V& sum : sums) sum = V{};
    for (int64_t step = 0; step < depth; step += kRowStep) {
      const int64_t n = depth - step < kRowStep ? depth - step : kRowStep;
      const Float16Step a_step(a + step * task.a_col_stride, task.a_col_stride, n);
      for (int64_t i = 0; i < kVectors; ++i) {
        const uint16_t* columns = b + i * S::lanes * task.b_col_stride + step;
        Float16Chains<1> halves[2];
        if (n == kRowStep) {
          add_step(a_step, columns, task.b_col_stride, halves);
        } else {
          for (int64_t p = 0; p < n; ++p) {
            halves[p * 2 / kRowStep].add(0, a_step, p, one_of_each(columns + p, task.b_col_stride));
          }
        }
        sums[i] = halves[0].add_to(sums[i], halves[1], 0, task.swapped);
      }
    }
    if (are_numbers(sums, kVectors)) return;
    for (int64_t i = 0; i < kVectors; ++i) {
      const uint16_t* columns = b + i * S::lanes * task.b_col_stride;
      sums[i] = V{};
      for (int64_t p = 0; p < depth; ++p) {
        const V a_value = load_columns<Float16>(false, a + p * task.a_col_stride, 1);
        sums[i] += S::splat(a_value[0]) * one_of_each(columns + p, task.b_col_stride);
      }
    }
  }

 private:
  // Both halves by turns: one has too few chains to keep the units busy.
  HOTLOOPS_INLINE static void add_step(const Float16Step& a, const uint16_t* columns,
                                       int64_t stride, Float16Chains<1> (&halves)[2]) {
    typedef uint32_t U __attribute__((vector_size(64)));
    constexpr int64_t kHalf = kRowStep / 2;
    for (int64_t p = 0; p < kHalf; p += int64_t{2} * Words::kDepth) {
      const Words words[] = {{columns + p, 2 * stride}, {columns + p + kHalf, 2 * stride}};
#pragma GCC unroll 4
      for (int64_t e = 0; e < Words::kDepth; ++e) {
#pragma GCC unroll 2
        for (int64_t half = 0; half < 2; ++half) {
          const U bits = reinterpret_cast<U>(words[half].x[e]);
          const int64_t value = half * kHalf + p + 2 * e;
          halves[half].add(0, a, value, widen(bits));
          halves[half].add(0, a, value + 1, widen(bits >> 16));
        }
      }
    }
  }

  // The value of each column.
  HOTLOOPS_INLINE static V one_of_each(const uint16_t* p, int64_t stride) {
    return widen(gather<Simd<uint32_t, 64>>(p, EvenOffsets{2 * stride}));
  }

  template <class U>
  HOTLOOPS_INLINE static V widen(U bits) {
    typedef uint16_t Sixteen __attribute__((vector_size(32)));
    return Float16<Half<S, Float16>>::widen(__builtin_convertvector(bits, Sixteen));
  }
};

template <int64_t Kc, int Panels>
void float16_columns(const Columns& task) {
  using Sums = Float16ColumnSums<Kc>;
  using V = RowVector::V;
  constexpr int kVectors = Sums::kVectors;
  V sum[1][Panels * kVectors] = {};
  for (int64_t panel = 0; panel < Panels; ++panel) {
    const auto* b = static_cast<const uint16_t*>(task.b) +
                    panel * kVectors * RowVector::lanes * task.b_col_stride;
    for (int64_t k = 0; k < task.k; k += Kc) {
      V block[kVectors];
      Sums::run(task, k, task.k - k < Kc ? task.k - k : Kc, b, block);
      for (int64_t i = 0; i < kVectors; ++i) {
        V& to = sum[0][panel * kVectors + i];
        to = k == 0 ? block[i] : to + block[i];
      }
    }
  }
  finish_columns<RowVector, 1, Panels * kVectors>(task, sum);
}

template <int64_t Kc>
inline constexpr DotKernels kFloat16Dots = {
    .lanes = 2 * RowVector::lanes,
    .any_company = false,
    .most_rows = 1,
    .vectors = {2},
    .columns = {{&float16_columns<Kc, 1>, &float16_columns<Kc, 2>}}};

// ---- A single row times rows of B --------------------------------------------------------------

// The sums of a block of k, of Nv vectors of columns, the last one with `last` of them.
template <int Nv, bool Whole>
struct Bf16RowSums {
  static constexpr ElementType kType = ElementType::bf16;
  static constexpr bool kCommutes = true;
  using S = RowVector;
  using V = S::V;

  [[gnu::noinline]] static void run(const Tile& tile, int64_t a_stride, int last, V (&sums)[Nv]) {
    const auto* a = static_cast<const uint16_t*>(tile.a);
    const auto* b = static_cast<const uint16_t*>(tile.b);
    alignas(64) float a_values[kRowStep];
    V block[Nv] = {};
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
      for (int j = 0; j < Nv; ++j) block[j] += even[j] + odd[j];
    }
    __builtin_memcpy(sums, block, sizeof block);
  }

 private:
  HOTLOOPS_INLINE static void add_row(float a, const uint16_t* row, int64_t stride, int last,
                                      V (&chains)[Nv]) {
    constexpr int kRowsAhead = 8;
#pragma GCC unroll 8
    for (int j = 0; j < Nv * S::lanes * 2; j += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(row + kRowsAhead * stride) + j);
    }
#pragma GCC unroll 8
    for (int j = 0; j < Nv; ++j) {
      const uint16_t* from = row + int64_t{j} * S::lanes;
      chains[j] += S::splat(a) * load_columns<BFloat16>(Whole || j < Nv - 1, from, last);
    }
  }
};

template <int Nv, bool Whole>
struct Float16RowSums {
  static constexpr ElementType kType = ElementType::f16;
  static constexpr bool kCommutes = false;
  using S = RowVector;
  using V = S::V;

  [[gnu::noinline]] static void run(const Tile& tile, int64_t a_stride, int last, V (&sums)[Nv]) {
    const auto* a = static_cast<const uint16_t*>(tile.a);
    const auto* b = static_cast<const uint16_t*>(tile.b);
    for (int j = 0; j < Nv; ++j) sums[j] = V{};
    for (int64_t step = 0; step < tile.kc; step += kRowStep, b += kRowStep * tile.b_stride) {
      const int64_t n = tile.kc - step < kRowStep ? tile.kc - step : kRowStep;
      const Float16Step a_step(a + step * a_stride, a_stride, n);
      // Two vectors at a time, all of whose chains are in registers; the rows are in L1 then.
      int j = 0;
      for (; j + 2 < Nv; j += 2) add_step<2, true>(tile, a_step, n, b, j, last, sums);
      add_step<Nv % 2 == 0 ? 2 : 1, Whole>(tile, a_step, n, b, j, last, sums);
    }
    // What is not finite makes sums of pieces NaN. Then 32 columns, a panel of tiles, are
    // multiplied in float32.
    for (int j = 0; j < Nv; j += 2) {
      const int vectors = Nv - j < 2 ? Nv - j : 2;
      if (are_numbers(&sums[j], vectors)) continue;
      for (int i = j; i < j + vectors; ++i) {
        const int cols = Whole || i < Nv - 1 ? S::lanes : last;
        sums[i] = in_float32(tile, a_stride, i, cols);
      }
    }
  }

 private:
  template <int N, bool WholeVectors>
  HOTLOOPS_INLINE static void add_step(const Tile& tile, const Float16Step& a, int64_t n,
                                       const uint16_t* b, int j, int last, V (&sums)[Nv]) {
    const int64_t stride = tile.b_stride;
    const uint16_t* rows = b + int64_t{j} * S::lanes;
    Float16Chains<N> halves[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int64_t first = half * kRowStep / 2;
      const int64_t end = n < first + kRowStep / 2 ? n : first + kRowStep / 2;
      for (int64_t p = first; p < end; ++p, rows += stride) {
        fetch(b + kRowStep * stride, stride, int64_t{j} / 2 * kRowStep + p);
#pragma GCC unroll 2
        for (int i = 0; i < N; ++i) {
          const uint16_t* from = rows + int64_t{i} * S::lanes;
          halves[half].add(i, a, p, load_columns<Float16>(WholeVectors || i < N - 1, from, last));
        }
      }
    }
#pragma GCC unroll 2
    for (int i = 0; i < N; ++i) {
      sums[j + i] = halves[0].add_to(sums[j + i], halves[1], i, tile.swapped);
    }
  }

  // The line-th line of a step's rows, one row after the other, as the hardware expects it: strip
  // by strip, a line of each row, came in at half the speed.
  HOTLOOPS_INLINE static void fetch(const uint16_t* b, int64_t stride, int64_t line) {
    constexpr int64_t kLines = (Nv + 1) / 2;  // in a row
    __builtin_prefetch(b + line / kLines * stride + line % kLines * 2 * S::lanes, 0, 2);
  }

  [[gnu::noinline]] static V in_float32(const Tile& tile, int64_t a_stride, int j, int cols) {
    const auto* a = static_cast<const uint16_t*>(tile.a);
    const uint16_t* b = static_cast<const uint16_t*>(tile.b) + int64_t{j} * S::lanes;
    V sum = {};
    for (int64_t k = 0; k < tile.kc; ++k, b += tile.b_stride) {
      const V a_value = load_columns<Float16>(false, a + k * a_stride, 1);
      sum += S::splat(a_value[0]) * load_columns<Float16>(false, b, cols);
    }
    return sum;
  }
};

// The same with subnormal numbers as zero.
template <template <int, bool> class Sums>
struct Flushed {
  template <int Nv, bool Whole>
  struct Row : Sums<Nv, Whole> {
    static void run(const Tile& tile, int64_t a_stride, int last, RowVector::V (&sums)[Nv]) {
      const unsigned mode = flush_subnormals();
      Sums<Nv, Whole>::run(tile, a_stride, last, sums);
      _mm_setcsr(mode);
    }
  };
};

}  // namespace hotloops::HOTLOOPS_ISA
