// One row of a half type times rows of B as they lie in memory, whose sums are formed as others
// are, to the bit: those of tiles, or of pairs. Leaves with AVX-512 only.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/narrow_rows.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

using RowVector = Simd<float, 64>;

// Sums<Nv, Whole> has
//   kType, kCommutes  of the operands, and as Kernel has it
//   run               the sums of a block of k, of Nv vectors of columns, the last one with `last`
//                     of them, or all (Whole)
template <template <int, bool> class Sums, int Nv, bool Whole, int PanelNr>
class HalfRow : Microkernel<RowVector, 1, Nv, StridedA, Whole, false, PanelNr> {
 public:
  template <bool InPlace>
  static void run(const Tile& tile) {
    const int last = tile.cols - (Nv - 1) * RowVector::lanes;
    RowVector::V acc[1][Nv];
    Sums<Nv, Whole>::run(tile, InPlace ? tile.a_col_stride : 1, last, acc[0]);
    Base::finish(tile, last, acc);
  }

 private:
  using Base = Microkernel<RowVector, 1, Nv, StridedA, Whole, false, PanelNr>;
};

template <template <int, bool> class Sums, int64_t Kc, int Nr>
class HalfRowKernel {
 public:
  static constexpr ElementType kAType = Sums<1, true>::kType;
  static constexpr ElementType kBType = kAType;
  static constexpr DType kDType = DType::f32;
  static constexpr int kNr = Nr;
  static constexpr int64_t kKc = Kc;
  static constexpr bool kCommutes = Sums<1, true>::kCommutes;

  static RunTile choose(int, int cols, Operands operands) {
    const bool whole = cols % RowVector::lanes == 0;
    return kRuns.run[(cols - 1) / RowVector::lanes][whole][operands == Operands::in_place];
  }

 private:
  static constexpr int kNv = kNr / RowVector::lanes;
  struct Runs {
    RunTile run[kNv][2][2];
  };

  template <int Nv>
  static constexpr void set(Runs& runs) {
    auto& run = runs.run[Nv - 1];
    run[false][false] = &HalfRow<Sums, Nv, false, kNr>::template run<false>;
    run[false][true] = &HalfRow<Sums, Nv, false, kNr>::template run<true>;
    run[true][false] = &HalfRow<Sums, Nv, true, kNr>::template run<false>;
    run[true][true] = &HalfRow<Sums, Nv, true, kNr>::template run<true>;
    if constexpr (Nv > 1) set<Nv - 1>(runs);
  }

  static constexpr Runs make() {
    Runs runs{};
    set<kNv>(runs);
    return runs;
  }

  static constexpr Runs kRuns = make();
};

}  // namespace hotloops::HOTLOOPS_ISA
