// One row of values narrower than their sums, times a B as it lies in memory.
//
// All that takes time then is reading B, and packing reads it, writes what is twice or four times
// as large, and reads that: of 2048 x 2048 bytes it was four fifths of the time.

#pragma once

#include "kernel.h"
#include "kernels/narrow.h"
#include "kernels/simd.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// The kernel of Row, which has
//   kAType, kBType, kDType   of the operands and sums
//   kNr, kKc                 columns of a tile at most, values of k in a block
//   choose, kCommutes        as Kernel has them; packed operands are copies
template <class Row>
constexpr Kernel make_row_kernel(Isa isa, Arithmetic arithmetic, const DotKernels* dots) {
  constexpr int64_t kStep = 4;  // columns that pack transposes together
  return {.isa = isa,
          .arithmetic = arithmetic,
          .a_type = Row::kAType,
          .b_type = Row::kBType,
          .parts = 1,
          .dtype = Row::kDType,
          .mr = 1,
          .nr = Row::kNr,
          .kr = 1,
          .kc = Row::kKc,
          .panels = {.pack_a = [](const Piece& piece) { pack(Row::kAType, piece, piece.cols); },
                     .pack_b = [](const Piece& piece) { pack(Row::kBType, piece, Row::kNr); },
                     .unpack_b = nullptr,
                     .a_bytes = Row::kKc * size_of(Row::kAType),
                     .b_head_bytes = 0,
                     .b_step_bytes = kStep * Row::kNr * size_of(Row::kBType),
                     .k_step = kStep,
                     .always = false,
                     .suit = nullptr},
          .choose = &Row::choose,
          .commutes = Row::kCommutes,
          .dots = dots,
          .plain = nullptr,
          .break_even = 0,
          .pending_bytes = 0,
          .begin = nullptr,
          .finish = nullptr,
          .end = nullptr};
}

// ---- Integers of 8 and 16 bits
// -------------------------------------------------------------------
//
// x86 multiplies pairs of 16 bits and adds up each pair's two products in one instruction. So the
// operands are widened to 16 bits, two values of k side by side. Sums are modulo 2^32, and the same
// in any order.

template <class S>
struct PairSums {
  using V = typename S::V;
  using Shorts = Simd<int16_t, sizeof(V)>;
  using H = typename Shorts::V;

  // sums += a's even values * b's + a's odd ones * b's.
  HOTLOOPS_INLINE static void add(H a, H b, V& sums) {
#if defined(__AVX512BW__)
    if constexpr (sizeof(V) == 64) {
      sums += reinterpret_cast<V>(
          _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
      return;
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32) {
      sums += reinterpret_cast<V>(
          _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
      return;
    }
#endif
#if defined(__x86_64__)
    if constexpr (sizeof(V) == 16) {
      sums += reinterpret_cast<V>(
          _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
      return;
    }
#endif
    using I = typename S::I;
    const I pairs_a = reinterpret_cast<I>(a);
    const I pairs_b = reinterpret_cast<I>(b);
    const I odd = (pairs_a >> 16) * (pairs_b >> 16);
    const I even = (pairs_a << 16 >> 16) * (pairs_b << 16 >> 16);
    sums += reinterpret_cast<V>(even) + reinterpret_cast<V>(odd);
  }

  // The next values, widened.
  template <class T>
  HOTLOOPS_INLINE static H load(const T* p) {
    typedef T Values __attribute__((vector_size(Shorts::lanes * sizeof(T))));
    Values values;
    __builtin_memcpy(&values, p, sizeof values);
    return __builtin_convertvector(values, H);
  }
};

// A times rows of B.
template <class S, class A, ElementType AType, class B, ElementType BType>
class IntegerRow {
 public:
  static constexpr ElementType kAType = AType;
  static constexpr ElementType kBType = BType;
  static constexpr DType kDType = DType::i32;
  static constexpr int kNr = 256;
  static constexpr int64_t kKc = hotloops::kKc;
  static constexpr bool kCommutes = true;

  static RunTile choose(int, int, Operands operands) {
    return operands == Operands::in_place ? &run<true> : &run<false>;
  }

 private:
  using Pairs = PairSums<S>;
  using V = typename S::V;
  using H = typename Pairs::H;
  static constexpr int kCols = Pairs::Shorts::lanes;
  static constexpr int kGroups = sizeof(V) == 64 ? 8 : 4;

  template <bool InPlace>
  static void run(const Tile& tile) {
    const A* a = static_cast<const A*>(tile.a);
    const int64_t a_stride = InPlace ? tile.a_col_stride : 1;
    int16_t values[kKc + 1];
    for (int64_t k = 0; k < tile.kc; ++k) values[k] = a[k * a_stride];
    values[tile.kc] = 0;
    uint32_t sums[kNr];
    if (tile.cols < kCols) {
      sum_few(tile, values, sums);
    } else {
      int col = 0;
      for (; col + kGroups * kCols <= tile.cols; col += kGroups * kCols) {
        sum<kGroups>(tile, values, col, sums);
      }
      for (; col < tile.cols; col += kCols) {
        // Columns that fill no vector come with some that have been.
        sum<1>(tile, values, col + kCols <= tile.cols ? col : tile.cols - kCols, sums);
      }
    }
    auto* c = static_cast<uint32_t*>(tile.c);
    for (int j = 0; j < tile.cols; ++j) c[j] = tile.accumulate ? c[j] + sums[j] : sums[j];
  }

  // The chains of Groups * kCols columns.
  template <int Groups>
  static void sum(const Tile& tile, const int16_t* a, int col, uint32_t* sums) {
    constexpr int kRowsAhead = 8;
    constexpr int kRowBytes = Groups * kCols * static_cast<int>(sizeof(B));
    const int64_t stride = tile.b_stride;
    const B* b = static_cast<const B*>(tile.b) + col;
    // Pairs of the first and the last four columns of each eight.
    V low[Groups] = {};
    V high[Groups] = {};
    for (int64_t k = 0; k < tile.kc; k += 2, a += 2, b += 2 * stride) {
      uint32_t pair;
      __builtin_memcpy(&pair, a, sizeof pair);
      const H a_pairs = reinterpret_cast<H>(S::splat(pair));
      const B* second = k + 1 < tile.kc ? b + stride : b;  // if there is none, a's value is 0
      for (int byte = 0; byte < kRowBytes; byte += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(b + kRowsAhead * stride) + byte);
        __builtin_prefetch(reinterpret_cast<const char*>(b + (kRowsAhead + 1) * stride) + byte);
      }
#pragma GCC unroll 8
      for (int g = 0; g < Groups; ++g) {
        const H x = Pairs::load(b + g * kCols);
        const H y = Pairs::load(second + g * kCols);
        Pairs::add(a_pairs, Pairs::Shorts::zip_low(x, y), low[g]);
        Pairs::add(a_pairs, Pairs::Shorts::zip_high(x, y), high[g]);
      }
    }
    for (int g = 0; g < Groups; ++g) {
      for (int j = 0; j < S::lanes; j += 4) {
        uint32_t* to = sums + col + g * kCols + 2 * j;
        __builtin_memcpy(to, reinterpret_cast<const uint32_t*>(&low[g]) + j, 16);
        __builtin_memcpy(to + 4, reinterpret_cast<const uint32_t*>(&high[g]) + j, 16);
      }
    }
  }

  static void sum_few(const Tile& tile, const int16_t* a, uint32_t* sums) {
    const B* b = static_cast<const B*>(tile.b);
    for (int j = 0; j < tile.cols; ++j) sums[j] = 0;
    for (int64_t k = 0; k < tile.kc; ++k, b += tile.b_stride) {
      for (int j = 0; j < tile.cols; ++j) sums[j] += static_cast<uint32_t>(a[k] * b[j]);
    }
  }
};

// A times columns that lie along k: no order of sums asks for a transposition.
template <class S, class A, class B, int Groups>
void integer_columns(const Columns& task) {
  using Pairs = PairSums<S>;
  using V = typename S::V;
  constexpr int kStep = Pairs::Shorts::lanes;
  constexpr int kCols = 8 * Groups;
  constexpr int kAtATime = 4;
  V sums[kCols] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t depth = task.k - k < kKc ? task.k - k : kKc;
    const int64_t whole = depth / kStep * kStep;
    const A* a = static_cast<const A*>(task.a) + k * task.a_col_stride;
    int16_t values[kKc + kStep] = {};
    for (int64_t p = 0; p < depth; ++p) values[p] = a[p * task.a_col_stride];
    for (int64_t j = 0; j < kCols; j += kAtATime) {
      const B* b = static_cast<const B*>(task.b) + j * task.b_col_stride + k;
      for (int64_t p = 0; p < whole; p += kStep) {
        const typename Pairs::H x = Pairs::load(values + p);
#pragma GCC unroll 4
        for (int64_t q = 0; q < kAtATime; ++q) {
          Pairs::add(x, Pairs::load(b + q * task.b_col_stride + p), sums[j + q]);
        }
      }
      if (whole == depth) continue;
      for (int64_t q = 0; q < kAtATime; ++q) {
        B rest[kStep] = {};
        __builtin_memcpy(rest, b + q * task.b_col_stride + whole,
                         static_cast<size_t>(depth - whole) * sizeof(B));
        Pairs::add(Pairs::load(values + whole), Pairs::load(rest), sums[j + q]);
      }
    }
  }
  auto* c = static_cast<uint32_t*>(task.c);
  for (int j = 0; j < kCols; ++j) {
    uint32_t sum = 0;
    for (int i = 0; i < S::lanes; ++i) sum += sums[j][i];
    c[j] = sum;
  }
}

template <class S, class A, class B>
inline constexpr DotKernels kIntegerDots = {
    .lanes = 8,
    .any_company = true,
    .most_rows = 1,
    .columns = {{&integer_columns<S, A, B, 1>, &integer_columns<S, A, B, 2>}},
    .block_sums = nullptr,
    .complex_block_sums = nullptr};

}  // namespace hotloops::HOTLOOPS_ISA
