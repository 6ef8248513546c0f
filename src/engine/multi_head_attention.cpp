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
void project(const T *x, Dense<const T> dense, Index rows, Index features, Index columns,
             Buffer<T> &y, const Execution &execution) {
  fit(y, checked_product(rows, columns));
  projection_forward(x, dense, rows, features, columns, y.data(), execution);
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

// saved.gate becomes its sigmoid, saved.gated the context times that
template <class T>
void gate_forward(const AttentionShape &a, MultiHeadSaved<T> &saved, const Execution &execution) {
  T *gate = saved.gate.data(), *gated = fit(saved.gated, saved.gate.size());
  for_each_head_row(a, saved.lse.data(), execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + a.value_size; ++i) {
      gate[i] = T(1) / (T(1) + std::exp(-gate[i]));
      gated[i] = sees ? saved.context[i] * gate[i] : T(0);
    }
  });
}

// Undoes gated = context * g, g = sigmoid(gate): d_context is replaced, and
// d_gate[i] holds the gradient that arrives at g, then that of the projection.
template <class T>
void gate_backward(const AttentionShape &a, MultiHeadSaved<T> &saved,
                   const ActivityGradient<T> &activity, const Execution &execution) {
  T *d_context = saved.d_context.data(), *d_gate = saved.gated.data();
  for_each_head_row(a, saved.lse.data(), execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + a.value_size; ++i) {
      d_gate[i] = sees ? d_context[i] * saved.context[i] : T(0);
      d_context[i] = sees ? d_context[i] * saved.gate[i] : T(0);
    }
  });
  if (activity)
    activity(Part::gate, saved.gate.data(), saved.gate.size(), d_gate);
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

  project(inputs.query, weights.query, size.query_rows, sizes.query_features, size.q, saved.q,
          execution);
  project(inputs.key, weights.key, size.key_rows, sizes.key_features, size.k, saved.k, execution);
  project(inputs.value, weights.value, size.key_rows, sizes.value_features, size.v, saved.v,
          execution);
  const HeadView<const T> q = heads_view<const T>(saved.q.data(), a.queries, a.heads, a.key_size);
  const HeadView<const T> k = heads_view<const T>(saved.k.data(), a.keys, a.groups, a.key_size);
  const HeadView<const T> v = heads_view<const T>(saved.v.data(), a.keys, a.groups, a.value_size);

  fit(saved.lse, checked_product(size.query_rows, a.heads));
  fit(saved.context, checked_product(size.query_rows, size.context));
  attention_forward<T>(a, q, k, v, options,
                       heads_view(saved.context.data(), a.queries, a.heads, a.value_size),
                       saved.lse.data(), execution);
  if (scores.data != nullptr)
    attention_scores<T>(a, q, k, options, saved.lse.data(), scores, execution);

  const bool has_gate = weights.gate.kernel != nullptr;
  if (has_gate) {
    project(inputs.query, weights.gate, size.query_rows, sizes.query_features, size.context,
            saved.gate, execution);
    gate_forward(a, saved, execution);
  }
  projection_forward<T>(has_gate ? saved.gated.data() : saved.context.data(), weights.output,
                        size.query_rows, size.context, sizes.output_features, output, execution);
}

template <class T>
void multi_head_attention_backward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                   const MultiHeadWeights<const T> &weights,
                                   AttentionOptions options, const T *output,
                                   MultiHeadSaved<T> &saved, T *d_output, const T *d_scores,
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
    activity(Part::output, output, checked_product(size.query_rows, sizes.output_features),
             d_output);
  projection_backward_weights<T>(has_gate ? saved.gated.data() : saved.context.data(), d_output,
                                 size.query_rows, size.context, sizes.output_features,
                                 d_weights.output, execution);
  projection_backward_input<T>(d_output, weights.output, size.query_rows, size.context,
                               sizes.output_features, false,
                               fit(saved.d_context, saved.context.size()), execution);
  if (has_gate)
    gate_backward(a, saved, activity, execution); // saved.gated is d_gate now

  // context = core(q, k, v)
  T *d_q = fit(saved.d_q, saved.q.size()), *d_k = fit(saved.d_k, saved.k.size());
  T *d_v = fit(saved.d_v, saved.v.size());
  attention_backward<T>(
      a, heads_view<const T>(saved.q.data(), a.queries, a.heads, a.key_size),
      heads_view<const T>(saved.k.data(), a.keys, a.groups, a.key_size),
      heads_view<const T>(saved.v.data(), a.keys, a.groups, a.value_size), options,
      heads_view<const T>(saved.context.data(), a.queries, a.heads, a.value_size), saved.lse.data(),
      heads_view<const T>(saved.d_context.data(), a.queries, a.heads, a.value_size), d_scores,
      heads_view(d_q, a.queries, a.heads, a.key_size),
      heads_view(d_k, a.keys, a.groups, a.key_size),
      heads_view(d_v, a.keys, a.groups, a.value_size), execution);
  if (activity) {
    activity(Part::query, saved.q.data(), saved.q.size(), d_q);
    activity(Part::key, saved.k.data(), saved.k.size(), d_k);
    activity(Part::value, saved.v.data(), saved.v.size(), d_v);
  }

  // the projections into heads; the query feeds two of them where there is a gate
  const auto undo = [&](const T *x, const T *d_y, Dense<const T> dense, Index rows, Index features,
                        Index columns, bool add, T *d_x, Dense<T> d_dense) {
    projection_backward_weights<T>(x, d_y, rows, features, columns, d_dense, execution);
    if (d_x != nullptr)
      projection_backward_input<T>(d_y, dense, rows, features, columns, add, d_x, execution);
  };
  undo(inputs.query, d_q, weights.query, size.query_rows, sizes.query_features, size.q,
       d_inputs.add_query, d_inputs.query, d_weights.query);
  if (has_gate)
    undo(inputs.query, saved.gated.data(), weights.gate, size.query_rows, sizes.query_features,
         size.context, true, d_inputs.query, d_weights.gate);
  undo(inputs.key, d_k, weights.key, size.key_rows, sizes.key_features, size.k, d_inputs.add_key,
       d_inputs.key, d_weights.key);
  undo(inputs.value, d_v, weights.value, size.key_rows, sizes.value_features, size.v,
       d_inputs.add_value, d_inputs.value, d_weights.value);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void multi_head_attention_forward<T>(                                                   \
      const MultiHeadSizes &, const MultiHeadInputs<T> &, const MultiHeadWeights<const T> &,       \
      AttentionOptions, T *, const ScoreView &, MultiHeadSaved<T> &, const Execution &);           \
  template void multi_head_attention_backward<T>(                                                  \
      const MultiHeadSizes &, const MultiHeadInputs<T> &, const MultiHeadWeights<const T> &,       \
      AttentionOptions, const T *, MultiHeadSaved<T> &, T *, const T *,                            \
      const ActivityGradient<T> &, const MultiHeadInputGradients<T> &,                             \
      const MultiHeadWeights<T> &, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
