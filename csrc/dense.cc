#include "dense.h"

#include <array>

#include "activate.h"

namespace hotloops {

void dense(std::span<const Kernel> kernels, const RowKernels& rows, const MatmulArgs& args,
           std::span<const BatchDim> batch, int threads) {
  if (args.epilogue.activation != Activation::softmax) {
    return matmul(kernels, args, batch, threads);
  }
  MatmulArgs sums = args;
  sums.epilogue.activation = Activation::none;
  matmul(kernels, sums, batch, threads);

  // A softmax needs its whole row, which is no tile's; it then works in place.
  std::array<ElementwiseDim, kMaxDims> dims;
  int ndim = 0;
  for (const BatchDim& dim : batch) dims[ndim++] = {dim.size, {dim.c_stride, dim.c_stride}};
  dims[ndim++] = {args.m, {args.c.row_stride, args.c.row_stride}};
  dims[ndim++] = {args.n, {args.c.col_stride, args.c.col_stride}};
  const ElementType type = element_type(kernels.front().dtype);
  activate(Activation::softmax, rows,
           {.arrays = 2,
            .has_result = true,
            .array = {{args.c.data, type}, {args.c.data, type}},
            .dims = std::span(dims).first(static_cast<std::size_t>(ndim))},
           threads);
}

}  // namespace hotloops
