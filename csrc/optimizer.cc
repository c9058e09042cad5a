#include "optimizer.h"

#include <cmath>

#include "blocking.h"
#include "threads.h"
#include "view.h"

namespace hotloops {
namespace {

// Of the parameters, which come with gradients and up to two more arrays.
constexpr std::int64_t kParameterBytesPerThread = kBytesPerThread / 4;

// By squaring; libm's may differ from machine to machine in the last bit.
double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2 == 1) result *= base;
  }
  return result;
}

}  // namespace

void optimize(const Optimizer& optimizer, const RowKernels& kernels, DType dtype,
              const Trained& arrays, std::int64_t step, int threads) {
  Update update{.rule = optimizer.rule,
                .n = 0,
                .gradients = nullptr,
                .parameters = nullptr,
                .slots = {},
                .rate = optimizer.learning_rate,
                .momentum = optimizer.momentum,
                .beta1 = optimizer.beta1,
                .beta2 = optimizer.beta2,
                .scale = 1,
                .epsilon = optimizer.epsilon};
  if (optimizer.rule == Rule::adam) {
    const double weight1 = 1 - power(optimizer.beta1, step);
    const double weight2 = 1 - power(optimizer.beta2, step);
    update.rate /= weight1;
    update.scale = 1 / std::sqrt(weight2);
  }
  const std::int64_t line = 64 / size_of(dtype);
  parallel(worthwhile_threads(arrays.n * size_of(dtype), kParameterBytesPerThread, threads),
           [&](Team team) {
             const Range range = part(arrays.n, line, team.count, team.index);
             Update share = update;
             share.n = range.size();
             share.gradients = at(arrays.gradients, range.begin, dtype);
             share.parameters = at(arrays.parameters, range.begin, dtype);
             for (int s = 0; s < slots_of(optimizer.rule); ++s) {
               share.slots[s] = at(arrays.slots[s], range.begin, dtype);
             }
             kernels.update(share);
           });
}

}  // namespace hotloops
