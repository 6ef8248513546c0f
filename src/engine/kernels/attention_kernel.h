// The hot loops of the tiled core; contracts in attention_table.h.

// One vector of 2^v, where there is no second one to interleave it with.
template <class S> ATTENTIVE_INLINE typename S::V exp2_of(typename S::V v) {
  typename S::V both[1] = {v};
  S::exp2(both);
  return both[0];
}

// ---- Groups of rows in and out ------------------------------------------------

template <class S>
void pack_rows(const typename S::Scalar *const *rows, int count, Index size,
               typename S::Scalar scale, typename S::Scalar *packed) {
  using T = typename S::Scalar;
  constexpr int kGroup = 2 * S::kLanes, kBlock = S::kBlock;
  for (int lane = 0; lane < kGroup; lane += kBlock) {
    Index i = 0;
    if (lane + kBlock <= count)
      for (; i + kBlock <= size; i += kBlock) {
        const T *from[kBlock];
        for (int j = 0; j < kBlock; ++j)
          from[j] = rows[lane + j] + i;
        S::transpose(from, packed + i * kGroup + lane, kGroup, scale);
      }
    for (int j = lane; j < lane + kBlock; ++j)
      for (Index rest = i; rest < size; ++rest)
        packed[rest * kGroup + j] = j < count ? rows[j][rest] * scale : T(0);
  }
}

// packed[i, lane] *= factor[lane]; false if a product is not finite.
template <class S>
bool scale_lanes(typename S::Scalar *packed, const typename S::Scalar *factor, Index size) {
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  const V f0 = S::load(factor), f1 = S::load(factor + kLanes);
  V check = S::zero(); // 0 times Inf or NaN is NaN
  for (Index i = 0; i < size; ++i) {
    typename S::Scalar *row = packed + i * 2 * kLanes;
    const V x0 = S::mul(S::load(row), f0), x1 = S::mul(S::load(row + kLanes), f1);
    check = S::fma(S::add(S::mul(x0, S::zero()), S::mul(x1, S::zero())), S::set(1), check);
    S::store(row, x0);
    S::store(row + kLanes, x1);
  }
  return S::all_at_most(check, 0);
}

template <class S>
bool unpack_rows(typename S::Scalar *packed, const typename S::Scalar *factor, Index size,
                 int count, typename S::Scalar *const *rows) {
  using T = typename S::Scalar;
  constexpr int kGroup = 2 * S::kLanes, kBlock = S::kBlock;
  const bool finite = scale_lanes<S>(packed, factor, size);
  Index i = 0;
  for (; i + kBlock <= size; i += kBlock)
    for (int lane = 0; lane + kBlock <= count; lane += kBlock) {
      const T *from[kBlock];
      for (int j = 0; j < kBlock; ++j)
        from[j] = packed + (i + j) * kGroup + lane;
      T square[kBlock * kBlock];
      S::transpose(from, square, kBlock, T(1));
      for (int j = 0; j < kBlock; ++j)
        __builtin_memcpy(rows[lane + j] + i, square + j * kBlock, sizeof(T) * kBlock);
    }
  const int whole = count - count % kBlock;
  for (int lane = 0; lane < count; ++lane)
    for (Index rest = lane < whole ? i : 0; rest < size; ++rest)
      rows[lane][rest] = packed[rest * kGroup + lane];
  return finite;
}

// ---- Scores -------------------------------------------------------------------

template <class S, int kR, int kN> ATTENTIVE_INLINE void zero_rows(typename S::V (&acc)[kR][kN]) {
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      acc[r][n] = S::zero();
  }
}

// acc[r][n] += sum over i of k[r * stride + i] * q[i, vector n].
template <class S, int kR, int kN>
ATTENTIVE_INLINE void dot_rows(typename S::V (&acc)[kR][kN], const typename S::Scalar *q,
                               const typename S::Scalar *k, Index stride, Index size) {
  using V = typename S::V;
  for (Index i = 0; i < size; ++i) {
    V b[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      b[n] = S::load(q + i * 2 * S::kLanes + n * S::kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const V a = S::set(k[r * stride + i]);
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        acc[r][n] = S::fma(a, b[n], acc[r][n]);
    }
  }
}

template <int kR, class T> ATTENTIVE_INLINE void fetch_rows(const T *next, Index stride, Index s) {
  if (next == nullptr)
    return;
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r)
    __builtin_prefetch(next + (s + r) * stride, 0, 3);
}

// What is done with the scores of kR keys from `s` on, in kN vectors from
// `vector` on. Last is the same for the few keys after the whole blocks: it asks
// at run time whether there is a mask, which spares a compiler half of this file.
template <class S, bool kMasked, bool kDrops, bool kAsks = false> struct ExpScores {
  using T = typename S::Scalar;
  using V = typename S::V;
  using Last = ExpScores<S, false, false, true>;

  template <int kR, int kN>
  ATTENTIVE_INLINE void rows(const AttentionTile<T> &tile, Index s, int vector, T *result) {
    fetch_rows<kR>(tile.next_k, tile.next_k_stride, s);
    fetch_rows<kR>(tile.next_v, tile.next_v_stride, s);
    // The offset is added last: a score has the same bits here as in MaxScores,
    // so that of the maximum is exactly 0, however large both are.
    V acc[kR][kN];
    zero_rows<S, kR, kN>(acc);
    dot_rows<S, kR, kN>(acc, tile.q + vector * S::kLanes, tile.k + s * tile.k_stride, tile.k_stride,
                        tile.key_size);
    T *p = tile.p + (s * 2 + vector) * S::kLanes;
    V sum[kN];
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r) {
      V e[kN];
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        e[n] = S::add(acc[r][n], S::load(tile.offset + (vector + n) * S::kLanes));
      S::exp2(e);
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n) {
        if (kAsks ? tile.bits != nullptr : kMasked)
          e[n] = S::keep(e[n], tile.bits[s + r] >> ((vector + n) * S::kLanes));
        sum[n] = r == 0 ? e[n] : S::add(sum[n], e[n]);
        if (kAsks ? tile.kept != nullptr : kDrops)
          e[n] = S::keep(e[n], tile.kept[s + r] >> ((vector + n) * S::kLanes));
        S::store(p + (r * 2 + n) * S::kLanes, e[n]);
      }
    }
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      T *const to = result + (vector + n) * S::kLanes;
      S::store(to, S::add(S::load(to), sum[n]));
    }
  }
};

template <class S> struct MaxScores {
  using T = typename S::Scalar;
  using V = typename S::V;
  using Last = MaxScores;

  template <int kR, int kN>
  ATTENTIVE_INLINE void rows(const AttentionTile<T> &tile, Index s, int vector, T *result) {
    V acc[kR][kN];
    zero_rows<S, kR, kN>(acc);
    dot_rows<S, kR, kN>(acc, tile.q + vector * S::kLanes, tile.k + s * tile.k_stride, tile.k_stride,
                        tile.key_size);
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      T *const to = result + (vector + n) * S::kLanes;
      V max = S::load(to);
      ATTENTIVE_UNROLL
      for (int r = 0; r < kR; ++r) {
        V larger = S::max(acc[r][n], max);
        if (tile.bits != nullptr)
          larger = S::select(tile.bits[s + r] >> ((vector + n) * S::kLanes), larger, max);
        max = larger;
      }
      S::store(to, max);
    }
  }
};

// Step::rows over the keys [begin, end): blocks of kR, then one smaller one.
// Their result is kept in memory, because the loops of dot_rows have no
// registers left for it.
template <class S, class Step, int kN, int kR>
ATTENTIVE_INLINE void last_rows(const AttentionTile<typename S::Scalar> &tile, Index begin,
                                int left, int vector, typename S::Scalar *result) {
  if constexpr (kR > 0) {
    if (left == kR)
      Step::template rows<kR, kN>(tile, begin, vector, result);
    else
      last_rows<S, Step, kN, kR - 1>(tile, begin, left, vector, result);
  }
}

template <class S, class Step, int kN>
__attribute__((noinline)) void last_keys(const AttentionTile<typename S::Scalar> &tile, Index begin,
                                         Index end, int vector, typename S::Scalar *result) {
  last_rows<S, Step, kN, S::kRows - 1>(tile, begin, static_cast<int>(end - begin), vector, result);
}

template <class S, class Step, int kN>
void key_segment(const AttentionTile<typename S::Scalar> &tile, Index begin, Index end, int vector,
                 typename S::Scalar *result) {
  for (; begin + S::kRows <= end; begin += S::kRows)
    Step::template rows<S::kRows, kN>(tile, begin, vector, result);
  if (begin < end)
    last_keys<S, typename Step::Last, kN>(tile, begin, end, vector, result);
}

// The keys that both vectors need are done for both at once, those before and
// after for the one that needs them. both(begin, end), one(begin, end, vector).
struct KeySegments {
  int begin[3], end[3], vector[3]; // vector 2: both
};

ATTENTIVE_INLINE KeySegments key_segments(const int *begin, const int *end) {
  const int low = begin[0] > begin[1] ? begin[0] : begin[1];
  const int high = end[0] < end[1] ? end[0] : end[1];
  if (low >= high) // nothing in common
    return {{begin[0], begin[1], 0}, {end[0], end[1], 0}, {0, 1, 2}};
  const int early = begin[0] < begin[1] ? 0 : 1, late = end[0] > end[1] ? 0 : 1;
  return {{begin[early], low, high}, {low, high, end[late]}, {early, 2, late}};
}

template <class S, class Step>
ATTENTIVE_INLINE void all_segments(const AttentionTile<typename S::Scalar> &tile,
                                   typename S::Scalar *result) {
  const KeySegments segments = key_segments(tile.begin, tile.end);
  for (int i = 0; i < 3; ++i) {
    if (segments.begin[i] >= segments.end[i])
      continue;
    if (segments.vector[i] == 2)
      key_segment<S, Step, 2>(tile, segments.begin[i], segments.end[i], 0, result);
    else
      key_segment<S, Step, 1>(tile, segments.begin[i], segments.end[i], segments.vector[i], result);
  }
}

template <class S>
bool exp_scores(const AttentionTile<typename S::Scalar> &tile, typename S::Scalar limit) {
  S::store(tile.sums, S::zero());
  S::store(tile.sums + S::kLanes, S::zero());
  if (tile.kept != nullptr && tile.bits != nullptr)
    all_segments<S, ExpScores<S, true, true>>(tile, tile.sums);
  else if (tile.kept != nullptr)
    all_segments<S, ExpScores<S, false, true>>(tile, tile.sums);
  else if (tile.bits != nullptr)
    all_segments<S, ExpScores<S, true, false>>(tile, tile.sums);
  else
    all_segments<S, ExpScores<S, false, false>>(tile, tile.sums);
  return S::all_at_most(S::load(tile.sums), limit) &&
         S::all_at_most(S::load(tile.sums + S::kLanes), limit);
}

template <class S>
void max_scores(const AttentionTile<typename S::Scalar> &tile, typename S::Scalar *max) {
  const typename S::V lowest = S::set(-static_cast<typename S::Scalar>(__builtin_inf()));
  S::store(max, lowest);
  S::store(max + S::kLanes, lowest);
  all_segments<S, MaxScores<S>>(tile, max);
}

// ---- Values -------------------------------------------------------------------

// o[i, vectors] += sum over keys of v[key, i] * p[key, vectors] for kR features.
template <class S, int kR, int kN>
ATTENTIVE_INLINE void value_rows(const AttentionTile<typename S::Scalar> &tile, Index feature,
                                 Index begin, Index end, int vector) {
  using T = typename S::Scalar;
  using V = typename S::V;
  V acc[kR][kN];
  zero_rows<S, kR, kN>(acc);
  const T *p = tile.p + vector * S::kLanes;
  const T *v = tile.v + feature;
  for (Index s = begin; s < end; ++s) {
    V b[kN];
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n)
      b[n] = S::load(p + (s * 2 + n) * S::kLanes);
    ATTENTIVE_UNROLL
    for (int r = 0; r < kR; ++r) {
      const V a = S::set(v[s * tile.v_stride + r]);
      ATTENTIVE_UNROLL
      for (int n = 0; n < kN; ++n)
        acc[r][n] = S::fma(a, b[n], acc[r][n]);
    }
  }
  T *o = tile.o + (feature * 2 + vector) * S::kLanes;
  ATTENTIVE_UNROLL
  for (int r = 0; r < kR; ++r) {
    ATTENTIVE_UNROLL
    for (int n = 0; n < kN; ++n) {
      T *to = o + (r * 2 + n) * S::kLanes;
      S::store(to, S::add(S::load(to), acc[r][n]));
    }
  }
}

template <class S, int kN, int kR>
ATTENTIVE_INLINE void last_value_rows(const AttentionTile<typename S::Scalar> &tile, Index feature,
                                      int left, Index begin, Index end, int vector) {
  if constexpr (kR > 0) {
    if (left == kR)
      value_rows<S, kR, kN>(tile, feature, begin, end, vector);
    else
      last_value_rows<S, kN, kR - 1>(tile, feature, left, begin, end, vector);
  }
}

template <class S, int kN>
void value_segment(const AttentionTile<typename S::Scalar> &tile, Index begin, Index end,
                   int vector) {
  Index i = 0;
  for (; i + S::kRows <= tile.value_size; i += S::kRows)
    value_rows<S, S::kRows, kN>(tile, i, begin, end, vector);
  last_value_rows<S, kN, S::kRows - 1>(tile, i, static_cast<int>(tile.value_size - i), begin, end,
                                       vector);
}

template <class S> void add_values(const AttentionTile<typename S::Scalar> &tile) {
  const KeySegments segments = key_segments(tile.begin, tile.end);
  for (int i = 0; i < 3; ++i) {
    if (segments.begin[i] >= segments.end[i])
      continue;
    if (segments.vector[i] == 2)
      value_segment<S, 2>(tile, segments.begin[i], segments.end[i], 0);
    else
      value_segment<S, 1>(tile, segments.begin[i], segments.end[i], segments.vector[i]);
  }
}

template <class S> void add_seen_values(const AttentionTile<typename S::Scalar> &tile) {
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  for (int vector = 0; vector < 2; ++vector)
    for (Index i = 0; i < tile.value_size; ++i) {
      V acc = S::zero();
      for (Index s = tile.begin[vector]; s < tile.end[vector]; ++s) {
        const V p = S::load(tile.p + (s * 2 + vector) * kLanes);
        const V sum = S::fma(S::set(tile.v[s * tile.v_stride + i]), p, acc);
        acc = tile.bits == nullptr ? sum : S::select(tile.bits[s] >> (vector * kLanes), sum, acc);
      }
      typename S::Scalar *to = tile.o + (i * 2 + vector) * kLanes;
      S::store(to, S::add(S::load(to), acc));
    }
}

template <class S>
void raise_maximum(const typename S::Scalar *max, typename S::Scalar *offset,
                   typename S::Scalar *total, typename S::Scalar *o, Index value_size) {
  using T = typename S::Scalar;
  using V = typename S::V;
  constexpr int kLanes = S::kLanes;
  const V largest = S::set(sizeof(T) == 4 ? T(__FLT_MAX__) : T(__DBL_MAX__));
  for (int vector = 0; vector < 2; ++vector) {
    T *const at = offset + vector * kLanes;
    const V before = S::load(at);
    // Held as minus the maximum, and finite: Inf - Inf would be NaN.
    const V held = S::sub(S::zero(), before);
    V raised = S::max(S::load(max + vector * kLanes), held);
    raised = S::sub(S::zero(), S::max(S::sub(S::zero(), raised), S::sub(S::zero(), largest)));
    V exponent[1] = {S::sub(held, raised)};
    S::exp2(exponent);
    const V factor = exponent[0];
    S::store(at, S::sub(S::zero(), raised));
    T *const sum = total + vector * kLanes;
    S::store(sum, S::mul(S::load(sum), factor));
    for (Index i = 0; i < value_size; ++i) {
      T *const row = o + (i * 2 + vector) * kLanes;
      S::store(row, S::mul(S::load(row), factor));
    }
  }
}

template <class S> AttentionKernels<typename S::Scalar> attention_kernels() {
  AttentionKernels<typename S::Scalar> table;
  table.lanes = S::kLanes;
  table.rows = S::kRows;
  table.pack_rows = pack_rows<S>;
  table.unpack_rows = unpack_rows<S>;
  table.exp_scores = exp_scores<S>;
  table.max_scores = max_scores<S>;
  table.add_values = add_values<S>;
  table.add_seen_values = add_seen_values<S>;
  table.raise_maximum = raise_maximum<S>;
  return table;
}
