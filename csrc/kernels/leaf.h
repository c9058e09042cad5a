// What a leaf instantiates: `#define HOTLOOPS_ISA <name>`, include this, and make_kernel_set.

#pragma once

#include "kernel.h"
#include "kernels/microkernel.h"
#include "kernels/rows.h"

namespace hotloops::HOTLOOPS_ISA {

template <class M>
constexpr Kernel make_kernel(Isa isa, const char* name) {
  return {name, isa, M::kDType, M::kMr, M::kNr, 1, &M::run};
}

template <class S>
constexpr RowKernels make_row_kernels() {
  return {&Rows<S>::relu, &Rows<S>::relu_stream, &Rows<S>::activate, &Rows<S>::softmax};
}

// A tile of mr rows and nv vectors for both dtypes.
template <int Bytes, int Mr, int Nv>
constexpr KernelSet make_kernel_set(Isa isa, const char* name, const char* f32_name,
                                    const char* f64_name) {
  using F32 = Simd<float, Bytes>;
  using F64 = Simd<double, Bytes>;
  return {
      isa,
      name,
      {make_kernel<Microkernel<F32, Mr, Nv>>(isa, f32_name),
       make_kernel<Microkernel<F64, Mr, Nv>>(isa, f64_name)},
      {make_row_kernels<F32>(), make_row_kernels<F64>()},
      {&Rows<F32>::fma_burst, &Rows<F64>::fma_burst},
  };
}

}  // namespace hotloops::HOTLOOPS_ISA
