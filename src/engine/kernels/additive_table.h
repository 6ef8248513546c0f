// The hot loops of additive attention. Queries are lanes, as in
// attention_table.h: a group is two vectors of them, L = 2 * lanes queries.
// Scores are base-2 exponents.
//
// Letters: L lanes of a group, K key size.
#pragma once

#include "../tensor.h"

namespace attentive {

// One group of queries against the keys [begin, end).
template <class T> struct AdditiveTile {
  const T *q = nullptr; // [K, L]
  const T *k = nullptr; // key s at k + s * k_stride
  Index k_stride = 0, key_size = 0;
  const T *scale = nullptr; // [K]
  T inside = 0;             // 2 log2(e) times the factor inside of tanh
  T outside = 0;            // 2 log2(e) times the factor of the sum
  Index begin = 0, end = 0;
  const std::uint32_t *bits = nullptr; // [keys]: the lanes that see a key; null: all
  T *p = nullptr;                      // [keys, L]
  int vectors = 2;                     // that hold queries: 1 or 2
};

// The same group with g[S, L], the gradient of the scores, exactly 0 where a
// lane does not see a key. With x = inside * (q + k), all of these are added to:
template <class T> struct AdditiveGradient {
  const T *g = nullptr;
  T *d_q = nullptr; // [K, L] sum over keys of g scale (1 - tanh(x)^2)
  T *d_k = nullptr; // [S, K] the same summed over queries
  T *d_e = nullptr; // [K, L] sum over keys of g tanh(x)
};

template <class T> struct AdditiveKernels {
  // p = outside / 2 times the sum of scale tanh(...), max[L] = the largest that
  // each lane sees, -Inf where it sees none; NaN is passed over. Each tanh has
  // an absolute error below 2.5e-7 (float) or 6e-16 (double).
  void (*scores)(const AdditiveTile<T> &tile, T *max) = nullptr;

  // p = exp2(p - max), exactly 0 where a lane does not see a key; sums[L].
  void (*exp_scores)(const AdditiveTile<T> &tile, const T *max, T *sums) = nullptr;

  void (*differentiate)(const AdditiveTile<T> &tile, const AdditiveGradient<T> &to) = nullptr;
};

} // namespace attentive
