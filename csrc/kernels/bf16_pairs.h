// Products of bfloat16, and of float32 rounded to it, two values of k at a time: AVX512-BF16 adds
// two products to a sum in one instruction, twice what multiply-adds of float32 do.
//
//   sum = fma(a[1], b[1], sum); sum = fma(a[0], b[0], sum)
//
// each rounded to the nearest, subnormal operands, sums and results being zero whatever the
// thread's mode. A block of k is one chain of pairs from its beginning; behind an odd number of
// values there is a zero. The instruction makes all sums, of whatever shape and layout, so that
// these have the same bits.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/elements.h"
#include "kernels/half_rows.h"
#include "kernels/narrow.h"
#include "kernels/simd.h"
#include "kernels/transposed.h"
#include "kernels/words.h"

namespace hotloops::HOTLOOPS_ISA {

// Vectors whose elements are pairs for multiply_add, and sums otherwise.
struct Bf16PairSimd : Simd<float, 64> {
  static constexpr int kDepth = 2;
  static constexpr bool kHead = true;

  HOTLOOPS_INLINE static V splat(float x) { return opaque(reinterpret_cast<V>(_mm512_set1_ps(x))); }
  HOTLOOPS_INLINE static V splat_pair(uint32_t pair) {
    return opaque(reinterpret_cast<V>(_mm512_set1_epi32(static_cast<int>(pair))));
  }
  HOTLOOPS_INLINE static V multiply_add(V a, V b, V sums) {
    return reinterpret_cast<V>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums),
                                                reinterpret_cast<__m512bh>(a),
                                                reinterpret_cast<__m512bh>(b)));
  }

 private:
  // Clang 16 crashes (its pass VectorCombine recurses without end) where it sees that a vector of
  // bfloat16 is a broadcast of another type. Clang 19 does not; those between have not been tried.
  HOTLOOPS_INLINE static V opaque(V v) {
#if defined(__clang__) && __clang_major__ < 19
    asm("" : HOTLOOPS_VECTOR_OPERAND(v));
#endif
    return v;
  }
};

template <class Values, ElementType Type>
struct Bf16PairsOf {
  using Reader = Values;
  using S = Bf16PairSimd;
  static constexpr ElementType kType = Type;
  static constexpr int64_t kKc = hotloops::kKc;
  static constexpr bool kFlips = false;
};

// float32 as it is packed: the nearest bfloat16, by an instruction that takes subnormal numbers for
// zero; these do not suit anyway. By integer arithmetic, packing took up to a fifth longer.
class Rounded {
 public:
  using T = float;
  using Value = uint16_t;

  template <int N>
  HOTLOOPS_INLINE __m512i load(const T* p, uint64_t mask) {
    return pair(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p),
                _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), p + 16));
  }

  // Sixteen values and sixteen behind them.
  HOTLOOPS_INLINE __m512i pair(Seen::V low, Seen::V high) {
    seen_.see(low);
    seen_.see(high);
    return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  }

  static T widened(Value value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    T result;
    __builtin_memcpy(&result, &bits, sizeof result);
    return result;
  }

  HOTLOOPS_INLINE void note(Magnitudes& panel) const { seen_.note(panel); }

 private:
  Seen seen_;
};

using Bf16Pairs = Bf16PairsOf<AsTheyAre<uint16_t>, ElementType::bf16>;
using RoundedPairs = Bf16PairsOf<Rounded, ElementType::f32>;

// The pair from the k-th value of a row on, which has so many.
HOTLOOPS_INLINE uint32_t pair_of(const uint16_t* row, int64_t stride, int64_t k, int64_t n) {
  const uint32_t second = k + 1 < n ? row[(k + 1) * stride] : 0;
  return row[k * stride] | second << 16;
}

// The sums of a single row. Two rows of B are interleaved within 16 bytes; so are their sums, until
// they are complete.
template <int Nv, bool Whole>
struct Bf16PairRowSums {
  static constexpr ElementType kType = ElementType::bf16;
  static constexpr bool kCommutes = true;
  using S = Bf16PairSimd;
  using V = S::V;

  static void run(const Tile& tile, int64_t a_stride, int last, V (&sums)[Nv]) {
    constexpr int64_t kRowsAhead = 8;
    const auto* a = static_cast<const uint16_t*>(tile.a);
    const auto* b = static_cast<const uint16_t*>(tile.b);
    const int64_t stride = tile.b_stride;
    const int last_cols = last + (Nv - 1) * S::lanes - (kGroups - 1) * kCols;
    const auto mask = static_cast<__mmask32>(~uint32_t{0} >> (kCols - last_cols));
    V low[kGroups] = {};
    V high[kGroups] = {};
    for (int64_t k = 0; k < tile.kc; k += 2, b += 2 * stride) {
      const V pair = S::splat_pair(pair_of(a, a_stride, k, tile.kc));
      const bool both = k + 1 < tile.kc;
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) {
        const uint16_t* from = b + int64_t{g} * kCols;
        __builtin_prefetch(from + kRowsAhead * stride);
        __builtin_prefetch(from + (kRowsAhead + 1) * stride);
        const __m512i x = load(g, from, mask);
        const __m512i y = both ? load(g, from + stride, mask) : _mm512_setzero_si512();
        low[g] = S::multiply_add(pair, reinterpret_cast<V>(_mm512_unpacklo_epi16(x, y)), low[g]);
        high[g] = S::multiply_add(pair, reinterpret_cast<V>(_mm512_unpackhi_epi16(x, y)), high[g]);
      }
    }
    constexpr S::I kLeft = {0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23};
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) {
      sums[2 * g] = S::permute(low[g], high[g], kLeft);
      if (2 * g + 1 < Nv) sums[2 * g + 1] = S::permute(low[g], high[g], kLeft + 8);
    }
  }

 private:
  static constexpr int kCols = 32;  // of a group
  static constexpr int kGroups = (Nv + 1) / 2;

  HOTLOOPS_INLINE static __m512i load(int group, const uint16_t* from, __mmask32 mask) {
    if ((Whole && Nv % 2 == 0) || group < kGroups - 1) return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi16(mask, from);
  }
};

// One row or two times columns that lie along k: pairs are words there, and transposed as such.
template <int Rows, int Groups>
void bf16_pair_columns(const Columns& task) {
  using S = Bf16PairSimd;
  using V = S::V;
  using Words = Transposed<RowVector>;
  constexpr int64_t kValues = int64_t{2} * Words::kDepth;
  constexpr int64_t kLine = 32;
  const int64_t stride = task.b_col_stride;
  V sum[Rows][Groups] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t depth = task.k - k < kKc ? task.k - k : kKc;
    const int64_t whole = depth / kValues * kValues;
    uint32_t a[Rows][kKc / 2];
    for (int i = 0; i < Rows; ++i) {
      const auto* row =
          static_cast<const uint16_t*>(task.a) + i * task.a_row_stride + k * task.a_col_stride;
      for (int64_t p = 0; p < depth; p += 2) {
        a[i][p / 2] = pair_of(row, task.a_col_stride, p, depth);
      }
    }
    V block[Rows][Groups] = {};
    const auto* b = static_cast<const uint16_t*>(task.b) + k;
    const auto add = [&](int64_t p, int64_t g, const void* columns, int64_t bytes,
                         int pairs) HOTLOOPS_LAMBDA_INLINE {
      const Words words(columns, bytes);
#pragma GCC unroll 4
      for (int e = 0; e < Words::kDepth; ++e) {
        if (e >= pairs) return;  // more zeros would make a zero's sign another
#pragma GCC unroll 2
        for (int i = 0; i < Rows; ++i) {
          block[i][g] = S::multiply_add(S::splat_pair(a[i][p / 2 + e]), words.x[e], block[i][g]);
        }
      }
    };
    // A line of each column at a time: of columns some KB apart, few lines fit L1 at once.
    for (int64_t p = 0; p < depth; p += kLine) {
      const int64_t end = p + kLine < whole ? p + kLine : whole;
#pragma GCC unroll 4
      for (int64_t g = 0; g < Groups; ++g) {
        const uint16_t* columns = b + g * S::lanes * stride;
        for (int64_t q = p; q < end; q += kValues) {
          add(q, g, columns + q, 2 * stride, Words::kDepth);
        }
      }
    }
    for (int64_t g = 0; g < Groups && whole < depth; ++g) {
      uint16_t rest[S::lanes][kValues] = {};
      for (int64_t j = 0; j < S::lanes; ++j) {
        __builtin_memcpy(rest[j], b + (g * S::lanes + j) * stride + whole,
                         static_cast<size_t>(depth - whole) * sizeof(uint16_t));
      }
      add(whole, g, rest, sizeof rest[0], static_cast<int>(depth - whole + 1) / 2);
    }
    for (int i = 0; i < Rows; ++i) {
      for (int g = 0; g < Groups; ++g) sum[i][g] = k == 0 ? block[i][g] : sum[i][g] + block[i][g];
    }
  }
  finish_columns<RowVector, Rows, Groups>(task, sum);
}

inline constexpr DotKernels kBf16PairDots = {
    .lanes = RowVector::lanes,
    .any_company = true,
    .most_rows = 2,
    .vectors = {4, 4},
    .columns = {{&bf16_pair_columns<1, 1>, &bf16_pair_columns<1, 2>, &bf16_pair_columns<1, 3>,
                 &bf16_pair_columns<1, 4>},
                {&bf16_pair_columns<2, 1>, &bf16_pair_columns<2, 2>, &bf16_pair_columns<2, 3>,
                 &bf16_pair_columns<2, 4>}}};

// Rounds n sums, two vectors at a time. The instruction takes subnormal numbers for zero: where
// there are some, it is not used.
inline void narrow_to_bf16(int64_t n, const void* sums, void* values) {
  using Rounded = Half<RowVector, BFloat16>;
  constexpr int kSubnormal = 0x20;
  constexpr int64_t kStep = int64_t{2} * RowVector::lanes;
  const auto* from = static_cast<const float*>(sums);
  auto* to = static_cast<uint16_t*>(values);
  for (; n >= kStep; n -= kStep, from += kStep, to += kStep) {
    const __m512 low = _mm512_loadu_ps(from);
    const __m512 high = _mm512_loadu_ps(from + RowVector::lanes);
    if ((_mm512_fpclass_ps_mask(low, kSubnormal) | _mm512_fpclass_ps_mask(high, kSubnormal)) != 0) {
      convert_row<RowVector, Rounded>(kStep, from, to);
      continue;
    }
    const __m512bh halves = _mm512_cvtne2ps_pbh(high, low);
    __builtin_memcpy(to, &halves, sizeof halves);
  }
  convert_row<RowVector, Rounded>(n, from, to);
}

}  // namespace hotloops::HOTLOOPS_ISA
