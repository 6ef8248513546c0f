// Multi-head attention: projections, core, gate, output projection. What the
// layer of Keras computes (Vaswani et al. 2017, section 3.2.2); with fewer
// groups than heads, its grouped-query attention (Ainslie et al. 2023).
//
// Letters as in attention.h; Dq, Dk, Dv feature sizes of the inputs, E size of
// the output. Inputs are row-major and already in the order [B, F, T, D]: axes
// that are attended over come last, before the features.
#pragma once

#include <functional>

#include "attention.h"
#include "projection.h"

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

// Where their gradients go, each on its own even where two inputs are equal.
// Null: not wanted. What is there already is overwritten, or added to.
template <class T> struct MultiHeadInputGradients {
  T *query = nullptr, *key = nullptr, *value = nullptr;
  bool add_query = false, add_key = false, add_value = false;
};

// Kernels query [Dq, H, K], key [Dk, G, K], gate [Dq, H, V], value [Dv, G, V],
// output [H, V, E]; a null gate.kernel means no gate.
template <class T> struct MultiHeadWeights { Dense<T> query, key, gate, value, output; };

// What the forward pass leaves for the backward pass, and the outputs of the
// projections for penalties on activities; and the memory that both work in,
// which serves again where the sizes are those of the call before.
template <class T> struct MultiHeadSaved {
  Buffer<T> q, k, v; // [N, T, H, K], [N, S, G, K], [N, S, G, V]
  Buffer<T> gate;    // [N, T, H, V] after the sigmoid; empty without a gate
  Buffer<T> context; // [N, T, H, V] before the gate
  Buffer<T> lse;     // [N, H, T]

  Buffer<T> gated;         // [N, T, H, V]: the context after the gate, then d_gate
  Buffer<T> d_context;     // [N, T, H, V]
  Buffer<T> d_q, d_k, d_v; // as q, k, v
};

// output [N, T, E]; scores.data null: not wanted; options.scale is set here, to
// 1 / sqrt(K).
template <class T>
void multi_head_attention_forward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                  const MultiHeadWeights<const T> &weights,
                                  AttentionOptions options, T *output, const ScoreView &scores,
                                  MultiHeadSaved<T> &saved, const Execution &execution);

enum class Part { query, key, gate, value, output };

// Adds the gradient of a penalty on the outputs of one projection to d_values.
template <class T>
using ActivityGradient =
    std::function<void(Part part, const T *values, Index size, T *d_values)>;

// d_output [N, T, E] is used up (penalties are added to it); d_scores [N, H, T,
// S] row-major or null; `output` is needed only with an activity gradient.
// Writes d_inputs (each of query, key, value on its own) and d_weights, whose
// null pointers are not wanted.
template <class T>
void multi_head_attention_backward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                   const MultiHeadWeights<const T> &weights,
                                   AttentionOptions options, const T *output,
                                   MultiHeadSaved<T> &saved, T *d_output, const T *d_scores,
                                   const ActivityGradient<T> &activity,
                                   const MultiHeadInputGradients<T> &d_inputs,
                                   const MultiHeadWeights<T> &d_weights,
                                   const Execution &execution);

} // namespace attentive
