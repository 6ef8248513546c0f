// The only place that starts threads. Work is cut into tasks whose number and
// order depend on shapes alone, so that the result has the same bits for any
// number of threads.
#pragma once

#include <algorithm>
#include <functional>

#include "tensor.h"

namespace attentive {

// What the engine is allowed to use while it works on one call.
struct Execution {
  int threads = 1;
  // Polled on the calling thread, about every 50 ms; true abandons the call,
  // which then throws Interrupted. It must not throw; it may call the engine
  // again, which then stays on this thread. Null: never interrupted.
  bool (*interrupted)() = nullptr;
};

struct Interrupted {};

// Runs body(task, worker) for task = 0 ... tasks - 1, each exactly once, on at
// most execution.threads threads, the calling one among them; worker is in
// [0, threads) and never used by two threads at a time (index of scratch
// memory). The first exception of a worker is rethrown on the calling thread
// after all have stopped. body must not call R. A parallel_for inside a task
// runs on the thread of that task, with its own worker 0.
void parallel_for(Index tasks, const Execution &execution,
                  const std::function<void(Index task, int worker)> &body);

// The same in order, on the calling thread: for tasks that need those before them.
inline void for_in_order(Index tasks, Execution execution,
                         const std::function<void(Index task)> &body) {
  execution.threads = 1;
  parallel_for(tasks, execution, [&](Index task, int) { body(task); });
}

constexpr Index kElementsOfTask = 16384; // elementwise: below it threads cost more than they bring

// body(first, last) for [0, size) cut into parts of `part`.
template <class Body>
void for_parts(Index size, Index part, const Execution &execution, const Body &body) {
  const Index tasks = (size + part - 1) / part;
  if (tasks == 1)
    body(Index(0), size);
  else if (tasks > 1)
    parallel_for(tasks, execution,
                 [&](Index task, int) { body(task * part, std::min(size, (task + 1) * part)); });
}

// The same for rows of `width` elements.
template <class Body>
void for_row_parts(Index rows, Index width, const Execution &execution, const Body &body) {
  for_parts(rows, std::max<Index>(1, kElementsOfTask / std::max<Index>(1, width)), execution, body);
}

// The most threads that worked on one parallel_for since the last reset:
// tests assert with it that threads really worked.
int threads_used();
void reset_threads_used();

// Joins the kept threads; the next parallel_for starts new ones. To be called
// before the library is unloaded: nothing here has a static destructor,
// because joining in one deadlocks on Windows.
void shutdown_threads();

// A forked child (parallel::mclapply) works on one thread, whatever it asks
// for: its siblings already fill the machine. A child that is no such worker
// (a forking server) calls this once to get threads of its own.
void allow_threads_after_fork();

} // namespace attentive
