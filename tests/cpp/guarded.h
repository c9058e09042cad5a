// Arrays that end, or begin, at a page that nobody may touch.

#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace hotloops::testing {

enum class Guard : std::uint8_t { after, before };

template <class T>
class GuardedArray {
 public:
  GuardedArray(std::int64_t count, Guard guard) : count_(static_cast<std::size_t>(count)) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count_ * sizeof(T);
    const std::size_t usable = (bytes + page - 1) / page * page;
    mapped_ = usable + 2 * page;
    base_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    auto* first = static_cast<std::byte*>(base_) + page;
    if (usable > 0 && mprotect(first, usable, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(guard == Guard::before ? first : first + usable - bytes);
  }
  ~GuardedArray() { munmap(base_, mapped_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::span<T> span() const { return {data_, count_}; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  std::size_t count_;
  std::size_t mapped_;
  void* base_;
  T* data_;
};

}  // namespace hotloops::testing
