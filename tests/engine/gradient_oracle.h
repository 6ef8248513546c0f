// The derivatives of the textbook layer, exact to rounding: the textbook run
// on dual numbers. What the backward passes, the textbook's and the engine's,
// are compared with.
#pragma once

#include "layer_problem.h"

namespace attentive_test {

// sum(upstream * output) + sum(scores_upstream * scores) of the textbook.
template <class T> T loss_naive(const LayerProblem &p, const Leaves<T> &leaves) {
  std::vector<T> output(static_cast<std::size_t>(p.output_size()), T(0));
  std::vector<T> scores(static_cast<std::size_t>(p.scores_size()), T(0));
  multi_head_attention_forward_naive<T>(p.sizes, inputs_of(leaves), weights_of(leaves),
                                        p.c.options(), output.data(), scores.data());
  T loss(0);
  for (std::size_t i = 0; i < output.size(); ++i)
    loss += static_cast<T>(p.upstream[i]) * output[i];
  for (std::size_t i = 0; i < p.scores_upstream.size(); ++i)
    loss += static_cast<T>(p.scores_upstream[i]) * scores[i];
  return loss;
}

// d loss / d every leaf, in the precision of Real.
template <class Real> Leaves<Real> gradient_oracle(const LayerProblem &p) {
  return gradient_by_duals<Real>(p.leaves, [&](const auto &leaves) { return loss_naive(p, leaves); });
}

// The same by the textbook's backward pass, in the precision of T: for layers
// too large for the oracle, and as the measure of what T can do.
template <class T> Leaves<T> gradient_textbook(const LayerProblem &p) {
  const Leaves<T> leaves = convert<T>(p.leaves);
  Leaves<T> gradient = leaves;
  for (std::vector<T> &leaf : gradient)
    std::fill(leaf.begin(), leaf.end(), T(0));
  const auto dense = [&](Leaf kernel, Leaf bias) {
    return Dense<T>{gradient[kernel].data(), gradient[bias].data()};
  };
  MultiHeadGradientsNaive<T> result;
  result.weights = {dense(kQueryKernel, kQueryBias), dense(kKeyKernel, kKeyBias),
                    dense(kGateKernel, kGateBias), dense(kValueKernel, kValueBias),
                    dense(kOutputKernel, kOutputBias)};
  const std::vector<T> upstream(p.upstream.begin(), p.upstream.end());
  const std::vector<T> scores_upstream(p.scores_upstream.begin(), p.scores_upstream.end());
  multi_head_attention_backward_naive<T>(
      p.sizes, inputs_of(leaves), weights_of(leaves), p.c.options(), upstream.data(),
      scores_upstream.empty() ? nullptr : scores_upstream.data(), result);
  gradient[kQueryInput] = result.query;
  gradient[kKeyInput] = result.key;
  gradient[kValueInput] = result.value;
  return gradient;
}

// The derivative of the loss along one direction in all leaves at once: as
// dear as two forward passes, so it serves where a whole gradient is too much.
inline double directional_derivative(const LayerProblem &p, const Leaves<double> &direction) {
  using Scalar = Dual<double, 1>;
  Leaves<Scalar> leaves = convert<Scalar>(p.leaves);
  for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf)
    for (std::size_t i = 0; i < leaves[leaf].size(); ++i)
      leaves[leaf][i].d[0] = direction[leaf][i];
  return loss_naive(p, leaves).d[0];
}

} // namespace attentive_test
