// The textbook layer: what multi_head_attention.h means, step by step on top
// of the textbook core, for any scalar.
//
// Letters as in attention.h and multi_head_attention.h. With G < H this is
// grouped-query attention: the key and value kernels then have G heads.
#pragma once

#include "attention_naive.h"
#include "multi_head_attention.h"

namespace attentive {

template <class T> T sigmoid_naive(T x) {
  using std::exp;
  if (x < T(0)) {
    const T e = exp(x); // cannot overflow here; exp(-x) could
    return e / (T(1) + e);
  }
  return T(1) / (T(1) + exp(-x));
}

// y[M, P] = x[M, D] kernel[D, P] + bias[P]; a null bias is none. The kernel
// [D, H, K] of a layer has P = H * K columns, that of the output H * V rows.
template <class T>
std::vector<T> dense_naive(const T *x, const Dense<const T> &dense, Index rows, Index features,
                           Index columns) {
  std::vector<T> y(static_cast<std::size_t>(checked_product(rows, columns)), T(0));
  for (Index m = 0; m < rows; ++m) {
    for (Index p = 0; p < columns; ++p) {
      T sum(0);
      for (Index d = 0; d < features; ++d)
        sum += x[m * features + d] * dense.kernel[d * columns + p];
      if (dense.bias != nullptr)
        sum += dense.bias[p];
      y[static_cast<std::size_t>(m * columns + p)] = sum;
    }
  }
  return y;
}

// A row-major array [N, tokens, heads, size] seen as rows of heads.
template <class T> HeadView<T> heads_of(T *data, Index tokens, Index heads, Index size) {
  return {data, tokens * heads * size, heads * size, size};
}

// context[N, T, H, V] *= sigmoid(gate[N, T, H, V]). A query that saw nothing
// keeps its context of 0, whatever the gate is made of.
template <class T>
void apply_gate_naive(const AttentionShape &shape, const T *gate, const T *lse, T *context) {
  for (Index n = 0; n < shape.elements(); ++n) {
    for (Index t = 0; t < shape.queries; ++t) {
      for (Index h = 0; h < shape.heads; ++h) {
        const T row_lse = lse[(n * shape.heads + h) * shape.queries + t];
        if (row_lse == T(-std::numeric_limits<double>::infinity()))
          continue;
        const Index row = ((n * shape.queries + t) * shape.heads + h) * shape.value_size;
        for (Index j = 0; j < shape.value_size; ++j)
          context[row + j] = context[row + j] * sigmoid_naive(gate[row + j]);
      }
    }
  }
}

// query [N, T, Dq], key [N, S, Dk], value [N, S, Dv] -> output [N, T, E] and,
// where not null, scores [N, H, T, S].
template <class T>
void multi_head_attention_forward_naive(const MultiHeadSizes &sizes,
                                        const MultiHeadInputs<T> &inputs,
                                        const MultiHeadWeights<const T> &weights,
                                        AttentionOptions options, T *output, T *scores) {
  const AttentionShape &a = sizes.attention;
  const Index query_rows = checked_product(a.elements(), a.queries); // N T
  const Index key_rows = checked_product(a.elements(), a.keys);      // N S

  // q [N, T, H, K], k [N, S, G, K], v [N, S, G, V]
  const std::vector<T> q = dense_naive(inputs.query, weights.query, query_rows,
                                       sizes.query_features, a.heads * a.key_size);
  const std::vector<T> k =
      dense_naive(inputs.key, weights.key, key_rows, sizes.key_features, a.groups * a.key_size);
  const std::vector<T> v = dense_naive(inputs.value, weights.value, key_rows, sizes.value_features,
                                       a.groups * a.value_size);

  // context [N, T, H, V], lse [N, H, T]
  options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));
  std::vector<T> context(static_cast<std::size_t>(query_rows * a.heads * a.value_size), T(0));
  std::vector<T> lse(static_cast<std::size_t>(query_rows * a.heads), T(0));
  attention_forward_naive(a, heads_of(q.data(), a.queries, a.heads, a.key_size),
                          heads_of(k.data(), a.keys, a.groups, a.key_size),
                          heads_of(v.data(), a.keys, a.groups, a.value_size), options,
                          heads_of(context.data(), a.queries, a.heads, a.value_size), lse.data(),
                          scores);

  if (weights.gate.kernel != nullptr) {
    const std::vector<T> gate = dense_naive(inputs.query, weights.gate, query_rows,
                                            sizes.query_features, a.heads * a.value_size);
    apply_gate_naive(a, gate.data(), lse.data(), context.data());
  }

  const std::vector<T> y = dense_naive(static_cast<const T *>(context.data()), weights.output,
                                       query_rows, a.heads * a.value_size, sizes.output_features);
  std::copy(y.begin(), y.end(), output);
}

// Backward of dense_naive: d_y[M, P] -> d_x[M, D] and, added to what is there,
// d_kernel[D, P] and d_bias[P] where the forward had a bias. A row at which
// nothing arrives passes nothing on, whatever x is there.
template <class T>
std::vector<T> dense_backward_naive(const T *x, const Dense<const T> &dense, const T *d_y,
                                    Index rows, Index features, Index columns,
                                    const Dense<T> &d_dense) {
  std::vector<T> d_x(static_cast<std::size_t>(checked_product(rows, features)), T(0));
  for (Index m = 0; m < rows; ++m) {
    const T *d_row = d_y + m * columns;
    if (std::all_of(d_row, d_row + columns, [](T d) { return d == T(0); }))
      continue;
    for (Index p = 0; p < columns; ++p) {
      for (Index d = 0; d < features; ++d) {
        d_x[static_cast<std::size_t>(m * features + d)] += d_row[p] * dense.kernel[d * columns + p];
        d_dense.kernel[d * columns + p] += d_row[p] * x[m * features + d];
      }
      if (dense.bias != nullptr)
        d_dense.bias[p] += d_row[p];
    }
  }
  return d_x;
}

// Backward of apply_gate_naive. `context` is the one before the gate; d_context
// [N, T, H, V] arrives after it and becomes the one before it. Returns d_gate.
template <class T>
std::vector<T> gate_backward_naive(const AttentionShape &shape, const T *gate, const T *lse,
                                   const T *context, T *d_context) {
  const Index size = shape.elements() * shape.queries * shape.heads * shape.value_size;
  std::vector<T> d_gate(static_cast<std::size_t>(size), T(0));
  for (Index n = 0; n < shape.elements(); ++n) {
    for (Index t = 0; t < shape.queries; ++t) {
      for (Index h = 0; h < shape.heads; ++h) {
        const T row_lse = lse[(n * shape.heads + h) * shape.queries + t];
        if (row_lse == T(-std::numeric_limits<double>::infinity()))
          continue;
        const Index row = ((n * shape.queries + t) * shape.heads + h) * shape.value_size;
        for (Index i = row; i < row + shape.value_size; ++i) {
          const T open = sigmoid_naive(gate[i]);
          d_gate[static_cast<std::size_t>(i)] =
              d_context[i] * context[i] * open * sigmoid_naive(-gate[i]); // 1 - sigmoid(x)
          d_context[i] = d_context[i] * open;
        }
      }
    }
  }
  return d_gate;
}

// Where the gradients of a layer go: one for each input and each weight, with
// the shapes of those. The weights' must be 0 before, they are added to.
template <class T> struct MultiHeadGradientsNaive {
  std::vector<T> query, key, value;
  MultiHeadWeights<T> weights;
};

// d_output [N, T, E] and d_scores [N, H, T, S] (null: none) -> gradients.
template <class T>
void multi_head_attention_backward_naive(const MultiHeadSizes &sizes,
                                         const MultiHeadInputs<T> &inputs,
                                         const MultiHeadWeights<const T> &weights,
                                         AttentionOptions options, const T *d_output,
                                         const T *d_scores, MultiHeadGradientsNaive<T> &gradients) {
  const AttentionShape &a = sizes.attention;
  const Index query_rows = checked_product(a.elements(), a.queries); // N T
  const Index key_rows = checked_product(a.elements(), a.keys);      // N S
  const Index hk = a.heads * a.key_size, gk = a.groups * a.key_size;
  const Index hv = a.heads * a.value_size, gv = a.groups * a.value_size;
  const bool gated = weights.gate.kernel != nullptr;
  const auto zeros = [](Index size) {
    return std::vector<T>(static_cast<std::size_t>(size), T(0));
  };

  // The forward pass up to the gated context.
  options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));
  const auto q = dense_naive(inputs.query, weights.query, query_rows, sizes.query_features, hk);
  const auto k = dense_naive(inputs.key, weights.key, key_rows, sizes.key_features, gk);
  const auto v = dense_naive(inputs.value, weights.value, key_rows, sizes.value_features, gv);
  std::vector<T> context = zeros(query_rows * hv), lse = zeros(query_rows * a.heads), gate;
  const auto q_rows = heads_of(q.data(), a.queries, a.heads, a.key_size);
  const auto k_rows = heads_of(k.data(), a.keys, a.groups, a.key_size);
  const auto v_rows = heads_of(v.data(), a.keys, a.groups, a.value_size);
  attention_forward_naive<T>(a, q_rows, k_rows, v_rows, options,
                             heads_of(context.data(), a.queries, a.heads, a.value_size), lse.data(),
                             nullptr);
  std::vector<T> gated_context = context;
  if (gated) {
    gate = dense_naive(inputs.query, weights.gate, query_rows, sizes.query_features, hv);
    apply_gate_naive(a, gate.data(), lse.data(), gated_context.data());
  }

  // And back.
  std::vector<T> d_context =
      dense_backward_naive<T>(gated_context.data(), weights.output, d_output, query_rows, hv,
                              sizes.output_features, gradients.weights.output);
  std::vector<T> d_query_of_gate;
  if (gated) {
    const std::vector<T> d_gate =
        gate_backward_naive<T>(a, gate.data(), lse.data(), context.data(), d_context.data());
    d_query_of_gate = dense_backward_naive<T>(inputs.query, weights.gate, d_gate.data(), query_rows,
                                              sizes.query_features, hv, gradients.weights.gate);
  }
  std::vector<T> d_q = zeros(query_rows * hk), d_k = zeros(key_rows * gk),
                 d_v = zeros(key_rows * gv);
  attention_backward_naive<T>(a, q_rows, k_rows, v_rows, options,
                              heads_of<const T>(d_context.data(), a.queries, a.heads, a.value_size),
                              d_scores, heads_of(d_q.data(), a.queries, a.heads, a.key_size),
                              heads_of(d_k.data(), a.keys, a.groups, a.key_size),
                              heads_of(d_v.data(), a.keys, a.groups, a.value_size));
  gradients.query = dense_backward_naive<T>(inputs.query, weights.query, d_q.data(), query_rows,
                                            sizes.query_features, hk, gradients.weights.query);
  gradients.key = dense_backward_naive<T>(inputs.key, weights.key, d_k.data(), key_rows,
                                          sizes.key_features, gk, gradients.weights.key);
  gradients.value = dense_backward_naive<T>(inputs.value, weights.value, d_v.data(), key_rows,
                                            sizes.value_features, gv, gradients.weights.value);
  for (std::size_t i = 0; i < d_query_of_gate.size(); ++i)
    gradients.query[i] += d_query_of_gate[i];
}

} // namespace attentive
