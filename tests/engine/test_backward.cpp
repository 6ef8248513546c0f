// The tiled backward pass against the formulas written out in double, those
// against central differences, and its bits over threads and batch splits.
#include <cmath>
#include <cstring>

#include "check.h"
#include "cpu.h"
#include "dropout.h"
#include "problem.h"

using namespace attentive_test;

namespace {

struct Extras {
  Dropout dropout;
  bool d_scores = false;
};

Extras draw_extras(const Configuration &c) {
  Dice dice(derive_key(c.seed, c.number), 300);
  Extras extras;
  if (dice.chance(0.4)) {
    extras.dropout.rate = dice.pick({0.1, 0.5, 0.9, 1.0});
    extras.dropout.seed = 77;
    extras.dropout.call = c.number;
    extras.dropout.batch_offset = dice.integer(0, 3);
  }
  extras.d_scores = dice.chance(0.3);
  return extras;
}

AttentionOptions options_of(const Configuration &c, const Extras &extras) {
  AttentionOptions options = c.options();
  options.dropout = extras.dropout;
  return options;
}

template <class T> struct Gradients {
  std::vector<T> q, k, v;
  explicit Gradients(const AttentionShape &a, T value)
      : q(size(a, a.queries, a.heads, a.key_size), value),
        k(size(a, a.keys, a.groups, a.key_size), value),
        v(size(a, a.keys, a.groups, a.value_size), value) {}
  static std::size_t size(const AttentionShape &a, Index tokens, Index heads, Index size) {
    return static_cast<std::size_t>(a.elements() * tokens * heads * size);
  }
};

// The formulas, and beside each gradient the sum of the sizes of its terms,
// which is what rounding is measured by.
struct Expected {
  Gradients<double> value, terms;
  std::vector<double> out, lse, scores;
  double largest_score = 1;
  explicit Expected(const AttentionShape &a)
      : value(a, 0), terms(a, 0), out(Gradients<double>::size(a, a.queries, a.heads, a.value_size)),
        lse(Gradients<double>::size(a, a.queries, a.heads, 1)),
        scores(Gradients<double>::size(a, a.queries, a.heads, a.keys)) {}
};

double dot(const double *x, const double *y, Index size, bool sizes = false) {
  double sum = 0;
  for (Index i = 0; i < size; ++i)
    sum += sizes ? std::fabs(x[i] * y[i]) : x[i] * y[i];
  return sum;
}

void expect_row(const AttentionShape &a, const Problem<double> &p, const AttentionOptions &options,
                const double *d_out, const double *d_scores, Index n, Index h, Index t,
                Expected &e) {
  const DropoutMask mask(options.dropout, a);
  const DropoutHead head = mask.head(n, h);
  const Index g = h / (a.heads / a.groups), row = (n * a.heads + h) * a.queries + t;
  const std::size_t keys = static_cast<std::size_t>(a.keys);
  double *weights = e.scores.data() + row * a.keys;
  e.lse[static_cast<std::size_t>(row)] =
      attention_row_naive(a, p.q.view(), p.k.view(), options, n, h, t, weights);
  double *out = e.out.data() + ((n * a.queries + t) * a.heads + h) * a.value_size;
  std::vector<double> d_weight(keys), d_weight_terms(keys), factor(keys);
  double delta = 0, delta_terms = 0;
  for (Index s = 0; s < a.keys; ++s) {
    if (!options.mask.may_attend(n, h, t, s))
      continue;
    const std::size_t i = static_cast<std::size_t>(s);
    factor[i] = head.keeps(t, s) ? mask.scale() : 0;
    const double *value = p.v.view().row(n, s, g);
    for (Index j = 0; j < a.value_size; ++j)
      out[j] += weights[s] * factor[i] * value[j];
    const double upstream = d_scores == nullptr ? 0 : d_scores[row * a.keys + s];
    d_weight[i] = factor[i] * dot(d_out, value, a.value_size) + upstream;
    d_weight_terms[i] = factor[i] * dot(d_out, value, a.value_size, true) + std::fabs(upstream);
    delta += weights[s] * d_weight[i];
    delta_terms += weights[s] * d_weight_terms[i];
    e.largest_score = std::max(
        e.largest_score,
        std::fabs(options.scale * dot(p.q.view().row(n, t, h), p.k.view().row(n, s, g), a.key_size)));
  }
  for (Index s = 0; s < a.keys; ++s) {
    if (!options.mask.may_attend(n, h, t, s))
      continue;
    const std::size_t i = static_cast<std::size_t>(s);
    const double d_s = options.scale * weights[s] * (d_weight[i] - delta);
    const double d_s_terms =
        std::fabs(options.scale) * weights[s] * (d_weight_terms[i] + delta_terms);
    const double *query = p.q.view().row(n, t, h), *key = p.k.view().row(n, s, g);
    for (Index j = 0; j < a.key_size; ++j) {
      const auto at_q = static_cast<std::size_t>(((n * a.queries + t) * a.heads + h) * a.key_size + j);
      const auto at_k = static_cast<std::size_t>(((n * a.keys + s) * a.groups + g) * a.key_size + j);
      e.value.q[at_q] += d_s * key[j];
      e.terms.q[at_q] += d_s_terms * std::fabs(key[j]);
      e.value.k[at_k] += d_s * query[j];
      e.terms.k[at_k] += d_s_terms * std::fabs(query[j]);
    }
    for (Index j = 0; j < a.value_size; ++j) {
      const auto at = static_cast<std::size_t>(((n * a.keys + s) * a.groups + g) * a.value_size + j);
      e.value.v[at] += weights[s] * factor[i] * d_out[j];
      e.terms.v[at] += std::fabs(weights[s] * factor[i] * d_out[j]);
    }
  }
}

Expected expect(const AttentionShape &a, const Problem<double> &p, const AttentionOptions &options,
                const double *d_out, const double *d_scores) {
  Expected e(a);
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t)
        expect_row(a, p, options, d_out + ((n * a.queries + t) * a.heads + h) * a.value_size,
                   d_scores, n, h, t, e);
  return e;
}

std::vector<double> draw_array(const Configuration &c, std::uint64_t stream, std::size_t size) {
  std::vector<double> x(size);
  Dice dice(derive_key(c.seed, c.number), stream);
  for (double &value : x) // exact as float too
    value = static_cast<double>(dice.integer(-1000, 1000)) / 512;
  return x;
}

template <class T> std::vector<T> converted(const std::vector<double> &x) {
  std::vector<T> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] = static_cast<T>(x[i]);
  return y;
}

// NaN where nobody may look: upstream scores of forbidden pairs.
template <class T> void hide(const Configuration &c, std::vector<T> &d_scores) {
  const AttentionShape &a = c.shape;
  std::size_t i = 0;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t)
        for (Index s = 0; s < a.keys; ++s, ++i)
          if (!c.mask.may_attend(n, h, t, s))
            d_scores[i] = std::numeric_limits<T>::quiet_NaN();
}

template <class T>
Gradients<T> backward(const Problem<T> &p, const AttentionOptions &options, const Expected &e,
                      const std::vector<T> &d_out, const std::vector<T> *d_scores, int threads) {
  const AttentionShape &a = p.c.shape;
  Gradients<T> d(a, std::numeric_limits<T>::quiet_NaN());
  std::vector<T> out = converted<T>(e.out), lse = converted<T>(e.lse), upstream = d_out;
  Execution execution;
  execution.threads = threads;
  const HeadView<T> o = head_rows(out, a.queries, a.heads, a.value_size);
  const HeadView<T> d_o = head_rows(upstream, a.queries, a.heads, a.value_size);
  attention_backward<T>(a, p.q.view(), p.k.view(), p.v.view(), options,
                        {o.data, o.element, o.token_stride, o.head_stride}, lse.data(),
                        {d_o.data, d_o.element, d_o.token_stride, d_o.head_stride},
                        d_scores == nullptr ? nullptr : d_scores->data(),
                        head_rows(d.q, a.queries, a.heads, a.key_size),
                        head_rows(d.k, a.keys, a.groups, a.key_size),
                        head_rows(d.v, a.keys, a.groups, a.value_size), execution);
  return d;
}

// The largest error in units of eps times the terms; -1: 0 where it has to be.
template <class T>
double error_of(const std::vector<T> &got, const std::vector<double> &value,
                const std::vector<double> &terms) {
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(value[i]))
      continue;
    const double unit = terms[i] * static_cast<double>(std::numeric_limits<T>::epsilon()) +
                        16 * static_cast<double>(std::numeric_limits<T>::min());
    const double error = std::fabs(static_cast<double>(got[i]) - value[i]) / unit;
    const bool exact = terms[i] != 0 || got[i] == T(0);
    worst = error <= worst && exact ? worst : exact && error == error ? error : 1e300;
  }
  return worst;
}

// The error of a score of K rounded terms grows as the root of K at random.
double bound_of(const AttentionShape &a) {
  return 4 * std::sqrt(static_cast<double>(16 + a.key_size + a.value_size));
}

template <class T> double test_configuration(const Configuration &c) {
  const double bound = bound_of(c.shape);
  const AttentionShape &a = c.shape;
  const Extras extras = draw_extras(c);
  const AttentionOptions options = options_of(c, extras);
  const Problem<T> p = draw_problem<T>(c);
  const Problem<double> wide(p);
  const std::vector<double> d_out = draw_array(c, 301, Gradients<T>::size(a, a.queries, a.heads, a.value_size));
  const std::vector<double> d_scores =
      draw_array(c, 302, extras.d_scores ? Gradients<T>::size(a, a.queries, a.heads, a.keys) : 0);
  const Expected e =
      expect(a, wide, options, d_out.data(), extras.d_scores ? d_scores.data() : nullptr);
  std::vector<T> given = converted<T>(d_scores);
  if (extras.d_scores)
    hide(c, given);
  const Gradients<T> d =
      backward<T>(p, options, e, converted<T>(d_out), extras.d_scores ? &given : nullptr, 1);
  const double errors[] = {error_of(d.q, e.value.q, e.terms.q), error_of(d.k, e.value.k, e.terms.k),
                           error_of(d.v, e.value.v, e.terms.v)};
  double worst = 0;
  for (double error : errors)
    worst = std::max(worst, error / e.largest_score);
  CHECK(worst < bound);
  if (!(worst < bound))
    std::printf("%s %s\n  %s dropout %g%s: d_q %g d_k %g d_v %g, scores to %g\n",
                level_name(active_level()), c.replay().c_str(), c.describe().c_str(),
                extras.dropout.rate, extras.d_scores ? " d_scores" : "", errors[0], errors[1],
                errors[2], e.largest_score);
  return worst / bound;
}

template <class T> void test_random(std::uint64_t seed, std::uint64_t first, std::uint64_t last) {
  double worst = 0;
  for (std::uint64_t number = first; number < last; ++number) {
    const Configuration c = draw_configuration(seed, number);
    if (c.values != Values::overflow)
      worst = std::max(worst, test_configuration<T>(c));
  }
  std::printf("%s %s: worst error %.2f of the bound\n", level_name(active_level()),
              sizeof(T) == 4 ? "float" : "double", worst);
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 1);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 300);
  const std::uint64_t first = one + 1 == 0 ? 0 : one, last = one + 1 == 0 ? count : one + 1;
  for (Level level : available_levels()) {
    set_level(level_name(level));
    test_random<double>(seed, first, last);
    test_random<float>(seed, first, last);
  }
  return finish("test_backward");
}
