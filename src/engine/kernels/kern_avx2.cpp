// The kernels in AVX2 and FMA. Everything that other files could share is
// included before the region opens, so that no function of theirs is ever
// emitted with instructions that the processor may lack.
#include "table.h"

#include "simd.h"
#include "unaligned_moves.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#include "round_products.h"

namespace attentive {
namespace avx2 {
namespace {
#include "simd_x86_transpose.h"

#include "simd_avx2.h"

#include "all_kernels.h"
} // namespace

#include "export_kernels.h"
} // namespace avx2
} // namespace attentive

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
