#define HOTLOOPS_ISA amx
#include "kernels/leaves.h"
#include "kernels/slicing.h"
#include "kernels/splitting.h"
#include "kernels/tile_burst.h"
#include "kernels/tile_microkernel.h"
#include "kernels/tile_rows.h"

namespace hotloops::amx {
namespace {

// A panel of A takes so many bytes at most, three quarters of most L1 caches: with more, the tiles
// wait for L2.
constexpr int64_t kPanelBytes = 36 << 10;

// What is packed of a row of B at a time, of operands that are packed as they are: with one panel
// after the other, of rows a power of two apart even L2 does not hold the lines of a panel until
// the next. 2048 x 2048 bytes were packed 1.1 times as fast, as bfloat16 1.2 times. Where values
// are split, which takes longer than to read them, it gained nothing.
constexpr int kBytesOfRows = 256;

// The values of k in a block: as many as a panel of A takes, or the plain kernel for what does not
// suit tiles.
template <class Form>
constexpr int64_t block_of_k() {
  const int64_t most = kPanelBytes / TilePanels<Form>::kStepBytes * Form::kStep;
  if (requires { Form::suit; }) return most < kKc ? most : kKc;
  return most;
}

// Sums of several products of pieces depend on their order, which is not that of B' A'.
template <class Scheme>
constexpr bool commutes() {
  if constexpr (requires { Scheme::kOrder; }) {
    return sizeof Scheme::kOrder == sizeof(Pieces);
  } else {
    return true;
  }
}

// The types of operands and sums.
struct Types {
  ElementType a, b;
  DType sums;
};

// Tiles for many rows. A few rows are left to AVX-512, which are limited by reading B, unless
// break_even is 0: where tiles are as good at that, as for bytes; and where it matters to the bits
// which of the two multiplies, so that a row of half types has the same ones alone.
template <template <class> class Kernels, class Scheme>
constexpr void set_kernel(KernelOverlay& overlay, Arithmetic arithmetic, Types types,
                          int64_t break_even) {
  using K = Kernels<Scheme>;
  using Form = typename Scheme::Form;
  using Panels = TilePanels<Form>;
  constexpr bool kMayNotSuit = requires { Form::suit; };
  constexpr int64_t kc = block_of_k<Form>();
  Kernel(&kernels)[kTileShapes] = overlay.matmul[static_cast<int>(arithmetic)];
  Kernel& kernel = kernels[0];
  kernel.isa = overlay.isa;
  kernel.arithmetic = arithmetic;
  kernel.a_type = types.a;
  kernel.b_type = types.b;
  kernel.dtype = types.sums;
  kernel.mr = K::Sums::kRows;
  kernel.nr = K::Sums::kCols;
  kernel.kr = Form::kStep;
  kernel.kc = kc;
  kernel.panels = {
      .pack_a = &Panels::pack_a,
      .pack_b = &Panels::pack_b,
      .unpack_b = &Panels::unpack_b,
      .a_bytes = static_cast<int64_t>(sizeof(PanelHead)) + kc / Form::kStep * Panels::kStepBytes,
      .b_head_bytes = sizeof(PanelHead),
      .b_step_bytes = Panels::kStepBytes,
      .k_step = Form::kStep,
      .b_group = kMayNotSuit ? 1 : kBytesOfRows / (Panels::kCols * sizeof(typename Form::T)),
      .always = true,
      .a_in_first_tile = K::kPacksA};
  if constexpr (kMayNotSuit) kernel.panels.suit = &Form::suit;
  kernel.choose = &K::choose;
  kernel.interleaved = {.packs_next_a = true};
  kernel.commutes = commutes<Scheme>();
  kernel.break_even = break_even;
  kernel.begin = &begin_product;
  kernel.end = &end_tiles;
  kernel.pending_bytes = sizeof(PendingTile);
  kernel.finish = &K::finish;
  if (break_even == 0) kernels[1] = kernel;
}

// One row of half types, and two of bfloat16 whose columns of B lie along k, without tiles.
constexpr void set_rows_of_halves(KernelOverlay& overlay) {
  constexpr int64_t kBf16Kc = block_of_k<Bf16Tiles::Form>();
  constexpr int64_t kF16Kc = block_of_k<Float16Tiles::Form>();
  constexpr int kRowCols = 128;
  auto& bf16 = overlay.matmul[static_cast<int>(Arithmetic::bf16)];
  auto& f16 = overlay.matmul[static_cast<int>(Arithmetic::f16)];
  for (Kernel& kernel : bf16) kernel.dots = &kBf16Dots<kBf16Kc>;
  bf16[2] = make_row_kernel<HalfRowKernel<Flushed<Bf16RowSums>::Row, kBf16Kc, kRowCols>>(
      overlay.isa, Arithmetic::bf16, &kBf16Dots<kBf16Kc>);
  f16[2] = make_row_kernel<HalfRowKernel<Flushed<Float16RowSums>::Row, kF16Kc, kRowCols>>(
      overlay.isa, Arithmetic::f16, &kFloat16Dots<kF16Kc>);
}

constexpr KernelOverlay make_overlay() {
  using enum ElementType;
  constexpr Types kFloats{.a = f32, .b = f32, .sums = DType::f32};
  KernelOverlay overlay{.isa = Isa::amx, .shares_dots = true};
  set_kernel<QuarteredKernel, Bf16x6>(overlay, Arithmetic::bf16x6, kFloats, 56);
  set_kernel<QuarteredKernel, Bf16x3>(overlay, Arithmetic::bf16x3, kFloats, 28);
  set_kernel<QuarteredKernel, Bf16x1>(overlay, Arithmetic::bf16x1, kFloats, 20);
  set_kernel<QuarteredKernel, Bf16Tiles>(overlay, Arithmetic::bf16, {bf16, bf16, DType::f32}, 0);
  set_kernel<QuarteredKernel, Float16Tiles>(overlay, Arithmetic::f16, {f16, f16, DType::f32}, 0);
  set_rows_of_halves(overlay);
  set_kernel<QuarteredKernel, Int8Tiles<true, true>>(overlay, Arithmetic::i8, {i8, i8, DType::i32},
                                                     0);
  set_kernel<QuarteredKernel, Int8Tiles<false, false>>(overlay, Arithmetic::u8,
                                                       {u8, u8, DType::i32}, 0);
  set_kernel<QuarteredKernel, Int8Tiles<true, false>>(overlay, Arithmetic::i8u8,
                                                      {i8, u8, DType::i32}, 0);
  set_kernel<QuarteredKernel, Int8Tiles<false, true>>(overlay, Arithmetic::u8i8,
                                                      {u8, i8, DType::i32}, 0);
  set_kernel<ShiftedKernel, Int16Tiles>(overlay, Arithmetic::i16, {i16, i16, DType::i32}, 8);
  set_kernel<ShiftedKernel, Int32Tiles>(overlay, Arithmetic::i32, {i32, i32, DType::i32}, 8);
  set_kernel<ShiftedKernel, Int64Tiles>(overlay, Arithmetic::i64, {i64, i64, DType::i64}, 8);
  // Pairs of bfloat16 of magnitudes from 1 to 2, whose sums stay finite.
  overlay.tile_burst[static_cast<int>(TileProduct::bf16)] =
      &tile_burst<DotBf16, 32, 0x807f807f, 0x3f803f80>;
  overlay.tile_burst[static_cast<int>(TileProduct::i8)] =
      &tile_burst<DotInt8<true, true>, 64, 0xffffffff, 0>;
  return overlay;
}

}  // namespace

constexpr KernelOverlay kOverlay = make_overlay();

}  // namespace hotloops::amx
