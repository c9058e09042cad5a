// Which products there are of what types.

#pragma once

#include <algorithm>
#include <iterator>
#include <span>

#include "dispatch.h"
#include "element.h"
#include "kernel.h"

namespace hotloops {

// How operands of two types are multiplied, and what type the result then has.
struct ProductRule {
  ElementType a, b;
  Arithmetic arithmetic;
  ElementType result;
};

// As NumPy promotes: int8 and uint8 to int16.
inline constexpr ProductRule kProductRules[] = {
    {ElementType::f32, ElementType::f32, Arithmetic::f32, ElementType::f32},
    {ElementType::f64, ElementType::f64, Arithmetic::f64, ElementType::f64},
    {ElementType::bf16, ElementType::bf16, Arithmetic::bf16, ElementType::bf16},
    {ElementType::f16, ElementType::f16, Arithmetic::f16, ElementType::f16},
    {ElementType::i8, ElementType::i8, Arithmetic::i8, ElementType::i8},
    {ElementType::u8, ElementType::u8, Arithmetic::u8, ElementType::u8},
    {ElementType::i8, ElementType::u8, Arithmetic::i8u8, ElementType::i16},
    {ElementType::u8, ElementType::i8, Arithmetic::u8i8, ElementType::i16},
    {ElementType::i16, ElementType::i16, Arithmetic::i16, ElementType::i16},
    {ElementType::i32, ElementType::i32, Arithmetic::i32, ElementType::i32},
    {ElementType::u32, ElementType::u32, Arithmetic::i32, ElementType::u32},
    {ElementType::i64, ElementType::i64, Arithmetic::i64, ElementType::i64},
    {ElementType::u64, ElementType::u64, Arithmetic::i64, ElementType::u64},
    {ElementType::c64, ElementType::c64, Arithmetic::c64, ElementType::c64},
    {ElementType::c128, ElementType::c128, Arithmetic::c128, ElementType::c128},
};

inline const ProductRule* find_product_rule(ElementType a, ElementType b) {
  const auto* rule = std::ranges::find_if(
      kProductRules, [=](const ProductRule& r) { return r.a == a && r.b == b; });
  return rule == std::end(kProductRules) ? nullptr : rule;
}

// The kernels for them; float32 has several ways.
inline std::span<const Kernel> kernels_of(const ProductRule& rule, Arithmetic float32) {
  return matmul_kernels(rule.arithmetic == Arithmetic::f32 ? float32 : rule.arithmetic);
}

}  // namespace hotloops
