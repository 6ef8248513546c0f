// Attention as nodes of a program: every output against the formulas written
// out with loops over all axes, every gradient against central differences,
// for tensors that play several parts, layers used twice, masks of any shape,
// transposed axes, scores, dropout and penalties; and the bits over threads.
//   ATTENTIVE_CONFIGS   how many random cases, default 1200
//   ATTENTIVE_SEED, ATTENTIVE_CASE   another sequence; one case of it alone
#include <cmath>
#include <cstring>

#include "check.h"
#include "dropout.h"
#include "generate.h"
#include "layer_problem.h"
#include "program.h"

using namespace attentive_test;

namespace {

enum Kind { kMultiHead, kDot, kAdditive };
using Numbers = std::vector<double>;

struct TestMask {
  bool there = false;
  Dims dims;
  std::vector<std::uint8_t> bytes;
};

// Letters as in attention.h. Tensors: the distinct inputs; part[i] says which
// of them is query, value and key.
struct Case {
  Kind kind = kMultiHead;
  std::uint64_t number = 0;
  std::vector<Dims> tensors;
  int part[3] = {0, 0, 0};
  int attended = 1;
  Index heads = 1, groups = 1, key_size = 1, value_size = 1;
  Dims output;
  std::vector<Index> weights; // sizes, 0 where there is none
  TestMask masks[4];          // query, value, key, attention
  std::vector<double> order;  // of the masks' axes
  bool causal = false, training = false;
  Index window = 0;
  double rate = 0, l1 = 0, l2 = 0;
  int scores = 0; // none, all, mean
  int uses = 1;

  const Dims &dims(int which) const { return tensors[static_cast<std::size_t>(part[which])]; }
};

Dims tokens_of(const Dims &dims) { return Dims(dims.begin(), dims.end() - 1); }

TestMask draw_mask(Dice &dice, Dims dims, double chance) {
  TestMask mask;
  mask.there = dice.chance(chance);
  for (Index &dim : dims)
    if (dice.chance(0.2))
      dim = 1;
  mask.dims = dims;
  for (Index i = 0; i < count(dims); ++i)
    mask.bytes.push_back(dice.chance(0.7) ? 1 : 0);
  return mask;
}

// A mask of tokens; where the inputs were transposed its axes are not.
TestMask draw_token_mask(Dice &dice, const Dims &dims, const std::vector<double> &order) {
  Dims own = tokens_of(dims);
  for (std::size_t i = 0; i < order.size(); ++i)
    own[static_cast<std::size_t>(order[i])] = dims[i];
  return draw_mask(dice, own, 0.35);
}

Dims score_dims(const Case &c) {
  const Dims &q = c.dims(0), &v = c.dims(1);
  Dims dims(q.begin(), q.end() - 1 - c.attended);
  if (c.kind == kMultiHead)
    dims.push_back(c.heads);
  dims.insert(dims.end(), q.end() - 1 - c.attended, q.end() - 1);
  dims.insert(dims.end(), v.end() - 1 - c.attended, v.end() - 1);
  return dims;
}

void draw_sizes(Case &c, Dice &dice) {
  c.groups = c.kind == kMultiHead ? dice.integer(1, 2) : 1;
  c.heads = c.groups * (c.kind == kMultiHead ? dice.integer(1, 2) : 1);
  c.key_size = dice.integer(1, 3);
  c.value_size = dice.integer(1, 3);
  const Index dq = dice.integer(1, 4);
  Dims query;
  query.push_back(dice.integer(1, 3));
  const Index axes = dice.pick<Index>({0, 0, 0, 1, 2});
  c.attended = axes > 0 && dice.chance(0.5) ? 2 : 1;
  for (Index i = 0; i <= axes; ++i)
    query.push_back(dice.integer(1, 4));
  query.push_back(dq);
  Dims value = query;
  for (int i = 0; i < c.attended; ++i)
    value[value.size() - 2 - static_cast<std::size_t>(i)] = dice.integer(1, 5);
  c.tensors = {query};
  if (dice.chance(0.5)) { // another value, maybe another key
    c.part[1] = c.part[2] = 1;
    const bool own_key = dice.chance(0.5);
    if (c.kind == kMultiHead || own_key)
      value.back() = dice.integer(1, 4);
    c.tensors.push_back(value);
    if (own_key) {
      c.part[2] = 2;
      value.back() = c.kind == kMultiHead ? dice.integer(1, 4) : dq;
      c.tensors.push_back(value);
    }
  }
  if (c.kind != kMultiHead) {
    c.output = {c.dims(1).back()};
    c.key_size = dq;
    c.value_size = c.dims(1).back();
    return;
  }
  c.output = {dice.integer(1, 4)};
  if (dice.chance(0.2))
    c.output.push_back(2);
}

Case draw_case(std::uint64_t seed, std::uint64_t number) {
  Case c;
  c.number = number;
  Dice dice(derive_key(seed, number), 7);
  c.kind = dice.pick({kMultiHead, kMultiHead, kDot, kAdditive});
  draw_sizes(c, dice);
  const std::size_t axes = c.dims(0).size() - 1;
  if (axes == 3 && dice.chance(0.5))
    c.order = {0, 2, 1};
  c.masks[0] = draw_token_mask(dice, c.dims(0), c.order);
  c.masks[1] = draw_token_mask(dice, c.dims(1), c.order);
  c.masks[2] = draw_token_mask(dice, c.dims(1), c.order);
  c.masks[3] = draw_mask(dice, score_dims(c), 0.4);
  if (c.kind == kMultiHead && dice.chance(0.3)) { // fewer axes: those before the queries lack
    TestMask &mask = c.masks[3];
    const std::ptrdiff_t pairs = 2 * c.attended;
    const Dims all = mask.dims;
    mask.dims.assign(all.end() - pairs, all.end());
    if (dice.chance(0.5))
      mask.dims.insert(mask.dims.begin(), all[0]);
    mask.bytes.resize(static_cast<std::size_t>(count(mask.dims)));
  }
  c.masks[3].there = c.masks[3].there && c.kind == kMultiHead;
  c.causal = dice.chance(0.3);
  c.window = c.kind == kMultiHead && dice.chance(0.2) ? dice.integer(1, 4) : 0;
  c.training = dice.chance(0.7);
  c.rate = dice.chance(0.3) ? dice.pick({0.2, 0.5, 1.0}) : 0;
  c.scores = static_cast<int>(dice.pick<Index>({0, 0, 1, 2}));
  c.uses = dice.chance(0.3) ? 2 : 1;
  const bool bias = dice.chance(0.7), gate = dice.chance(0.4);
  if (c.kind == kMultiHead) {
    if (dice.chance(0.3)) {
      c.l1 = dice.pick({0.0, 0.1});
      c.l2 = 0.2;
    }
    const Index q = c.heads * c.key_size, k = c.groups * c.key_size, v = c.groups * c.value_size,
                o = c.heads * c.value_size, e = count(c.output), dq = c.dims(0).back();
    c.weights = {dq * q,
                 q,
                 c.dims(2).back() * k,
                 k,
                 gate ? dq * o : 0,
                 gate ? o : 0,
                 c.dims(1).back() * v,
                 v,
                 o * e,
                 e};
    for (std::size_t i = 1; i < c.weights.size(); i += 2)
      if (!bias)
        c.weights[i] = 0;
  } else if (c.kind == kDot) {
    c.weights = {0, 0, dice.chance(0.5) ? Index(1) : Index(0)};
  } else {
    c.weights = {dice.chance(0.5) ? c.key_size : Index(0), bias ? Index(1) : Index(0),
                 gate ? Index(1) : Index(0)};
  }
  return c;
}

// The program ---------------------------------------------------------------

template <class T> struct Answer {
  std::vector<std::vector<T>> outputs;   // of every use: result, then scores
  std::vector<std::vector<T>> gradients; // of every leaf: tensors, then weights
  double penalty = 0;
};

NodeOptions options_of(const Case &c, int use) {
  NodeOptions options;
  const auto number = [&](const char *name, double value) { options.numbers[name] = {value}; };
  number("heads", static_cast<double>(c.heads));
  number("groups", static_cast<double>(c.groups));
  number("key_size", static_cast<double>(c.key_size));
  number("value_size", static_cast<double>(c.value_size));
  for (Index size : c.output)
    options.numbers["output"].push_back(static_cast<double>(size));
  number("attended", c.attended);
  if (!c.order.empty())
    options.numbers["order"] = c.order;
  number("causal", c.causal);
  number("window", static_cast<double>(c.window));
  number("rate", c.rate);
  options.numbers["key"] = {11, 42};
  number("use", use);
  number("l1", c.l1);
  number("l2", c.l2);
  if (c.scores == 2)
    options.texts["scores"] = "mean";
  return options;
}

ProgramPlan plan_of(const Case &c) {
  ProgramPlan plan;
  plan.values = static_cast<int>(c.tensors.size());
  for (int i = 0; i < plan.values; ++i)
    plan.inputs.push_back(i);
  plan.masks = 4;
  plan.weights = static_cast<int>(c.weights.size());
  for (int use = 0; use < c.uses; ++use) {
    ProgramNode node;
    node.op = c.kind == kMultiHead ? "multi_head_attention"
              : c.kind == kDot     ? "dot_attention"
                                   : "additive_attention";
    node.links.inputs.assign(c.part, c.part + 3);
    for (int i = 0; i < (c.scores == 0 ? 1 : 2); ++i) {
      plan.outputs.push_back(plan.values);
      node.links.outputs.push_back(plan.values++);
    }
    for (int i = 0; i < 4; ++i)
      node.links.masks.push_back(c.masks[i].there ? i : -1);
    for (std::size_t i = 0; i < c.weights.size(); ++i)
      node.links.weights.push_back(c.weights[i] > 0 ? static_cast<int>(i) : -1);
    node.options = options_of(c, use);
    plan.nodes.push_back(node);
  }
  return plan;
}

// What arrives at output i.
Numbers upstream(const Case &c, std::size_t i, Index size) {
  return draw_numbers(derive_key(99, c.number), 600 + i, size, 1);
}

template <class T>
Answer<T> run(const Case &c, const std::vector<Numbers> &leaves, bool backward, int threads = 1,
              int times = 1) {
  Program<T> program(plan_of(c));
  Run<T> &r = program.run();
  for (std::size_t i = 0; i < 4; ++i) {
    r.masks[i].dims = c.masks[i].dims;
    r.masks[i].data = Buffer<std::uint8_t>(static_cast<Index>(c.masks[i].bytes.size()));
    std::copy(c.masks[i].bytes.begin(), c.masks[i].bytes.end(), r.masks[i].data.data());
  }
  program.prepare(c.tensors);
  std::vector<std::vector<T>> numbers;
  for (const Numbers &leaf : leaves)
    numbers.emplace_back(leaf.begin(), leaf.end());
  const std::size_t tensors = c.tensors.size();
  for (std::size_t i = 0; i < c.weights.size(); ++i) {
    r.weights[i].data = numbers[tensors + i].data();
    r.weights[i].size = c.weights[i];
  }
  r.training = c.training;
  r.call = 5;
  r.batch_offset = 2;
  r.execution.threads = threads;
  Answer<T> answer;
  for (int time = 0; time < times; ++time) { // a program gives the same again
    for (std::size_t i = 0; i < tensors; ++i)
      std::copy(numbers[i].begin(), numbers[i].end(), r.values[i].data.data());
    program.forward();
    answer = Answer<T>();
    answer.penalty = r.loss;
    for (int index : program.plan().outputs) {
      const Value<T> &value = r.values[static_cast<std::size_t>(index)];
      CHECK(count(value.dims) == value.data.size());
      answer.outputs.emplace_back(value.data.data(), value.data.data() + value.data.size());
    }
    if (!backward)
      continue;
    for (Weight<T> &weight : r.weights)
      weight.wants_gradient = weight.size > 0;
    program.begin_backward();
    for (std::size_t i = 0; i < tensors; ++i)
      r.values[i].wants_gradient = true;
    for (std::size_t i = 0; i < program.plan().outputs.size(); ++i) {
      if (c.scores > 0 && c.number % 5 == 0 && i % 2 == 0)
        continue; // only the scores have a gradient
      Value<T> &value = r.values[static_cast<std::size_t>(program.plan().outputs[i])];
      value.wants_gradient = true;
      const Numbers from = upstream(c, i, value.data.size());
      const GradientPlace<T> place = gradient_place<T>(value, value.data.size());
      std::copy(from.begin(), from.end(), place.data);
    }
    program.backward();
    for (std::size_t i = 0; i < tensors; ++i)
      answer.gradients.emplace_back(r.values[i].gradient.data(),
                                    r.values[i].gradient.data() + r.values[i].data.size());
    for (const Weight<T> &weight : r.weights)
      answer.gradients.emplace_back(weight.gradient.data(), weight.gradient.data() + weight.size);
  }
  return answer;
}

double loss(const Case &c, const std::vector<Numbers> &leaves) {
  const Answer<double> answer = run<double>(c, leaves, false);
  double total = answer.penalty;
  for (std::size_t i = 0; i < answer.outputs.size(); ++i) {
    if (c.scores > 0 && c.number % 5 == 0 && i % 2 == 0)
      continue;
    const Numbers u = upstream(c, i, static_cast<Index>(answer.outputs[i].size()));
    for (std::size_t j = 0; j < u.size(); ++j)
      total += u[j] * answer.outputs[i][j];
  }
  return total;
}

// The formulas --------------------------------------------------------------

// Byte of a mask at the position `at` of the axes of `dims`.
bool mask_at(const TestMask &mask, const Dims &at, const std::vector<double> &order) {
  if (!mask.there)
    return true;
  Dims position(mask.dims.size());
  for (std::size_t i = 0; i < at.size(); ++i)
    position[order.empty() ? i : static_cast<std::size_t>(order[i])] = at[i];
  Index index = 0;
  for (std::size_t i = 0; i < position.size(); ++i)
    index = index * mask.dims[i] + (mask.dims[i] == 1 ? 0 : position[i]);
  return mask.bytes[static_cast<std::size_t>(index)] != 0;
}

Dims position_of(Index index, const Dims &dims) {
  Dims at(dims.size());
  for (std::size_t i = dims.size(); i-- > 0; index /= dims[i])
    at[i] = index % dims[i];
  return at;
}

struct Formula {
  const Case &c;
  const std::vector<Numbers> &leaves;
  AttentionShape shape;
  Dims lead; // batch and free axes
  Dims query_axes, key_axes;

  Formula(const Case &the_case, const std::vector<Numbers> &numbers)
      : c(the_case), leaves(numbers) {
    const Dims &q = c.dims(0), &v = c.dims(1);
    lead.assign(q.begin(), q.end() - 1 - c.attended);
    query_axes.assign(q.end() - 1 - c.attended, q.end() - 1);
    key_axes.assign(v.end() - 1 - c.attended, v.end() - 1);
    shape.batch = q[0];
    shape.free = count(lead) / q[0];
    shape.queries = count(query_axes);
    shape.keys = count(key_axes);
    shape.heads = c.heads;
    shape.groups = c.groups;
    shape.key_size = c.key_size;
    shape.value_size = c.value_size;
  }

  const Numbers &tensor(int which) const { return leaves[static_cast<std::size_t>(c.part[which])]; }
  const Numbers &weight(std::size_t i) const { return leaves[c.tensors.size() + i]; }

  bool query_takes_part(Index n, Index t) const {
    Dims at = position_of(n, lead);
    const Dims query = position_of(t, query_axes);
    at.insert(at.end(), query.begin(), query.end());
    return mask_at(c.masks[0], at, c.order);
  }

  bool sees(Index n, Index h, Index t, Index s) const {
    if (c.causal && s > t)
      return false;
    if (c.window > 0 && std::abs(t - s) >= c.window)
      return false;
    if (c.kind == kMultiHead && !query_takes_part(n, t))
      return false;
    const Dims first = position_of(n, lead), query = position_of(t, query_axes),
               key = position_of(s, key_axes);
    Dims at = first;
    at.insert(at.end(), key.begin(), key.end());
    if (!mask_at(c.masks[1], at, c.order) || !mask_at(c.masks[2], at, c.order))
      return false;
    at = first;
    at.push_back(h);
    at.insert(at.end(), query.begin(), query.end());
    at.insert(at.end(), key.begin(), key.end());
    const std::size_t pairs = 2 * static_cast<std::size_t>(c.attended);
    TestMask dense = c.masks[3];
    dense.dims.insert(dense.dims.end() - static_cast<std::ptrdiff_t>(pairs),
                      dense.there ? at.size() - dense.dims.size() : 0, 1);
    return mask_at(dense, at, {});
  }

  Answer<double> answer() const {
    Answer<double> result;
    for (int use = 0; use < c.uses; ++use)
      one_use(use, result);
    return result;
  }

  double score(const double *q, const double *k) const {
    double sum = 0;
    for (Index i = 0; i < shape.key_size; ++i)
      if (c.kind != kAdditive)
        sum += q[i] * k[i];
      else
        sum += (c.weights[0] > 0 ? weight(0)[static_cast<std::size_t>(i)] : 1) *
               std::tanh((c.weights[1] > 0 ? weight(1)[0] : 1) * (q[i] + k[i]));
    if (c.kind == kMultiHead)
      return sum / std::sqrt(static_cast<double>(shape.key_size));
    return c.weights[2] > 0 ? weight(2)[0] * sum : sum;
  }

  Dense<const double> dense(std::size_t i) const {
    return {weight(i).data(), c.weights[i + 1] > 0 ? weight(i + 1).data() : nullptr};
  }

  void one_use(int use, Answer<double> &result) const {
    Numbers q = tensor(0), v = tensor(1), k = tensor(2), gate;
    const Index rows = shape.elements() * shape.queries, key_rows = shape.elements() * shape.keys;
    const bool projects = c.kind == kMultiHead, has_gate = projects && c.weights[4] > 0;
    if (projects) {
      if (has_gate)
        gate = dense_naive(q.data(), dense(4), rows, c.dims(0).back(), c.heads * c.value_size);
      for (double &g : gate)
        g = 1 / (1 + std::exp(-g));
      q = dense_naive(q.data(), dense(0), rows, c.dims(0).back(), c.heads * c.key_size);
      k = dense_naive(k.data(), dense(2), key_rows, c.dims(2).back(), c.groups * c.key_size);
      v = dense_naive(v.data(), dense(6), key_rows, c.dims(1).back(), c.groups * c.value_size);
    }
    Dropout dropout;
    dropout.rate = c.training ? c.rate : 0;
    dropout.seed = std::uint64_t(11) << 32 | 42;
    if (use > 0)
      dropout.seed = derive_key(dropout.seed, static_cast<std::uint64_t>(use));
    dropout.call = 5;
    dropout.batch_offset = 2;
    const DropoutMask keeps(dropout, shape);
    Numbers context(static_cast<std::size_t>(rows * c.heads * c.value_size), 0.0), scores, means;
    means.resize(static_cast<std::size_t>(rows * shape.keys), 0.0);
    for (Index n = 0; n < shape.elements(); ++n)
      for (Index h = 0; h < c.heads; ++h)
        for (Index t = 0; t < shape.queries; ++t) {
          const Index g = h / (c.heads / c.groups), row = (n * shape.queries + t) * c.heads + h;
          Numbers p(static_cast<std::size_t>(shape.keys), 0.0);
          double total = 0;
          for (Index s = 0; s < shape.keys; ++s)
            if (sees(n, h, t, s))
              total += p[static_cast<std::size_t>(s)] =
                  std::exp(score(q.data() + row * c.key_size,
                                 k.data() + ((n * shape.keys + s) * c.groups + g) * c.key_size));
          for (Index s = 0; s < shape.keys; ++s) {
            double &weight_of = p[static_cast<std::size_t>(s)];
            weight_of = total > 0 ? weight_of / total : 0;
            const double factor =
                keeps.drops_all() || !keeps.head(n, h).keeps(t, s) ? 0 : keeps.scale();
            const double shown = projects ? weight_of : weight_of * factor;
            scores.push_back(shown);
            means[static_cast<std::size_t>((n * shape.queries + t) * shape.keys + s)] +=
                shown / static_cast<double>(c.heads);
            for (Index i = 0; i < c.value_size; ++i)
              context[static_cast<std::size_t>(row * c.value_size + i)] +=
                  (projects || query_takes_part(n, t) ? weight_of * factor : 0) *
                  v[static_cast<std::size_t>(((n * shape.keys + s) * c.groups + g) * c.value_size +
                                             i)];
          }
        }
    if (has_gate)
      for (std::size_t i = 0; i < context.size(); ++i)
        context[i] *= gate[i];
    const Numbers out = projects ? dense_naive(context.data(), dense(8), rows,
                                               c.heads * c.value_size, count(c.output))
                                 : context;
    result.outputs.push_back(out);
    if (c.scores > 0)
      result.outputs.push_back(c.scores == 1 ? scores : means);
    for (const Numbers *part : std::initializer_list<const Numbers *>{&q, &k, &gate, &v, &out})
      for (double x : *part)
        if (projects)
          result.penalty += (c.l1 * std::fabs(x) + c.l2 * x * x) / static_cast<double>(shape.batch);
  }
};

// The comparisons -----------------------------------------------------------

template <class T> bool near(const std::vector<T> &got, const Numbers &expected, double tolerance) {
  if (got.size() != expected.size())
    return false;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::fabs(static_cast<double>(got[i]) - expected[i]) <=
          tolerance * (1 + std::fabs(expected[i]))))
      return false;
  return true;
}

template <class T> bool same_bits(const std::vector<T> &a, const std::vector<T> &b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T> bool same_bits(const Answer<T> &a, const Answer<T> &b) {
  bool same = a.penalty == b.penalty && a.outputs.size() == b.outputs.size() &&
              a.gradients.size() == b.gradients.size();
  for (std::size_t i = 0; same && i < a.outputs.size(); ++i)
    same = same_bits(a.outputs[i], b.outputs[i]);
  for (std::size_t i = 0; same && i < a.gradients.size(); ++i)
    same = same_bits(a.gradients[i], b.gradients[i]);
  return same;
}

std::vector<Numbers> draw_leaves(const Case &c) {
  std::vector<Numbers> leaves;
  for (const Dims &dims : c.tensors)
    leaves.push_back(draw_numbers(derive_key(98, c.number), 400 + leaves.size(), count(dims), 1));
  for (Index size : c.weights)
    leaves.push_back(draw_numbers(derive_key(98, c.number), 400 + leaves.size(), size, 0.8));
  return leaves;
}

void check_case(const Case &c) {
  const std::vector<Numbers> leaves = draw_leaves(c);
  const Answer<double> got = run<double>(c, leaves, true, 1);
  const Answer<float> rough = run<float>(c, leaves, true, 2);
  const Answer<double> expected = Formula(c, leaves).answer();
  CHECK(got.outputs.size() == expected.outputs.size());
  CHECK(std::fabs(got.penalty - expected.penalty) <= 1e-11 * (1 + expected.penalty));
  bool fine = true;
  for (std::size_t i = 0; i < expected.outputs.size(); ++i) {
    fine = fine && near(got.outputs[i], expected.outputs[i], 1e-11);
    CHECK(near(rough.outputs[i], expected.outputs[i], 2e-4));
  }
  CHECK(fine);
  CHECK(same_bits(got, run<double>(c, leaves, true, 3, 2)));

  std::vector<Numbers> shifted = leaves;
  Dice dice(derive_key(97, c.number), 1);
  for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    CHECK(near(rough.gradients[leaf], got.gradients[leaf], 5e-3));
    const Index size = static_cast<Index>(leaves[leaf].size());
    for (Index probe = 0; probe < std::min<Index>(size, 3); ++probe) {
      const auto i = static_cast<std::size_t>(size <= 3 ? probe : dice.integer(0, size - 1));
      const double h = 1e-5;
      double values[2];
      for (int side = 0; side < 2; ++side) {
        shifted[leaf][i] = leaves[leaf][i] + (side == 0 ? h : -h);
        values[side] = loss(c, shifted);
      }
      shifted[leaf][i] = leaves[leaf][i];
      const double slope = (values[0] - values[1]) / (2 * h), gradient = got.gradients[leaf][i];
      const bool close = std::fabs(slope - gradient) <= 2e-7 * (1 + std::fabs(slope));
      CHECK(close);
      fine = fine && close;
    }
  }
  if (!fine)
    std::printf("ATTENTIVE_CASE=%llu kind %d attended %d scores %d uses %d rate %g training %d\n",
                static_cast<unsigned long long>(c.number), c.kind, c.attended, c.scores, c.uses,
                c.rate, c.training);
}

// Sizes with work for several threads: the same bits for any number of them,
// and an element's output and input gradient whatever stands beside it.
void check_bits() {
  for (int masks = 0; masks < 2; ++masks) {
    Case c;
    c.number = 3;
    c.tensors = {{6, 70, 32}};
    c.heads = c.groups = 2;
    c.key_size = c.value_size = 16;
    c.output = {32};
    c.weights = {1024, 32, 1024, 32, 0, 0, 1024, 32, 1024, 32};
    c.training = true;
    c.rate = 0.1;
    c.causal = masks == 1;
    c.scores = masks;
    const std::vector<Numbers> leaves = draw_leaves(c);
    const Answer<float> one = run<float>(c, leaves, true, 1);
    CHECK(same_bits(one, run<float>(c, leaves, true, 2)));
    CHECK(same_bits(one, run<float>(c, leaves, true, 8)));
  }
}

void check_errors() {
  Case c = draw_case(1, 0);
  c = Case();
  c.tensors = {{2, 3, 4}, {2, 5, 3}};
  c.part[1] = c.part[2] = 1;
  c.kind = kDot;
  c.output = {3};
  c.weights = {0, 0, 0};
  CHECK_THROWS(run<double>(c, draw_leaves(c), false), std::invalid_argument); // 4 and 3 features
  c.tensors[1] = {1, 5, 4};
  CHECK_THROWS(run<double>(c, draw_leaves(c), false), std::invalid_argument); // another batch
  c.tensors[1] = {2, 5, 4};
  c.masks[1].there = true;
  c.masks[1].dims = {2, 3};
  c.masks[1].bytes.resize(6);
  CHECK_THROWS(run<double>(c, draw_leaves(c), false), std::invalid_argument); // its length
  c.masks[1].dims = {2, 5};
  c.masks[1].bytes.resize(10);
  CHECK(run<double>(c, draw_leaves(c), false).outputs[0][0] == 0);
}

} // namespace

int main() {
  const std::uint64_t seed = environment_number("ATTENTIVE_SEED", 8);
  const std::uint64_t one = environment_number("ATTENTIVE_CASE", ~std::uint64_t{0});
  const std::uint64_t count = environment_number("ATTENTIVE_CONFIGS", 1200);
  if (one != ~std::uint64_t{0}) {
    check_case(draw_case(seed, one));
    return finish("test_attention_nodes");
  }
  for (std::uint64_t number = 0; number < count; ++number)
    check_case(draw_case(seed, number));
  check_bits();
  check_errors();
  return finish("test_attention_nodes");
}
