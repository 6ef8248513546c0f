// One vector of numbers under Adam; `n` of its lanes count.
template <class S, bool kWhole>
ATTENTIVE_INLINE void adam_vector(const AdamArrays<typename S::Scalar> &a, Index i, int n,
                                  typename S::Scalar fresh_1, typename S::Scalar fresh_2,
                                  typename S::Scalar rate, typename S::Scalar epsilon) {
  using V = typename S::V;
  const V g = kWhole ? S::load(a.gradient + i) : S::load_first(a.gradient + i, n);
  V m = kWhole ? S::load(a.momentum + i) : S::load_first(a.momentum + i, n);
  V v = kWhole ? S::load(a.velocity + i) : S::load_first(a.velocity + i, n);
  V w = kWhole ? S::load(a.weight + i) : S::load_first(a.weight + i, n);
  m = S::fma(S::sub(g, m), S::set(fresh_1), m);
  v = S::fma(S::sub(S::mul(g, g), v), S::set(fresh_2), v);
  V size = v;
  if (a.largest != nullptr) {
    size = S::max(kWhole ? S::load(a.largest + i) : S::load_first(a.largest + i, n), v);
    if (kWhole)
      S::store(a.largest + i, size);
    else
      S::store_first(a.largest + i, size, n);
  }
  w = S::sub(w, S::div(S::mul(m, S::set(rate)), S::add(S::sqrt(size), S::set(epsilon))));
  if (kWhole) {
    S::store(a.momentum + i, m);
    S::store(a.velocity + i, v);
    S::store(a.weight + i, w);
  } else {
    S::store_first(a.momentum + i, m, n);
    S::store_first(a.velocity + i, v, n);
    S::store_first(a.weight + i, w, n);
  }
}

template <class S>
void adam_update(Index size, const AdamArrays<typename S::Scalar> &arrays,
                 typename S::Scalar fresh_1, typename S::Scalar fresh_2, typename S::Scalar rate,
                 typename S::Scalar epsilon) {
  Index i = 0;
  for (; i + S::kLanes <= size; i += S::kLanes)
    adam_vector<S, true>(arrays, i, S::kLanes, fresh_1, fresh_2, rate, epsilon);
  if (i < size)
    adam_vector<S, false>(arrays, i, static_cast<int>(size - i), fresh_1, fresh_2, rate, epsilon);
}

template <class S> OptimizerKernels<typename S::Scalar> optimizer_kernels() {
  OptimizerKernels<typename S::Scalar> table;
  table.adam = adam_update<S>;
  return table;
}
