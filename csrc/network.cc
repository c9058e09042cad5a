#include "network.h"

#include <algorithm>
#include <new>
#include <utility>

#include "activate.h"
#include "blocking.h"
#include "dense.h"
#include "dense_pullback.h"

namespace hotloops {
namespace {

constexpr std::align_val_t kAlignment{64};

ConstView matrix(const void* data, std::int64_t cols) {
  return {.data = data, .row_stride = cols, .col_stride = 1};
}

View matrix(void* data, std::int64_t cols) {
  return {.data = data, .row_stride = cols, .col_stride = 1};
}

}  // namespace

std::int64_t parameter_count(std::span<const Layer> layers) {
  std::int64_t count = 0;
  for (const Layer& layer : layers) count += layer.parameter_count();
  return count;
}

void Network::Free::operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }

Network::Network(DType dtype, std::vector<Layer> layers, std::int64_t max_batch)
    : dtype_(dtype), layers_(std::move(layers)) {
  const auto bytes = [&](std::int64_t units) {
    return round_up(max_batch * units * size_of(dtype), 64);
  };
  // A dense layer whose derivative is computed from z keeps it besides y.
  const auto keeps_z = [](const Layer& layer) {
    return layer.has_kernel && saves_input(layer.activation);
  };
  std::int64_t total = bytes(layers_.front().inputs);
  for (const Layer& layer : layers_) total += bytes(layer.units) * (keeps_z(layer) ? 3 : 2);
  memory_.reset(new (kAlignment) std::byte[static_cast<std::size_t>(total)]);

  std::byte* free = memory_.get();
  const auto take = [&](std::int64_t units) { return std::exchange(free, free + bytes(units)); };
  passes_.push_back({.y = take(layers_.front().inputs), .z = nullptr, .grad = nullptr});
  for (const Layer& layer : layers_) {
    void* before = passes_.back().y;
    void* y = take(layer.units);
    void* z = y;
    if (keeps_z(layer)) z = take(layer.units);
    if (!layer.has_kernel) z = before;
    passes_.push_back({.y = y, .z = z, .grad = take(layer.units)});
  }
}

void Network::forward(const KernelSet& kernels, const void* parameters, std::int64_t batch,
                      int threads) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const Pass& in = passes_[l];
    const Pass& out = passes_[l + 1];
    if (layer.has_kernel) {
      const bool fused = out.z == out.y;
      const void* bias = at(parameters, layer.inputs * layer.units, dtype_);
      dense(products(kernels), rows(kernels),
            {.m = batch,
             .n = layer.units,
             .k = layer.inputs,
             .a = matrix(in.y, layer.inputs).as_const(),
             .b = matrix(parameters, layer.units),
             .c = matrix(out.z, layer.units),
             .epilogue = {.bias = layer.has_bias ? bias : nullptr,
                          .activation = fused ? layer.activation : Activation::none}},
            {}, threads);
      parameters = at(parameters, layer.parameter_count(), dtype_);
    }
    if (out.z == out.y) continue;
    activate_rows(layer.activation, rows(kernels),
                  {.dtype = dtype_, .rows = batch, .cols = layer.units, .x = out.z, .y = out.y},
                  threads);
  }
}

void Network::backward(const KernelSet& kernels, const void* parameters, std::int64_t batch,
                       void* gradients, int threads) {
  // Nothing before the first dense layer learns.
  const auto first =
      static_cast<std::size_t>(std::ranges::find_if(layers_, &Layer::has_kernel) - layers_.begin());
  std::int64_t offset = parameter_count(layers_);
  for (std::size_t l = layers_.size(); l-- > first;) {
    const Layer& layer = layers_[l];
    const Pass& in = passes_[l];
    const Pass& out = passes_[l + 1];
    const void* saved = saves_input(layer.activation) ? out.z : out.y;
    if (!layer.has_kernel) {
      activation_grad(layer.activation, rows(kernels),
                      {.dtype = dtype_,
                       .rows = batch,
                       .cols = layer.units,
                       .saved = saved,
                       .grad_y = out.grad,
                       .grad_x = in.grad},
                      threads);
      continue;
    }
    offset -= layer.parameter_count();
    void* to_kernel = at(gradients, offset, dtype_);
    void* to_bias = at(to_kernel, layer.inputs * layer.units, dtype_);
    dense_pullback(products(kernels), rows(kernels),
                   {.rows = batch,
                    .in = layer.inputs,
                    .units = layer.units,
                    .x = matrix(in.y, layer.inputs).as_const(),
                    .kernel = matrix(at(parameters, offset, dtype_), layer.units),
                    .activation = layer.activation,
                    .saved = saved,
                    .grad_y = matrix(out.grad, layer.units).as_const(),
                    .grad_z = out.grad,
                    .grad_x = matrix(l == first ? nullptr : in.grad, layer.inputs),
                    .grad_kernel = matrix(to_kernel, layer.units),
                    .grad_bias = layer.has_bias ? to_bias : nullptr},
                   threads);
  }
}

}  // namespace hotloops
