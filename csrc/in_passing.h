// What the tiles of a product do in passing for those that come after them (see product.cc).

#pragma once

#include <algorithm>
#include <cstdint>

#include "blocking.h"
#include "kernel.h"
#include "view.h"

namespace hotloops {

// Whether a panel of A takes the place of the one before, step by step in the last tile of that.
inline bool packs_in_place(const Kernel& kernel, const ConstView& a) {
  return kernel.interleaved.packs_next_a && a.col_stride == 1;
}

// A panel of A that is packed while another one is multiplied: a share of it with each tile.
class PanelInProgress {
 public:
  PanelInProgress() = default;  // nothing to pack
  PanelInProgress(const Kernel& kernel, const ConstView& a, std::int64_t rows, std::int64_t kc,
                  void* panel, std::int64_t tiles)
      : kernel_(&kernel),
        a_(a),
        in_place_(packs_in_place(kernel, a)),
        // Whole rows, unless the columns are what lies side by side in memory: then some columns.
        by_rows_(a.row_stride != kernel.parts || a.col_stride == 1),
        rows_(rows),
        kc_(kc),
        length_(by_rows_ ? rows : ceil_div(kc, kernel.panels.k_step)),
        step_(tiles == 0 ? 0 : ceil_div(length_ << kFraction, tiles)),
        panel_(panel),
        tiles_(tiles) {}

  // Leaves the next row, if it is due and as long as the tile's, to the microkernel, and has it
  // fetch the one after; or all rows, in the last tile.
  void hand_over(Tile& tile) {
    progress_ += step_;
    tile.copy_from = nullptr;
    tile.fetch[0] = nullptr;
    if (in_place_ && --tiles_ == 0) {
      handed_over_ = piece(0, length_);
      done_ = length_;
      tile.next_a = &handed_over_;
    }
    if (done_ == length_ || a_.col_stride != 1) return;
    const bool by_copying = kernel_->interleaved.copies_a && kc_ == tile.kc && kc_ % kCopyStep == 0;
    if (by_copying && done_ < due()) {
      tile.copy_from = row(done_);
      tile.copy_to = at(panel_, done_ * panel_pitch(kernel_->dtype), kernel_->dtype);
      ++done_;
    }
    if (done_ < length_) tile.fetch[0] = row(done_);
  }

  // Packs what else is due.
  void catch_up() {
    if (!in_place_ && done_ < due()) pack_until(due());
  }
  void finish() {
    if (done_ < length_) pack_until(length_);
  }

 private:
  [[nodiscard]] std::int64_t due() const { return std::min(progress_ >> kFraction, length_); }

  [[nodiscard]] const void* row(std::int64_t i) const {
    return at(a_.data, i * a_.row_stride, kernel_->a_type);
  }

  [[nodiscard]] Piece piece(std::int64_t begin, std::int64_t end) const {
    return {.data = row(begin),
            .row_stride = a_.row_stride,
            .col_stride = a_.col_stride,
            .rows = end - begin,
            .cols = kc_,
            .row = begin,
            .col = 0,
            .panel = panel_};
  }

  void pack_until(std::int64_t end) {
    Piece next = piece(done_, end);
    if (!by_rows_) {
      const std::int64_t step = kernel_->panels.k_step;
      next.row = 0;
      next.rows = rows_;
      next.col = done_ * step;
      next.cols = std::min(end * step, kc_) - next.col;
      next.data = at(a_.data, next.col * a_.col_stride, kernel_->a_type);
    }
    kernel_->panels.pack_a(next);
    done_ = end;
  }

  static constexpr int kFraction = 20;  // bits of step_; a division for each tile would show

  const Kernel* kernel_ = nullptr;
  ConstView a_{};
  bool in_place_ = false;
  bool by_rows_ = true;
  std::int64_t rows_ = 0, kc_ = 0;
  std::int64_t length_ = 0, step_ = 0;
  std::int64_t progress_ = 0, done_ = 0;
  void* panel_ = nullptr;
  std::int64_t tiles_ = 0;
  Piece handed_over_{};  // outlives the tile's call
};

// The rows of a block of B that is used next, fetched stretch by stretch while another is in use.
// (Where the rows of tiles are few, one a tile is not all of it; five a tile were 2 % slower.)
class BlockInSight {
 public:
  BlockInSight() = default;
  // From B[depth, cols] on, in the last of `tiles` tiles, a stretch of kKc values each.
  BlockInSight(ElementType type, const ConstView& b, std::int64_t depth, std::int64_t cols,
               std::int64_t tiles)
      : type_(type),
        b_(b),
        stretches_(cols / kKc),
        wait_(std::max<std::int64_t>(0, tiles - depth * stretches_)) {}

  // The next stretch, or null.
  const void* to_fetch() {
    if (stretches_ == 0 || wait_-- > 0) return nullptr;
    const void* stretch = at(b_.data, stretch_ * kKc, type_);
    if (++stretch_ == stretches_) {
      stretch_ = 0;
      b_.data = at(b_.data, b_.row_stride, type_);
    }
    return stretch;
  }

 private:
  ElementType type_ = ElementType::f32;
  ConstView b_{};
  std::int64_t stretches_ = 0, wait_ = 0;
  std::int64_t stretch_ = 0;
};

}  // namespace hotloops
