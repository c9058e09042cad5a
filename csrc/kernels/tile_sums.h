// The end of a tile: sums of 32 bits that have been stored from the accumulators, on their way to
// C.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/narrow.h"
#include "kernels/rows.h"
#include "kernels/simd.h"
#include "kernels/tile_unit.h"

namespace hotloops::HOTLOOPS_ISA {

// A tile whose sums wait for their way to C.
struct alignas(64) PendingTile {
  uint32_t sums[8][kTileRows][kTileCols];  // one accumulator after the other
  Tile tile;
  bool any;
  bool plain;  // of full width, without an epilogue
};

// How 32 x 32 sums lie in four accumulators.
template <class Sum>
struct Quarters {
  using S = Simd<Sum, 64>;
  static constexpr int kRows = 2 * kTileRows;
  static constexpr int kCols = 2 * kTileCols;

  // The sums from column `col` of a row on.
  HOTLOOPS_INLINE static typename S::V load(const PendingTile& pending, int row, int col) {
    const uint32_t* sums = pending.sums[row / kTileRows * 2 + col / kTileCols][row % kTileRows];
    return S::load(reinterpret_cast<const Sum*>(sums));
  }
};

// How 16 x 16 integers lie in accumulators, each to be shifted by a byte more than the one before.
template <int Shifts>
struct Shifted {
  using S = Simd<uint32_t, 64>;
  static constexpr int kRows = kTileRows;
  static constexpr int kCols = kTileCols;

  HOTLOOPS_INLINE static S::V load(const PendingTile& pending, int row, int) {
    S::V sum = S::load(pending.sums[0][row]);
#pragma GCC unroll 4
    for (int i = 1; i < Shifts; ++i) sum += S::load(pending.sums[i][row]) << (8 * i);
    return sum;
  }
};

// The same for 64 bits. Of the upper four shifts' sums, 32 bits are left.
template <>
struct Shifted<8> {
  using S = Simd<uint64_t, 64>;
  static constexpr int kRows = kTileRows;
  static constexpr int kCols = kTileCols;

  HOTLOOPS_INLINE static S::V load(const PendingTile& pending, int row, int col) {
    using Half = Simd<uint32_t, 32>;
    S::V sum = {};
    Half::V high = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Half::V low = Half::load(&pending.sums[i][row][col]);
      sum += __builtin_convertvector(low, S::V) << (8 * i);
      high += Half::load(&pending.sums[i + 4][row][col]) << (8 * i);
    }
    return sum + (__builtin_convertvector(high, S::V) << 32);
  }
};

// f(format) with the format that sums of S are narrowed to.
template <class S, class F>
HOTLOOPS_INLINE void with_format(ElementType type, F f) {
  if constexpr (kIsReal<typename S::T>) {
    if (type == ElementType::bf16) return f(Half<S, BFloat16>{});
    f(Half<S, Float16>{});
  } else {
    if (type == ElementType::i16) return f(SmallInteger<int16_t, S>{});
    f(SmallInteger<int8_t, S>{});
  }
}

// Most tiles: of full width, and to be stored as they are, or added to C.
template <class Sums, bool Accumulate>
HOTLOOPS_INLINE void finish_whole_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  auto* c = static_cast<typename S::T*>(pending.tile.c) + row * pending.tile.c_stride;
  for (; row < end; ++row, c += pending.tile.c_stride) {
#pragma GCC unroll 2
    for (int j = 0; j < Sums::kCols; j += S::lanes) {
      const typename S::V sums = Sums::load(pending, row, j);
      S::store(c + j, Accumulate ? S::load(c + j) + sums : sums);
    }
  }
}

// The last block of k of those that are narrowed.
template <class Sums, class To, bool Accumulate>
HOTLOOPS_INLINE void narrow_whole_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  const Tile& tile = pending.tile;
  const auto* c = static_cast<const typename S::T*>(tile.c) + row * tile.c_stride;
  auto* to = static_cast<typename To::T*>(tile.narrow_c) + row * tile.narrow_c_stride;
  for (; row < end; ++row, c += tile.c_stride, to += tile.narrow_c_stride) {
#pragma GCC unroll 2
    for (int j = 0; j < Sums::kCols; j += S::lanes) {
      const typename S::V sums = Sums::load(pending, row, j);
      To::store(to + j, Accumulate ? S::load(c + j) + sums : sums);
    }
  }
}

// Any tile.
template <class Sums>
[[gnu::noinline]] void finish_any_rows(const PendingTile& pending, int row, int end) {
  using S = typename Sums::S;
  using T = typename S::T;
  using V = typename S::V;
  const Tile& tile = pending.tile;
  const Epilogue& epilogue = tile.epilogue;
  for (; row < end; ++row) {
    const int64_t in_c = row * tile.c_stride;
    const T* c = static_cast<const T*>(tile.c) + in_c;
    T wide[Sums::kCols];
    T* to = tile.narrow_c == nullptr ? static_cast<T*>(tile.c) + in_c : wide;
    for (int j = 0; j < tile.cols; j += S::lanes) {
      V value = Sums::load(pending, row, j);
      const int n = tile.cols - j < S::lanes ? tile.cols - j : S::lanes;
      const auto add = [&](const void* row_of_it) HOTLOOPS_LAMBDA_INLINE {
        const T* from = static_cast<const T*>(row_of_it) + j;
        return (n == S::lanes ? S::load(from) : S::load_first(n, from, V{})) + value;
      };
      if (tile.accumulate) value = add(c);
      if constexpr (kIsReal<T>) {
        if (epilogue.bias != nullptr) value = add(epilogue.bias);
        if (epilogue.residual != nullptr) {
          value = add(static_cast<const T*>(epilogue.residual) + in_c);
        }
        if (epilogue.activation == Activation::relu) value = relu<S>(value);
      }
      if (n == S::lanes) {
        S::store(to + j, value);
      } else {
        S::store_first(n, to + j, value);
      }
    }
    if constexpr (kIsReal<T>) {
      if (epilogue.activation > Activation::relu) {
        activate_rows<S>(epilogue.activation, 1, tile.cols, tile.cols, to, to);
      }
    }
    if (tile.narrow_c == nullptr) continue;
    with_format<S>(tile.narrow_type, [&]<class To>(To) {
      auto* narrow_c = static_cast<typename To::T*>(tile.narrow_c) + row * tile.narrow_c_stride;
      convert_row<S, To>(tile.cols, wide, narrow_c);
    });
  }
}

template <class Sums>
HOTLOOPS_INLINE void finish_rows(const PendingTile& pending, int row, int end) {
  const Tile& tile = pending.tile;
  if (!pending.plain) return finish_any_rows<Sums>(pending, row, end);
  if (tile.narrow_c != nullptr) {
    return with_format<typename Sums::S>(
        tile.narrow_type, [&]<class To>(To) HOTLOOPS_LAMBDA_INLINE {
          if (tile.accumulate) return narrow_whole_rows<Sums, To, true>(pending, row, end);
          narrow_whole_rows<Sums, To, false>(pending, row, end);
        });
  }
  if (tile.accumulate) return finish_whole_rows<Sums, true>(pending, row, end);
  finish_whole_rows<Sums, false>(pending, row, end);
}

}  // namespace hotloops::HOTLOOPS_ISA
