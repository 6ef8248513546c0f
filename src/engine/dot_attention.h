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

// A row-major array [N, tokens, size] as rows of one head.
template <class T> HeadView<T> one_head(T *data, Index tokens, Index size) {
  return {data, tokens * size, size, size};
}

// output [N, T, V]; scores.data null: not wanted. options.mask.query does not
// touch the scores: it sets rows of the output to 0.
template <class T>
void dot_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                           AttentionOptions options, T *output, const ScoreView &scores,
                           const Execution &execution);

} // namespace attentive
