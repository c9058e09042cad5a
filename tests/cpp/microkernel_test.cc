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

// Operands of one kernel call as the kernel sees them. What lies between the rows is NaN; every
// array ends (or begins) at a guard page.
template <class T>
struct Call {
  // A packed panel of b has its rows side by side; b where it is has them b_gap further apart.
  Call(const Kernel& k, std::int64_t depth, Guard guard, std::int64_t b_gap = 0)
      : kernel(k),
        kc(depth),
        pitch(panel_pitch(kDTypeOf<T>)),
        b_stride(k.nr + b_gap),
        c_stride(k.nr + 3),
        a(kc == 0 ? 0 : (k.mr - 1) * pitch + kc, guard),
        b(kc == 0 ? 0 : (kc - 1) * b_stride + k.nr, guard),
        c((k.mr - 1) * c_stride + k.nr, guard),
        bias(k.nr, guard) {
    std::ranges::fill(a.span(), kNan<T>);
    std::ranges::fill(b.span(), kNan<T>);
    std::ranges::fill(c.span(), kNan<T>);
  }

  // Runs the kernel and checks that it has left alone what is between the rows of c.
  void run(bool accumulate = false, Epilogue epilogue = {}) {
    kernel.run({.kc = kc,
                .a = a.data(),
                .b = b.data(),
                .b_stride = b_stride,
                .c = c.data(),
                .c_stride = c_stride,
                .accumulate = accumulate,
                .epilogue = epilogue});
    for (std::int64_t i = 0; i + 1 < kernel.mr; ++i) {
      for (std::int64_t j = kernel.nr; j < c_stride; ++j) {
        check(std::isnan(c[i * c_stride + j]), kernel.name, " wrote beyond row ", i);
      }
    }
  }

  void fill(void (*values)(std::span<T>, std::uint64_t)) {
    for (std::int64_t i = 0; kc > 0 && i < kernel.mr; ++i) {
      values({&a_at(i, 0), static_cast<std::size_t>(kc)}, static_cast<std::uint64_t>(i));
    }
    for (std::int64_t p = 0; p < kc; ++p) {
      values({&b_at(p, 0), static_cast<std::size_t>(kernel.nr)},
             static_cast<std::uint64_t>(100 + p));
    }
    values(bias.span(), 1000);
  }

  T& a_at(std::int64_t i, std::int64_t p) { return a[i * pitch + p]; }
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
    for (std::int64_t i = 0; i < kernel.mr; ++i) {
      for (std::int64_t j = 0; j < kernel.nr; ++j) {
        const T want = expected(i, j);
        const T got = c_at(i, j);
        check(got == want || (std::isnan(got) && std::isnan(want)), kernel.name, ' ', what,
              ": kc = ", kc, ", c[", i, ", ", j, "] is ", got, ", not ", want);
      }
    }
  }

  const Kernel& kernel;
  std::int64_t kc, pitch, b_stride, c_stride;
  GuardedArray<T> a, b, c, bias;
};

template <class T>
void test_identity(const Kernel& kernel, Guard guard) {
  Call<T> right(kernel, kernel.nr, guard);
  right.fill(fill_real<T>);
  for (std::int64_t p = 0; p < right.kc; ++p) {
    for (std::int64_t j = 0; j < kernel.nr; ++j) right.b_at(p, j) = p == j ? 1 : 0;
  }
  right.run();
  right.expect("A I == A", [&](auto i, auto j) { return right.a_at(i, j); });

  Call<T> left(kernel, kernel.mr, guard);
  left.fill(fill_real<T>);
  for (std::int64_t i = 0; i < kernel.mr; ++i) {
    for (std::int64_t p = 0; p < left.kc; ++p) left.a_at(i, p) = p == i ? 1 : 0;
  }
  left.run();
  left.expect("I B == B", [&](auto i, auto j) { return left.b_at(i, j); });
}

template <class T>
void test_chains(const Kernel& kernel, Guard guard, bool has_fma) {
  for (const std::int64_t kc :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, kKc - 1, kKc}) {
    Call<T> call(kernel, kc, guard, /*b_gap=*/kc % 2 * 5);
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
void test_epilogue(const Kernel& kernel, Guard guard) {
  Call<T> call(kernel, 5, guard);
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

  call.a_at(kernel.mr - 1, 3) = kNan<T>;
  call.run(false, {.activation = Activation::relu});
  call.expect("relu of NaN", [&](auto i, auto j) { return rectified(call.chain(i, j)); });
}

// The activations in the epilogue are those of the row kernels, bit for bit.
template <class T>
void test_fused_activations(const KernelSet& set, const Kernel& kernel, Guard guard) {
  const RowKernels& rows = set.rows[static_cast<int>(kDTypeOf<T>)];
  for (const Activation activation : kElementwise) {
    Call<T> plain(kernel, 9, guard);
    plain.fill(fill_real<T>);
    plain.run();
    Call<T> fused(kernel, 9, guard);
    fused.fill(fill_real<T>);
    fused.run(false, {.activation = activation});
    for (std::int64_t i = 0; i < kernel.mr; ++i) {
      const auto n = static_cast<std::size_t>(kernel.nr);
      rows.activate(activation, kernel.nr, &plain.c_at(i, 0), &plain.c_at(i, 0));
      check(same_bits<T>({&fused.c_at(i, 0), n}, {&plain.c_at(i, 0), n}), kernel.name,
            " activation ", static_cast<int>(activation), " in row ", i);
    }
  }
}

}  // namespace

void test_microkernels(const KernelSet& set) {
  const auto each = [&]<class T> {
    for (const Kernel& kernel : set.matmul[static_cast<int>(kDTypeOf<T>)]) {
      check(kernel.isa == set.isa && kernel.dtype == kDTypeOf<T>, kernel.name, " in its place");
      for (const Guard guard : {Guard::after, Guard::before}) {
        test_identity<T>(kernel, guard);
        test_chains<T>(kernel, guard, has_fma(set));
        test_epilogue<T>(kernel, guard);
        test_fused_activations<T>(set, kernel, guard);
      }
    }
  };
  each.template operator()<float>();
  each.template operator()<double>();
}

}  // namespace hotloops::testing
