// The textbook layer against numbers recorded from Keras: inputs and weights
// by a formula, results to four digits.
#include <cmath>

#include "check.h"
#include "multi_head_attention_naive.h"

using namespace attentive;

namespace {

using Numbers = std::vector<double>;

// sin(0.37 (i + 1)^2 + phase) for i = 0 ... size - 1 in row-major order.
Numbers fill(Index size, double phase) {
  Numbers x;
  for (Index i = 0; i < size; ++i) {
    const double place = static_cast<double>(i + 1);
    x.push_back(std::sin(0.37 * place * place + phase));
  }
  return x;
}

// Weight number w of a layer is fill(its size, 1 + 0.3 w).
struct Weights {
  std::vector<Numbers> owned;
  MultiHeadWeights<const double> view;

  Weights(const MultiHeadSizes &z, bool gated) {
    const AttentionShape &a = z.attention;
    owned.reserve(10);
    const auto add = [&](Index rows, Index columns) {
      Dense<const double> dense;
      owned.push_back(fill(rows * columns, 1 + 0.3 * static_cast<double>(owned.size())));
      dense.kernel = owned.back().data();
      owned.push_back(fill(columns, 1 + 0.3 * static_cast<double>(owned.size())));
      dense.bias = owned.back().data();
      return dense;
    };
    view.query = add(z.query_features, a.heads * a.key_size);
    view.key = add(z.key_features, a.groups * a.key_size);
    if (gated)
      view.gate = add(z.query_features, a.heads * a.value_size);
    view.value = add(z.value_features, a.groups * a.value_size);
    view.output = add(a.heads * a.value_size, z.output_features);
  }
};

struct Result {
  Numbers output, scores;
};

Result run(const MultiHeadSizes &z, const Numbers &query, const Numbers &value, Mask mask,
           bool gated = false) {
  const AttentionShape &a = z.attention;
  const Weights weights(z, gated);
  AttentionOptions options;
  options.mask = mask;
  options.mask.free = a.free;
  options.mask.queries = a.queries;
  options.mask.keys = a.keys;
  const auto count = [](Index size) { return static_cast<std::size_t>(size); };
  Result result{Numbers(count(a.elements() * a.queries * z.output_features)),
                Numbers(count(a.elements() * a.heads * a.queries * a.keys))};
  multi_head_attention_forward_naive<double>(z, {query.data(), value.data(), value.data()},
                                             weights.view, options, result.output.data(),
                                             result.scores.data());
  return result;
}

bool near(const Numbers &got, const Numbers &expected) {
  if (got.size() != expected.size())
    return false;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::fabs(got[i] - expected[i]) < 6e-5))
      return false;
  return true;
}

double sum_of_squares(const Numbers &x) {
  double sum = 0;
  for (double value : x)
    sum += value * value;
  return sum;
}

MultiHeadSizes sizes(AttentionShape a, Index query_features, Index value_features, Index output) {
  return {a, query_features, value_features, value_features, output};
}

void cross_attention() {
  const MultiHeadSizes z = sizes({1, 1, 3, 2, 2, 2, 3, 3}, 4, 4, 4);
  const Numbers query = fill(12, .1), value = fill(8, .2);
  const Result plain = run(z, query, value, {});
  CHECK(near(plain.output, {-.4852, -1.9465, .2490, .1502, -.6733, -2.0178, .4243, .2234, -.3110,
                            -1.8951, .0935, .1122}));
  CHECK(near(plain.scores,
             {.4830, .5170, .2912, .7088, .6440, .3560, .5086, .4914, .3754, .6246, .6618, .3382}));

  const std::uint8_t rows[] = {1, 1, 0, 0, 0, 1}; // the second query sees nothing
  Mask mask;
  mask.dense = rows;
  mask.dense_query = 2;
  mask.dense_key = 1;
  const Result masked = run(z, query, value, mask);
  CHECK(near(masked.output, {-.4852, -1.9465, .2490, .1502, -.3225, -.9912, .1463, .3938, -1.0271,
                             -2.0908, .7250, .2365}));
  CHECK(near(masked.scores, {.4830, .5170, 0, 0, 0, 1, .5086, .4914, 0, 0, 0, 1}));
}

void gated_causal() {
  const MultiHeadSizes z = sizes({1, 1, 3, 3, 2, 2, 3, 2}, 4, 5, 5);
  Mask mask;
  mask.causal = true;
  const Result got = run(z, fill(12, .1), fill(15, .4), mask, true);
  CHECK(near(got.output, {-1.8128, -1.3484, -1.3594, -2.2233, .3243, -1.3995, -1.3041, -.9116,
                          -1.6135, -.1789, .6083, -.9065, -.9562, -1.7133, -.0070}));
  CHECK(near(got.scores, {1, 0, 0, .0765, .9235, 0, .4364, .1435, .4202, 1, 0, 0, .1844, .8156, 0,
                          .0932, .1036, .8032}));
}

void axes() {
  const MultiHeadSizes second = sizes({1, 2, 3, 3, 2, 2, 2, 2}, 4, 4, 4);
  const Numbers x = fill(24, .3);
  const Result free = run(second, x, x, {});
  CHECK(near(free.output, {1.3834, -.4663,  -2.2658, -.5740, 1.0456, .2615,   -1.4482, -.9243,
                           .1977,  -.0278,  -.2382,  -.4879, -.7093, -2.9926, -.1864,  1.5829,
                           -.9048, -1.7028, .5832,   1.1029, -.8035, -2.4540, .1646,   1.4041}));
  CHECK(std::fabs(sum_of_squares(free.scores) - 5.36335) < 6e-6);

  const MultiHeadSizes both = sizes({1, 1, 4, 4, 2, 2, 2, 2}, 4, 4, 4);
  const Numbers y = fill(16, .3);
  const Result flat = run(both, y, y, {});
  CHECK(near(flat.output, {.9685, -1.4589, -2.0225, .1525, .3182, -.2631, -.8601, -.5468, -.1419,
                           -.8827, -.1790, .0766, .7074, -2.4328, -1.8091, .9177}));
  CHECK(std::fabs(sum_of_squares(flat.scores) - 3.12493) < 6e-6);
}

void grouped_window_causal() {
  const MultiHeadSizes z = sizes({1, 1, 3, 3, 4, 2, 3, 3}, 4, 4, 4);
  const Numbers x = fill(12, .1);
  Mask mask;
  mask.causal = true;
  mask.window = 2;
  const Result got = run(z, x, x, mask);
  CHECK(near(got.output, {5.0649, -1.5171, .1524, -1.2451, 5.2661, -1.6613, .4865, -.8880, .1899,
                          -2.6594, .6436, -3.5731}));
  CHECK(near(got.scores, {1,     0, 0, .8510, .1490, 0,     0, .5038, .4962, 1,     0, 0, .6615,
                          .3385, 0, 0, .1368, .8632, 1,     0, 0,     .2980, .7020, 0, 0, .0471,
                          .9529, 1, 0, 0,     .5299, .4701, 0, 0,     .8735, .1265}));
}

// The gate of a query that sees nothing is not read: NaN there stays hidden.
void gate_of_an_empty_row() {
  const MultiHeadSizes z = sizes({1, 1, 3, 3, 2, 2, 3, 2}, 4, 5, 5);
  Numbers query = fill(12, .1);
  for (std::size_t i = 4; i < 8; ++i)
    query[i] = std::nan("");
  const std::uint8_t takes_part[] = {1, 0, 1};
  Mask mask;
  mask.query = takes_part;
  const Result got = run(z, query, fill(15, .4), mask, true);
  const Numbers bias = fill(5, 1 + 0.3 * 9);
  CHECK(near(Numbers(got.output.begin() + 5, got.output.begin() + 10), bias));
  for (double value : got.output)
    CHECK(std::isfinite(value));
  CHECK(sigmoid_naive(-1000.0) == 0 && sigmoid_naive(1000.0) == 1 && sigmoid_naive(0.0) == 0.5);
}

} // namespace

int main() {
  cross_attention();
  gated_causal();
  axes();
  grouped_window_causal();
  gate_of_an_empty_row();
  return attentive_test::finish("test_multi_head_attention_naive");
}
