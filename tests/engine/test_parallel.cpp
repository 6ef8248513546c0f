// The pool: every task once, exceptions, interrupts, nesting, forks.
#include "../../src/engine/parallel.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

using attentive::Execution;
using attentive::Index;
using attentive::parallel_for;

namespace {

int checks = 0, failures = 0;

void check(bool ok, const char *what) {
  ++checks;
  if (!ok) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what);
  }
}

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

void test_every_task_once() {
  for (int threads : {1, 2, 3, 8})
    for (Index tasks : {0, 1, 2, 7, 1000})
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<std::atomic<int>> seen(static_cast<std::size_t>(tasks));
        std::vector<std::atomic<int>> inside(8);
        std::atomic<bool> good{true};
        parallel_for(tasks, {threads, nullptr}, [&](Index task, int worker) {
          if (worker < 0 || worker >= threads || inside[static_cast<std::size_t>(worker)]++ != 0)
            good = false;
          seen[static_cast<std::size_t>(task)]++;
          inside[static_cast<std::size_t>(worker)]--;
        });
        for (auto &count : seen)
          good = good && count == 1;
        check(good, "each task once, workers apart");
      }
}

void test_threads_used() {
  for (int threads : {1, 2, 3, 8}) {
    attentive::reset_threads_used();
    parallel_for(64, {threads, nullptr}, [](Index, int) { sleep_ms(2); });
    check(attentive::threads_used() == threads, "as many threads as asked for");
  }
  attentive::reset_threads_used();
  parallel_for(1, {8, nullptr}, [](Index, int) {});
  check(attentive::threads_used() == 1, "one task, one thread");
}

void test_exceptions() {
  for (int threads : {1, 2, 8})
    for (Index bad : {0, 5, 49}) {
      bool caught = false;
      std::atomic<int> running{0};
      try {
        parallel_for(50, {threads, nullptr}, [&](Index task, int) {
          ++running;
          if (task == bad) {
            --running;
            throw std::runtime_error("bad task");
          }
          --running;
        });
      } catch (const std::runtime_error &error) {
        caught = std::string(error.what()) == "bad task";
      }
      check(caught && running == 0, "the exception arrives after all have stopped");
    }
}

void test_nested() {
  for (int threads : {1, 2, 4}) {
    std::atomic<int> sum{0};
    parallel_for(10, {threads, nullptr}, [&](Index, int) {
      const auto here = std::this_thread::get_id();
      parallel_for(10, {threads, nullptr}, [&](Index, int worker) {
        if (threads > 1 && (worker != 0 || std::this_thread::get_id() != here))
          sum = -1000000;
        sum++;
      });
    });
    check(sum == 100, "a nested call stays on its thread");
  }
}

bool interrupt_asked() { return true; }
std::atomic<int> polls{0};
bool count_polls() {
  ++polls;
  return false;
}

// Whether at least 50 ms, less what rounding takes, lay between two polls.
template <class Body> bool polls_fit(Index tasks, int threads, Body body) {
  polls = 0;
  const auto start = std::chrono::steady_clock::now();
  parallel_for(tasks, {threads, count_polls}, body);
  const auto spent = std::chrono::steady_clock::now() - start;
  return polls <= 2 + spent / std::chrono::milliseconds(50);
}

// Nothing here expects the machine to be quick: a late thread polls less often.
void test_interrupt() {
  for (int threads : {1, 2, 4}) {
    bool caught = false;
    std::atomic<int> ran{0};
    try {
      parallel_for(10000, {threads, interrupt_asked}, [&](Index, int) {
        sleep_ms(1);
        ++ran;
      });
    } catch (const attentive::Interrupted &) {
      caught = true;
    }
    check(caught, "Interrupted is thrown");
    check(ran < 2000, "and soon");
  }
  // The calling thread has nothing left to do, another works on.
  check(polls_fit(2, 2, [](Index, int worker) { sleep_ms(worker == 0 ? 1 : 300); }),
        "not polled without a pause");
  check(polls_fit(300, 1, [](Index, int) { sleep_ms(1); }) && polls >= 3,
        "polled about every 50 ms");
}

void test_two_callers() {
  std::atomic<int> sum{0};
  const auto call = [&] {
    for (int i = 0; i < 500; ++i)
      parallel_for(20, {3, nullptr}, [&](Index, int) { sum++; });
  };
  std::thread other(call);
  call();
  other.join();
  check(sum == 20000, "two callers at once");
}

void test_shutdown() {
  for (int i = 0; i < 20; ++i) {
    std::atomic<int> sum{0};
    parallel_for(20, {3, nullptr}, [&](Index, int) { sum++; });
    if (i % 2 == 0)
      sleep_ms(1); // some shut down asleep, some spinning
    attentive::shutdown_threads();
    check(sum == 20, "works again after a shutdown");
  }
  attentive::shutdown_threads();
}

// TSan cannot start threads after a fork.
#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)
int used_in_child(bool allowed) {
  if (allowed)
    attentive::allow_threads_after_fork();
  attentive::reset_threads_used();
  std::atomic<int> sum{0};
  parallel_for(40, {2, nullptr}, [&](Index, int) {
    sleep_ms(1);
    sum++;
  });
  return sum == 40 ? attentive::threads_used() : 99;
}

void test_fork() {
  for (bool allowed : {false, true}) {
    parallel_for(40, {2, nullptr}, [](Index, int) {}); // the parent has a pool
    const pid_t child = fork();
    if (child == 0)
      _exit(used_in_child(allowed));
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == (allowed ? 2 : 1), "a forked child works");
  }
  attentive::reset_threads_used();
  parallel_for(40, {2, nullptr}, [](Index, int) { sleep_ms(1); });
  check(attentive::threads_used() == 2, "the parent keeps its threads");
}
#else
void test_fork() {}
#endif

} // namespace

int main() {
  test_fork();
  test_every_task_once();
  test_threads_used();
  test_exceptions();
  test_nested();
  test_interrupt();
  test_two_callers();
  test_shutdown();
  std::printf("parallel: %d checks, worst ratio %d\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
