#include "dot_attention.h"

#include <algorithm>

#include "dropout.h"

namespace attentive {
namespace {

// What dropout multiplies the score of query t and key s of element n with.
class DropoutFactors {
public:
  DropoutFactors(const Dropout &dropout, const AttentionShape &shape) : mask_(dropout, shape) {}
  double operator()(Index n, Index t, Index s) const {
    return mask_.drops_all() || !mask_.head(n, 0).keeps(t, s) ? 0.0 : mask_.scale();
  }

private:
  DropoutMask mask_;
};

void drop_scores(const AttentionShape &shape, const Dropout &dropout, const ScoreView &scores) {
  const DropoutFactors factor(dropout, shape);
  for (Index n = 0; n < shape.elements(); ++n)
    for (Index t = 0; t < shape.queries; ++t)
      for (Index s = 0; s < shape.keys; ++s)
        scores.data[n / shape.free * scores.batch + n % shape.free * scores.free +
                    t * scores.query + s * scores.key] *= factor(n, t, s);
}

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
  if (options.dropout.rate > 0)
    drop_scores(shape, options.dropout, scores);
  if (query_mask != nullptr)
    clear_masked_queries(shape, query_mask, output);
}

template <class T>
void dot_attention_backward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                            AttentionOptions options, const T *d_output, const T *d_scores,
                            const PlainGradients<T> &d_inputs, T *d_scale,
                            const Execution &execution) {
  const Index query_rows = checked_product(shape.elements(), shape.queries);
  // The scale is taken into the query, so that its gradient is there where it is 0 too.
  const T scale = static_cast<T>(options.scale);
  Buffer<T> scaled(checked_product(query_rows, shape.key_size));
  for (Index i = 0; i < scaled.size(); ++i)
    scaled[i] = scale * inputs.query[i];
  options.scale = 1;

  Buffer<T> d_out, d_weights; // copies, where they differ from what arrives
  if (d_scores != nullptr) {
    d_weights = Buffer<T>(checked_product(query_rows, shape.keys));
    const DropoutFactors factor(options.dropout, shape);
    for (Index row = 0; row < query_rows; ++row)
      for (Index s = 0; s < shape.keys; ++s)
        d_weights[row * shape.keys + s] =
            d_scores[row * shape.keys + s] *
            static_cast<T>(factor(row / shape.queries, row % shape.queries, s));
    if (options.mask.query != nullptr) {
      d_out = Buffer<T>(checked_product(query_rows, shape.value_size));
      std::copy_n(d_output, d_out.size(), d_out.data());
      clear_masked_queries(shape, options.mask.query, d_out.data());
      d_output = d_out.data();
      options.mask.query = nullptr;
    }
  }

  const HeadView<const T> q = one_head<const T>(scaled.data(), shape.queries, shape.key_size);
  const HeadView<const T> k = one_head(inputs.key, shape.keys, shape.key_size);
  const HeadView<const T> v = one_head(inputs.value, shape.keys, shape.value_size);
  Buffer<T> out(checked_product(query_rows, shape.value_size)), lse(query_rows);
  attention_forward<T>(shape, q, k, v, options,
                       one_head(out.data(), shape.queries, shape.value_size), lse.data(),
                       execution);
  attention_backward<T>(shape, q, k, v, options,
                        one_head<const T>(out.data(), shape.queries, shape.value_size), lse.data(),
                        one_head(d_output, shape.queries, shape.value_size), d_weights.data(),
                        one_head(d_inputs.query, shape.queries, shape.key_size),
                        one_head(d_inputs.key, shape.keys, shape.key_size),
                        one_head(d_inputs.value, shape.keys, shape.value_size), execution);
  double sum = 0;
  for (Index i = 0; i < scaled.size(); ++i) {
    T &d = d_inputs.query[i];
    if (d != T(0)) // a query that is not finite counts only where it is seen
      sum += static_cast<double>(d) * static_cast<double>(inputs.query[i]);
    d *= scale;
  }
  if (d_scale != nullptr)
    *d_scale = static_cast<T>(sum);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void dot_attention_forward<T>(const AttentionShape &, const PlainInputs<T> &,           \
                                         AttentionOptions, T *, const ScoreView &,                 \
                                         const Execution &);                                       \
  template void dot_attention_backward<T>(const AttentionShape &, const PlainInputs<T> &,          \
                                          AttentionOptions, const T *, const T *,                  \
                                          const PlainGradients<T> &, T *, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
