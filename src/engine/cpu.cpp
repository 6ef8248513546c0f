#include "cpu.h"

#include <atomic>
#include <stdexcept>

namespace attentive {

namespace {

// Answers for the processor and for the operating system, which must save the
// wide registers: the built-in asks both.
bool has_avx2() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

Level best_level() { return available_levels().back(); }

std::atomic<Level> &level_in_use() {
  static std::atomic<Level> level{best_level()};
  return level;
}

} // namespace

const char *level_name(Level level) {
  switch (level) {
  case Level::neon:
    return "neon";
  case Level::avx2:
    return "avx2";
  case Level::avx512:
    return "avx512";
  case Level::baseline:
    break;
  }
  return "baseline";
}

std::vector<Level> available_levels() {
  std::vector<Level> levels{Level::baseline};
#if defined(__aarch64__)
  levels.push_back(Level::neon);
#endif
  if (has_avx2())
    levels.push_back(Level::avx2);
  if (has_avx512())
    levels.push_back(Level::avx512);
  return levels;
}

Level active_level() { return level_in_use().load(std::memory_order_relaxed); }

void set_level(const std::string &name) {
  if (name.empty() || name == "auto") {
    level_in_use() = best_level();
    return;
  }
  for (Level level : available_levels())
    if (name == level_name(level)) {
      level_in_use() = level;
      return;
    }
  throw std::invalid_argument("instruction set not available here: " + name);
}

} // namespace attentive
