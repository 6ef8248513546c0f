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

// Some elements of the batch: every pointer is that of the first of them, null
// where there is nothing. What a pass computes for an element has the same bits
// whatever stands beside it.
template <class T> struct Stretch {
  Stretch(const MultiHeadSizes &all, const MultiHeadInputs<T> &x, const AttentionOptions &o,
          MultiHeadSaved<T> &s, Index first, Index count)
      : sizes(all), size(sizes.attention), options(o) {
    AttentionShape &a = sizes.attention;
    a.batch = count;
    size = Extents(a);
    query_row = first * a.free * a.queries;
    key_row = first * a.free * a.keys;
    inputs = {x.query + query_row * all.query_features, x.key + key_row * all.key_features,
              x.value + key_row * all.value_features};
    options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));
    options.mask = o.mask.from(first);
    options.dropout.batch_offset += first;
    q = at(s.q, query_row * size.q);
    k = at(s.k, key_row * size.k);
    v = at(s.v, key_row * size.v);
    gate = at(s.gate, query_row * size.context);
    context = at(s.context, query_row * size.context);
    lse = at(s.lse, query_row * a.heads);
    gated = at(s.gated, query_row * size.context);
    d_context = at(s.d_context, query_row * size.context);
    d_q = at(s.d_q, query_row * size.q);
    d_k = at(s.d_k, key_row * size.k);
    d_v = at(s.d_v, key_row * size.v);
  }

  MultiHeadSizes sizes;
  Extents size;
  AttentionOptions options;
  Index query_row, key_row; // of the first element
  MultiHeadInputs<T> inputs;
  T *q, *k, *v, *gate, *context, *lse, *gated, *d_context, *d_q, *d_k, *d_v;

  const AttentionShape &shape() const { return sizes.attention; }
  // The head rows of [N, T, H, size] or [N, S, G, size].
  template <class U> HeadView<U> of_queries(U *data, Index width) const {
    return view(data, shape().queries, shape().heads, width);
  }
  template <class U> HeadView<U> of_keys(U *data, Index width) const {
    return view(data, shape().keys, shape().groups, width);
  }

private:
  static T *at(Buffer<T> &buffer, Index i) { return buffer.empty() ? nullptr : buffer.data() + i; }
  template <class U> static HeadView<U> view(U *data, Index tokens, Index heads, Index width) {
    return {data, tokens * heads * width, heads * width, width};
  }
};

// Runs body(first element, count, execution) over the batch: at once, its steps
// sharing their work among the threads, or, where the steps are so short that
// meeting after each costs more than they bring, some elements at a time, all
// steps of them on one thread.
template <class Body>
void over_batch(const MultiHeadSizes &sizes, const Execution &execution, const Body &body) {
  constexpr double kLeast = 1 << 18, kMost = 1 << 28; // multiply-adds of a forward pass
  const AttentionShape &a = sizes.attention;
  const Extents size(a);
  const double work =
      static_cast<double>(size.query_rows) *
          static_cast<double>(sizes.query_features * size.q +
                              sizes.output_features * size.context) +
      static_cast<double>(size.key_rows) *
          static_cast<double>(sizes.key_features * size.k + sizes.value_features * size.v) +
      static_cast<double>(size.query_rows * a.heads) *
          static_cast<double>(a.keys * (a.key_size + a.value_size));
  const Index stretches = 2 * execution.threads;
  if (execution.threads == 1 || a.batch < stretches || work < kLeast || work > kMost)
    return body(Index(0), a.batch, execution);
  parallel_for(stretches, execution, [&](Index i, int) {
    const Index first = a.batch * i / stretches, end = a.batch * (i + 1) / stretches;
    body(first, end - first, Execution());
  });
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

// gate becomes its sigmoid, gated the context times that
template <class T> void gate_forward(const Stretch<T> &x, const Execution &execution) {
  for_each_head_row(x.shape(), x.lse, execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + x.shape().value_size; ++i) {
      x.gate[i] = T(1) / (T(1) + std::exp(-x.gate[i]));
      x.gated[i] = sees ? x.context[i] * x.gate[i] : T(0);
    }
  });
}

// Undoes gated = context * g, g = sigmoid(gate): d_context is replaced; the
// memory of gated holds the gradient that arrives at g, then that of the
// projection.
template <class T>
void gate_backward(const Stretch<T> &x, const ActivityGradient<T> &activity,
                   const Execution &execution) {
  T *d_gate = x.gated;
  for_each_head_row(x.shape(), x.lse, execution, [&](Index first, bool sees) {
    for (Index i = first; i < first + x.shape().value_size; ++i) {
      d_gate[i] = sees ? x.d_context[i] * x.context[i] : T(0);
      x.d_context[i] = sees ? x.d_context[i] * x.gate[i] : T(0);
    }
  });
  if (activity)
    activity(Part::gate, x.gate, x.size.query_rows * x.size.context, d_gate);
  for_each_head_row(x.shape(), x.lse, execution, [&](Index first, bool) {
    for (Index i = first; i < first + x.shape().value_size; ++i) {
      const T g = x.gate[i];
      d_gate[i] = d_gate[i] == T(0) ? T(0) : d_gate[i] * g * (T(1) - g);
    }
  });
}

template <class T>
void forward(const Stretch<T> &x, const MultiHeadWeights<const T> &weights, T *output,
             const ScoreView &scores, const Execution &execution) {
  const AttentionShape &a = x.shape();
  const MultiHeadSizes &sizes = x.sizes;
  const Extents &size = x.size;
  projection_forward(x.inputs.query, weights.query, size.query_rows, sizes.query_features, size.q,
                     x.q, execution);
  projection_forward(x.inputs.key, weights.key, size.key_rows, sizes.key_features, size.k, x.k,
                     execution);
  projection_forward(x.inputs.value, weights.value, size.key_rows, sizes.value_features, size.v,
                     x.v, execution);
  const HeadView<const T> q = x.template of_queries<const T>(x.q, a.key_size);
  const HeadView<const T> k = x.template of_keys<const T>(x.k, a.key_size);
  attention_forward<T>(a, q, k, x.template of_keys<const T>(x.v, a.value_size), x.options,
                       x.of_queries(x.context, a.value_size), x.lse, execution);
  if (scores.data != nullptr)
    attention_scores<T>(a, q, k, x.options, x.lse, scores, execution);
  if (x.gate != nullptr) {
    projection_forward(x.inputs.query, weights.gate, size.query_rows, sizes.query_features,
                       size.context, x.gate, execution);
    gate_forward(x, execution);
  }
  projection_forward<T>(x.gate == nullptr ? x.context : x.gated, weights.output, size.query_rows,
                        size.context, sizes.output_features, output, execution);
}

// From d_output to the gradients of all projections' outputs, and of the inputs.
template <class T>
void backward(const Stretch<T> &x, const MultiHeadWeights<const T> &weights, const T *d_output,
              const T *d_scores, const ActivityGradient<T> &activity,
              const MultiHeadInputGradients<T> &d, const Execution &execution) {
  const AttentionShape &a = x.shape();
  const MultiHeadSizes &sizes = x.sizes;
  const Extents &size = x.size;
  projection_backward_input<T>(d_output, weights.output, size.query_rows, size.context,
                               sizes.output_features, false, x.d_context, execution);
  if (x.gate != nullptr)
    gate_backward(x, activity, execution);

  // context = core(q, k, v)
  attention_backward<T>(a, x.template of_queries<const T>(x.q, a.key_size),
                        x.template of_keys<const T>(x.k, a.key_size),
                        x.template of_keys<const T>(x.v, a.value_size), x.options,
                        x.template of_queries<const T>(x.context, a.value_size), x.lse,
                        x.template of_queries<const T>(x.d_context, a.value_size), d_scores,
                        x.of_queries(x.d_q, a.key_size), x.of_keys(x.d_k, a.key_size),
                        x.of_keys(x.d_v, a.value_size), execution);
  if (activity) {
    activity(Part::query, x.q, size.query_rows * size.q, x.d_q);
    activity(Part::key, x.k, size.key_rows * size.k, x.d_k);
    activity(Part::value, x.v, size.key_rows * size.v, x.d_v);
  }

  // the projections into heads; the query feeds two of them where there is a gate
  const auto undo = [&](const T *d_y, Dense<const T> dense, Index rows, Index features,
                        Index columns, bool add, T *d_x, Index first_row) {
    if (d_x != nullptr)
      projection_backward_input<T>(d_y, dense, rows, features, columns, add,
                                   d_x + first_row * features, execution);
  };
  undo(x.d_q, weights.query, size.query_rows, sizes.query_features, size.q, d.add_query, d.query,
       x.query_row);
  if (x.gate != nullptr)
    undo(x.gated, weights.gate, size.query_rows, sizes.query_features, size.context, true, d.query,
         x.query_row);
  undo(x.d_k, weights.key, size.key_rows, sizes.key_features, size.k, d.add_key, d.key, x.key_row);
  undo(x.d_v, weights.value, size.key_rows, sizes.value_features, size.v, d.add_value, d.value,
       x.key_row);
}

// The gradients of a projection's weights, to be computed.
template <class T> struct WeightTask {
  const T *x, *d_y;
  Index rows, features, columns;
  Dense<T> d_dense;
};

// Short ones stand side by side, one a thread.
template <class T>
void run_weights(const WeightTask<T> *tasks, Index count, const Execution &execution) {
  constexpr double kMost = 1 << 26; // multiply-adds
  const auto run = [&](const WeightTask<T> &task, const Execution &used) {
    projection_backward_weights<T>(task.x, task.d_y, task.rows, task.features, task.columns,
                                   task.d_dense, used);
  };
  double work = 0;
  for (Index i = 0; i < count; ++i)
    work += static_cast<double>(tasks[i].rows) *
            static_cast<double>(tasks[i].features * tasks[i].columns);
  if (work > kMost)
    for (Index i = 0; i < count; ++i)
      run(tasks[i], execution);
  else
    parallel_for(count, execution, [&](Index i, int) { run(tasks[i], Execution()); });
}

} // namespace

template <class T>
void multi_head_attention_forward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                  const MultiHeadWeights<const T> &weights,
                                  AttentionOptions options, T *output, const ScoreView &scores,
                                  MultiHeadSaved<T> &saved, const Execution &execution) {
  const Extents size(sizes.attention);
  const Index gate = weights.gate.kernel == nullptr ? 0 : size.query_rows * size.context;
  fit(saved.q, checked_product(size.query_rows, size.q));
  fit(saved.k, checked_product(size.key_rows, size.k));
  fit(saved.v, checked_product(size.key_rows, size.v));
  fit(saved.lse, checked_product(size.query_rows, sizes.attention.heads));
  fit(saved.context, checked_product(size.query_rows, size.context));
  fit(saved.gate, gate);
  fit(saved.gated, gate);
  over_batch(sizes, execution, [&](Index first, Index count, const Execution &used) {
    const Stretch<T> part(sizes, inputs, options, saved, first, count);
    ScoreView view = scores;
    if (view.data != nullptr)
      view.data += first * scores.batch;
    forward(part, weights, output + part.query_row * sizes.output_features, view, used);
  });
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
  const bool has_gate = weights.gate.kernel != nullptr;
  if (activity)
    activity(Part::output, output, checked_product(size.query_rows, sizes.output_features),
             d_output);
  const WeightTask<T> of_output = {has_gate ? saved.gated.data() : saved.context.data(),
                                   d_output,
                                   size.query_rows,
                                   size.context,
                                   sizes.output_features,
                                   d_weights.output};
  if (has_gate) // its memory is used up below
    run_weights(&of_output, 1, execution);

  fit(saved.d_context, saved.context.size());
  fit(saved.d_q, saved.q.size());
  fit(saved.d_k, saved.k.size());
  fit(saved.d_v, saved.v.size());
  const auto run = [&](Index first, Index count, const Execution &used) {
    const Stretch<T> part(sizes, inputs, options, saved, first, count);
    backward(part, weights, d_output + part.query_row * sizes.output_features,
             d_scores == nullptr ? nullptr : d_scores + part.query_row * a.heads * a.keys, activity,
             d_inputs, used);
  };
  if (activity) // it wants all of the batch, on this thread
    run(0, a.batch, execution);
  else
    over_batch(sizes, execution, run);

  const WeightTask<T> tasks[] = {
      {inputs.query, saved.d_q.data(), size.query_rows, sizes.query_features, size.q,
       d_weights.query},
      {inputs.key, saved.d_k.data(), size.key_rows, sizes.key_features, size.k, d_weights.key},
      {inputs.value, saved.d_v.data(), size.key_rows, sizes.value_features, size.v,
       d_weights.value},
      has_gate ? WeightTask<T>{inputs.query, saved.gated.data(), size.query_rows,
                               sizes.query_features, size.context, d_weights.gate}
               : of_output};
  run_weights(tasks, 4, execution);
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
