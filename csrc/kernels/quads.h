// Products of bytes, four values of k at a time: AVX-512 VNNI multiplies four bytes without a sign
// by four with one, and adds the products to a sum of 32 bits, modulo 2^32. That is twice what it
// does with pairs of 16 bits (see pairs.h).
//
// Where both operands have a sign, or neither, A's values are made the other kind as they are
// packed: to flip its first bit adds 128 to a byte or takes it away (see words.h).

#pragma once

#include "kernel.h"
#include "kernels/simd.h"
#include "kernels/words.h"

namespace hotloops::HOTLOOPS_ISA {

// Vectors whose elements are four bytes for multiply_add, of which those of one operand have a
// sign, and sums otherwise.
template <bool BSigned>
struct QuadSimd : Simd<uint32_t, 64> {
  static constexpr int kDepth = 4;
  static constexpr bool kHead = true;
  static constexpr uint32_t kFlip = 0x80808080;

  HOTLOOPS_INLINE static V multiply_add(V a, V b, V sums) {
    return reinterpret_cast<V>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums),
                                                   reinterpret_cast<__m512i>(BSigned ? a : b),
                                                   reinterpret_cast<__m512i>(BSigned ? b : a)));
  }
};

template <bool ASigned, bool BSigned>
struct Quads {
  using Reader = AsTheyAre<uint8_t>;
  using S = QuadSimd<BSigned>;
  static constexpr ElementType kType = ElementType::u8;
  static constexpr int64_t kKc = S::kDepth * hotloops::kKc;  // integers are exact in any order
  static constexpr bool kFlips = ASigned == BSigned;
};

// Tiles for products of bytes of more than one row.
class ByteKernels {
 public:
  template <class Set>
  static constexpr void set_all(Set& set) {
    using enum ElementType;
    set_one<true, true>(set, Arithmetic::i8, i8, i8);
    set_one<false, false>(set, Arithmetic::u8, u8, u8);
    set_one<true, false>(set, Arithmetic::i8u8, i8, u8);
    set_one<false, true>(set, Arithmetic::u8i8, u8, i8);
  }

 private:
  template <bool ASigned, bool BSigned, class Set>
  static constexpr void set_one(Set& set, Arithmetic arithmetic, ElementType a_type,
                                ElementType b_type) {
    Kernel(&kernels)[kTileShapes] = set.matmul[static_cast<int>(arithmetic)];
    kernels[0] = kernels[1] =
        make_word_kernel<Quads<ASigned, BSigned>>(set.isa, arithmetic, a_type, b_type);
  }
};

}  // namespace hotloops::HOTLOOPS_ISA
