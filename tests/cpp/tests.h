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

// The others are given the kernels in use, which main() chooses.

// The drivers. Prints a digest of each product: every ISA with FMA has the same ones, on whatever
// machine.
void test_drivers(const KernelSet& set);
// Sums: the bits of their definition.
void test_sums(const KernelSet& set);
// Products of every other arithmetic.
void test_dtypes(const KernelSet& set);
// The drivers of the backward pass. Prints digests, too.
void test_backward(const KernelSet& set);
// Optimizers and training. Prints digests, too.
void test_training(const KernelSet& set);

void test_concurrent_calls();
void test_threads();

}  // namespace hotloops::testing
