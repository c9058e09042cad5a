// Right operands packed once, for many products.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

#include "matmul.h"

namespace hotloops {

// All panels of a matrix, for the one kernel that can read them.
class PackedMatrix {
 public:
  // Packs B[k, n] for one of the kernels: the one for tall products, or its plain one if it cannot
  // take B's values. Throws std::bad_alloc.
  PackedMatrix(std::span<const Kernel> kernels, const ConstView& b, std::int64_t k, std::int64_t n);

  [[nodiscard]] const Kernel& kernel() const { return *kernel_; }
  [[nodiscard]] const std::array<std::int64_t, 2>& shape() const { return shape_; }  // k and n
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  [[nodiscard]] PackedView view() const;

  // The values, into rows without gaps.
  void unpack(void* values) const;

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }
  };

  // Whether the kernel can multiply all of it.
  bool pack(const ConstView& b);
  template <class F>
  bool each_panel(F f) const;

  const Kernel* kernel_;
  std::array<std::int64_t, 2> shape_;
  std::int64_t block_bytes_ = 0, column_bytes_ = 0, bytes_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
  std::unique_ptr<std::atomic<bool>> backwards_ = std::make_unique<std::atomic<bool>>(false);
};

}  // namespace hotloops
