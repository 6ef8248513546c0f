// The gradient oracle itself: dual arithmetic against known derivatives, the
// textbook's derivatives against finite differences of high order, against
// each other, and exactly 0 wherever nothing may flow.
//   ATTENTIVE_CONFIGS   how many, default 300
#include "check.h"
#include "gradient_oracle.h"

using namespace attentive_test;

namespace {

void dual_arithmetic() {
  using D = Dual<double, 2>;
  D x(3), y(2);
  x.d[0] = 1;
  y.d[1] = 1;
  const D constant(5);
  CHECK(constant.d[0] == 0 && constant.d[1] == 0);
  CHECK((x + y).value == 5 && (x + y).d[0] == 1 && (x + y).d[1] == 1);
  CHECK((x - y).value == 1 && (x - y).d[0] == 1 && (x - y).d[1] == -1);
  CHECK((x * y).value == 6 && (x * y).d[0] == 2 && (x * y).d[1] == 3);
  CHECK((x / y).value == 1.5 && (x / y).d[0] == 0.5 && (x / y).d[1] == -0.75);
  CHECK((-x).value == -3 && (-x).d[0] == -1);
  CHECK(exp(x).value == std::exp(3.0) && exp(x).d[0] == std::exp(3.0) && exp(x).d[1] == 0);
  CHECK(log(y).value == std::log(2.0) && log(y).d[1] == 0.5);
  D sum(1);
  sum += x;
  CHECK(sum.value == 4 && sum.d[0] == 1);
  CHECK(y < x && x > y && x == x && !(x == y));
  // sigmoid'(z) = e / (1 + e)^2 with e = exp(-|z|), on both of its branches.
  for (double at : {-40.0, -2.0, 0.0, 2.0, 40.0}) {
    D z(at);
    z.d[0] = 1;
    const double e = std::exp(-std::fabs(at)), slope = e / ((1 + e) * (1 + e));
    CHECK(std::fabs(sigmoid_naive(z).d[0] / slope - 1) <= 2e-15);
  }
}

// Softmax of one row by its known Jacobian, diag(p) - p p'.
void softmax_jacobian() {
  LayerProblem p;
  p.c.shape = {1, 1, 1, 3, 1, 1, 1, 1};
  p.c.mask.queries = 1;
  p.c.mask.keys = 3;
  p.sizes = {p.c.shape, 1, 1, 1, 1};
  const std::vector<double> key = {0.3, -1.2, 0.8}, value = {2, -1, 0.5};
  p.leaves = {{1}, key, value, {1}, {}, {1}, {}, {}, {}, {1}, {}, {1}, {}};
  p.upstream = {1};
  p.scores_upstream = {0.1, 0.2, -0.4};
  const Leaves<double> gradient = gradient_oracle<double>(p);
  double sum = 0, mean = 0;
  for (double x : key)
    sum += std::exp(x);
  for (std::size_t i = 0; i < 3; ++i)
    mean += std::exp(key[i]) / sum * (value[i] + p.scores_upstream[i]);
  for (std::size_t i = 0; i < 3; ++i) {
    const double weight = std::exp(key[i]) / sum;
    CHECK(std::fabs(gradient[kValueInput][i] - weight) < 1e-15);
    CHECK(std::fabs(gradient[kKeyInput][i] - weight * (value[i] + p.scores_upstream[i] - mean)) <
          1e-15);
  }
}

// The derivative along one leaf entry from five points: error h^4.
double finite_difference(const LayerProblem &p, Leaves<double> &leaves, double &x) {
  const double h = 1e-3, at = x;
  double loss[5];
  for (int step = -2; step <= 2; ++step) {
    x = at + step * h;
    loss[step + 2] = step == 0 ? 0 : loss_naive(p, leaves);
  }
  x = at;
  return (8 * (loss[3] - loss[1]) - (loss[4] - loss[0])) / (12 * h);
}

double largest(const std::vector<double> &leaf) {
  double result = 1;
  for (double x : leaf)
    result = std::max(result, std::fabs(x));
  return result;
}

struct Figures {
  long derivatives = 0;
  double worst_difference = 0, worst_direction = 0, worst_textbook = 0;
};

void check_layer(const LayerProblem &p, Figures &figures) {
  const Leaves<double> gradient = gradient_oracle<double>(p);
  Leaves<double> leaves = p.leaves, direction = p.leaves;
  double along = 0, along_scale = 1;
  for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    CHECK(gradient[leaf].size() == leaves[leaf].size());
    direction[leaf] = draw_numbers(77, leaf, static_cast<Index>(leaves[leaf].size()), 1);
    const double scale = largest(gradient[leaf]);
    for (std::size_t i = 0; i < leaves[leaf].size(); ++i) {
      const double g = gradient[leaf][i];
      CHECK(std::isfinite(g));
      along += g * direction[leaf][i];
      along_scale = std::max(along_scale, std::fabs(along));
      if (std::isnan(leaves[leaf][i])) {
        CHECK(g == 0); // hidden: nothing flows there
        continue;
      }
      const double error = std::fabs(finite_difference(p, leaves, leaves[leaf][i]) - g) / scale;
      figures.worst_difference = std::max(figures.worst_difference, error);
      CHECK(error < 1e-8);
      ++figures.derivatives;
    }
  }
  const double error = std::fabs(directional_derivative(p, direction) - along) / along_scale;
  figures.worst_direction = std::max(figures.worst_direction, error);
  CHECK(error < 1e-12);
}

// The textbook's backward pass against the oracle, every derivative.
void check_textbook(const LayerProblem &p, Figures &figures) {
  const Leaves<double> oracle = gradient_oracle<double>(p), got = gradient_textbook<double>(p);
  const double score = std::max(1.0, largest_score(p));
  for (std::size_t leaf = 0; leaf < oracle.size(); ++leaf) {
    const double scale = largest(oracle[leaf]) * score;
    for (std::size_t i = 0; i < oracle[leaf].size(); ++i) {
      const double error = std::fabs(got[leaf][i] - oracle[leaf][i]) / scale;
      CHECK(error < 1e-12);
      CHECK(!std::isnan(p.leaves[leaf][i]) || got[leaf][i] == 0);
      figures.worst_textbook = std::max(figures.worst_textbook, error);
    }
  }
}

// A query that sees nothing and a key that nobody sees get gradients of 0.
void check_zeros(const LayerProblem &p) {
  const Leaves<double> gradient = gradient_oracle<double>(p);
  const Leaves<char> hidden = hidden_numbers(p);
  for (std::size_t leaf = 0; leaf < gradient.size(); ++leaf)
    for (std::size_t i = 0; i < gradient[leaf].size(); ++i)
      CHECK(hidden[leaf][i] == 0 || gradient[leaf][i] == 0);
}

} // namespace

int main() {
  dual_arithmetic();
  softmax_jacobian();
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 3);
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 300);
  Figures figures;
  for (std::uint64_t number = 0; number < count; ++number) {
    LayerProblem p = draw_layer(seed, number, small_limits());
    const long failures = attentive_test::tally().failures;
    check_textbook(p, figures);
    if (p.c.values != Values::large_scores) // those are too steep for differences
      check_layer(p, figures);
    check_zeros(p);
    if (attentive_test::tally().failures > failures)
      std::printf("FAIL %s | %s\n", p.c.replay().c_str(), p.c.describe().c_str());
  }
  std::printf("%ld derivatives; oracle against finite differences %.2g, along directions %.2g; "
              "backward of the textbook against the oracle %.2g\n",
              figures.derivatives, figures.worst_difference, figures.worst_direction,
              figures.worst_textbook);
  return attentive_test::finish("test_gradient_oracle");
}
