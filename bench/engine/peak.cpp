#include "peak.h"

#include "kernels/simd.h"

// Compiled once per level, in the same regions as the engine's kernels.
#define ATTENTIVE_PEAK                                                                            \
  template <class S> double chains(long rounds) {                                                 \
    using T = typename S::Scalar;                                                                 \
    constexpr int kChains = 12;                                                                   \
    typename S::V acc[kChains];                                                                   \
    ATTENTIVE_UNROLL                                                                              \
    for (int i = 0; i < kChains; ++i)                                                             \
      acc[i] = S::set(T(1) + i);                                                                  \
    const typename S::V a = S::set(T(0.999)), b = S::set(T(0.001));                               \
    for (long r = 0; r < rounds; ++r) {                                                           \
      ATTENTIVE_UNROLL                                                                            \
      for (int i = 0; i < kChains; ++i)                                                           \
        acc[i] = S::fma(acc[i], a, b);                                                            \
    }                                                                                             \
    volatile T sink[S::kLanes];                                                                   \
    T part[S::kLanes];                                                                            \
    ATTENTIVE_UNROLL                                                                              \
    for (int i = 0; i < kChains; ++i) {                                                           \
      S::store(part, acc[i]);                                                                     \
      sink[0] = part[0];                                                                          \
    }                                                                                             \
    return 2.0 * kChains * S::kLanes * double(rounds);                                            \
  }

namespace plain {
using namespace attentive;
namespace {
#include "kernels/simd_baseline.h"
ATTENTIVE_PEAK
} // namespace
double run(long rounds, bool wide) {
  return wide ? chains<VecDouble>(rounds) : chains<VecFloat>(rounds);
}
} // namespace plain

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace peak_avx2 {
using namespace attentive;
namespace {
#include "kernels/simd_x86_transpose.h"

#include "kernels/simd_avx2.h"
ATTENTIVE_PEAK
} // namespace
double run(long rounds, bool wide) {
  return wide ? chains<VecDouble>(rounds) : chains<VecFloat>(rounds);
}
} // namespace peak_avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif
namespace peak_avx512 {
using namespace attentive;
namespace {
#include "kernels/simd_x86_transpose.h"

#include "kernels/simd_avx512.h"
ATTENTIVE_PEAK
} // namespace
double run(long rounds, bool wide) {
  return wide ? chains<VecDouble>(rounds) : chains<VecFloat>(rounds);
}
} // namespace peak_avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if defined(__aarch64__)
#include <arm_neon.h>
namespace peak_neon {
using namespace attentive;
namespace {
#include "kernels/simd_neon.h"
ATTENTIVE_PEAK
} // namespace
double run(long rounds, bool wide) {
  return wide ? chains<VecDouble>(rounds) : chains<VecFloat>(rounds);
}
} // namespace peak_neon
#endif

static double peak_round(attentive::Level level, long rounds, bool wide) {
  switch (level) {
#if defined(__x86_64__)
  case attentive::Level::avx512:
    return peak_avx512::run(rounds, wide);
  case attentive::Level::avx2:
    return peak_avx2::run(rounds, wide);
#endif
#if defined(__aarch64__)
  case attentive::Level::neon:
    return peak_neon::run(rounds, wide);
#endif
  default:
    return plain::run(rounds, wide);
  }
}

double peak_round_float(attentive::Level level, long rounds) {
  return peak_round(level, rounds, false);
}
double peak_round_double(attentive::Level level, long rounds) {
  return peak_round(level, rounds, true);
}
