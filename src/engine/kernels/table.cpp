#include "table.h"

#include "../cpu.h"

namespace attentive {

template <> const Kernels<float> &kernels<float>() {
  switch (active_level()) {
#if defined(__x86_64__)
  case Level::avx512:
    return avx512::kernels_float();
  case Level::avx2:
    return avx2::kernels_float();
#endif
#if defined(__aarch64__)
  case Level::neon:
    return neon::kernels_float();
#endif
  default:
    return baseline::kernels_float();
  }
}

template <> const Kernels<double> &kernels<double>() {
  switch (active_level()) {
#if defined(__x86_64__)
  case Level::avx512:
    return avx512::kernels_double();
  case Level::avx2:
    return avx2::kernels_double();
#endif
#if defined(__aarch64__)
  case Level::neon:
    return neon::kernels_double();
#endif
  default:
    return baseline::kernels_double();
  }
}

} // namespace attentive
