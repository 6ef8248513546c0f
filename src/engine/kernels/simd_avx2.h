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
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(lanes_of_bits8(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(lanes_of_bits8(bits)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, float x) {
    return _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(x), _CMP_LE_OQ)) == 0xff;
  }
  // x = n + f. The exponent is added to the bits of p, which wraps outside of
  // the clamps; at the clamps f is 0 and p is 1, so that the sums of bits are
  // exactly 0 and exactly Inf. NaN: the conversion gives 2^31, the shift 0.
  ATTENTIVE_INLINE V exp2(V x) {
    const float *c = kExp2FloatHalf;
    x = _mm256_max_ps(set(-127.0f), x);
    x = _mm256_min_ps(set(128.0f), x);
    const __m256i n = _mm256_cvtps_epi32(x);
    const V f = _mm256_sub_ps(x, _mm256_cvtepi32_ps(n));
    V p = set(c[4]);
    p = fma(p, f, set(c[3]));
    p = fma(p, f, set(c[2]));
    p = fma(p, f, set(c[1]));
    p = fma(p, f, set(c[0]));
    p = fma(p, f, set(1.0f));
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(n, 23)));
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
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  ATTENTIVE_INLINE V max(V a, V b) { return _mm256_max_pd(a, b); }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return _mm256_and_pd(v, _mm256_castsi256_pd(lanes_of_bits4(bits)));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(lanes_of_bits4(bits)));
  }
  ATTENTIVE_INLINE bool all_at_most(V v, double x) {
    return _mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_set1_pd(x), _CMP_LE_OQ)) == 0xf;
  }
  // As for floats, with the exponent at bit 52.
  ATTENTIVE_INLINE V exp2(V x) {
    const double *c = kExp2DoubleHalf;
    x = _mm256_max_pd(set(-1023.0), x);
    x = _mm256_min_pd(set(1024.0), x);
    const __m128i n = _mm256_cvtpd_epi32(x);
    const V f = _mm256_sub_pd(x, _mm256_cvtepi32_pd(n));
    V p = set(c[10]);
    ATTENTIVE_UNROLL
    for (int i = 9; i >= 0; --i)
      p = fma(p, f, set(c[i]));
    p = fma(p, f, set(1.0));
    return _mm256_castsi256_pd(_mm256_add_epi64(
        _mm256_castpd_si256(p), _mm256_slli_epi64(_mm256_cvtepi32_epi64(n), 52)));
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
