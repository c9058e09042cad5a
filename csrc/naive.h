// The scalar rungs of the ladder: what a person would first write in C++, and one scalar
// instruction an operation in the machine code. All matrices are row-major and contiguous.

#pragma once

#include <cstdint>

namespace hotloops::naive {

// c = a b with a (m, k), b (k, n), c (m, n): rows of a times columns of b.
template <class T>
void matmul_ijk(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c);

// The same product with the two inner loops exchanged.
template <class T>
void matmul_ikj(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, T* c);

// y[i] = x[i] <= 0 ? 0 : x[i]. The arrays may be the same one.
template <class T>
void relu(std::int64_t n, const T* x, T* y);

}  // namespace hotloops::naive
