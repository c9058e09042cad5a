#include "activate.h"

#include <array>

#include "blocking.h"
#include "threads.h"
#include "view.h"

namespace hotloops {
namespace {

// Of a gradient: half of what two arrays, of an activation itself, come to, as there is another
// array to read and more to compute.
constexpr std::int64_t kGradientBytesPerThread = kBytesPerThread / 4;

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

void copy(const RowKernels& kernels, ElementType type, const void* from, void* to,
          std::span<const ElementwiseDim> dims, int threads) {
  activate(Activation::none, kernels,
           {.arrays = 2,
            .has_result = true,
            .array = {{const_cast<void*>(from), type}, {to, type}},
            .dims = dims},
           threads);
}

void activate_rows(Activation activation, const RowKernels& kernels, const ActivateRowsArgs& args,
                   int threads) {
  const std::array dims = {ElementwiseDim{.size = args.rows, .strides = {args.cols, args.cols}},
                           ElementwiseDim{.size = args.cols, .strides = {1, 1}}};
  const ElementType type = element_type(args.dtype);
  activate(activation, kernels,
           {.arrays = 2,
            .has_result = true,
            .array = {{const_cast<void*>(args.x), type}, {args.y, type}},
            .dims = dims},
           threads);
}

void activation_grad(Activation activation, const RowKernels& kernels,
                     const ActivationGradArgs& args, int threads) {
  const std::int64_t total = args.rows * args.cols;
  if (total == 0) return;
  const bool whole_rows = activation == Activation::softmax;
  const std::int64_t unit = whole_rows ? args.cols : 64 / size_of(args.dtype);
  parallel(worthwhile_threads(total * size_of(args.dtype), kGradientBytesPerThread, threads),
           [&](Team team) {
             const Range range = part(total, unit, team.count, team.index);
             const std::int64_t step = whole_rows ? args.cols : range.size();
             for (std::int64_t i = range.begin; i < range.end; i += step) {
               kernels.activation_grad(activation, step, at(args.saved, i, args.dtype),
                                       at(args.grad_y, i, args.dtype),
                                       at(args.grad_x, i, args.dtype));
             }
           });
}

}  // namespace hotloops
