#include "bindings/shapes.h"

#include <stdexcept>
#include <string>

namespace hotloops {
namespace {

std::string shapes_text(const Array& a, const Array& b) {
  return " (shapes " + shape_text(a) + " and " + shape_text(b) + ")";
}

[[noreturn]] void refuse(const Names& names, std::string_view message, const Array& a,
                         const Array& b) {
  throw std::invalid_argument(std::string(names.function) + ": " + std::string(message) +
                              shapes_text(a, b));
}

std::string counted(std::int64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

}  // namespace

Product::Product(const Array& a, const Array& b, bool b_transposed, const Names& names) {
  if (a.ndim == 0 || b.ndim == 0) {
    const std::string_view scalar = a.ndim == 0 ? names.a : names.b;
    const std::string_view remedy =
        names.function == kMatmulNames.function ? "; use * to scale" : "";
    refuse(names,
           std::string(scalar) + " has 0 dimensions but at least 1 is needed" + std::string(remedy),
           a, b);
  }
  has_rows = a.ndim > 1;
  has_cols = b.ndim > 1;
  const int a_last = a.ndim - 1;
  const int b_rows = !has_cols ? 0 : b.ndim - (b_transposed ? 1 : 2);
  const int b_cols = b.ndim - (b_transposed ? 2 : 1);

  args.k = a.shape[a_last];
  if (b.shape[b_rows] != args.k) {
    const std::string_view b_noun = b_transposed ? "column" : "row";
    refuse(names,
           std::string(names.a) + " has " + counted(args.k, has_rows ? "column" : "element") +
               " but " + std::string(names.b) + " has " +
               counted(b.shape[b_rows], has_cols ? b_noun : "element"),
           a, b);
  }
  args.m = has_rows ? a.shape[a_last - 1] : 1;
  args.n = has_cols ? b.shape[b_cols] : 1;
  args.a = {a.data, has_rows ? a.strides[a_last - 1] : 0, a.strides[a_last]};
  args.b = {b.data, b.strides[b_rows], has_cols ? b.strides[b_cols] : 0};

  const int a_batch = has_rows ? a.ndim - 2 : 0;
  const int b_batch = has_cols ? b.ndim - 2 : 0;
  batch_ndim = std::max(a_batch, b_batch);
  for (int d = 0; d < batch_ndim; ++d) {
    const int in_a = d - (batch_ndim - a_batch);
    const int in_b = d - (batch_ndim - b_batch);
    const std::int64_t a_size = in_a < 0 ? 1 : a.shape[in_a];
    const std::int64_t b_size = in_b < 0 ? 1 : b.shape[in_b];
    if (a_size != b_size && a_size != 1 && b_size != 1) {
      refuse(names,
             "batch dimension " + std::to_string(d) + " has size " + std::to_string(a_size) +
                 " in " + std::string(names.a) + " but " + std::to_string(b_size) + " in " +
                 std::string(names.b) + "; sizes must be equal or 1",
             a, b);
    }
    batch[d] = {.size = a_size == 1 ? b_size : a_size,
                .a_stride = a_size == 1 ? 0 : a.strides[in_a],
                .b_stride = b_size == 1 ? 0 : b.strides[in_b],
                .c_stride = 0};
    shape[ndim++] = batch[d].size;
  }
  if (has_rows) shape[ndim++] = args.m;
  if (has_cols) shape[ndim++] = args.n;
}

Product dense_product(const Array& x, const Array& kernel, const Array* bias, bool transposed,
                      bool in_rows) {
  const Names names = dense_names(transposed);
  if (kernel.ndim != 2) {
    refuse(names,
           std::string(names.b) + " has " + counted(kernel.ndim, "dimension") + " but 2 are needed",
           x, kernel);
  }
  const Product product(x, kernel, in_rows, names);
  if (bias != nullptr && (bias->ndim != 1 || bias->shape[0] != product.args.n)) {
    throw std::invalid_argument(std::string(names.function) + ": bias has shape " +
                                shape_text(*bias) + " but (" + std::to_string(product.args.n) +
                                ",) is needed, one value a unit");
  }
  return product;
}

Array of_shape(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxDims) throw std::invalid_argument("more than 64 dimensions");
  Array array{};
  array.ndim = static_cast<int>(shape.size());
  array.shape = shape.data();
  return array;
}

}  // namespace hotloops
