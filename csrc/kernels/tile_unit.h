// The tile unit's instructions. Leaves only.
//
// Eight registers of 16 rows x 64 bytes. A dot-product instruction takes 16 rows of A and, in the
// second operand, B in rows of 16 columns x 4 bytes: what one accumulator needs of so many values
// of k lies side by side.
//
//   tmm0 tmm1   the accumulators of 32 x 32 results      tmm4 tmm5   A's upper and lower 16 rows
//   tmm2 tmm3                                            tmm6 tmm7   B's left and right 16 columns
//
// In assembly because GCC's intrinsics are macros that take nothing but literals, and tell the
// compiler of 8 of the 64 bytes that a configuration has.

#pragma once

#include <stdint.h>

#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

inline constexpr int kTileRows = 16;
inline constexpr int64_t kTileRowBytes = 64;
inline constexpr int kTileCols = 16;  // of 32 bits, of accumulators and B
inline constexpr int64_t kTileBytes = kTileRows * kTileRowBytes;

// The thread's tile unit is in use from begin_tiles() to end_tiles(): in between no other code that
// uses it may run on the thread, and a context switch saves its 8 KiB.
inline void begin_tiles() {
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static constexpr Config kConfig;
  asm volatile("ldtilecfg %0" ::"m"(kConfig));
}
inline void end_tiles() { asm volatile("tilerelease"); }

template <int Tile>
HOTLOOPS_INLINE void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}

// Of kTileRows rows without gaps.
template <int Tile>
HOTLOOPS_INLINE void tile_load(const void* p) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(kTileRowBytes), "i"(Tile) : "memory");
}

// Of kTileRows rows so many bytes apart.
template <int Tile>
HOTLOOPS_INLINE void tile_load_rows(const void* p, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}

// Without gaps, of what is not needed in L1 again soon.
template <int Tile>
HOTLOOPS_INLINE void tile_stream(const void* p) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(kTileRowBytes), "i"(Tile)
               : "memory");
}

template <int Tile>
HOTLOOPS_INLINE void tile_store(void* p) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(kTileRowBytes), "i"(Tile) : "memory");
}

// C += A B for pairs of bfloat16, in float32. Within an instruction, even and odd values of k are
// summed apart, each in fused multiply-adds; subnormal operands and sums count as zero.
struct DotBf16 {
  template <int C, int A, int B>
  HOTLOOPS_INLINE static void run() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
  }
};

// The same for fours of bytes, in 32 bits, modulo 2^32. Each operand is signed or not.
template <bool ASigned, bool BSigned>
struct DotInt8 {
  template <int C, int A, int B>
  HOTLOOPS_INLINE static void run() {
    if constexpr (ASigned && BSigned) {
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    } else if constexpr (ASigned) {
      asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    } else if constexpr (BSigned) {
      asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    } else {
      asm volatile("tdpbuud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
    }
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
