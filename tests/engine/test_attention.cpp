// The tiled core against the textbook: random configurations, both types,
// every instruction set of this processor.
//   ATTENTIVE_CONFIGS   how many, default 3000
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include "compare.h"
#include "coverage.h"
#include "cpu.h"

using namespace attentive_test;

namespace {

template <class T> const char *type_name() { return sizeof(T) == 4 ? "float" : "double"; }

// The textbook's view of one case, computed once for all instruction sets.
template <class T> struct Expected {
  Problem<T> problem;
  Answer<T> own;
  Problem<double> wide;
  Answer<double> exact;
  ScoreSizes sizes;
  Rules out, lse, scores, mean;

  explicit Expected(const Configuration &c)
      : problem(draw_problem<T>(c)), own(textbook(problem)), wide(problem), exact(textbook(wide)),
        sizes(score_sizes<T>(wide)) {
    const AttentionShape &a = c.shape;
    std::vector<char> out_rows = sizes.beyond;
    mark_dropped_nan(c, own.lse, out_rows);
    const auto at = [&](Index n, Index h, Index t) {
      return static_cast<std::size_t>((n * a.heads + h) * a.queries + t);
    };
    const auto beyond = [&](Index n, Index h, Index t) { return sizes.beyond[at(n, h, t)]; };
    lse.empty_is_exact = true;
    lse.beyond = sizes.beyond;
    scores.limit = mean.limit = 1.001;
    out.limit = 0;
    for (T x : problem.v.all())
      out.limit = std::max(out.limit, std::isfinite(x) ? 1.001 * std::fabs(double(x)) : 0);
    out.limit *= DropoutMask(c.dropout, a).scale();
    for (Index n = 0; n < a.elements(); ++n) {
      for (Index t = 0; t < a.queries; ++t) {
        char any = 0;
        for (Index h = 0; h < a.heads; ++h) {
          any |= beyond(n, h, t);
          out.beyond.insert(out.beyond.end(), static_cast<std::size_t>(a.value_size),
                            out_rows[at(n, h, t)]);
        }
        mean.beyond.insert(mean.beyond.end(), static_cast<std::size_t>(a.keys), any);
      }
      for (Index h = 0; h < a.heads; ++h)
        for (Index t = 0; t < a.queries; ++t)
          scores.beyond.insert(scores.beyond.end(), static_cast<std::size_t>(a.keys),
                               beyond(n, h, t));
    }
  }
};

// Runs the engine into memory that has a mark wherever nothing may be written.
template <class T> class Engine {
public:
  explicit Engine(const Problem<T> &p)
      : problem_(p), answer_(p.c.shape),
        out_(p.c, p.c.shape.queries, p.c.shape.heads, p.c.shape.value_size, kMark) {}

  void run(bool want_lse) {
    const Configuration &c = problem_.c;
    attention_forward<T>(c.shape, problem_.q.view(), problem_.k.view(), problem_.v.view(),
                         c.options(), out_.view(), want_lse ? answer_.lse.data() : nullptr,
                         execution_);
    collect();
  }

  // Scores into [B, F, H, T, S], or with B fastest as R has it.
  std::vector<double> scores(bool r_order, bool mean) const {
    const Configuration &c = problem_.c;
    const AttentionShape &a = c.shape;
    const Index heads = mean ? 1 : a.heads;
    const Index sizes[5] = {a.batch, a.free, heads, a.queries, a.keys};
    Index strides[5], size = 1;
    for (int i = 0; i < 5; ++i) {
      const int axis = r_order ? i : 4 - i;
      strides[axis] = size;
      size *= sizes[axis];
    }
    std::vector<double> memory(static_cast<std::size_t>(size), -1);
    ScoreView view{memory.data(), strides[0], strides[1], strides[2], strides[3], strides[4], mean};
    attention_scores<T>(a, problem_.q.view(), problem_.k.view(), c.options(), answer_.lse.data(),
                        view, execution_);
    std::vector<double> result;
    result.reserve(memory.size());
    Index i[5];
    for (i[0] = 0; i[0] < sizes[0]; ++i[0])
      for (i[1] = 0; i[1] < sizes[1]; ++i[1])
        for (i[2] = 0; i[2] < sizes[2]; ++i[2])
          for (i[3] = 0; i[3] < sizes[3]; ++i[3])
            for (i[4] = 0; i[4] < sizes[4]; ++i[4]) {
              Index at = 0;
              for (int axis = 0; axis < 5; ++axis)
                at += i[axis] * strides[axis];
              result.push_back(memory[static_cast<std::size_t>(at)]);
            }
    return result;
  }

  const Answer<T> &answer() const { return answer_; }
  bool wrote_outside() const { return wrote_outside_; }

private:
  static constexpr T kMark = static_cast<T>(-12345.678);

  // The numbers out of their rows; all marks must still be there.
  void collect() {
    const AttentionShape &a = problem_.c.shape;
    std::size_t marks = 0, i = 0;
    for (T x : out_.all())
      marks += x == kMark;
    for (Index n = 0; n < a.elements(); ++n)
      for (Index t = 0; t < a.queries; ++t)
        for (Index h = 0; h < a.heads; ++h)
          for (Index j = 0; j < a.value_size; ++j)
            answer_.out[i++] = out_.view().row(n, t, h)[j];
    wrote_outside_ = marks != out_.all().size() - answer_.out.size();
  }

  const Problem<T> &problem_;
  Answer<T> answer_;
  HeadArray<T> out_;
  Execution execution_;
  bool wrote_outside_ = false;
};

// Whatever the mask forbids is exactly 0: weights, and outputs of queries that
// see nothing.
template <class T>
bool hidden_is_zero(const Configuration &c, const Answer<T> &answer,
                    const std::vector<double> &scores) {
  const AttentionShape &a = c.shape;
  bool good = true;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        const Index row = ((n * a.heads + h) * a.queries + t) * a.keys;
        bool sees_any = false;
        for (Index s = 0; s < a.keys; ++s) {
          const bool may = c.mask.may_attend(n, h, t, s);
          sees_any = sees_any || may;
          good = good && (may || scores[static_cast<std::size_t>(row + s)] == 0);
        }
        for (Index j = 0; j < a.value_size && !sees_any; ++j)
          good = good && answer.out[static_cast<std::size_t>(
                             ((n * a.queries + t) * a.heads + h) * a.value_size + j)] == 0;
      }
  return good;
}

template <class T>
std::vector<T> mean_over_heads(const AttentionShape &a, const std::vector<T> &scores) {
  const Index plane = a.queries * a.keys;
  std::vector<T> mean(static_cast<std::size_t>(a.elements() * plane), T(0));
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index i = 0; i < plane; ++i)
        mean[static_cast<std::size_t>(n * plane + i)] +=
            scores[static_cast<std::size_t>((n * a.heads + h) * plane + i)] /
            static_cast<T>(a.heads);
  return mean;
}

// The same bits, where NaN is like NaN.
template <class T> bool same_numbers(const std::vector<T> &a, const std::vector<T> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

template <class T>
void check(const Configuration &c, const Expected<T> &expected, const std::string &level,
           Verdicts &verdicts) {
  const auto name = [&](const char *quantity) {
    return level + " " + type_name<T>() + " " + quantity;
  };
  const auto compare = [&](const char *quantity, const Difference &d) {
    verdicts.add(name(quantity), d, bound_of<T>(d, expected.sizes.largest, c.shape.keys), c);
  };
  Engine<T> engine(expected.problem);
  engine.run(false);
  const std::vector<T> without_lse = engine.answer().out;
  engine.run(true);
  verdicts.require(name("writes inside"), !engine.wrote_outside(), c);
  verdicts.require(name("bits without lse"), same_numbers(without_lse, engine.answer().out), c);
  compare("out",
          difference(engine.answer().out, expected.own.out, expected.exact.out, expected.out));
  const std::vector<double> lse(engine.answer().lse.begin(), engine.answer().lse.end());
  compare("lse",
          difference(times(lse, 1 / kLog2E), expected.own.lse, expected.exact.lse, expected.lse));

  const bool r_order = c.number % 2 == 0;
  const std::vector<double> scores = engine.scores(r_order, false);
  compare("scores",
          difference(scores, expected.own.scores, expected.exact.scores, expected.scores));
  verdicts.require(name("hidden is 0"), hidden_is_zero(c, engine.answer(), scores), c);
  compare("mean scores",
          difference(engine.scores(!r_order, true), mean_over_heads(c.shape, expected.own.scores),
                     mean_over_heads(c.shape, expected.exact.scores), expected.mean));
}

template <class T> void check_everywhere(const Configuration &c, Verdicts &verdicts) {
  const Expected<T> expected(c);
  for (Level level : available_levels()) {
    set_level(level_name(level));
    check(c, expected, level_name(level), verdicts);
  }
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 1);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 3000);
  const bool single = one != ~std::uint64_t{0};
  Verdicts verdicts;
  Coverage coverage;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : count); ++number) {
    const Configuration c = draw_configuration(seed, number);
    coverage.add(c);
    check_everywhere<float>(c, verdicts);
    check_everywhere<double>(c, verdicts);
  }
  set_level("auto");
  verdicts.print();
  coverage.print();
  const bool enough_degenerate = single || coverage.degenerate_share() >= 30;
  std::printf("test_attention: seed %llu, %ld comparisons, %.1f%% degenerate, %ld marginal, %ld "
              "failed\n",
              static_cast<unsigned long long>(seed), verdicts.cases(), coverage.degenerate_share(),
              verdicts.marginal(), verdicts.failed());
  return verdicts.failed() == 0 && verdicts.cases() > 0 && enough_degenerate ? 0 : 1;
}
