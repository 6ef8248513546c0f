// The hot loops of the backward pass; contracts in backward_table.h.

template <class S>
bool load_rows(const typename S::Scalar *const *rows, int count, Index size, Index stride,
               typename S::Scalar factor, typename S::Scalar *to) {
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  V check = S::zero(); // 0 times Inf or NaN is NaN
  for (int i = 0; i < count; ++i, to += stride) {
    Index j = 0;
    for (; j + kLanes <= size; j += kLanes) {
      const V x = S::mul(S::load(rows[i] + j), S::set(factor));
      check = S::fma(x, S::zero(), check);
      S::store(to + j, x);
    }
    if (j < size) {
      const V x = S::mul(S::load_first(rows[i] + j, static_cast<int>(size - j)), S::set(factor));
      check = S::fma(x, S::zero(), check);
      S::store(to + j, x);
    }
  }
  return S::all_at_most(check, 0);
}

// A sum in the order of dot_rows(), so that it is the same number.
template <class S>
void dot_columns(const typename S::Scalar *x, const typename S::Scalar *y, Index size,
                 typename S::Scalar *dots) {
  constexpr int kLanes = S::kLanes;
  for (int vector = 0; vector < 2; ++vector) {
    typename S::V sum = S::zero();
    for (Index i = 0; i < size; ++i) {
      const Index at = (2 * i + vector) * kLanes;
      sum = S::fma(S::load(x + at), S::load(y + at), sum);
    }
    S::store(dots + vector * kLanes, sum);
  }
}

// p and d_s of kR keys from `s` on, in kN vectors from `vector` on. kPlain: no
// mask, dropout or d_scores.
template <class S, int kR, int kN, bool kPlain>
ATTENTIVE_INLINE void differentiate_rows(const BackwardTile<typename S::Scalar> &tile, Index s,
                                         int vector) {
  using T = typename S::Scalar;
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  const int lane = vector * kLanes;
  const Index at = s * 2 * kLanes + lane;
  T *const p = tile.p + at, *const d_s = tile.d_s + at;
  V acc[kR][kN];
  zero_rows<S, kR, kN>(acc);
  dot_rows<S, kR, kN>(acc, tile.q + lane, tile.k + s * tile.k_stride, tile.k_stride, tile.key_size);
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    V e[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      e[n] = S::add(acc[r][n], S::load(tile.offset + lane + n * kLanes));
    S::exp2(e);
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      if (!kPlain && tile.seen != nullptr)
        e[n] = S::keep(e[n], tile.seen[s + r] >> (lane + n * kLanes));
      S::store(p + (r * 2 + n) * kLanes, e[n]);
    }
  }

  zero_rows<S, kR, kN>(acc);
  dot_rows<S, kR, kN>(acc, tile.d_out + lane, tile.v + s * tile.v_stride, tile.v_stride,
                      tile.value_size);
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const int shift = lane + n * kLanes;
      const V e = S::load(p + (r * 2 + n) * kLanes);
      V d = acc[r][n];
      if (!kPlain && tile.kept != nullptr) {
        const std::uint32_t kept = tile.kept[s + r] >> shift;
        d = S::keep(d, kept);
        S::store(p + (r * 2 + n) * kLanes, S::keep(e, kept));
      }
      if (!kPlain && tile.d_scores != nullptr)
        d = S::add(d, S::load(tile.d_scores + at + (r * 2 + n) * kLanes));
      d = S::mul(e, S::add(d, S::load(tile.delta + shift)));
      if (!kPlain && tile.seen != nullptr) // there p is 0, but d may be anything
        d = S::keep(d, tile.seen[s + r] >> shift);
      S::store(d_s + (r * 2 + n) * kLanes, d);
    }
  }
}

template <class S, int kN, bool kPlain>
void differentiate_segment(const BackwardTile<typename S::Scalar> &tile, Index begin, Index end,
                           int vector) {
  for (Index s = begin; s < end; s += S::kRows)
    differentiate_rows<S, S::kRows, kN, kPlain>(tile, s, vector);
}

template <class S> void differentiate(const BackwardTile<typename S::Scalar> &tile) {
  const bool plain = tile.seen == nullptr && tile.kept == nullptr && tile.d_scores == nullptr;
  const KeySegments segments = key_segments(tile.begin, tile.end);
  for (int i = 0; i < 3; ++i) {
    const int vector = segments.vector[i];
    if (vector != 2)
      differentiate_segment<S, 1, false>(tile, segments.begin[i], segments.end[i], vector);
    else if (plain)
      differentiate_segment<S, 2, true>(tile, segments.begin[i], segments.end[i], 0);
    else
      differentiate_segment<S, 2, false>(tile, segments.begin[i], segments.end[i], 0);
  }
}

// kR rows, kN vectors of features from `feature` on.
template <class S, int kR, int kN>
ATTENTIVE_INLINE void add_weighted_block(const WeightedRows<typename S::Scalar> &sum,
                                         Index feature) {
  using T = typename S::Scalar;
  using V = typename S::V;
  constexpr int kLanes = S::kLanes, kGroup = 2 * kLanes;
  V acc[kR][kN];
  zero_rows<S, kR, kN>(acc);
  const T *x = sum.x + sum.begin * sum.size + feature;
  for (int begin = sum.begin, end; begin < sum.end; begin = end) {
    const int group = begin / kGroup;
    end = (group + 1) * kGroup < sum.end ? (group + 1) * kGroup : sum.end;
    const T *w = sum.weights + group * sum.group - group * kGroup;
    for (int q = begin; q < end; ++q, x += sum.size) {
      V b[kN];
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        b[n] = S::load(x + n * kLanes);
      ATTENTIVE_UNROLL
      for (int r = 0; r < kR; ++r) {
        const V a = S::set(w[r * kGroup + q]);
        ATTENTIVE_UNROLL
        for (int n = 0; n < kN; ++n)
          acc[r][n] = S::fma(a, b[n], acc[r][n]);
      }
    }
  }
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      T *to = sum.to + r * sum.size + feature + n * kLanes;
      S::store(to, S::add(S::load(to), acc[r][n]));
    }
  }
}

template <class S> void add_weighted_rows(const WeightedRows<typename S::Scalar> &sum) {
  constexpr int kLanes = S::kLanes;
  Index feature = 0;
  for (; feature + 2 * kLanes <= sum.size; feature += 2 * kLanes)
    add_weighted_block<S, S::kRows, 2>(sum, feature);
  if (feature < sum.size)
    add_weighted_block<S, S::kRows, 1>(sum, feature);
}

template <class S>
void add_seen_rows(const WeightedRows<typename S::Scalar> &sum, const std::uint32_t *seen) {
  using V = typename S::V;
  constexpr int kLanes = S::kLanes, kGroup = 2 * kLanes;
  for (Index feature = 0; feature < sum.size; feature += kLanes) {
    V acc = S::zero();
    for (int q = sum.begin; q < sum.end; ++q) {
      const int group = q / kGroup, lane = q % kGroup;
      if ((seen[group] >> lane & 1u) != 0)
        acc = S::fma(S::set(sum.weights[group * sum.group + lane]),
                     S::load(sum.x + q * sum.size + feature), acc);
    }
    S::store(sum.to + feature, S::add(S::load(sum.to + feature), acc));
  }
}

template <class S> BackwardKernels<typename S::Scalar> backward_kernels() {
  BackwardKernels<typename S::Scalar> table;
  table.lanes = S::kLanes;
  table.rows = S::kRows;
  table.load_rows = load_rows<S>;
  table.dot_columns = dot_columns<S>;
  table.differentiate = differentiate<S>;
  table.add_weighted_rows = add_weighted_rows<S>;
  table.add_seen_rows = add_seen_rows<S>;
  return table;
}
