// The i-k-j loop, which two rungs of the ladder share: naive.cc compiles it with the vectoriser
// off, rungs.cc with it on. One source, two sets of flags: the difference in speed is the
// vectoriser's.
//
// `static` matters: with external linkage the two instantiations would be one function to the
// linker, which would keep whichever it met first.

#pragma once

#include <cstdint>

namespace hotloops {

// c = a b for row-major a (m, k), b (k, n), c (m, n). The innermost loop walks along a row of b and
// a row of c, so every load and store is next to the one before.
template <class T>
static void matmul_ikj_loop(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b,
                            T* __restrict c) {
  for (std::int64_t i = 0; i < m; ++i) {
    T* c_row = c + i * n;
    for (std::int64_t j = 0; j < n; ++j) c_row[j] = 0;
    for (std::int64_t p = 0; p < k; ++p) {
      const T a_ip = a[i * k + p];
      const T* b_row = b + p * n;
      for (std::int64_t j = 0; j < n; ++j) c_row[j] += a_ip * b_row[j];
    }
  }
}

}  // namespace hotloops
