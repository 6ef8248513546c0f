// Vectors of 512 bits; operations as described in simd.h.

struct VecFloat {
  using Scalar = float;
  using V = __m512;
  static constexpr int kLanes = 16, kRows = 8, kBlock = 8;

  ATTENTIVE_INLINE V zero() { return _mm512_setzero_ps(); }
  ATTENTIVE_INLINE V set(float x) { return _mm512_set1_ps(x); }
  ATTENTIVE_INLINE V load(const float *p) { return _mm512_loadu_ps(p); }
  ATTENTIVE_INLINE void store(float *p, V v) { _mm512_storeu_ps(p, v); }
  ATTENTIVE_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
  ATTENTIVE_INLINE V load_first(const float *p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  ATTENTIVE_INLINE void store_first(float *p, V v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
  ATTENTIVE_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return _mm512_div_ps(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return _mm512_maskz_sqrt_ps(0xffff, v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_GT_OQ), v);
  }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm512_maskz_max_ps(0xffff, a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>(bits), v);
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), b, a);
  }
  ATTENTIVE_INLINE float sum(V v) {
    const __m256 y = _mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xff, v, 0),
                                   _mm512_maskz_extractf32x8_ps(0xff, v, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, float x) {
    return _mm512_cmp_ps_mask(v, _mm512_set1_ps(x), _CMP_LE_OQ) == 0xffff;
  }
  // x = floor(x) + f; the processor's own scaling takes the floor, and gives
  // exact 0, Inf and NaN where they belong.
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    V f[kN], p[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      f[n] = _mm512_maskz_reduce_ps(0xffff, x[n], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
      p[n] = set(kExp2FloatUnit[4]);
    }
    ATTENTIVE_UNROLL
    for (int i = 3; i >= 0; --i) {
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        p[n] = fma(p[n], f[n], set(kExp2FloatUnit[i]));
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = _mm512_maskz_scalef_ps(0xffff, fma(p[n], f[n], set(1.0f)), x[n]);
  }
  ATTENTIVE_INLINE void transpose(const float *const *from, float *to, std::ptrdiff_t to_stride,
                                  float scale) {
    transpose_8x8(from, to, to_stride, scale);
  }
};

struct VecDouble {
  using Scalar = double;
  using V = __m512d;
  static constexpr int kLanes = 8, kRows = 8, kBlock = 4;

  ATTENTIVE_INLINE V zero() { return _mm512_setzero_pd(); }
  ATTENTIVE_INLINE V set(double x) { return _mm512_set1_pd(x); }
  ATTENTIVE_INLINE V load(const double *p) { return _mm512_loadu_pd(p); }
  ATTENTIVE_INLINE void store(double *p, V v) { _mm512_storeu_pd(p, v); }
  ATTENTIVE_INLINE __mmask8 first(int n) { return static_cast<__mmask8>((1u << n) - 1); }
  ATTENTIVE_INLINE V load_first(const double *p, int n) {
    return _mm512_maskz_loadu_pd(first(n), p);
  }
  ATTENTIVE_INLINE void store_first(double *p, V v, int n) {
    _mm512_mask_storeu_pd(p, first(n), v);
  }
  ATTENTIVE_INLINE V add(V a, V b) { return _mm512_add_pd(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return _mm512_sub_pd(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return _mm512_mul_pd(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return _mm512_div_pd(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return _mm512_maskz_sqrt_pd(0xff, v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, zero(), _CMP_GT_OQ), v);
  }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm512_maskz_max_pd(0xff, a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm512_maskz_mov_pd(static_cast<__mmask8>(bits), v);
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm512_mask_blend_pd(static_cast<__mmask8>(bits), b, a);
  }
  ATTENTIVE_INLINE double sum(V v) {
    const __m256d y = _mm256_add_pd(_mm512_maskz_extractf64x4_pd(0xf, v, 0),
                                    _mm512_maskz_extractf64x4_pd(0xf, v, 1));
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(y), _mm256_extractf128_pd(y, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, double x) {
    return _mm512_cmp_pd_mask(v, _mm512_set1_pd(x), _CMP_LE_OQ) == 0xff;
  }
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    const double *c = kExp2DoubleUnit; // hidden, or its vectors would fill the registers
    __asm__("" : "+r"(c));
    V f[kN], p[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      f[n] = _mm512_maskz_reduce_pd(0xff, x[n], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
      p[n] = set(c[10]);
    }
    ATTENTIVE_UNROLL
    for (int i = 9; i >= 0; --i) {
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        p[n] = fma(p[n], f[n], set(c[i]));
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = _mm512_maskz_scalef_pd(0xff, fma(p[n], f[n], set(1.0)), x[n]);
  }
  ATTENTIVE_INLINE void transpose(const double *const *from, double *to, std::ptrdiff_t to_stride,
                                  double scale) {
    transpose_4x4(from, to, to_stride, scale);
  }
};

struct VecWords {
  using V = __m512i;
  static constexpr int kLanes = 16, kPairs = 2;

  ATTENTIVE_INLINE V set(std::uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  ATTENTIVE_INLINE V load(const std::uint32_t *p) { return _mm512_loadu_si512(p); }
  ATTENTIVE_INLINE V product(V a, V b) { return _mm512_maskz_mul_epu32(0xff, a, b); }
  ATTENTIVE_INLINE V high(V v) { return _mm512_maskz_srli_epi64(0xff, v, 32); }
  ATTENTIVE_INLINE V exclusive_or(V a, V b) { return _mm512_xor_si512(a, b); }
  ATTENTIVE_INLINE V exclusive_or(V a, V b, V c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
  }
  ATTENTIVE_INLINE V interleave(V even, V odd) {
    return _mm512_mask_blend_epi32(0xaaaa, even, _mm512_maskz_slli_epi64(0xff, odd, 32));
  }
  ATTENTIVE_INLINE void halves_at_least(V v, std::uint32_t least, std::uint32_t &low,
                                        std::uint32_t &high) {
    const V bound = _mm512_set1_epi32(static_cast<int>(least << 16));
    low = _mm512_cmpge_epu32_mask(_mm512_maskz_slli_epi32(0xffff, v, 16), bound);
    high = _mm512_cmpge_epu32_mask(v, bound);
  }
};
