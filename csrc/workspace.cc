#include "workspace.h"

#include <memory>
#include <new>
#include <utility>

namespace hotloops {
namespace {

// Panels start at page boundaries, so that they spread over the sets of L1 in the same way each
// run.
constexpr std::align_val_t kAlignment{4096};

struct Free {
  void operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }
};

thread_local std::unique_ptr<std::byte[], Free> memory;
thread_local std::int64_t capacity = 0;

}  // namespace

std::byte* workspace(std::int64_t bytes) {
  if (bytes > capacity) {
    memory.reset();
    capacity = 0;
    memory.reset(new (kAlignment) std::byte[static_cast<std::size_t>(bytes)]);
    capacity = bytes;
  }
  fill_if_asked(memory.get(), [=] { return bytes; });
  return memory.get();
}

std::int64_t release_workspace() {
  memory.reset();
  return std::exchange(capacity, 0);
}

}  // namespace hotloops
