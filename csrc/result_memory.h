// Memory for results, kept when they are gone for those that come after them.
//
// The system hands out memory page by page, each cleared when it is first touched, which for a
// result of some megabytes takes longer than to fill it. malloc spares a program that as long as it
// keeps what was freed; but that depends on what else has been freed, and in what order. A layer of
// 256 x 784 x 512, forward and backward in a loop, spent 18 % of its time in the system.

#pragma once

#include <cstddef>
#include <cstdint>

namespace hotloops {

// Below this malloc is as good.
inline constexpr std::int64_t kLeastResult = 64 << 10;
// Of all that is kept.
inline constexpr std::int64_t kMostKept = 64 << 20;

// At least `bytes`, aligned to a cache line, uninitialised. Throws std::bad_alloc. From any thread.
std::byte* allocate_result(std::int64_t bytes);
// Null is nothing.
void free_result(std::byte* data);
// As std::realloc.
std::byte* resize_result(std::byte* data, std::int64_t bytes);

// Gives what is kept back to the system, and returns how many bytes that were.
std::int64_t release_results();

}  // namespace hotloops
