#include "dot_products.h"

#include <algorithm>

#include "blocking.h"

namespace hotloops {
namespace {

// Rows that are worth reading the columns again, from L1 and L2, for each four of them. With more,
// transposing B into panels once costs less.
constexpr std::int64_t kMostRows = 8;

// Blocks of k whose sums are kept until they are added in order.
constexpr std::int64_t kRound = 4096;

bool is_trivial(const Epilogue& epilogue) {
  return epilogue.bias == nullptr && epilogue.residual == nullptr &&
         epilogue.activation == Activation::none;
}

bool is_dot_product(const MatmulArgs& args) {
  return args.m == 1 && args.n == 1 && args.k >= 2 * kKc && args.a.col_stride == 1 &&
         args.b.row_stride == 1 && is_trivial(args.epilogue);
}

bool is_rows_times_columns(const Kernel& kernel, const MatmulArgs& args) {
  return args.m <= kMostRows && args.n >= kernel.dots->lanes && args.b.row_stride == 1 &&
         args.c.col_stride == 1;
}

void run_columns(const Kernel& kernel, const MatmulArgs& args, std::int64_t j, int vectors) {
  const DType dtype = kernel.dtype;
  const ConstView b = from(args.b, 0, j, kernel.b_type);
  for (std::int64_t i = 0; i < args.m; i += kColumnsRows) {
    const std::int64_t rows = std::min<std::int64_t>(kColumnsRows, args.m - i);
    const std::int64_t in_c = i * args.c.row_stride + j;
    kernel.dots->columns[rows - 1][vectors - 1]({.k = args.k,
                                                 .a = from(args.a, i, 0, kernel.a_type).data,
                                                 .a_row_stride = args.a.row_stride,
                                                 .a_col_stride = args.a.col_stride,
                                                 .b = b.data,
                                                 .b_col_stride = b.col_stride,
                                                 .c = at(args.c.data, in_c, dtype),
                                                 .c_stride = args.c.row_stride,
                                                 .epilogue = from(args.epilogue, j, in_c, dtype)});
  }
}

void rows_times_columns(const Kernel& kernel, const MatmulArgs& args, Team team) {
  const std::int64_t lanes = kernel.dots->lanes;
  const Range cols = part(args.n / lanes * lanes, lanes, team.count, team.index);
  std::int64_t j = cols.begin;
  for (; j + 2 * lanes <= cols.end; j += 2 * lanes) run_columns(kernel, args, j, 2);
  if (j < cols.end) run_columns(kernel, args, j, 1);
  // Columns that fill no vector come with some that have been: they get the same values again.
  const bool last = cols.end == args.n / lanes * lanes && cols.size() > 0;
  if (last && cols.end < args.n) run_columns(kernel, args, args.n - lanes, 1);
}

template <class T>
void dot_product(const Kernel& kernel, const MatmulArgs& args, Team team, T* sums) {
  const std::int64_t lanes = kernel.dots->lanes;
  const T* a = static_cast<const T*>(args.a.data);
  const T* b = static_cast<const T*>(args.b.data);
  const std::int64_t blocks = ceil_div(args.k, kKc);
  T total = 0;
  for (std::int64_t first = 0; first < blocks; first += kRound) {
    const std::int64_t count = std::min(kRound, blocks - first);
    const Range own = part(count, lanes, team.count, team.index);
    for (std::int64_t i = own.begin; i < own.end; i += lanes) {
      const std::int64_t k = (first + i) * kKc;
      if (k + lanes * kKc <= args.k) {
        kernel.dots->block_sums(a + k, b + k, sums + i);
        continue;
      }
      // The last blocks are filled up: a chain that adds 0 * -0 stays what it is, to the sign.
      alignas(64) T x[kMaxLanes * kKc];
      alignas(64) T y[kMaxLanes * kKc];
      std::fill(std::copy(a + k, a + args.k, x), x + lanes * kKc, T(0));
      std::fill(std::copy(b + k, b + args.k, y), y + lanes * kKc, -T(0));
      kernel.dots->block_sums(x, y, sums + i);
    }
    team.barrier();  // until all sums are there
    if (team.index == 0) {
      for (std::int64_t i = 0; i < count; ++i) {
        total = first + i == 0 ? sums[0] : total + sums[i];
      }
    }
    team.barrier();  // until they have been read
  }
  if (team.index == 0) *static_cast<T*>(args.c.data) = total;
}

}  // namespace

bool are_dot_products(const Kernel& kernel, const MatmulArgs& args) {
  return kernel.dots != nullptr && args.packed_b.data == nullptr &&
         (is_dot_product(args) || is_rows_times_columns(kernel, args));
}

std::int64_t dot_products_bytes(const Kernel& kernel) {
  return (kRound + kMaxLanes) * size_of(kernel.dtype);
}

void run_dot_products(const Kernel& kernel, const MatmulArgs& args, Team team, std::byte* memory) {
  if (!is_dot_product(args)) {
    rows_times_columns(kernel, args, team);
  } else if (kernel.dtype == DType::f32) {
    dot_product(kernel, args, team, reinterpret_cast<float*>(memory));
  } else {
    dot_product(kernel, args, team, reinterpret_cast<double*>(memory));
  }
}

}  // namespace hotloops
