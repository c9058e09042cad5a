#include "relu.h"

#include "blocking.h"

namespace hotloops {
namespace {

// From this many bytes on, y is written past the caches: an ordinary store would read each line of
// memory first. Not in place, where the line has just been read anyway; nor in new memory, whose
// pages the kernel clears, through the caches, at the first touch (a quarter slower then).
constexpr std::int64_t kStreamBytes = 32 << 20;

}  // namespace

void relu(const RowKernels& kernels, const ElementwiseArgs& args, int threads) {
  std::int64_t bytes = size_of(args.dtype);
  for (const ElementwiseDim& dim : args.dims) bytes *= dim.size;
  const bool stream = bytes >= kStreamBytes && args.x != args.y && !args.y_is_new;
  const auto run = stream ? kernels.relu_stream : kernels.relu;
  map_elements(args,
               {.run = [](const void* context, std::int64_t n, const void* x,
                          void* y) { (*static_cast<decltype(run)*>(context))(n, x, y); },
                .context = &run},
               threads);
}

}  // namespace hotloops
