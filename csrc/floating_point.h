// How the calling thread computes: in which direction it rounds, whether it takes subnormal numbers
// for zero, which exceptions trap.

#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace hotloops {

#if defined(__x86_64__)

class FloatingPointMode {
 public:
  static FloatingPointMode here() { return FloatingPointMode(_mm_getcsr() & ~kFlags); }
  void set() const { _mm_setcsr(value_ | (_mm_getcsr() & kFlags)); }
  bool operator==(const FloatingPointMode&) const = default;

 private:
  static constexpr std::uint32_t kFlags = 0x3f;  // of exceptions that there have been

  explicit FloatingPointMode(std::uint32_t value) : value_(value) {}

  std::uint32_t value_;
};

#elif defined(__aarch64__)

class FloatingPointMode {
 public:
  static FloatingPointMode here() {
    std::uint64_t value = 0;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return FloatingPointMode(value);
  }
  void set() const { asm volatile("msr fpcr, %0" : : "r"(value_)); }
  bool operator==(const FloatingPointMode&) const = default;

 private:
  explicit FloatingPointMode(std::uint64_t value) : value_(value) {}

  std::uint64_t value_;
};

#else

struct FloatingPointMode {
  static FloatingPointMode here() { return {}; }
  void set() const {}
  bool operator==(const FloatingPointMode&) const = default;
};

#endif

// The mode of another thread, as long as it lives.
class InModeOf {
 public:
  explicit InModeOf(const FloatingPointMode& other) : own_(FloatingPointMode::here()) {
    changed_ = own_ != other;
    if (changed_) other.set();
  }
  InModeOf(const InModeOf&) = delete;
  InModeOf& operator=(const InModeOf&) = delete;
  ~InModeOf() {
    if (changed_) own_.set();
  }

 private:
  FloatingPointMode own_;
  bool changed_;
};

}  // namespace hotloops
