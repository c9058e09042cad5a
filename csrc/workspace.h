// Memory for packed panels, kept from call to call.

#pragma once

#include <cstddef>
#include <cstdint>

namespace hotloops {

// At least `bytes` of the calling thread's own memory, aligned to a cache line; valid until the
// same thread asks again. The size is bounded by the block sizes, not by the operands'. Throws
// std::bad_alloc.
std::byte* workspace(std::int64_t bytes);

// Gives the calling thread's memory back to the system, and returns how many bytes that were.
std::int64_t release_workspace();

}  // namespace hotloops
