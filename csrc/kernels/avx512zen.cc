#define HOTLOOPS_ISA avx512zen
#include "kernels/dots.h"
#include "kernels/leaves.h"
#include "kernels/wide_rows.h"

namespace hotloops::avx512zen {
namespace {

// Zen 5 loads two vectors a cycle, however short they are, and shuffles four of 64 bytes: rows are
// loaded by 32 bytes, not by 16. A row times columns in L2 takes 0.85 of the time, from L3 0.8,
// where they are 4 KB apart 0.7. Whole lines, and two shuffles more, were faster for dot products
// in L2 alone.
//
// From memory, so many rows at a time are more streams than it foresees: fetched one after the
// other, a block ahead, they come at 34-48 GB/s instead of 26-32 (eight rows of float64 times them
// 28 instead of 13). From L3 that gains nothing, from L2 it loses a third.
template <class T>
constexpr DotKernels make_dots() {
  using S = Simd<T, 64>;
  DotKernels dots = make_dot_kernels<S, S, 32>();
  set_far_columns<S, 32, kPackedRows>(dots);
  dots.far_block_sums = &far_block_sums<S, 32>;
  return dots;
}

constexpr DotKernels kFloats = make_dots<float>();
constexpr DotKernels kDoubles = make_dots<double>();

// Rows of B in pieces of 4 KB: L3 gives 110 GB/s instead of 70, memory 45 instead of 28.
template <class T>
constexpr WideRowKernel make_wide_row() {
  using Row = WideRow<Simd<T, 64>, 8>;
  return {.cols = Row::kCols, .run = &Row::run};
}

}  // namespace

constexpr KernelOverlay kOverlay = [] {
  KernelOverlay overlay{.isa = Isa::avx512};
  const auto set_dots = [&](Arithmetic arithmetic, const DotKernels& dots) {
    overlay.dots[static_cast<int>(arithmetic)] = &dots;
  };
  set_dots(Arithmetic::f32, kFloats);
  set_dots(Arithmetic::f64, kDoubles);
  set_dots(Arithmetic::c64, kFloats);
  set_dots(Arithmetic::c128, kDoubles);
  overlay.wide_row[static_cast<int>(Arithmetic::f32)] = make_wide_row<float>();
  overlay.wide_row[static_cast<int>(Arithmetic::f64)] = make_wide_row<double>();
  return overlay;
}();

}  // namespace hotloops::avx512zen
