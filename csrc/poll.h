// A word with the caller every now and then, from loops that run for long.

#pragma once

#include <functional>
#include <utility>

namespace hotloops {

// Seconds on a clock that only goes forward.
double seconds_now();

class Poll {
 public:
  // `ask` may throw, which ends the loop.
  explicit Poll(std::function<void()> ask) : ask_(std::move(ask)) {}

  // Asks if the last time is long enough ago. Not to be called in a parallel region.
  void now_and_then();

 private:
  std::function<void()> ask_;
  double next_ = 0;
};

}  // namespace hotloops
