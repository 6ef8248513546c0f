// Vectors of 16 bytes in the notation of GCC and clang; operations as described
// in simd.h. No multiply-add: a * b + c rounds twice where the processor has none.

template <class T, class I, int kN> struct PlainVec {
  using Scalar = T;
  typedef T V __attribute__((vector_size(16)));
  typedef I Bits __attribute__((vector_size(16)));
  static constexpr int kLanes = kN, kRows = 6, kBlock = kN;

  ATTENTIVE_INLINE V zero() { return V{}; }
  ATTENTIVE_INLINE V set(T x) {
    return x - V{};
  }
  ATTENTIVE_INLINE V load(const T *p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  ATTENTIVE_INLINE void store(T *p, V v) { __builtin_memcpy(p, &v, sizeof v); }
  ATTENTIVE_INLINE V load_first(const T *p, int n) {
    V v{};
    for (int i = 0; i < n; ++i)
      v[i] = p[i];
    return v;
  }
  ATTENTIVE_INLINE void store_first(T *p, V v, int n) {
    for (int i = 0; i < n; ++i)
      p[i] = v[i];
  }
  ATTENTIVE_INLINE V add(V a, V b) { return a + b; }
  ATTENTIVE_INLINE V sub(V a, V b) { return a - b; }
  ATTENTIVE_INLINE V mul(V a, V b) { return a * b; }
  ATTENTIVE_INLINE V div(V a, V b) { return a / b; }
  ATTENTIVE_INLINE V sqrt(V v) {
    for (int i = 0; i < kN; ++i)
      v[i] = sizeof(T) == 4 ? static_cast<T>(__builtin_sqrtf(static_cast<float>(v[i])))
                            : static_cast<T>(__builtin_sqrt(static_cast<double>(v[i])));
    return v;
  }
  ATTENTIVE_INLINE V fma(V a, V b, V c) { return a * b + c; }
  ATTENTIVE_INLINE V blend(Bits mask, V a, V b) {
    return reinterpret_cast<V>((reinterpret_cast<Bits>(a) & mask) |
                               (reinterpret_cast<Bits>(b) & ~mask));
  }
  ATTENTIVE_INLINE V keep_positive(V v, V x) {
    return reinterpret_cast<V>(reinterpret_cast<Bits>(v) & reinterpret_cast<Bits>(x > zero()));
  }
  ATTENTIVE_INLINE V max(V a, V b) { return blend(reinterpret_cast<Bits>(a > b), a, b); }
  ATTENTIVE_INLINE V min(V a, V b) { return blend(reinterpret_cast<Bits>(a < b), a, b); }
  ATTENTIVE_INLINE Bits lanes_of_bits(std::uint32_t bits) {
    Bits mask{}; // or it looks uninitialized where the loop is not unrolled
    for (int i = 0; i < kN; ++i)
      mask[i] = -static_cast<I>((bits >> i) & 1u);
    return mask;
  }
  ATTENTIVE_INLINE V keep(V v, std::uint32_t bits) {
    return reinterpret_cast<V>(reinterpret_cast<Bits>(v) & lanes_of_bits(bits));
  }
  ATTENTIVE_INLINE V select(std::uint32_t bits, V a, V b) {
    return blend(lanes_of_bits(bits), a, b);
  }
  ATTENTIVE_INLINE T sum(V v) {
    T total = v[0];
    for (int i = 1; i < kN; ++i)
      total += v[i];
    return total;
  }
  ATTENTIVE_INLINE bool all_at_most(V v, T x) {
    bool yes = true;
    for (int i = 0; i < kN; ++i)
      yes = yes && v[i] <= x;
    return yes;
  }
  // x = n + f, n by the rounding of a large sum, whose last bits it is. They are
  // added to the exponent of p: as a factor 2^n would be Inf half a step too
  // early. The difference is 0, or NaN where the bits of a NaN make a number.
  template <int kTerms> ATTENTIVE_INLINE V exp2_with(V x, const T *c, T low, T high, T round) {
    constexpr int kMantissa = sizeof(T) == 4 ? 23 : 52;
    x = min(set(high), max(set(low), x));
    const V rounded = x + set(round);
    const V f = x - (rounded - set(round));
    V p = set(c[kTerms - 1]);
    ATTENTIVE_UNROLL
    for (int i = kTerms - 2; i >= 0; --i)
      p = p * f + set(c[i]);
    p = p * f + set(1);
    const Bits exponent = reinterpret_cast<Bits>(rounded) << kMantissa;
    return reinterpret_cast<V>(reinterpret_cast<Bits>(p) + exponent) + (x - x);
  }
  ATTENTIVE_INLINE void transpose(const T *const *from, T *to, std::ptrdiff_t to_stride, T scale) {
    for (int i = 0; i < kN; ++i) {
      V v{};
      for (int j = 0; j < kN; ++j)
        v[j] = from[j][i];
      store(to + i * to_stride, v * set(scale));
    }
  }
};

struct VecFloat : PlainVec<float, std::uint32_t, 4> {
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    for (int n = 0; n < kN; ++n)
      x[n] = exp2_with<5>(x[n], kExp2FloatHalf, -127.0f, 128.0f, 12582912.0f);
  }
};

struct VecDouble : PlainVec<double, std::uint64_t, 2> {
  template <int kN> ATTENTIVE_INLINE void exp2(V (&x)[kN]) {
    for (int n = 0; n < kN; ++n)
      x[n] = exp2_with<11>(x[n], kExp2DoubleHalf, -1023.0, 1024.0, 6755399441055744.0);
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
