// The textbook core against the same mathematics said in another way: a list
// of the keys that a query sees, made from the raw parts of the mask, and
// softmax by its ratio 1 / sum of exp(other - this).
#include "check.h"
#include "problem.h"

using namespace attentive_test;

namespace {

// The mask read part by part, each with a formula of its own.
bool visible(const Configuration &c, Index b, Index f, Index h, Index t, Index s) {
  const Index n = b * c.shape.free + f;
  bool may = true;
  if (c.has[kCausal])
    may = may && t >= s;
  if (c.has[kWindow])
    may = may && std::abs(t - s) <= c.mask.window - 1;
  if (c.has[kQuery])
    may = may && c.query[static_cast<std::size_t>(n * c.shape.queries + t)] > 0;
  if (c.has[kKey])
    may = may && c.key[static_cast<std::size_t>(n * c.shape.keys + s)] > 0;
  if (c.has[kDense]) {
    const Index strides[] = {c.mask.dense_batch, c.mask.dense_free, c.mask.dense_head,
                             c.mask.dense_query, c.mask.dense_key};
    const Index place[] = {b, f, h, t, s};
    Index at = 0;
    for (int axis = 0; axis < 5; ++axis)
      at += strides[axis] * place[axis];
    may = may && c.dense[static_cast<std::size_t>(at)] > 0;
  }
  return may;
}

struct Worst {
  double out = 0, lse = 0, scores = 0;
};

// The larger one; NaN is worse than anything.
void keep_worst(double &worst, double error) {
  worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
}

double apart(double a, double b) { return std::fabs(a - b) / std::max(1.0, std::fabs(b)); }

// One query whose keys, those it sees, are in `seen`.
void check_row(const Problem<double> &p, const Answer<double> &answer, Index n, Index h, Index t,
               const std::vector<Index> &seen, Worst &worst) {
  const AttentionShape &a = p.c.shape;
  const Index row = (n * a.heads + h) * a.queries + t, g = h * a.groups / a.heads;
  std::vector<double> score, weight;
  double largest = 1;
  for (Index s : seen) {
    score.push_back(0);
    for (Index i = 0; i < a.key_size; ++i)
      score.back() += p.c.scale * p.q.view().row(n, t, h)[i] * p.k.view().row(n, s, g)[i];
    largest = std::max(largest, std::fabs(score.back()));
  }
  for (double mine : score) {
    double ratio = 0;
    for (double other : score)
      ratio += std::exp(other - mine);
    weight.push_back(1 / ratio);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double got = answer.scores[static_cast<std::size_t>(row * a.keys + seen[i])];
    keep_worst(worst.scores, apart(got, weight[i]) / largest);
    const double lse = answer.lse[static_cast<std::size_t>(row)];
    if (weight[i] > 1e-3)
      keep_worst(worst.lse, apart(lse, score[i] - std::log(weight[i])) / largest);
  }
  const Index out_row = ((n * a.queries + t) * a.heads + h) * a.value_size;
  for (Index j = 0; j < a.value_size; ++j) {
    double expected = 0;
    for (std::size_t i = 0; i < seen.size(); ++i)
      expected += weight[i] * p.v.view().row(n, seen[i], g)[j];
    const double got = answer.out[static_cast<std::size_t>(out_row + j)];
    keep_worst(worst.out, apart(got, expected) / largest);
    if (seen.empty())
      CHECK(got == 0);
  }
}

void check_problem(const Configuration &c, Worst &worst) {
  const Problem<double> p = draw_problem<double>(c);
  const Answer<double> answer = textbook(p);
  const AttentionShape &a = c.shape;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        std::vector<Index> seen;
        const Index row = (n * a.heads + h) * a.queries + t;
        for (Index s = 0; s < a.keys; ++s) {
          if (visible(c, n / a.free, n % a.free, h, t, s))
            seen.push_back(s);
          else
            CHECK(answer.scores[static_cast<std::size_t>(row * a.keys + s)] == 0);
        }
        const double lse = answer.lse[static_cast<std::size_t>(row)];
        CHECK(seen.empty() == (lse == -std::numeric_limits<double>::infinity()));
        check_row(p, answer, n, h, t, seen, worst);
      }
}

void random_configurations() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 1);
  Worst worst;
  for (std::uint64_t number = 0; number < 300; ++number) {
    Configuration c = draw_configuration(seed, number);
    // Numbers that a query sees are finite here; test_attention has the others,
    // test_dropout has dropout.
    c.dropout = Dropout();
    if (c.poison == Poison::anywhere)
      c.poison = Poison::hidden;
    if (c.values == Values::overflow)
      c.values = Values::large_scores;
    check_problem(c, worst);
  }
  std::printf("worst of 300, scaled: out %.2g, lse %.2g, scores %.2g\n", worst.out, worst.lse,
              worst.scores);
  CHECK(worst.out < 1e-12 && worst.lse < 1e-12 && worst.scores < 1e-12);
}

// Numbers that a person can check.
void by_hand() {
  const double q[] = {0, 0}, k[] = {5, 6, 7, 8}, v[] = {1, 2, 3, 5};
  std::uint8_t keys[] = {1, 1};
  AttentionShape a;
  a.batch = a.queries = a.heads = a.groups = 1;
  a.keys = a.key_size = a.value_size = 2;
  AttentionOptions options;
  options.mask.queries = 1;
  options.mask.keys = 2;
  options.mask.key = keys;
  double out[2], lse, scores[2];
  const HeadView<const double> qv{q, 2, 2, 2}, kv{k, 4, 2, 2}, vv{v, 4, 2, 2};
  attention_forward_naive(a, qv, kv, vv, options, {out, 2, 2, 2}, &lse, scores);
  CHECK(scores[0] == 0.5 && scores[1] == 0.5 && out[0] == 2 && out[1] == 3.5);
  CHECK(lse == std::log(2.0));
  keys[0] = 0;
  attention_forward_naive(a, qv, kv, vv, options, {out, 2, 2, 2}, &lse, scores);
  CHECK(scores[0] == 0 && scores[1] == 1 && out[0] == 3 && out[1] == 5 && lse == 0);
}

} // namespace

int main() {
  by_hand();
  random_configurations();
  return attentive_test::finish("test_attention_naive");
}
