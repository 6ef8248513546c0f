#include "dot_attention.h"

#include <algorithm>

namespace attentive {
namespace {

// output[n, t, :] = 0 where query t does not take part
template <class T>
void clear_masked_queries(const AttentionShape &shape, const std::uint8_t *query_mask, T *output) {
  for (Index row = 0; row < shape.elements() * shape.queries; ++row)
    if (query_mask[row] == 0)
      std::fill_n(output + row * shape.value_size, shape.value_size, T(0));
}

} // namespace

template <class T>
void dot_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                           AttentionOptions options, T *output, const ScoreView &scores,
                           const Execution &execution) {
  const HeadView<const T> q = one_head(inputs.query, shape.queries, shape.key_size);
  const HeadView<const T> k = one_head(inputs.key, shape.keys, shape.key_size);
  const HeadView<const T> v = one_head(inputs.value, shape.keys, shape.value_size);
  const HeadView<T> out = one_head(output, shape.queries, shape.value_size);
  if (scores.data == nullptr) {
    attention_forward<T>(shape, q, k, v, options, out, nullptr, execution);
    return;
  }
  const std::uint8_t *query_mask = options.mask.query;
  options.mask.query = nullptr;
  Buffer<T> lse(checked_product(shape.elements(), shape.queries));
  attention_forward<T>(shape, q, k, v, options, out, lse.data(), execution);
  attention_scores<T>(shape, q, k, options, lse.data(), scores, execution);
  if (query_mask != nullptr)
    clear_masked_queries(shape, query_mask, output);
}

template void dot_attention_forward<float>(const AttentionShape &, const PlainInputs<float> &,
                                           AttentionOptions, float *, const ScoreView &,
                                           const Execution &);
template void dot_attention_forward<double>(const AttentionShape &, const PlainInputs<double> &,
                                            AttentionOptions, double *, const ScoreView &,
                                            const Execution &);

} // namespace attentive
