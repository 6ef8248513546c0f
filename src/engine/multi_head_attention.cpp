#include "multi_head_attention.h"

#include <cmath>
#include <limits>

namespace attentive {
namespace {

// Row counts and widths that both passes need.
struct Extents {
  explicit Extents(const AttentionShape &a)
      : query_rows(checked_product(a.elements(), a.queries)),
        key_rows(checked_product(a.elements(), a.keys)), q(a.heads * a.key_size),
        k(a.groups * a.key_size), v(a.groups * a.value_size), context(a.heads * a.value_size) {}
  Index query_rows, key_rows; // N T, N S
  Index q, k, v, context;     // H K, G K, G V, H V
};

// [N, tokens, heads, size], contiguous, as rows of heads
template <class T> HeadView<T> heads_view(T *data, Index tokens, Index heads, Index size) {
  return {data, tokens * heads * size, heads * size, size};
}

template <class T>
Buffer<T> project(const T *x, Dense<const T> dense, Index rows, Index features, Index columns,
                  const Execution &execution) {
  Buffer<T> y(checked_product(rows, columns));
  projection_forward(x, dense, rows, features, columns, y.data(), execution);
  return y;
}

// Calls body(first entry, sees) for each head row of [N, T, H, V]; `sees` is
// false for a query that saw nothing: its context is 0 and the gate, which may
// be NaN there, must not touch it.
template <class T, class Body>
void for_each_head_row(const AttentionShape &a, const T *lse, const Execution &execution,
                       const Body &body) {
  parallel_for(a.elements() * a.heads, execution, [&](Index task, int) {
    const Index n = task / a.heads, h = task % a.heads;
    for (Index t = 0; t < a.queries; ++t) {
      const bool sees = lse[task * a.queries + t] != -std::numeric_limits<T>::infinity();
      body(((n * a.queries + t) * a.heads + h) * a.value_size, sees);
    }
  });
}

// gate[N, T, H, V] becomes sigmoid(gate); returns context * sigmoid(gate)
template <class T>
Buffer<T> gate_forward(const AttentionShape &a, const T *lse, const T *context, Buffer<T> &gate,
                       const Execution &execution) {
  Buffer<T> gated(gate.size());
  for_each_head_row(a, lse, execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + a.value_size; ++i) {
      gate[i] = T(1) / (T(1) + std::exp(-gate[i]));
      gated[i] = sees ? context[i] * gate[i] : T(0);
    }
  });
  return gated;
}

template <class T>
Buffer<T> gated_context(const AttentionShape &a, const MultiHeadSaved<T> &saved,
                        const Execution &execution) {
  Buffer<T> gated(saved.context.size());
  for_each_head_row(a, saved.lse.data(), execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + a.value_size; ++i)
      gated[i] = sees ? saved.context[i] * saved.gate[i] : T(0);
  });
  return gated;
}

// Undoes gated = context * g, g = sigmoid(gate): d_context is replaced, and
// d_gate[i] holds the gradient that arrives at g, then that of the projection.
template <class T>
void gate_backward(const AttentionShape &a, const MultiHeadSaved<T> &saved, T *d_context,
                   const ActivityGradient<T> &activity, T *d_gate, const Execution &execution) {
  for_each_head_row(a, saved.lse.data(), execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + a.value_size; ++i) {
      d_gate[i] = sees ? d_context[i] * saved.context[i] : T(0);
      d_context[i] = sees ? d_context[i] * saved.gate[i] : T(0);
    }
  });
  if (activity)
    activity(saved.gate.data(), saved.gate.size(), d_gate);
  for_each_head_row(a, saved.lse.data(), execution, [&](Index first, bool) {
    for (Index i = first; i < first + a.value_size; ++i) {
      const T g = saved.gate[i];
      d_gate[i] = d_gate[i] == T(0) ? T(0) : d_gate[i] * g * (T(1) - g);
    }
  });
}

} // namespace

template <class T>
void multi_head_attention_forward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                  const MultiHeadWeights<const T> &weights,
                                  AttentionOptions options, T *output, const ScoreView &scores,
                                  MultiHeadSaved<T> &saved, const Execution &execution) {
  const AttentionShape &a = sizes.attention;
  const Extents size(a);
  options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));

  saved.q = project(inputs.query, weights.query, size.query_rows, sizes.query_features, size.q,
                    execution);
  saved.k = project(inputs.key, weights.key, size.key_rows, sizes.key_features, size.k, execution);
  saved.v =
      project(inputs.value, weights.value, size.key_rows, sizes.value_features, size.v, execution);
  const HeadView<const T> q = heads_view<const T>(saved.q.data(), a.queries, a.heads, a.key_size);
  const HeadView<const T> k = heads_view<const T>(saved.k.data(), a.keys, a.groups, a.key_size);
  const HeadView<const T> v = heads_view<const T>(saved.v.data(), a.keys, a.groups, a.value_size);

  saved.lse = Buffer<T>(checked_product(size.query_rows, a.heads));
  saved.context = Buffer<T>(checked_product(size.query_rows, size.context));
  attention_forward<T>(a, q, k, v, options,
                       heads_view(saved.context.data(), a.queries, a.heads, a.value_size),
                       saved.lse.data(), execution);
  if (scores.data != nullptr)
    attention_scores<T>(a, q, k, options, saved.lse.data(), scores, execution);

  Buffer<T> gated;
  if (weights.gate.kernel != nullptr) {
    saved.gate = project(inputs.query, weights.gate, size.query_rows, sizes.query_features,
                         size.context, execution);
    gated = gate_forward(a, saved.lse.data(), saved.context.data(), saved.gate, execution);
  }
  projection_forward<T>(gated.empty() ? saved.context.data() : gated.data(), weights.output,
                        size.query_rows, size.context, sizes.output_features, output, execution);
}

template <class T>
void multi_head_attention_backward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                   const MultiHeadWeights<const T> &weights,
                                   AttentionOptions options, const T *output,
                                   const MultiHeadSaved<T> &saved, T *d_output, const T *d_scores,
                                   const ActivityGradient<T> &activity,
                                   const MultiHeadInputGradients<T> &d_inputs,
                                   const MultiHeadWeights<T> &d_weights,
                                   const Execution &execution) {
  const AttentionShape &a = sizes.attention;
  const Extents size(a);
  options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));
  const bool has_gate = weights.gate.kernel != nullptr;

  // output = gated context * output kernel + bias
  if (activity)
    activity(output, checked_product(size.query_rows, sizes.output_features), d_output);
  Buffer<T> d_context(saved.context.size());
  {
    const Buffer<T> gated = has_gate ? gated_context(a, saved, execution) : Buffer<T>();
    projection_backward_weights<T>(has_gate ? gated.data() : saved.context.data(), d_output,
                                   size.query_rows, size.context, sizes.output_features,
                                   d_weights.output, execution);
  }
  projection_backward_input<T>(d_output, weights.output, size.query_rows, size.context,
                               sizes.output_features, false, d_context.data(), execution);
  Buffer<T> d_gate(saved.gate.size());
  if (has_gate)
    gate_backward(a, saved, d_context.data(), activity, d_gate.data(), execution);

  // context = core(q, k, v)
  Buffer<T> d_q(saved.q.size()), d_k(saved.k.size()), d_v(saved.v.size());
  attention_backward<T>(
      a, heads_view<const T>(saved.q.data(), a.queries, a.heads, a.key_size),
      heads_view<const T>(saved.k.data(), a.keys, a.groups, a.key_size),
      heads_view<const T>(saved.v.data(), a.keys, a.groups, a.value_size), options,
      heads_view<const T>(saved.context.data(), a.queries, a.heads, a.value_size), saved.lse.data(),
      heads_view<const T>(d_context.data(), a.queries, a.heads, a.value_size), d_scores,
      heads_view(d_q.data(), a.queries, a.heads, a.key_size),
      heads_view(d_k.data(), a.keys, a.groups, a.key_size),
      heads_view(d_v.data(), a.keys, a.groups, a.value_size), execution);
  if (activity) {
    activity(saved.q.data(), saved.q.size(), d_q.data());
    activity(saved.k.data(), saved.k.size(), d_k.data());
    activity(saved.v.data(), saved.v.size(), d_v.data());
  }

  // the projections into heads; the query feeds two of them where there is a gate
  const auto undo = [&](const T *x, const Buffer<T> &d_y, Dense<const T> dense, Index rows,
                        Index features, Index columns, bool accumulate, T *d_x, Dense<T> d_dense) {
    projection_backward_weights<T>(x, d_y.data(), rows, features, columns, d_dense, execution);
    projection_backward_input<T>(d_y.data(), dense, rows, features, columns, accumulate, d_x,
                                 execution);
  };
  undo(inputs.query, d_q, weights.query, size.query_rows, sizes.query_features, size.q, false,
       d_inputs.query, d_weights.query);
  if (has_gate)
    undo(inputs.query, d_gate, weights.gate, size.query_rows, sizes.query_features, size.context,
         true, d_inputs.query, d_weights.gate);
  undo(inputs.key, d_k, weights.key, size.key_rows, sizes.key_features, size.k, false, d_inputs.key,
       d_weights.key);
  undo(inputs.value, d_v, weights.value, size.key_rows, sizes.value_features, size.v, false,
       d_inputs.value, d_weights.value);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void multi_head_attention_forward<T>(                                                   \
      const MultiHeadSizes &, const MultiHeadInputs<T> &, const MultiHeadWeights<const T> &,       \
      AttentionOptions, T *, const ScoreView &, MultiHeadSaved<T> &, const Execution &);           \
  template void multi_head_attention_backward<T>(                                                  \
      const MultiHeadSizes &, const MultiHeadInputs<T> &, const MultiHeadWeights<const T> &,       \
      AttentionOptions, const T *, const MultiHeadSaved<T> &, T *, const T *,                      \
      const ActivityGradient<T> &, const MultiHeadInputGradients<T> &,                             \
      const MultiHeadWeights<T> &, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
