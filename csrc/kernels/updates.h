// The optimizers' steps over n parameters.
//
// What a dead unit leaves behind decays until it is subnormal, and a step on subnormal numbers was
// measured to take three times as long: they are flushed to zero.
//
// As in activations.h, no expression has two products of which the compiler could choose one to
// fuse: running means are written m += (1 - beta) (g - m).

#pragma once

#include "kernels/activation_grads.h"
#include "kernels/simd.h"
#include "update.h"

namespace hotloops::HOTLOOPS_ISA {

// f(gradients, values) on a vector of each array at a time; what it leaves in `values` is stored.
// The last few go through buffers, so that nothing beyond n is read or written.
template <class S, int Count, class F>
HOTLOOPS_INLINE void update_rows(int64_t n, const typename S::T* gradients,
                                 typename S::T* const (&arrays)[Count], F f) {
  using T = typename S::T;
  using V = typename S::V;
  int64_t i = 0;
  for (; i + S::lanes <= n; i += S::lanes) {
    V values[Count];
#pragma GCC unroll 4
    for (int a = 0; a < Count; ++a) values[a] = S::load(arrays[a] + i);
    f(S::load(gradients + i), values);
#pragma GCC unroll 4
    for (int a = 0; a < Count; ++a) S::store(arrays[a] + i, values[a]);
  }
  if (i == n) return;
  T gradient_tail[S::lanes] = {};
  T tails[Count][S::lanes] = {};
  for (int64_t t = i; t < n; ++t) {
    gradient_tail[t - i] = gradients[t];
    for (int a = 0; a < Count; ++a) tails[a][t - i] = arrays[a][t];
  }
  V values[Count];
  for (int a = 0; a < Count; ++a) values[a] = S::load(tails[a]);
  f(S::load(gradient_tail), values);
  for (int a = 0; a < Count; ++a) S::store(tails[a], values[a]);
  for (int64_t t = i; t < n; ++t) {
    for (int a = 0; a < Count; ++a) arrays[a][t] = tails[a][t - i];
  }
}

template <class S>
void update(const Update& u) {
  using T = typename S::T;
  using V = typename S::V;
  const T* g = static_cast<const T*>(u.gradients);
  T* p = static_cast<T*>(u.parameters);
  T* first = static_cast<T*>(u.slots[0]);
  T* second = static_cast<T*>(u.slots[1]);
  const T rate = T(u.rate);
  const T momentum = T(u.momentum);
  switch (u.rule) {
    case Rule::sgd:
      return update_rows<S, 1>(u.n, g, {p}, [=](V gradient, V(&x)[1]) HOTLOOPS_LAMBDA_INLINE {
        x[0] -= rate * gradient;
      });
    case Rule::momentum:
      return update_rows<S, 2>(u.n, g, {p, first},
                               [=](V gradient, V(&x)[2]) HOTLOOPS_LAMBDA_INLINE {
                                 x[1] = flush<S>(momentum * x[1] + gradient);
                                 x[0] -= rate * x[1];
                               });
    case Rule::nesterov:
      return update_rows<S, 2>(u.n, g, {p, first},
                               [=](V gradient, V(&x)[2]) HOTLOOPS_LAMBDA_INLINE {
                                 x[1] = flush<S>(momentum * x[1] + gradient);
                                 x[0] -= rate * (momentum * x[1] + gradient);
                               });
    case Rule::adam: {
      const T share1 = T(1 - u.beta1);
      const T share2 = T(1 - u.beta2);
      const T scale = T(u.scale);
      const T epsilon = T(u.epsilon);
      return update_rows<S, 3>(u.n, g, {p, first, second},
                               [=](V gradient, V(&x)[3]) HOTLOOPS_LAMBDA_INLINE {
                                 x[1] = flush<S>(x[1] + share1 * (gradient - x[1]));
                                 x[2] = flush<S>(x[2] + share2 * (gradient * gradient - x[2]));
                                 x[0] -= (rate * x[1]) / (S::sqrt(x[2]) * scale + epsilon);
                               });
    }
  }
}

}  // namespace hotloops::HOTLOOPS_ISA
