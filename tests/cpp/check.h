// The smallest test framework that serves: checks that count, and say where and what.

#pragma once

#include <iostream>
#include <sstream>
#include <string>

namespace hotloops::testing {

struct Tally {
  long checks = 0;
  long failures = 0;
};

inline Tally& tally() {
  static Tally tally;
  return tally;
}

// Records one check. The message is made only for a failure.
template <class... Parts>
bool check(bool holds, const Parts&... message) {
  constexpr long kReported = 50;  // a broken kernel fails everywhere
  ++tally().checks;
  if (holds) return true;
  if (++tally().failures <= kReported) {
    std::ostringstream line;
    line << "FAILED: ";
    (line << ... << message);
    std::cerr << line.str() << '\n';
  }
  return false;
}

}  // namespace hotloops::testing
