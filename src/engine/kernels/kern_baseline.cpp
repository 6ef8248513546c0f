// The kernels in what every processor of this architecture has: vectors of 16
// bytes in the compiler's own notation.
#include "table.h"

#include "simd.h"

#if !defined(__clang__)
#pragma GCC push_options
#endif
#include "round_products.h"

namespace attentive {
namespace baseline {
namespace {
#include "simd_baseline.h"

#include "all_kernels.h"
} // namespace

#include "export_kernels.h"
} // namespace baseline
} // namespace attentive

#if !defined(__clang__)
#pragma GCC pop_options
#endif
