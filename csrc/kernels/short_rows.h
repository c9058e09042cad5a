// Rows of C shorter than a vector, which follow each other in memory: (10000, 3) times (3, 3).
//
// A tile of them has a vector for each row, of which most is cut off by a mask. Here, a vector
// holds as many values of C as it can, of several rows, and so of A's rows, whose values are put
// beside them by one permutation for each value of k:
//
//   C    c00 c01 c02 c10 c11 c12 c20 c21 | c22 c30 ...     vectors of eight, rows of three
//   A    a0p a0p a0p a1p a1p a1p a2p a2p | a2p a3p ...
//   B    bp0 bp1 bp2 bp0 bp1 bp2 bp0 bp1 | bp2 bp0 ...     the same again after three vectors

#pragma once

#include "kernel.h"
#include "kernels/simd.h"

namespace hotloops::HOTLOOPS_ISA {

template <class S>
class ShortRowsKernel {
 public:
  static void run(const ShortRows& task) {
    const ShortRowsKernel kernel(task);
    switch (task.k) {
      case 2:
        return kernel.multiply<2>();
      case 3:
        return kernel.multiply<3>();
      case 4:
        return kernel.multiply<4>();
      default:
        return kernel.multiply<0>();
    }
  }

 private:
  using T = typename S::T;
  using V = typename S::V;
  using I = typename S::I;
  static constexpr int64_t kLanes = S::lanes;
  static constexpr int64_t kWindow = 2 * kLanes;  // values of A that a permutation reaches

  struct Step {
    I index;  // in the window
    V b;
  };

  explicit ShortRowsKernel(const ShortRows& task) : task_(task) {
    const T* b = static_cast<const T*>(task.b);
    for (int64_t v = 0; v < task.period; ++v) {
      windows_[v] = v * kLanes / task.n * task.k;
      int64_t row = 0;
      int64_t col = v * kLanes % task.n;
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        for (int64_t p = 0; p < task.k; ++p) {
          Step& step = steps_[v * task.k + p];
          step.index[lane] = static_cast<typename S::Int>(row * task.k + p);
          step.b[lane] = b[p * task.b_row_stride + col * task.b_col_stride];
        }
        if ((row + 1) * task.k > kLanes) one_vector_ = false;
        if (++col == task.n) {
          col = 0;
          ++row;
        }
      }
    }
  }

  // K: values of k, or 0 for any number.
  template <int K>
  void multiply() const {
    const T* a = static_cast<const T*>(task_.a);
    T* c = static_cast<T*>(task_.c);
    const int64_t period = task_.period;
    const int64_t values = task_.m * task_.k;
    const int64_t results = task_.m * task_.n;
    const int64_t a_step = period * kLanes / task_.n * task_.k;
    const int64_t c_step = period * kLanes;
    const int64_t reach = windows_[period - 1] + kWindow;
    int64_t from = 0;
    int64_t to = 0;
    for (; from + reach <= values && to + c_step <= results; from += a_step, to += c_step) {
      for (int64_t v = 0; v < period; ++v) {
        S::store(c + to + v * kLanes, sums<K>(v, a + from + windows_[v]));
      }
    }
    for (int64_t v = 0; to < results; to += kLanes) {
      const int64_t begin = from + windows_[v];
      // What lies behind A's last row is that row again: no exception that the result does not
      // raise.
      T window[kWindow] = {};
      for (int64_t i = 0; i < kWindow; ++i) {
        window[i] = begin + i < values ? a[begin + i] : window[i - task_.k];
      }
      const int64_t rest = results - to < kLanes ? results - to : kLanes;
      S::store_first(static_cast<int>(rest), c + to, sums<K>(v, window));
      if (++v == period) {
        v = 0;
        from += a_step;
      }
    }
  }

  // The v-th vector of a period.
  template <int K>
  HOTLOOPS_INLINE V sums(int64_t v, const T* window) const {
    const int64_t k = K == 0 ? task_.k : K;
    const V low = S::load(window);
    const V high = one_vector_ ? low : S::load(window + kLanes);
    const Step* step = &steps_[v * k];
    V sum{};
#pragma GCC unroll 4
    for (int64_t p = 0; p < k; ++p, ++step) {
      sum += S::permute(low, high, step->index) * step->b;
    }
    return sum;
  }

  const ShortRows& task_;
  bool one_vector_ = true;                     // holds all of A's rows that one of C needs
  int64_t windows_[kMostShortRowsSteps] = {};  // where the rows for a vector of C begin
  Step steps_[kMostShortRowsSteps];            // by vectors of a period and values of k
};

template <class S>
constexpr ShortRowKernel make_short_row_kernel() {
  if constexpr (S::kPermutes) return {.lanes = S::lanes, .run = &ShortRowsKernel<S>::run};
  return {};
}

}  // namespace hotloops::HOTLOOPS_ISA
