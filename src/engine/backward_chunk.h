// One task of the backward pass: the query heads that share a key/value head,
// against a part of its keys.
//
// Letters as in attention.h; L lanes of a group; Q = 64 queries of a block.
#pragma once

#include <vector>

#include "attention_tiles.h"
#include "dropout.h"

namespace attentive {

// What is the same for all tasks of a call.
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
};

// Queries of a block.
constexpr int kBackwardQueries = 64;

// Keys of the longest part that a thread holds at once, packed with their
// gradients.
template <class T> Index backward_part_keys(const BackwardCall<T> &call);

// What one thread works in; its size does not grow with T, S, B or H. Sizes in
// the order of the members: keys are those of a part, and of a tile.
template <class T> struct BackwardScratch {
  Buffer<T> memory;
  T *k, *v, *d_k, *d_v;              // [keys, Kp or Vp]
  T *q_rows, *d_out_rows;            // [Q, Kp or Vp]
  T *q, *d_out, *d_q;                // [groups, K or V or K, L]
  T *offset, *delta;                 // [groups, L]
  T *p, *d_s;                        // [groups, keys, L]
  T *d_scores;                       // [keys, L]
  T *rows;                           // [L, K]
  std::vector<std::uint8_t> careful; // [tiles] of a part: something is not finite

  explicit BackwardScratch(const BackwardCall<T> &call);
};

// d_k and d_v of keys [first, last) of key/value head g of element n; d_q, a view
// whose elements are all this one, gets what these keys contribute.
template <class T>
void backward_chunk(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n, Index g,
                    Index first, Index last, HeadView<T> d_q);

// score_delta of the queries of one block.
template <class T>
void backward_score_delta(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n,
                          Index h, Index block, T *score_delta);

} // namespace attentive
