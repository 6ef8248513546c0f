// The tiled backward pass of the core against the textbook's, which
// test_gradient_oracle holds against exact derivatives: random configurations,
// both types, every instruction set.
//   ATTENTIVE_CONFIGS   how many, default 2000
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include "compare.h"
#include "coverage.h"
#include "cpu.h"

using namespace attentive_test;

namespace {

template <class T> const char *type_name() { return sizeof(T) == 4 ? "float" : "double"; }

// d_q [N, T, H, K], d_k [N, S, G, K], d_v [N, S, G, V], row-major.
template <class T> struct Gradients {
  std::vector<T> q, k, v;
  explicit Gradients(const AttentionShape &a)
      : q(static_cast<std::size_t>(a.elements() * a.queries * a.heads * a.key_size)),
        k(static_cast<std::size_t>(a.elements() * a.keys * a.groups * a.key_size)),
        v(static_cast<std::size_t>(a.elements() * a.keys * a.groups * a.value_size)) {}
};

// What arrives: at out, and in half of the cases at the scores, where NaN
// stands at every pair that the mask forbids.
template <class T> struct Upstream {
  std::vector<T> out, scores;

  explicit Upstream(const Configuration &c) : out(Answer<T>(c.shape).out) {
    const AttentionShape &a = c.shape;
    const std::uint64_t key = derive_key(c.seed, c.number);
    fill_uniform(key, 600, -1.7, 1.7, out.data(), static_cast<Index>(out.size()));
    if (c.number % 2 == 0)
      return;
    scores = Answer<T>(a).scores;
    fill_uniform(key, 601, -1.7, 1.7, scores.data(), static_cast<Index>(scores.size()));
    std::size_t i = 0;
    for (Index n = 0; n < a.elements(); ++n)
      for (Index h = 0; h < a.heads; ++h)
        for (Index t = 0; t < a.queries; ++t)
          for (Index s = 0; s < a.keys; ++s, ++i)
            if (!c.mask.may_attend(n, h, t, s))
              scores[i] = std::numeric_limits<T>::quiet_NaN();
  }
  template <class U>
  explicit Upstream(const Upstream<U> &other)
      : out(other.out.begin(), other.out.end()), scores(other.scores.begin(), other.scores.end()) {}

  HeadView<const T> out_view(const AttentionShape &a) const {
    return {out.data(), a.queries * a.heads * a.value_size, a.heads * a.value_size, a.value_size};
  }
  const T *scores_or_null() const { return scores.empty() ? nullptr : scores.data(); }
};

template <class T> Gradients<T> textbook_gradients(const Problem<T> &p, const Upstream<T> &d) {
  const AttentionShape &a = p.c.shape;
  Gradients<T> g(a);
  attention_backward_naive<T>(a, p.q.view(), p.k.view(), p.v.view(), p.c.options(), d.out_view(a),
                              d.scores_or_null(), head_rows(g.q, a.queries, a.heads, a.key_size),
                              head_rows(g.k, a.keys, a.groups, a.key_size),
                              head_rows(g.v, a.keys, a.groups, a.value_size));
  return g;
}

// The numbers out of their rows; false if anything between them was written.
template <class T>
bool collect(const HeadArray<T> &from, const AttentionShape &a, Index tokens, Index heads,
             Index size, T mark, std::vector<T> &to) {
  std::size_t marks = 0, i = 0;
  for (T x : from.all())
    marks += x == mark;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index token = 0; token < tokens; ++token)
      for (Index h = 0; h < heads; ++h)
        for (Index j = 0; j < size; ++j)
          to[i++] = from.view().row(n, token, h)[j];
  return marks == from.all().size() - to.size();
}

template <class T> bool engine(const Problem<T> &p, const Upstream<T> &d, Gradients<T> &g) {
  const Configuration &c = p.c;
  const AttentionShape &a = c.shape;
  const T mark = static_cast<T>(-12345.678);
  HeadArray<T> out(c, a.queries, a.heads, a.value_size, mark);
  HeadArray<T> d_q(c, a.queries, a.heads, a.key_size, mark);
  HeadArray<T> d_k(c, a.keys, a.groups, a.key_size, mark);
  HeadArray<T> d_v(c, a.keys, a.groups, a.value_size, mark);
  std::vector<T> lse = Answer<T>(a).lse;
  const Execution execution;
  attention_forward<T>(a, p.q.view(), p.k.view(), p.v.view(), c.options(), out.view(), lse.data(),
                       execution);
  const HeadArray<T> &const_out = out;
  attention_backward<T>(a, p.q.view(), p.k.view(), p.v.view(), c.options(), const_out.view(),
                        lse.data(), d.out_view(a), d.scores_or_null(), d_q.view(), d_k.view(),
                        d_v.view(), execution);
  const bool q = collect(d_q, a, a.queries, a.heads, a.key_size, mark, g.q);
  const bool k = collect(d_k, a, a.keys, a.groups, a.key_size, mark, g.k);
  const bool v = collect(d_v, a, a.keys, a.groups, a.value_size, mark, g.v);
  return q && k && v;
}

// The largest number in each gradient had nothing cancelled on the way: what
// its rounding is to be measured by. A row of one dominant score, for instance,
// has d_q and d_k of 0 through d_weight - mean, both far from 0.
struct Magnitudes {
  double q = 0, k = 0, v = 0;
};

Magnitudes magnitudes(const Problem<double> &p, const Upstream<double> &d,
                      const Answer<double> &forward) {
  const AttentionShape &a = p.c.shape;
  const auto largest_in = [](const double *row, Index size) {
    double largest = 0;
    for (Index i = 0; i < size; ++i)
      largest = std::max(largest, std::isfinite(row[i]) ? std::fabs(row[i]) : 0);
    return largest;
  };
  Magnitudes m;
  const double kept = std::max(1.0, DropoutMask(p.c.dropout, a).scale());
  std::vector<double> k_sums(static_cast<std::size_t>(a.elements() * a.keys * a.groups), 0.0);
  std::vector<double> v_sums = k_sums;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        const Index row = ((n * a.heads + h) * a.queries + t) * a.keys, g = h * a.groups / a.heads;
        const double *d_out = d.out_view(a).row(n, t, h);
        double d_weight = 0, q_sum = 0;
        const auto weight = [&](Index s) {
          const double w = forward.scores[static_cast<std::size_t>(row + s)];
          return std::isfinite(w) ? w : 0;
        };
        for (Index s = 0; s < a.keys; ++s) {
          if (!p.c.mask.may_attend(n, h, t, s))
            continue;
          double sum =
              d.scores.empty() ? 0 : std::fabs(d.scores[static_cast<std::size_t>(row + s)]);
          for (Index j = 0; j < a.value_size; ++j)
            sum += kept * std::fabs(d_out[j] * p.v.view().row(n, s, g)[j]);
          d_weight = std::max(d_weight, std::isfinite(sum) ? sum : 0);
          q_sum += weight(s) * largest_in(p.k.view().row(n, s, g), a.key_size);
        }
        const double slope = 2 * std::fabs(p.c.scale) * d_weight;
        m.q = std::max(m.q, slope * q_sum);
        for (Index s = 0; s < a.keys; ++s) {
          const std::size_t key = static_cast<std::size_t>((n * a.keys + s) * a.groups + g);
          k_sums[key] += slope * weight(s) * largest_in(p.q.view().row(n, t, h), a.key_size);
          v_sums[key] += kept * weight(s) * largest_in(d_out, a.value_size);
        }
      }
  for (std::size_t i = 0; i < k_sums.size(); ++i) {
    m.k = std::max(m.k, k_sums[i]);
    m.v = std::max(m.v, v_sums[i]);
  }
  return m;
}

// Scores beyond precision (compare.h) reach the gradients of the query and of
// every key that it sees.
void mark_beyond(const Configuration &c, const std::vector<char> &rows, Rules &q, Rules &k,
                 Rules &v) {
  const AttentionShape &a = c.shape;
  q.beyond.assign(static_cast<std::size_t>(a.elements() * a.queries * a.heads * a.key_size), 0);
  k.beyond.assign(static_cast<std::size_t>(a.elements() * a.keys * a.groups * a.key_size), 0);
  v.beyond.assign(static_cast<std::size_t>(a.elements() * a.keys * a.groups * a.value_size), 0);
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        const char mark = rows[static_cast<std::size_t>((n * a.heads + h) * a.queries + t)];
        const auto spread = [mark](Rules &to, Index row, Index size) {
          for (Index i = row * size; i < (row + 1) * size; ++i) {
            char &x = to.beyond[static_cast<std::size_t>(i)];
            x = static_cast<char>(x | mark);
          }
        };
        if (mark == 0)
          continue;
        spread(q, (n * a.queries + t) * a.heads + h, a.key_size);
        for (Index s = 0; s < a.keys; ++s) {
          if (!c.mask.may_attend(n, h, t, s))
            continue;
          const Index key = (n * a.keys + s) * a.groups + h * a.groups / a.heads;
          spread(k, key, a.key_size);
          spread(v, key, a.value_size);
        }
      }
}

// Exactly 0 where nothing may flow: queries that see nothing, keys unseen.
template <class T> bool hidden_gets_zero(const Configuration &c, const Gradients<T> &g) {
  const AttentionShape &a = c.shape;
  bool good = true;
  const auto zero = [&](const std::vector<T> &x, Index row, Index size) {
    for (Index i = row * size; i < (row + 1) * size; ++i)
      good = good && x[static_cast<std::size_t>(i)] == 0;
  };
  for (Index n = 0; n < a.elements(); ++n) {
    for (Index t = 0; t < a.queries; ++t)
      for (Index h = 0; h < a.heads; ++h)
        if (!query_sees(c, n, h, t))
          zero(g.q, (n * a.queries + t) * a.heads + h, a.key_size);
    for (Index s = 0; s < a.keys; ++s)
      for (Index group = 0; group < a.groups; ++group)
        if (!key_is_seen(c, n, s, group)) {
          zero(g.k, (n * a.keys + s) * a.groups + group, a.key_size);
          zero(g.v, (n * a.keys + s) * a.groups + group, a.value_size);
        }
  }
  return good;
}

template <class T> void check(const Configuration &c, Verdicts &verdicts) {
  const Problem<T> p = draw_problem<T>(c);
  const Problem<double> wide(p);
  const Upstream<T> upstream(c);
  const Gradients<T> own = textbook_gradients(p, upstream);
  const Upstream<double> wide_upstream(upstream);
  const Gradients<double> exact = textbook_gradients(wide, wide_upstream);
  const ScoreSizes sizes = score_sizes<T>(wide);
  const Magnitudes scale = magnitudes(wide, wide_upstream, textbook(wide));
  Rules q, k, v;
  std::vector<char> rows = sizes.beyond;
  mark_dropped_nan(c, textbook(p).lse, rows);
  mark_beyond(c, rows, q, k, v);
  q.scale = std::max(1.0, scale.q);
  k.scale = std::max(1.0, scale.k);
  v.scale = std::max(1.0, scale.v);
  for (Level level : available_levels()) {
    set_level(level_name(level));
    Gradients<T> got(c.shape);
    const bool inside = engine(p, upstream, got);
    const auto name = [&](const char *quantity) {
      return std::string(level_name(level)) + " " + type_name<T>() + " " + quantity;
    };
    const auto compare = [&](const char *quantity, const Difference &d) {
      verdicts.add(name(quantity), d, gradient_bound_of<T>(d, sizes.largest), c);
    };
    compare("d_q", difference(got.q, own.q, exact.q, q));
    compare("d_k", difference(got.k, own.k, exact.k, k));
    compare("d_v", difference(got.v, own.v, exact.v, v));
    verdicts.require(name("writes inside"), inside, c);
    verdicts.require(name("hidden gets 0"), hidden_gets_zero(c, got), c);
  }
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 5);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 2000);
  const bool single = one != ~std::uint64_t{0};
  Limits limits;
  limits.budget = 1e6;
  Verdicts verdicts;
  Coverage coverage;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : count); ++number) {
    const Configuration c = draw_configuration(seed, number, limits);
    coverage.add(c);
    check<float>(c, verdicts);
    check<double>(c, verdicts);
  }
  set_level("auto");
  verdicts.print();
  coverage.print();
  std::printf("test_attention_backward: seed %llu, %ld comparisons, %.1f%% degenerate, %ld "
              "marginal, %ld failed\n",
              static_cast<unsigned long long>(seed), verdicts.cases(), coverage.degenerate_share(),
              verdicts.marginal(), verdicts.failed());
  return verdicts.failed() == 0 && verdicts.cases() > 0 ? 0 : 1;
}
