// Vectors of 256 bits; operations as described in simd.h.

// A vector whose lane i is all ones where bit i is 1.
ATTENTIVE_INLINE __m256i lanes_of_bits8(std::uint32_t bits) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i all = _mm256_set1_epi32(static_cast<int>(bits));
  return _mm256_cmpeq_epi32(_mm256_and_si256(all, bit), bit);
}
ATTENTIVE_INLINE __m256i lanes_of_bits4(std::uint32_t bits) {
  const __m256i bit = _mm256_setr_epi64x(1, 2, 4, 8);
  const __m256i all = _mm256_set1_epi64x(static_cast<long long>(bits));
  return _mm256_cmpeq_epi64(_mm256_and_si256(all, bit), bit);
}

// The constants of exp2, as vectors in memory: as invariants of a loop the
// compiler would keep them in registers and push the accumulators out. The
// empty instruction hides from it what the pointer points to.
#define ATTENTIVE_EIGHT(x) {x, x, x, x, x, x, x, x}
constexpr float kExp2Vectors[8][8] = {
    ATTENTIVE_EIGHT(1.0f),              ATTENTIVE_EIGHT(kExp2FloatHalf[0]),
    ATTENTIVE_EIGHT(kExp2FloatHalf[1]), ATTENTIVE_EIGHT(kExp2FloatHalf[2]),
    ATTENTIVE_EIGHT(kExp2FloatHalf[3]), ATTENTIVE_EIGHT(kExp2FloatHalf[4]),
    ATTENTIVE_EIGHT(-127.0f),           ATTENTIVE_EIGHT(128.0f)};
#undef ATTENTIVE_EIGHT
constexpr double kExp2DoubleAll[14] = {
    1.0,
    kExp2DoubleHalf[0], kExp2DoubleHalf[1], kExp2DoubleHalf[2], kExp2DoubleHalf[3],
    kExp2DoubleHalf[4], kExp2DoubleHalf[5], kExp2DoubleHalf[6], kExp2DoubleHalf[7],
    kExp2DoubleHalf[8], kExp2DoubleHalf[9], kExp2DoubleHalf[10],
    -1023.0,
    1024.0};

struct VecFloat {
  using Scalar = float;
  using V = __m256;
  static constexpr int kLanes = 8, kRows = 6, kBlock = 8;

  ATTENTIVE_INLINE V zero() { return _mm256_setzero_ps(); }
  ATTENTIVE_INLINE V set(float x) { return _mm256_set1_ps(x); }
  ATTENTIVE_INLINE V load(const float *p) { return _mm256_loadu_ps(p); }
  ATTENTIVE_INLINE void store(float *p, V v) { _mm256_storeu_ps(p, v); }
  ATTENTIVE_INLINE V load_first(const float *p, int n) {
    return _mm256_maskload_ps(p, lanes_of_bits8((1u << n) - 1));
  }
  ATTENTIVE_INLINE void store_first(float *p, V v, int n) {
    _mm256_maskstore_ps(p, lanes_of_bits8((1u << n) - 1), v);
  }
  ATTENTIVE_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return _mm256_div_ps(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return _mm256_sqrt_ps(v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) {
    return _mm256_and_ps(v, _mm256_cmp_ps(x, zero(), _CMP_GT_OQ));
  }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(lanes_of_bits8(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(lanes_of_bits8(bits)));
  }
  ATTENTIVE_INLINE float sum(V v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, float x) {
    return _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(x), _CMP_LE_OQ)) == 0xff;
  }
  // x = n + f. The exponent is added to the bits of p, which wraps outside of
  // the clamps; at the clamps f is 0 and p is 1, so that the sums of bits are
  // exactly 0 and exactly Inf. NaN: the conversion gives 2^31, the shift 0.
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    const float *c = kExp2Vectors[0];
    __asm__("" : "+r"(c));
    V f[kN], p[kN];
    __m256i exponent[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      f[n] = _mm256_min_ps(load(c + 7 * 8), _mm256_max_ps(load(c + 6 * 8), x[n]));
      const __m256i whole = _mm256_cvtps_epi32(f[n]);
      f[n] = _mm256_sub_ps(f[n], _mm256_cvtepi32_ps(whole));
      exponent[n] = _mm256_slli_epi32(whole, 23);
      p[n] = load(c + 5 * 8);
    }
    ATTENTIVE_UNROLL
    for (int i = 4; i >= 0; --i) {
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        p[n] = fma(p[n], f[n], load(c + i * 8));
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p[n]), exponent[n]));
  }
  ATTENTIVE_INLINE void transpose(const float *const *from, float *to, std::ptrdiff_t to_stride,
                                  float scale) {
    transpose_8x8(from, to, to_stride, scale);
  }
};

struct VecDouble {
  using Scalar = double;
  using V = __m256d;
  static constexpr int kLanes = 4, kRows = 6, kBlock = 4;

  ATTENTIVE_INLINE V zero() { return _mm256_setzero_pd(); }
  ATTENTIVE_INLINE V set(double x) { return _mm256_set1_pd(x); }
  ATTENTIVE_INLINE V load(const double *p) { return _mm256_loadu_pd(p); }
  ATTENTIVE_INLINE void store(double *p, V v) { _mm256_storeu_pd(p, v); }
  ATTENTIVE_INLINE V load_first(const double *p, int n) {
    return _mm256_maskload_pd(p, lanes_of_bits4((1u << n) - 1));
  }
  ATTENTIVE_INLINE void store_first(double *p, V v, int n) {
    _mm256_maskstore_pd(p, lanes_of_bits4((1u << n) - 1), v);
  }
  ATTENTIVE_INLINE V add(V a, V b) { return _mm256_add_pd(a, b); }
  ATTENTIVE_INLINE V sub(V a, V b) { return _mm256_sub_pd(a, b); }
  ATTENTIVE_INLINE V mul(V a, V b) { return _mm256_mul_pd(a, b); }
  ATTENTIVE_INLINE V div(V a, V b) { return _mm256_div_pd(a, b); }
  ATTENTIVE_INLINE V sqrt(V v) { return _mm256_sqrt_pd(v); }
  ATTENTIVE_INLINE V keep_positive(V v, V x) {
    return _mm256_and_pd(v, _mm256_cmp_pd(x, zero(), _CMP_GT_OQ));
  }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm256_max_pd(a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm256_and_pd(v, _mm256_castsi256_pd(lanes_of_bits4(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(lanes_of_bits4(bits)));
  }
  ATTENTIVE_INLINE double sum(V v) {
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, double x) {
    return _mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_set1_pd(x), _CMP_LE_OQ)) == 0xf;
  }
  // As for floats, with the exponent at bit 52.
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    const double *c = kExp2DoubleAll;
    __asm__("" : "+r"(c));
    V f[kN], p[kN];
    __m256i exponent[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      f[n] = _mm256_min_pd(set(c[13]), _mm256_max_pd(set(c[12]), x[n]));
      const __m128i whole = _mm256_cvtpd_epi32(f[n]);
      f[n] = _mm256_sub_pd(f[n], _mm256_cvtepi32_pd(whole));
      exponent[n] = _mm256_slli_epi64(_mm256_cvtepi32_epi64(whole), 52);
      p[n] = set(c[11]);
    }
    ATTENTIVE_UNROLL
    for (int i = 10; i >= 0; --i) {
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        p[n] = fma(p[n], f[n], set(c[i]));
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      x[n] = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p[n]), exponent[n]));
  }
  ATTENTIVE_INLINE void transpose(const double *const *from, double *to, std::ptrdiff_t to_stride,
                                  double scale) {
    transpose_4x4(from, to, to_stride, scale);
  }
};

struct VecWords {
  using V = __m256i;
  static constexpr int kLanes = 8, kPairs = 1;

  ATTENTIVE_INLINE V set(std::uint64_t x) {
    return _mm256_set1_epi64x(static_cast<long long>(x));
  }
  ATTENTIVE_INLINE V load(const std::uint32_t *p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
  }
  ATTENTIVE_INLINE V product(V a, V b) { return _mm256_mul_epu32(a, b); }
  ATTENTIVE_INLINE V high(V v) { return _mm256_srli_epi64(v, 32); }
  ATTENTIVE_INLINE V exclusive_or(V a, V b) { return _mm256_xor_si256(a, b); }
  ATTENTIVE_INLINE V exclusive_or(V a, V b, V c) {
    return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
  }
  ATTENTIVE_INLINE V interleave(V even, V odd) {
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  }
  ATTENTIVE_INLINE std::uint32_t top_bits(V v) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(v)));
  }
  ATTENTIVE_INLINE void halves_at_least(V v, std::uint32_t least, std::uint32_t &low,
                                        std::uint32_t &high) {
    const V bound = _mm256_set1_epi16(static_cast<short>(least));
    const V yes = _mm256_cmpeq_epi16(_mm256_max_epu16(v, bound), v);
    low = top_bits(_mm256_slli_epi32(yes, 16));
    high = top_bits(yes);
  }
};
