// What the tasks of one backward pass share, and what each thread works in.
//
// Letters as in attention.h; L lanes of a group, Q queries of a block; Kp and Vp
// are K and V rounded up to whole vectors.
#pragma once

#include <vector>

#include "attention_tiles.h"
#include "dropout.h"

namespace attentive {

// Queries of a block (Q).
constexpr int kBackwardQueries = 64;

inline Index rounded_up(Index size, Index multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

// Rows of different tokens lie apart, where the processor does not look ahead.
template <class T> void fetch_row(const T *row, Index size) {
  constexpr Index kLine = 64 / sizeof(T);
  for (Index i = 0; i < size; i += kLine)
    __builtin_prefetch(row + i);
}

template <class T> struct BackwardCall {
  const AttentionShape &shape;
  HeadView<const T> q, k, v;
  const AttentionOptions &options;
  HeadView<const T> out;
  const T *lse;
  HeadView<const T> d_out;
  const T *d_scores;
  const T *score_delta; // [N, H, T] row sums of scores * d_scores, or null
  HeadView<T> d_k, d_v;
  const Kernels<T> &kernels;
  DropoutMask dropout;

  Index row(Index n, Index h, Index t) const { return (n * shape.heads + h) * shape.queries + t; }

  // Keys of a part: as many as a thread holds at once, packed with their gradients.
  Index part_keys() const;
};

// What one thread works in: about 2.5 MiB at most for the usual head sizes,
// whatever B, H, T and S. Keys are those of a part, or of a tile.
template <class T> struct BackwardScratch {
  Buffer<T> memory;
  Index k_stride, v_stride;          // Kp, Vp
  T *k, *v, *d_k, *d_v;              // [keys, Kp or Vp]
  T *q_rows, *d_out_rows;            // [Q, Kp or Vp]
  T *q, *d_out, *d_q;                // [groups, K or V or K, L]
  T *offset, *delta;                 // [groups, L]
  T *p, *d_s;                        // [groups, keys, L]
  T *d_scores;                       // [keys, L]
  T *rows, *out;                     // [L, K], [V, L]
  std::vector<std::uint8_t> careful; // [tiles] of a part: something is not finite

  explicit BackwardScratch(const BackwardCall<T> &call);
};

// d_k and d_v of keys [first, last), at most a part, of key/value head g of
// element n. What they contribute to d_q, a view whose elements are all this
// one, is written there or added.
template <class T>
void backward_part(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n, Index g,
                   Index first, Index last, bool add, HeadView<T> d_q);

// score_delta of the queries of one block, added to what is there.
template <class T>
void backward_score_delta(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n,
                          Index h, Index block, T *score_delta);

} // namespace attentive
