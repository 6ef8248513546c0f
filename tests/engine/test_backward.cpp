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
    e.largest_score = std::max(e.largest_score,
                               std::fabs(options.scale * dot(p.q.view().row(n, t, h),
                                                             p.k.view().row(n, s, g), a.key_size)));
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
      const auto at_q =
          static_cast<std::size_t>(((n * a.queries + t) * a.heads + h) * a.key_size + j);
      const auto at_k =
          static_cast<std::size_t>(((n * a.keys + s) * a.groups + g) * a.key_size + j);
      e.value.q[at_q] += d_s * key[j];
      e.terms.q[at_q] += d_s_terms * std::fabs(key[j]);
      e.value.k[at_k] += d_s * query[j];
      e.terms.k[at_k] += d_s_terms * std::fabs(query[j]);
    }
    for (Index j = 0; j < a.value_size; ++j) {
      const auto at =
          static_cast<std::size_t>(((n * a.keys + s) * a.groups + g) * a.value_size + j);
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
  std::vector<T> out = converted<T>(e.out), lse = converted<T>(times(e.lse, kLog2E)),
                 upstream = d_out;
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

// Everything that one backward pass takes.
template <class T> struct Case {
  Extras extras;
  AttentionOptions options;
  Problem<T> p;
  std::vector<double> d_out, d_scores;
  Expected e;

  explicit Case(const Configuration &c)
      : extras(draw_extras(c)), options(options_of(c, extras)), p(draw_problem<T>(c)),
        d_out(draw_array(c, 301, size(c, c.shape.value_size))),
        d_scores(draw_array(c, 302, extras.d_scores ? size(c, c.shape.keys) : 0)),
        e(expect(c.shape, Problem<double>(p), options, d_out.data(),
                 extras.d_scores ? d_scores.data() : nullptr)) {}

  static std::size_t size(const Configuration &c, Index last) {
    return Gradients<T>::size(c.shape, c.shape.queries, c.shape.heads, last);
  }
  Gradients<T> run(int threads) const {
    std::vector<T> given = converted<T>(d_scores);
    if (extras.d_scores)
      hide(p.c, given);
    return backward<T>(p, options, e, converted<T>(d_out), extras.d_scores ? &given : nullptr,
                       threads);
  }
};

// A query that sees one key has no use for its score: exactly 0, not rounded.
template <class T> bool lone_is_zero(const Case<T> &test, const Gradients<T> &d) {
  const Configuration &c = test.p.c;
  const AttentionShape &a = c.shape;
  bool zero = true;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        Index seen = 0;
        for (Index s = 0; s < a.keys; ++s)
          seen += c.mask.may_attend(n, h, t, s);
        const Index row = ((n * a.queries + t) * a.heads + h) * a.key_size;
        for (Index j = row; seen == 1 && j < row + a.key_size; ++j)
          zero = zero && (d.q[static_cast<std::size_t>(j)] == T(0) ||
                          std::isnan(test.e.value.q[static_cast<std::size_t>(j)]));
      }
  return zero;
}

template <class T> double test_configuration(const Configuration &c) {
  const double bound = bound_of(c.shape);
  const Case<T> test(c);
  const Extras &extras = test.extras;
  const Expected &e = test.e;
  const Gradients<T> d = test.run(1);
  const double errors[] = {error_of(d.q, e.value.q, e.terms.q), error_of(d.k, e.value.k, e.terms.k),
                           error_of(d.v, e.value.v, e.terms.v)};
  double worst = 0;
  for (double error : errors)
    worst = std::max(worst, error / e.largest_score);
  CHECK(worst < bound);
  CHECK(lone_is_zero(test, d));
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

// Shapes of more than one chunk of keys, more than one part of a chunk, shared
// keys, and both ends of tiles.
Configuration draw_long(std::uint64_t number) {
  const AttentionShape shapes[] = {
      // B, F, T, S, H, G, K, V
      {1, 1, 200, 700, 1, 1, 16, 24},   {2, 1, 130, 2500, 1, 1, 8, 8},
      {1, 1, 65, 900, 6, 2, 300, 20},   {1, 2, 70, 1100, 3, 1, 5, 33},
      {1, 1, 1000, 1000, 2, 2, 12, 12}, {1, 1, 33, 4200, 8, 8, 4, 4},
      {9, 1, 40, 520, 4, 4, 9, 7},      {1, 1, 1, 3000, 1, 1, 64, 64},
  };
  Dice dice(derive_key(5, number), 0);
  Configuration c;
  c.seed = 5;
  c.number = number;
  c.shape = shapes[number % 8];
  c.scale = 1 / std::sqrt(static_cast<double>(c.shape.key_size));
  draw_masks(dice, c);
  c.poison = dice.chance(0.3) ? Poison::hidden : Poison::none;
  c.heads_first = dice.chance(0.3);
  c.padding = dice.integer(0, 3);
  return c;
}

template <class T> bool equal(const std::vector<T> &a, const std::vector<T> &b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T> void test_long(std::uint64_t count) {
  double worst = 0;
  for (std::uint64_t number = 0; number < count; ++number) {
    const Configuration c = draw_long(number);
    worst = std::max(worst, test_configuration<T>(c));
    const Case<T> test(c);
    const Gradients<T> one = test.run(1);
    for (int threads : {2, 3, 8}) {
      const Gradients<T> many = test.run(threads);
      CHECK(equal(one.q, many.q) && equal(one.k, many.k) && equal(one.v, many.v));
    }
  }
  std::printf("%s %s: long, worst error %.2f of the bound\n", level_name(active_level()),
              sizeof(T) == 4 ? "float" : "double", worst);
}

// The last elements of a batch, run by themselves, have the same bits.
template <class T> void test_split(std::uint64_t number) {
  const Configuration c = draw_long(number);
  const AttentionShape &a = c.shape;
  const Index skipped = a.batch / 2;
  if (skipped == 0)
    return;
  const Case<T> test(c);
  const Gradients<T> whole = test.run(2);
  AttentionShape part = a;
  part.batch -= skipped;
  AttentionOptions options = test.options;
  const Index n = skipped * a.free;
  options.dropout.batch_offset += skipped;
  options.mask.dense =
      c.mask.dense == nullptr ? nullptr : c.mask.dense + skipped * c.mask.dense_batch;
  options.mask.query = c.mask.query == nullptr ? nullptr : c.mask.query + n * a.queries;
  options.mask.key = c.mask.key == nullptr ? nullptr : c.mask.key + n * a.keys;
  const auto from = [&](HeadView<const T> view) {
    return HeadView<const T>{view.data + n * view.element, view.element, view.token_stride,
                             view.head_stride};
  };
  std::vector<T> out = converted<T>(test.e.out), lse = converted<T>(times(test.e.lse, kLog2E)),
                 d_out = converted<T>(test.d_out), d_scores = converted<T>(test.d_scores);
  const auto rows = [&](const std::vector<T> &x) {
    const Index row = a.heads * a.value_size;
    return HeadView<const T>{x.data() + n * a.queries * row, a.queries * row, row, a.value_size};
  };
  Gradients<T> d(part, T(0));
  attention_backward<T>(
      part, from(test.p.q.view()), from(test.p.k.view()), from(test.p.v.view()), options, rows(out),
      lse.data() + n * a.heads * a.queries, rows(d_out),
      test.extras.d_scores ? d_scores.data() + n * a.heads * a.queries * a.keys : nullptr,
      head_rows(d.q, a.queries, a.heads, a.key_size), head_rows(d.k, a.keys, a.groups, a.key_size),
      head_rows(d.v, a.keys, a.groups, a.value_size), Execution{});
  const auto tail = [](const std::vector<T> &x, std::size_t size) {
    return std::vector<T>(x.end() - static_cast<std::ptrdiff_t>(size), x.end());
  };
  CHECK(equal(tail(whole.q, d.q.size()), d.q));
  CHECK(equal(tail(whole.k, d.k.size()), d.k));
  CHECK(equal(tail(whole.v, d.v.size()), d.v));
}

// <out, d_out> + <scores, d_scores>, of which `backward` is the gradient.
double loss(const Case<double> &test, const Problem<double> &p) {
  const AttentionShape &a = p.c.shape;
  const double *d_scores = test.extras.d_scores ? test.d_scores.data() : nullptr;
  const Expected e = expect(a, p, test.options, test.d_out.data(), d_scores);
  double sum = dot(e.out.data(), test.d_out.data(), static_cast<Index>(e.out.size()));
  if (d_scores != nullptr)
    sum += dot(e.scores.data(), d_scores, static_cast<Index>(e.scores.size()));
  return sum;
}

// That the formulas are derivatives: central differences of a few entries.
void test_formulas(std::uint64_t number) {
  Configuration c = draw_configuration(11, number, {});
  c.values = Values::ordinary;
  c.poison = Poison::none;
  const AttentionShape &a = c.shape;
  if (a.elements() == 0 || a.queries == 0 || a.keys == 0)
    return;
  const Case<double> test(c);
  Dice dice(derive_key(11, number), 1);
  for (int which = 0; which < 3; ++which) {
    const Index n = dice.integer(0, a.elements() - 1);
    const Index token = dice.integer(0, (which == 0 ? a.queries : a.keys) - 1);
    const Index tokens = which == 0 ? a.queries : a.keys, heads = which == 0 ? a.heads : a.groups;
    const Index h = dice.integer(0, heads - 1), size = which == 2 ? a.value_size : a.key_size;
    const Index i = dice.integer(0, size - 1);
    const Gradients<double> &value = test.e.value, &terms = test.e.terms;
    const auto at = static_cast<std::size_t>(((n * tokens + token) * heads + h) * size + i);
    const double expected = (which == 0 ? value.q : which == 1 ? value.k : value.v)[at];
    const double unit = (which == 0 ? terms.q : which == 1 ? terms.k : terms.v)[at];
    double sides[2];
    const double step = 1e-5;
    for (int side = 0; side < 2; ++side) {
      Problem<double> p(test.p);
      HeadArray<double> &x = which == 0 ? p.q : which == 1 ? p.k : p.v;
      x.view().row(n, token, h)[i] += side == 0 ? step : -step;
      sides[side] = loss(test, p);
    }
    const double slope = (sides[0] - sides[1]) / (2 * step);
    CHECK(std::fabs(slope - expected) <= 1e-6 * (1 + unit + std::fabs(sides[0])));
  }
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
    if (one + 1 != 0)
      continue;
    test_long<double>(8);
    test_long<float>(8);
    for (std::uint64_t number = 0; number < 16; ++number) {
      test_split<double>(number);
      test_split<float>(number);
    }
  }
  for (std::uint64_t number = 0; one + 1 == 0 && number < 60; ++number)
    test_formulas(number);
  return finish("test_backward");
}
