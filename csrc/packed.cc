#include "packed.h"

#include <algorithm>

#include "blocking.h"

namespace hotloops {

PackedMatrix::PackedMatrix(std::span<const Kernel> kernels, const ConstView& b, std::int64_t k,
                           std::int64_t n)
    : kernel_(kernels.data()), shape_{k, n} {
  if (!pack(b)) {
    kernel_ = kernel_->plain;
    pack(b);
  }
}

PackedView PackedMatrix::view() const {
  return {.data = data_.get(),
          .column_bytes = column_bytes_,
          .block_bytes = block_bytes_,
          .backwards = backwards_.get()};
}

// f(panel, first row, first column, rows, columns), until it says no.
template <class F>
bool PackedMatrix::each_panel(F f) const {
  const std::int64_t k = shape_[0] * kernel_->parts;
  const std::int64_t n = shape_[1] * kernel_->parts;
  for (std::int64_t j = 0; j < n; j += kernel_->nr) {
    for (std::int64_t p = 0; p < k; p += kernel_->kc) {
      std::byte* panel =
          data_.get() + j / kernel_->nr * column_bytes_ + p / kernel_->kc * block_bytes_;
      if (!f(panel, p, j, std::min(kernel_->kc, k - p),
             std::min<std::int64_t>(kernel_->nr, n - j))) {
        return false;
      }
    }
  }
  return true;
}

bool PackedMatrix::pack(const ConstView& b) {
  // What no memory holds has sizes that no integer holds: an operand of stride zero may be as
  // large.
  constexpr double kMostValues = 0x1p56;
  const double padded_columns = static_cast<double>(shape_[1]) + kernel_->nr;
  if (static_cast<double>(shape_[0]) * padded_columns > kMostValues) throw std::bad_alloc();
  const Panels& panels = kernel_->panels;
  const std::int64_t k = shape_[0] * kernel_->parts;
  const std::int64_t n = shape_[1] * kernel_->parts;
  // A panel of A that suits any other.
  const std::unique_ptr<std::byte[], Free> neutral(
      new (kAlignment) std::byte[static_cast<std::size_t>(panels.a_bytes)]);
  panels.pack_a(piece_of({}, 0, 0, neutral.get()));
  block_bytes_ = b_panel_bytes(panels, kernel_->kc);
  const std::int64_t whole_blocks = k / kernel_->kc;
  const std::int64_t rest = k % kernel_->kc;
  column_bytes_ = whole_blocks * block_bytes_ + (rest == 0 ? 0 : b_panel_bytes(panels, rest));
  bytes_ = ceil_div(n, kernel_->nr) * column_bytes_;
  // Never null, whatever the shape: there is a packed matrix.
  data_.reset(new (kAlignment)
                  std::byte[static_cast<std::size_t>(std::max<std::int64_t>(1, bytes_))]);
  return each_panel([&](std::byte* panel, std::int64_t row, std::int64_t col, std::int64_t rows,
                        std::int64_t cols) {
    panels.pack_b(piece_of(from(b, row, col, kernel_->b_type), rows, cols, panel));
    return panels.suit == nullptr || panels.suit(neutral.get(), panel);
  });
}

void PackedMatrix::unpack(void* values) const {
  const std::int64_t n = shape_[1];
  each_panel([&](std::byte* panel, std::int64_t row, std::int64_t col, std::int64_t rows,
                 std::int64_t cols) {
    kernel_->panels.unpack_b(panel, rows, cols, at(values, row * n + col, kernel_->b_type), n);
    return true;
  });
}

}  // namespace hotloops
