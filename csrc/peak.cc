#include "peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "threads.h"

namespace hotloops {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kBurstSeconds = 0.1e-3;

}  // namespace

double fma_peak(const KernelSet& kernels, DType dtype, double seconds, int threads) {
  const auto burst = kernels.fma_burst[static_cast<int>(dtype)];
  std::vector<double> medians(static_cast<std::size_t>(threads), 0.0);
  parallel(threads, [&](Team team) {
    std::int64_t iterations = 1000;
    std::vector<double> rates;
    for (double time = now(), end = time + seconds; time < end || rates.empty();) {
      const std::int64_t operations = burst(iterations);
      const double elapsed = now() - time;
      time += elapsed;
      if (elapsed < kBurstSeconds) {
        iterations *= 2;
      } else {
        rates.push_back(static_cast<double>(operations) / elapsed);
      }
    }
    const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
    std::nth_element(rates.begin(), middle, rates.end());
    medians[static_cast<std::size_t>(team.index)] = *middle;
  });
  double total = 0;
  for (const double rate : medians) total += rate;
  return total;
}

}  // namespace hotloops
