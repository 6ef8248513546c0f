// The hot loops of the tiled core. Queries are lanes: a group is two vectors of
// them, L = 2 * lanes queries, and whatever belongs to a group is stored with
// the lane as its last axis. Scores are base-2 exponents: scale * log2(e) is
// folded into the packed queries.
//
// Letters: L lanes of a group, K key size, V value size.
#pragma once

#include "../tensor.h"

namespace attentive {

// The largest L of any level; a word of bits has one bit for each lane.
constexpr int kMaxGroup = 32;

// One group of queries against one tile of keys. Vector j of the group (lanes
// j * L / 2 onwards) works on the keys from begin[j] to end[j] only; outside of
// them p is neither written nor read.
template <class T> struct AttentionTile {
  const T *q = nullptr; // [K, L]
  const T *k = nullptr; // key s at k + s * k_stride
  const T *v = nullptr; // value s at v + s * v_stride
  Index k_stride = 0, v_stride = 0;
  Index key_size = 0, value_size = 0; // K, V
  int begin[2] = {0, 0}, end[2] = {0, 0};
  const std::uint32_t *bits = nullptr; // [keys]: the lanes that see a key; null: all
  const std::uint32_t *kept = nullptr; // [keys]: the lanes whose weight dropout keeps; null: all
  const T *offset = nullptr;           // [L] added to every score, minus the held maximum
  // Of each row of the next tile one cache line, fetched on the way by
  // exp_scores while it works on the same row of this one. Null: nothing.
  const T *next_k = nullptr, *next_v = nullptr;
  Index next_k_stride = 0, next_v_stride = 0;
  T *p = nullptr;                      // [keys, L]
  T *sums = nullptr;                   // [L] sums of p over the keys
  T *o = nullptr;                      // [V, L] sum of p v over all tiles so far
};

template <class T> struct AttentionKernels {
  int lanes = 0; // of one vector
  int rows = 0;  // keys or features of a register tile

  // packed[size, L] = scale times the transpose of `count` rows; the lanes from
  // `count` on become 0.
  void (*pack_rows)(const T *const *rows, int count, Index size, T scale, T *packed) = nullptr;

  // rows[lane][i] = packed[i, lane] * factor[lane] for lanes below `count`.
  // False if any number of the group is not finite. Scales `packed` in place.
  bool (*unpack_rows)(T *packed, const T *factor, Index size, int count,
                      T *const *rows) = nullptr;

  // p = exp2(score + offset), exactly 0 where a lane does not see a key; sums;
  // then p = 0 where dropout does not keep it. False if a sum is above `limit`
  // or NaN.
  bool (*exp_scores)(const AttentionTile<T> &tile, T limit) = nullptr;

  // max[L] = the largest score that each lane sees, -Inf where it sees none;
  // NaN is passed over.
  void (*max_scores)(const AttentionTile<T> &tile, T *max) = nullptr;

  // o += p v.
  void (*add_values)(const AttentionTile<T> &tile) = nullptr;

  // The same, never touching a value that the lane does not see.
  void (*add_seen_values)(const AttentionTile<T> &tile) = nullptr;

  // Raises the held maximum to max[L] where that is larger: offset, and with it
  // total[L] and o[V, L].
  void (*raise_maximum)(const T *max, T *offset, T *total, T *o, Index value_size) = nullptr;
};

} // namespace attentive
