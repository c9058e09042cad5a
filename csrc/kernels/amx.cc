#define HOTLOOPS_ISA amx
#include "kernels/splitting.h"
#include "kernels/tile_microkernel.h"

namespace hotloops::avx512 {
extern const KernelSet kKernels;
}

namespace hotloops::amx {
namespace {

// A tile kernel for blocks of kc values of k, for operands that `plain` takes, too.
template <class Scheme, class Packing>
Kernel make_kernel(const char* name, int64_t kc, const Kernel& plain, int64_t break_even) {
  constexpr int64_t kStepBytes = Scheme::kPieces * 2 * kTileBytes;
  return {.name = name,
          .isa = Isa::amx,
          .a_type = plain.a_type,
          .b_type = plain.b_type,
          .dtype = plain.dtype,
          .mr = kTileMr,
          .nr = kTileNr,
          .kr = Scheme::kStep,
          .kc = kc,
          .panels = {.pack_a = &Packing::pack_a,
                     .pack_b = &Packing::pack_b,
                     .a_bytes = static_cast<int64_t>(sizeof(PanelHead)) +
                                (kc + Scheme::kStep - 1) / Scheme::kStep * kStepBytes,
                     .b_head_bytes = sizeof(PanelHead),
                     .b_step_bytes = kStepBytes,
                     .k_step = Scheme::kStep,
                     .always = true,
                     .suit = &Packing::suit},
          .choose = &choose_tile<Scheme>,
          .dots = plain.dots,
          .plain = &plain,
          .break_even = break_even,
          .begin = &begin_tiles,
          .end = &end_tiles,
          .pending_bytes = sizeof(PendingTile),
          .finish = &finish_pending};
}

// Tiles for many rows. A few rows are limited by reading B: its plain values are the fewest bytes.
template <class Scheme>
void set_split(KernelSet& set, Arithmetic arithmetic, const char* name, int64_t kc,
               int64_t break_even) {
  const auto& plain = avx512::kKernels.matmul[static_cast<int>(Arithmetic::f32)];
  auto& kernels = set.matmul[static_cast<int>(arithmetic)];
  kernels[0] = make_kernel<Scheme, SplitPanels<Scheme>>(name, kc, plain[0], break_even);
  for (int i = 1; i < kTileShapes; ++i) kernels[i] = plain[i];
}

}  // namespace

// A panel of A takes three quarters of L1 at most; with more, the tiles wait for L2.
void set_tiles(KernelSet& set) {
  set_split<Bf16x6>(set, Arithmetic::bf16x6, "matmul_float32_bf16x6_amx_32x32", 192, 56);
  set_split<Bf16x3>(set, Arithmetic::bf16x3, "matmul_float32_bf16x3_amx_32x32", 256, 28);
  set_split<Bf16x1>(set, Arithmetic::bf16x1, "matmul_float32_bf16_amx_32x32", 256, 20);
}

}  // namespace hotloops::amx
