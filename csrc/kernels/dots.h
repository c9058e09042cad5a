// Chains of multiply-adds side by side in a vector, where what lies side by side in memory is k.
//
// A chain's values follow each other in memory, and a vector needs one value each of as many
// chains: rows are transposed in registers. Packing such rows first, and then multiplying from L1,
// took three to five times as long.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/simd.h"
#include "kernels/transposed.h"

namespace hotloops::HOTLOOPS_ISA {

// One value of each of S::lanes rows, which begin at these offsets.
template <class S, class T, class Offsets>
HOTLOOPS_INLINE typename S::V gather(const T* p, const Offsets& offsets) {
  typename S::V v;
  for (int lane = 0; lane < S::lanes; ++lane) {
    v[lane] = *reinterpret_cast<const T*>(reinterpret_cast<const char*>(p) + offsets[lane]);
  }
  return v;
}

// The end of `columns`: the sums with the epilogue to C.
template <class S, int Rows, int Groups>
HOTLOOPS_INLINE void finish_columns(const Columns& task, const typename S::V (&sum)[Rows][Groups]) {
  using T = typename S::T;
  using V = typename S::V;
  T* c = static_cast<T*>(task.c);
  const T* bias = static_cast<const T*>(task.epilogue.bias);
  const T* residual = static_cast<const T*>(task.epilogue.residual);
  for (int i = 0; i < Rows; ++i, c += task.c_stride) {
    for (int g = 0; g < Groups; ++g) {
      const int j = g * S::lanes;
      V value = sum[i][g];
      if (bias != nullptr) value += S::load(bias + j);
      if (residual != nullptr) value += S::load(residual + i * task.c_stride + j);
      if (task.epilogue.activation == Activation::relu) value = relu<S>(value);
      S::store(c + j, value);
    }
  }
  if (task.epilogue.activation > Activation::relu) {
    c = static_cast<T*>(task.c);
    activate_rows<S>(task.epilogue.activation, Rows, Groups * S::lanes, task.c_stride, c, c);
  }
}

// Rows of A where they are.
template <class T, int Rows, bool Contiguous>
class RowsInPlace {
 public:
  HOTLOOPS_INLINE explicit RowsInPlace(const Columns& task)
      : a_(static_cast<const T*>(task.a)),
        row_stride_(task.a_row_stride),
        col_stride_(Contiguous ? 1 : task.a_col_stride) {}
  // Of this row, the value so far ahead.
  [[nodiscard]] HOTLOOPS_INLINE T at(int row, int ahead) const {
    return a_[row * row_stride_ + ahead * col_stride_];
  }
  HOTLOOPS_INLINE void advance(int values) { a_ += values * col_stride_; }
  HOTLOOPS_INLINE void next_block() {}

 private:
  const T* a_;
  int64_t row_stride_, col_stride_;
};

// Rows of A packed as a panel for each block of k: the addresses of all rows are constants from one
// pointer. With strides of their own, eight rows took twice as long.
template <class T, int Rows>
class PackedRows {
 public:
  HOTLOOPS_INLINE explicit PackedRows(const Columns& task)
      : a_(static_cast<const T*>(task.a)), block_(a_) {}
  [[nodiscard]] HOTLOOPS_INLINE T at(int row, int ahead) const { return a_[row * kPitch + ahead]; }
  HOTLOOPS_INLINE void advance(int values) {
    a_ += values;
    asm("" : "+r"(a_));  // so that GCC sees no relation and keeps the pointer
  }
  HOTLOOPS_INLINE void next_block() { a_ = block_ += Rows * kPitch; }

 private:
  static constexpr int64_t kPitch = panel_pitch(sizeof(T) == 4 ? DType::f32 : DType::f64);
  const T* a_;
  const T* block_;
};

// The next values of k, from `ahead` on, of the g-th vector of columns.
template <class S, int RowBytes, int Rows, int Groups, class A>
HOTLOOPS_INLINE void add_values(const A& a, int ahead, const Transposed<S, RowBytes>& values, int g,
                                typename S::V (&block)[Rows][Groups]) {
#pragma GCC unroll 8
  for (int e = 0; e < values.kDepth; ++e) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) block[i][g] += S::splat(a.at(i, ahead + e)) * values.x[e];
  }
}

// Values of k between two looks at pointers.
template <class S>
inline constexpr int kColumnsStep = Transposed<S>::kDepth * Transposed<S>::kDepth;

// Nothing is fetched ahead.
class NoFetch {
 public:
  HOTLOOPS_INLINE NoFetch(const void* /*block*/, int64_t /*stride*/) {}
  HOTLOOPS_INLINE void next() {}
};

// Fetches the next block of k of a vector of columns while one is multiplied, so many values of k
// at a time: one column of it after the other.
template <class S, int Values = kColumnsStep<S>>
class BlockFetch {
 public:
  // From one column to the next it is so many values.
  HOTLOOPS_INLINE BlockFetch(const void* block, int64_t stride)
      : next_(static_cast<const char*>(block)), to_next_column_(stride * kSize - kBlock) {}

  HOTLOOPS_INLINE void next() {
#pragma GCC unroll 16
    for (int i = 0; i < kLines; ++i) __builtin_prefetch(next_ + i * kLine);
    next_ += kLines * kLine;
    fetched_ += kLines * kLine;
    if (fetched_ % kBlock == 0) next_ += to_next_column_;
  }

 private:
  static constexpr int64_t kSize = sizeof(typename S::T);
  static constexpr int64_t kLine = 64;
  static constexpr int64_t kBlock = kKc * kSize;
  static constexpr int64_t kLines = S::lanes * Values * kSize / kLine;
  static_assert(kBlock % (kLines * kLine) == 0);

  const char* next_;
  int64_t to_next_column_;
  int64_t fetched_ = 0;
};

// `Rows` rows of A times Groups * S::lanes columns of B, those of a vector at these offsets.
template <class S, int RowBytes, int Rows, int Groups, class A, class Fetch = NoFetch,
          class Offsets>
HOTLOOPS_INLINE void multiply_columns(const Columns& task, const Offsets& offsets) {
  using T = typename S::T;
  using V = typename S::V;
  using Longest = Transposed<S, RowBytes>;
  constexpr int kDepth = Transposed<S>::kDepth;
  constexpr int kStep = kColumnsStep<S>;
  A a(task);
  const int64_t stride = task.b_col_stride;
  const T* b = static_cast<const T*>(task.b);
  V sum[Rows][Groups] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t end = k + kKc < task.k ? k + kKc : task.k;
    V block[Rows][Groups] = {};
    int64_t p = k;
    const T* from[Groups];
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) from[g] = b + g * S::lanes * stride + p;
    Fetch fetch(end < task.k ? b + end : b + Groups * S::lanes * stride, stride);
    for (; p + kStep <= end; p += kStep) {
      fetch.next();
#pragma GCC unroll 4
      for (int ahead = 0; ahead < kStep; ahead += Longest::kDepth) {
#pragma GCC unroll 4
        for (int g = 0; g < Groups; ++g) {
          const Longest values(from[g] + ahead, offsets);
          add_values(a, ahead, values, g, block);
        }
      }
      a.advance(kStep);
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        from[g] += kStep;
        asm("" : "+r"(from[g]));  // so that GCC sees no relation and keeps the pointers
      }
    }
    for (; p + kDepth <= end; p += kDepth) {
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        const Transposed<S> values(b + g * S::lanes * stride + p, offsets);
        add_values(a, 0, values, g, block);
      }
      a.advance(kDepth);
    }
    for (; p < end; ++p) {
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        const V values = gather<S>(b + g * S::lanes * stride + p, offsets);
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) block[i][g] += S::splat(a.at(i, 0)) * values;
      }
      a.advance(1);
    }
    a.next_block();
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) sum[i][g] = k == 0 ? block[i][g] : sum[i][g] + block[i][g];
    }
  }

  finish_columns<S, Rows, Groups>(task, sum);
}

template <class S, int RowBytes, int Rows, int Groups, class Fetch = NoFetch, class Offsets>
HOTLOOPS_INLINE void multiply_rows_in_place(const Columns& task, const Offsets& offsets) {
  using T = typename S::T;
  if (task.a_col_stride == 1) {
    multiply_columns<S, RowBytes, Rows, Groups, RowsInPlace<T, Rows, true>, Fetch>(task, offsets);
  } else {
    multiply_columns<S, RowBytes, Rows, Groups, RowsInPlace<T, Rows, false>, Fetch>(task, offsets);
  }
}

template <class S>
HOTLOOPS_INLINE RowOffsets offsets_of(const Columns& task) {
  return RowOffsets(task.b_col_stride * static_cast<int64_t>(sizeof(typename S::T)));
}

template <class S, int RowBytes, int Rows, int Groups>
void columns(const Columns& task) {
  multiply_rows_in_place<S, RowBytes, Rows, Groups>(task, offsets_of<S>(task));
}

// One vector of columns from memory.
template <class S, int RowBytes, int Rows>
void far_columns(const Columns& task) {
  multiply_rows_in_place<S, RowBytes, Rows, 1, BlockFetch<S>>(task, offsets_of<S>(task));
}

// Fewer columns than a vector has lanes: those left over have the last one again.
template <class S, int RowBytes, int Rows>
void few_columns(const Columns& task) {
  LaneOffsets<S> offsets;
  for (int lane = 0; lane < S::lanes; ++lane) {
    const int64_t col = lane < task.cols ? lane : task.cols - 1;
    offsets.bytes[lane] = col * task.b_col_stride * static_cast<int64_t>(sizeof(typename S::T));
  }
  multiply_rows_in_place<S, RowBytes, Rows, 1>(task, offsets);
}

// Rows packed before times one vector of columns. The rows are chains enough: with a second vector
// eight rows took 5 % longer, and twelve 25 %.
template <class S, int RowBytes, int Rows, class Fetch = NoFetch>
void packed_columns(const Columns& task) {
  multiply_columns<S, RowBytes, Rows, 1, PackedRows<typename S::T, Rows>, Fetch>(
      task, offsets_of<S>(task));
}

template <class S, int RowBytes>
HOTLOOPS_INLINE void add_products(const Transposed<S, RowBytes>& x,
                                  const Transposed<S, RowBytes>& y, typename S::V& sum) {
#pragma GCC unroll 8
  for (int e = 0; e < x.kDepth; ++e) sum += x.x[e] * y.x[e];
}

// Some vectors of pairs of rows, each row's values side by side in memory. Where a's rows are as
// far apart as b's (Alike), one set of offsets is enough, and there are registers for two vectors:
// a tenth faster.
//
// Nothing is fetched ahead: that took a fifth of the time where both are in L2, and gained nothing
// where they are in memory.
template <class S, int RowBytes, int Vectors, bool Alike>
class RowPairs {
 public:
  using T = typename S::T;
  using V = typename S::V;
  static constexpr int kDepth = Transposed<S>::kDepth;

  // From one row to the next it is so many values.
  HOTLOOPS_INLINE RowPairs(const void* a, int64_t a_stride, const void* b, int64_t b_stride)
      : a_offsets_(a_stride * kSize), b_offsets_(b_stride * kSize) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      a_[v] = static_cast<const T*>(a) + v * S::lanes * a_stride;
      b_[v] = static_cast<const T*>(b) + v * S::lanes * b_stride;
    }
  }

  // Calls add(v, x, y) with some values at a time of the v-th vector of rows, until so many have
  // been, a multiple of kDepth.
  template <class F>
  HOTLOOPS_INLINE void each(int64_t values, F add) {
    constexpr int kLine = 64 / kSize;
    for (; values >= kLine; values -= kLine) step<kLine, RowBytes>(add);
    for (; values > 0; values -= kDepth) step<kDepth, 16>(add);
  }

  // Adds the products of fewer values than kDepth. Where others have been before these, some are
  // read again: whole 16 bytes take less time.
  HOTLOOPS_INLINE void add_rest(int64_t values, bool first, V (&sum)[Vectors]) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      for (int64_t p = 0; first && p < values; ++p) {
        sum[v] += gather<S>(a_[v] + p, a_offsets_) * gather<S>(b_[v] + p, b_offsets());
      }
      if (first || values == 0) continue;
      const Transposed<S> x(a_[v] + values - kDepth, a_offsets_);
      const Transposed<S> y(b_[v] + values - kDepth, b_offsets());
#pragma GCC unroll 4
      for (int e = 1; e < kDepth; ++e) {
        if (e >= kDepth - values) sum[v] += x.x[e] * y.x[e];
      }
    }
  }

 private:
  static constexpr int64_t kSize = sizeof(T);

  [[nodiscard]] HOTLOOPS_INLINE const RowOffsets& b_offsets() const {
    return Alike ? a_offsets_ : b_offsets_;
  }

  template <int Values, int Bytes, class F>
  HOTLOOPS_INLINE void step(F add) {
    using Rows = Transposed<S, Bytes>;
#pragma GCC unroll 8
    for (int p = 0; p < Values; p += Rows::kDepth) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        add(v, Rows(a_[v] + p, a_offsets_), Rows(b_[v] + p, b_offsets()));
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      a_[v] += Values;
      b_[v] += Values;
    }
  }

  const T* a_[Vectors];
  const T* b_[Vectors];
  RowOffsets a_offsets_, b_offsets_;
};

// So many vectors of dot products, from the `first` one on.
template <class S, int RowBytes, int Vectors, bool Alike>
HOTLOOPS_INLINE void sum_dots(const Dots& task, int64_t first) {
  using T = typename S::T;
  using V = typename S::V;
  constexpr int kDepth = Transposed<S>::kDepth;
  RowPairs<S, RowBytes, Vectors, Alike> rows(
      static_cast<const T*>(task.a) + first * task.a_stride, task.a_stride,
      static_cast<const T*>(task.b) + first * task.b_stride, task.b_stride);
  V sum[Vectors] = {};
  for (int64_t k = 0; k < task.k; k += kKc) {
    const int64_t depth = task.k - k < kKc ? task.k - k : kKc;
    V block[Vectors] = {};
    rows.each(depth / kDepth * kDepth,
              [&](int v, const auto& x, const auto& y)
                  HOTLOOPS_LAMBDA_INLINE { add_products(x, y, block[v]); });
    rows.add_rest(depth % kDepth, task.k < kDepth, block);
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) sum[v] = k == 0 ? block[v] : sum[v] + block[v];
  }
#pragma GCC unroll 2
  for (int v = 0; v < Vectors; ++v) {
    S::store(static_cast<T*>(task.sums) + first + v * S::lanes, sum[v]);
  }
}

// The last products come with some that have been if they are fewer than fill a vector.
template <class S, int RowBytes, bool Alike>
HOTLOOPS_INLINE void all_dots(const Dots& task) {
  constexpr int64_t kPair = 2 * S::lanes;
  int64_t i = 0;
  for (; Alike && i + kPair <= task.count; i += kPair) sum_dots<S, RowBytes, 2, Alike>(task, i);
  for (; i < task.count; i += S::lanes) {
    sum_dots<S, RowBytes, 1, Alike>(task, i + S::lanes <= task.count ? i : task.count - S::lanes);
  }
}

template <class S, int RowBytes>
void row_dots(const Dots& task) {
  if (task.a_stride == task.b_stride) {
    all_dots<S, RowBytes, true>(task);
  } else {
    all_dots<S, RowBytes, false>(task);
  }
}

// The sums of a vector of blocks from memory.
template <class S, int RowBytes>
void far_block_sums(const void* a, const void* b, void* sums) {
  using T = typename S::T;
  using Fetch = BlockFetch<S, Transposed<S, RowBytes>::kDepth>;
  Fetch fetch_a(static_cast<const T*>(a) + S::lanes * kKc, kKc);
  Fetch fetch_b(static_cast<const T*>(b) + S::lanes * kKc, kKc);
  typename S::V sum = {};
  RowPairs<S, RowBytes, 1, true>(a, kKc, b, kKc)
      .each(kKc, [&](int, const auto& x, const auto& y) HOTLOOPS_LAMBDA_INLINE {
        fetch_a.next();
        fetch_b.next();
        add_products(x, y, sum);
      });
  S::store(static_cast<T*>(sums), sum);
}

// The sums of a vector of blocks, or of none, and of fewer values behind it than another one has:
// the last block may be a short one. Its chain goes on beside all others: one after the other took
// a third longer, and filling it up more than that.
template <class S, int Whole>
void last_block_sums(const void* a, const void* b, int64_t values, void* sums) {
  using T = typename S::T;
  using V = typename S::V;
  constexpr int kDepth = Transposed<S>::kDepth;
  constexpr int64_t kBlock = kKc * static_cast<int64_t>(sizeof(T));
  const T* x = static_cast<const T*>(a) + Whole * S::lanes * kKc;
  const T* y = static_cast<const T*>(b) + Whole * S::lanes * kKc;
  values -= Whole * S::lanes * kKc;
  const int64_t last = (values - 1) / kKc;
  const int64_t depth = values - last * kKc;
  const int64_t common = depth / kDepth * kDepth;
  LaneOffsets<S> offsets;
  for (int64_t lane = 0; lane < S::lanes; ++lane) {
    // Lanes without a block of their own have the first one again.
    offsets.bytes[lane] = lane <= last ? lane * kBlock : 0;
  }
  V sum[Whole + 1] = {};  // the last one of the last blocks
  const auto add = [&](int64_t begin, int64_t end) HOTLOOPS_LAMBDA_INLINE {
    for (int64_t p = begin; p < end; p += kDepth) {
      add_products(Transposed<S>(x + p, offsets), Transposed<S>(y + p, offsets), sum[Whole]);
      if constexpr (Whole > 0) {
        const T* whole_x = static_cast<const T*>(a) + p;
        const T* whole_y = static_cast<const T*>(b) + p;
        add_products(Transposed<S>(whole_x, kBlock), Transposed<S>(whole_y, kBlock), sum[0]);
      }
    }
  };
  add(0, common);
  T sum_of_last = sum[Whole][last];
  for (int64_t p = last * kKc + common; p < values; ++p) sum_of_last += x[p] * y[p];
  if (Whole > 0 || last > 0) {
    offsets.bytes[last] = 0;
    if (last == 0) x = y = static_cast<const T*>(a);  // whatever can be read
    add(common, kKc);
  }
  sum[Whole][last] = sum_of_last;
  for (int v = 0; v <= Whole; ++v) S::store(static_cast<T*>(sums) + v * S::lanes, sum[v]);
}

// The same of complex numbers: see DotKernels.
template <class S, int RowBytes, int Vectors>
void complex_block_sums(const void* a, const void* b, void* real, void* imaginary) {
  using T = typename S::T;
  typename S::V re[Vectors] = {};
  typename S::V im[Vectors] = {};
  RowPairs<S, RowBytes, Vectors, true>(a, kKc, b, kKc)
      .each(kKc, [&](int v, const auto& x, const auto& y) HOTLOOPS_LAMBDA_INLINE {
#pragma GCC unroll 8
        for (int e = 0; e < x.kDepth; e += kComplexParts) {
          re[v] += x.x[e] * y.x[e];
          im[v] += x.x[e] * y.x[e + 1];
          re[v] -= x.x[e + 1] * y.x[e + 1];
          im[v] += x.x[e + 1] * y.x[e];
        }
      });
  for (int v = 0; v < Vectors; ++v) {
    S::store(static_cast<T*>(real) + v * S::lanes, re[v]);
    S::store(static_cast<T*>(imaginary) + v * S::lanes, im[v]);
  }
}

// The width of their vectors: 32 bytes at most. Of these, three units take what two take of 64, and
// two shuffle them instead of one; rows of sixteen values would also be more streams at a time than
// the hardware foresees. A matrix of float32 in L2 was read 15 % more slowly by vectors of 64
// bytes, one of float64 25 %. With more rows there are more multiply-adds than shuffles, and packed
// rows meet the longest vectors. (Not so on every CPU: see avx512zen.cc.)
template <class S>
inline constexpr int kDotBytes = sizeof(typename S::V) > 32 ? 32 : sizeof(typename S::V);

// Vectors of columns side by side, by rows - 1. There is a chain for each of them and each row: too
// few wait for their own multiply-adds, too many do not fit the registers. More than 24 columns are
// more streams than L1 holds lines of where rows are a power of two apart (see vectors_of_columns).
template <class S>
constexpr int most_vectors() {
  if (S::lanes > 8) return 2;
  return S::lanes < 8 ? 4 : 3;
}
template <class S>
inline constexpr int kMostVectors = most_vectors<S>();
template <class S>
inline constexpr int kFewVectors = kVectorRegisters < 32 ? 2 : kMostVectors<S>;

template <class S, int RowBytes, int Rows, int Vectors>
constexpr void set_columns(DotKernels& dots) {
  dots.columns[Rows - 1][Vectors - 1] = &columns<S, RowBytes, Rows, Vectors>;
  if constexpr (Vectors > 1) set_columns<S, RowBytes, Rows, Vectors - 1>(dots);
}

// With fewer rows, vectors of columns side by side make more chains.
template <class S>
inline constexpr int kLeastPackedRows = sizeof(typename S::V) > 32 ? 4 : 5;

template <class S, int RowBytes, int Rows>
constexpr void set_packed_columns(DotKernels& dots) {
  dots.packed[Rows - 1] = &packed_columns<S, RowBytes, Rows>;
  if constexpr (Rows > kLeastPackedRows<S>) set_packed_columns<S, RowBytes, Rows - 1>(dots);
}

// Packed rows are multiplied by vectors S, fewer rows by Few. Of each row of what lies along k, so
// many bytes are read at a time.
template <class S, class Few, int RowBytes>
constexpr DotKernels make_dot_kernels() {
  constexpr int kMost = kMostVectors<Few>;
  constexpr int kFew = kFewVectors<Few>;
  // A chain for each row, and the values that are transposed together, fit the registers.
  constexpr int kHeight = kVectorRegisters < 32 ? 10 : kPackedRows;
  DotKernels dots{.lanes = Few::lanes,
                  .row_bytes = RowBytes,
                  .any_company = true,
                  .most_rows = 2 * kColumnsRows,
                  .vectors = {kMost, kMost, kFew, kFew},
                  .columns = {},
                  .few_columns = {&few_columns<Few, RowBytes, 1>, &few_columns<Few, RowBytes, 2>,
                                  &few_columns<Few, RowBytes, 3>, &few_columns<Few, RowBytes, 4>},
                  .row_dots = &row_dots<Few, RowBytes>,
                  .last_block_sums = {&last_block_sums<Few, 0>, &last_block_sums<Few, 1>},
                  .complex_block_sums = {&complex_block_sums<Few, RowBytes, 1>,
                                         &complex_block_sums<Few, RowBytes, 2>},
                  .packed_lanes = S::lanes,
                  .least_packed_rows = kLeastPackedRows<S>,
                  .packed_rows = kHeight,
                  .most_packed_panels = sizeof(typename S::T) == 4 ? 3 : 4};
  set_columns<Few, RowBytes, 1, kMost>(dots);
  set_columns<Few, RowBytes, 2, kMost>(dots);
  set_columns<Few, RowBytes, 3, kFew>(dots);
  set_columns<Few, RowBytes, 4, kFew>(dots);
  set_packed_columns<S, RowBytes, kHeight>(dots);
  return dots;
}

// Those of what comes from memory, in vectors that rows packed before have, too.
template <class S, int RowBytes, int Rows>
constexpr void set_far_columns(DotKernels& dots) {
  if constexpr (Rows <= kColumnsRows) dots.far_columns[Rows - 1] = &far_columns<S, RowBytes, Rows>;
  if constexpr (Rows >= kLeastPackedRows<S>) {
    dots.far_packed[Rows - 1] = &packed_columns<S, RowBytes, Rows, BlockFetch<S>>;
  }
  if constexpr (Rows > 1) set_far_columns<S, RowBytes, Rows - 1>(dots);
}

template <class S>
inline constexpr DotKernels kDotKernels =
    make_dot_kernels<S, Simd<typename S::T, kDotBytes<S>>, 16>();

}  // namespace hotloops::HOTLOOPS_ISA
