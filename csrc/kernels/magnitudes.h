// Which float32 values may be multiplied as bfloat16, or as sums of these, by instructions that
// take subnormal numbers for zero.

#pragma once

#include "kernel.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

// The magnitudes of the values in a panel, as bits of float32: of the smallest one but 0, less 1,
// and of the largest.
struct Magnitudes {
  uint32_t least_minus_1 = ~uint32_t{0};
  uint32_t largest = 0;
};

// Such products lose what is below the smallest normal number, and bfloat16 pieces are finite only
// if all is that they are made of. With these limits what is lost is below the last place of its
// sum, and no partial sum overflows that the whole one does not.
inline bool suit_bf16(const Magnitudes& a, const Magnitudes& b) {
  constexpr int64_t kBias = 127;
  constexpr int64_t kLeast = kBias - 103;
  constexpr int64_t kLeastOfProduct = 2 * kBias - 102;
  constexpr int64_t kLargest = 2 * kBias - 1;
  constexpr int64_t kLargestOfProduct = 2 * kBias + 116;
  const auto exponent = [](uint32_t magnitude) { return static_cast<int64_t>(magnitude >> 23); };
  const int64_t a_least = exponent(a.least_minus_1);
  const int64_t b_least = exponent(b.least_minus_1);
  const int64_t a_largest = exponent(a.largest);
  const int64_t b_largest = exponent(b.largest);
  return a_least >= kLeast && b_least >= kLeast && a_least + b_least >= kLeastOfProduct &&
         a_largest < kLargest && b_largest < kLargest && a_largest + b_largest <= kLargestOfProduct;
}

// The magnitudes of what is packed, a vector at a time.
class Seen {
 public:
  using V = Simd<float, 64>::V;

  HOTLOOPS_INLINE void see(V values) {
    const U magnitudes = reinterpret_cast<U>(values) & 0x7fffffff;
    const U less = magnitudes - 1;  // 0 becomes the largest
    least_ = less < least_ ? less : least_;
    largest_ = magnitudes > largest_ ? magnitudes : largest_;
  }

  // Adds them to those of a panel.
  HOTLOOPS_INLINE void note(Magnitudes& panel) const {
    // Copies, for those above to stay in registers.
    const U least = least_;
    const U largest = largest_;
    for (int i = 0; i < Simd<float, 64>::lanes; ++i) {
      if (least[i] < panel.least_minus_1) panel.least_minus_1 = least[i];
      if (largest[i] > panel.largest) panel.largest = largest[i];
    }
  }

 private:
  typedef uint32_t U __attribute__((vector_size(64)));
  U least_ = ~U{};
  U largest_ = {};
};

}  // namespace hotloops::HOTLOOPS_ISA
