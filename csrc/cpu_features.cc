#include "cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hotloops {
namespace {

#if defined(__x86_64__) && defined(__linux__)
// Whether this process may use the tile unit. Its registers are so large that the system asks to be
// asked, once; the answer holds for all threads.
bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

void detect_tiles(std::set<std::string>& features) {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return;
  constexpr unsigned kBf16 = 1U << 22;
  constexpr unsigned kTile = 1U << 24;
  constexpr unsigned kInt8 = 1U << 25;
  if ((edx & kTile) == 0 || !may_use_tiles()) return;
  features.emplace("amx_tile");
  if ((edx & kBf16) != 0) features.emplace("amx_bf16");
  if ((edx & kInt8) != 0) features.emplace("amx_int8");
}
#endif

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
  if (__builtin_cpu_supports("avx512vnni")) features.emplace("avx512_vnni");
  if (__builtin_cpu_supports("avx512bf16")) features.emplace("avx512_bf16");
#if defined(__linux__)
  detect_tiles(features);
#endif
#elif defined(__aarch64__)
  features.emplace("neon");  // part of the architecture's base
#endif
  return features;
}

#if defined(__x86_64__)
// Of AMD's CPUs, the number that says which generation one is of; 0 for all others.
unsigned amd_family() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return 0;
  if (ebx != signature_AMD_ebx || ecx != signature_AMD_ecx || edx != signature_AMD_edx) return 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return 0;
  return (eax >> 8 & 0xf) + (eax >> 20 & 0xff);
}
#endif

}  // namespace

bool has_cheap_shuffles() {
#if defined(__x86_64__)
  constexpr unsigned kZen5 = 0x1a;
  return amd_family() >= kZen5;
#else
  return false;
#endif
}

const std::set<std::string>& cpu_features() {
  static const std::set<std::string> features = detect();
  return features;
}

}  // namespace hotloops
