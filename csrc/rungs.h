// The rungs of the ladder between the scalar loops (naive.h) and the microkernel (matmul.h): plain
// C++ without a single intrinsic, vectorised by the compiler for the baseline CPU. All matrices are
// row-major and contiguous: c = a b with a (m, k), b (k, n), c (m, n).

#pragma once

#include <cstdint>

namespace hotloops::rungs {

// The i-k-j loop of naive.h with the compiler's vectoriser on.
template <class T>
void matmul_ikj(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c);

// The same loop over one cache-sized block of b after another.
template <class T>
void matmul_blocked(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c);

// Packs blocks of a and b into panels, and keeps a tile of c in registers through the loop over k.
template <class T>
void matmul_register_tile(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b,
                          T* c);

}  // namespace hotloops::rungs
