// Gradients of dot-product and additive attention against exact derivatives:
// the textbook on dual numbers, along one random direction for each input and
// each number of the score.
//   ATTENTIVE_CONFIGS   how many, default 2000
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include "additive_attention_naive.h"
#include "check.h"
#include "compare.h"
#include "cpu.h"
#include "dual.h"

using namespace attentive_test;

namespace {

enum Leaf { kQuery, kKey, kValue, kScale, kInside, kOutside, kLeaves };
template <class T> using Leaves = std::vector<std::vector<T>>;

struct Case {
  Configuration c;
  AttentionOptions options;
  bool dot = false; // kOutside is then the scale of the dot product
  bool has_scale = false;
  Leaves<double> leaves, direction;
  std::vector<double> upstream, scores_upstream;
};

std::vector<double> draw_numbers(const Configuration &c, std::uint64_t stream, Index size) {
  std::vector<double> x;
  for (Index i = 0; i < size; ++i)
    x.push_back(2 * random_uniform(derive_key(c.seed, c.number), stream,
                                   static_cast<std::uint64_t>(i)) -
                1);
  return x;
}

Case draw_case(std::uint64_t seed, std::uint64_t number) {
  Limits limits;
  limits.budget = 1e5;
  Case result;
  Configuration &c = result.c;
  c = draw_configuration(seed, number, limits);
  c.padding = c.offset = 0;
  c.heads_first = false;
  c.shape.heads = c.shape.groups = 1;
  if (c.values == Values::overflow || c.values == Values::large_scores)
    c.values = Values::ordinary; // there are no derivatives to be near to
  if (c.poison == Poison::anywhere)
    c.poison = Poison::hidden;
  Dice dice(derive_key(seed, number), 500);
  result.dot = dice.chance(0.4);
  result.has_scale = !result.dot && dice.chance(0.5);
  result.options = c.options();
  if (dice.chance(0.3))
    result.options.dropout = {dice.chance(0.1) ? 1 : dice.uniform(), seed, number,
                              dice.integer(0, 3)};
  const Problem<double> p = draw_problem<double>(c);
  result.leaves = {p.q.all(), p.k.all(), p.v.all(), {}, {}, {}};
  result.leaves[kScale] = draw_numbers(c, 301, result.has_scale ? c.shape.key_size : 0);
  result.leaves[kInside] = {result.dot || dice.chance(0.3) ? 1 : 2 * dice.uniform() - 1};
  result.leaves[kOutside] = {dice.chance(0.1) ? 0 : 2 * dice.uniform() - 1};
  for (std::size_t leaf = 0; leaf < kLeaves; ++leaf)
    result.direction.push_back(
        draw_numbers(c, 310 + leaf, static_cast<Index>(result.leaves[leaf].size())));
  result.upstream = draw_numbers(c, 320, c.shape.elements() * c.shape.queries * c.shape.value_size);
  // With a hidden NaN, a query that does not take part has scores that are NaN.
  if (c.poison == Poison::none && dice.chance(0.4))
    result.scores_upstream =
        draw_numbers(c, 321, c.shape.elements() * c.shape.queries * c.shape.keys);
  return result;
}

// The outputs (rows of queries that do not take part 0) and scores after
// dropout of dot-product attention, with the scale as a number of its own.
template <class T>
void dot_naive(const Case &x, const Leaves<T> &leaves, T *out, T *scores) {
  const AttentionShape &a = x.c.shape;
  std::vector<T> q = leaves[kQuery];
  for (T &number : q)
    number = leaves[kOutside][0] * number;
  AttentionOptions options = x.options;
  options.scale = 1;
  options.mask.query = nullptr;
  attention_forward_naive<T>(a, one_head<const T>(q.data(), a.queries, a.key_size),
                             one_head<const T>(leaves[kKey].data(), a.keys, a.key_size),
                             one_head<const T>(leaves[kValue].data(), a.keys, a.value_size),
                             options, one_head(out, a.queries, a.value_size), nullptr, scores);
  for (Index row = 0; row < a.elements() * a.queries; ++row) {
    if (x.options.mask.query != nullptr && x.options.mask.query[row] == 0)
      std::fill_n(out + row * a.value_size, a.value_size, T(0));
    for (Index s = 0; s < a.keys; ++s)
      scores[row * a.keys + s] =
          scores[row * a.keys + s] *
          static_cast<T>(dropout_factor_naive(a, options.dropout, row / a.queries, 0,
                                              row % a.queries, s));
  }
}

template <class T> AdditiveScore<T> score_of(const Case &x, const Leaves<T> &leaves) {
  AdditiveScore<T> score;
  score.scale = x.has_scale ? leaves[kScale].data() : nullptr;
  score.inside = leaves[kInside][0];
  score.outside = leaves[kOutside][0];
  return score;
}

// <gradient, direction> for each leaf, exactly.
std::vector<double> exact_derivatives(const Case &x) {
  using Scalar = Dual<double, kLeaves>;
  const AttentionShape &a = x.c.shape;
  Leaves<Scalar> leaves;
  for (std::size_t leaf = 0; leaf < kLeaves; ++leaf) {
    leaves.emplace_back();
    for (std::size_t i = 0; i < x.leaves[leaf].size(); ++i) {
      leaves.back().push_back(Scalar(x.leaves[leaf][i]));
      leaves.back().back().d[leaf] = x.direction[leaf][i];
    }
  }
  std::vector<Scalar> out(x.upstream.size(), Scalar(0));
  std::vector<Scalar> scores(static_cast<std::size_t>(a.elements() * a.queries * a.keys),
                             Scalar(0));
  if (x.dot)
    dot_naive(x, leaves, out.data(), scores.data());
  else
    additive_attention_forward_naive<Scalar>(
        a, {leaves[kQuery].data(), leaves[kKey].data(), leaves[kValue].data()}, score_of(x, leaves),
        x.options, out.data(), scores.data());
  Scalar loss(0);
  for (std::size_t i = 0; i < out.size(); ++i)
    loss += Scalar(x.upstream[i]) * out[i];
  for (std::size_t i = 0; i < x.scores_upstream.size(); ++i)
    loss += Scalar(x.scores_upstream[i]) * scores[i];
  return std::vector<double>(loss.d, loss.d + kLeaves);
}

// How large the terms are that cancel in the derivatives of a dot product, times
// the largest score: what a rounding can do. Sums over all pairs that are seen.
std::vector<double> dot_noise(const Case &x) {
  const AttentionShape &a = x.c.shape;
  const auto row = [](const std::vector<double> &numbers, Index at, Index size) {
    return numbers.data() + at * size;
  };
  std::vector<double> noise(kLeaves, 0.0), weights(static_cast<std::size_t>(a.keys));
  std::vector<double> q = x.leaves[kQuery];
  for (double &number : q)
    number *= x.leaves[kOutside][0];
  AttentionOptions options = x.options;
  options.scale = 1;
  if (!x.scores_upstream.empty())
    options.mask.query = nullptr;
  double largest = 1;
  for (Index t = 0; t < a.elements() * a.queries; ++t) {
    const Index n = t / a.queries;
    attention_row_naive<double>(
        a, one_head<const double>(q.data(), a.queries, a.key_size),
        one_head<const double>(x.leaves[kKey].data(), a.keys, a.key_size), options, n, 0,
        t % a.queries, weights.data());
    for (Index s = 0; s < a.keys; ++s) {
      if (!options.mask.may_attend(n, 0, t % a.queries, s))
        continue;
      double d_weight = 0;
      if (!x.scores_upstream.empty())
        d_weight = std::fabs(x.scores_upstream[static_cast<std::size_t>(t * a.keys + s)]);
      for (Index j = 0; j < a.value_size; ++j)
        d_weight += std::fabs(row(x.upstream, t, a.value_size)[j] *
                              row(x.leaves[kValue], n * a.keys + s, a.value_size)[j]);
      d_weight *= weights[static_cast<std::size_t>(s)];
      double score = 0;
      for (Index i = 0; i < a.key_size; ++i) {
        const double q_i = row(q, t, a.key_size)[i];
        const double k_i = row(x.leaves[kKey], n * a.keys + s, a.key_size)[i];
        score += q_i * k_i;
        noise[kQuery] += std::fabs(d_weight * k_i * row(x.direction[kQuery], t, a.key_size)[i]);
        noise[kKey] +=
            std::fabs(d_weight * q_i * row(x.direction[kKey], n * a.keys + s, a.key_size)[i]);
        noise[kOutside] +=
            std::fabs(d_weight * k_i * row(x.leaves[kQuery], t, a.key_size)[i]);
      }
      largest = std::max(largest, std::fabs(score));
    }
  }
  for (double &number : noise)
    number *= largest / 30; // roundings have either sign
  return noise;
}

template <class T> std::vector<T> as(const std::vector<double> &x) {
  std::vector<T> result;
  for (double number : x)
    result.push_back(static_cast<T>(number));
  return result;
}

template <class T> Leaves<T> engine(const Case &x, int threads) {
  const AttentionShape &a = x.c.shape;
  Leaves<T> leaves, gradient;
  for (const std::vector<double> &leaf : x.leaves) {
    leaves.push_back(as<T>(leaf));
    gradient.emplace_back(leaf.size(), T(-1));
  }
  const std::vector<T> upstream = as<T>(x.upstream), scores_upstream = as<T>(x.scores_upstream);
  const T *d_scores = scores_upstream.empty() ? nullptr : scores_upstream.data();
  const PlainInputs<T> inputs{leaves[kQuery].data(), leaves[kKey].data(), leaves[kValue].data()};
  const PlainGradients<T> to{gradient[kQuery].data(), gradient[kKey].data(),
                             gradient[kValue].data()};
  Execution execution;
  execution.threads = threads;
  AttentionOptions options = x.options;
  if (x.dot) {
    options.scale = static_cast<double>(leaves[kOutside][0]);
    gradient[kInside][0] = 0;
    dot_attention_backward<T>(a, inputs, options, upstream.data(), d_scores, to,
                              gradient[kOutside].data(), execution);
  } else {
    additive_attention_backward<T>(
        a, inputs, score_of(x, leaves), options, upstream.data(), d_scores, to,
        {gradient[kScale].data(), gradient[kInside].data(), gradient[kOutside].data()}, execution);
  }
  return gradient;
}

template <class T>
void check_case(const Case &x, const std::vector<double> &exact, const std::vector<double> &noise,
                Verdicts &verdicts) {
  static const char *const names[] = {"query", "key", "value", "scale", "inside", "outside"};
  for (Level level : available_levels()) {
    set_level(level_name(level));
    const std::string name = std::string(x.dot ? "dot " : "additive ") + level_name(level) +
                             (sizeof(T) == 4 ? " float " : " double ");
    const Leaves<T> gradient = engine<T>(x, 1);
    for (std::size_t leaf = 0; leaf < kLeaves; ++leaf) {
      double sum = 0, size = 1 + noise[leaf];
      for (std::size_t i = 0; i < gradient[leaf].size(); ++i) {
        const double term = static_cast<double>(gradient[leaf][i]) * x.direction[leaf][i];
        sum += term;
        size += std::fabs(term);
      }
      Difference d;
      d.error = std::fabs(sum - exact[leaf]) / size;
      d.wrong_class = !std::isfinite(sum);
      verdicts.add(name + names[leaf], d, sizeof(T) == 4 ? 2e-5 : 4e-14, x.c);
    }
    const Leaves<T> again = engine<T>(x, 2);
    bool same = true;
    for (std::size_t leaf = 0; leaf < kLeaves; ++leaf)
      same = same && std::equal(again[leaf].begin(), again[leaf].end(), gradient[leaf].begin());
    verdicts.require(name + "bits for 2 threads", same, x.c);
  }
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 1);
  const std::uint64_t configs = environment_number("ATTENTIVE_CONFIGS", 2000);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const bool single = one != ~std::uint64_t{0};
  Verdicts verdicts;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : configs); ++number) {
    const Case x = draw_case(seed, number);
    const std::vector<double> exact = exact_derivatives(x);
    const std::vector<double> noise = x.dot ? dot_noise(x) : std::vector<double>(kLeaves, 0.0);
    check_case<float>(x, exact, noise, verdicts);
    check_case<double>(x, exact, noise, verdicts);
  }
  set_level("auto");
  verdicts.print();
  CHECK(verdicts.failed() == 0);
  CHECK(verdicts.cases() > 0);
  return attentive_test::finish("test_sibling_gradients");
}
