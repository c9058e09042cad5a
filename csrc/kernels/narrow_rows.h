// One row of values narrower than their sums, times a B as it lies in memory.
//
// All that takes time then is reading B, and packing reads it, writes what is twice or four times
// as large, and reads that: of 2048 x 2048 bytes it was four fifths of the time.

#pragma once

#include "kernel.h"
#include "kernels/pairs.h"
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
                     .always = false},
          .choose = &Row::choose,
          .commutes = Row::kCommutes,
          .dots = dots};
}

// ---- Integers of 8 and 16 bits -----------------------------------------------------------------

// A times rows of B.
template <class Pairs, class A, ElementType AType, class B, ElementType BType>
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
  using V = typename Pairs::V;
  static constexpr int kCols = Pairs::Shorts::lanes;
  static constexpr int kGroups = sizeof(V) == 64 ? 8 : 4;

  template <bool InPlace>
  static void run(const Tile& tile) {
    const A* a = static_cast<const A*>(tile.a);
    const int64_t a_stride = InPlace ? tile.a_col_stride : 1;
    int16_t values[kKc + 1];
    for (int64_t k = 0; k < tile.kc; ++k) {
      values[k] = a[k * a_stride];  // NOLINT(bugprone-signed-char-misuse): a number
    }
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
      const V a_pairs = Pairs::splat(pair);
      const B* second = k + 1 < tile.kc ? b + stride : b;  // if there is none, a's value is 0
      for (int byte = 0; byte < kRowBytes; byte += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(b + kRowsAhead * stride) + byte);
        __builtin_prefetch(reinterpret_cast<const char*>(b + (kRowsAhead + 1) * stride) + byte);
      }
#pragma GCC unroll 8
      for (int g = 0; g < Groups; ++g) {
        using Shorts = Pairs::Shorts;
        using H = Shorts::V;
        const H x = reinterpret_cast<H>(Pairs::load_pairs(b + g * kCols));
        const H y = reinterpret_cast<H>(Pairs::load_pairs(second + g * kCols));
        const V first_four = reinterpret_cast<V>(Shorts::zip_low(x, y));
        const V last_four = reinterpret_cast<V>(Shorts::zip_high(x, y));
        low[g] = Pairs::multiply_add(a_pairs, first_four, low[g]);
        high[g] = Pairs::multiply_add(a_pairs, last_four, high[g]);
      }
    }
    for (int64_t g = 0; g < Groups; ++g) {
      for (int64_t j = 0; j < Pairs::lanes; j += 4) {
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
template <class Pairs, class A, class B, int Groups>
void integer_columns(const Columns& task) {
  using V = typename Pairs::V;
  constexpr int kStep = Pairs::Shorts::lanes;
  constexpr int kCols = 8 * Groups;
  constexpr int kAtATime = 4;
  V sums[kCols] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t depth = task.k - k < kKc ? task.k - k : kKc;
    const int64_t whole = depth / kStep * kStep;
    const A* a = static_cast<const A*>(task.a) + k * task.a_col_stride;
    int16_t values[kKc + kStep] = {};
    for (int64_t p = 0; p < depth; ++p) {
      values[p] = a[p * task.a_col_stride];  // NOLINT(bugprone-signed-char-misuse): a number
    }
    for (int64_t j = 0; j < kCols; j += kAtATime) {
      const B* b = static_cast<const B*>(task.b) + j * task.b_col_stride + k;
      for (int64_t p = 0; p < whole; p += kStep) {
        const V x = Pairs::load_pairs(values + p);
#pragma GCC unroll 4
        for (int64_t q = 0; q < kAtATime; ++q) {
          const V y = Pairs::load_pairs(b + q * task.b_col_stride + p);
          sums[j + q] = Pairs::multiply_add(x, y, sums[j + q]);
        }
      }
      if (whole == depth) continue;
      for (int64_t q = 0; q < kAtATime; ++q) {
        B rest[kStep] = {};
        __builtin_memcpy(rest, b + q * task.b_col_stride + whole,
                         static_cast<size_t>(depth - whole) * sizeof(B));
        sums[j + q] = Pairs::multiply_add(Pairs::load_pairs(values + whole),
                                          Pairs::load_pairs(rest), sums[j + q]);
      }
    }
  }
  auto* c = static_cast<uint32_t*>(task.c);
  for (int j = 0; j < kCols; ++j) {
    uint32_t sum = 0;
    for (int i = 0; i < Pairs::lanes; ++i) sum += sums[j][i];
    c[j] = sum;
  }
}

template <class Pairs, class A, class B>
inline constexpr DotKernels kIntegerDots = {
    .lanes = 8,
    .any_company = true,
    .most_rows = 1,
    .vectors = {2},
    .columns = {{&integer_columns<Pairs, A, B, 1>, &integer_columns<Pairs, A, B, 2>}}};

}  // namespace hotloops::HOTLOOPS_ISA
