#include "threads.h"

#include <algorithm>
#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

namespace hotloops {

#ifdef _OPENMP

namespace {

// The number of threads is OpenMP's own per-thread setting, so that threadpoolctl, OMP_NUM_THREADS
// and hotloops speak of one number. A process-wide change is a new version of `requested`, which
// each thread takes over when it next asks.
std::atomic<int> requested{0};
std::atomic<int> version{0};
thread_local int version_seen = 0;

std::atomic<bool> forked{false};
[[maybe_unused]] const int kForkHandler = pthread_atfork(nullptr, nullptr, [] { forked = true; });

void take_over_request() {
  const int now = version.load(std::memory_order_acquire);
  if (version_seen == now) return;
  version_seen = now;
  omp_set_num_threads(requested.load(std::memory_order_relaxed));
}

}  // namespace

bool has_openmp() { return true; }

int num_threads() {
  take_over_request();
  if (forked.load(std::memory_order_relaxed) || omp_in_parallel() != 0) return 1;
  return omp_get_max_threads();
}

void set_num_threads(int n) {
  requested.store(n, std::memory_order_relaxed);
  version.fetch_add(1, std::memory_order_release);
  take_over_request();
}

void set_num_threads_here(int n) {
  take_over_request();
  omp_set_num_threads(n);
}

void run_parallel(int threads, void (*body)(void*, Team), void* context) {
  if (threads <= 1) return body(context, Team{});
#pragma omp parallel num_threads(threads)
  body(context, Team{.index = omp_get_thread_num(), .count = omp_get_num_threads()});
}

void Team::barrier() const {
  if (count == 1) return;
#pragma omp barrier
}

#else

bool has_openmp() { return false; }
int num_threads() { return 1; }
void set_num_threads(int) {}
void set_num_threads_here(int) {}
void run_parallel(int, void (*body)(void*, Team), void* context) { body(context, Team{}); }
void Team::barrier() const {}

#endif

}  // namespace hotloops
