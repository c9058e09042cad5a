// How many threads a call may use, and running it on them. The only file that knows OpenMP.

#pragma once

#include <algorithm>
#include <cstdint>

namespace hotloops {

// Whether this build can use more than one thread.
bool has_openmp();

// Of a call. OpenMP itself would start as many as the environment asks for, or die of it.
inline constexpr int kMostThreads = 1024;

// Threads that a call from the calling thread may use. One inside of another parallel region, and
// in a child that was forked inside of one.
int num_threads();

// For every thread of the process: those running now, at their next call, and later ones.
void set_num_threads(int n);
// For the calling thread alone.
void set_num_threads_here(int n);

// As many of `threads` as have at least `share` of the work each, at least one.
constexpr int worthwhile_threads(std::int64_t work, std::int64_t share, int threads) {
  return static_cast<int>(std::clamp<std::int64_t>(work / share, 1, threads));
}

// Bytes that are worth a thread of their own where reading and writing them is what takes time.
inline constexpr std::int64_t kBytesPerThread = 1 << 19;

// Whether tasks that are alike had better be dealt out to `at_once` threads than done one after
// another, on `threads_a_task` each. Those dealt out need no barriers, but a few of them leave
// threads without a task at the end.
constexpr bool dealt_out(std::int64_t tasks, int at_once, int threads_a_task) {
  const std::int64_t rounds = (tasks + at_once - 1) / at_once;
  return rounds >= 4 || rounds * threads_a_task <= tasks;
}

class Rendezvous;

// The threads of one parallel() as one of them sees it. Passed down instead of asked for, because
// OpenMP's own answer is about the innermost region, which may be a caller's.
struct Team {
  int index = 0;
  int count = 1;
  Rendezvous* rendezvous = nullptr;

  // Waits for the others.
  void barrier() const;
};

void run_parallel(int threads, void (*body)(void* context, Team team), void* context);

// Runs body(team) on up to `threads` threads at once. With one thread it is a plain call.
template <class F>
void parallel(int threads, F body) {
  run_parallel(threads, [](void* context, Team team) { (*static_cast<F*>(context))(team); }, &body);
}

}  // namespace hotloops
