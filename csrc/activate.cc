#include "activate.h"

namespace hotloops {
namespace {

struct Bound {
  Activation activation;
  decltype(RowKernels::activate) run;
};

}  // namespace

void activate(Activation activation, const RowKernels& kernels, const ElementwiseArgs& args,
              int threads) {
  const Bound bound{.activation = activation, .run = kernels.activate};
  const RowFunction f{.run =
                          [](const void* context, const Row& row) {
                            const auto* b = static_cast<const Bound*>(context);
                            b->run(b->activation, row.n, row.data[0], row.data[1]);
                            return true;
                          },
                      .context = &bound};
  if (activation == Activation::softmax) {
    map_rows(args, f, threads);
  } else {
    map_elements(args, f, threads);
  }
}

}  // namespace hotloops
