// What the engine's own tests need to say: a condition that must hold, counted,
// and a last line with the counts. Every test_*.cpp is a program of its own.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace attentive_test {

struct Tally {
  long checks = 0, failures = 0;
};

inline Tally &tally() {
  static Tally value;
  return value;
}

inline void check(bool holds, const char *condition, const char *file, int line) {
  ++tally().checks;
  if (holds)
    return;
  if (++tally().failures <= 20)
    std::printf("%s:%d: failed: %s\n", file, line, condition);
}

// The exit status of main().
inline int finish(const char *name) {
  std::printf("%s: %ld checks, %ld failed\n", name, tally().checks, tally().failures);
  return tally().failures == 0 && tally().checks > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace attentive_test

#define CHECK(condition) attentive_test::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_THROWS(expression, exception)                                                        \
  do {                                                                                             \
    bool caught = false;                                                                           \
    try {                                                                                          \
      expression;                                                                                  \
    } catch (const exception &) {                                                                  \
      caught = true;                                                                               \
    }                                                                                              \
    attentive_test::check(caught, #expression " throws " #exception, __FILE__, __LINE__);          \
  } while (false)
