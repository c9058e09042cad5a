#define HOTLOOPS_ISA avx512bf16
#include "kernels/bf16_pairs.h"
#include "kernels/leaves.h"

namespace hotloops::avx512bf16 {
namespace {

constexpr void set_bf16(KernelOverlay& overlay) {
  constexpr Arithmetic kArithmetic = Arithmetic::bf16;
  constexpr int kRowCols = 256;
  Kernel(&kernels)[kTileShapes] = overlay.matmul[static_cast<int>(kArithmetic)];
  Kernel tall =
      make_word_kernel<Bf16Pairs>(overlay.isa, kArithmetic, ElementType::bf16, ElementType::bf16);
  tall.dots = &kBf16PairDots;
  kernels[0] = kernels[1] = tall;
  kernels[2] = make_row_kernel<HalfRowKernel<Bf16PairRowSums, kKc, kRowCols>>(
      overlay.isa, kArithmetic, &kBf16PairDots);
  overlay.narrow[static_cast<int>(ElementType::bf16)] = &narrow_to_bf16;
}

// A few rows of float32 are limited by reading B, and small products by packing: these stay
// float32's. 24 x 384 x 1536 and 64 x 64 x 64 gain a tenth, 16 x 384 x 1536 lost a twentieth, 48 x
// 48 x 48 a quarter.
constexpr void set_rounded_floats(KernelOverlay& overlay) {
  constexpr Arithmetic kArithmetic = Arithmetic::bf16x1;
  Kernel& tall = overlay.matmul[static_cast<int>(kArithmetic)][0];
  tall =
      make_word_kernel<RoundedPairs>(overlay.isa, kArithmetic, ElementType::f32, ElementType::f32);
  tall.break_even = 26;
}

}  // namespace

constexpr KernelOverlay kOverlay = [] {
  KernelOverlay overlay{.isa = Isa::avx512};
  set_bf16(overlay);
  set_rounded_floats(overlay);
  return overlay;
}();

}  // namespace hotloops::avx512bf16
