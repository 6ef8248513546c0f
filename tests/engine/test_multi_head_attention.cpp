// The layer, forward and backward, against the textbook: small layers with
// every derivative from dual numbers, and layers as large as tiles with the
// derivatives of the textbook's backward pass.
//   ATTENTIVE_CONFIGS   how many small ones, default 10000; a tenth as many large
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include "compare.h"
#include "coverage.h"
#include "cpu.h"
#include "gradient_oracle.h"
#include "multi_head_attention.h"

using namespace attentive_test;

namespace {

template <class T> const char *type_name() { return sizeof(T) == 4 ? "float" : "double"; }

template <class T> struct LayerAnswer {
  std::vector<T> output;
  std::vector<double> scores;
  Leaves<T> gradient;
};

template <class T> std::vector<T> numbers(Index size) {
  return std::vector<T>(static_cast<std::size_t>(size));
}

template <class T> Dense<T> dense_of(Leaves<T> &x, Leaf kernel, Leaf bias) {
  return {x[kernel].empty() ? nullptr : x[kernel].data(),
          x[bias].empty() ? nullptr : x[bias].data()};
}

template <class T> LayerAnswer<T> engine(const LayerProblem &p) {
  const AttentionShape &a = p.sizes.attention;
  const Leaves<T> leaves = convert<T>(p.leaves);
  LayerAnswer<T> answer;
  answer.output = numbers<T>(p.output_size());
  answer.scores = numbers<double>(p.scores_size());
  const Index plane = a.queries * a.keys;
  const ScoreView view{
      answer.scores.data(), a.free * a.heads * plane, a.heads * plane, plane, a.keys, 1, false};
  Execution execution;
  execution.threads = 2;
  MultiHeadSaved<T> saved;
  multi_head_attention_forward<T>(p.sizes, inputs_of(leaves), weights_of(leaves), p.c.options(),
                                  answer.output.data(), view, saved, execution);

  answer.gradient = leaves; // all of it is to be overwritten
  Leaves<T> &g = answer.gradient;
  std::vector<T> upstream(p.upstream.begin(), p.upstream.end());
  const std::vector<T> d_scores(p.scores_upstream.begin(), p.scores_upstream.end());
  MultiHeadWeights<T> d_weights;
  d_weights.query = dense_of(g, kQueryKernel, kQueryBias);
  d_weights.key = dense_of(g, kKeyKernel, kKeyBias);
  d_weights.gate = dense_of(g, kGateKernel, kGateBias);
  d_weights.value = dense_of(g, kValueKernel, kValueBias);
  d_weights.output = dense_of(g, kOutputKernel, kOutputBias);
  multi_head_attention_backward<T>(
      p.sizes, inputs_of(leaves), weights_of(leaves), p.c.options(), answer.output.data(), saved,
      upstream.data(), d_scores.empty() ? nullptr : d_scores.data(), {},
      {g[kQueryInput].data(), g[kKeyInput].data(), g[kValueInput].data()}, d_weights, execution);
  return answer;
}

template <class T> struct LayerForward { std::vector<T> output, scores; };

template <class T> LayerForward<T> textbook_layer(const LayerProblem &p) {
  const Leaves<T> leaves = convert<T>(p.leaves);
  LayerForward<T> result{numbers<T>(p.output_size()), numbers<T>(p.scores_size())};
  multi_head_attention_forward_naive<T>(p.sizes, inputs_of(leaves), weights_of(leaves),
                                        p.c.options(), result.output.data(), result.scores.data());
  return result;
}

void round_to_float(LayerProblem &p) {
  attentive_test::round_to_float(p.leaves);
  attentive_test::round_to_float(p.upstream);
  attentive_test::round_to_float(p.scores_upstream);
}

template <class T>
void check(const LayerProblem &p, const Leaves<double> &gradient, const char *kind,
           Verdicts &verdicts) {
  const LayerForward<T> own = textbook_layer<T>(p);
  const LayerForward<double> exact = textbook_layer<double>(p);
  const Leaves<T> own_gradient = gradient_textbook<T>(p);
  const Leaves<char> hidden = hidden_numbers(p);
  const double largest = largest_score(p);
  // The derivative of the key's bias is 0, that of a score being the same for all
  // keys: what is left of it is measured by the largest derivative or input of the
  // layer. Every other error is taken over its own leaf.
  Rules rules[kLeaves];
  for (const std::vector<double> &leaf : gradient)
    for (double x : leaf)
      rules[kKeyBias].scale = std::max(rules[kKeyBias].scale, std::fabs(x));
  for (Leaf leaf : {kQueryInput, kKeyInput, kValueInput})
    for (double x : p.leaves[leaf])
      if (std::isfinite(x))
        rules[kKeyBias].scale = std::max(rules[kKeyBias].scale, std::fabs(x));
  for (Level level : available_levels()) {
    set_level(level_name(level));
    const LayerAnswer<T> got = engine<T>(p);
    const auto name = [&](const char *quantity) {
      return std::string(kind) + " " + level_name(level) + " " + type_name<T>() + " " + quantity;
    };
    const Difference output = difference(got.output, own.output, exact.output);
    const Difference scores = difference(got.scores, own.scores, exact.scores);
    verdicts.add(name("output"), output, bound_of<T>(output, largest, p.c.shape.keys), p.c);
    verdicts.add(name("scores"), scores, bound_of<T>(scores, largest, p.c.shape.keys), p.c);
    bool hidden_is_zero = true;
    for (std::size_t leaf = 0; leaf < kLeaves; ++leaf) {
      const Difference d =
          difference(got.gradient[leaf], own_gradient[leaf], gradient[leaf], rules[leaf]);
      verdicts.add(name(leaf_name(static_cast<int>(leaf))), d, gradient_bound_of<T>(d, largest),
                   p.c);
      for (std::size_t i = 0; i < hidden[leaf].size(); ++i)
        hidden_is_zero = hidden_is_zero && (hidden[leaf][i] == 0 || got.gradient[leaf][i] == 0);
    }
    verdicts.require(name("hidden gets 0"), hidden_is_zero, p.c);
  }
}

long count_derivatives(const LayerProblem &p) {
  std::size_t count = 0;
  for (const std::vector<double> &leaf : p.leaves)
    count += leaf.size();
  return static_cast<long>(count);
}

Limits large_layers() {
  Limits limits;
  limits.budget = 2e5;
  limits.long_share = 0;
  return limits;
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 4);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 10000);
  const bool single = one != ~std::uint64_t{0};
  Verdicts verdicts;
  Coverage coverage;
  long derivatives = 0, grouped = 0;
  for (std::uint64_t number = single ? one : 0; number < (single ? one + 1 : count); ++number) {
    LayerProblem small = draw_layer(seed, number, small_limits());
    round_to_float(small);
    coverage.add(small.c);
    grouped += small.c.shape.groups != small.c.shape.heads;
    const Leaves<double> oracle = gradient_oracle<double>(small);
    derivatives += count_derivatives(small);
    check<float>(small, oracle, "small", verdicts);
    check<double>(small, oracle, "small", verdicts);
    if (number % 10 != 0 && !single)
      continue;
    LayerProblem large = draw_layer(seed, number, large_layers());
    round_to_float(large);
    const Leaves<double> gradient = gradient_textbook<double>(large);
    check<float>(large, gradient, "large", verdicts);
    check<double>(large, gradient, "large", verdicts);
  }
  set_level("auto");
  verdicts.print();
  coverage.print();
  std::printf("test_multi_head_attention: seed %llu, %ld exact derivatives of %llu layers, %ld of "
              "them with fewer groups than heads, %ld comparisons, %ld marginal, %ld failed\n",
              static_cast<unsigned long long>(seed), derivatives,
              static_cast<unsigned long long>(count), grouped, verdicts.cases(),
              verdicts.marginal(), verdicts.failed());
  const bool enough_grouped = single || grouped >= static_cast<long>(count) / 5;
  return verdicts.failed() == 0 && verdicts.cases() > 0 && enough_grouped ? 0 : 1;
}
