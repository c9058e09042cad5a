#include "pack.h"

#include <complex>
#include <cstring>
#include <type_traits>

namespace hotloops {
namespace {

template <class T>
inline constexpr bool kHasSquare = sizeof(T) == 4 || sizeof(T) == 8;

// Transposes a square of one vector a side: 4x4 elements of four bytes or 2x2 of eight.
template <class T>
struct Square {
  using Lane = std::conditional_t<sizeof(T) == 4, float, double>;
  typedef Lane V __attribute__((vector_size(16)));
  typedef Lane Unaligned __attribute__((vector_size(16), aligned(alignof(T)), may_alias));
  static constexpr int side = 16 / sizeof(T);

  static V load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
  static void store(T* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }

  static void transpose(const T* src, std::int64_t src_stride, T* dst, std::int64_t dst_stride) {
    if constexpr (side == 2) {
      const V a = load(src);
      const V b = load(src + src_stride);
      store(dst, __builtin_shufflevector(a, b, 0, 2));
      store(dst + dst_stride, __builtin_shufflevector(a, b, 1, 3));
    } else {
      const V a = load(src);
      const V b = load(src + src_stride);
      const V c = load(src + 2 * src_stride);
      const V d = load(src + 3 * src_stride);
      const V ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5);
      const V ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
      const V bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5);
      const V bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
      store(dst, __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5));
      store(dst + dst_stride, __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7));
      store(dst + 2 * dst_stride, __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5));
      store(dst + 3 * dst_stride, __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7));
    }
  }
};

// dst[c, r] = src[r, c]; rows of src and of dst are contiguous.
template <class T>
void transpose(const T* src, std::int64_t src_stride, std::int64_t rows, std::int64_t cols, T* dst,
               std::int64_t dst_stride) {
  constexpr std::int64_t side = Square<T>::side;
  std::int64_t r = 0;
  for (; r + side <= rows; r += side) {
    std::int64_t c = 0;
    for (; c + side <= cols; c += side) {
      Square<T>::transpose(src + r * src_stride + c, src_stride, dst + c * dst_stride + r,
                           dst_stride);
    }
    for (; c < cols; ++c) {
      for (std::int64_t s = r; s < r + side; ++s) dst[c * dst_stride + s] = src[s * src_stride + c];
    }
  }
  for (; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) dst[c * dst_stride + r] = src[r * src_stride + c];
  }
}

// dst[r, c] = src[r, c] for any strides.
template <class T>
void copy(const T* src, std::int64_t src_rows, std::int64_t src_cols, std::int64_t rows,
          std::int64_t cols, T* dst, std::int64_t dst_rows, std::int64_t dst_cols) {
  if (cols == 0) return;  // there may be no memory at all then
  if (src_cols == 1 && dst_cols == 1) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::memcpy(dst + r * dst_rows, src + r * src_rows,
                  static_cast<std::size_t>(cols) * sizeof(T));
    }
  } else if (src_rows == 1 && dst_cols == 1 && kHasSquare<T>) {
    if constexpr (kHasSquare<T>) transpose(src, src_cols, cols, rows, dst, dst_rows);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        dst[r * dst_rows + c * dst_cols] = src[r * src_rows + c * src_cols];
      }
    }
  }
}

}  // namespace

void copy_piece(ElementType type, const Piece& piece, std::int64_t row_stride,
                std::int64_t col_stride) {
  const auto typed = [&]<class T>(T* panel) {
    const T* src = static_cast<const T*>(piece.data);
    T* dst = panel + piece.row * row_stride + piece.col * col_stride;
    if (col_stride != 1 && row_stride == 1) {  // columns are what lies side by side: rows to copy()
      copy(src, piece.col_stride, piece.row_stride, piece.cols, piece.rows, dst, col_stride, 1);
    } else {
      copy(src, piece.row_stride, piece.col_stride, piece.rows, piece.cols, dst, row_stride,
           col_stride);
    }
  };
  // These are aligned to their parts only.
  if (type == ElementType::c64) return typed(static_cast<std::complex<float>*>(piece.panel));
  if (type == ElementType::c128) return typed(static_cast<std::complex<double>*>(piece.panel));
  switch (size_of(type)) {
    case 1:
      return typed(static_cast<std::uint8_t*>(piece.panel));
    case 2:
      return typed(static_cast<std::uint16_t*>(piece.panel));
    case 4:
      return typed(static_cast<float*>(piece.panel));
    default:
      return typed(static_cast<double*>(piece.panel));
  }
}

void pack(ElementType type, const Piece& piece, std::int64_t panel_stride) {
  copy_piece(type, piece, panel_stride, 1);
}

}  // namespace hotloops
