// Panels for the tile unit, whatever the operands' type.
//
//   head | step 0: piece 0: tiles | piece 1: tiles | ... | step 1: ...
//
// A step is as deep as a tile: kStep values of k. A piece is what one product instruction takes of
// the operand: the operand itself, or a part of each of its values. Of A, a tile has 16 rows of 64
// bytes, one after the other; of B, 16 rows of 16 columns, 32 bits each, in which a few values of k
// lie side by side. What of a tile lies beyond k is zero, what lies beyond the operand's rows or
// columns is left as it is: it goes into sums that nobody reads.

#pragma once

#include "kernel.h"
#include "kernels/elements.h"
#include "kernels/interleave.h"
#include "kernels/magnitudes.h"
#include "kernels/simd.h"
#include "kernels/tile_unit.h"
#include "kernels/transposed.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// What is known of the values in a panel; in front of its steps.
struct alignas(64) PanelHead {
  Magnitudes magnitudes;
};

// A product of pieces.
struct Pieces {
  int a, b;
};

// Form makes tiles' rows of operands' values:
//   T, kType    the operands' type
//   kStep       values of k in a step
//   kPieces     of an operand
//   kTiles      side by side for each piece, 16 rows of A or columns of B in each
//   a_row       of A: up to kStep values of a row, to the same row of each piece
//   b_row       of B: the p-th row of each piece's tile, for up to 16 columns
//   b_whole_row the same for all columns of a panel, in a step of full depth; optional
//   b_columns   the same for all rows of each piece's tile, from 16 contiguous columns so many
//   bytes
//               apart; optional
//   b_value     back: the k-th value of a step of B, given where its column's begin
template <class Form>
class TilePanels {
 public:
  static constexpr int kCols = Form::kTiles * kTileCols;  // of B
  static constexpr int64_t kStepBytes = Form::kPieces * Form::kTiles * kTileBytes;

  static void pack_a(const Piece& piece) {
    Form::begin(piece);
    Form form;
    alignas(64) T rows[Form::kTiles * kTileRows * kPitch];
    const T* from = static_cast<const T*>(piece.data);
    for (int64_t k = 0; k < piece.cols; k += Form::kStep, from += Form::kStep * piece.col_stride) {
      if (piece.col_stride == 1) {
        pack_a_step<0, 1>(form, piece, k);
      } else {
        copy(from, piece, piece.rows, depth_at(piece, k), rows, kPitch);
        pack_rows(form, piece, k, rows, kPitch, 0, piece.rows);
      }
    }
    form.note(piece);
  }

  // Of a piece whose rows are contiguous the step at k, or one of so many parts of it.
  template <int Part, int Parts>
  HOTLOOPS_INLINE static void pack_a_step(Form& form, const Piece& piece, int64_t k) {
    const T* from = static_cast<const T*>(piece.data) + k;
    pack_rows(form, piece, k, from, piece.row_stride, piece.rows * Part / Parts,
              piece.rows * (Part + 1) / Parts);
  }

  static void pack_b(const Piece& piece) {
    Form::begin(piece);
    Form form;
    alignas(64) T rows[Form::kStep * kPitchOfB];
    const T* from = static_cast<const T*>(piece.data);
    char* step = steps(piece.panel) + piece.row / Form::kStep * kStepBytes;
    for (int64_t k = 0; k < piece.rows; k += Form::kStep, step += kStepBytes) {
      const int depth =
          static_cast<int>(piece.rows - k < Form::kStep ? piece.rows - k : Form::kStep);
      int cols = 0;
      if (piece.col_stride == 1) {
        pack_step(form, from, piece.row_stride, depth, static_cast<int>(piece.cols), step);
        cols = static_cast<int>(piece.cols);
      } else if (piece.row_stride == 1 && depth == Form::kStep) {
        cols = pack_columns(form, from, piece.col_stride, static_cast<int>(piece.cols), step);
      }
      if (cols < piece.cols) {
        const int rest = static_cast<int>(piece.cols) - cols;
        copy(from + cols * piece.col_stride, piece, depth, rest, rows, kPitchOfB);
        pack_step(form, rows, kPitchOfB, depth, rest, step + cols / kTileCols * kTileBytes);
      }
      from += Form::kStep * piece.row_stride;
    }
    form.note(piece);
  }

  static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                       int64_t stride) {
    const char* step = static_cast<const char*>(panel) + sizeof(PanelHead);
    T* to = static_cast<T*>(values);
    for (int64_t k = 0; k < rows; ++k) {
      const char* tile = step + k / Form::kStep * kStepBytes;
      for (int64_t col = 0; col < cols; ++col) {
        to[k * stride + col] =
            Form::b_value(tile + col / kTileCols * kTileBytes + col % kTileCols * 4,
                          static_cast<int>(k % Form::kStep));
      }
    }
  }

 private:
  using T = typename Form::T;
  static constexpr int64_t kStepRowBytes = Form::kStep * static_cast<int64_t>(sizeof(T));
  static constexpr int64_t kPitch = Form::kStep + 16 / static_cast<int>(sizeof(T));
  static constexpr int64_t kPitchOfB = kCols + 16 / static_cast<int>(sizeof(T));

  static char* steps(void* panel) { return static_cast<char*>(panel) + sizeof(PanelHead); }

  static int64_t depth_at(const Piece& piece, int64_t k) {
    return piece.cols - k < Form::kStep ? piece.cols - k : Form::kStep;
  }

  HOTLOOPS_INLINE static void pack_rows(Form& form, const Piece& piece, int64_t k, const T* from,
                                        int64_t stride, int64_t begin, int64_t end) {
    const auto depth = static_cast<int>(depth_at(piece, k));
    char* step = steps(piece.panel) + (piece.col + k) / Form::kStep * kStepBytes;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = piece.row + row;
      form.a_row(from + row * stride, depth,
                 step + i / kTileRows * kTileBytes + i % kTileRows * kTileRowBytes);
    }
  }

  static void pack_step(Form& form, const T* rows, int64_t stride, int depth, int cols, char* to) {
    if constexpr (requires { form.b_whole_row(rows, stride, 0, to); }) {
      if (depth == Form::kStep && cols == kCols) {
        for (int p = 0; p < kTileRows; ++p) {
          form.b_whole_row(rows, stride, p, to + p * kTileRowBytes);
        }
        return;
      }
    }
    for (int col = 0; col < cols; col += kTileCols, to += kTileBytes) {
      const int width = cols - col < kTileCols ? cols - col : kTileCols;
      for (int p = 0; p < kTileRows; ++p) {
        form.b_row(rows + col, stride, depth, p, width, to + p * kTileRowBytes);
      }
    }
  }

  // As many of these contiguous columns as fill tiles, if there is a way; how many that are.
  static int pack_columns(Form& form, const T* columns, int64_t stride, int cols, char* to) {
    if constexpr (requires { form.b_columns(columns, stride, to); }) {
      int col = 0;
      for (; col + kTileCols <= cols; col += kTileCols, to += kTileBytes) {
        form.b_columns(columns + col * stride, stride * static_cast<int64_t>(sizeof(T)), to);
      }
      return col;
    } else {
      return 0;
    }
  }

  // Rows of contiguous values, of an operand that has none.
  static void copy(const T* from, const Piece& piece, int64_t rows, int64_t cols, T* to,
                   int64_t pitch) {
    pack(Form::kType,
         {.data = from,
          .row_stride = piece.row_stride,
          .col_stride = piece.col_stride,
          .rows = rows,
          .cols = cols,
          .panel = to},
         pitch);
  }
};

// 16 values that are n in memory, 0 behind them; a load of the vector where it can be one.
template <class T>
struct Sixteen {
  typedef T V __attribute__((vector_size(16 * sizeof(T))));
};
template <class T>
HOTLOOPS_INLINE typename Sixteen<T>::V load_sixteen(const T* p, int n) {
  typename Sixteen<T>::V values = {};
  if (n >= 16) {
    __builtin_memcpy(&values, p, sizeof values);
  } else if (n > 0) {
    __builtin_memcpy(&values, p, static_cast<size_t>(n) * sizeof(T));
  }
  return values;
}

// Some of the 32 bits of 16 columns, side by side.
using Words = Transposed<Simd<float, 64>>;

// Operands that the unit multiplies as they are: bfloat16 and bytes.
template <class Element, ElementType Type>
struct WholeForm {
  using T = Element;
  static constexpr ElementType kType = Type;
  static constexpr int kStep = kTileRowBytes / static_cast<int>(sizeof(T));
  static constexpr int kPieces = 1;
  static constexpr int kTiles = 2;
  static constexpr bool kAsItIs = true;

  static void begin(const Piece&) {}
  void note(const Piece&) {}

  HOTLOOPS_INLINE void a_row(const T* row, int n, char* to) {
    typedef uint8_t Bytes __attribute__((vector_size(kTileRowBytes)));
    Bytes bytes = {};
    if (n == kStep) {
      __builtin_memcpy(&bytes, row, sizeof bytes);
    } else {
      __builtin_memcpy(&bytes, row, static_cast<size_t>(n) * sizeof(T));
    }
    __builtin_memcpy(to, &bytes, sizeof bytes);
  }

  HOTLOOPS_INLINE void b_row(const T* rows, int64_t stride, int depth, int p, int cols, char* to) {
    typedef uint32_t U __attribute__((vector_size(64)));
    U group = {};
#pragma GCC unroll 4
    for (int q = 0; q < kSide; ++q) {
      const int k = p * kSide + q;
      if (k >= depth) break;
      __builtin_prefetch(rows + k * stride + 2 * kTileCols);
      const auto values = load_sixteen<T>(rows + k * stride, cols);
      group |= widened<U>(values) << (8 * static_cast<int>(sizeof(T)) * q);
    }
    __builtin_memcpy(to, &group, sizeof group);
  }

  // Rows are interleaved: widening each value took twice as long, of bytes three times.
  HOTLOOPS_INLINE void b_whole_row(const T* rows, int64_t stride, int p, char* to) {
    const InterleavedRows<sizeof(T)> columns([&](int q) HOTLOOPS_LAMBDA_INLINE {
      const T* row = rows + (p * kSide + q) * stride;
      __builtin_prefetch(row + int64_t{kTiles} * kTileCols);
      __m512i values = {};
      __builtin_memcpy(&values, row, sizeof(T) * kTiles * kTileCols);
      return values;
    });
    __builtin_memcpy(to, &columns.left, sizeof columns.left);
    __builtin_memcpy(to + kTileBytes, &columns.right, sizeof columns.right);
  }

  // Values of k that lie side by side in a tile do so in a column, too: it is transposed as it is,
  // in 32 bits.
  HOTLOOPS_INLINE void b_columns(const T* columns, int64_t stride, char* to) {
#pragma GCC unroll 4
    for (int word = 0; word < kTileRows;
         word += Words::kDepth, to += Words::kDepth * kTileRowBytes) {
      const Words words(columns + word * kSide, stride);
      __builtin_memcpy(to, words.x, sizeof words.x);
    }
  }

  static T b_value(const char* column, int k) {
    constexpr int64_t kSize = sizeof(T);
    T value;
    __builtin_memcpy(&value, column + k / kSide * kTileRowBytes + k % kSide * kSize, sizeof value);
    return value;
  }

 private:
  static constexpr int kSide = 4 / static_cast<int>(sizeof(T));  // values of k side by side

  template <class U, class V>
  HOTLOOPS_INLINE static U widened(V values) {
    if constexpr (sizeof(T) == 1) {
      return reinterpret_cast<U>(
          _mm512_maskz_cvtepu8_epi32(kEachLane, reinterpret_cast<__m128i>(values)));
    } else {
      return __builtin_convertvector(values, U);
    }
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
