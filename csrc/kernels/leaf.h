// What a leaf instantiates: `#define HOTLOOPS_ISA <name>`, include this, and make_kernel_set.

#pragma once

#include "kernel.h"
#include "kernels/dots.h"
#include "kernels/elements.h"
#include "kernels/microkernel.h"
#include "kernels/rows.h"
#include "kernels/updates.h"
#include "pack.h"

namespace hotloops::HOTLOOPS_ISA {

// Panels of values as they are.
template <class M>
struct PlainPanels {
  static void pack_a(const Piece& piece) { pack(M::kDType, piece, panel_pitch(M::kDType)); }
  static void pack_b(const Piece& piece) { pack(M::kDType, piece, M::kNr); }

  static constexpr Panels kPanels = {
      .pack_a = &pack_a,
      .pack_b = &pack_b,
      .a_bytes = M::kMr * panel_pitch(M::kDType) * size_of(M::kDType),
      .b_head_bytes = 0,
      .b_step_bytes = 4 * M::kNr * size_of(M::kDType),
      .k_step = 4,  // columns that pack transposes together
      .always = false,
      .suit = nullptr};
};

template <class S, class M>
constexpr Kernel make_kernel(Isa isa, const char* name) {
  return {.name = name,
          .isa = isa,
          .a_type = element_type(M::kDType),
          .b_type = element_type(M::kDType),
          .dtype = M::kDType,
          .mr = M::kMr,
          .nr = M::kNr,
          .kr = 1,
          .kc = kKc,
          .panels = PlainPanels<M>::kPanels,
          .choose = &M::choose,
          .dots = &kDotKernels<S>,
          .plain = nullptr,
          .break_even = 0,
          .begin = nullptr,
          .end = nullptr,
          .pending_bytes = 0,
          .finish = nullptr};
}

template <class S>
constexpr RowKernels make_row_kernels() {
  return {&Rows<S>::activate, &Rows<S>::activation_grad, &update<S>};
}

struct Names {
  const char* matmul[kDTypes][kTileShapes];
};

// Tiles of up to Mr rows and Nv vectors for products of many rows, of 4 x FewNv for up to four, of
// 1 x 8 for one: two units with a latency of four cycles are kept busy by eight accumulators.
template <class S, int Mr, int Nv, int FewNv>
constexpr void set_tiles(Kernel (&kernels)[kTileShapes], Isa isa,
                         const char* const (&names)[kTileShapes]) {
  kernels[0] = make_kernel<S, TileKernel<S, Mr, Nv>>(isa, names[0]);
  kernels[1] = make_kernel<S, TileKernel<S, 4, FewNv>>(isa, names[1]);
  kernels[2] = make_kernel<S, TileKernel<S, 1, 8>>(isa, names[2]);
}

template <int Bytes, int Mr, int Nv, int FewNv>
constexpr KernelSet make_kernel_set(Isa isa, const char* name, const Names& names) {
  using F32 = Simd<float, Bytes>;
  using F64 = Simd<double, Bytes>;
  KernelSet set{.isa = isa,
                .name = name,
                .matmul = {},
                .rows = {make_row_kernels<F32>(), make_row_kernels<F64>()},
                .elements = {},
                .fma_burst = {&Rows<F32>::fma_burst, &Rows<F64>::fma_burst},
                .negate = {&Rows<F32>::negate, &Rows<F64>::negate}};
  set_tiles<F32, Mr, Nv, FewNv>(set.matmul[static_cast<int>(Arithmetic::f32)], isa,
                                names.matmul[0]);
  set_tiles<F64, Mr, Nv, FewNv>(set.matmul[static_cast<int>(Arithmetic::f64)], isa,
                                names.matmul[1]);
  set_element_kernels<Bytes>(set.elements);
  return set;
}

}  // namespace hotloops::HOTLOOPS_ISA
