// Whether work asks again and again if it is to go on.
#pragma once

#include <chrono>
#include <thread>

#include "parallel.h"

namespace attentive_test {

inline int &polls() {
  static int count;
  return count;
}

// A poll that takes its time is due again after every task, however quick the machine is.
inline bool interrupt_the_fifth() {
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  return ++polls() == 5;
}

// work(execution) should be given up after four tasks.
template <class Work> bool is_interrupted(const Work &work) {
  polls() = 0;
  try {
    work(attentive::Execution{1, interrupt_the_fifth});
  } catch (const attentive::Interrupted &) {
    return true;
  }
  return false;
}

} // namespace attentive_test
