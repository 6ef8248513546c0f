// The textbook core: what attention.h means, in loops that can be checked by
// eye. It is the definition that every fast path is compared with, and it
// stays for good. It works for any scalar with arithmetic, comparisons, exp()
// and log(): float and double, and dual numbers, which make it an exact
// derivative as well.
//
// A pair of query and key that the mask forbids is never read, so whatever
// stands there, NaN included, cannot be seen.
//
// Letters as in attention.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "attention.h"
#include "dropout.h"

namespace attentive {

// weights[S] holds the scores of the keys that query (n, h, t) sees and becomes
// their softmax, 0 at the keys that it does not see. Returns the log-sum-exp of
// the scores, -Inf where it sees none.
template <class T>
T softmax_row_naive(const AttentionShape &shape, const Mask &mask, Index n, Index h, Index t,
                    T *weights) {
  using std::exp;
  using std::log;
  bool sees_any = false;
  T largest(0);
  for (Index s = 0; s < shape.keys; ++s) {
    if (!mask.may_attend(n, h, t, s)) {
      weights[s] = T(0);
      continue;
    }
    if (!sees_any || weights[s] > largest)
      largest = weights[s];
    sees_any = true;
  }
  if (!sees_any)
    return T(-std::numeric_limits<double>::infinity());

  // Subtracting the largest score changes nothing but that exp cannot overflow.
  T sum(0);
  for (Index s = 0; s < shape.keys; ++s) {
    if (!mask.may_attend(n, h, t, s))
      continue;
    weights[s] = exp(weights[s] - largest);
    sum += weights[s];
  }
  for (Index s = 0; s < shape.keys; ++s) {
    if (mask.may_attend(n, h, t, s))
      weights[s] = weights[s] / sum;
  }
  return largest + log(sum);
}

// weights[S] = softmax over the keys that query (n, h, t) sees, 0 at the
// others. Returns the log-sum-exp of the scores, -Inf where it sees none.
template <class T>
T attention_row_naive(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                      const AttentionOptions &options, Index n, Index h, Index t, T *weights) {
  const Index group = h / (shape.heads / shape.groups);
  const T *query = q.row(n, t, h);
  for (Index s = 0; s < shape.keys; ++s) {
    if (!options.mask.may_attend(n, h, t, s))
      continue;
    const T *key = k.row(n, s, group);
    T dot(0);
    for (Index i = 0; i < shape.key_size; ++i)
      dot += query[i] * key[i];
    weights[s] = static_cast<T>(options.scale) * dot;
  }
  return softmax_row_naive(shape, options.mask, n, h, t, weights);
}

// What dropout multiplies the weight of pair (n, h, t, s) with: 0 or, to keep
// the mean, a little more than 1.
inline double dropout_factor_naive(const AttentionShape &shape, const Dropout &dropout, Index n,
                                   Index h, Index t, Index s) {
  if (dropout.rate == 0)
    return 1;
  const DropoutMask mask(dropout, shape);
  return !mask.drops_all() && mask.head(n, h).keeps(t, s) ? mask.scale() : 0;
}

// out[V] = sum over the keys s that query (n, h, t) sees of
// weights[s] * dropout factor * v[n, s, g, :].
template <class T>
void attention_combine_naive(const AttentionShape &shape, const T *weights, HeadView<const T> v,
                             const AttentionOptions &options, Index n, Index h, Index t, T *out) {
  const Index group = h / (shape.heads / shape.groups);
  for (Index j = 0; j < shape.value_size; ++j)
    out[j] = T(0);
  if (options.dropout.rate == 1)
    return; // plain zeros, whatever the values are
  for (Index s = 0; s < shape.keys; ++s) {
    if (!options.mask.may_attend(n, h, t, s))
      continue;
    const T weight =
        weights[s] * static_cast<T>(dropout_factor_naive(shape, options.dropout, n, h, t, s));
    const T *value = v.row(n, s, group);
    for (Index j = 0; j < shape.value_size; ++j)
      out[j] += weight * value[j];
  }
}

// out [N, T, H, V]; lse [N, H, T] and scores [N, H, T, S], row-major, may each
// be null. The scores are those before dropout.
template <class T>
void attention_forward_naive(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                             HeadView<const T> v, const AttentionOptions &options, HeadView<T> out,
                             T *lse, T *scores) {
  std::vector<T> weights(static_cast<std::size_t>(shape.keys), T(0));
  for (Index n = 0; n < shape.elements(); ++n) {
    for (Index h = 0; h < shape.heads; ++h) {
      for (Index t = 0; t < shape.queries; ++t) {
        const Index row = (n * shape.heads + h) * shape.queries + t;
        const T row_lse = attention_row_naive(shape, q, k, options, n, h, t, weights.data());
        if (lse != nullptr)
          lse[row] = row_lse;
        if (scores != nullptr)
          std::copy(weights.begin(), weights.end(), scores + row * shape.keys);
        attention_combine_naive(shape, weights.data(), v, options, n, h, t, out.row(n, t, h));
      }
    }
  }
}

// Backward of one query. Reads only pairs that the mask allows; adds to d_q,
// d_k and d_v. `weights`[S] are its scores, d_scores[S] may be null.
template <class T>
void attention_row_backward_naive(const AttentionShape &shape, HeadView<const T> q,
                                  HeadView<const T> k, HeadView<const T> v,
                                  const AttentionOptions &options, Index n, Index h, Index t,
                                  const T *weights, const T *d_out, const T *d_scores,
                                  HeadView<T> d_q, HeadView<T> d_k, HeadView<T> d_v) {
  const Index group = h / (shape.heads / shape.groups);
  const auto sees = [&](Index s) { return options.mask.may_attend(n, h, t, s); };

  // out = sum of kept * weights v
  std::vector<T> d_weights(static_cast<std::size_t>(shape.keys), T(0));
  T mean(0); // of d_weights, under the weights
  for (Index s = 0; s < shape.keys; ++s) {
    if (!sees(s))
      continue;
    const T kept = static_cast<T>(dropout_factor_naive(shape, options.dropout, n, h, t, s));
    T &d_weight = d_weights[static_cast<std::size_t>(s)];
    for (Index j = 0; j < shape.value_size && options.dropout.rate < 1; ++j) {
      d_weight += kept * d_out[j] * v.row(n, s, group)[j];
      d_v.row(n, s, group)[j] += kept * weights[s] * d_out[j];
    }
    if (d_scores != nullptr)
      d_weight += d_scores[s];
    mean += weights[s] * d_weight;
  }

  // weights = softmax(scale <q, k>)
  for (Index s = 0; s < shape.keys; ++s) {
    if (!sees(s))
      continue;
    const T d_dot = static_cast<T>(options.scale) * weights[s] *
                    (d_weights[static_cast<std::size_t>(s)] - mean);
    for (Index i = 0; i < shape.key_size; ++i) {
      d_q.row(n, t, h)[i] += d_dot * k.row(n, s, group)[i];
      d_k.row(n, s, group)[i] += d_dot * q.row(n, t, h)[i];
    }
  }
}

template <class T>
void fill_rows_naive(HeadView<T> x, Index elements, Index tokens, Index heads, Index size, T with) {
  for (Index n = 0; n < elements; ++n)
    for (Index token = 0; token < tokens; ++token)
      for (Index h = 0; h < heads; ++h)
        std::fill_n(x.row(n, token, h), size, with);
}

// d_out like out, d_scores [N, H, T, S] or null -> d_q, d_k, d_v like q, k, v,
// overwritten.
template <class T>
void attention_backward_naive(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                              HeadView<const T> v, const AttentionOptions &options,
                              HeadView<const T> d_out, const T *d_scores, HeadView<T> d_q,
                              HeadView<T> d_k, HeadView<T> d_v) {
  const Index elements = shape.elements();
  fill_rows_naive(d_q, elements, shape.queries, shape.heads, shape.key_size, T(0));
  fill_rows_naive(d_k, elements, shape.keys, shape.groups, shape.key_size, T(0));
  fill_rows_naive(d_v, elements, shape.keys, shape.groups, shape.value_size, T(0));
  std::vector<T> weights(static_cast<std::size_t>(shape.keys), T(0));
  for (Index n = 0; n < elements; ++n) {
    for (Index h = 0; h < shape.heads; ++h) {
      for (Index t = 0; t < shape.queries; ++t) {
        const Index row = (n * shape.heads + h) * shape.queries + t;
        attention_row_naive(shape, q, k, options, n, h, t, weights.data());
        attention_row_backward_naive(
            shape, q, k, v, options, n, h, t, weights.data(), d_out.row(n, t, h),
            d_scores == nullptr ? nullptr : d_scores + row * shape.keys, d_q, d_k, d_v);
      }
    }
  }
}

// Writes scores [N, H, T, S] to where and how a caller of attention.h wants
// them.
template <class T>
void copy_scores_naive(const AttentionShape &shape, const T *scores, const ScoreView &to) {
  for (Index n = 0; n < shape.elements(); ++n) {
    const Index b = n / shape.free, f = n % shape.free;
    for (Index h = 0; h < shape.heads; ++h) {
      for (Index t = 0; t < shape.queries; ++t) {
        for (Index s = 0; s < shape.keys; ++s) {
          const double score = static_cast<double>(
              scores[((n * shape.heads + h) * shape.queries + t) * shape.keys + s]);
          double *place = to.data + b * to.batch + f * to.free + t * to.query + s * to.key;
          if (!to.mean_over_heads)
            place[h * to.head] = score;
          else
            *place = (h == 0 ? 0.0 : *place) + score / static_cast<double>(shape.heads);
        }
      }
    }
  }
}

} // namespace attentive
