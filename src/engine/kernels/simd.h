// What kernels are written in. Each simd_<level>.h defines VecFloat and
// VecDouble, structs of static functions over one vector type:
//
//   Scalar, V, kLanes     the number type, the vector type, its length
//   kRows                 rows of a register tile of kRows x 2 vectors
//   kBlock                side of the square that transpose() moves
//
//   zero() set(x) load(p) store(p, v)         memory need not be aligned
//   load_first(p, n) store_first(p, v, n)     the first n lanes, 0 <= n <= kLanes
//   add sub mul div                           a + b, a - b, a * b, a / b
//   sqrt(v)
//   keep_positive(v, x)                       v where x > 0, else 0
//   fma(a, b, c)                              a * b + c
//   max(a, b)                                 b where either is NaN
//   keep(v, bits)                             0 in the lanes whose bit is 0
//   select(bits, a, b)                        a where the bit is 1, else b
//   sum(v)                                    of the lanes, in any order
//   all_at_most(v, x)                         false if a lane is above x or NaN
//   exp2(v[n])                                v = 2^v, in place, in n vectors at once:
//                                             float 2e-7, double 1e-15, relative; exact
//                                             0 and Inf at the ends, NaN stays NaN
//   transpose(from, to, to_stride, scale)     to[i * to_stride + j] = from[j][i] * scale
//                                             for i, j < kBlock, `from` being rows
//
// and VecWords, V being kLanes 32-bit words or half as many 64-bit ones:
//
//   kPairs                    pairs of V that Philox works on at a time
//   set(x)                    x in each 64-bit lane
//   load(p)                   kLanes words
//   product(a, b)             64 bits, of the lower words of each 64-bit lane
//   high(v)                   the upper word of each 64-bit lane in the lower place
//   exclusive_or(a, b) (a, b, c)
//   interleave(even, odd)     the lower words of both, as words 0, 2, ... and 1, 3, ...
//   halves_at_least(v, least, low, high)
//                             bit l of low: the lower 16 bits of word l are at
//                             least `least`, below 65536; high: the upper ones
//
// Vectors are never parameters of a function that is not inlined, and loads and
// stores are unaligned: the stack of Windows is aligned to 16 bytes only.
#pragma once

#include <cstddef>
#include <cstdint>

#define ATTENTIVE_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define ATTENTIVE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ATTENTIVE_UNROLL _Pragma("GCC unroll 32")
#endif

namespace attentive {

// 2^f = 1 + f (c[0] + f (c[1] + ...)) on [0, 1] or [-1/2, 1/2], fitted to the
// smallest largest relative error: 9e-8 and 9e-18 before rounding.
constexpr float kExp2FloatUnit[5] = {0.6931513121f, 0.2401644465f, 0.05579992618f,
                                     0.009017012142f, 0.001867138622f};
constexpr float kExp2FloatHalf[5] = {0.6931469776f, 0.2402224204f, 0.05550733763f,
                                     0.009671515525f, 0.001326473f};
constexpr double kExp2DoubleUnit[11] = {
    0.69314718055994529,    0.24022650695909673,   0.055504108664980671,
    0.0096181291051517567,  0.001333355834393728,  0.00015403521219107733,
    1.5252998899728418e-05, 1.3210583477765189e-06, 1.0236023803275179e-07,
    6.6344458662514139e-09, 6.1230929168263867e-10};
constexpr double kExp2DoubleHalf[11] = {
    0.69314718055994529,    0.24022650695910097,    0.055504108664821597,
    0.0096181291076068882,  0.0013333558146416936,  0.0001540353044173605,
    1.5252733829836119e-05, 1.3215442587921689e-06, 1.0178062445845774e-07,
    7.0725859492692234e-09, 4.4549605981865186e-10};

} // namespace attentive
