#include "dot_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention_tiles.h"
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

// body(n, t) for all elements and queries, in tasks
template <class Body>
void for_queries(const AttentionShape &shape, const Execution &execution, const Body &body) {
  for_row_parts(checked_product(shape.elements(), shape.queries), shape.keys, execution,
                [&](Index first, Index last) {
                  for (Index row = first; row < last; ++row)
                    body(row / shape.queries, row % shape.queries);
                });
}

void drop_scores(const AttentionShape &shape, const Dropout &dropout, const ScoreView &scores,
                 const Execution &execution) {
  const DropoutFactors factor(dropout, shape);
  for_queries(shape, execution, [&](Index n, Index t) {
    for (Index s = 0; s < shape.keys; ++s)
      scores.data[n / shape.free * scores.batch + n % shape.free * scores.free + t * scores.query +
                  s * scores.key] *= factor(n, t, s);
  });
}

// output[n, t, :] = 0 where query t does not take part
template <class T>
void clear_masked_queries(const AttentionShape &shape, const std::uint8_t *query_mask, T *output) {
  for (Index row = 0; row < shape.elements() * shape.queries; ++row)
    if (query_mask[row] == 0)
      std::fill_n(output + row * shape.value_size, shape.value_size, T(0));
}

// The gradients that arrive, as the core takes them: at the scores before
// dropout, and none at outputs that were set to 0, whose scores count still.
template <class T> struct Upstream {
  const T *d_output;
  Buffer<T> d_out, d_weights; // copies, where they differ from what arrives

  Upstream(const AttentionShape &shape, AttentionOptions &options, const T *d_output_given,
           const T *d_scores, const Execution &execution)
      : d_output(d_output_given) {
    if (d_scores == nullptr)
      return;
    const Index rows = shape.elements() * shape.queries;
    d_weights = Buffer<T>(checked_product(rows, shape.keys));
    const DropoutFactors factor(options.dropout, shape);
    for_queries(shape, execution, [&](Index n, Index t) {
      const Index row = (n * shape.queries + t) * shape.keys;
      for (Index s = 0; s < shape.keys; ++s)
        d_weights[row + s] = d_scores[row + s] * static_cast<T>(factor(n, t, s));
    });
    if (options.mask.query == nullptr)
      return;
    d_out = Buffer<T>(checked_product(rows, shape.value_size));
    std::copy_n(d_output, d_out.size(), d_out.data());
    clear_masked_queries(shape, options.mask.query, d_out.data());
    d_output = d_out.data();
    options.mask.query = nullptr;
  }
};

// Rows [rows, size + more] of factor * x[rows, size], then `last` where more is 1.
template <class T>
Buffer<T> scaled_rows(const T *x, Index rows, Index size, Index more, T factor, T last) {
  Buffer<T> to(checked_product(rows, size + more));
  for (Index at = 0; at < to.size(); at += size + more, x += size) {
    T *row = to.data() + at;
    for (Index i = 0; i < size; ++i)
      row[i] = factor * x[i];
    if (more != 0)
      row[size] = last;
  }
  return to;
}

// Rows of `size` numbers, the first of each row of size + 1.
template <class T> void narrow_rows(const Buffer<T> &from, Index size, T *to) {
  for (Index at = 0; at < from.size(); at += size + 1, to += size)
    std::copy_n(from.data() + at, size, to);
}

// The problem with the scale taken into the query, so that the scale's gradient
// is there where it is 0 too. Where that is wanted, q and k have one feature more,
// 0 and 1: scores stay, and the feature's d_q are the row sums of dS.
template <class T> struct ScaledProblem {
  AttentionShape shape;
  PlainInputs<T> inputs;
  PlainGradients<T> d_inputs;
  Buffer<T> q, k, d_q, d_k;

  ScaledProblem(const AttentionShape &a, const PlainInputs<T> &from, T scale, bool wider,
                const PlainGradients<T> &to)
      : shape(a), inputs(from), d_inputs(to) {
    const Index rows = checked_product(a.elements(), a.queries);
    q = scaled_rows<T>(from.query, rows, a.key_size, wider, scale, T(0));
    inputs.query = q.data();
    if (!wider)
      return;
    k = scaled_rows<T>(from.key, checked_product(a.elements(), a.keys), a.key_size, 1, T(1), T(1));
    d_q = Buffer<T>(q.size());
    d_k = Buffer<T>(k.size());
    ++shape.key_size;
    inputs.key = k.data();
    d_inputs.query = d_q.data();
    d_inputs.key = d_k.data();
  }
};

// A mean of the scores that a query sees, given their log-sum-exp: between the
// smallest and the largest, near to that where it is far above the others.
template <class T> double mean_score(const Mask &mask, Index n, Index t, T lse) {
  const Mask::KeyRange range = mask.key_range(t, t);
  Index seen = range.end - range.begin;
  if (mask.dense != nullptr || mask.key != nullptr)
    for (Index s = range.begin; s < range.end; ++s)
      seen -= !mask.may_attend(n, 0, t, s);
  const double sum = kLn2 * static_cast<double>(lse);
  const double mean = sum - std::log(static_cast<double>(seen));
  const double rounding = 16 * static_cast<double>(std::numeric_limits<T>::epsilon());
  return std::fabs(mean) < rounding * (1 + std::fabs(sum)) ? 0 : mean;
}

// The gradient of the scale, sum(dS * <q, k>), from the wider d_q. The row sums of
// dS are 0 but for roundings, which <q, k> would multiply: where one key has all
// the weight, dS is nothing else. So each <q, k> is taken from a mean of its row.
template <class T>
double scale_gradient(const AttentionShape &shape, const Mask &mask, const T *q, double scale,
                      const T *lse, const T *d_q) {
  const Index size = shape.key_size;
  double sum = 0;
  for (Index row = 0; row < shape.elements() * shape.queries; ++row, q += size, d_q += size + 1) {
    for (Index i = 0; i < size; ++i)
      if (d_q[i] != T(0)) // a query that is not finite counts only where it is seen
        sum += static_cast<double>(d_q[i]) * static_cast<double>(q[i]);
    if (d_q[size] != T(0) && scale != 0)
      sum -= static_cast<double>(d_q[size]) *
             (mean_score(mask, row / shape.queries, row % shape.queries, lse[row]) / scale);
  }
  return sum;
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
    drop_scores(shape, options.dropout, scores, execution);
  if (query_mask != nullptr)
    clear_masked_queries(shape, query_mask, output);
}

template <class T>
void dot_attention_backward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                            AttentionOptions options, const T *d_output, const T *d_scores,
                            const PlainGradients<T> &d_inputs, T *d_scale,
                            const Execution &execution) {
  const T scale = static_cast<T>(options.scale);
  options.scale = 1;
  const Upstream<T> upstream(shape, options, d_output, d_scores, execution);
  const ScaledProblem<T> p(shape, inputs, scale, d_scale != nullptr, d_inputs);
  const AttentionShape &a = p.shape;
  const HeadView<const T> q = one_head(p.inputs.query, a.queries, a.key_size);
  const HeadView<const T> k = one_head(p.inputs.key, a.keys, a.key_size);
  const HeadView<const T> v = one_head(p.inputs.value, a.keys, a.value_size);
  const Index rows = checked_product(a.elements(), a.queries);
  Buffer<T> out(checked_product(rows, a.value_size)), lse(rows);
  attention_forward<T>(a, q, k, v, options, one_head(out.data(), a.queries, a.value_size),
                       lse.data(), execution);
  attention_backward<T>(a, q, k, v, options, one_head<const T>(out.data(), a.queries, a.value_size),
                        lse.data(), one_head(upstream.d_output, a.queries, a.value_size),
                        upstream.d_weights.data(),
                        one_head(p.d_inputs.query, a.queries, a.key_size),
                        one_head(p.d_inputs.key, a.keys, a.key_size),
                        one_head(p.d_inputs.value, a.keys, a.value_size), execution);
  if (d_scale != nullptr) {
    *d_scale = static_cast<T>(scale_gradient(shape, options.mask, inputs.query,
                                             static_cast<double>(scale), lse.data(), p.d_q.data()));
    narrow_rows(p.d_q, shape.key_size, d_inputs.query);
    narrow_rows(p.d_k, shape.key_size, d_inputs.key);
  }
  for (Index i = 0; i < rows * shape.key_size; ++i)
    d_inputs.query[i] *= scale;
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
