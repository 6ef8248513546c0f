// Transposes of small squares in 256-bit vectors, for AVX2 and AVX-512.

ATTENTIVE_INLINE void transpose_8x8(const float *const *from, float *to, std::ptrdiff_t to_stride,
                                    float scale) {
  __m256 a[8], b[8];
  // Lower halves of rows i and upper halves of rows i in one vector: lanes
  // 0-3 take columns 0-3 of rows 0-3, lanes 4-7 the same of rows 4-7.
  ATTENTIVE_UNROLL
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[i])),
                                _mm_loadu_ps(from[i + 4]), 1);
    a[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[i] + 4)),
                                    _mm_loadu_ps(from[i + 4] + 4), 1);
  }
  ATTENTIVE_UNROLL
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    b[i + 2] = _mm256_unpacklo_ps(a[i + 2], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_ps(a[i + 2], a[i + 3]);
  }
  const __m256 factor = _mm256_set1_ps(scale);
  ATTENTIVE_UNROLL
  for (int i = 0; i < 8; i += 4) {
    const __m256 c0 = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
    const __m256 c1 = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
    const __m256 c2 = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    const __m256 c3 = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    _mm256_storeu_ps(to + i * to_stride, _mm256_mul_ps(c0, factor));
    _mm256_storeu_ps(to + (i + 1) * to_stride, _mm256_mul_ps(c1, factor));
    _mm256_storeu_ps(to + (i + 2) * to_stride, _mm256_mul_ps(c2, factor));
    _mm256_storeu_ps(to + (i + 3) * to_stride, _mm256_mul_ps(c3, factor));
  }
}

ATTENTIVE_INLINE void transpose_4x4(const double *const *from, double *to,
                                    std::ptrdiff_t to_stride, double scale) {
  const __m256d factor = _mm256_set1_pd(scale);
  __m256d a[4];
  ATTENTIVE_UNROLL
  for (int i = 0; i < 2; ++i) {
    a[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from[i])),
                                _mm_loadu_pd(from[i + 2]), 1);
    a[i + 2] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from[i] + 2)),
                                    _mm_loadu_pd(from[i + 2] + 2), 1);
  }
  ATTENTIVE_UNROLL
  for (int i = 0; i < 4; i += 2) {
    const __m256d c0 = _mm256_unpacklo_pd(a[i], a[i + 1]);
    const __m256d c1 = _mm256_unpackhi_pd(a[i], a[i + 1]);
    _mm256_storeu_pd(to + i * to_stride, _mm256_mul_pd(c0, factor));
    _mm256_storeu_pd(to + (i + 1) * to_stride, _mm256_mul_pd(c1, factor));
  }
}
