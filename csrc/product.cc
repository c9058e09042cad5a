// The loops around the microkernel, after Goto & van de Geijn, "Anatomy of high-performance
// matrix multiplication" (2008), and BLIS.
//
//   for each group of row panels                            whose addresses the TLB holds
//     for each block of nc columns of B and C               half of L2 (with kc)
//       for each block of kc values of k
//         for each panel of up to mr rows                   A's panel stays in L1
//           for each panel of nr columns                    B's panels stream through L1
//             the microkernel: one tile of C in registers
//
// The two inner loops are the other way round than in BLIS. Measured on AVX-512, that is 2 to 5 %
// faster: what streams through L1 is then one contiguous run, which is easily prefetched, and C is
// walked along its rows.
//
// No time is set aside for packing. Of a row-major B, the microkernel itself stores the rows that
// it loads, in the block's first row of tiles; of A, the next panel is packed in pieces between the
// tiles of the current one, each piece fetched one tile earlier. Packing before multiplying, as
// usual, took 7 to 10 % of the time of a large product: it waits for memory, and multiplying does
// not.
//
// Kernels that read nothing but panels (narrow and complex operands, tiles) have A packed between
// tiles in the same way, and a panel of B before its first tile; those of tiles pack contiguous
// rows of A themselves, in a panel's first tile or in the last tile of the one before, if they do
// not leave them where they are. Which values a panel cannot hold, they say when it is there; the
// tile is then the plain kernel's.
//
// A C of a narrower type than the sums is written once, with the last block of k. Until then the
// sums are kept, of some row panels of C: with more of these B is packed less often. They are kept
// tile by tile, each in one piece: in rows of some KB, a tile has few sets of L1 for its lines.

#include "product.h"

#include <algorithm>

#include "in_passing.h"
#include "in_place.h"
#include "pack.h"
#include "view.h"

namespace hotloops {
namespace {

constexpr std::int64_t kMaxTileBytes = 4096;

// Pieces of a panel that are packed before those of the next one in a group.
constexpr std::int64_t kPiecesOfGroup = 2;

class Product {
 public:
  Product(const Plan& plan, const MatmulArgs& args, std::byte* memory, bool backwards)
      : kernel_(*plan.kernel),
        plan_(plan),
        args_(args),
        n_(plan.lead + args.n),
        backwards_(backwards),
        sums_(memory),
        b_panels_(sums_ + plan.sums_bytes),
        a_panel_(b_panels_ + plan.b_bytes),
        next_a_panel_(a_panel_ + (packs_in_place(kernel_, args.a) ? 0 : plan.a_bytes / 2)),
        plain_panels_(memory + plan.bytes - tail_bytes(kernel_)),
        pending_(memory + plan.bytes - in_lines(kernel_.pending_bytes)) {}

  void run() {
    if (kernel_.begin != nullptr) kernel_.begin(pending_);
    for (first_panel_ = 0; first_panel_ < plan_.row_panels; first_panel_ += plan_.group) {
      panels_ = {.begin = first_panel_,
                 .end = std::min(first_panel_ + plan_.group, plan_.row_panels)};
      if (!plan_.a_in_place && !packs_in_first_tile()) {
        panel_of_a(0, panels_.begin, 1, a_panel_).finish();
      }
      const std::int64_t blocks = ceil_div(n_, plan_.nc);
      for (std::int64_t i = 0; i < blocks; ++i) {
        const std::int64_t j = (backwards_ ? blocks - 1 - i : i) * plan_.nc;
        multiply(j, std::min(j + plan_.nc, n_));
      }
    }
    finish_pending();
    if (kernel_.end != nullptr) kernel_.end();
  }

 private:
  [[nodiscard]] Range rows_of(std::int64_t panel) const { return plan_.rows_of(panel); }

  [[nodiscard]] PanelInProgress panel_of_a(std::int64_t k, std::int64_t panel, std::int64_t tiles,
                                           void* packed) const {
    const Range rows = rows_of(panel);
    return {kernel_,     from(args_.a, rows.begin, k, kernel_.a_type),
            rows.size(), std::min(kernel_.kc, args_.k - k),
            packed,      tiles};
  }

  [[nodiscard]] bool packs_in_first_tile() const {
    return kernel_.panels.a_in_first_tile && args_.a.col_stride == 1 && !plan_.a_in_place;
  }

  void multiply(std::int64_t first_col, std::int64_t end_col) {
    std::int64_t k = 0;
    do {  // once for k == 0, too: zeros and the epilogue
      const std::int64_t kc = std::min(kernel_.kc, args_.k - k);
      multiply({.k = k, .kc = kc, .first_col = first_col, .end_col = end_col});
      k += kernel_.kc;
    } while (k < args_.k);
    if (plan_.sums_bytes > 0) finish_pending();  // the next columns' take their place
  }

  void multiply(const BlockOfB& b) {
    if (plan_.in_place) return run_in_place(plan_, args_, panels_, b);
    const std::int64_t tiles = ceil_div(b.end_col - b.first_col, kernel_.nr);
    in_sight_ = next_block_of_b(b, tiles);
    for (std::int64_t panel = panels_.begin; panel < panels_.end; ++panel) {
      PanelInProgress next = next_panel_of_a(b, panel, tiles);
      a_packed_ = !packs_in_first_tile();
      const bool first =
          panel == panels_.begin && !plan_.b_in_place && args_.packed_b.data == nullptr;
      run_tiles(b, panel, first, next);
      if (first && plan_.a_in_place && plan_.c_in_place) {
        const Range others{.begin = panel + 1, .end = panels_.end};
        return run_in_place(plan_, args_, others, b, b_panels_);
      }
      next.finish();
      std::swap(a_panel_, next_a_panel_);
      if (first && plan_.few_in_passing) return run_on_packed(b, panel + 1);
    }
  }

  // All row panels from this one on, whose A is packed, where nothing is done in passing.
  void run_on_packed(const BlockOfB& b, std::int64_t first_panel) {
    for (std::int64_t panel = first_panel; panel < panels_.end; ++panel) {
      run_in_place(plan_, args_, {.begin = panel, .end = panel + 1}, b, b_panels_, a_panel_);
      next_panel_of_a(b, panel, 1).finish();
      std::swap(a_panel_, next_a_panel_);
    }
  }

  // What is multiplied after `panel` with block b.
  [[nodiscard]] PanelInProgress next_panel_of_a(const BlockOfB& b, std::int64_t panel,
                                                std::int64_t tiles) const {
    if (plan_.a_in_place || packs_in_first_tile()) return {};
    if (panel + 1 < panels_.end) return panel_of_a(b.k, panel + 1, tiles, next_a_panel_);
    if (b.k + b.kc < args_.k) return panel_of_a(b.k + b.kc, panels_.begin, tiles, next_a_panel_);
    const bool last = backwards_ ? b.first_col == 0 : b.end_col == n_;
    if (last) return {};
    return panel_of_a(0, panels_.begin, tiles, next_a_panel_);
  }

  [[nodiscard]] BlockInSight next_block_of_b(const BlockOfB& b, std::int64_t tiles) const {
    if (!plan_.b_kept || args_.b.col_stride != 1) return {};
    BlockOfB next = b;
    next.k += b.kc;
    if (next.k >= args_.k) {
      next.k = 0;
      next.first_col = b.end_col;
      if (next.first_col >= n_) return {};
    }
    const std::int64_t depth = std::min(kernel_.kc, args_.k - next.k);
    const std::int64_t col = std::max(next.first_col, plan_.lead) - plan_.lead;
    ConstView in_sight = from(args_.b, next.k, col, kernel_.b_type);
    in_sight.row_stride *= kernel_.parts;
    return {kernel_.b_type, in_sight, depth / kernel_.parts,
            std::min(b.end_col - b.first_col, args_.n - col), panels_.size() * tiles};
  }

  // A panel of A times the block of B, which is packed if it has not been.
  void run_tiles(const BlockOfB& b, std::int64_t panel, bool to_pack, PanelInProgress& next) {
    const Range rows = rows_of(panel);
    const bool pack_in_passing = to_pack && args_.b.col_stride == 1 && kernel_.interleaved.packs_b;
    Operands operands = Operands::in_place;
    if (!plan_.a_in_place) {
      operands = pack_in_passing ? Operands::packed_a_pack_b : Operands::packed_a;
    }
    const bool last = b.k + b.kc == args_.k;
    const Epilogue epilogue = last ? args_.epilogue : Epilogue{};
    Tile tile = tile_in_place(args_, b.k, b.kc);
    tile.rows = static_cast<int>(rows.size());
    tile.cols = kernel_.nr;
    tile.a = plan_.a_in_place ? from(args_.a, rows.begin, b.k, kernel_.a_type).data : a_panel_;
    if (!plan_.b_in_place && !pack_in_passing) tile.b_stride = kernel_.nr;
    tile.pending = pending_;
    if (args_.narrows()) tile.c_stride = kernel_.nr;
    RunTile run = kernel_.choose(tile.rows, kernel_.nr, operands);
    const auto suit = kernel_.panels.suit;
    // Divisions, which would take as long as a value of k in each tile.
    const std::byte* packed_before = first_packed_before(b);
    const std::int64_t panel_bytes = b_panel_bytes(kernel_.panels, b.kc);
    std::int64_t in_group = 0;
    std::int64_t panel_of_b = -1;
    for (std::int64_t col = b.first_col; col < b.end_col; col += kernel_.nr) {
      ++panel_of_b;
      const std::int64_t begin = std::max(col, plan_.lead);
      const std::int64_t end = std::min<std::int64_t>(col + kernel_.nr, b.end_col);
      const std::int64_t j = begin - plan_.lead;
      if (tile.cols != end - begin) {
        tile.cols = static_cast<int>(end - begin);
        run = kernel_.choose(tile.rows, tile.cols, operands);
      }
      const ConstView in_place = from(args_.b, b.k, j, kernel_.b_type);
      if (plan_.b_in_place) {
        tile.b = in_place.data;
      } else if (args_.packed_b.data != nullptr) {
        tile.b = packed_before + panel_of_b * args_.packed_b.column_bytes;
      } else {
        std::byte* packed = b_panels_ + (plan_.b_kept ? panel_of_b : in_group) * panel_bytes;
        tile.b = packed;
        if (pack_in_passing) {
          tile.b = in_place.data;
          tile.packed_b = packed;
        } else if (to_pack && in_group == 0) {
          const std::int64_t end_of_group = std::min(col + plan_.b_group * kernel_.nr, b.end_col);
          pack_panels(in_place, b.kc, end_of_group - begin, packed, panel_bytes);
        }
        if (++in_group == plan_.b_group) in_group = 0;
      }
      const std::int64_t in_c = rows.begin * args_.c.row_stride + j * args_.c.col_stride;
      void* c = at(args_.c.data, in_c, args_.c_type(kernel_));
      if (args_.narrows()) {
        const std::int64_t tiles_before =
            (panel - first_panel_) * (plan_.nc / kernel_.nr) + panel_of_b;
        const std::int64_t in_sums = tiles_before * kernel_.mr * kernel_.nr;
        tile.c = plan_.sums_bytes > 0 ? at(sums_, in_sums, kernel_.dtype) : sums_of_tile_;
        tile.narrow_c = last ? c : nullptr;
      } else {
        tile.c = c;
      }
      tile.epilogue = from(epilogue, j, in_c, kernel_.dtype);

      next.hand_over(tile);
      tile.fetch[1] = in_sight_.to_fetch();
      const RunTile run_now = take_a(tile, from(args_.a, rows.begin, b.k, kernel_.a_type), run);
      const auto run_here = [&](const Tile& here) {
        if (suit != nullptr && !suit(here.a, here.b)) {
          run_plain(from(args_.a, rows.begin, b.k, kernel_.a_type), in_place, here);
        } else if (kernel_.pending_bytes > 0) {
          run_now(here);
        } else {
          run_and_narrow(run, here);
        }
      };
      if (args_.c.col_stride == 1 || (args_.narrows() && !last)) {
        run_here(tile);
      } else if (args_.narrows()) {
        run_to_narrow_scratch(run_here, tile);
      } else {
        run_on_scratch(run_here, tile);
      }
      next.catch_up();
      leave_a(tile);
    }
  }

  // The kernel for a tile, which is `packed` unless it is the one that packs A.
  [[nodiscard]] RunTile take_a(Tile& tile, const ConstView& a, RunTile packed) const {
    if (a_packed_) return packed;
    tile.a = a.data;
    tile.copy_to = a_panel_;
    return kernel_.choose(tile.rows, tile.cols, Operands::in_place);
  }

  void leave_a(Tile& tile) {
    if (!a_packed_) tile.a = a_panel_;
    a_packed_ = true;
  }

  // The first panel of the block, of a B that was packed before.
  [[nodiscard]] const std::byte* first_packed_before(const BlockOfB& b) const {
    if (args_.packed_b.data == nullptr) return nullptr;
    return args_.packed_b.data + b.first_col / kernel_.nr * args_.packed_b.column_bytes +
           b.k / kernel_.kc * args_.packed_b.block_bytes;
  }

  // So many columns of B into the panels of a group, or of one.
  void pack_panels(const ConstView& b, std::int64_t kc, std::int64_t cols, std::byte* panels,
                   std::int64_t panel_bytes) const {
    const std::int64_t step = cols > kernel_.nr ? kPiecesOfGroup * kernel_.panels.k_step : kc;
    std::int64_t k = 0;
    do {  // once for kc == 0, too
      for (std::int64_t j = 0; j < cols; j += kernel_.nr) {
        Piece piece = piece_of(from(b, k, j, kernel_.b_type), std::min(step, kc - k),
                               std::min<std::int64_t>(kernel_.nr, cols - j),
                               panels + j / kernel_.nr * panel_bytes);
        piece.row = k;
        kernel_.panels.pack_b(piece);
      }
      k += step;
    } while (k < kc);
  }

  void finish_pending() {
    if (kernel_.finish != nullptr) kernel_.finish(pending_);
  }

  // A tile of a kernel that leaves nothing pending.
  void run_and_narrow(RunTile run, const Tile& tile) const {
    run(tile);
    if (tile.narrow_c == nullptr) return;
    for (int row = 0; row < tile.rows; ++row) {
      args_.narrowing.row(tile.cols, at(tile.c, row * tile.c_stride, kernel_.dtype),
                          at(tile.narrow_c, row * tile.narrow_c_stride, tile.narrow_type));
    }
  }

  // A tile that the kernel's panels cannot hold, of these operands, by its plain kernel.
  void run_plain(const ConstView& a, ConstView b, Tile tile) {
    if (tile.next_a != nullptr) kernel_.panels.pack_a(*tile.next_a);
    finish_pending();  // it may be of the same tile of C
    const Kernel& plain = *kernel_.plain;
    const int rows = tile.rows;
    // Of a B packed before there is nothing else left.
    std::byte* unpacked =
        plain_panels_ + in_lines(plain.panels.a_bytes) + b_panel_bytes(plain.panels, kernel_.kc);
    if (args_.packed_b.data != nullptr) {
      kernel_.panels.unpack_b(tile.b, tile.kc, tile.cols, unpacked, kernel_.nr);
      b = {.data = unpacked, .row_stride = kernel_.nr, .col_stride = 1};
    }
    void* a_panel = plain_panels_;
    void* b_panel = plain_panels_ + in_lines(plain.panels.a_bytes);
    plain.panels.pack_b(piece_of(b, tile.kc, tile.cols, b_panel));
    tile.a = a_panel;
    tile.b = b_panel;
    tile.b_stride = plain.nr;
    for (int row = 0; row < rows; row += plain.mr) {
      tile.rows = std::min(rows - row, plain.mr);
      plain.panels.pack_a(piece_of(from(a, row, 0, plain.a_type), tile.rows, tile.kc, a_panel));
      run_and_narrow(plain.choose(tile.rows, tile.cols, Operands::packed_a), tile);
      const std::int64_t step = plain.mr * tile.c_stride;
      tile.c = at(tile.c, step, kernel_.dtype);
      if (tile.narrow_c != nullptr) {
        tile.narrow_c = at(tile.narrow_c, plain.mr * tile.narrow_c_stride, tile.narrow_type);
      }
      tile.epilogue = from(tile.epilogue, 0, step, kernel_.dtype);
      tile.fetch[0] = tile.fetch[1] = nullptr;
    }
  }

  // A tile whose columns are not contiguous in C is computed on one of its own.
  template <class Run>
  void run_on_scratch(Run run, Tile tile) {
    alignas(64) std::byte scratch[kMaxTileBytes];
    alignas(64) std::byte residual[kMaxTileBytes];
    const int parts = kernel_.parts;
    const auto copy = [&](const void* from, std::int64_t from_row, std::int64_t from_col, void* to,
                          std::int64_t to_row, std::int64_t to_col) {
      const ConstView view{from, from_row / parts, from_col};
      copy_piece(element_type(kernel_.dtype, parts),
                 piece_of(view, tile.rows, tile.cols / parts, to), to_row / parts, to_col);
    };
    void* c = tile.c;
    tile.c = scratch;
    tile.c_stride = kernel_.nr;
    if (tile.accumulate) {
      copy(c, args_.c.row_stride, args_.c.col_stride, scratch, kernel_.nr, 1);
    }
    if (tile.epilogue.residual != nullptr) {
      copy(tile.epilogue.residual, args_.c.row_stride, args_.c.col_stride, residual, kernel_.nr, 1);
      tile.epilogue.residual = residual;
    }
    finish_pending();
    run(tile);
    finish_pending();
    copy(scratch, kernel_.nr, 1, c, args_.c.row_stride, args_.c.col_stride);
  }

  // The same for the end of a tile whose results are narrowed.
  template <class Run>
  void run_to_narrow_scratch(Run run, Tile tile) {
    alignas(64) std::byte scratch[kMaxTileBytes];
    void* c = tile.narrow_c;
    tile.narrow_c = scratch;
    tile.narrow_c_stride = kernel_.nr;
    finish_pending();
    run(tile);
    finish_pending();
    const ConstView view{scratch, kernel_.nr, 1};
    copy_piece(tile.narrow_type, piece_of(view, tile.rows, tile.cols, c), args_.c.row_stride,
               args_.c.col_stride);
  }

  const Kernel& kernel_;
  const Plan& plan_;
  const MatmulArgs& args_;
  std::int64_t n_;
  bool backwards_;
  std::int64_t first_panel_ = 0;  // of the group of row panels that is in work
  Range panels_{};                // all of it
  std::byte* sums_;
  std::byte* b_panels_;  // of the block in use, or of a group
  std::byte* a_panel_;   // the one in use
  std::byte* next_a_panel_;
  bool a_packed_ = true;  // or its first tile takes it in place
  std::byte* plain_panels_;
  std::byte* pending_;
  BlockInSight in_sight_;
  alignas(64) std::byte sums_of_tile_[kMaxTileBytes];  // where there is only one block of k
};

}  // namespace

void run_product(const Plan& plan, const MatmulArgs& args, std::byte* memory, bool backwards) {
  Product(plan, args, memory, backwards).run();
}

}  // namespace hotloops
