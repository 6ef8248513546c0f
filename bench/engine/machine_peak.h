// What the processor can do at best: independent multiply-adds in registers.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "../../src/engine/cpu.h"
#include "../../src/engine/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Each function makes `rounds` rounds of flops_per_round floating-point
// operations, and returns something that depends on all of them.
struct Peak {
  float (*run)(long rounds);
  double flops_per_round;
};

#if defined(__x86_64__)
__attribute__((target("avx512f"))) inline float run_avx512(long rounds) {
  __m512 sums[16], x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(0.25f);
  for (auto &sum : sums)
    sum = x;
  for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (auto &sum : sums)
      sum = _mm512_fmadd_ps(sum, x, y);
  }
  float total = 0, part[16];
  for (auto &sum : sums) {
    _mm512_storeu_ps(part, sum);
    total += part[0] + part[15];
  }
  return total;
}

__attribute__((target("avx2,fma"))) inline float run_avx2(long rounds) {
  __m256 sums[12], x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(0.25f);
  for (auto &sum : sums)
    sum = x;
  for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (auto &sum : sums)
      sum = _mm256_fmadd_ps(sum, x, y);
  }
  float total = 0, part[8];
  for (auto &sum : sums) {
    _mm256_storeu_ps(part, sum);
    total += part[0] + part[7];
  }
  return total;
}
#endif

inline float run_plain(long rounds) {
  typedef float V __attribute__((vector_size(16)));
  V sums[12];
  for (auto &sum : sums)
    sum = V{0.5f, 0.5f, 0.5f, 0.5f};
  for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (auto &sum : sums)
      sum = sum * 0.5f + 0.25f;
  }
  float total = 0;
  for (auto &sum : sums)
    total += sum[0] + sum[3];
  return total;
}

// Of the level in use (cpu.h).
inline Peak peak_of_level() {
#if defined(__x86_64__)
  if (attentive::active_level() == attentive::Level::avx512)
    return {run_avx512, 16 * 16 * 2};
  if (attentive::active_level() == attentive::Level::avx2)
    return {run_avx2, 12 * 8 * 2};
#endif
  return {run_plain, 12 * 4 * 2};
}

// GFLOP/s in single precision, the best of some twenty runs of a few
// milliseconds each on that many threads at once.
inline double peak_gflops(int threads) {
  const Peak peak = peak_of_level();
  constexpr long kRounds = 300000;
  std::vector<float> results(static_cast<std::size_t>(threads));
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const double start = seconds();
    attentive::parallel_for(threads, {threads, nullptr}, [&](attentive::Index task, int) {
      results[static_cast<std::size_t>(task)] = peak.run(kRounds);
    });
    best = std::max(best, threads * kRounds * peak.flops_per_round / (seconds() - start) / 1e9);
  }
  return best;
}

} // namespace bench
