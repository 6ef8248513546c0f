// The hot loops of additive attention; contracts in additive_table.h.

// Scores of kR keys from `s` on against kN vectors of queries. With
// e = exp2(2 log2(e) x), tanh(x) / 2 = 1/2 - 1 / (1 + e): no branch, and right
// where e is 0 or Inf.
template <class S, int kR, int kN>
ATTENTIVE_INLINE void additive_rows(const AdditiveTile<typename S::Scalar> &tile, Index s,
                                    typename S::V (&max)[kN]) {
  using T = typename S::Scalar;
  using V = typename S::V;
  V acc[kR][kN];
  zero_rows<S, kR, kN>(acc);
  const V inside = S::set(tile.inside), one = S::set(1), half = S::set(T(0.5));
  const T *const k = tile.k + s * tile.k_stride;
  for (Index i = 0; i < tile.key_size; ++i) {
    const V scale = S::set(tile.scale[i]);
    V q[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      q[n] = S::load(tile.q + (i * 2 + n) * S::kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const V key = S::set(k[r * tile.k_stride + i]);
      V e[kN];
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        e[n] = exp2_of<S>(S::mul(S::add(q[n], key), inside));
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n) {
        const V bent = S::sub(half, S::div(one, S::add(one, e[n])));
        acc[r][n] = S::fma(scale, bent, acc[r][n]);
      }
    }
  }
  const V outside = S::set(tile.outside);
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const V score = S::mul(acc[r][n], outside);
      S::store(tile.p + ((s + r) * 2 + n) * S::kLanes, score);
      const V larger = S::max(score, max[n]);
      max[n] = tile.bits == nullptr
                   ? larger
                   : S::select(tile.bits[s + r] >> (n * S::kLanes), larger, max[n]);
    }
  }
}

template <class S, int kN>
void additive_scores_of(const AdditiveTile<typename S::Scalar> &tile, typename S::Scalar *max) {
  constexpr int kR = S::kRows / 2;
  typename S::V held[kN];
  ATTENTIVE_UNROLL
  for (int n = 0; n < kN; ++n)
    held[n] = S::set(-static_cast<typename S::Scalar>(__builtin_inf()));
  Index s = tile.begin;
  for (; s + kR <= tile.end; s += kR)
    additive_rows<S, kR, kN>(tile, s, held);
  for (; s < tile.end; ++s)
    additive_rows<S, 1, kN>(tile, s, held);
  ATTENTIVE_UNROLL
  for (int n = 0; n < kN; ++n)
    S::store(max + n * S::kLanes, held[n]);
}

template <class S>
void additive_scores(const AdditiveTile<typename S::Scalar> &tile, typename S::Scalar *max) {
  if (tile.vectors == 2)
    additive_scores_of<S, 2>(tile, max);
  else
    additive_scores_of<S, 1>(tile, max);
}

template <class S>
void additive_exp_scores(const AdditiveTile<typename S::Scalar> &tile,
                         const typename S::Scalar *max, typename S::Scalar *sums) {
  using V = typename S::V;
  for (int n = 0; n < tile.vectors; ++n) {
    const V held = S::load(max + n * S::kLanes);
    V sum = S::zero();
    for (Index s = tile.begin; s < tile.end; ++s) {
      typename S::Scalar *const p = tile.p + (s * 2 + n) * S::kLanes;
      V e = exp2_of<S>(S::sub(S::load(p), held));
      if (tile.bits != nullptr)
        e = S::keep(e, tile.bits[s] >> (n * S::kLanes));
      sum = S::add(sum, e);
      S::store(p, e);
    }
    S::store(sums + n * S::kLanes, sum);
  }
}

// Keys from `s` on, kR of them. With r = 1 / (1 + e): tanh = 1 - 2 r and
// 1 - tanh^2 = 4 r (1 - r), a product that is 0 where e is 0 or Inf.
template <class S, int kR, int kN>
ATTENTIVE_INLINE void additive_gradient_rows(const AdditiveTile<typename S::Scalar> &tile,
                                             const AdditiveGradient<typename S::Scalar> &to,
                                             Index s) {
  using T = typename S::Scalar;
  using V = typename S::V;
  const V inside = S::set(tile.inside), one = S::set(1), two = S::set(2), four = S::set(4);
  V g[kR][kN];
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      g[r][n] = S::load(to.g + ((s + r) * 2 + n) * S::kLanes);
  }
  for (Index i = 0; i < tile.key_size; ++i) {
    const V scale = S::set(tile.scale[i]);
    V d_q[kN], d_e[kN], q[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const Index at = (i * 2 + n) * S::kLanes;
      q[n] = S::load(tile.q + at);
      d_q[n] = S::load(to.d_q + at);
      d_e[n] = S::load(to.d_e + at);
    }
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const V key = S::set(tile.k[(s + r) * tile.k_stride + i]);
      V sum = S::zero();
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n) {
        const V e = exp2_of<S>(S::mul(S::add(q[n], key), inside));
        const V share = S::div(one, S::add(one, e));
        V bent = S::mul(g[r][n], S::sub(one, S::mul(two, share)));
        V slope = S::mul(S::mul(g[r][n], scale), S::mul(S::mul(four, share), S::sub(one, share)));
        if (tile.bits != nullptr) { // 0 times NaN is not 0
          const std::uint32_t bits = tile.bits[s + r] >> (n * S::kLanes);
          bent = S::keep(bent, bits);
          slope = S::keep(slope, bits);
        }
        d_e[n] = S::add(d_e[n], bent);
        d_q[n] = S::add(d_q[n], slope);
        sum = S::add(sum, slope);
      }
      T *const d_k = to.d_k + (s + r) * tile.key_size + i;
      *d_k += S::sum(sum);
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const Index at = (i * 2 + n) * S::kLanes;
      S::store(to.d_q + at, d_q[n]);
      S::store(to.d_e + at, d_e[n]);
    }
  }
}

template <class S, int kN>
void additive_differentiate_of(const AdditiveTile<typename S::Scalar> &tile,
                               const AdditiveGradient<typename S::Scalar> &to) {
  constexpr int kR = S::kRows / 2;
  Index s = tile.begin;
  for (; s + kR <= tile.end; s += kR)
    additive_gradient_rows<S, kR, kN>(tile, to, s);
  for (; s < tile.end; ++s)
    additive_gradient_rows<S, 1, kN>(tile, to, s);
}

template <class S>
void additive_differentiate(const AdditiveTile<typename S::Scalar> &tile,
                            const AdditiveGradient<typename S::Scalar> &to) {
  if (tile.vectors == 2)
    additive_differentiate_of<S, 2>(tile, to);
  else
    additive_differentiate_of<S, 1>(tile, to);
}

template <class S> AdditiveKernels<typename S::Scalar> additive_kernels() {
  AdditiveKernels<typename S::Scalar> table;
  table.scores = additive_scores<S>;
  table.exp_scores = additive_exp_scores<S>;
  table.differentiate = additive_differentiate<S>;
  return table;
}
