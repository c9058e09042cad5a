// The parts of the test program.

#pragma once

#include <array>

#include "kernel.h"

namespace hotloops::testing {

inline constexpr std::array kElementwise = {
    Activation::relu,    Activation::gelu, Activation::gelu_tanh,
    Activation::sigmoid, Activation::tanh, Activation::silu,
};

// Whether the ISA's multiply-add rounds once, so that its bits are those of the contract.
bool has_fma(const KernelSet& set);

void test_microkernels(const KernelSet& set);
void test_dot_kernels(const KernelSet& set);
void test_row_kernels(const KernelSet& set);
void test_element_kernels(const KernelSet& set);
void test_sum_kernels(const KernelSet& set);
// The drivers with the kernels in use. Prints a digest of each product: every ISA with FMA has the
// same ones, on whatever machine.
void test_drivers(const KernelSet& set);
// Sums with the kernels in use: the bits of their definition.
void test_sums(const KernelSet& set);
// Products of every other arithmetic.
void test_dtypes(const KernelSet& set);
// The drivers of the backward pass with the kernels in use. Prints digests, too.
void test_backward(const KernelSet& set);
void test_concurrent_calls();
void test_threads();
// Optimizers and training with the kernels in use; prints digests as test_drivers does.
void test_training(const KernelSet& set);

}  // namespace hotloops::testing
