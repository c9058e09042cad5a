#include "threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "floating_point.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <sched.h>

// Of LLVM's runtime alone.
extern "C" [[gnu::weak]] int kmp_get_blocktime();
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

// ---- Forks --------------------------------------------------------------------------------------

// The threads of OpenMP's pool do not survive a fork, and the child would wait for them for ever.
// So the pool of the thread that forks is given up before, whoever has used it; the next team makes
// a new one, in the parent as in the child. That cannot be done within a parallel region: the child
// then has to do with one thread.
thread_local bool pool_given_up = false;
std::atomic<bool> pool_lost{false};

// Calls in work, and their helpers.
std::atomic<int> all_busy{0};

void before_fork() {
  // LLVM's runtime, which may stand in for GCC's, sees to its pool itself, and has locked it by
  // now.
  pool_given_up = kmp_get_blocktime != nullptr || omp_pause_resource_all(omp_pause_hard) == 0;
}

void in_child() {
  if (!pool_given_up) pool_lost = true;
  all_busy = 0;  // of those at work only the thread is left that forks
}

[[maybe_unused]] const int kForkHandlers = pthread_atfork(before_fork, nullptr, in_child);

// ---- The number of threads ----------------------------------------------------------------------

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
  if (pool_lost.load(std::memory_order_relaxed) || omp_in_parallel() != 0) return 1;
  return std::min(omp_get_max_threads(), kMostThreads);
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

// A barrier whose waiting threads soon offer their core to others; OpenMP's spin for 10 ms and
// more.
class Rendezvous {
 public:
  // Returns when `count` threads, each with the same count, have called it.
  void wait(int count) {
    const int generation = generation_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation;) {
      if (spins < kPatience) {
        ++spins;
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr int kPatience = 1 << 13;  // some microseconds

  std::atomic<int> arrived_{0};
  std::atomic<int> generation_{0};
};

namespace {

// Moves the calling thread to another of the cores that it may use.
void leave_core(int core) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t others = allowed;
  CPU_CLR(core, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) {
    sched_setaffinity(0, sizeof allowed, &allowed);
  }
}

using Clock = std::chrono::steady_clock;

// Who waits longer than this for the others waits for a core that somebody else keeps busy, and
// will wait in one call after the other: the kernel changes between the two every few milliseconds
// only. NumPy's threads, for one, spin for 100 ms after a product. So when that has happened twice
// in a short time (once is what a new pool may take), the calling threads do all of the work for a
// while. By turns with NumPy's, a product of 0.7 ms on two cores, 1.4 on one, took 8 ms; it takes
// 1.5. Beside a process with an endless loop it took 14 ms, now 1.6.
constexpr std::chrono::milliseconds kLongWait{2};
constexpr std::chrono::milliseconds kShortTime{50};
constexpr std::chrono::milliseconds kAlone{100};

// In ticks since the clock's epoch.
std::atomic<Clock::rep> last_long_wait{0};
std::atomic<Clock::rep> alone_until{0};

Clock::rep ticks(Clock::time_point time) { return time.time_since_epoch().count(); }

void remember_wait(Clock::time_point begin) {
  const Clock::time_point now = Clock::now();
  if (now - begin < kLongWait) return;
  const Clock::duration last{last_long_wait.exchange(ticks(now), std::memory_order_relaxed)};
  if (now.time_since_epoch() - last < kShortTime) {
    alone_until.store(ticks(now + kAlone), std::memory_order_relaxed);
  }
}

// Read when the library is loaded: a child that is forked while another thread reads it would wait
// for that thread for ever.
const int kCores = omp_get_num_procs();

// How many threads help a call, of those that it wants. Of calls at the same time, each finds the
// cores that the others have left: threads that wait for each other and for a core are the slowest.
class Helpers {
 public:
  explicit Helpers(int wanted) {
    int busy = all_busy.load(std::memory_order_relaxed);
    do {
      count_ = busy == 0 ? wanted : std::clamp(kCores - busy - 1, 0, wanted);
    } while (!all_busy.compare_exchange_weak(busy, busy + 1 + count_, std::memory_order_relaxed));
  }
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;
  ~Helpers() { all_busy.fetch_sub(1 + count_, std::memory_order_relaxed); }

  [[nodiscard]] int count() const { return count_; }

 private:
  int count_ = 0;
};

// Bytes of stack that a helper may take. Pools have what OMP_STACKSIZE or the shell's limit gives
// them, which may be 16 KiB.
constexpr std::uintptr_t kStack = 40 << 10;

// Of the caller's stack, what OpenMP may take to tell helpers what to do; and what it takes for
// each.
constexpr std::uintptr_t kStackForHelpers = 16 << 10;
constexpr std::uintptr_t kStackPerHelper = 128;

// What is left of the calling thread's stack.
std::uintptr_t stack_left() {
  thread_local const std::uintptr_t end = [] {
    pthread_attr_t attributes;
    void* lowest = nullptr;
    std::size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &lowest, &size);
      pthread_attr_destroy(&attributes);
    }
    return reinterpret_cast<std::uintptr_t>(lowest);
  }();
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - end;
}

// How many threads the caller's stack is large enough for.
int startable(int threads) {
  constexpr int kFew = kStackForHelpers / kStackPerHelper;
  if (threads <= kFew || stack_left() > 2 * kStackPerHelper * kMostThreads) return threads;
  return kFew;
}

// Whether there has been a helper that has not: from then on nobody is helped.
std::atomic<bool> no_room{false};

}  // namespace

// OpenMP's threads are torch's, too, where torch has been imported: then they work for both in
// turns, and layers between torch's own operations took two thirds of the time that they take with
// threads of our own (which begin in 0.2 us instead of 1.5, and need not be waited for where those
// of another library spin on their core).
//
// A virtual machine's kernel takes a core that has gone to sleep for one that the host has taken
// away, and wakes a pool's thread on the core of the thread that calls it. There the one spins
// while the other should run, at OpenMP's barrier for milliseconds: measured on two cores, 8 ms for
// the first product of 0.1 ms after a pause. So the calling thread offers its core until all others
// are awake, and who finds himself on that core leaves it.
//
// Helpers compute in the caller's floating-point mode, whatever theirs is: torch.set_flush_denormal
// and fesetround are of the calling thread alone, and no result is to depend on who computes it.
void run_parallel(int threads, void (*body)(void*, Team), void* context) {
  if (threads <= 1 || no_room.load(std::memory_order_relaxed)) return body(context, Team{});
  const Clock::time_point begin = Clock::now();
  const bool alone = ticks(begin) < alone_until.load(std::memory_order_relaxed);
  const Helpers helpers(alone ? 0 : startable(threads) - 1);
  if (helpers.count() == 0) return body(context, Team{});
  Rendezvous rendezvous;
  const int core = sched_getcpu();
  const FloatingPointMode mode = FloatingPointMode::here();
  std::atomic<bool> all_have_room{true};
#pragma omp parallel num_threads(1 + helpers.count())
  {
    const Team team{
        .index = omp_get_thread_num(), .count = omp_get_num_threads(), .rendezvous = &rendezvous};
    if (team.index > 0 && sched_getcpu() == core) leave_core(core);
    if (team.index > 0 && stack_left() < kStack) all_have_room = false;
    team.barrier();
    if (team.index == 0) remember_wait(begin);
    if (all_have_room.load(std::memory_order_relaxed)) {
      const InModeOf caller(mode);
      body(context, team);
    }
    team.barrier();  // so that nobody waits long at OpenMP's own, which comes next
  }
  if (all_have_room) return;
  no_room = true;
  body(context, Team{});
}

void Team::barrier() const {
  if (count > 1) rendezvous->wait(count);
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
