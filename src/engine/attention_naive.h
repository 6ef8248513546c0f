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

// out[V] = sum over the keys s that query (n, h, t) sees of
// weights[s] * v[n, s, g, :].
template <class T>
void attention_combine_naive(const AttentionShape &shape, const T *weights, HeadView<const T> v,
                             const AttentionOptions &options, Index n, Index h, Index t, T *out) {
  const Index group = h / (shape.heads / shape.groups);
  for (Index j = 0; j < shape.value_size; ++j)
    out[j] = T(0);
  for (Index s = 0; s < shape.keys; ++s) {
    if (!options.mask.may_attend(n, h, t, s))
      continue;
    const T *value = v.row(n, s, group);
    for (Index j = 0; j < shape.value_size; ++j)
      out[j] += weights[s] * value[j];
  }
}

// out [N, T, H, V]; lse [N, H, T] and scores [N, H, T, S], row-major, may each
// be null. The scores are those before dropout.
template <class T>
void attention_forward_naive(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                             HeadView<const T> v, const AttentionOptions &options, HeadView<T> out,
                             T *lse, T *scores) {
  if (options.dropout.rate > 0)
    throw std::logic_error("the textbook core has no dropout yet");
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
