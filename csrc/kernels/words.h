// Operands of 8 and 16 bits whose values of k lie side by side in 32 bits, as the instructions that
// multiply them take them: packed as they are, and a word is to the microkernels what a value is
// otherwise. Leaves with AVX-512 only.
//
//   panel of A    rows of words, as far apart as those of other kernels
//   panel of B    words of 32 columns | words ...
//
// What a word has beyond the last value of k is zero.
//
// Some vectors need A's bits flipped: S::kFlip, by exclusive or. What that adds to a sum depends on
// its column of B alone. It is at the beginning of B's panel, to be taken away, and behind the
// words of A's first row there are ones if they are flipped, and zeros if not: a B that is packed
// once is multiplied by A's of both kinds.

#pragma once

#include "kernel.h"
#include "kernels/interleave.h"
#include "kernels/leaf.h"
#include "kernels/narrow.h"
#include "kernels/simd.h"
#include "kernels/transposed.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Form has
//   T, kType  the operands' type, unsigned
//   S         the vectors, with multiply_add of words
//   kKc       values of k in a block: no more words than a row of A has room for
//   kFlips    whether A's bits are flipped
template <class Form>
class WordPanels {
 public:
  using T = typename Form::T;
  using S = typename Form::S;
  static constexpr int kDepth = S::kDepth;
  static constexpr int kNr = kInterleaved;
  // Values of k that are transposed together.
  static constexpr int kStep = 4 * kDepth;
  // Panels of B that are packed at a time, for its rows to be read in whole lines and a few of them
  // one after the other. With half or twice as many, four rows times 2048 x 2048 took up to 7 %
  // longer; to fetch the next rows of a panel instead of the next columns gained nothing.
  static constexpr int kGroup = 8;
  static constexpr int64_t kHeadBytes = S::kFlip != 0 ? kNr * sizeof(uint32_t) : 0;
  // Half of the rows of B that are packed at a time, so that L1 has their lines until the next
  // panel reads the other half of these, also where rows are 2 KB apart: with twice as many, four
  // rows times 2000 x 2000 bytes took 7 % longer.
  static constexpr int kRows = 8;
  static constexpr int64_t kStepBytes = int64_t{kRows} * kNr * sizeof(T);

  static void pack_a(const Piece& piece) {
    auto* to = static_cast<T*>(piece.panel) + piece.row * kPitch + piece.col;
    if (piece.row_stride == 1 && piece.col_stride != 1 && piece.rows <= S::lanes) {
      pack_columns_of_a(piece, to);
    } else {
      in_rows<T, Form::kType, Form::kKc>(
          piece, [&](const T* rows, int64_t stride, int64_t count) HOTLOOPS_LAMBDA_INLINE {
            for (int64_t i = 0; i < count; ++i, rows += stride, to += kPitch) {
              copy_row(rows, piece.cols, to);
            }
          });
    }
    // Last, for whole steps of columns may have been written beyond the words.
    if constexpr (S::kFlip != 0) {
      static_cast<uint32_t*>(piece.panel)[hotloops::kKc] = Form::kFlips ? ~0U : 0;
    }
  }

  static void pack_b(const Piece& piece) {
    auto* panel = static_cast<T*>(piece.panel);
    T* to = panel + kHead + piece.row * kNr;
    const T* from = static_cast<const T*>(piece.data);
    V flipped[2] = {};
    for (int64_t k = 0; k < piece.rows; k += kStep) {
      const int64_t depth = piece.rows - k < kStep ? piece.rows - k : kStep;
      if (piece.col_stride == 1) {
        pack_rows(from, piece.row_stride, depth, piece.cols, to, flipped);
      } else if (piece.row_stride == 1 && depth == kStep && piece.cols == kNr) {
        pack_columns(from, piece.col_stride, to, flipped);
      } else {
        T rows[kStep * kNr];
        pack(Form::kType,
             {.data = from,
              .row_stride = piece.row_stride,
              .col_stride = piece.col_stride,
              .rows = depth,
              .cols = piece.cols,
              .panel = rows},
             kNr);
        pack_rows(rows, kNr, depth, piece.cols, to, flipped);
      }
      from += kStep * piece.row_stride;
      to += kStep * kNr;
    }
    if constexpr (S::kFlip != 0) {
      auto* starts = reinterpret_cast<typename S::T*>(panel);
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j, starts += S::lanes) {
        const V before = piece.row == 0 ? V{} : S::load(starts);
        S::store(starts, before - flipped[j]);
      }
    }
  }

  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    const T* from = static_cast<const T*>(panel) + kHead;
    T* to = static_cast<T*>(values);
    for (int64_t k = 0; k < rows; ++k, to += stride) {
      const T* row = from + k / kDepth * kNr * kDepth + k % kDepth;
      for (int64_t j = 0; j < cols; ++j) to[j] = row[j * kDepth];
    }
  }

 private:
  using V = typename S::V;
  using Words = Simd<float, 64>;
  static constexpr int64_t kHead = kHeadBytes / static_cast<int64_t>(sizeof(T));
  static constexpr int64_t kPitch = kDepth * panel_pitch(DType::i32);

  HOTLOOPS_INLINE static __m512i flip(__m512i values) {
    if constexpr (!Form::kFlips) return values;
    return _mm512_xor_si512(values, _mm512_set1_epi32(static_cast<int>(S::kFlip)));
  }

  HOTLOOPS_INLINE static void copy_row(const T* row, int64_t n, T* panel) {
    constexpr int64_t kBytes = sizeof(V);
    const auto* from = reinterpret_cast<const char*>(row);
    auto* to = reinterpret_cast<char*>(panel);
    int64_t rest = n * static_cast<int64_t>(sizeof(T));
    for (; rest >= kBytes; rest -= kBytes, from += kBytes, to += kBytes) {
      _mm512_storeu_si512(to, flip(_mm512_loadu_si512(from)));
    }
    if (rest == 0) return;
    const int64_t in_words = (rest + 3) / 4 * 4;
    const __m512i values = _mm512_maskz_loadu_epi8(~uint64_t{0} >> (kBytes - rest), from);
    _mm512_mask_storeu_epi8(to, ~uint64_t{0} >> (kBytes - in_words), flip(values));
  }

  // So many contiguous values, or none; zeros behind them.
  HOTLOOPS_INLINE static __m512i load_row(bool any, const T* row, __mmask32 mask) {
    if (!any) return _mm512_setzero_si512();
    __builtin_prefetch(row + kNr);
    if constexpr (sizeof(T) == 1) {
      return _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(mask, row));
    } else {
      return _mm512_maskz_loadu_epi16(mask, row);
    }
  }

  HOTLOOPS_INLINE static __mmask32 first(int64_t n) {
    return static_cast<__mmask32>(~uint32_t{0} >> (kNr - n));
  }

  // The next words of 32 columns, from rows that are contiguous.
  HOTLOOPS_INLINE static InterleavedRows<sizeof(T)> words_of(const T* rows, int64_t stride,
                                                             int64_t depth, __mmask32 mask) {
    return InterleavedRows<sizeof(T)>([&](int64_t q) HOTLOOPS_LAMBDA_INLINE {
      return load_row(q < depth, rows + q * stride, mask);
    });
  }

  // Rows whose columns are contiguous, transposed as words.
  static void pack_columns_of_a(const Piece& piece, T* to) {
    const __mmask32 mask = first(piece.rows);
    const T* from = static_cast<const T*>(piece.data);
    for (int64_t k = 0; k < piece.cols; k += kStep, to += kStep) {
      Words::V words[4];
#pragma GCC unroll 4
      for (int64_t e = 0; e < 4; ++e, from += kDepth * piece.col_stride) {
        const auto columns = words_of(from, piece.col_stride, piece.cols - k - e * kDepth, mask);
        words[e] = reinterpret_cast<Words::V>(flip(columns.left));
      }
      transpose_lanes<Words>(words);
      for (int64_t row = 0; row < piece.rows; ++row) {
        __builtin_memcpy(to + row * kPitch,
                         reinterpret_cast<const float*>(&words[row % 4]) + row / 4 * 4, 16);
      }
    }
  }

  // Stores the next words of two vectors of columns, and adds what A's flipped bits make of them.
  HOTLOOPS_INLINE static void store(V left, V right, T* to, V (&flipped)[2]) {
    __builtin_memcpy(to, &left, sizeof left);
    __builtin_memcpy(to + S::lanes * kDepth, &right, sizeof right);
    if constexpr (S::kFlip != 0) {
      const V flip = S::splat(S::kFlip);
      flipped[0] = S::multiply_add(flip, left, flipped[0]);
      flipped[1] = S::multiply_add(flip, right, flipped[1]);
    }
  }

  HOTLOOPS_INLINE static void pack_rows(const T* rows, int64_t stride, int64_t depth, int64_t cols,
                                        T* to, V (&flipped)[2]) {
    const __mmask32 mask = first(cols);
    for (int64_t k = 0; k < depth; k += kDepth, rows += kDepth * stride, to += kDepth * kNr) {
      const auto columns = words_of(rows, stride, depth - k, mask);
      store(reinterpret_cast<V>(columns.left), reinterpret_cast<V>(columns.right), to, flipped);
    }
  }

  // kStep values of columns in which they are contiguous.
  HOTLOOPS_INLINE static void pack_columns(const T* columns, int64_t stride, T* to,
                                           V (&flipped)[2]) {
    const int64_t bytes = stride * static_cast<int64_t>(sizeof(T));
    const Transposed<Words> left(columns, bytes);
    const Transposed<Words> right(columns + S::lanes * stride, bytes);
#pragma GCC unroll 4
    for (int e = 0; e < 4; ++e, to += kDepth * kNr) {
      store(reinterpret_cast<V>(left.x[e]), reinterpret_cast<V>(right.x[e]), to, flipped);
    }
  }
};

// The kernel for tiles of two rows and more.
template <class Form>
constexpr Kernel make_word_kernel(Isa isa, Arithmetic arithmetic, ElementType a_type,
                                  ElementType b_type) {
  using S = typename Form::S;
  using Panels = WordPanels<Form>;
  using Tiles = TileKernel<S, 14, 2, false>;
  static_assert(Tiles::kNr == Panels::kNr);
  Kernel kernel = make_kernel<S, Tiles, Panels>(isa, arithmetic, a_type, b_type);
  kernel.kc = Form::kKc;
  kernel.panels.b_head_bytes = Panels::kHeadBytes;
  kernel.panels.b_step_bytes = Panels::kStepBytes;
  kernel.panels.k_step = Panels::kRows;
  kernel.panels.b_group = Panels::kGroup;
  return kernel;
}

}  // namespace hotloops::HOTLOOPS_ISA
