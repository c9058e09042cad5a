#include "peak.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "blocking.h"
#include "threads.h"

namespace hotloops {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kBurstSeconds = 0.1e-3;

// Operations a second, the median over bursts that take about so long together.
double median_rate(std::int64_t (*burst)(std::int64_t iterations), double seconds) {
  std::vector<double> rates;
  std::int64_t iterations = 1000;
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
  return *middle;
}

}  // namespace

double fma_peak(const KernelSet& kernels, DType dtype, double seconds) {
  return median_rate(kernels.fma_burst[static_cast<int>(dtype)], seconds);
}

double tile_peak(const KernelSet& kernels, TileProduct product, double seconds) {
  const auto burst = kernels.tile_burst[static_cast<int>(product)];
  if (burst == nullptr) {
    throw std::invalid_argument("the ISA '" + std::string(kernels.name) +
                                "' has no tile unit: its peak can be measured with 'amx' only");
  }
  return median_rate(burst, seconds);
}

void update_in_place(const KernelSet& kernels, std::span<double> values, int threads) {
  const auto negate = kernels.negate[static_cast<int>(DType::f64)];
  parallel(threads, [&](Team team) {
    const Range range = part(static_cast<std::int64_t>(values.size()), 1, team.count, team.index);
    negate(range.size(), values.data() + range.begin);
  });
}

}  // namespace hotloops
