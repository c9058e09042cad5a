#include "poll.h"

#include <chrono>

namespace hotloops {
namespace {

// Often enough for a person at the keyboard, seldom enough for whoever else wants the GIL.
constexpr double kSecondsBetween = 0.05;

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Poll::now_and_then() {
  const double now = seconds_now();
  if (now < next_) return;
  next_ = now + kSecondsBetween;
  ask_();
}

}  // namespace hotloops
