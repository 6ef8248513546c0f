// Multi-head attention: projections, core, gate, output projection. What the
// layer of Keras computes (Vaswani et al. 2017, section 3.2.2).
//
// Letters as in attention.h; Dq, Dk, Dv feature sizes of the inputs, E size of
// the output. Inputs are row-major and already in the order [B, F, T, D]: axes
// that are attended over come last, before the features.
#pragma once

#include "attention.h"

namespace attentive {

struct MultiHeadSizes {
  AttentionShape attention;
  Index query_features = 0, key_features = 0, value_features = 0; // Dq, Dk, Dv
  Index output_features = 0;                                      // E
};

template <class T> struct MultiHeadInputs {
  const T *query = nullptr; // [N, T, Dq]
  const T *key = nullptr;   // [N, S, Dk]
  const T *value = nullptr; // [N, S, Dv]
};

// kernel [D, H, K] (output: [H, V, E]) and bias [H, K] (output: [E]); a null
// bias is none.
template <class T> struct Dense {
  T *kernel = nullptr, *bias = nullptr;
};

// A null gate.kernel means no gate; gate kernel [Dq, H, V].
template <class T> struct MultiHeadWeights {
  Dense<T> query, key, gate, value, output;
};

// output [N, T, E]; scores.data null: not wanted. options.scale is set here,
// to 1 / sqrt(K).
template <class T>
void multi_head_attention_forward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                  const MultiHeadWeights<const T> &weights,
                                  AttentionOptions options, T *output, const ScoreView &scores,
                                  const Execution &execution);

} // namespace attentive
