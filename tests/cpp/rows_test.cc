// The activations of every usable ISA: every tail, in place, at guard pages.

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

constexpr std::int64_t kLongest = 70;  // several of the widest vectors, and every tail

constexpr std::array kAll = {
    Activation::none,    Activation::relu, Activation::gelu, Activation::gelu_tanh,
    Activation::sigmoid, Activation::tanh, Activation::silu, Activation::softmax,
};

template <class T>
void test_activations(const KernelSet& set, Guard guard) {
  const RowKernels& rows = set.rows[static_cast<int>(kDTypeOf<T>)];
  for (std::int64_t n = 0; n <= kLongest; ++n) {
    const GuardedArray<T> x(n, guard);
    const GuardedArray<T> y(n, guard);
    for (const Activation activation : kElementwise) {
      fill_real(x.span(), static_cast<std::uint64_t>(n));
      rows.activate(activation, n, x.data(), y.data());
      for (std::int64_t i = 0; i < n; ++i) {
        // An element's value must not depend on its place in the row.
        T alone = 0;
        rows.activate(activation, 1, &x[i], &alone);
        check(same_bits<T>({&alone, 1}, {&y[i], 1}), set.name, " activation ",
              static_cast<int>(activation), " of ", n, " values: element ", i);
      }
      rows.activate(activation, n, x.data(), x.data());
      check(same_bits<T>(x.span(), y.span()), set.name, " activation ",
            static_cast<int>(activation), " in place");
    }
    if (n == 0) continue;
    fill_real(x.span(), static_cast<std::uint64_t>(n));
    rows.activate(Activation::softmax, n, x.data(), y.data());
    T sum = 0;
    for (const T value : y.span()) {
      check(value >= 0, set.name, " softmax gives ", value);
      sum += value;
    }
    const T tolerance = static_cast<T>(4 * n) * std::numeric_limits<T>::epsilon();
    check(std::abs(sum - 1) <= tolerance, set.name, " softmax of ", n, " values sums to ", sum);
    rows.activate(Activation::softmax, n, x.data(), x.data());
    check(same_bits<T>(x.span(), y.span()), set.name, " softmax in place");
  }
}

template <class T>
void test_activation_grads(const KernelSet& set, Guard guard) {
  const RowKernels& rows = set.rows[static_cast<int>(kDTypeOf<T>)];
  for (std::int64_t n = 0; n <= kLongest; ++n) {
    const GuardedArray<T> saved(n, guard);
    const GuardedArray<T> grad_y(n, guard);
    const GuardedArray<T> grad_x(n, guard);
    const auto fill = [&] {
      fill_real(saved.span(), static_cast<std::uint64_t>(n));
      fill_real(grad_y.span(), static_cast<std::uint64_t>(n + 1));
    };
    for (const Activation activation : kAll) {
      fill();
      rows.activation_grad(activation, n, saved.data(), grad_y.data(), grad_x.data());
      if (activation != Activation::softmax) {
        for (std::int64_t i = 0; i < n; ++i) {
          T alone = 0;
          rows.activation_grad(activation, 1, &saved[i], &grad_y[i], &alone);
          check(same_bits<T>({&alone, 1}, {&grad_x[i], 1}), set.name, " gradient of activation ",
                static_cast<int>(activation), " of ", n, " values: element ", i);
        }
      }
      rows.activation_grad(activation, n, saved.data(), grad_y.data(), grad_y.data());
      check(same_bits<T>(grad_y.span(), grad_x.span()), set.name, " gradient of activation ",
            static_cast<int>(activation), " over the result's gradient");
      fill();
      rows.activation_grad(activation, n, saved.data(), grad_y.data(), saved.data());
      check(same_bits<T>(saved.span(), grad_x.span()), set.name, " gradient of activation ",
            static_cast<int>(activation), " over what was saved");
    }
  }
}

}  // namespace

void test_row_kernels(const KernelSet& set) {
  for (const Guard guard : {Guard::after, Guard::before}) {
    test_activations<float>(set, guard);
    test_activations<double>(set, guard);
    test_activation_grads<float>(set, guard);
    test_activation_grads<double>(set, guard);
  }
  for (const DType dtype : {DType::f32, DType::f64}) {
    check(set.fma_burst[static_cast<int>(dtype)](10) > 0, set.name, " fma_burst");
  }
  for (auto* burst : set.tile_burst) {
    check((burst != nullptr) == (set.isa == Isa::amx), set.name, " tile_burst");
    if (burst != nullptr) check(burst(10) > burst(0), set.name, " tile_burst");
  }
}

}  // namespace hotloops::testing
