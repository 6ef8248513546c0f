// The n <= kLanes numbers at p; 0 in the other lanes.
template <class S> ATTENTIVE_INLINE typename S::V load_part(const typename S::Scalar *p, Index n) {
  return n >= S::kLanes ? S::load(p) : S::load_first(p, static_cast<int>(n));
}
template <class S>
ATTENTIVE_INLINE void store_part(typename S::Scalar *p, typename S::V v, Index n) {
  if (n >= S::kLanes)
    S::store(p, v);
  else
    S::store_first(p, v, static_cast<int>(n));
}
// v with 0 in the lanes from n on.
template <class S> ATTENTIVE_INLINE typename S::V keep_part(typename S::V v, Index n) {
  return n >= S::kLanes ? v : S::keep(v, (1u << n) - 1);
}

template <class S>
void add_rows(Index size, const typename S::Scalar *a, const typename S::Scalar *b,
              typename S::Scalar *y) {
  for (Index i = 0; i < size; i += S::kLanes)
    store_part<S>(y + i, S::add(load_part<S>(a + i, size - i), load_part<S>(b + i, size - i)),
                  size - i);
}

template <class S>
void add_to_rows(Index size, const typename S::Scalar *x, typename S::Scalar *y) {
  add_rows<S>(size, y, x, y);
}

// Sums of some rows first, then of those: rounding grows with the square root of
// the number of rows.
template <class S>
void sum_columns(Index rows, Index columns, const typename S::Scalar *y, typename S::Scalar *sums) {
  using V = typename S::V;
  constexpr Index kRows = 64;
  for (Index p = 0; p < columns; p += S::kLanes) {
    V total = S::zero();
    for (Index first = 0; first < rows; first += kRows) {
      const Index end = first + kRows < rows ? first + kRows : rows;
      V even = S::zero(), odd = S::zero();
      Index m = first;
      for (; m + 2 <= end; m += 2) {
        even = S::add(even, load_part<S>(y + m * columns + p, columns - p));
        odd = S::add(odd, load_part<S>(y + (m + 1) * columns + p, columns - p));
      }
      if (m < end)
        even = S::add(even, load_part<S>(y + m * columns + p, columns - p));
      total = S::add(total, S::add(even, odd));
    }
    store_part<S>(sums + p, total, columns - p);
  }
}

template <class S>
void normalize_rows(const RowNormalization<typename S::Scalar> &norm, typename S::Scalar *out) {
  using T = typename S::Scalar;
  using V = typename S::V;
  const Index n = norm.size;
  for (Index row = 0; row < norm.rows; ++row) {
    const T *x = norm.x + row * n;
    T *y = out + row * n;
    T center = 0;
    if (norm.measures_center) {
      V sum = S::zero();
      for (Index i = 0; i < n; i += S::kLanes)
        sum = S::add(sum, load_part<S>(x + i, n - i));
      center = S::sum(sum) / static_cast<T>(n);
    }
    V squares = S::zero();
    for (Index i = 0; i < n; i += S::kLanes) {
      const V d = keep_part<S>(S::sub(load_part<S>(x + i, n - i), S::set(center)), n - i);
      squares = S::fma(d, d, squares);
    }
    const T variance = S::sum(squares) / static_cast<T>(n) + norm.epsilon;
    const T scale = T(1) / static_cast<T>(__builtin_sqrt(static_cast<double>(variance)));
    norm.center[row] = center;
    norm.scale[row] = scale;
    const V shift = S::set(norm.centers ? center : T(0)), factor = S::set(scale);
    for (Index i = 0; i < n; i += S::kLanes) {
      V v = S::mul(S::sub(load_part<S>(x + i, n - i), shift), factor);
      if (norm.gamma != nullptr)
        v = S::mul(v, load_part<S>(norm.gamma + i, n - i));
      if (norm.beta != nullptr)
        v = S::add(v, load_part<S>(norm.beta + i, n - i));
      store_part<S>(y + i, v, n - i);
    }
  }
}

// What arrives at the normalized numbers: d_y gamma.
template <class S>
ATTENTIVE_INLINE typename S::V arriving(const typename S::Scalar *d_y,
                                        const typename S::Scalar *gamma, Index i, Index n) {
  const typename S::V g = load_part<S>(d_y + i, n - i);
  return gamma == nullptr ? g : S::mul(g, load_part<S>(gamma + i, n - i));
}

template <class S>
void normalize_rows_backward(const RowNormalization<typename S::Scalar> &norm,
                             const typename S::Scalar *upstream, bool accumulate,
                             typename S::Scalar *out) {
  using T = typename S::Scalar;
  using V = typename S::V;
  const Index n = norm.size;
  for (Index row = 0; row < norm.rows; ++row) {
    const T *x = norm.x + row * n, *d_y = upstream + row * n;
    T *d_x = out + row * n;
    const T scale = norm.scale[row];
    const V center = S::set(norm.center[row]),
            shift = S::set(norm.centers ? norm.center[row] : T(0));
    V sum = S::zero(), product = S::zero();
    for (Index i = 0; i < n; i += S::kLanes) {
      const V g = arriving<S>(d_y, norm.gamma, i, n);
      sum = S::add(sum, g); // both 0 in the lanes behind the row
      product = S::fma(g, S::sub(load_part<S>(x + i, n - i), shift), product);
    }
    const V mean = S::set(norm.centers ? S::sum(sum) / static_cast<T>(n) : T(0));
    const V slope = S::set(S::sum(product) / static_cast<T>(n) * scale * scale);
    for (Index i = 0; i < n; i += S::kLanes) {
      const V u = S::mul(slope, S::sub(load_part<S>(x + i, n - i), center));
      V d = S::mul(S::set(scale), S::sub(S::sub(arriving<S>(d_y, norm.gamma, i, n), mean), u));
      if (accumulate)
        d = S::add(load_part<S>(d_x + i, n - i), d);
      store_part<S>(d_x + i, d, n - i);
    }
  }
}

template <class S>
void normalize_rows_weights(const RowNormalization<typename S::Scalar> &norm,
                            const typename S::Scalar *d_y, typename S::Scalar *d_gamma,
                            typename S::Scalar *d_beta) {
  using T = typename S::Scalar;
  using V = typename S::V;
  const Index n = norm.size;
  for (Index i = 0; i < n; i += S::kLanes) {
    V gamma = S::zero(), beta = S::zero();
    for (Index row = 0; row < norm.rows; ++row) {
      const V g = load_part<S>(d_y + row * n + i, n - i);
      const V shift = S::set(norm.centers ? norm.center[row] : T(0));
      const V u =
          S::mul(S::sub(load_part<S>(norm.x + row * n + i, n - i), shift), S::set(norm.scale[row]));
      gamma = S::fma(g, u, gamma);
      beta = S::add(beta, g);
    }
    store_part<S>(d_gamma + i, gamma, n - i);
    store_part<S>(d_beta + i, beta, n - i);
  }
}

template <class S> RowKernels<typename S::Scalar> row_kernels() {
  RowKernels<typename S::Scalar> table;
  table.add = add_rows<S>;
  table.add_to = add_to_rows<S>;
  table.column_sums = sum_columns<S>;
  table.normalize = normalize_rows<S>;
  table.normalize_backward = normalize_rows_backward<S>;
  table.normalize_weights = normalize_rows_weights<S>;
  return table;
}
