#include "result_memory.h"

#include <pthread.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>
#include <type_traits>

#include "blocking.h"

namespace hotloops {
namespace {

// To map small pages under large results takes longer than to fill them (a product of two arrays
// into a new one of 400 MB: 182 ms, with huge pages 113 ms).
constexpr std::int64_t kHugePage = 2 << 20;
constexpr std::int64_t kLarge = 2 * kHugePage;
constexpr std::int64_t kPage = 4096;

// More than any memory, and so much less than the largest number that sizes can be rounded up.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 61;

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
    for (std::size_t i = count_; i-- > 0;) {
      if (blocks_[i]->bytes == bytes) return drop(i);
    }
    return nullptr;
  }

  // False if it is not kept. Those that have been here longest make room.
  bool put(Head* block) {
    if (block->bytes < kLeastResult || block->bytes > kMostKept) return false;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    while (bytes_ + block->bytes > kMostKept || count_ == kMostBlocks) delete_block(drop(0));
    blocks_[count_++] = block;
    bytes_ += block->bytes;
    return true;
  }

  std::int64_t release() {
    const std::scoped_lock lock(mutex_);
    const std::int64_t bytes = bytes_;
    while (count_ > 0) delete_block(drop(count_ - 1));
    return bytes;
  }

  // Around a fork, whose child would find it locked for ever by a thread that is not there.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  static constexpr std::size_t kMostBlocks = 64;

  // The block is no longer kept.
  Head* drop(std::size_t index) {
    Head* block = blocks_[index];
    Head** place = blocks_.data() + index;
    std::copy(place + 1, blocks_.data() + count_, place);
    --count_;
    bytes_ -= block->bytes;
    return block;
  }

  // Only tried where there is another way.
  std::mutex mutex_;
  // Those that have been here longest come first. No memory is to be asked for where some is freed.
  std::array<Head*, kMostBlocks> blocks_{};
  std::size_t count_ = 0;
  std::int64_t bytes_ = 0;
};

// Never destroyed: results may outlive everything.
constinit Kept kept;
static_assert(std::is_trivially_destructible_v<Kept>);

void lock_kept() { kept.lock(); }
void unlock_kept() { kept.unlock(); }

[[maybe_unused]] const int kForkHandlers = pthread_atfork(lock_kept, unlock_kept, unlock_kept);

Head* head_of(std::byte* data) { return reinterpret_cast<Head*>(data) - 1; }

}  // namespace

std::byte* allocate_result(std::int64_t bytes) {
  if (bytes > kMostBytes) throw std::bad_alloc();
  const std::int64_t size = block_bytes(bytes);
  Head* block = size >= kLeastResult ? kept.take(size) : nullptr;
  if (block == nullptr) block = new_block(size);
  return reinterpret_cast<std::byte*>(block + 1);
}

void free_result(std::byte* data) {
  if (data == nullptr) return;
  Head* block = head_of(data);
  if (!kept.put(block)) delete_block(block);
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

std::int64_t release_results() { return kept.release(); }

}  // namespace hotloops
