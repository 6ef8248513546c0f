// One node as a program of its own: run it, and compare its gradients with
// central differences.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "generate.h"
#include "program.h"

namespace attentive_test {

using namespace attentive;
using Numbers = std::vector<double>;

struct CaseMask {
  bool given = false;
  Dims dims;
  std::vector<std::uint8_t> bytes;
};

struct NodeCase {
  std::string op;
  NodeOptions options;
  std::vector<Dims> dims;               // of the inputs
  std::vector<Numbers> inputs, weights; // an empty weight is none
  std::vector<CaseMask> masks;
  bool makes_mask = false;
  // of the run
  bool training = false, accumulate = false;
  std::uint64_t call = 0;
  Index batch_offset = 0;
  int threads = 1;
};

struct NodeResult {
  Dims dims, mask_dims;
  Numbers output, mask;
  std::vector<Numbers> d_inputs, d_weights; // empty: not written
  double loss = 0;
};

inline Numbers draw(Dice &dice, Index size, double low = -2, double high = 2) {
  Numbers x;
  for (Index i = 0; i < size; ++i)
    x.push_back(low + (high - low) * dice.uniform());
  return x;
}

inline ProgramPlan plan_of(const NodeCase &c) {
  ProgramPlan plan;
  ProgramNode node;
  node.op = c.op;
  node.options = c.options;
  for (std::size_t i = 0; i < c.dims.size(); ++i) {
    plan.inputs.push_back(plan.values);
    node.links.inputs.push_back(plan.values++);
  }
  if (c.dims.empty()) // a program has inputs, if none that the node looks at
    plan.inputs.push_back(plan.values++);
  for (const Numbers &weight : c.weights)
    node.links.weights.push_back(weight.empty() ? -1 : plan.weights++);
  for (const CaseMask &mask : c.masks)
    node.links.masks.push_back(mask.given ? plan.masks++ : -1);
  if (c.makes_mask)
    node.links.mask_outputs.push_back(plan.masks++);
  plan.outputs = node.links.outputs = {plan.values++};
  plan.output_masks = {c.makes_mask ? plan.masks - 1 : -1};
  plan.nodes.push_back(node);
  return plan;
}

// What gradients hold before a node that accumulates.
inline double before(Index i) { return 0.25 * static_cast<double>(i % 7) - 1; }

template <class T, class Owner> void want_gradient(Owner &owner, Index size, bool accumulate) {
  owner.wants_gradient = true;
  owner.has_gradient = accumulate;
  owner.gradient = Buffer<T>(size, T(-77)); // must be overwritten
  for (Index i = 0; i < size && accumulate; ++i)
    owner.gradient[i] = static_cast<T>(before(i));
}

template <class T, class Owner> Numbers gradient_of(const Owner &owner, bool accumulate) {
  Numbers d;
  for (Index i = 0; i < owner.gradient.size() && owner.has_gradient; ++i)
    d.push_back(static_cast<double>(owner.gradient[i]) - (accumulate ? before(i) : 0));
  return d;
}

// `upstream` is the gradient of the output; empty: forward only. What is beyond the output is
// not used, so that one of no numbers can have a backward pass.
template <class T> NodeResult run_node(const NodeCase &c, const Numbers &upstream = {}) {
  Program<T> program(plan_of(c));
  Run<T> &run = program.run();
  run.training = c.training;
  run.call = c.call;
  run.batch_offset = c.batch_offset;
  run.execution.threads = c.threads;
  std::vector<Buffer<T>> weights;
  for (const Numbers &numbers : c.weights) {
    if (numbers.empty())
      continue;
    weights.emplace_back(static_cast<Index>(numbers.size()));
    std::copy(numbers.begin(), numbers.end(), weights.back().data());
    run.weights[weights.size() - 1].data = weights.back().data();
    run.weights[weights.size() - 1].size = weights.back().size();
  }
  std::size_t at = 0;
  for (const CaseMask &mask : c.masks) {
    if (!mask.given)
      continue;
    MaskValue &value = run.masks[at++];
    value.dims = mask.dims;
    value.data = Buffer<std::uint8_t>(static_cast<Index>(mask.bytes.size()));
    std::copy(mask.bytes.begin(), mask.bytes.end(), value.data.data());
  }
  program.prepare(c.dims.empty() ? std::vector<Dims>{{1}} : c.dims);
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    std::transform(c.inputs[i].begin(), c.inputs[i].end(), run.values[i].data.data(),
                   [](double x) { return static_cast<T>(x); });
  program.forward();

  NodeResult result;
  Value<T> &out = run.values.back();
  result.dims = out.dims;
  result.loss = run.loss;
  result.output.assign(out.data.data(), out.data.data() + out.data.size());
  if (c.makes_mask) {
    const MaskValue &mask = run.masks.back();
    result.mask_dims = mask.dims;
    result.mask.assign(mask.data.data(), mask.data.data() + mask.data.size());
  }
  if (upstream.empty())
    return result;

  program.begin_backward();
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    want_gradient<T>(run.values[i], run.values[i].data.size(), c.accumulate);
  for (Weight<T> &weight : run.weights)
    want_gradient<T>(weight, weight.size, c.accumulate);
  want_gradient<T>(out, out.data.size(), false);
  out.has_gradient = true;
  for (Index i = 0; i < out.gradient.size(); ++i)
    out.gradient[i] = static_cast<T>(upstream.at(static_cast<std::size_t>(i)));
  program.backward();
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    result.d_inputs.push_back(gradient_of<T>(run.values[i], c.accumulate));
  for (const Weight<T> &weight : run.weights)
    result.d_weights.push_back(gradient_of<T>(weight, c.accumulate));
  return result;
}

// A check that says which node it was about.
inline void check_node(const NodeCase &c, bool holds, const char *what) {
  if (!holds && tally().failures < 20)
    std::printf("%s (%s): %s\n", c.op.c_str(),
                (c.options.text("activation") + c.options.text("operation")).c_str(), what);
  CHECK(holds);
}

inline bool near(const Numbers &a, const Numbers &b, double tolerance) {
  if (a.size() != b.size())
    return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= tolerance * (1 + std::fabs(b[i]))) &&
        !(std::isnan(a[i]) && std::isnan(b[i])))
      return false;
  return true;
}

// The derivative of sum(upstream * output) + loss along one number.
inline double difference(NodeCase &c, Numbers &numbers, std::size_t i, const Numbers &upstream) {
  const double kept = numbers[i], step = 1e-5;
  double sums[2];
  for (const int side : {0, 1}) {
    numbers[i] = kept + (side == 0 ? -step : step);
    const NodeResult result = run_node<double>(c);
    sums[side] = result.loss;
    for (std::size_t k = 0; k < upstream.size(); ++k)
      sums[side] += upstream[k] * result.output[k];
  }
  numbers[i] = kept;
  return (sums[1] - sums[0]) / (2 * step);
}

// Gradients against differences (of inputs only where `inputs`), accumulation,
// threads, float against double.
inline void check_gradients(NodeCase c, Dice &dice, bool inputs = true) {
  const NodeResult plain = run_node<double>(c);
  const Numbers upstream = draw(dice, static_cast<Index>(plain.output.size()));
  if (upstream.empty())
    return;
  const NodeResult result = run_node<double>(c, upstream);
  const auto compare = [&](std::vector<Numbers> &leaves, const std::vector<Numbers> &gradients) {
    std::size_t at = 0;
    for (Numbers &leaf : leaves) {
      if (leaf.empty())
        continue;
      const Numbers &gradient = gradients[at++];
      CHECK(gradient.size() == leaf.size());
      const std::size_t stride = 1 + leaf.size() / 40;
      for (std::size_t i = 0; i < gradient.size(); i += stride) {
        const double expected = difference(c, leaf, i, upstream);
        const bool holds = std::fabs(gradient[i] - expected) < 2e-6 * (1 + std::fabs(expected));
        if (!holds)
          std::printf("gradient %g, by differences %g\n", gradient[i], expected);
        check_node(c, holds, "gradient");
      }
    }
  };
  if (inputs)
    compare(c.inputs, result.d_inputs);
  compare(c.weights, result.d_weights);

  c.accumulate = true;
  const NodeResult added = run_node<double>(c, upstream);
  c.accumulate = false;
  c.threads = 3;
  const NodeResult threaded = run_node<double>(c, upstream);
  c.threads = 1;
  const NodeResult single = run_node<float>(c, upstream);
  check_node(c, threaded.output == result.output, "bits over threads");
  check_node(c, near(single.output, result.output, 3e-5), "single precision");
  for (std::size_t i = 0; i < result.d_inputs.size() && inputs; ++i) {
    check_node(c, near(added.d_inputs[i], result.d_inputs[i], 1e-12), "accumulation");
    check_node(c, threaded.d_inputs[i] == result.d_inputs[i], "bits over threads");
    check_node(c, near(single.d_inputs[i], result.d_inputs[i], 3e-4), "single precision");
  }
  for (std::size_t i = 0; i < result.d_weights.size(); ++i) {
    check_node(c, near(added.d_weights[i], result.d_weights[i], 1e-12), "accumulation");
    check_node(c, threaded.d_weights[i] == result.d_weights[i], "bits over threads");
    check_node(c, near(single.d_weights[i], result.d_weights[i], 3e-4), "single precision");
  }
}

// Every element of the batch by itself has the bits that it has among the others.
template <class T> void check_batch(const NodeCase &c) {
  const NodeResult whole = run_node<T>(c);
  const Index batch = c.dims[0][0];
  for (Index b = 0; b < batch; ++b) {
    NodeCase part = c;
    part.batch_offset = c.batch_offset + b;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const auto size = static_cast<std::ptrdiff_t>(c.inputs[i].size()) / batch;
      part.dims[i][0] = 1;
      part.inputs[i].assign(c.inputs[i].begin() + b * size, c.inputs[i].begin() + (b + 1) * size);
    }
    for (CaseMask &mask : part.masks) {
      if (!mask.given)
        continue;
      const auto size = static_cast<std::ptrdiff_t>(mask.bytes.size()) / batch;
      mask.dims[0] = 1;
      mask.bytes = {mask.bytes.begin() + b * size, mask.bytes.begin() + (b + 1) * size};
    }
    const NodeResult alone = run_node<T>(part);
    const std::size_t size = alone.output.size();
    for (std::size_t i = 0; i < size; ++i)
      check_node(c,
                 alone.output[i] == whole.output[static_cast<std::size_t>(b) * size + i] ||
                     std::isnan(alone.output[i]),
                 "bits over batches");
  }
}

} // namespace attentive_test
