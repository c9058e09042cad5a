#include "dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "cpu_features.h"
#include "kernels/leaves.h"

namespace hotloops {

namespace {

#if defined(__x86_64__)
KernelSet with_overlay_if(bool condition, const KernelSet& beneath, const KernelOverlay& overlay) {
  return condition ? with_overlay(beneath, overlay) : beneath;
}

const KernelSet* avx512_kernels() {
  static const KernelSet kernels = [] {
    // Overlays refer to the set beneath, which therefore stays.
    static const KernelSet with_integers = with_overlay_if(cpu_features().contains("avx512_vnni"),
                                                           avx512::kKernels, avx512vnni::kOverlay);
    static const KernelSet with_rows =
        with_overlay_if(has_cheap_shuffles(), with_integers, avx512zen::kOverlay);
    return with_overlay_if(cpu_features().contains("avx512_bf16"), with_rows, avx512bf16::kOverlay);
  }();
  return &kernels;
}
const KernelSet* amx_kernels() {
  static const KernelSet kernels = with_overlay(*avx512_kernels(), amx::kOverlay);
  return &kernels;
}
constexpr const KernelSet* kAvx2 = &avx2::kKernels;
constexpr const KernelSet* kNeon = nullptr;
#elif defined(__aarch64__)
const KernelSet* avx512_kernels() { return nullptr; }
const KernelSet* amx_kernels() { return nullptr; }
constexpr const KernelSet* kAvx2 = nullptr;
constexpr const KernelSet* kNeon = &neon::kKernels;
#else
const KernelSet* avx512_kernels() { return nullptr; }
const KernelSet* amx_kernels() { return nullptr; }
constexpr const KernelSet* kAvx2 = nullptr;
constexpr const KernelSet* kNeon = nullptr;
#endif

template <class Strings>
std::string join(const Strings& strings) {
  std::string joined;
  for (const std::string& s : strings) joined += (joined.empty() ? "" : ", ") + s;
  return joined.empty() ? "none" : joined;
}

const KernelSet* initial_kernels() {
  const char* name = std::getenv("HOTLOOPS_ISA");
  try {
    return select_isa(cpu_features(), name == nullptr ? "" : name).kernels;
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(
        "the environment variable HOTLOOPS_ISA: " + std::string(error.what()) +
        "; this CPU can use: " + join(usable_isas()));
  }
}

std::atomic<const KernelSet*>& active() {
  static std::atomic<const KernelSet*> kernels = initial_kernels();
  return kernels;
}

std::atomic<Arithmetic> precision{Arithmetic::f32};
thread_local std::optional<Arithmetic> precision_here;

template <class Pointer, std::size_t N>
void replace_where_given(Pointer (&target)[N], const Pointer (&given)[N]) {
  for (std::size_t i = 0; i < N; ++i) {
    if (given[i] != nullptr) target[i] = given[i];
  }
}

// The overlay's kernel as it is used over these for its fallback.
Kernel completed(Kernel kernel, const Kernel& fallback, bool shares_dots) {
  if (kernel.break_even > 0 || kernel.panels.suit != nullptr) kernel.plain = &fallback;
  if (shares_dots && kernel.dots == nullptr) {
    kernel.dots = fallback.dots;
    kernel.short_rows = fallback.short_rows;
  }
  return kernel;
}

}  // namespace

KernelSet with_overlay(const KernelSet& beneath, const KernelOverlay& overlay) {
  KernelSet set = beneath;
  set.isa = overlay.isa;
  set.name = name_of(overlay.isa);
  for (int a = 0; a < kArithmetics; ++a) {
    const auto& fallback =
        beneath.matmul[static_cast<int>(fallback_of(Arithmetic{static_cast<std::uint8_t>(a)}))];
    for (int shape = 0; shape < kTileShapes; ++shape) {
      const Kernel& given = overlay.matmul[a][shape];
      Kernel& kernel = set.matmul[a][shape];
      if (given.choose != nullptr) {
        kernel = completed(given, fallback[0], overlay.shares_dots);
        continue;
      }
      // A way to multiply that begins with this overlay has all shapes of tiles.
      if (set.matmul[a][0].choose != nullptr && kernel.choose == nullptr) kernel = fallback[shape];
      if (overlay.dots[a] != nullptr) kernel.dots = overlay.dots[a];
      if (kernel.mr == 1 && overlay.wide_row[a].cols > 0) kernel.wide_row = overlay.wide_row[a];
    }
  }
  replace_where_given(set.narrow, overlay.narrow);
  replace_where_given(set.tile_burst, overlay.tile_burst);
  return set;
}

std::span<const IsaEntry> isa_table() {
  static const IsaEntry table[] = {
      {"amx",
       {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "amx_tile", "amx_bf16",
        "amx_int8"},
       amx_kernels()},
      {"avx512", {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}, avx512_kernels()},
      {"avx2", {"avx2", "fma"}, kAvx2},
      {"neon", {"neon"}, kNeon},
      {"baseline", {}, &baseline::kKernels},
  };
  return table;
}

const IsaEntry& select_isa(const std::set<std::string>& features, std::string_view override_name) {
  const auto table = isa_table();
  const auto missing = [&](const IsaEntry& entry) {
    std::vector<std::string> names;
    std::ranges::set_difference(std::set<std::string>(entry.required.begin(), entry.required.end()),
                                features, std::back_inserter(names));
    return names;
  };
  if (override_name.empty()) {
    return *std::ranges::find_if(table, [&](const IsaEntry& e) { return missing(e).empty(); });
  }
  std::vector<std::string> known;
  for (const IsaEntry& entry : table) {
    known.emplace_back(entry.name);
    if (override_name != entry.name) continue;
    if (const auto lacking = missing(entry); !lacking.empty()) {
      throw std::invalid_argument(
          "ISA '" + std::string(entry.name) +
          "' needs CPU features that are not usable here: " + join(lacking));
    }
    return entry;
  }
  throw std::invalid_argument("unknown ISA '" + std::string(override_name) + "': expected one of " +
                              join(known));
}

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const IsaEntry& entry : isa_table()) {
    const bool runs = std::ranges::all_of(
        entry.required, [](const std::string& f) { return cpu_features().contains(f); });
    if (entry.kernels != nullptr && runs) names.emplace_back(entry.name);
  }
  return names;
}

const KernelSet& active_kernels() { return *active().load(std::memory_order_relaxed); }

void use_isa(std::string_view name) { use_kernels(*select_isa(cpu_features(), name).kernels); }

void use_kernels(const KernelSet& kernels) { active().store(&kernels, std::memory_order_relaxed); }

std::string name_of(const Kernel& kernel) {
  return std::string("matmul_") + name_of(kernel.arithmetic) + "_" + name_of(kernel.isa) + "_" +
         std::to_string(kernel.mr) + "x" + std::to_string(kernel.nr);
}

Arithmetic float32_precision() {
  return precision_here.value_or(precision.load(std::memory_order_relaxed));
}

std::optional<Arithmetic> float32_precision_here() { return precision_here; }

void set_float32_precision(Arithmetic arithmetic) {
  precision.store(arithmetic, std::memory_order_relaxed);
}

void set_float32_precision_here(std::optional<Arithmetic> arithmetic) {
  precision_here = arithmetic;
}

}  // namespace hotloops
