// Which kernels run: the best set that the CPU can use, or the one that was asked for.

#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel.h"

namespace hotloops {

// What is beneath, with what the overlay has in its place. Both outlive the set.
KernelSet with_overlay(const KernelSet& beneath, const KernelOverlay& overlay);

// One row of the table: an ISA and what the CPU must offer for it.
struct IsaEntry {
  const char* name;
  std::vector<std::string> required;
  // Null where this build has no code for it (another architecture's leaf).
  const KernelSet* kernels;
};

// Every ISA that hotloops knows, best first.
std::span<const IsaEntry> isa_table();

// The best entry whose requirements `features` meets and whose architecture it is, or, with a name
// in `override_name`, that entry. Throws std::invalid_argument when there is no such ISA or it
// needs more than `features`: asking for an ISA never falls back to another.
const IsaEntry& select_isa(const std::set<std::string>& features,
                           std::string_view override_name = {});

// Names of the ISAs usable in this process, best first.
std::vector<std::string> usable_isas();

// The kernels in use: at first the best ones, or those that the environment variable HOTLOOPS_ISA
// names (throws as select_isa does).
const KernelSet& active_kernels();

// Changes them for the whole process, to those of select_isa. Calls that have begun finish with the
// kernels they have.
void use_isa(std::string_view name);

// The same, to kernels that outlive their use: those for other CPUs of the same ISA, to be tested.
void use_kernels(const KernelSet& kernels);

// Where an ISA has nothing of its own for a way to multiply float32, those of float32.
inline std::span<const Kernel> matmul_kernels(Arithmetic arithmetic) {
  const auto& all = active_kernels().matmul;
  const auto& kernels = all[static_cast<int>(arithmetic)];
  return kernels[0].choose != nullptr ? kernels : all[static_cast<int>(Arithmetic::f32)];
}
inline std::span<const Kernel> matmul_kernels(DType dtype) {
  return matmul_kernels(static_cast<Arithmetic>(dtype));
}

// What tells a kernel from all others.
std::string name_of(const Kernel& kernel);

// How float32 is multiplied where the caller does not say: f32 itself, or one of its bfloat16
// arithmetics. Set for the process, and for the calling thread alone, which then goes before.
Arithmetic float32_precision();
std::optional<Arithmetic> float32_precision_here();
void set_float32_precision(Arithmetic arithmetic);
void set_float32_precision_here(std::optional<Arithmetic> arithmetic);

inline const RowKernels& row_kernels(DType dtype) {
  return active_kernels().rows[static_cast<int>(dtype)];
}
inline const ElementKernels& element_kernels(ElementType type) {
  return active_kernels().elements[static_cast<int>(type)];
}

}  // namespace hotloops
