// The core: exact softmax attention of projected queries, keys and values.
//   scores[n, h, t, s] = softmax over s of scale * <q[n, t, h, :], k[n, s, g, :]>
//   out[n, t, h, :]    = sum over s of scores[n, h, t, s] * v[n, s, g, :]
// with g = h / (H / G), the key/value head that query head h shares. A query
// that may see nothing has scores 0 and out 0. (Vaswani et al. 2017, eq. 1;
// grouped heads: Ainslie et al. 2023.)
//
// Letters: B batch, F other axes that are not attended over, N = B * F, T
// queries, S keys, H heads, G key/value heads, K key size, V value size.
#pragma once

#include "mask.h"
#include "parallel.h"
#include "tensor.h"

namespace attentive {

struct AttentionShape {
  Index batch = 0, free = 1; // B, F
  Index queries = 0, keys = 0; // T, S
  Index heads = 0, groups = 0; // H, G; H is a multiple of G
  Index key_size = 0, value_size = 0; // K, V
  Index elements() const { return batch * free; } // N
};

// Rows of heads inside a larger array: entry (n, token, head, i) is
// data[n * element + token * token_stride + head * head_stride + i].
template <class T> struct HeadView {
  T *data = nullptr;
  Index element = 0, token_stride = 0, head_stride = 0;
  T *row(Index n, Index token, Index head) const {
    return data + n * element + token * token_stride + head * head_stride;
  }
};

// Dropout of the scores; the mask is a pure function of these numbers and of
// (batch_offset + b, f, h, t, s), so it costs no memory.
struct Dropout {
  double rate = 0; // 0: none; 1: everything is dropped
  std::uint64_t seed = 0, call = 0;
  Index batch_offset = 0;
};

struct AttentionOptions {
  double scale = 1;
  Mask mask;
  Dropout dropout;
};

// Where scores are written: entry (b, f, h, t, s) with its strides, any order.
// With mean_over_heads the head stride is not used.
struct ScoreView {
  double *data = nullptr;
  Index batch = 0, free = 0, head = 0, query = 0, key = 0;
  bool mean_over_heads = false;
};

// Forward. lse[n, h, t] (may be null) receives log2 of the sum of
// exp(scale * <q, k>) over the keys that t sees, -Inf where there is none: to the
// base in which kernels hold scores, so that it is rounded once.
template <class T>
void attention_forward(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                       HeadView<const T> v, const AttentionOptions &options, HeadView<T> out,
                       T *lse, const Execution &execution);

// The scores before dropout, streamed from the log-sum-exp of a forward pass.
template <class T>
void attention_scores(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                      const AttentionOptions &options, const T *lse, const ScoreView &scores,
                      const Execution &execution);

// Backward of both functions above, recomputing the scores from lse; memory
// linear in T and S. d_out[n, t, h, :] is the gradient that arrives at out;
// d_scores[n, h, t, s], row-major, the one that arrives at the scores before
// dropout (null: none). Overwrites d_q, d_k and d_v. Pairs that the mask
// forbids, and queries that see nothing, contribute exactly 0. out and lse are
// those of the forward pass with the same options.
template <class T>
void attention_backward(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                        HeadView<const T> v, const AttentionOptions &options,
                        HeadView<const T> out, const T *lse, HeadView<const T> d_out,
                        const T *d_scores, HeadView<T> d_q, HeadView<T> d_k, HeadView<T> d_v,
                        const Execution &execution);

} // namespace attentive
