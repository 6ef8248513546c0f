// Additive attention, tiled, against its textbook: random configurations, both
// types, every instruction set of this processor.
//   ATTENTIVE_CONFIGS   how many, default 2000
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include "additive_attention_naive.h"
#include "attention_tiles.h"
#include "check.h"
#include "compare.h"
#include "cpu.h"

#include <cmath>
#include <limits>

using namespace attentive_test;

namespace {

template <class T> const char *type_name() { return sizeof(T) == 4 ? "float" : "double"; }

// A configuration of the core without heads and without room between rows.
Configuration draw_additive(std::uint64_t seed, std::uint64_t number) {
  Limits limits;
  limits.budget = 4e5; // tanh is dear
  Configuration c = draw_configuration(seed, number, limits);
  c.padding = c.offset = 0;
  c.heads_first = false;
  c.shape.heads = c.shape.groups = 1;
  return c;
}

AttentionOptions options_of(const Configuration &c) {
  AttentionOptions options = c.options();
  Dice dice(derive_key(c.seed, c.number), 500);
  if (dice.chance(0.3))
    options.dropout = {dice.chance(0.1) ? 1 : dice.uniform(), c.seed, c.number, dice.integer(0, 3)};
  return options;
}

// What the two layers make of the score: with a scale, with the two numbers,
// with nothing.
template <class T> struct Score {
  std::vector<T> scale;
  AdditiveScore<T> view;
  double largest = 0; // that a score can be

  Score(const Configuration &c, const std::vector<double> &numbers) {
    Dice dice(derive_key(c.seed, c.number), 300);
    const double kind = dice.uniform();
    const double size = dice.chance(0.1) ? 50 : 1;
    if (kind < 0.5)
      for (double x : numbers)
        scale.push_back(static_cast<T>(size * x));
    else if (kind < 0.9) {
      view.inside = static_cast<T>(2 * dice.uniform() - 1);
      view.outside = static_cast<T>(size * (2 * dice.uniform() - 1));
    }
    view.scale = scale.empty() ? nullptr : scale.data();
    for (Index i = 0; i < c.shape.key_size; ++i)
      largest += std::fabs(view.scale == nullptr ? 1.0 : static_cast<double>(view.scale[i]));
    largest *= std::fabs(static_cast<double>(view.outside));
  }
};

template <class T> struct AdditiveAnswer {
  std::vector<T> out, scores;
};

template <class T>
PlainInputs<T> inputs_of(const Problem<T> &p) {
  return {p.q.all().data(), p.k.all().data(), p.v.all().data()};
}

template <class T>
AdditiveAnswer<T> additive_textbook(const Problem<T> &p, const AdditiveScore<T> &score) {
  const AttentionShape &a = p.c.shape;
  AdditiveAnswer<T> answer;
  answer.out.resize(static_cast<std::size_t>(a.elements() * a.queries * a.value_size));
  answer.scores.resize(static_cast<std::size_t>(a.elements() * a.queries * a.keys));
  additive_attention_forward_naive(a, inputs_of(p), score, options_of(p.c), answer.out.data(),
                                   answer.scores.data());
  return answer;
}

// The engine's answer; the scores row-major or with the batch fastest, as in R.
template <class T>
void engine(const Problem<T> &p, const AdditiveScore<T> &score, bool r_order, int threads,
            std::vector<T> &out, std::vector<double> *scores) {
  const AttentionShape &a = p.c.shape;
  out.assign(static_cast<std::size_t>(a.elements() * a.queries * a.value_size), T(-1));
  ScoreView view;
  std::vector<double> memory;
  if (scores != nullptr) {
    memory.assign(static_cast<std::size_t>(a.elements() * a.queries * a.keys), -1);
    view.data = memory.data();
    view.batch = r_order ? 1 : a.free * a.queries * a.keys;
    view.free = r_order ? a.batch : a.queries * a.keys;
    view.query = r_order ? a.batch * a.free : a.keys;
    view.key = r_order ? a.batch * a.free * a.queries : 1;
    view.mean_over_heads = true;
  }
  Execution execution;
  execution.threads = threads;
  additive_attention_forward<T>(a, inputs_of(p), score, options_of(p.c), out.data(), view,
                                execution);
  if (scores == nullptr)
    return;
  scores->clear();
  for (Index n = 0; n < a.elements(); ++n)
    for (Index t = 0; t < a.queries; ++t)
      for (Index s = 0; s < a.keys; ++s)
        scores->push_back(memory[static_cast<std::size_t>(
            n / a.free * view.batch + n % a.free * view.free + t * view.query + s * view.key)]);
}

// Twice the textbook's own error, or what tanh (see tanh_is_accurate) and the
// order of sums do to a score that can be `largest`.
template <class T> double additive_bound(const Difference &d, double largest, Index keys) {
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double m = std::max(1.0, largest);
  return std::max(2 * d.own_error,
                  eps * (2 + 0.5 * m) * (1 + std::log2(static_cast<double>(keys + 1))));
}

// The same bits, where NaN is like NaN.
template <class T> bool same_numbers(const std::vector<T> &a, const std::vector<T> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

// Weights that the mask forbids, and outputs of queries that see nothing or do
// not take part, are exactly 0.
template <class T>
bool hidden_is_zero(const Configuration &c, const std::vector<T> &out,
                    const std::vector<double> &scores) {
  const AttentionShape &a = c.shape;
  Mask mask = c.mask;
  mask.query = nullptr;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index t = 0; t < a.queries; ++t) {
      bool wanted = false;
      const Index row = n * a.queries + t;
      for (Index s = 0; s < a.keys; ++s) {
        wanted = wanted || c.mask.may_attend(n, 0, t, s);
        if (!mask.may_attend(n, 0, t, s) && scores[static_cast<std::size_t>(row * a.keys + s)] != 0)
          return false;
      }
      for (Index j = 0; j < a.value_size && !wanted; ++j)
        if (out[static_cast<std::size_t>(row * a.value_size + j)] != 0)
          return false;
    }
  return true;
}

template <class T> void check_configuration(const Configuration &c, Verdicts &verdicts) {
  const Problem<T> problem = draw_problem<T>(c);
  const Problem<double> exact_problem(problem);
  std::vector<double> numbers;
  for (Index i = 0; i < c.shape.key_size; ++i)
    numbers.push_back(
        2 * random_uniform(derive_key(c.seed, c.number), 400, static_cast<std::uint64_t>(i)) - 1);
  const Score<T> score(c, numbers);
  const std::vector<double> scale(score.scale.begin(), score.scale.end());
  AdditiveScore<double> exact_score;
  exact_score.scale = scale.empty() ? nullptr : scale.data();
  exact_score.inside = static_cast<double>(score.view.inside);
  exact_score.outside = static_cast<double>(score.view.outside);
  const AdditiveAnswer<T> own = additive_textbook(problem, score.view);
  const AdditiveAnswer<double> exact = additive_textbook(exact_problem, exact_score);

  for (Level level : available_levels()) {
    set_level(level_name(level));
    const std::string name = std::string(level_name(level)) + " " + type_name<T>();
    std::vector<T> out, again;
    std::vector<double> scores;
    engine(problem, score.view, c.number % 2 == 0, 1, out, &scores);
    const auto judge = [&](const char *what, const Difference &d) {
      verdicts.add(name + " " + what, d, additive_bound<T>(d, score.largest, c.shape.keys), c);
    };
    judge("out", difference(out, own.out, exact.out));
    judge("scores", difference(scores, own.scores, exact.scores));
    verdicts.require(name + " zeros", hidden_is_zero(c, out, scores), c);
    engine(problem, score.view, false, 2, again, nullptr);
    verdicts.require(name + " bits for 2 threads, without scores", same_numbers(out, again), c);
  }
  set_level("auto");
}

// The kernel alone, as one tanh: what additive_table.h states.
template <class T> void tanh_is_accurate() {
  const T infinity = std::numeric_limits<T>::infinity();
  const double allowed = sizeof(T) == 4 ? 2.5e-7 : 6e-16;
  for (Level level : available_levels()) {
    set_level(level_name(level));
    const AdditiveKernels<T> &kernel = kernels<T>().additive;
    const int lanes = 2 * kernels<T>().attention.lanes;
    T q[kMaxGroup] = {}, max[kMaxGroup], p[kMaxGroup], key = 0;
    const T scale = 1;
    AdditiveTile<T> tile;
    tile.q = q;
    tile.k = &key;
    tile.k_stride = tile.key_size = tile.end = 1;
    tile.scale = &scale;
    tile.inside = static_cast<T>(2 * kLog2E);
    tile.outside = 2;
    tile.p = p;
    double worst = 0;
    for (int i = -400000; i <= 400000; ++i) {
      const double x = i * (std::abs(i) < 200000 ? 5e-5 : 0.01); // to 10, then to 4000
      q[i & 1] = static_cast<T>(x);
      if ((i & 1) == 0)
        continue;
      kernel.scores(tile, max);
      for (int lane = 0; lane < 2; ++lane)
        worst = std::max(worst, std::fabs(static_cast<double>(p[lane]) -
                                          std::tanh(static_cast<double>(q[lane]))));
    }
    std::printf("tanh %s %s: absolute error %.3g\n", level_name(level), type_name<T>(), worst);
    CHECK(worst < allowed);
    q[0] = infinity;
    q[1] = -infinity;
    q[lanes - 1] = std::numeric_limits<T>::quiet_NaN();
    kernel.scores(tile, max);
    CHECK(p[0] == 1 && p[1] == -1 && std::isnan(p[lanes - 1]));
    CHECK(max[0] == 1 && max[1] == -1 && max[lanes - 1] == -infinity); // NaN is passed over
  }
}

// The same for exp2() of the vectors: what simd.h states, of all that is a normal number.
template <class T> void exp2_is_accurate() {
  const T infinity = std::numeric_limits<T>::infinity();
  const int least = std::numeric_limits<T>::min_exponent - 1,
            most = std::numeric_limits<T>::max_exponent, steps = 2048;
  const double allowed = sizeof(T) == 4 ? 2e-7 : 1e-15;
  // one whose bits are not as simple as can be, as those of R's NA
  const T nan =
      sizeof(T) == 4 ? static_cast<T>(std::nanf("1954")) : static_cast<T>(std::nan("1954"));
  std::vector<T> exponents;
  for (int i = least * steps; i < most * steps; ++i)
    exponents.push_back(static_cast<T>(i) / static_cast<T>(steps));
  exponents.insert(exponents.end(),
                   {std::nextafter(static_cast<T>(most), T(0)), static_cast<T>(most), infinity,
                    static_cast<T>(2 * least), -infinity, nan});
  for (Level level : available_levels()) {
    set_level(level_name(level));
    const auto group = static_cast<std::size_t>(2 * kernels<T>().attention.lanes);
    std::vector<T> p(exponents.size() * group);
    for (std::size_t i = 0; i < p.size(); ++i)
      p[i] = exponents[i / group];
    T zero[kMaxGroup] = {}, sums[kMaxGroup];
    AdditiveTile<T> tile;
    tile.end = static_cast<Index>(exponents.size());
    tile.p = p.data();
    kernels<T>().additive.exp_scores(tile, zero, sums);
    double worst = 0;
    for (std::size_t i = 0; i + 5 < exponents.size(); ++i) {
      const double expected = std::exp2(static_cast<double>(exponents[i]));
      worst = std::max(worst, std::fabs(static_cast<double>(p[i * group]) / expected - 1));
    }
    std::printf("exp2 %s %s: relative error %.3g\n", level_name(level), type_name<T>(), worst);
    CHECK(worst < allowed);
    const T *end = p.data() + p.size() - 5 * group;
    CHECK(end[0] == infinity && end[group] == infinity);
    CHECK(end[2 * group] == 0 && end[3 * group] == 0 && std::isnan(end[4 * group]));
  }
  set_level("auto");
}

} // namespace

int main() {
  exp2_is_accurate<float>();
  exp2_is_accurate<double>();
  tanh_is_accurate<float>();
  tanh_is_accurate<double>();
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 1);
  const std::uint64_t configs = environment_number("ATTENTIVE_CONFIGS", 2000);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const bool single = one != ~std::uint64_t{0};
  Verdicts verdicts;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : configs); ++number) {
    const Configuration c = draw_additive(seed, number);
    check_configuration<float>(c, verdicts);
    check_configuration<double>(c, verdicts);
  }
  verdicts.print();
  CHECK(verdicts.failed() == 0);
  CHECK(verdicts.cases() > 0);
  return attentive_test::finish("test_additive");
}
