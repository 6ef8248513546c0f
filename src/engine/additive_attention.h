// Additive attention without projections (Bahdanau et al. 2015):
//   score[n, t, s] = outside * sum over i of scale[i] * tanh(inside * (q[n, t, i] + k[n, s, i]))
// followed by softmax over s and the weighted sum of values, as in attention.h.
// layer_additive_attention() of Keras has a scale; layer_attention() with
// score_mode "concat" has the two numbers. T x S x K is never held.
//
// Letters as in attention.h, with H = G = 1.
#pragma once

#include "attention.h"
#include "dot_attention.h"

namespace attentive {

template <class T> struct AdditiveScore {
  const T *scale = nullptr; // [K]; null: all 1
  T inside = T(1), outside = T(1);
};

// output [N, T, V]; scores.data null: not wanted, else those after dropout;
// options.scale is not used.
// options.mask.query does not touch the scores: it sets rows of the output to 0.
template <class T>
void additive_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                const AdditiveScore<T> &score, const AttentionOptions &options,
                                T *output, const ScoreView &scores, const Execution &execution);

// Where gradients go; null: not wanted. d_scale [K], one number each of the others.
template <class T> struct AdditiveScoreGradient {
  T *scale = nullptr, *inside = nullptr, *outside = nullptr;
};

// d_output [N, T, V]; d_scores [N, T, S], row-major, the gradient that arrives
// at the scores after dropout, or null. Overwrites d_inputs (query [N, T, K],
// key [N, S, K], value [N, S, V], each on its own) and d_score. Pairs that the
// mask forbids contribute exactly 0, as do outputs of queries that do not take
// part.
template <class T>
void additive_attention_backward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                 const AdditiveScore<T> &score, const AttentionOptions &options,
                                 const T *d_output, const T *d_scores,
                                 const PlainGradients<T> &d_inputs,
                                 const AdditiveScoreGradient<T> &d_score,
                                 const Execution &execution);

} // namespace attentive
