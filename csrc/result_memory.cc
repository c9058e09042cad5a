#include "result_memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "blocking.h"

namespace hotloops {
namespace {

// To map small pages under large results takes longer than to fill them (a product of two arrays
// into a new one of 400 MB: 182 ms, with huge pages 113 ms).
constexpr std::int64_t kHugePage = 2 << 20;
constexpr std::int64_t kLarge = 2 * kHugePage;
constexpr std::int64_t kPage = 4096;

// Before each block's data, on a cache line of its own.
struct alignas(64) Head {
  std::int64_t bytes;  // of the block, head included
};

std::align_val_t alignment_of(std::int64_t bytes) {
  if (bytes >= kLarge) return std::align_val_t{kHugePage};
  return std::align_val_t{bytes >= kLeastResult ? kPage : alignof(Head)};
}

// Blocks come in eight sizes from one power of two to the next, so that results of about one size
// take each other's place.
std::int64_t block_bytes(std::int64_t bytes) {
  const std::int64_t needed = bytes + static_cast<std::int64_t>(sizeof(Head));
  if (needed < kLeastResult) return needed;
  const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(needed)));
  return round_up(needed, std::max(kPage, step / 8));
}

Head* new_block(std::int64_t bytes) {
  void* memory = ::operator new(static_cast<std::size_t>(bytes), alignment_of(bytes));
#if defined(__linux__)
  if (bytes >= kLarge) madvise(memory, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
#endif
  return new (memory) Head{bytes};
}

void delete_block(Head* block) { ::operator delete(block, alignment_of(block->bytes)); }

class Kept {
 public:
  // One of so many bytes, the last to have come: its lines are the likeliest to be in the caches.
  Head* take(std::int64_t bytes) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return nullptr;
    const auto found = std::ranges::find(blocks_.rbegin(), blocks_.rend(), bytes, &Head::bytes);
    if (found == blocks_.rend()) return nullptr;
    Head* block = *found;
    blocks_.erase(std::next(found).base());
    bytes_ -= bytes;
    return block;
  }

  // False if it is not kept. Those that have been here longest make room.
  bool put(Head* block) {
    if (block->bytes < kLeastResult || block->bytes > kMostKept) return false;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    while (bytes_ + block->bytes > kMostKept || blocks_.size() == kMostBlocks) drop_first();
    blocks_.push_back(block);
    bytes_ += block->bytes;
    return true;
  }

  std::int64_t release() {
    const std::scoped_lock lock(mutex_);
    const std::int64_t bytes = bytes_;
    while (!blocks_.empty()) drop_first();
    return bytes;
  }

 private:
  static constexpr std::size_t kMostBlocks = 64;

  void drop_first() {
    bytes_ -= blocks_.front()->bytes;
    delete_block(blocks_.front());
    blocks_.erase(blocks_.begin());
  }

  // Only tried where there is another way: the child of a fork may find it locked for ever.
  std::mutex mutex_;
  std::vector<Head*> blocks_;
  std::int64_t bytes_ = 0;
};

// Never destroyed: results may outlive everything.
Kept& kept() {
  static auto* kept = new Kept;
  return *kept;
}

Head* head_of(std::byte* data) { return reinterpret_cast<Head*>(data) - 1; }

}  // namespace

std::byte* allocate_result(std::int64_t bytes) {
  const std::int64_t size = block_bytes(bytes);
  Head* block = size >= kLeastResult ? kept().take(size) : nullptr;
  if (block == nullptr) block = new_block(size);
  return reinterpret_cast<std::byte*>(block + 1);
}

void free_result(std::byte* data) {
  if (data == nullptr) return;
  Head* block = head_of(data);
  if (!kept().put(block)) delete_block(block);
}

std::byte* resize_result(std::byte* data, std::int64_t bytes) {
  std::byte* resized = allocate_result(bytes);
  if (data != nullptr) {
    const auto old = head_of(data)->bytes - static_cast<std::int64_t>(sizeof(Head));
    std::memcpy(resized, data, static_cast<std::size_t>(std::min(bytes, old)));
    free_result(data);
  }
  return resized;
}

std::int64_t release_results() { return kept().release(); }

}  // namespace hotloops
