// Test values that are the same on every machine, and digests to prove it.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include "kernel.h"

namespace hotloops::testing {

template <class T>
inline constexpr DType kDTypeOf = sizeof(T) == 4 ? DType::f32 : DType::f64;

template <class T>
inline constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

// Steele, Lea and Flood's SplitMix64: tiny, and defined in integers alone.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

 private:
  std::uint64_t state_;
};

// Integers from -4 to 4: sums of their products are exact.
template <class T>
void fill_small_integers(std::span<T> x, std::uint64_t seed) {
  SplitMix64 random(seed);
  for (T& value : x) value = static_cast<T>(static_cast<int>(random.next() % 9) - 4);
}

// Values of both signs over some 20 binary orders of magnitude, with every bit of the significand.
template <class T>
void fill_real(std::span<T> x, std::uint64_t seed) {
  SplitMix64 random(seed);
  for (T& value : x) {
    const auto significand =
        static_cast<T>(static_cast<std::int64_t>(random.next())) / T(1ULL << 63U);
    value = std::ldexp(significand, static_cast<int>(random.next() % 21) - 10);
  }
}

// FNV-1a over the bytes of the values.
template <class T>
std::uint64_t digest(std::span<const T> x) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::byte byte : std::as_bytes(x)) {
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  }
  return hash;
}

template <class T>
bool same_bits(std::span<const T> x, std::span<const T> y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
}

}  // namespace hotloops::testing
