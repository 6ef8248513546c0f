// The hot loops of the backward pass. A block of queries is a few groups, as in
// attention_table.h; what belongs to a tile of keys is padded to a multiple of
// `rows` keys, which no lane sees.
//
// Letters: L lanes of a group, K key size, V value size; Kp and Vp are those
// rounded up to whole vectors.
#pragma once

#include "../tensor.h"

namespace attentive {

// One group of queries against one tile of keys.
template <class T> struct BackwardTile {
  const T *q = nullptr;             // [K, L], scale * log2(e) folded in
  const T *d_out = nullptr;         // [V, L], the scale of dropout folded in
  const T *k = nullptr;             // [keys, Kp]
  const T *v = nullptr;             // [keys, Vp]
  Index k_stride = 0, v_stride = 0; // Kp, Vp
  Index key_size = 0, value_size = 0;
  int begin[2] = {0, 0}, end[2] = {0, 0}; // the keys of each vector, in whole `rows`
  const std::uint32_t *seen = nullptr;    // [keys]: the lanes that see a key; null: all
  const std::uint32_t *kept = nullptr;    // [keys]: the lanes that dropout leaves; null: all
  const T *offset = nullptr;              // [L] minus the log-sum-exp, base 2
  const T *delta = nullptr;               // [L] minus the row sum of scores * their gradients
  const T *d_scores = nullptr;            // [keys, L] gradient before dropout, or null
  T *p = nullptr;                         // [keys, L] scores, 0 where dropped
  T *d_s = nullptr;                       // [keys, L] gradient of scale * <q, k>
};

// to[row, size] += sum over queries of weights[row, query] * x[query, size].
// Lane l of group g is query g * L + l.
template <class T> struct WeightedRows {
  const T *weights = nullptr; // weight of lane l of group g at weights[g * group + row * L + l]
  Index group = 0;
  const T *x = nullptr;   // [queries, size]
  T *to = nullptr;        // [rows, size]
  Index size = 0;         // whole vectors
  int begin = 0, end = 0; // of the queries that count; the others are not read
};

template <class T> struct BackwardKernels {
  int lanes = 0; // of one vector
  int rows = 0;  // keys of a register tile

  // to[count, stride] = factor * rows, zeros from `size` on; stride in whole vectors.
  // False if any number is not finite.
  bool (*load_rows)(const T *const *rows, int count, Index size, Index stride, T factor,
                    T *to) = nullptr;

  // dots[L] = column sums of x[size, L] * y[size, L]. Where y is a row of v, that is
  // what differentiate() finds for its key, to the bit.
  void (*dot_columns)(const T *x, const T *y, Index size, T *dots) = nullptr;

  // p and d_s of the keys from begin to end, exactly 0 where a lane does not see a key.
  void (*differentiate)(const BackwardTile<T> &tile) = nullptr;

  // For `rows` rows.
  void (*add_weighted_rows)(const WeightedRows<T> &sum) = nullptr;

  // For one row, whose weights and x are read only where the bit of the query
  // is set: bit l of seen[g] is lane l of group g.
  void (*add_seen_rows)(const WeightedRows<T> &sum, const std::uint32_t *seen) = nullptr;
};

} // namespace attentive
