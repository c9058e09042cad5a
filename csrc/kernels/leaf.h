// What a leaf instantiates: `#define HOTLOOPS_ISA <name>`, include this, and make_kernel_set.

#pragma once

#include "kernel.h"
#include "kernels/complex.h"
#include "kernels/dots.h"
#include "kernels/elements.h"
#include "kernels/microkernel.h"
#include "kernels/narrow.h"
#include "kernels/narrow_rows.h"
#include "kernels/pairs.h"
#include "kernels/panels.h"
#include "kernels/rows.h"
#include "kernels/short_rows.h"
#include "kernels/sums.h"
#include "kernels/updates.h"

namespace hotloops::HOTLOOPS_ISA {

template <class S, class M, class Packing>
constexpr Kernel make_kernel(Isa isa, Arithmetic arithmetic, ElementType a_type,
                             ElementType b_type) {
  constexpr int64_t kStep = 4;  // columns that pack transposes together
  const bool in_place = M::kInPlace && a_type == element_type(M::kDType);
  const DotKernels* dots = nullptr;
  if constexpr (M::kInPlace) dots = in_place ? &kDotKernels<S> : nullptr;
  return {.isa = isa,
          .arithmetic = arithmetic,
          .a_type = a_type,
          .b_type = b_type,
          .dtype = M::kDType,
          .mr = M::kMr,
          .nr = M::kNr,
          .kr = 1,
          .kc = kKc,
          .panels = {.pack_a = &Packing::pack_a,
                     .pack_b = &Packing::pack_b,
                     .unpack_b = &Packing::unpack_b,
                     .a_bytes = M::kMr * panel_pitch(M::kDType) * size_of(M::kDType),
                     .b_head_bytes = 0,
                     .b_step_bytes = kStep * M::kNr * size_of(M::kDType),
                     .k_step = kStep,
                     .always = !in_place},
          .choose = &M::choose,
          .interleaved = {.copies_a = in_place, .packs_b = in_place},
          .dots = dots};
}

// The microkernels for products of many rows, of a few, and of one.
template <class S, class Tall, class Few, class One>
struct Shapes {
  static constexpr void set_plain(KernelSet& set, Arithmetic arithmetic) {
    constexpr ElementType kType = element_type(Tall::kDType);
    Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(arithmetic)];
    kernels[0] = make_kernel<S, Tall, PlainPanels<S, Tall>>(set.isa, arithmetic, kType, kType);
    kernels[1] = make_kernel<S, Few, PlainPanels<S, Few>>(set.isa, arithmetic, kType, kType);
    kernels[2] = make_kernel<S, One, PlainPanels<S, One>>(set.isa, arithmetic, kType, kType);
    if constexpr (kIsReal<typename S::T>) kernels[0].short_rows = make_short_row_kernel<S>();
  }

  static constexpr void set_complex(KernelSet& set, Arithmetic arithmetic) {
    Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(arithmetic)];
    kernels[0] = of_complex<ComplexTileKernel<S, Tall, false>>(set.isa, arithmetic);
    kernels[1] = of_complex<ComplexTileKernel<S, Few, true>>(set.isa, arithmetic);
    kernels[2] = of_complex<ComplexTileKernel<S, One, true>>(set.isa, arithmetic);
  }

  // For operands of narrower types, in such formats.
  template <class A, ElementType AType, class B, ElementType BType>
  static constexpr void set_widened(KernelSet& set, Arithmetic arithmetic) {
    Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(arithmetic)];
    kernels[0] = widened<Tall, A, AType, B, BType>(set.isa, arithmetic);
    kernels[1] = widened<Few, A, AType, B, BType>(set.isa, arithmetic);
    kernels[2] = widened<One, A, AType, B, BType>(set.isa, arithmetic);
  }

 private:
  template <class M>
  static constexpr Kernel of_complex(Isa isa, Arithmetic arithmetic) {
    constexpr ElementType kType = element_type(M::kDType);
    Kernel kernel = make_kernel<S, M, ComplexPanels<S, M>>(isa, arithmetic, kType, kType);
    kernel.parts = kComplexParts;
    kernel.dots = &kDotKernels<S>;
    return kernel;
  }

  template <class M, class A, ElementType AType, class B, ElementType BType>
  static constexpr Kernel widened(Isa isa, Arithmetic arithmetic) {
    struct Packing {
      static void pack_a(const Piece& piece) { WidenedPanels<S, M, A, AType>::pack_a(piece); }
      static void pack_b(const Piece& piece) { WidenedPanels<S, M, B, BType>::pack_b(piece); }
      static void unpack_b(const void* panel, int64_t rows, int64_t cols, void* values,
                           int64_t stride) {
        WidenedPanels<S, M, B, BType>::unpack_b(panel, rows, cols, values, stride);
      }
    };
    return make_kernel<S, M, Packing>(isa, arithmetic, AType, BType);
  }
};

// Products of integers of 8 and 16 bits: tiles of pairs, and single rows, for a KernelSet or a
// KernelOverlay. Apart, so that a leaf with other tiles need not compile these.
template <int Bytes, int Mr>
class IntegerKernels {
 public:
  template <class Set>
  static constexpr void set_tiles_of_shorts(Set& set) {
    using enum ElementType;
    set_tiles<int16_t, i16, int16_t, i16>(set, Arithmetic::i16);
  }

  template <class Set>
  static constexpr void set_tiles_of_bytes(Set& set) {
    using enum ElementType;
    set_tiles<int8_t, i8, int8_t, i8>(set, Arithmetic::i8);
    set_tiles<uint8_t, u8, uint8_t, u8>(set, Arithmetic::u8);
    set_tiles<int8_t, i8, uint8_t, u8>(set, Arithmetic::i8u8);
    set_tiles<uint8_t, u8, int8_t, i8>(set, Arithmetic::u8i8);
  }

  template <class Set>
  static constexpr void set_rows(Set& set) {
    using enum ElementType;
    set_row<int16_t, i16, int16_t, i16>(set, Arithmetic::i16);
    set_row<int8_t, i8, int8_t, i8>(set, Arithmetic::i8);
    set_row<uint8_t, u8, uint8_t, u8>(set, Arithmetic::u8);
    set_row<int8_t, i8, uint8_t, u8>(set, Arithmetic::i8u8);
    set_row<uint8_t, u8, int8_t, i8>(set, Arithmetic::u8i8);
  }

 private:
  using Pairs = PairSimd<Bytes>;
  using Tiles = TileKernel<Pairs, Mr, 2, false>;

  template <class A, ElementType AType, class B, ElementType BType, class Set>
  static constexpr void set_tiles(Set& set, Arithmetic arithmetic) {
    using Panels = PairPanels<Tiles, A, AType, B, BType>;
    Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(arithmetic)];
    kernels[0] = kernels[1] = make_kernel<Pairs, Tiles, Panels>(set.isa, arithmetic, AType, BType);
  }

  template <class A, ElementType AType, class B, ElementType BType, class Set>
  static constexpr void set_row(Set& set, Arithmetic arithmetic) {
    set.matmul[static_cast<int>(arithmetic)][2] =
        make_row_kernel<IntegerRow<Pairs, A, AType, B, BType>>(set.isa, arithmetic,
                                                               &kIntegerDots<Pairs, A, B>);
  }
};

template <class S>
constexpr RowKernels make_row_kernels() {
  return {&Rows<S>::activate, &Rows<S>::activation_grad, &update<S>};
}

template <int Bytes, int Mr, int Nv, int FewMr, int FewNv>
constexpr KernelSet make_kernel_set(Isa isa) {
  using F32 = Simd<float, Bytes>;
  using F64 = Simd<double, Bytes>;
  // Unsigned, so that they wrap.
  using I32 = Simd<uint32_t, Bytes>;
  using I64 = Simd<uint64_t, Bytes>;
  using F16 = Half<F32, Float16>;
  using BF16 = Half<F32, BFloat16>;
  using I16 = SmallInteger<int16_t, I32>;
  using I8 = SmallInteger<int8_t, I32>;
  using U8 = SmallInteger<uint8_t, I32>;
  KernelSet set{.isa = isa,
                .name = name_of(isa),
                .matmul = {},
                .rows = {make_row_kernels<F32>(), make_row_kernels<F64>()},
                .elements = {},
                .sums = {kSumKernels<F32>, kSumKernels<F64>},
                .narrow = {},
                .widen = {},
                .fma_burst = {&Rows<F32>::fma_burst, &Rows<F64>::fma_burst},
                .negate = {&Rows<F32>::negate, &Rows<F64>::negate}};
  // Tiles of one row are eight vectors wide: two units with a latency of four cycles are kept busy
  // by as many accumulators.
  using Floats = Shapes<F32, TileKernel<F32, Mr, Nv, true>, TileKernel<F32, FewMr, FewNv, true>,
                        TileKernel<F32, 1, 8, true>>;
  using Doubles = Shapes<F64, TileKernel<F64, Mr, Nv, true>, TileKernel<F64, FewMr, FewNv, true>,
                         TileKernel<F64, 1, 8, true>>;
  // A multiplication of integers is two or three instructions: lower tiles are as fast, and take
  // less time to compile.
  constexpr int kIntMr = Mr < 8 ? Mr : 8;
  using IntTiles = TileKernel<I32, kIntMr, 2, false>;
  using LongTiles = TileKernel<I64, kIntMr, 2, false>;
  using Ints = Shapes<I32, IntTiles, IntTiles, IntTiles>;
  using Longs = Shapes<I64, LongTiles, LongTiles, LongTiles>;
  using enum ElementType;
  Floats::set_plain(set, Arithmetic::f32);
  Doubles::set_plain(set, Arithmetic::f64);
  Ints::set_plain(set, Arithmetic::i32);
  Longs::set_plain(set, Arithmetic::i64);
  Floats::template set_widened<BF16, bf16, BF16, bf16>(set, Arithmetic::bf16);
  Floats::template set_widened<F16, f16, F16, f16>(set, Arithmetic::f16);
  using SmallInts = IntegerKernels<Bytes, kIntMr>;
  SmallInts::set_tiles_of_shorts(set);
  SmallInts::set_tiles_of_bytes(set);
  SmallInts::set_rows(set);
  Floats::set_complex(set, Arithmetic::c64);
  Doubles::set_complex(set, Arithmetic::c128);
  set_element_kernels<Bytes>(set.elements);
  set.narrow[static_cast<int>(bf16)] = &convert<F32, BF16>;
  set.narrow[static_cast<int>(f16)] = &convert<F32, F16>;
  set.narrow[static_cast<int>(i16)] = &convert<I32, I16>;
  set.narrow[static_cast<int>(i8)] = &convert<I32, I8>;
  set.narrow[static_cast<int>(u8)] = &convert<I32, U8>;
  set.widen[static_cast<int>(bf16)] = &convert<BF16, F32>;
  set.widen[static_cast<int>(f16)] = &convert<F16, F32>;
  return set;
}

}  // namespace hotloops::HOTLOOPS_ISA
