// A kept pool of threads: starting one costs 20 to 50 microseconds a call,
// waking a kept one 0.1 (still spinning) to 5 (asleep).
#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace attentive {
namespace {

// What this thread is doing, so that a nested parallel_for stays on it.
enum class Role { Outside, InTask, Worker };
thread_local Role role = Role::Outside;

std::atomic<int> most_threads_used{0};

long process_id() {
#ifdef _WIN32
  return 0; // no fork there
#else
  return static_cast<long>(getpid());
#endif
}

// The process that may use threads. Taken at load, not when the pool starts,
// so that what a forked child does not depend on what its parent did before.
std::atomic<long> home_process{process_id()};

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Some 10 to 50 microseconds: the gap between two steps of one layer.
constexpr int kSpins = 1000;

template <class Condition> bool spin_until(int spins, Condition condition) {
  for (int i = 0; i < spins; ++i) {
    if (condition())
      return true;
    pause_briefly();
  }
  return condition();
}

// The clock decides only when to ask for an interrupt, never what is computed.
// The time of the last question outlives a call: a layer is many short calls.
class InterruptPoll {
public:
  explicit InterruptPoll(const Execution &execution)
      : interrupted_(role == Role::Worker ? nullptr : execution.interrupted) {}

  bool operator()() const {
    if (interrupted_ == nullptr)
      return false;
    const auto now = static_cast<std::uint32_t>( // differences survive its overflow
        std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now().time_since_epoch())
            .count());
    if (now - last_.load(std::memory_order_relaxed) < kMilliseconds)
      return false;
    last_.store(now, std::memory_order_relaxed);
    return interrupted_();
  }

  static constexpr std::uint32_t kMilliseconds = 50;

private:
  bool (*interrupted_)();
  // 32 bits: wider ones want a library of their own on some processors
  static std::atomic<std::uint32_t> last_;
};
std::atomic<std::uint32_t> InterruptPoll::last_{0};

// One parallel_for: a counter of tickets that every thread draws from.
class Job {
public:
  Job(Index tasks, const std::function<void(Index, int)> &body) : tasks_(tasks), body_(body) {}

  template <class Poll> void work(int worker, const Poll &should_stop) {
    bool worked = false;
    try {
      while (!stop_.load(std::memory_order_relaxed)) {
        if (should_stop())
          throw Interrupted();
        const Index task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks_)
          break;
        worked = true;
        body_(task, worker);
      }
    } catch (...) {
      fail(std::current_exception());
    }
    if (worked)
      workers_.fetch_add(1, std::memory_order_relaxed);
  }

  void fail(std::exception_ptr error) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_)
      error_ = std::move(error);
    stop_.store(true, std::memory_order_relaxed);
  }

  // After all threads have left work().
  void finish() {
    const int used = workers_.load(std::memory_order_relaxed);
    int most = most_threads_used.load(std::memory_order_relaxed);
    while (used > most && !most_threads_used.compare_exchange_weak(most, used)) {
    }
    if (error_)
      std::rethrow_exception(error_);
  }

private:
  const Index tasks_;
  const std::function<void(Index, int)> &body_;
  std::atomic<Index> next_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> workers_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

// A sleeper and its waker: whoever waits says so before it looks once more,
// whoever changes the condition looks for sleepers after. Both orders are
// sequentially consistent, so no wake-up is lost and a wake-up that nobody
// needs costs one load.
class Bell {
public:
  template <class Condition> void wait(Condition condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    changed_.wait(lock, condition);
    asleep_.store(false);
  }

  template <class Condition> bool wait_for(int milliseconds, Condition condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    const bool met = changed_.wait_for(lock, std::chrono::milliseconds(milliseconds), condition);
    asleep_.store(false);
    return met;
  }

  void ring() {
    if (!asleep_.load())
      return;
    std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_one();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> asleep_{false};
};

// A new thread inherits the mask of the thread that starts it: signals sent to
// the process (Ctrl-C, the profiler's) are then left to R's thread.
class SignalsBlocked {
#ifndef _WIN32
public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP})
      sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked &) = delete;
  SignalsBlocked &operator=(const SignalsBlocked &) = delete;

private:
  sigset_t before_;
#else
public:
  SignalsBlocked() {}
#endif
};

class Pool {
public:
  explicit Pool(long home) : process(home) {}

  ~Pool() {
    closing_.store(true);
    for (auto &worker : workers_)
      worker->bell.ring();
    for (auto &worker : workers_)
      worker->thread.join();
  }

  // False: another thread uses the pool at this moment.
  bool run(Job &job, int threads, const InterruptPoll &poll) {
    std::unique_lock<std::mutex> lock(in_use_, std::try_to_lock);
    if (!lock.owns_lock())
      return false;
    const int helpers = grow(threads - 1);
    for (int i = 0; i < helpers; ++i)
      workers_[static_cast<std::size_t>(i)]->offer(job);
    // Until all have stopped: what the poll runs may call the engine again, on this
    // thread, which must then leave the lock alone that it holds.
    role = Role::InTask;
    job.work(0, poll);
    for (int i = 0; i < helpers; ++i)
      wait_for(*workers_[static_cast<std::size_t>(i)], job, poll);
    role = Role::Outside;
    return true;
  }

  const long process;

private:
  // `offered` is emptied by the worker that takes the job or by the caller who
  // withdraws it; `done` is set by a worker after its last look at the job.
  struct Worker {
    std::atomic<Job *> offered{nullptr};
    std::atomic<bool> done{false};
    Bell bell;
    std::thread thread;
    char padding[64]; // no two workers on one cache line

    void offer(Job &job) {
      done.store(false, std::memory_order_relaxed);
      offered.store(&job);
      bell.ring();
    }
  };

  // Starts what is missing of `wanted` helpers; fewer if the system refuses.
  int grow(int wanted) {
    while (static_cast<int>(workers_.size()) < wanted) {
      auto worker = std::make_unique<Worker>();
      Worker *raw = worker.get();
      const int index = static_cast<int>(workers_.size()) + 1;
      workers_.reserve(workers_.size() + 1);
      try {
        start(*raw, index);
      } catch (const std::system_error &) {
        break;
      }
      workers_.push_back(std::move(worker));
    }
    return std::min(wanted, static_cast<int>(workers_.size()));
  }

  void start(Worker &worker, int index) {
    const SignalsBlocked blocked;
    worker.thread = std::thread([this, &worker, index] { serve(worker, index); });
  }

  // Spinning pays only while every thread has a core of its own.
  static int spins(int helpers) {
    return helpers < static_cast<int>(std::thread::hardware_concurrency()) ? kSpins : 0;
  }

  void serve(Worker &worker, int index) {
    role = Role::Worker;
    const auto called = [&] { return worker.offered.load() != nullptr || closing_.load(); };
    for (;;) {
      if (!spin_until(spins(index), called))
        worker.bell.wait(called);
      if (closing_.load())
        return;
      take(worker, index);
    }
  }

  void take(Worker &worker, int index) {
    // The caller withdraws an offer that nobody took in time by the same
    // exchange: exactly one of the two gets the job.
    Job *job = worker.offered.exchange(nullptr);
    if (job == nullptr)
      return;
    job->work(index, [] { return false; });
    worker.done.store(true);
    done_.ring();
  }

  void wait_for(Worker &worker, Job &job, const InterruptPoll &poll) {
    if (worker.offered.exchange(nullptr) != nullptr)
      return;
    const auto done = [&] { return worker.done.load(); };
    if (spin_until(spins(static_cast<int>(workers_.size())), done))
      return;
    while (!done_.wait_for(InterruptPoll::kMilliseconds, done)) {
      if (poll())
        job.fail(std::make_exception_ptr(Interrupted()));
    }
  }

  std::mutex in_use_;
  std::atomic<bool> closing_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  Bell done_;
};

// Never destroyed behind the user's back: see shutdown_threads().
std::atomic<Pool *> shared_pool{nullptr};

// The pool of a parent process is left alone for good: its threads do not
// exist here, and its locks may be held by them.
Pool &pool_of(long process) {
  Pool *pool = shared_pool.load();
  if (pool != nullptr && pool->process == process)
    return *pool;
  auto fresh = std::make_unique<Pool>(process);
  if (shared_pool.compare_exchange_strong(pool, fresh.get()))
    return *fresh.release();
  return *pool;
}

} // namespace

void parallel_for(Index tasks, const Execution &execution,
                  const std::function<void(Index task, int worker)> &body) {
  if (tasks <= 0)
    return;
  const InterruptPoll poll(execution);
  Job job(tasks, body);
  const int threads = static_cast<int>(std::min<Index>(tasks, execution.threads));
  const long home = home_process.load();
  const bool may_share = threads > 1 && role == Role::Outside && process_id() == home;
  if (!may_share || !pool_of(home).run(job, threads, poll))
    job.work(0, poll);
  job.finish();
}

int threads_used() { return most_threads_used.load(); }
void reset_threads_used() { most_threads_used.store(0); }

void shutdown_threads() {
  Pool *pool = shared_pool.exchange(nullptr);
  if (pool != nullptr && pool->process == process_id())
    delete pool;
}

void allow_threads_after_fork() { home_process.store(process_id()); }

} // namespace attentive
