#define HOTLOOPS_ISA avx512bf16
#include "kernels/bf16_pairs.h"
#include "kernels/leaves.h"

namespace hotloops::avx512bf16 {

void set_bf16(KernelSet& set, const KernelSet& avx512) {
  constexpr Arithmetic kArithmetic = Arithmetic::bf16;
  constexpr int kRowCols = 256;
  Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(kArithmetic)];
  Kernel tall =
      make_word_kernel<Bf16Pairs>(set.isa, kArithmetic, ElementType::bf16, ElementType::bf16);
  tall.dots = &kBf16PairDots;
  kernels[0] = kernels[1] = tall;
  kernels[2] = make_row_kernel<HalfRowKernel<Bf16PairRowSums, kKc, kRowCols>>(set.isa, kArithmetic,
                                                                              &kBf16PairDots);
  set.narrow[static_cast<int>(ElementType::bf16)] = &narrow_to_bf16;

  // A few rows of float32 are limited by reading B, and small products by packing: these stay what
  // they are. 24 x 384 x 1536 and 64 x 64 x 64 gain a tenth, 16 x 384 x 1536 lost a twentieth, 48 x
  // 48 x 48 a quarter.
  const auto& floats = avx512.matmul[static_cast<int>(Arithmetic::f32)];
  Kernel(&rounded)[kTileShapes] = set.matmul[static_cast<int>(Arithmetic::bf16x1)];
  for (int i = 1; i < kTileShapes; ++i) rounded[i] = floats[i];
  rounded[0] = make_word_kernel<RoundedPairs>(set.isa, Arithmetic::bf16x1, ElementType::f32,
                                              ElementType::f32);
  rounded[0].plain = &floats[0];
  rounded[0].break_even = 26;
}

}  // namespace hotloops::avx512bf16
