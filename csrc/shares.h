// What each thread computes of a product: a rectangle of C, by itself.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "matmul.h"
#include "method.h"
#include "threads.h"

namespace hotloops {

// Threads have no panels in common, although those side by side in C pack the same rows of A, and
// those below each other the same columns of B. A line that another core has written last comes
// from there in a hundred nanoseconds; to pack it once more takes a tenth of that, and nobody waits
// for anybody. Two threads that packed half of B each, for both, took 42 us for 160 x 160 x 160
// where one takes 39, and take 22 without; 384: 285 and 267 us, 2048: 1 % less.
class Shares {
 public:
  // Of products of the shapes and strides that these arguments have.
  Shares(const Method& method, const MatmulArgs& args, int threads);

  [[nodiscard]] int count() const { return static_cast<int>(shares_.size()); }
  [[nodiscard]] std::int64_t bytes() const { return count() * apart_; }

  // A thread's, with bytes() of memory that all use; several, if the team is smaller than asked
  // for.
  void run(const MatmulArgs& args, Team team, std::byte* memory) const;

 private:
  struct Share {
    Range rows, cols;
    Method method;
  };

  std::vector<Share> shares_;
  std::int64_t apart_ = 0;
};

}  // namespace hotloops
