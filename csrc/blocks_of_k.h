// Products of few rows and columns over a long k, whose blocks of k are shared out between threads.

#pragma once

#include <cstddef>
#include <cstdint>

#include "matmul.h"
#include "method.h"
#include "threads.h"

namespace hotloops {

// Whether that is the way to share out this product.
bool shares_blocks_of_k(const Method& method, const MatmulArgs& args, int threads);

class BlocksOfK {
 public:
  // For products of the shapes and strides that these arguments have, on so many threads.
  BlocksOfK(const Kernel& kernel, const MatmulArgs& args, int threads);

  [[nodiscard]] std::int64_t bytes() const { return sums_bytes_ + threads_ * own_bytes_; }

  // To be called by all threads of a team, with bytes() of memory.
  void run(const MatmulArgs& args, Team team, std::byte* memory) const;

 private:
  [[nodiscard]] MatmulArgs block(const MatmulArgs& args, std::int64_t index, void* sums) const;
  template <class T>
  void run_typed(const MatmulArgs& args, Team team, std::byte* memory) const;

  const Kernel& kernel_;
  std::int64_t count_;
  std::int64_t round_;  // blocks whose sums are kept until they are added
  Method whole_, last_;
  std::int64_t threads_, own_bytes_, sums_bytes_;
};

}  // namespace hotloops
