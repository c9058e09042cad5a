// What the CPU and the operating system let a process use.

#pragma once

#include <set>
#include <string>

namespace hotloops {

// Names as in /proc/cpuinfo: "sse2", "avx2", "fma", "avx512f", ... on x86-64, "neon" on AArch64. A
// feature whose registers the operating system does not save is not usable and not listed.
const std::set<std::string>& cpu_features();

// Whether shuffles of 64 bytes are cheaper than loads, as on AMD's Zen 5: a matter of time alone.
bool has_cheap_shuffles();

}  // namespace hotloops
