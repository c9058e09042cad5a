#include "pack.h"

#include <algorithm>
#include <cstring>

namespace hotloops {
namespace {

// Transposes a square of one vector a side: 4x4 float or 2x2 double.
template <class T>
struct Square {
  typedef T V __attribute__((vector_size(16)));
  typedef T Unaligned __attribute__((vector_size(16), aligned(alignof(T)), may_alias));
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

constexpr std::int64_t kRowsAhead = 4;

// Fetches a stretch of memory that will be read soon, and that the hardware does not foresee: it
// follows no stride across pages, and the rows of a large matrix are pages apart.
void prefetch(const void* begin, std::int64_t bytes) {
  for (std::int64_t offset = 0; offset < bytes; offset += 64) {
    __builtin_prefetch(static_cast<const std::byte*>(begin) + offset);
  }
}

// dst[r, c] = src[r, c] for a dst of contiguous rows and a src of any strides.
template <class T>
void copy(const T* src, std::int64_t row_stride, std::int64_t col_stride, std::int64_t rows,
          std::int64_t cols, T* dst, std::int64_t dst_stride) {
  if (col_stride == 1) {
    for (std::int64_t r = 0; r < rows; ++r) {
      prefetch(src + (r + kRowsAhead) * row_stride, cols * static_cast<std::int64_t>(sizeof(T)));
      std::memcpy(dst + r * dst_stride, src + r * row_stride,
                  static_cast<std::size_t>(cols) * sizeof(T));
    }
  } else if (row_stride == 1) {
    transpose(src, col_stride, cols, rows, dst, dst_stride);
  } else {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        dst[r * dst_stride + c] = src[r * row_stride + c * col_stride];
      }
    }
  }
}

// dst[j] = src[j * stride] for the first `valid` of nr values, the last of them in the others.
// Whole vectors of the last value are written first and then overwritten: rows are short, loops
// over the remainder are not.
template <class T>
void copy_padded(const T* src, std::int64_t stride, std::int64_t valid, std::int64_t nr, T* dst) {
  using V = typename Square<T>::V;
  const V last = src[(valid - 1) * stride] - V{};
  for (std::int64_t j = 0; j < nr; j += Square<T>::side) Square<T>::store(dst + j, last);
  for (std::int64_t j = 0; j < valid; ++j) dst[j] = src[j * stride];
}

template <class T>
void pack_a_typed(const Kernel& kernel, ConstView a, std::int64_t rows, std::int64_t depth,
                  T* out) {
  const std::int64_t pitch = panel_pitch(kernel.dtype);
  const T* src = static_cast<const T*>(a.data);
  for (std::int64_t i = 0; i < rows; i += kernel.mr) {
    const std::int64_t valid = std::min<std::int64_t>(kernel.mr, rows - i);
    copy(src + i * a.row_stride, a.row_stride, a.col_stride, valid, depth, out, pitch);
    for (std::int64_t r = valid; r < kernel.mr; ++r) {
      std::memcpy(out + r * pitch, out + (valid - 1) * pitch,
                  static_cast<std::size_t>(depth) * sizeof(T));
    }
    out += kernel.mr * pitch;
  }
}

// Contiguous rows of B: each row is read through once and dealt out to the panels, which are few
// enough to be written side by side. Panel by panel, as the other layouts go, reads would jump from
// page to page every nr values: half the speed from L3.
template <class T>
void deal_rows(const Kernel& kernel, const T* src, std::int64_t row_stride, std::int64_t depth,
               std::int64_t panels, T* out) {
  typedef typename Square<T>::V V;
  constexpr std::int64_t lanes = Square<T>::side;
  const std::int64_t nr = kernel.nr;
  for (std::int64_t p = 0; p < depth; ++p) {
    const T* row = src + p * row_stride;
    prefetch(row + kRowsAhead * row_stride, panels * nr * static_cast<std::int64_t>(sizeof(T)));
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      T* to = out + (panel * depth + p) * nr;
      for (std::int64_t j = 0; j < nr; j += lanes) {
        const V v = Square<T>::load(row + panel * nr + j);
        Square<T>::store(to + j, v);
      }
    }
  }
}

template <class T>
void pack_b_typed(const Kernel& kernel, ConstView b, std::int64_t depth, std::int64_t cols,
                  T* out) {
  const std::int64_t nr = kernel.nr;
  const T* src = static_cast<const T*>(b.data);
  std::int64_t j = 0;
  if (b.col_stride == 1) {
    const std::int64_t whole = cols / nr;
    deal_rows(kernel, src, b.row_stride, depth, whole, out);
    j = whole * nr;
  }
  for (; j < cols; j += nr) {
    const std::int64_t valid = std::min(nr, cols - j);
    T* panel = out + j * depth;
    const T* from = src + j * b.col_stride;
    if (valid == nr) {
      copy(from, b.row_stride, b.col_stride, depth, nr, panel, nr);
    } else {
      for (std::int64_t p = 0; p < depth; ++p) {
        copy_padded(from + p * b.row_stride, b.col_stride, valid, nr, panel + p * nr);
      }
    }
  }
}

}  // namespace

void pack_a(const Kernel& kernel, ConstView a, std::int64_t rows, std::int64_t depth,
            void* panels) {
  if (kernel.dtype == DType::f32) {
    pack_a_typed(kernel, a, rows, depth, static_cast<float*>(panels));
  } else {
    pack_a_typed(kernel, a, rows, depth, static_cast<double*>(panels));
  }
}

void pack_b(const Kernel& kernel, ConstView b, std::int64_t depth, std::int64_t cols,
            void* panels) {
  if (kernel.dtype == DType::f32) {
    pack_b_typed(kernel, b, depth, cols, static_cast<float*>(panels));
  } else {
    pack_b_typed(kernel, b, depth, cols, static_cast<double*>(panels));
  }
}

}  // namespace hotloops
