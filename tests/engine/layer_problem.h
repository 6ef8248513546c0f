// A whole layer to be computed: a configuration of the core, the sizes around
// it, inputs and weights, and the gradients that arrive at output and scores.
//
// Letters as in attention.h and multi_head_attention.h.
#pragma once

#include "generate.h"
#include "leaves.h"
#include "multi_head_attention_naive.h"

namespace attentive_test {

// What the layer depends on, in Keras's order of weights. Absent leaves (no
// bias, no gate) are empty.
enum Leaf {
  kQueryInput,
  kKeyInput,
  kValueInput,
  kQueryKernel,
  kQueryBias,
  kKeyKernel,
  kKeyBias,
  kGateKernel,
  kGateBias,
  kValueKernel,
  kValueBias,
  kOutputKernel,
  kOutputBias,
  kLeaves
};
inline const char *leaf_name(int leaf) {
  const char *names[] = {"query",      "key",          "value",      "query kernel",
                         "query bias", "key kernel",   "key bias",   "gate kernel",
                         "gate bias",  "value kernel", "value bias", "output kernel",
                         "output bias"};
  return names[leaf];
}

struct LayerProblem {
  Configuration c; // its scale is not used: a layer has its own
  MultiHeadSizes sizes;
  Leaves<double> leaves; // by Leaf
  std::vector<double> upstream;        // [N, T, E]
  std::vector<double> scores_upstream; // [N, H, T, S], or empty

  Index output_size() const {
    return sizes.attention.elements() * sizes.attention.queries * sizes.output_features;
  }
  Index scores_size() const {
    const AttentionShape &a = sizes.attention;
    return a.elements() * a.heads * a.queries * a.keys;
  }
};

// The leaves of one scalar type as a layer takes them.
template <class T> MultiHeadInputs<T> inputs_of(const Leaves<T> &x) {
  return {x[kQueryInput].data(), x[kKeyInput].data(), x[kValueInput].data()};
}

template <class T> MultiHeadWeights<const T> weights_of(const Leaves<T> &x) {
  const auto data = [&](Leaf leaf) { return x[leaf].empty() ? nullptr : x[leaf].data(); };
  MultiHeadWeights<const T> weights;
  weights.query = {data(kQueryKernel), data(kQueryBias)};
  weights.key = {data(kKeyKernel), data(kKeyBias)};
  weights.gate = {data(kGateKernel), data(kGateBias)};
  weights.value = {data(kValueKernel), data(kValueBias)};
  weights.output = {data(kOutputKernel), data(kOutputBias)};
  return weights;
}

// Uniform numbers of mean 0 and the given standard deviation.
inline std::vector<double> draw_numbers(std::uint64_t key, std::uint64_t stream, Index size,
                                        double sd) {
  std::vector<double> x(static_cast<std::size_t>(size));
  const double half = sd * 1.7320508075688772;
  fill_uniform(key, stream, -half, half, x.data(), size);
  return x;
}

// Sizes of the leaves, 0 where absent.
inline std::vector<Index> leaf_sizes(const MultiHeadSizes &z, bool bias, bool gate) {
  const AttentionShape &a = z.attention;
  const Index n = a.elements(), hk = a.heads * a.key_size, gk = a.groups * a.key_size;
  const Index hv = a.heads * a.value_size, gv = a.groups * a.value_size;
  return {n * a.queries * z.query_features,
          n * a.keys * z.key_features,
          n * a.keys * z.value_features,
          z.query_features * hk,
          bias ? hk : 0,
          z.key_features * gk,
          bias ? gk : 0,
          gate ? z.query_features * hv : 0,
          gate && bias ? hv : 0,
          z.value_features * gv,
          bias ? gv : 0,
          hv * z.output_features,
          bias ? z.output_features : 0};
}

// Marks (1) the numbers of the inputs that nobody may see: keys and values
// hidden from all queries, queries that see nothing in any head.
inline Leaves<char> hidden_numbers(const LayerProblem &p) {
  const Configuration &c = p.c;
  const AttentionShape &a = c.shape;
  Leaves<char> hidden;
  for (const std::vector<double> &leaf : p.leaves)
    hidden.emplace_back(leaf.size(), 0);
  const auto mark = [](std::vector<char> &x, Index token, Index features) {
    std::fill_n(x.begin() + token * features, features, char(1));
  };
  for (Index n = 0; n < a.elements(); ++n) {
    std::vector<bool> key_seen(static_cast<std::size_t>(a.keys), false);
    for (Index t = 0; t < a.queries; ++t) {
      bool sees_any = false;
      for (Index h = 0; h < a.heads; ++h)
        for (Index s = 0; s < a.keys; ++s)
          if (c.mask.may_attend(n, h, t, s))
            sees_any = key_seen[static_cast<std::size_t>(s)] = true;
      if (!sees_any)
        mark(hidden[kQueryInput], n * a.queries + t, p.sizes.query_features);
    }
    for (Index s = 0; s < a.keys; ++s)
      if (!key_seen[static_cast<std::size_t>(s)]) {
        mark(hidden[kKeyInput], n * a.keys + s, p.sizes.key_features);
        mark(hidden[kValueInput], n * a.keys + s, p.sizes.value_features);
      }
  }
  return hidden;
}

inline void hide_nan(LayerProblem &p) {
  const Leaves<char> hidden = hidden_numbers(p);
  for (std::size_t leaf = 0; leaf < hidden.size(); ++leaf)
    for (std::size_t i = 0; i < hidden[leaf].size(); ++i)
      if (hidden[leaf][i] != 0)
        p.leaves[leaf][i] = std::nan("");
}

// The size of the largest score that any query sees.
inline double largest_score(const LayerProblem &p) {
  const AttentionShape &a = p.sizes.attention;
  const MultiHeadInputs<double> inputs = inputs_of(p.leaves);
  const MultiHeadWeights<const double> weights = weights_of(p.leaves);
  const std::vector<double> q = dense_naive(inputs.query, weights.query, a.elements() * a.queries,
                                            p.sizes.query_features, a.heads * a.key_size);
  const std::vector<double> k = dense_naive(inputs.key, weights.key, a.elements() * a.keys,
                                            p.sizes.key_features, a.groups * a.key_size);
  double largest = 0;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t)
        for (Index s = 0; s < a.keys; ++s) {
          if (!p.c.mask.may_attend(n, h, t, s))
            continue;
          const double *query = heads_of(q.data(), a.queries, a.heads, a.key_size).row(n, t, h);
          const double *key =
              heads_of(k.data(), a.keys, a.groups, a.key_size).row(n, s, h / (a.heads / a.groups));
          double dot = 0;
          for (Index i = 0; i < a.key_size; ++i)
            dot += query[i] * key[i];
          largest = std::max(largest, std::fabs(dot) / std::sqrt(static_cast<double>(a.key_size)));
        }
  return largest;
}

inline LayerProblem draw_layer(std::uint64_t seed, std::uint64_t number, const Limits &limits) {
  LayerProblem p;
  p.c = draw_configuration(seed, number, limits);
  Dice dice(derive_key(seed, number), 300);
  const Index widest = std::min<Index>(limits.widest, 40);
  p.sizes = {p.c.shape, dice.integer(1, widest), dice.integer(1, widest), dice.integer(1, widest),
             dice.integer(1, widest)};
  const bool bias = dice.chance(0.7), gate = dice.chance(0.4);
  const std::vector<Index> sizes = leaf_sizes(p.sizes, bias, gate);
  const std::uint64_t key = derive_key(seed, number);
  for (int leaf = 0; leaf < kLeaves; ++leaf) {
    double sd = leaf < kQueryKernel ? 1 : 0.7;
    if (leaf == kQueryInput && p.c.values == Values::large_scores)
      sd = 100;
    p.leaves.push_back(draw_numbers(key, 400 + static_cast<std::uint64_t>(leaf),
                                    sizes[static_cast<std::size_t>(leaf)], sd));
  }
  p.upstream = draw_numbers(key, 500, p.output_size(), 1);
  if (dice.chance(0.4))
    p.scores_upstream = draw_numbers(key, 501, p.scores_size(), 1);
  if (p.c.poison != Poison::none)
    hide_nan(p);
  return p;
}

} // namespace attentive_test
