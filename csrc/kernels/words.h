// Values of 8 and 16 bits that lie side by side along k in 32 bits, as the instructions that
// multiply them take them: a word is to the microkernels what a value is otherwise. Leaves with
// AVX-512 only.
//
//   panel of A    rows of words, as far apart as those of other kernels; behind the first one: mark
//   panel of B    head | words of 32 columns | words ...
//
// What a word has beyond the last value of k is zero.
//
// Some vectors need A's bits flipped: S::kFlip, by exclusive or. What that adds to a sum depends on
// its column of B alone. It is in the head of B's panel, to be taken away, and A's mark is ones if
// they are flipped, and zeros if not: a B that is packed once is multiplied by A's of both kinds.
//
// Wider values are rounded while they are packed, if they can be: how large they are is in the head
// and the mark.

#pragma once

#include "kernel.h"
#include "kernels/interleave.h"
#include "kernels/leaf.h"
#include "kernels/magnitudes.h"
#include "kernels/narrow.h"
#include "kernels/simd.h"
#include "kernels/transposed.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Operands that are made of what words are: unsigned integers.
template <class Element>
struct AsTheyAre {
  using T = Element;
  using Value = Element;

  template <int N>
  HOTLOOPS_INLINE static __m512i load(const T* p, uint64_t mask) {
    if constexpr (N * sizeof(T) == 32) {
      return _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), p));
    } else if constexpr (sizeof(T) == 1) {
      return _mm512_maskz_loadu_epi8(mask, p);
    } else {
      return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(mask), p);
    }
  }
  static T widened(Value value) { return value; }
};

// Form has
//   Reader    of the operands:
//     T, Value   their type, and what words are made of
//     load<N>    the first ones of N values, by a mask, as Value; zeros for the others
//     widened    back
//     note       how large they have been, if not all of them can be multiplied, and
//     pair       two vectors of them as one, if Value is not T
//   kType     the same as an ElementType
//   S         the vectors, with multiply_add of words
//   kKc       values of k in a block: no more words than a row of A has room for
//   kFlips    whether A's bits are flipped
template <class Form>
class WordPanels {
 public:
  using Reader = typename Form::Reader;
  using T = typename Reader::T;
  using Value = typename Reader::Value;
  using S = typename Form::S;
  static constexpr bool kMayNotSuit = requires(Reader reader, Magnitudes m) { reader.note(m); };
  static constexpr int kDepth = S::kDepth;
  static constexpr int kNr = kInterleaved;
  // Values of k that are transposed together.
  static constexpr int kStep = 4 * kDepth;
  // Panels of B that are packed at a time, for its rows to be read in whole lines and a few of them
  // one after the other. With half or twice as many, four rows times 2048 x 2048 took up to 7 %
  // longer; to fetch the next rows of a panel instead of the next columns gained nothing.
  static constexpr int kGroup = 8;
  static constexpr int64_t kHeadBytes = kNr * sizeof(uint32_t);
  // Half of the rows of B that are packed at a time, so that L1 has their lines until the next
  // panel reads the other half of these, also where rows are 2 KB apart: with twice as many, four
  // rows times 2000 x 2000 bytes took 7 % longer.
  static constexpr int kRows = 8;
  static constexpr int64_t kStepBytes = int64_t{kRows} * kNr * sizeof(Value);

  static void pack_a(const Piece& piece) {
    Reader reader;
    auto* to = static_cast<Value*>(piece.panel) + piece.row * kPitch + piece.col;
    if (piece.row_stride == 1 && piece.col_stride != 1 && piece.rows <= S::lanes) {
      pack_columns_of_a(reader, piece, to);
    } else {
      in_rows<T, Form::kType, Form::kKc>(
          piece, [&](const T* rows, int64_t stride, int64_t count) HOTLOOPS_LAMBDA_INLINE {
            for (int64_t i = 0; i < count; ++i, rows += stride, to += kPitch) {
              copy_row(reader, rows, piece.cols, to);
            }
          });
    }
    // Last, for whole steps of columns may have been written beyond the words.
    if constexpr (S::kFlip != 0) *mark(piece.panel) = Form::kFlips ? ~0U : 0;
    if constexpr (kMayNotSuit) note(reader, piece, mark(piece.panel));
  }

  static void pack_b(const Piece& piece) {
    Reader reader;
    auto* panel = static_cast<Value*>(piece.panel);
    Value* to = panel + kHead + piece.row * kNr;
    const T* from = static_cast<const T*>(piece.data);
    V flipped[2] = {};
    for (int64_t k = 0; k < piece.rows; k += kStep) {
      const int64_t depth = piece.rows - k < kStep ? piece.rows - k : kStep;
      if (piece.col_stride == 1) {
        pack_rows(reader, from, piece.row_stride, depth, piece.cols, to, flipped);
      } else if (piece.row_stride == 1 && depth == kStep && piece.cols == kNr) {
        pack_columns(reader, from, piece.col_stride, to, flipped);
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
        pack_rows(reader, rows, kNr, depth, piece.cols, to, flipped);
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
    if constexpr (kMayNotSuit) note(reader, piece, piece.panel);
  }

  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    const Value* from = static_cast<const Value*>(panel) + kHead;
    T* to = static_cast<T*>(values);
    for (int64_t k = 0; k < rows; ++k, to += stride) {
      const Value* row = from + k / kDepth * kNr * kDepth + k % kDepth;
      for (int64_t j = 0; j < cols; ++j) to[j] = Reader::widened(row[j * kDepth]);
    }
  }

  static bool suit(const void* a_panel, const void* b_panel) {
    return suit_bf16(*reinterpret_cast<const Magnitudes*>(mark(a_panel)),
                     *static_cast<const Magnitudes*>(b_panel));
  }

 private:
  using V = typename S::V;
  using Words = Simd<float, 64>;
  static constexpr int64_t kHead = kHeadBytes / static_cast<int64_t>(sizeof(Value));
  static constexpr int64_t kPitch = kDepth * panel_pitch(DType::i32);
  static constexpr int kValues = sizeof(V) / sizeof(Value);       // in a vector
  static constexpr int kLine = 64 / static_cast<int>(sizeof(T));  // in a line of the operand
  static constexpr int kVectors = kValues / kLine;  // of the operand, for one of Value

  // A's mark, behind all words that a row may have.
  static const uint32_t* mark(const void* a_panel) {
    return static_cast<const uint32_t*>(a_panel) + hotloops::kKc;
  }
  static uint32_t* mark(void* a_panel) { return static_cast<uint32_t*>(a_panel) + hotloops::kKc; }

  // Adds what has been seen in a piece to what is known of its panel.
  HOTLOOPS_INLINE static void note(const Reader& reader, const Piece& piece, void* known) {
    auto* magnitudes = static_cast<Magnitudes*>(known);
    if (piece.row == 0 && piece.col == 0) *magnitudes = {};
    reader.note(*magnitudes);
  }

  HOTLOOPS_INLINE static __m512i flip(__m512i values) {
    if constexpr (!Form::kFlips) return values;
    return _mm512_xor_si512(values, _mm512_set1_epi32(static_cast<int>(S::kFlip)));
  }

  HOTLOOPS_INLINE static void copy_row(Reader& reader, const T* row, int64_t n, Value* to) {
    for (; n >= kValues; n -= kValues, row += kValues, to += kValues) {
      _mm512_storeu_si512(to, flip(reader.template load<kValues>(row, ~uint64_t{0})));
    }
    if (n == 0) return;
    const int64_t bytes = (n + kDepth - 1) / kDepth * 4;
    const __m512i values = reader.template load<kValues>(row, ~uint64_t{0} >> (64 - n));
    _mm512_mask_storeu_epi8(to, ~uint64_t{0} >> (64 - bytes), flip(values));
  }

  // So many contiguous values, or none; zeros behind them.
  HOTLOOPS_INLINE static __m512i load_row(Reader& reader, bool any, const T* row, uint32_t mask) {
    if (!any) return _mm512_setzero_si512();
    for (int j = 0; j < kNr; j += kLine) __builtin_prefetch(row + kNr + j);
    return reader.template load<kNr>(row, mask);
  }

  HOTLOOPS_INLINE static uint32_t first(int64_t n) { return ~uint32_t{0} >> (kNr - n); }

  // The next words of 32 columns, from rows that are contiguous.
  HOTLOOPS_INLINE static InterleavedRows<sizeof(Value)> words_of(Reader& reader, const T* rows,
                                                                 int64_t stride, int64_t depth,
                                                                 uint32_t mask) {
    return InterleavedRows<sizeof(Value)>([&](int64_t q) HOTLOOPS_LAMBDA_INLINE {
      return load_row(reader, q < depth, rows + q * stride, mask);
    });
  }

  // Rows whose columns are contiguous, transposed as words.
  static void pack_columns_of_a(Reader& reader, const Piece& piece, Value* to) {
    const uint32_t mask = first(piece.rows);
    const T* from = static_cast<const T*>(piece.data);
    for (int64_t k = 0; k < piece.cols; k += kStep, to += kStep) {
      Words::V words[4];
#pragma GCC unroll 4
      for (int64_t e = 0; e < 4; ++e, from += kDepth * piece.col_stride) {
        const auto columns =
            words_of(reader, from, piece.col_stride, piece.cols - k - e * kDepth, mask);
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
  HOTLOOPS_INLINE static void store(V left, V right, Value* to, V (&flipped)[2]) {
    __builtin_memcpy(to, &left, sizeof left);
    __builtin_memcpy(to + S::lanes * kDepth, &right, sizeof right);
    if constexpr (S::kFlip != 0) {
      const V flip = S::splat(S::kFlip);
      flipped[0] = S::multiply_add(flip, left, flipped[0]);
      flipped[1] = S::multiply_add(flip, right, flipped[1]);
    }
  }

  HOTLOOPS_INLINE static void pack_rows(Reader& reader, const T* rows, int64_t stride,
                                        int64_t depth, int64_t cols, Value* to, V (&flipped)[2]) {
    const uint32_t mask = first(cols);
    for (int64_t k = 0; k < depth; k += kDepth, rows += kDepth * stride, to += kDepth * kNr) {
      const auto columns = words_of(reader, rows, stride, depth - k, mask);
      store(reinterpret_cast<V>(columns.left), reinterpret_cast<V>(columns.right), to, flipped);
    }
  }

  // kStep values of columns in which they are contiguous.
  HOTLOOPS_INLINE static void pack_columns(Reader& reader, const T* columns, int64_t stride,
                                           Value* to, V (&flipped)[2]) {
    const int64_t bytes = stride * static_cast<int64_t>(sizeof(T));
    for (int64_t k = 0; k < kStep; k += 16 / sizeof(T)) {
      const Transposed<Words> left(columns + k, bytes);
      const Transposed<Words> right(columns + S::lanes * stride + k, bytes);
#pragma GCC unroll 4
      for (int e = 0; e < 4; e += kVectors, to += kDepth * kNr) {
        if constexpr (kVectors == 1) {
          store(reinterpret_cast<V>(left.x[e]), reinterpret_cast<V>(right.x[e]), to, flipped);
        } else {
          const InterleavedRows<sizeof(Value)> rows([&](int q) HOTLOOPS_LAMBDA_INLINE {
            return reader.pair(left.x[e + q], right.x[e + q]);
          });
          store(reinterpret_cast<V>(rows.left), reinterpret_cast<V>(rows.right), to, flipped);
        }
      }
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
  if constexpr (Panels::kMayNotSuit) kernel.panels.suit = &Panels::suit;
  return kernel;
}

}  // namespace hotloops::HOTLOOPS_ISA
