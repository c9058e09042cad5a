#include "dot_products.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "blocking.h"
#include "pack.h"

namespace hotloops {
namespace {

// Sums of a few rows and vectors of columns, or of more rows and one vector.
constexpr std::int64_t kMaxColumnBytes = std::int64_t{kColumnsRows} * kColumnsVectors * 64;
static_assert(kMaxColumnBytes >= std::int64_t{kPackedRows} * 64);

// Blocks of k whose sums are kept until they are added in order.
constexpr std::int64_t kRound = 4096;
// The last ones come in two vectors at most.
constexpr std::int64_t kMaxLastSums = std::int64_t{2} * kMaxLanes;
constexpr std::int64_t kRoundSums = kRound + kMaxLastSums;

// Whether a dot product for each element of C is the least work: a vector of blocks of k takes the
// time of kKc values of a chain in `columns`, where as many rows go on together.
bool are_few(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t vectors = args.m * args.n * ceil_div(args.k, kernel.dots->lanes * kKc);
  return args.m * args.n == 1 || vectors * kKc < ceil_div(args.m, kColumnsRows) * args.k;
}

bool are_single_dot_products(const Kernel& kernel, const MatmulArgs& args) {
  return kernel.dots->row_dots != nullptr && args.k > 0 && args.a.col_stride == 1 &&
         args.b.row_stride == 1 && args.epilogue.is_trivial() &&
         (kernel.parts == 1 ? are_few(kernel, args) : args.m == 1 && args.n == kernel.parts);
}

// What all rows of A take as panels of `packed_rows`, one for each block of k.
std::int64_t packed_rows_bytes(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t values = args.m * ceil_div(args.k, kKc) * panel_pitch(kernel.dtype);
  return round_up(values * size_of(kernel.dtype), 64);
}

// Panels of rows that are worth reading B again. B's columns are transposed for each of them, where
// the alternative transposes them once, into panels: little work where B is in a cache, and where
// it is not, the time that memory takes, which nothing else fills.
int most_packed_panels(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t bytes = args.n * args.k * size_of(kernel.b_type);
  if (bytes <= cache_sizes().l1d) return 1;
  return bytes <= cache_sizes().l2 / 2 ? 2 : kernel.dots->most_packed_panels;
}

// Whether so many bytes come from memory, more or less: L3 has other users, too.
bool are_far(std::int64_t bytes) { return bytes > cache_sizes().l3 / 2; }

bool are_far_columns(const Kernel& kernel, const MatmulArgs& args) {
  return kernel.dots->far_columns[0] != nullptr &&
         are_far(args.n * args.k * size_of(kernel.b_type));
}

// What packed rows may take, as they are read again for each vector of columns. Where these are
// fetched from memory, rows in L3 are in time: 16x4096 of float64, and others of up to four times
// L2, took half as long as with B packed.
std::int64_t most_packed_rows_bytes(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t l2 = cache_sizes().l2;
  return are_far_columns(kernel, args) ? 4 * l2 : l2 / 2;
}

// Whether A has so many rows that they are packed first.
bool is_packed_rows_times_columns(const Kernel& kernel, const MatmulArgs& args) {
  const DotKernels& dots = *kernel.dots;
  return dots.packed_lanes > 0 && kernel.parts == 1 && !kernel.panels.always && !args.narrows() &&
         args.m >= dots.least_packed_rows && args.n >= dots.packed_lanes &&
         args.m <= std::int64_t{dots.packed_rows} * most_packed_panels(kernel, args) &&
         packed_rows_bytes(kernel, args) <= most_packed_rows_bytes(kernel, args);
}

// The least k for which columns are transposed anew for each panel of rows. Shorter ones take less
// time to be transposed into panels of B, once, than these kernels take to begin and to end.
std::int64_t least_k(const DotKernels& dots, std::int64_t m) {
  if (m < kColumnsRows) return 2;
  return m <= dots.packed_rows ? 24 : 96;
}

bool is_rows_times_columns(const Kernel& kernel, const MatmulArgs& args) {
  const DotKernels& dots = *kernel.dots;
  if (args.b.row_stride != 1 || args.k < least_k(dots, args.m)) return false;
  if (is_packed_rows_times_columns(kernel, args)) return true;
  return args.m <= dots.most_rows && (args.c.col_stride == 1 || !args.narrows()) &&
         (args.n < dots.lanes ? dots.few_columns[0] != nullptr
                              : dots.any_company || args.n % dots.lanes == 0);
}

// The elements of C from row i and column j on, by a kernel that stores rows of `width` sums.
struct Elements {
  std::int64_t i, rows;
  std::int64_t j, cols;
  std::int64_t width;
};

void run_columns(void (*run)(const Columns&), const Kernel& kernel, const MatmulArgs& args,
                 const Elements& elements, const ConstView& a) {
  const auto [i, rows, j, cols, width] = elements;
  const DType dtype = kernel.dtype;
  const ConstView b = from(args.b, 0, j, kernel.b_type);
  const std::int64_t in_c = i * args.c.row_stride + j * args.c.col_stride;
  void* c = at(args.c.data, in_c, args.c_type(kernel));
  Epilogue epilogue = from(args.epilogue, j, in_c, dtype);
  // Sums that are to be narrowed, or whose columns are not side by side in C, or fill no vector.
  const bool turned_bias = args.swapped && args.epilogue.bias != nullptr;
  const bool aside = args.narrows() || args.c.col_stride != 1 || cols < width || turned_bias;
  alignas(64) std::byte sums[kMaxColumnBytes];
  alignas(64) std::byte residual[kMaxColumnBytes];
  alignas(64) std::byte bias[kMaxColumnBytes / kColumnsRows];
  if (aside && epilogue.residual != nullptr) {
    std::ranges::fill(residual, std::byte{});
    const ConstView in_place{epilogue.residual, args.c.row_stride, args.c.col_stride};
    pack(element_type(dtype), piece_of(in_place, rows, cols, residual), width);
    epilogue.residual = residual;
  }
  if (turned_bias) {
    // One value for each row: a residual of equal columns.
    std::ranges::fill(residual, std::byte{});
    const ConstView along_rows{at(args.epilogue.bias, i, dtype), 1, 0};
    pack(element_type(dtype), piece_of(along_rows, rows, cols, residual), width);
    epilogue.bias = nullptr;
    epilogue.residual = residual;
  } else if (cols < width && epilogue.bias != nullptr) {
    std::ranges::fill(bias, std::byte{});
    pack(element_type(dtype), piece_of({epilogue.bias, 0, 1}, 1, cols, bias), width);
    epilogue.bias = bias;
  }
  run({.k = args.k,
       .a = a.data,
       .a_row_stride = a.row_stride,
       .a_col_stride = a.col_stride,
       .b = b.data,
       .b_col_stride = b.col_stride,
       .cols = static_cast<int>(cols),
       .c = aside ? sums : c,
       .c_stride = aside ? width : args.c.row_stride,
       .epilogue = epilogue,
       .swapped = args.swapped});
  for (std::int64_t row = 0; args.narrows() && row < rows; ++row) {
    args.narrowing.row(cols, at(sums, row * width, dtype),
                       at(c, row * args.c.row_stride, args.narrowing.type));
  }
  if (aside && !args.narrows()) {
    copy_piece(element_type(dtype), piece_of({sums, width, 1}, rows, cols, c), args.c.row_stride,
               args.c.col_stride);
  }
}

// A thread's columns: whole vectors of them, and for the last thread that has any, those that fill
// none. They come with some that have been, which get the same values again.
Range cols_of(const MatmulArgs& args, std::int64_t lanes, Team team) {
  const std::int64_t whole = args.n / lanes * lanes;
  Range cols = part(whole, lanes, team.count, team.index);
  if (cols.end == whole && cols.size() > 0) cols.end = args.n;
  return cols;
}

// How many vectors of columns go on together. Columns a power of two apart share few lines of L1,
// of which each takes one or two; those that are read by 16 bytes wait for their multiply-adds
// longer than for lines that were there before.
int vectors_of_columns(const Kernel& kernel, const MatmulArgs& args) {
  const DotKernels& dots = *kernel.dots;
  const int most = dots.vectors[std::min<std::int64_t>(kColumnsRows, args.m) - 1];
  if (dots.row_bytes == 16) return most;
  constexpr std::int64_t kLine = 64;
  constexpr std::int64_t kAway = 4096;  // bytes after which L1's sets begin again, on every x86
  const std::int64_t ways = cache_sizes().l1d / kAway;
  const std::int64_t apart = std::abs(args.b.col_stride) * size_of(kernel.b_type);
  const std::int64_t sets = kAway / std::clamp(std::gcd(apart, kAway), kLine, kAway);
  return static_cast<int>(std::clamp<std::int64_t>(sets * ways / (dots.lanes * 3 / 2), 1, most));
}

void rows_times_columns(const Kernel& kernel, const MatmulArgs& args, Team team) {
  const DotKernels& dots = *kernel.dots;
  const std::int64_t lanes = dots.lanes;
  const Range cols = cols_of(args, lanes, team);
  const bool far = are_far_columns(kernel, args);
  // Of no vector: of the columns that there are, fewer.
  const auto kernel_of = [&](std::int64_t rows, int vectors) {
    if (vectors == 0) return dots.few_columns[rows - 1];
    return far ? dots.far_columns[rows - 1] : dots.columns[rows - 1][vectors - 1];
  };
  const auto run = [&](std::int64_t j, int vectors) {
    const std::int64_t width = std::max(vectors, 1) * lanes;
    for (std::int64_t i = 0; i < args.m; i += kColumnsRows) {
      const std::int64_t rows = std::min<std::int64_t>(kColumnsRows, args.m - i);
      run_columns(kernel_of(rows, vectors), kernel, args,
                  {.i = i, .rows = rows, .j = j, .cols = std::min(width, args.n), .width = width},
                  from(args.a, i, 0, kernel.a_type));
    }
  };
  if (args.n < lanes) {
    if (team.index == 0) run(0, 0);
    return;
  }
  const int most = far ? 1 : vectors_of_columns(kernel, args);
  std::int64_t j = cols.begin;
  for (; j + most * lanes <= cols.end; j += most * lanes) run(j, most);
  if (j + lanes <= cols.end) run(j, static_cast<int>((cols.end - j) / lanes));
  if ((cols.end - j) % lanes != 0) run(args.n - lanes, 1);
}

// The same of more rows than that: packed first, which is little beside reading all columns.
void packed_rows_times_columns(const Kernel& kernel, const MatmulArgs& args, Team team,
                               std::byte* memory) {
  const std::int64_t size = size_of(kernel.dtype);
  const std::int64_t row_bytes = panel_pitch(kernel.dtype) * size;
  const std::int64_t panels = ceil_div(args.m, kernel.dots->packed_rows);
  const std::int64_t blocks = ceil_div(args.k, kKc);
  const Range own = part(panels * blocks, 1, team.count, team.index);
  for (std::int64_t i = own.begin; i < own.end; ++i) {
    const Range rows = part(args.m, 1, panels, i / blocks);
    const std::int64_t k = i % blocks * kKc;
    const ConstView a = from(args.a, rows.begin, k, kernel.a_type);
    std::byte* panel = memory + (rows.begin * blocks + i % blocks * rows.size()) * row_bytes;
    kernel.panels.pack_a(piece_of(a, rows.size(), std::min(kKc, args.k - k), panel));
  }
  team.barrier();  // until all panels are there
  const std::int64_t lanes = kernel.dots->packed_lanes;
  const auto& packed =
      are_far_columns(kernel, args) ? kernel.dots->far_packed : kernel.dots->packed;
  const Range cols = cols_of(args, lanes, team);
  for (std::int64_t next = cols.begin; next < cols.end; next += lanes) {
    const std::int64_t j = std::min(next, args.n - lanes);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      const Range rows = part(args.m, 1, panels, panel);
      run_columns(
          packed[rows.size() - 1], kernel, args,
          {.i = rows.begin, .rows = rows.size(), .j = j, .cols = lanes, .width = lanes},
          {.data = memory + rows.begin * blocks * row_bytes, .row_stride = 0, .col_stride = 0});
    }
  }
}

// The n values from k on, both even, that real or imaginary parts of a product with the complex
// column b are sums with.
template <class T>
void copy_column(const ConstView& b, int part, std::int64_t k, std::int64_t n, T* to) {
  const T* from = static_cast<const T*>(b.data) + k * b.row_stride;
  const std::int64_t step = kComplexParts * b.row_stride;
  for (std::int64_t p = 0; p < n; p += kComplexParts, from += step) {
    to[p] = from[part];
    to[p + 1] = part == 0 ? -from[1] : from[0];
  }
}

bool is_far_product(const Kernel& kernel, const MatmulArgs& args) {
  return kernel.parts == 1 && kernel.dots->far_block_sums != nullptr &&
         are_far(2 * args.k * size_of(kernel.dtype));
}

// The sums of blocks from the value k on, of so many vectors: of one, where they are far.
template <class T>
void sum_blocks(const Kernel& kernel, const MatmulArgs& args, std::int64_t k, int vectors,
                T* const* sums) {
  const T* a = static_cast<const T*>(args.a.data) + k;
  const T* b = static_cast<const T*>(args.b.data) + k;
  if (is_far_product(kernel, args)) {
    kernel.dots->far_block_sums(a, b, sums[0]);
  } else if (kernel.parts == 1) {
    kernel.dots->row_dots({.k = kKc,
                           .count = std::int64_t{vectors} * kernel.dots->lanes,
                           .a = a,
                           .a_stride = kKc,
                           .b = b,
                           .b_stride = kKc,
                           .sums = sums[0]});
  } else {
    kernel.dots->complex_block_sums[vectors - 1](a, b, sums[0], sums[1]);
  }
}

// The sums of the last blocks: so many vectors of them, one or none, and fewer behind these, or one
// that is not whole. Complex ones take memory for a column of that many values.
template <class T>
void sum_last_blocks(const Kernel& kernel, const MatmulArgs& args, std::int64_t k, int vectors,
                     T* const* sums, T* column) {
  const std::int64_t rest = args.k - k;
  const auto run = kernel.dots->last_block_sums[vectors];
  const T* a = static_cast<const T*>(args.a.data) + k;
  if (kernel.parts == 1) return run(a, static_cast<const T*>(args.b.data) + k, rest, sums[0]);
  for (int part = 0; part < kernel.parts; ++part) {
    copy_column(args.b, part, k, rest, column);
    run(a, column, rest, sums[part]);
  }
}

// Two vectors of blocks wait less for their own multiply-adds, which shows in L2; from memory, more
// than eight blocks are read a tenth more slowly.
int vectors_of_blocks(const Kernel& kernel, const MatmulArgs& args) {
  constexpr int kFarBlocks = 8;
  const bool near = 2 * args.k * size_of(kernel.dtype) <= cache_sizes().l2;
  if (is_far_product(kernel, args)) return 1;
  return near || 2 * kernel.dots->lanes <= kFarBlocks ? 2 : 1;
}

template <class T>
void dot_product(const Kernel& kernel, const MatmulArgs& args, Team team, T* memory) {
  const std::int64_t lanes = kernel.dots->lanes;
  const int vectors = vectors_of_blocks(kernel, args);
  const std::int64_t blocks = ceil_div(args.k, kKc);
  T* const sums[kComplexParts] = {memory, memory + kRoundSums};
  T* const column = memory + kernel.parts * kRoundSums;
  T total[kComplexParts] = {};
  for (std::int64_t first = 0; first < blocks; first += kRound) {
    const std::int64_t count = std::min(kRound, blocks - first);
    const Range own = part(count, vectors * lanes, team.count, team.index);
    for (std::int64_t i = own.begin; i < own.end; i += vectors * lanes) {
      const std::int64_t k = (first + i) * kKc;
      T* const here[kComplexParts] = {sums[0] + i, sums[1] + i};
      const std::int64_t rest = args.k - k;
      const auto whole = static_cast<int>(std::min<std::int64_t>(rest / (lanes * kKc), vectors));
      if (whole == vectors || (whole > 0 && rest == whole * lanes * kKc)) {
        sum_blocks(kernel, args, k, whole, here);
      } else {
        sum_last_blocks(kernel, args, k, whole, here, column);  // by one thread
      }
    }
    team.barrier();  // until all sums are there
    if (team.index == 0) {
      for (int p = 0; p < kernel.parts; ++p) {
        for (std::int64_t i = 0; i < count; ++i) {
          total[p] = first + i == 0 ? sums[p][0] : total[p] + sums[p][i];
        }
      }
    }
    team.barrier();  // until they have been read
  }
  if (team.index == 0) std::copy_n(total, kernel.parts, static_cast<T*>(args.c.data));
}

bool is_complex_column(const Kernel& kernel, const MatmulArgs& args) {
  return args.n == kComplexParts && args.m >= kernel.dots->lanes && args.a.col_stride == 1 &&
         args.epilogue.is_trivial();
}

// A complex matrix times a vector: A's rows, as they lie in memory, times the two columns that B's
// one becomes. These are two rows here, and what lies in A along k are columns.
template <class T>
void complex_column(const Kernel& kernel, const MatmulArgs& args, Team team, T* memory) {
  T* rows = memory;
  T* sums = memory + kComplexParts * args.k;
  if (team.index == 0) {
    for (int p = 0; p < kComplexParts; ++p) copy_column(args.b, p, 0, args.k, rows + p * args.k);
  }
  team.barrier();  // until the rows are there
  rows_times_columns(kernel,
                     {.m = kComplexParts,
                      .n = args.m,
                      .k = args.k,
                      .a = {.data = rows, .row_stride = args.k, .col_stride = 1},
                      .b = {.data = args.a.data, .row_stride = 1, .col_stride = args.a.row_stride},
                      .c = {.data = sums, .row_stride = args.m, .col_stride = 1},
                      .epilogue = {}},
                     team);
  team.barrier();  // until all sums are
  T* c = static_cast<T*>(args.c.data);
  const Range own = part(args.m, 1, team.count, team.index);
  for (std::int64_t i = own.begin; i < own.end; ++i) {
    for (int p = 0; p < kComplexParts; ++p) c[i * args.c.row_stride + p] = sums[p * args.m + i];
  }
}

template <class T>
void dot_products(const Kernel& kernel, const MatmulArgs& args, Team team, T* memory) {
  MatmulArgs one = args;
  one.m = 1;
  one.n = kernel.parts;
  for (std::int64_t i = 0; i < args.m; ++i) {
    for (std::int64_t j = 0; j < args.n; j += kernel.parts) {
      one.a = from(args.a, i, 0, kernel.a_type);
      one.b = from(args.b, 0, j, kernel.b_type);
      one.c.data = at(args.c.data, i * args.c.row_stride + j * args.c.col_stride, kernel.dtype);
      dot_product(kernel, one, team, memory);
    }
  }
}

template <class T>
void run(const Kernel& kernel, const MatmulArgs& args, Team team, T* memory) {
  if (are_single_dot_products(kernel, args)) {
    dot_products(kernel, args, team, memory);
  } else if (kernel.parts > 1) {
    complex_column(kernel, args, team, memory);
  } else if (is_packed_rows_times_columns(kernel, args)) {
    packed_rows_times_columns(kernel, args, team, reinterpret_cast<std::byte*>(memory));
  } else {
    rows_times_columns(kernel, args, team);
  }
}

}  // namespace

bool are_dot_products(const Kernel& kernel, const MatmulArgs& args) {
  if (kernel.dots == nullptr || args.packed_b.data != nullptr || args.accumulate) return false;
  return are_single_dot_products(kernel, args) ||
         (kernel.parts > 1 ? is_complex_column(kernel, args) : is_rows_times_columns(kernel, args));
}

std::int64_t columns_left(const Kernel& kernel, const MatmulArgs& args) {
  const std::int64_t columns = columns_in_excess(kernel, args.m, args.n, args.k);
  if (columns == 0) return 0;
  const bool plain = kernel.parts == 1 && !kernel.panels.always && !args.narrows() &&
                     !args.accumulate && args.packed_b.data == nullptr;
  // Of a transpose, the bias is a residual.
  const bool bias_or_residual = args.epilogue.bias == nullptr || args.epilogue.residual == nullptr;
  return plain && bias_or_residual && args.a.col_stride == 1 && args.c.col_stride == 1 ? columns
                                                                                       : 0;
}

MatmulArgs without_last_columns(const MatmulArgs& args, std::int64_t columns) {
  MatmulArgs result = args;
  result.n -= columns;
  return result;
}

MatmulArgs last_columns_turned(const Kernel& kernel, const MatmulArgs& args, std::int64_t columns) {
  MatmulArgs result = args;
  const std::int64_t j = args.n - columns;
  result.n = columns;
  result.b = from(args.b, 0, j, kernel.b_type);
  result.c.data = at(args.c.data, j * args.c.col_stride, kernel.dtype);
  result.epilogue = from(args.epilogue, j, j * args.c.col_stride, kernel.dtype);
  return transpose_of(result);
}

std::int64_t dot_products_bytes(const Kernel& kernel, const MatmulArgs& args) {
  if (is_packed_rows_times_columns(kernel, args)) return packed_rows_bytes(kernel, args);
  std::int64_t values = kernel.parts * kRoundSums;
  if (kernel.parts > 1) {
    const bool single = are_single_dot_products(kernel, args);
    values = single ? values + kMaxLastSums * kKc : kernel.parts * (args.k + args.m);
  }
  return round_up(values * size_of(kernel.dtype), 64);
}

void run_dot_products(const Kernel& kernel, const MatmulArgs& args, Team team, std::byte* memory) {
  if (kernel.dtype == DType::f32) {
    run(kernel, args, team, reinterpret_cast<float*>(memory));
  } else {
    run(kernel, args, team, reinterpret_cast<double*>(memory));
  }
}

}  // namespace hotloops
