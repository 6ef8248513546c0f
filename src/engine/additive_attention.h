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
  T inside = 1, outside = 1;
};

// output [N, T, V]; scores.data null: not wanted; options.scale is not used.
// options.mask.query does not touch the scores: it sets rows of the output to 0.
template <class T>
void additive_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                const AdditiveScore<T> &score, const AttentionOptions &options,
                                T *output, const ScoreView &scores, const Execution &execution);

} // namespace attentive
