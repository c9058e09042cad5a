// Memory for packed panels, kept from call to call.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hotloops {

// Bytes between the panels of two threads. What the hardware fetches beyond the end of one's
// panels, into the pages that follow, must not be what the other one writes: 32 products of 64x64
// with a transposed B took 68 to 76 us on two threads without the gap, and 56 with it.
inline constexpr std::int64_t kThreadGap = 8192;

// At least `bytes` of the calling thread's own memory, aligned to a cache line; valid until the
// same thread asks again. The size is bounded by the block sizes, not by the operands'. Throws
// std::bad_alloc.
std::byte* workspace(std::int64_t bytes);

// Whether memory that is handed out for workspace and results is filled with garbage, which tests
// ask for: what is read before it is written then shows in the result. Every byte is 0xff, which is
// NaN in all floating-point types.
inline std::atomic<bool> fills_with_garbage = false;
// How many bytes that are is asked only then: counting those of an array takes a call of NumPy.
template <class Bytes>
void fill_if_asked(void* memory, Bytes bytes) {
  if (!fills_with_garbage.load(std::memory_order_relaxed)) return;
  if (const std::int64_t size = bytes(); size > 0) {
    std::memset(memory, 0xff, static_cast<std::size_t>(size));
  }
}

// Gives the calling thread's memory back to the system, and returns how many bytes that were.
std::int64_t release_workspace();

}  // namespace hotloops
