// The kernels in NEON, which every 64-bit ARM processor has: no region needed.
#include "table.h"

#include "simd.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#if !defined(__clang__)
#pragma GCC push_options
#endif
#include "round_products.h"

namespace attentive {
namespace neon {
namespace {
#include "simd_neon.h"

#include "all_kernels.h"
} // namespace

#include "export_kernels.h"
} // namespace neon
} // namespace attentive

#if !defined(__clang__)
#pragma GCC pop_options
#endif
#endif
