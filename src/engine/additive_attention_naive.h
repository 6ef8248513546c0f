// Textbook additive attention: what additive_attention.h means, for any scalar
// with arithmetic, comparisons, exp(), log() and tanh().
#pragma once

#include "additive_attention.h"
#include "attention_naive.h"

namespace attentive {

// weights[S] = softmax over the keys that query (n, t) sees, 0 at the others.
template <class T>
void additive_row_naive(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                        const AdditiveScore<T> &score, const Mask &mask, Index n, Index t,
                        T *weights) {
  using std::tanh;
  const T *query = q.row(n, t, 0);
  for (Index s = 0; s < shape.keys; ++s) {
    if (!mask.may_attend(n, 0, t, s))
      continue;
    const T *key = k.row(n, s, 0);
    T sum(0);
    for (Index i = 0; i < shape.key_size; ++i) {
      const T bent = tanh(score.inside * (query[i] + key[i]));
      sum += score.scale == nullptr ? bent : score.scale[i] * bent;
    }
    weights[s] = score.outside * sum;
  }
  softmax_row_naive(shape, mask, n, 0, t, weights);
}

// output [N, T, V] and, where not null, scores [N, T, S], row-major: those after
// dropout.
template <class T>
void additive_attention_forward_naive(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                      const AdditiveScore<T> &score, AttentionOptions options,
                                      T *output, T *scores) {
  const HeadView<const T> q = one_head(inputs.query, shape.queries, shape.key_size);
  const HeadView<const T> k = one_head(inputs.key, shape.keys, shape.key_size);
  const HeadView<const T> v = one_head(inputs.value, shape.keys, shape.value_size);
  const std::uint8_t *query_mask = options.mask.query; // of the output, not of the scores
  options.mask.query = nullptr;

  std::vector<T> weights(static_cast<std::size_t>(shape.keys), T(0));
  for (Index n = 0; n < shape.elements(); ++n) {
    for (Index t = 0; t < shape.queries; ++t) {
      const Index row = n * shape.queries + t;
      additive_row_naive(shape, q, k, score, options.mask, n, t, weights.data());
      for (Index s = 0; s < shape.keys && scores != nullptr; ++s)
        scores[row * shape.keys + s] =
            weights[static_cast<std::size_t>(s)] *
            static_cast<T>(dropout_factor_naive(shape, options.dropout, n, 0, t, s));
      T *out = output + row * shape.value_size;
      if (query_mask == nullptr || query_mask[row] != 0)
        attention_combine_naive(shape, weights.data(), v, options, n, 0, t, out);
      else
        std::fill_n(out, shape.value_size, T(0));
    }
  }
}

} // namespace attentive
