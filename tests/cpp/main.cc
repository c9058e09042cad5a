// Tests of the C++ core without Python: every kernel of every ISA that is usable where this runs.
// Prints digests of results (see test_drivers) and ends with a count; fails by its exit status.

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "check.h"
#include "cpu_features.h"
#include "dispatch.h"
#include "kernels/leaves.h"
#include "tests.h"
#include "workspace.h"

int main() {
  std::cout << std::unitbuf;  // a crash must not swallow what was being tested
  hotloops::fills_with_garbage = true;
  namespace testing = hotloops::testing;
  const auto usable = hotloops::usable_isas();
  for (const hotloops::IsaEntry& entry : hotloops::isa_table()) {
    if (std::ranges::find(usable, entry.name) == usable.end()) {
      std::cout << "skipped " << entry.name << ": not usable here\n";
      continue;
    }
    std::cout << "testing " << entry.name << '\n';
    hotloops::use_isa(entry.name);
    testing::check(&hotloops::active_kernels() == entry.kernels, "use_isa took no effect");
    testing::test_microkernels(*entry.kernels);
    testing::test_dot_kernels(*entry.kernels);
    testing::test_row_kernels(*entry.kernels);
    testing::test_element_kernels(*entry.kernels);
    testing::test_sum_kernels(*entry.kernels);
    testing::test_drivers(*entry.kernels);
    testing::test_sums(*entry.kernels);
    testing::test_dtypes(*entry.kernels);
    testing::test_backward(*entry.kernels);
    testing::test_training(*entry.kernels);
  }
#if defined(__x86_64__)
  if (std::ranges::find(usable, "avx512") != usable.end()) {
    std::cout << "testing avx512 without VNNI and BF16\n";
    hotloops::use_kernels(hotloops::avx512::kKernels);
    testing::test_dtypes(hotloops::avx512::kKernels);
    // Those that were not chosen for this CPU.
    std::cout << "testing avx512's other rows\n";
    static hotloops::KernelSet others =
        hotloops::has_cheap_shuffles()
            ? hotloops::avx512::kKernels
            : hotloops::with_overlay(hotloops::avx512::kKernels, hotloops::avx512zen::kOverlay);
    others.name = "avx512-other-rows";
    hotloops::use_kernels(others);
    testing::test_dot_kernels(others);
    testing::test_drivers(others);
    hotloops::use_isa(usable.front());
  }
#endif
  testing::test_concurrent_calls();
  testing::test_threads();
  const auto [checks, failures] = testing::tally();
  std::cout << checks << " checks, " << failures << " failures\n";
  return checks > 0 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
