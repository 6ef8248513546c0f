// The hot loops of the backward pass; contracts in backward_table.h.

// p and d_s of kR keys from `s` on, in kN vectors from `vector` on.
template <class S, int kR, int kN>
ATTENTIVE_INLINE void differentiate_rows(const BackwardTile<typename S::Scalar> &tile, Index s,
                                         int vector) {
  using T = typename S::Scalar;
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  const Index at = (s * 2 + vector) * kLanes;
  V acc[kR][kN];
  ATTENTIVE_UNROLL
  for (int n = 0; n < kN; ++n) {
    const V offset = S::load(tile.offset + (vector + n) * kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r)
      acc[r][n] = offset;
  }
  dot_rows<S, kR, kN>(acc, tile.q + vector * kLanes, tile.k + s * tile.k_stride, tile.k_stride,
                      tile.key_size);
  T *const p = tile.p + at;
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      V e = exp2_of<S>(acc[r][n]);
      if (tile.seen != nullptr)
        e = S::keep(e, tile.seen[s + r] >> ((vector + n) * kLanes));
      S::store(p + (r * 2 + n) * kLanes, e);
    }
  }

  ATTENTIVE_UNROLL
  for (int n = 0; n < kN; ++n) {
    const V delta = S::load(tile.delta + (vector + n) * kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r)
      acc[r][n] = delta;
  }
  dot_rows<S, kR, kN>(acc, tile.d_out + vector * kLanes, tile.v + s * tile.v_stride,
                      tile.v_stride, tile.value_size);
  T *const d_s = tile.d_s + at;
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      const int shift = (vector + n) * kLanes;
      const V e = S::load(p + (r * 2 + n) * kLanes);
      V d = acc[r][n];
      if (tile.kept != nullptr) {
        const std::uint32_t kept = tile.kept[s + r] >> shift;
        d = S::select(kept, d, S::load(tile.delta + shift));
        S::store(p + (r * 2 + n) * kLanes, S::keep(e, kept));
      }
      if (tile.d_scores != nullptr)
        d = S::add(d, S::load(tile.d_scores + at + (r * 2 + n) * kLanes));
      d = S::mul(e, d);
      if (tile.seen != nullptr) // there p is 0, but d may be anything
        d = S::keep(d, tile.seen[s + r] >> shift);
      S::store(d_s + (r * 2 + n) * kLanes, d);
    }
  }
}

template <class S> void differentiate(const BackwardTile<typename S::Scalar> &tile) {
  const KeySegments segments = key_segments(tile.begin, tile.end);
  for (int i = 0; i < 3; ++i) {
    const int vector = segments.vector[i];
    if (vector == 2)
      for (int s = segments.begin[i]; s < segments.end[i]; s += S::kRows)
        differentiate_rows<S, S::kRows, 2>(tile, s, 0);
    else
      for (int s = segments.begin[i]; s < segments.end[i]; s += S::kRows)
        differentiate_rows<S, S::kRows, 1>(tile, s, vector);
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
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      acc[r][n] = S::zero();
  }
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
  table.differentiate = differentiate<S>;
  table.add_weighted_rows = add_weighted_rows<S>;
  table.add_seen_rows = add_seen_rows<S>;
  return table;
}
