// The hot loops of layer normalisation; contracts in normalization_table.h.

// F::step<whole>(state, i, n) for the vectors of a row.
template <class S, class F> ATTENTIVE_INLINE void each_vector(F &state, Index size) {
  Index i = 0;
  for (; i + S::kLanes <= size; i += S::kLanes)
    F::template step<true>(state, i, S::kLanes);
  if (i < size)
    F::template step<false>(state, i, static_cast<int>(size - i));
}

// v, 0 in the lanes that are not there.
template <class S, bool kWhole> ATTENTIVE_INLINE typename S::V only(typename S::V v, int n) {
  return kWhole ? v : S::keep(v, (1u << n) - 1);
}

template <class S> struct RowSum {
  const typename S::Scalar *x;
  typename S::V sum;
  template <bool kWhole> ATTENTIVE_INLINE void step(RowSum &s, Index i, int n) {
    s.sum = S::add(s.sum, fetch<S, kWhole>(s.x + i, n));
  }
};

template <class S> struct RowSquares {
  const typename S::Scalar *x;
  typename S::V center, sum;
  template <bool kWhole> ATTENTIVE_INLINE void step(RowSquares &s, Index i, int n) {
    const typename S::V d = only<S, kWhole>(S::sub(fetch<S, kWhole>(s.x + i, n), s.center), n);
    s.sum = S::fma(d, d, s.sum);
  }
};

template <class S> struct NormalizeRow {
  const typename S::Scalar *x, *gamma, *beta;
  typename S::Scalar *y;
  typename S::V shift, scale;
  template <bool kWhole> ATTENTIVE_INLINE void step(NormalizeRow &s, Index i, int n) {
    typename S::V v = S::mul(S::sub(fetch<S, kWhole>(s.x + i, n), s.shift), s.scale);
    if (s.gamma != nullptr)
      v = S::mul(v, fetch<S, kWhole>(s.gamma + i, n));
    if (s.beta != nullptr)
      v = S::add(v, fetch<S, kWhole>(s.beta + i, n));
    if (kWhole)
      S::store(s.y + i, v);
    else
      S::store_first(s.y + i, v, n);
  }
};

template <class S>
void normalize_rows(const NormalizationRows<typename S::Scalar> &rows, typename S::Scalar *y) {
  using T = typename S::Scalar;
  const T share = T(1) / static_cast<T>(rows.size);
  for (Index row = 0; row < rows.rows; ++row) {
    const T *const x = rows.x + row * rows.size;
    T center = 0;
    if (rows.around_mean) {
      RowSum<S> total = {x, S::zero()};
      each_vector<S>(total, rows.size);
      center = S::sum(total.sum) * share;
    }
    RowSquares<S> squares = {x, S::set(center), S::zero()};
    each_vector<S>(squares, rows.size);
    const T variance = S::sum(squares.sum) * share + rows.epsilon;
    T scale[S::kLanes];
    S::store(scale, S::div(S::set(1), S::sqrt(S::set(variance))));
    rows.center[row] = center;
    rows.scale[row] = scale[0];
    NormalizeRow<S> made = {x,
                            rows.gamma,
                            rows.beta,
                            y + row * rows.size,
                            S::set(rows.subtracts ? center : T(0)),
                            S::set(scale[0])};
    each_vector<S>(made, rows.size);
  }
}

// sum of g and of g (x - shift)
template <class S> struct RowGradientSums {
  const typename S::Scalar *x, *gamma, *d_y;
  typename S::V shift, sum, product;
  template <bool kWhole> ATTENTIVE_INLINE void step(RowGradientSums &s, Index i, int n) {
    typename S::V g = fetch<S, kWhole>(s.d_y + i, n);
    if (s.gamma != nullptr)
      g = S::mul(g, fetch<S, kWhole>(s.gamma + i, n));
    s.sum = S::add(s.sum, g);
    s.product =
        S::fma(g, only<S, kWhole>(S::sub(fetch<S, kWhole>(s.x + i, n), s.shift), n), s.product);
  }
};

// scale (g - mean - slope (x - center))
template <class S> struct RowGradient {
  const typename S::Scalar *x, *gamma, *d_y;
  typename S::Scalar *d_x;
  typename S::V center, scale, mean, slope;
  bool accumulate;
  template <bool kWhole> ATTENTIVE_INLINE void step(RowGradient &s, Index i, int n) {
    typename S::V g = fetch<S, kWhole>(s.d_y + i, n);
    if (s.gamma != nullptr)
      g = S::mul(g, fetch<S, kWhole>(s.gamma + i, n));
    const typename S::V d = S::sub(fetch<S, kWhole>(s.x + i, n), s.center);
    typename S::V v = S::mul(s.scale, S::sub(S::sub(g, s.mean), S::mul(s.slope, d)));
    if (s.accumulate)
      v = S::add(fetch<S, kWhole>(s.d_x + i, n), v);
    if (kWhole)
      S::store(s.d_x + i, v);
    else
      S::store_first(s.d_x + i, v, n);
  }
};

template <class S>
void normalization_backward(const NormalizationRows<typename S::Scalar> &rows,
                            const typename S::Scalar *d_y, typename S::Scalar *d_x,
                            bool accumulate) {
  using T = typename S::Scalar;
  const T share = T(1) / static_cast<T>(rows.size);
  for (Index row = 0; row < rows.rows; ++row) {
    const Index at = row * rows.size;
    const T center = rows.center[row], scale = rows.scale[row];
    RowGradientSums<S> sums = {rows.x + at, rows.gamma,
                               d_y + at,    S::set(rows.subtracts ? center : T(0)),
                               S::zero(),   S::zero()};
    each_vector<S>(sums, rows.size);
    const T mean = rows.subtracts ? S::sum(sums.sum) * share : T(0);
    const T slope = S::sum(sums.product) * share * scale * scale;
    RowGradient<S> gradient = {rows.x + at,  rows.gamma,     d_y + at,
                               d_x + at,     S::set(center), S::set(scale),
                               S::set(mean), S::set(slope),  accumulate};
    each_vector<S>(gradient, rows.size);
  }
}

// One vector of columns down all rows.
template <class S> struct ColumnSums {
  const NormalizationRows<typename S::Scalar> *rows;
  const typename S::Scalar *d_y;
  typename S::Scalar *d_gamma, *d_beta;
  template <bool kWhole> ATTENTIVE_INLINE void step(ColumnSums &s, Index i, int n) {
    using T = typename S::Scalar;
    typename S::V gamma = S::zero(), beta = S::zero();
    for (Index row = 0; row < s.rows->rows; ++row) {
      const Index at = row * s.rows->size + i;
      const typename S::V g = fetch<S, kWhole>(s.d_y + at, n);
      const typename S::V shift = S::set(s.rows->subtracts ? s.rows->center[row] : T(0));
      const typename S::V u =
          S::mul(S::sub(fetch<S, kWhole>(s.rows->x + at, n), shift), S::set(s.rows->scale[row]));
      gamma = S::fma(g, u, gamma);
      beta = S::add(beta, g);
    }
    if (kWhole) {
      S::store(s.d_gamma + i, gamma);
      S::store(s.d_beta + i, beta);
    } else {
      S::store_first(s.d_gamma + i, gamma, n);
      S::store_first(s.d_beta + i, beta, n);
    }
  }
};

template <class S>
void normalization_weights(const NormalizationRows<typename S::Scalar> &rows,
                           const typename S::Scalar *d_y, typename S::Scalar *d_gamma,
                           typename S::Scalar *d_beta) {
  ColumnSums<S> sums = {&rows, d_y, d_gamma, d_beta};
  each_vector<S>(sums, rows.size);
}

template <class S> NormalizationKernels<typename S::Scalar> normalization_kernels() {
  NormalizationKernels<typename S::Scalar> table;
  table.forward = normalize_rows<S>;
  table.backward = normalization_backward<S>;
  table.weights = normalization_weights<S>;
  return table;
}
