// How threads share products, and calls at the same time the cores.

#include "threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "blocking.h"
#include "check.h"
#include "tests.h"

namespace hotloops::testing {

namespace {

void test_dealing_out() {
  check(dealt_out(1, 1, 1), "one small product needs no team");
  check(!dealt_out(1, 1, 2), "one product that is worth two threads of many has them");
  check(!dealt_out(1, 1, 8), "one large product is shared by all");
  check(dealt_out(2, 2, 2), "two products on two threads need no barriers");
  check(!dealt_out(3, 2, 2), "the third of three products is not one thread's");
  check(dealt_out(8, 2, 2), "the last of four rounds may be short");
  check(dealt_out(3, 3, 1), "small products are dealt out");
}

void check_grid(const Kernel& kernel, const Rectangle& c, std::int64_t k, Grid expected) {
  const Grid grid = choose_grid(kernel, c, k, 2);
  check(grid.rows == expected.rows && grid.cols == expected.cols, "two threads share ", c.rows,
        " x ", k, " x ", c.cols, " as ", grid.rows, " x ", grid.cols);
}

void test_grid() {
  Kernel kernel{};
  kernel.dtype = DType::f32;
  kernel.mr = 14;
  kernel.nr = 32;
  // Rows as a rule, however many panels they are, and all the more where columns meet within lines.
  check_grid(kernel, {.rows = 64, .cols = 64, .straddles_lines = false}, 64,
             {.rows = 2, .cols = 1});
  check_grid(kernel, {.rows = 1541, .cols = 249, .straddles_lines = true}, 2,
             {.rows = 2, .cols = 1});
  // Of few rows, half of B for each, even if that is not quite half of the tiles.
  check_grid(kernel, {.rows = 26, .cols = 899, .straddles_lines = true}, 529,
             {.rows = 1, .cols = 2});
  check_grid(kernel, {.rows = 8, .cols = 3072, .straddles_lines = true}, 768,
             {.rows = 1, .cols = 2});
  // Tiles of two rows would take as long as those of four.
  check_grid(kernel, {.rows = 4, .cols = 64, .straddles_lines = false}, 5000,
             {.rows = 1, .cols = 2});
  // Tiles that are as long for a row as for all.
  kernel.panels.always = true;
  kernel.mr = 32;
  check_grid(kernel, {.rows = 33, .cols = 64, .straddles_lines = true}, 512,
             {.rows = 2, .cols = 1});
  check_grid(kernel, {.rows = 32, .cols = 64, .straddles_lines = true}, 512,
             {.rows = 1, .cols = 2});
  check_grid(kernel, {.rows = 32, .cols = 32, .straddles_lines = true}, 512,
             {.rows = 1, .cols = 1});
}

}  // namespace

void test_threads() {
  test_dealing_out();
  test_grid();
  constexpr int kCallers = 6;
  constexpr int kThreads = 3;
  std::atomic<int> at_work{0};
  std::atomic<int> most_at_work{0};
  std::atomic<int> parts{0};
  {
    std::vector<std::jthread> callers(kCallers);
    for (std::jthread& caller : callers) {
      caller = std::jthread([&] {
        for (int repeat = 0; repeat < 20; ++repeat) {
          parallel(kThreads, [&](Team team) {
            const int now = ++at_work;
            int most = most_at_work;
            while (most < now && !most_at_work.compare_exchange_weak(most, now)) {
            }
            for (int part = team.index; part < kThreads; part += team.count) ++parts;
            std::this_thread::sleep_for(std::chrono::microseconds(200));
            --at_work;
          });
        }
      });
    }
  }
  check(parts == kCallers * 20 * kThreads, "parts of parallel(): ", parts.load());
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  const int most = kCallers + std::max(cores, kThreads) - 1;
  check(most_at_work <= most, most_at_work.load(), " threads at work for ", kCallers, " calls, ",
        most, " at most are wanted");
}

}  // namespace hotloops::testing
