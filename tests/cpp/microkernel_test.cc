// Every microkernel of every usable ISA, called directly with panels made by hand.

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "check.h"
#include "dispatch.h"
#include "guarded.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

// What a microkernel is chosen for.
struct Choice {
  int rows, cols;
  Operands operands;
};

// Operands of one microkernel call as it sees them. What lies between the rows is NaN; every array
// ends (or begins) at a guard page.
template <class T>
struct Call {
  Call(const Kernel& k, const Choice& choice, std::int64_t depth, Guard guard,
       std::int64_t b_gap = 0)
      : kernel(k),
        rows(choice.rows),
        cols(choice.cols),
        operands(choice.operands),
        kc(depth),
        a_row_stride(operands == Operands::in_place ? 2 * kc + 3 : panel_pitch(kDTypeOf<T>)),
        a_col_stride(operands == Operands::in_place ? 2 : 1),
        b_stride(cols + b_gap),
        c_stride(cols + 3),
        a(kc == 0 ? 0 : (rows - 1) * a_row_stride + (kc - 1) * a_col_stride + 1, guard),
        b(kc == 0 ? 0 : (kc - 1) * b_stride + cols, guard),
        packed_b(kc * kernel.nr, guard),
        c((rows - 1) * c_stride + cols, guard),
        bias(cols, guard) {
    std::ranges::fill(a.span(), kNan<T>);
    std::ranges::fill(b.span(), kNan<T>);
    std::ranges::fill(c.span(), kNan<T>);
  }

  // Runs the kernel and checks that it has left alone what is between the rows of c.
  void run(bool accumulate = false, Epilogue epilogue = {}) {
    std::ranges::fill(packed_b.span(), kNan<T>);
    // Something to copy in passing: the first values of a.
    const bool copies = operands != Operands::in_place && kc > 0 && kc % kCopyStep == 0;
    const GuardedArray<T> copied(copies ? kc : 0, Guard::after);
    kernel.choose(rows, cols, operands)({.kc = kc,
                                         .rows = rows,
                                         .cols = cols,
                                         .a = a.data(),
                                         .a_row_stride = a_row_stride,
                                         .a_col_stride = a_col_stride,
                                         .b = b.data(),
                                         .b_stride = b_stride,
                                         .packed_b = packed_b.data(),
                                         .pending = nullptr,
                                         .c = c.data(),
                                         .c_stride = c_stride,
                                         .accumulate = accumulate,
                                         .epilogue = epilogue,
                                         .copy_from = copies ? a.data() : nullptr,
                                         .copy_to = copies ? copied.data() : nullptr,
                                         .fetch = {a.data(), nullptr}});
    for (std::int64_t i = 0; i + 1 < rows; ++i) {
      for (std::int64_t j = cols; j < c_stride; ++j) {
        check(std::isnan(c[i * c_stride + j]), name_of(kernel), " wrote beyond row ", i);
      }
    }
    if (copies) {
      const auto n = static_cast<std::size_t>(kc);
      check(same_bits<T>(copied.span(), {a.data(), n}), name_of(kernel), " copies in passing");
    }
    if (operands == Operands::packed_a_pack_b) {
      for (std::int64_t p = 0; p < kc; ++p) {
        const auto n = static_cast<std::size_t>(cols);
        check(same_bits<T>({&packed_b[p * kernel.nr], n}, {&b_at(p, 0), n}), name_of(kernel),
              " packs row ", p, " of b");
      }
    }
  }

  void fill(void (*values)(std::span<T>, std::uint64_t)) {
    std::vector<T> row(static_cast<std::size_t>(kc));
    for (std::int64_t i = 0; i < rows; ++i) {
      values(row, static_cast<std::uint64_t>(i));
      for (std::int64_t p = 0; p < kc; ++p) a_at(i, p) = row[static_cast<std::size_t>(p)];
    }
    for (std::int64_t p = 0; p < kc; ++p) {
      values({&b_at(p, 0), static_cast<std::size_t>(cols)}, static_cast<std::uint64_t>(100 + p));
    }
    values(bias.span(), 1000);
  }

  T& a_at(std::int64_t i, std::int64_t p) { return a[i * a_row_stride + p * a_col_stride]; }
  T& b_at(std::int64_t p, std::int64_t j) { return b[p * b_stride + j]; }
  T& c_at(std::int64_t i, std::int64_t j) { return c[i * c_stride + j]; }

  // The definition: one chain of multiply-adds from zero, k increasing.
  T chain(std::int64_t i, std::int64_t j) {
    T sum = 0;
    for (std::int64_t p = 0; p < kc; ++p) sum = std::fma(a_at(i, p), b_at(p, j), sum);
    return sum;
  }

  template <class Expected>
  void expect(const char* what, Expected expected) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const T want = expected(i, j);
        const T got = c_at(i, j);
        check(got == want || (std::isnan(got) && std::isnan(want)), name_of(kernel), ' ', rows, 'x',
              cols, ' ', what, ": kc = ", kc, ", c[", i, ", ", j, "] is ", got, ", not ", want);
      }
    }
  }

  const Kernel& kernel;
  int rows, cols;
  Operands operands;
  std::int64_t kc, a_row_stride, a_col_stride, b_stride, c_stride;
  GuardedArray<T> a, b, packed_b, c, bias;
};

template <class T>
void test_identity(const Kernel& kernel, const Choice& choice, Guard guard) {
  Call<T> right(kernel, choice, choice.cols, guard);
  right.fill(fill_real<T>);
  for (std::int64_t p = 0; p < right.kc; ++p) {
    for (std::int64_t j = 0; j < choice.cols; ++j) right.b_at(p, j) = p == j ? 1 : 0;
  }
  right.run();
  right.expect("A I == A", [&](auto i, auto j) { return right.a_at(i, j); });

  Call<T> left(kernel, choice, choice.rows, guard);
  left.fill(fill_real<T>);
  for (std::int64_t i = 0; i < choice.rows; ++i) {
    for (std::int64_t p = 0; p < left.kc; ++p) left.a_at(i, p) = p == i ? 1 : 0;
  }
  left.run();
  left.expect("I B == B", [&](auto i, auto j) { return left.b_at(i, j); });
}

template <class T>
void test_chains(const Kernel& kernel, const Choice& choice, Guard guard, bool has_fma) {
  for (const std::int64_t kc :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, kKc - 1, kKc}) {
    Call<T> call(kernel, choice, kc, guard, /*b_gap=*/kc % 2 * 5);
    call.fill(fill_small_integers<T>);
    call.run();
    call.expect("small integers", [&](auto i, auto j) { return call.chain(i, j); });
    call.run(/*accumulate=*/true);
    call.expect("accumulated", [&](auto i, auto j) { return 2 * call.chain(i, j); });
    if (!has_fma) continue;
    call.fill(fill_real<T>);
    call.run();
    call.expect("real values", [&](auto i, auto j) { return call.chain(i, j); });
    call.run(/*accumulate=*/true);
    call.expect("accumulated real values", [&](auto i, auto j) {
      const T block = call.chain(i, j);
      return block + block;
    });
  }
}

template <class T>
void test_epilogue(const Kernel& kernel, const Choice& choice, Guard guard) {
  Call<T> call(kernel, choice, 5, guard);
  call.fill(fill_small_integers<T>);
  const auto biased = [&](auto i, auto j) { return call.chain(i, j) + call.bias[j]; };
  const auto rectified = [](T x) { return std::isnan(x) ? x : std::max(x, T(0)); };

  call.run(false, {.bias = call.bias.data()});
  call.expect("bias", biased);
  call.run(false, {.activation = Activation::relu});
  call.expect("relu", [&](auto i, auto j) { return rectified(call.chain(i, j)); });
  call.run(false, {.bias = call.bias.data(), .activation = Activation::relu});
  call.expect("bias and relu", [&](auto i, auto j) { return rectified(biased(i, j)); });

  call.run();
  call.run(true, {.bias = call.bias.data(), .activation = Activation::relu});
  call.expect("the last block's epilogue",
              [&](auto i, auto j) { return rectified(call.chain(i, j) + biased(i, j)); });

  call.a_at(choice.rows - 1, 3) = kNan<T>;
  call.run(false, {.activation = Activation::relu});
  call.expect("relu of NaN", [&](auto i, auto j) { return rectified(call.chain(i, j)); });
}

// The activations in the epilogue are those of the row kernels, bit for bit.
template <class T>
void test_fused_activations(const KernelSet& set, const Kernel& kernel, const Choice& choice,
                            Guard guard) {
  const RowKernels& rows = set.rows[static_cast<int>(kDTypeOf<T>)];
  for (const Activation activation : kElementwise) {
    Call<T> plain(kernel, choice, 9, guard);
    plain.fill(fill_real<T>);
    plain.run();
    Call<T> fused(kernel, choice, 9, guard);
    fused.fill(fill_real<T>);
    fused.run(false, {.activation = activation});
    for (std::int64_t i = 0; i < choice.rows; ++i) {
      const auto n = static_cast<std::size_t>(choice.cols);
      rows.activate(activation, choice.cols, &plain.c_at(i, 0), &plain.c_at(i, 0));
      check(same_bits<T>({&fused.c_at(i, 0), n}, {&plain.c_at(i, 0), n}), name_of(kernel),
            " activation ", static_cast<int>(activation), " in row ", i);
    }
  }
}

}  // namespace

void test_microkernels(const KernelSet& set) {
  constexpr std::array kOperandKinds = {Operands::in_place, Operands::packed_a,
                                        Operands::packed_a_pack_b};
  const auto each = [&]<class T> {
    for (const Kernel& kernel : set.matmul[static_cast<int>(kDTypeOf<T>)]) {
      check((kernel.isa == set.isa || set.isa == Isa::amx) && kernel.dtype == kDTypeOf<T>,
            name_of(kernel), " in its place");
      int turn = 0;
      for (int rows = 1; rows <= kernel.mr; ++rows) {
        for (int cols = 1; cols <= kernel.nr; ++cols) {
          // All heights and widths, all with each kind of operands where the width is a tile's
          // edge.
          const bool edge = cols < 3 || cols + 1 >= kernel.nr || cols == kernel.nr / 2;
          for (const Operands operands : kOperandKinds) {
            ++turn;
            if (!edge && turn % 7 != 0) continue;
            const Choice choice{.rows = rows, .cols = cols, .operands = operands};
            const Guard guard = turn % 2 == 0 ? Guard::after : Guard::before;
            test_identity<T>(kernel, choice, guard);
            test_chains<T>(kernel, choice, guard, has_fma(set));
            test_epilogue<T>(kernel, choice, guard);
            test_fused_activations<T>(set, kernel, choice, guard);
          }
        }
      }
    }
  };
  each.template operator()<float>();
  each.template operator()<double>();
}

}  // namespace hotloops::testing
