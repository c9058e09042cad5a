// CMake compiles this file with the vectorisers off: at -O3 gcc would turn these loops into SIMD
// code and the ladder would have no scalar rung to start from.

#include "naive.h"

#include "scalar_loops.h"

namespace hotloops::naive {

// The innermost loop walks down a column of b: each step lands n elements further on, in another
// cache line, and from some size on in another page.
template <class T>
void matmul_ijk(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c) {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (std::int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
  }
}

template <class T>
void matmul_ikj(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c) {
  matmul_ikj_loop(m, n, k, a, b, c);
}

// Asking for `x <= 0`, not for `x > 0`, keeps NaN, which is neither.
template <class T>
void relu(std::int64_t n, const T* x, T* y) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] <= 0 ? 0 : x[i];
}

template void matmul_ijk(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void matmul_ijk(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void matmul_ikj(std::int64_t, std::int64_t, std::int64_t, const float*, const float*,
                         float*);
template void matmul_ikj(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                         double*);
template void relu(std::int64_t, const float*, float*);
template void relu(std::int64_t, const double*, double*);

}  // namespace hotloops::naive
