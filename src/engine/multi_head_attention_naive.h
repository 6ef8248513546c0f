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

} // namespace attentive
