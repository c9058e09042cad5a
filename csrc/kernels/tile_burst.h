// The most that the tile unit does: products of what lies in its registers. Leaves only.

#pragma once

#include "kernels/tile_microkernel.h"

namespace hotloops::HOTLOOPS_ISA {

// Four tiles of random bits where Random has ones, and of Fixed's bits elsewhere.
template <uint32_t Random, uint32_t Fixed>
struct RandomTiles {
  alignas(64) uint32_t words[4][kTileBytes / sizeof(uint32_t)] = {};

  constexpr RandomTiles() {
    uint32_t state = 1;
    for (auto& tile : words) {
      for (uint32_t& word : tile) {
        state ^= state << 13;  // G. Marsaglia's xorshift
        state ^= state >> 17;
        state ^= state << 5;
        word = (state & Random) | Fixed;
      }
    }
  }
};

// Operands are random: with zeros the unit draws less power, and the clock stays where no product
// would leave it. Four accumulators in turn hide an instruction's latency, as in the microkernel.
// Depth: the values of k in a tile.
template <class Dot, int Depth, uint32_t Random, uint32_t Fixed>
int64_t tile_burst(int64_t iterations) {
  static constexpr RandomTiles<Random, Fixed> kTiles;
  begin_tiles();
  tile_load<4>(kTiles.words[0]);
  tile_load<5>(kTiles.words[1]);
  tile_load<6>(kTiles.words[2]);
  tile_load<7>(kTiles.words[3]);
  for (int64_t n = 0; n < iterations; ++n) {
    keep_awake();
    Dot::template run<0, 4, 6>();
    Dot::template run<2, 5, 6>();
    Dot::template run<1, 4, 7>();
    Dot::template run<3, 5, 7>();
  }
  end_tiles();
  return iterations * 4 * 2 * kTileRows * kTileCols * Depth;
}

}  // namespace hotloops::HOTLOOPS_ISA
