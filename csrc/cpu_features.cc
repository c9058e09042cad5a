#include "cpu_features.h"

namespace hotloops {
namespace {

std::set<std::string> detect() {
  std::set<std::string> features;
#if defined(__x86_64__)
  // The builtin asks CPUID and, for the AVX families, XGETBV.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse2")) features.emplace("sse2");
  if (__builtin_cpu_supports("avx2")) features.emplace("avx2");
  if (__builtin_cpu_supports("fma")) features.emplace("fma");
  if (__builtin_cpu_supports("avx512f")) features.emplace("avx512f");
  if (__builtin_cpu_supports("avx512bw")) features.emplace("avx512bw");
  if (__builtin_cpu_supports("avx512dq")) features.emplace("avx512dq");
  if (__builtin_cpu_supports("avx512vl")) features.emplace("avx512vl");
#elif defined(__aarch64__)
  features.emplace("neon");  // part of the architecture's base
#endif
  return features;
}

}  // namespace

const std::set<std::string>& cpu_features() {
  static const std::set<std::string> features = detect();
  return features;
}

}  // namespace hotloops
