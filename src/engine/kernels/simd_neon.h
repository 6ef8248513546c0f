// Vectors of 128 bits with multiply-add; operations as described in simd.h.

struct VecFloat {
  using Scalar = float;
  using V = float32x4_t;
  static constexpr int kLanes = 4, kRows = 8, kBlock = 4;

  ATTENTIVE_INLINE V zero() { return vdupq_n_f32(0); }
  ATTENTIVE_INLINE V set(float x) { return vdupq_n_f32(x); }
  ATTENTIVE_INLINE V load(const float *p) { return vld1q_f32(p); }
  ATTENTIVE_INLINE void store(float *p, V v) { vst1q_f32(p, v); }
  ATTENTIVE_INLINE V load_first(const float *p, int n) {
    float part[4] = {0, 0, 0, 0};
    for (int i = 0; i < n; ++i)
      part[i] = p[i];
    return vld1q_f32(part);
  }
  ATTENTIVE_INLINE void store_first(float *p, V v, int n) {
    float part[4];
    vst1q_f32(part, v);
    for (int i = 0; i < n; ++i)
      p[i] = part[i];
  }
  ATTENTIVE_INLINE V add(V a, V b) { return vaddq_f32(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return vsubq_f32(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return vmulq_f32(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return vdivq_f32(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return vsqrtq_f32(v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) { return vbslq_f32(vcgtq_f32(x, zero()), v, zero()); }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  ATTENTIVE_INLINE V max(V a, V b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  ATTENTIVE_INLINE uint32x4_t lanes_of_bits(std::uint32_t bits) {
    const std::uint32_t bit[4] = {1, 2, 4, 8};
    return vtstq_u32(vdupq_n_u32(bits), vld1q_u32(bit));
  }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), lanes_of_bits(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return vbslq_f32(lanes_of_bits(bits), a, b);
  }
  ATTENTIVE_INLINE float sum(V v) { return vaddvq_f32(v); }
  ATTENTIVE_INLINE bool all_at_most(V v, float x) {
    return vminvq_u32(vcleq_f32(v, vdupq_n_f32(x))) != 0;
  }
  // As in simd_avx2.h: the exponent is added to the bits of p. ARM's minimum and
  // maximum keep NaN, whose exponent it converts to 0.
  ATTENTIVE_INLINE V exp2_of(V x) {
    const float *c = kExp2FloatHalf;
    x = vminq_f32(vmaxq_f32(x, set(-127.0f)), set(128.0f));
    const int32x4_t n = vcvtnq_s32_f32(x);
    const V f = vsubq_f32(x, vcvtq_f32_s32(n));
    V p = set(c[4]);
    p = fma(p, f, set(c[3]));
    p = fma(p, f, set(c[2]));
    p = fma(p, f, set(c[1]));
    p = fma(p, f, set(c[0]));
    p = fma(p, f, set(1.0f));
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(n, 23)));
  }
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = exp2_of(x[n]);
  }
  ATTENTIVE_INLINE void transpose(const float *const *from, float *to, std::ptrdiff_t to_stride,
                                  float scale) {
    const V r0 = vld1q_f32(from[0]), r1 = vld1q_f32(from[1]);
    const V r2 = vld1q_f32(from[2]), r3 = vld1q_f32(from[3]);
    const V a0 = vzip1q_f32(r0, r2), a1 = vzip2q_f32(r0, r2);
    const V b0 = vzip1q_f32(r1, r3), b1 = vzip2q_f32(r1, r3);
    vst1q_f32(to, vmulq_n_f32(vzip1q_f32(a0, b0), scale));
    vst1q_f32(to + to_stride, vmulq_n_f32(vzip2q_f32(a0, b0), scale));
    vst1q_f32(to + 2 * to_stride, vmulq_n_f32(vzip1q_f32(a1, b1), scale));
    vst1q_f32(to + 3 * to_stride, vmulq_n_f32(vzip2q_f32(a1, b1), scale));
  }
};

struct VecDouble {
  using Scalar = double;
  using V = float64x2_t;
  static constexpr int kLanes = 2, kRows = 8, kBlock = 2;

  ATTENTIVE_INLINE V zero() { return vdupq_n_f64(0); }
  ATTENTIVE_INLINE V set(double x) { return vdupq_n_f64(x); }
  ATTENTIVE_INLINE V load(const double *p) { return vld1q_f64(p); }
  ATTENTIVE_INLINE void store(double *p, V v) { vst1q_f64(p, v); }
  ATTENTIVE_INLINE V load_first(const double *p, int n) {
    double part[2] = {0, 0};
    for (int i = 0; i < n; ++i)
      part[i] = p[i];
    return vld1q_f64(part);
  }
  ATTENTIVE_INLINE void store_first(double *p, V v, int n) {
    double part[2];
    vst1q_f64(part, v);
    for (int i = 0; i < n; ++i)
      p[i] = part[i];
  }
  ATTENTIVE_INLINE V add(V a, V b) { return vaddq_f64(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return vsubq_f64(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return vmulq_f64(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return vdivq_f64(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return vsqrtq_f64(v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) { return vbslq_f64(vcgtq_f64(x, zero()), v, zero()); }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return vfmaq_f64(c, a, b); }
  ATTENTIVE_INLINE V max(V a, V b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
  ATTENTIVE_INLINE uint64x2_t lanes_of_bits(std::uint32_t bits) {
    const std::uint64_t bit[2] = {1, 2};
    return vtstq_u64(vdupq_n_u64(bits), vld1q_u64(bit));
  }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(v), lanes_of_bits(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return vbslq_f64(lanes_of_bits(bits), a, b);
  }
  ATTENTIVE_INLINE double sum(V v) { return vaddvq_f64(v); }
  ATTENTIVE_INLINE bool all_at_most(V v, double x) {
    const uint64x2_t yes = vcleq_f64(v, vdupq_n_f64(x));
    return (vgetq_lane_u64(yes, 0) & vgetq_lane_u64(yes, 1)) != 0;
  }
  ATTENTIVE_INLINE V exp2_of(V x) {
    const double *c = kExp2DoubleHalf;
    x = vminq_f64(vmaxq_f64(x, set(-1023.0)), set(1024.0));
    const int64x2_t n = vcvtnq_s64_f64(x);
    const V f = vsubq_f64(x, vcvtq_f64_s64(n));
    V p = set(c[10]);
    ATTENTIVE_UNROLL
    for (int i = 9; i >= 0; --i)
      p = fma(p, f, set(c[i]));
    p = fma(p, f, set(1.0));
    return vreinterpretq_f64_s64(vaddq_s64(vreinterpretq_s64_f64(p), vshlq_n_s64(n, 52)));
  }
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = exp2_of(x[n]);
  }
  ATTENTIVE_INLINE void transpose(const double *const *from, double *to, std::ptrdiff_t to_stride,
                                  double scale) {
    const V r0 = vld1q_f64(from[0]), r1 = vld1q_f64(from[1]);
    vst1q_f64(to, vmulq_n_f64(vzip1q_f64(r0, r1), scale));
    vst1q_f64(to + to_stride, vmulq_n_f64(vzip2q_f64(r0, r1), scale));
  }
};

// Two words in one 64-bit number: as fast as vectors where those cannot
// multiply to 64 bits.
struct VecWords {
  using V = std::uint64_t;
  static constexpr int kLanes = 2, kPairs = 1;

  ATTENTIVE_INLINE V set(std::uint64_t x) { return x; }
  ATTENTIVE_INLINE V load(const std::uint32_t *p) { return p[0] | V(p[1]) << 32; }
  ATTENTIVE_INLINE V product(V a, V b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
  ATTENTIVE_INLINE V high(V v) { return v >> 32; }
  ATTENTIVE_INLINE V exclusive_or(V a, V b) { return a ^ b; }
  ATTENTIVE_INLINE V exclusive_or(V a, V b, V c) { return a ^ b ^ c; }
  ATTENTIVE_INLINE V interleave(V even, V odd) { return (even & 0xffffffffu) | odd << 32; }
  ATTENTIVE_INLINE void halves_at_least(V v, std::uint32_t least, std::uint32_t &low,
                                        std::uint32_t &high) {
    low = std::uint32_t((v & 0xffffu) >= least) | std::uint32_t((v >> 32 & 0xffffu) >= least) << 1;
    high = std::uint32_t((v >> 16 & 0xffffu) >= least) | std::uint32_t((v >> 48) >= least) << 1;
  }
};
