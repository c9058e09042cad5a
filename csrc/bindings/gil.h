// Computing without the GIL.

#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace hotloops {

// Leaves the GIL to others while it lives.
//
// A thread that asks for the GIL while the interpreter is shut down never gets it. Before Python
// 3.14, PyEval_RestoreThread ends the thread there and then, by unwinding its stack: through a
// destructor, as pybind11::gil_scoped_release takes the GIL back, that is std::terminate; and other
// destructors would run without the GIL. Here the thread waits for the end of the process, as it
// does from 3.14 on.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() { take(); }

  // f() with the GIL. It may throw.
  template <class F>
  void with_gil(F f) {
    take();
    const Leave leave{*this};
    f();
  }

 private:
  struct Leave {
    WithoutGil& gil;
    ~Leave() { gil.state_ = PyEval_SaveThread(); }
  };

  void take() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // the unwinding, which must not go on and may not end here
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

  PyThreadState* state_;
};

}  // namespace hotloops
