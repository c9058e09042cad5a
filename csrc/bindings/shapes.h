// What matmul and dense make of their operands' shapes: the products to compute, or a refusal.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bindings/array.h"
#include "matmul.h"

namespace hotloops {

// What the arguments are called in error messages.
struct Names {
  std::string_view function, a, b;
};

inline constexpr Names kMatmulNames{.function = "matmul", .a = "a", .b = "b"};

constexpr Names dense_names(bool transposed) {
  return {
      .function = transposed ? "linear" : "dense", .a = "x", .b = transposed ? "weight" : "kernel"};
}

// A product as the operands' shapes define it, by numpy.matmul's rules.
struct Product {
  MatmulArgs args{};
  int batch_ndim = 0;
  std::array<BatchDim, kMaxDims> batch;
  int ndim = 0;  // of the result
  std::array<std::int64_t, kMaxDims> shape;
  bool has_rows, has_cols;  // whether the result has them as dimensions

  // b_transposed: b's last dimension is the one that is summed over. Throws std::invalid_argument
  // if the shapes do not fit.
  Product(const Array& a, const Array& b, bool b_transposed, const Names& names);

  void write_to(const Array& c) {
    for (int d = 0; d < batch_ndim; ++d) batch[d].c_stride = c.strides[d];
    args.c = {c.data, has_rows ? c.strides[batch_ndim] : 0, has_cols ? c.strides[ndim - 1] : 1};
  }

  // To memory in which the result lies in C order.
  void write_to(void* c) {
    std::int64_t stride = 1;
    args.c = {.data = c, .row_stride = 0, .col_stride = 1};
    if (has_cols) stride = args.n;
    if (has_rows) {
      args.c.row_stride = stride;
      stride *= args.m;
    }
    for (int d = batch_ndim - 1; d >= 0; --d) {
      batch[d].c_stride = stride;
      stride *= batch[d].size;
    }
  }

  [[nodiscard]] std::span<const std::int64_t> result_shape() const {
    return std::span(shape).first(static_cast<std::size_t>(ndim));
  }
  [[nodiscard]] std::span<const BatchDim> batch_dims() const {
    return std::span(batch).first(static_cast<std::size_t>(batch_ndim));
  }
  [[nodiscard]] std::int64_t work() const {
    std::int64_t work = args.m * args.n * std::max<std::int64_t>(1, args.k);
    for (const BatchDim& dim : batch_dims()) work *= dim.size;
    return work;
  }
};

// That of a dense layer, or of a linear one where `transposed`, whose weight is `in_rows`, one for
// each unit, unless it is packed: then it is a kernel already. Throws std::invalid_argument if the
// shapes do not fit.
Product dense_product(const Array& x, const Array& kernel, const Array* bias, bool transposed,
                      bool in_rows);

// A stand-in for operands of whatever kind and dtype, where only shapes matter.
Array of_shape(std::span<const std::int64_t> shape);

}  // namespace hotloops
