#define HOTLOOPS_ISA avx512bf16
#include "kernels/bf16_pairs.h"
#include "kernels/leaves.h"

namespace hotloops::avx512bf16 {

void set_bf16(KernelSet& set) {
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
}

}  // namespace hotloops::avx512bf16
