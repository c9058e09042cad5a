// The drivers of the backward pass: as products say, and the same bits on any number of threads.

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <vector>

#include "activate.h"
#include "check.h"
#include "dense_pullback.h"
#include "dispatch.h"
#include "guarded.h"
#include "tests.h"
#include "values.h"

namespace hotloops::testing {
namespace {

template <class T>
void test_activation_grad_on_threads() {
  const RowKernels& kernels = row_kernels(kDTypeOf<T>);
  constexpr std::int64_t kRows = 500;
  constexpr std::int64_t kCols = 301;  // enough for several threads, and no multiple of a vector
  const GuardedArray<T> saved(kRows * kCols, Guard::after);
  const GuardedArray<T> grad_y(kRows * kCols, Guard::before);
  const GuardedArray<T> grad_x(kRows * kCols, Guard::after);
  std::vector<T> expected(grad_x.span().size());
  fill_real(saved.span(), 1);
  fill_real(grad_y.span(), 2);
  for (const Activation activation : {Activation::gelu, Activation::softmax}) {
    for (std::int64_t i = 0; i < kRows * kCols; i += kCols) {
      kernels.activation_grad(activation, kCols, &saved[i], &grad_y[i], expected.data() + i);
    }
    for (const int threads : {1, 2, 3}) {
      std::ranges::fill(grad_x.span(), kNan<T>);
      activation_grad(activation, kernels,
                      {.dtype = kDTypeOf<T>,
                       .rows = kRows,
                       .cols = kCols,
                       .saved = saved.data(),
                       .grad_y = grad_y.data(),
                       .grad_x = grad_x.data()},
                      threads);
      check(same_bits<T>(grad_x.span(), expected), active_kernels().name,
            " gradient of activation ", static_cast<int>(activation), " on ", threads, " threads");
    }
  }
}

template <class T>
void print_digests(const KernelSet& set) {
  constexpr std::int64_t kCount = 4099;
  std::vector<T> saved(kCount);
  std::vector<T> grad_y(kCount);
  std::vector<T> grad_x(kCount);
  fill_real<T>(saved, 3);
  fill_real<T>(grad_y, 4);
  for (const Activation activation :
       {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::sigmoid,
        Activation::tanh, Activation::silu, Activation::softmax}) {
    row_kernels(kDTypeOf<T>)
        .activation_grad(activation, kCount, saved.data(), grad_y.data(), grad_x.data());
    std::cout << "digest " << set.name << ' ' << name_of(kDTypeOf<T>) << " gradient "
              << static_cast<int>(activation) << ' ' << std::hex << std::setfill('0')
              << std::setw(16) << digest<T>(grad_x) << std::dec << '\n';
  }
}

// Small integers, so that any order of the sums gives the same.
template <class T>
void test_dense_pullback(std::int64_t rows, std::int64_t in, std::int64_t units) {
  const GuardedArray<T> x(rows * in, Guard::after);
  const GuardedArray<T> kernel(in * units, Guard::after);
  const GuardedArray<T> y(rows * units, Guard::after);
  const GuardedArray<T> grad_y(rows * units, Guard::before);
  const GuardedArray<T> grad_x(rows * in, Guard::after);
  const GuardedArray<T> grad_kernel(in * units, Guard::before);
  const GuardedArray<T> grad_bias(units, Guard::after);
  fill_small_integers(x.span(), 1);
  fill_small_integers(kernel.span(), 2);
  fill_small_integers(y.span(), 3);
  fill_small_integers(grad_y.span(), 4);
  std::vector<T> grad_z(y.span().size());
  const auto check_gradients = [&] {
    for (std::int64_t i = 0; i < rows * in; ++i) {
      T sum = 0;
      for (std::int64_t j = 0; j < units; ++j) {
        sum += grad_z[static_cast<std::size_t>(i / in * units + j)] * kernel[i % in * units + j];
      }
      check(grad_x[i] == sum, "grad_x[", i, "] is ", grad_x[i], " but must be ", sum);
    }
    for (std::int64_t j = 0; j < units; ++j) {
      T of_bias = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        of_bias += grad_z[static_cast<std::size_t>(row * units + j)];
      }
      check(grad_bias[j] == of_bias, "grad_bias[", j, "] is ", grad_bias[j]);
      for (std::int64_t i = 0; i < in; ++i) {
        T sum = 0;
        for (std::int64_t row = 0; row < rows; ++row) {
          sum += x[row * in + i] * grad_z[static_cast<std::size_t>(row * units + j)];
        }
        const T actual = grad_kernel[j * in + i];  // stored as its transpose
        check(actual == sum, "grad_kernel[", i, ", ", j, "] is ", actual, " but must be ", sum);
      }
    }
  };
  for (const Activation activation : {Activation::none, Activation::relu}) {
    for (std::size_t i = 0; i < grad_z.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      grad_z[i] = activation == Activation::none || y[at] > 0 ? grad_y[at] : 0;
    }
    for (const int threads : {1, 3}) {
      dense_pullback(
          matmul_kernels(kDTypeOf<T>), row_kernels(kDTypeOf<T>),
          {.rows = rows,
           .in = in,
           .units = units,
           .x = {.data = x.data(), .row_stride = in, .col_stride = 1},
           .kernel = {.data = kernel.data(), .row_stride = units, .col_stride = 1},
           .activation = activation,
           .saved = y.data(),
           .grad_y = {.data = grad_y.data(), .row_stride = units, .col_stride = 1},
           .grad_z = nullptr,
           .grad_x = {.data = grad_x.data(), .row_stride = in, .col_stride = 1},
           .grad_kernel = {.data = grad_kernel.data(), .row_stride = 1, .col_stride = in},
           .grad_bias = grad_bias.data()},
          threads);
      check_gradients();
    }
  }
}

}  // namespace

void test_backward(const KernelSet& set) {
  test_activation_grad_on_threads<float>();
  test_activation_grad_on_threads<double>();
  print_digests<float>(set);
  print_digests<double>(set);
  for (const std::int64_t rows : {0, 1, 7, 300}) {
    test_dense_pullback<float>(rows, 45, 70);
    test_dense_pullback<double>(rows, 45, 70);
  }
  // More than are computed at a time.
  test_dense_pullback<float>(300, 2, 8200);
  test_dense_pullback<double>(300, 2, 4200);
}

}  // namespace hotloops::testing
