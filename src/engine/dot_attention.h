// Dot-product attention without projections: what layer_attention() of Keras
// computes with score_mode "dot" (Luong et al. 2015). It is the core with one
// head, and rows of queries that do not take part are 0 afterwards.
//
// Letters as in attention.h, with H = G = 1.
#pragma once

#include "attention.h"

namespace attentive {

// Inputs of attention without projections; row-major.
template <class T> struct PlainInputs {
  const T *query = nullptr; // [N, T, K]
  const T *key = nullptr;   // [N, S, K]
  const T *value = nullptr; // [N, S, V]
};

// Where their gradients go, each on its own even where two inputs are equal.
template <class T> struct PlainGradients {
  T *query = nullptr, *key = nullptr, *value = nullptr;
};

// A row-major array [N, tokens, size] as rows of one head.
template <class T> HeadView<T> one_head(T *data, Index tokens, Index size) {
  return {data, tokens * size, size, size};
}

// output [N, T, V]; scores.data null: not wanted, else those after dropout.
// options.mask.query does not touch the scores: it sets rows of the output to 0.
template <class T>
void dot_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                           AttentionOptions options, T *output, const ScoreView &scores,
                           const Execution &execution);

// d_output [N, T, V]; d_scores [N, T, S], row-major, the gradient that arrives
// at the scores after dropout, or null. Overwrites d_inputs and d_scale, the
// gradient of options.scale (null: not wanted).
template <class T>
void dot_attention_backward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                            AttentionOptions options, const T *d_output, const T *d_scores,
                            const PlainGradients<T> &d_inputs, T *d_scale,
                            const Execution &execution);

} // namespace attentive
