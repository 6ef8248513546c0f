// The only place that starts threads. Work is cut into tasks whose number and
// order depend on shapes alone, so that the result has the same bits for any
// number of threads.
#pragma once

#include <functional>

#include "tensor.h"

namespace attentive {

// What the engine is allowed to use while it works on one call.
struct Execution {
  int threads = 1;
  // Polled on the calling thread between tasks; true abandons the call, which
  // then throws Interrupted. Null: never interrupted.
  bool (*interrupted)() = nullptr;
};

struct Interrupted {};

// Runs body(task, worker) for task = 0 ... tasks - 1, each exactly once, on at
// most execution.threads threads, the calling one among them; worker is in
// [0, threads) and never used by two threads at a time (index of scratch
// memory). The first exception of a worker is rethrown on the calling thread
// after all have stopped. body must not call R.
void parallel_for(Index tasks, const Execution &execution,
                  const std::function<void(Index task, int worker)> &body);

} // namespace attentive
