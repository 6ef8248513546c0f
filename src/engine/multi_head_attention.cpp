#include "multi_head_attention.h"

#include <cmath>
#include <limits>

#include "matmul.h"

namespace attentive {
namespace {

// y[M, P] = x[M, D] kernel[D, P] + bias[P]
template <class T>
Buffer<T> project(const T *x, Dense<const T> dense, Index rows, Index features, Index columns,
                  const Execution &execution) {
  Buffer<T> y(checked_product(rows, columns));
  matmul<T>({x, rows, features, features, 1}, {dense.kernel, features, columns, columns, 1},
            {y.data(), rows, columns, columns, 1}, dense.bias, MatmulOptions(), execution);
  return y;
}

// [N, tokens, heads, size], contiguous, as rows of heads
template <class T> HeadView<T> heads_view(T *data, Index tokens, Index heads, Index size) {
  return {data, tokens * heads * size, heads * size, size};
}

// context[N, T, H, V] *= sigmoid(gate[N, T, H, V]); a query that sees nothing
// keeps its 0 whatever the gate is, so that it cannot pick up a NaN.
template <class T>
void apply_gate(const AttentionShape &shape, const T *gate, const T *lse, T *context,
                const Execution &execution) {
  const Index row_size = shape.heads * shape.value_size;
  parallel_for(shape.elements() * shape.queries, execution, [&](Index row, int) {
    const Index n = row / shape.queries, t = row % shape.queries;
    for (Index h = 0; h < shape.heads; ++h) {
      if (lse[(n * shape.heads + h) * shape.queries + t] == -std::numeric_limits<T>::infinity())
        continue;
      const Index start = row * row_size + h * shape.value_size;
      for (Index i = start; i < start + shape.value_size; ++i)
        context[i] *= T(1) / (T(1) + std::exp(-gate[i]));
    }
  });
}

} // namespace

template <class T>
void multi_head_attention_forward(const MultiHeadSizes &sizes, const MultiHeadInputs<T> &inputs,
                                  const MultiHeadWeights<const T> &weights,
                                  AttentionOptions options, T *output, const ScoreView &scores,
                                  const Execution &execution) {
  const AttentionShape &a = sizes.attention;
  const Index query_rows = checked_product(a.elements(), a.queries);
  const Index key_rows = checked_product(a.elements(), a.keys);
  options.scale = 1 / std::sqrt(static_cast<double>(a.key_size));

  const Buffer<T> q = project(inputs.query, weights.query, query_rows, sizes.query_features,
                              a.heads * a.key_size, execution);
  const Buffer<T> k = project(inputs.key, weights.key, key_rows, sizes.key_features,
                              a.groups * a.key_size, execution);
  const Buffer<T> v = project(inputs.value, weights.value, key_rows, sizes.value_features,
                              a.groups * a.value_size, execution);
  const HeadView<const T> q_heads = heads_view(q.data(), a.queries, a.heads, a.key_size);
  const HeadView<const T> k_heads = heads_view(k.data(), a.keys, a.groups, a.key_size);
  const HeadView<const T> v_heads = heads_view(v.data(), a.keys, a.groups, a.value_size);

  const bool gated = weights.gate.kernel != nullptr;
  const bool keeps_lse = gated || scores.data != nullptr;
  Buffer<T> lse(keeps_lse ? checked_product(query_rows, a.heads) : 0);
  Buffer<T> context(checked_product({query_rows, a.heads, a.value_size}));
  attention_forward<T>(a, q_heads, k_heads, v_heads, options,
                       heads_view(context.data(), a.queries, a.heads, a.value_size), lse.data(),
                       execution);
  if (scores.data != nullptr)
    attention_scores<T>(a, q_heads, k_heads, options, lse.data(), scores, execution);
  if (gated) {
    const Buffer<T> gate = project(inputs.query, weights.gate, query_rows, sizes.query_features,
                                   a.heads * a.value_size, execution);
    apply_gate(a, gate.data(), lse.data(), context.data(), execution);
  }
  matmul<T>({context.data(), query_rows, a.heads * a.value_size, a.heads * a.value_size, 1},
            {weights.output.kernel, a.heads * a.value_size, sizes.output_features,
             sizes.output_features, 1},
            {output, query_rows, sizes.output_features, sizes.output_features, 1},
            weights.output.bias, MatmulOptions(), execution);
}

template void multi_head_attention_forward<float>(const MultiHeadSizes &,
                                                  const MultiHeadInputs<float> &,
                                                  const MultiHeadWeights<const float> &,
                                                  AttentionOptions, float *, const ScoreView &,
                                                  const Execution &);
template void multi_head_attention_forward<double>(const MultiHeadSizes &,
                                                   const MultiHeadInputs<double> &,
                                                   const MultiHeadWeights<const double> &,
                                                   AttentionOptions, double *, const ScoreView &,
                                                   const Execution &);

} // namespace attentive
