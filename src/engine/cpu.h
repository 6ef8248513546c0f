// Which instruction sets this processor and system have, and which one the
// engine uses.
#pragma once

#include <string>
#include <vector>

namespace attentive {

// From the plainest to the fastest of a processor family. "baseline" runs
// everywhere; avx2 means AVX2 with FMA; avx512 means F, BW, DQ and VL.
enum class Level { baseline, neon, avx2, avx512 };

const char *level_name(Level level);

// The levels that can run here, plainest first.
std::vector<Level> available_levels();

// The level in use: the last of available_levels() unless another was set.
Level active_level();

// Forces a level for the whole process, by name; "" or "auto" means the best.
// Throws std::invalid_argument where it is unknown or cannot run here. Not to
// be called while the engine works.
void set_level(const std::string &name);

} // namespace attentive
