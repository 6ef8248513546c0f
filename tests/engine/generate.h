// Random configurations of the core: shapes, masks, values and memory layouts,
// at least 30% of them degenerate. Configuration `number` of a seed is a pure
// function of the two, so one line replays a failure:
//   ATTENTIVE_SEED=1 ATTENTIVE_CASE=42 tests/engine/run test_attention
//
// Letters as in attention.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "attention.h"
#include "random.h"

namespace attentive_test {

using namespace attentive;

// A stream of decisions.
class Dice {
public:
  Dice(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  double uniform() { return random_uniform(seed_, stream_, next_++); }
  bool chance(double p) { return uniform() < p; }
  // A whole number from low to high, both possible.
  Index integer(Index low, Index high) {
    return low + static_cast<Index>(uniform() * static_cast<double>(high - low + 1));
  }
  template <class T> T pick(std::initializer_list<T> values) {
    return values.begin()[integer(0, static_cast<Index>(values.size()) - 1)];
  }

private:
  std::uint64_t seed_, stream_, next_ = 0;
};

// What the numbers in q, k and v look like.
enum class Values { ordinary, large_scores, overflow, denormal, equal_scores, dominant, count };
inline const char *name_of(Values values) {
  const char *names[] = {"ordinary", "large_scores", "overflow",
                         "denormal", "equal_scores", "dominant"};
  return names[static_cast<int>(values)];
}

// Where NaN and Inf are put.
enum class Poison { none, hidden, anywhere };

enum MaskKind { kDense, kQuery, kKey, kCausal, kWindow, kMaskKinds };
inline const char *mask_name(int kind) {
  const char *names[] = {"dense", "query", "key", "causal", "window"};
  return names[kind];
}

struct Configuration {
  std::uint64_t seed = 0, number = 0;
  AttentionShape shape;
  double scale = 1;
  Values values = Values::ordinary;
  Poison poison = Poison::none;
  Dropout dropout;

  bool has[kMaskKinds] = {};
  bool broadcast[5] = {}; // of the dense mask: b, f, h, t, s
  Mask mask;              // its pointers point into the three below
  std::vector<std::uint8_t> dense, query, key;

  bool heads_first = false; // [N, H, T, K] in memory rather than [N, T, H, K]
  Index padding = 0;        // numbers after each row that belong to nobody
  Index offset = 0;         // numbers before the first row: unaligned data

  Configuration() = default;
  Configuration(Configuration &&) = default; // a vector keeps its memory
  Configuration &operator=(Configuration &&) = default;

  AttentionOptions options() const {
    AttentionOptions result;
    result.scale = scale;
    result.mask = mask;
    result.dropout = dropout;
    return result;
  }
  std::string replay() const {
    return "ATTENTIVE_SEED=" + std::to_string(seed) + " ATTENTIVE_CASE=" + std::to_string(number);
  }
  std::string describe() const;
};

inline std::string Configuration::describe() const {
  char text[256];
  std::snprintf(text, sizeof text,
                "B%td F%td T%td S%td H%td G%td K%td V%td scale %g %s%s%s%s pad %td+%td",
                shape.batch, shape.free, shape.queries, shape.keys, shape.heads, shape.groups,
                shape.key_size, shape.value_size, scale, name_of(values),
                poison == Poison::none ? "" : (poison == Poison::hidden ? " hidden-nan" : " nan"),
                has[kWindow] ? (" window " + std::to_string(mask.window)).c_str() : "",
                heads_first ? " heads-first" : "", padding, offset);
  std::string result = text;
  if (dropout.rate > 0)
    result += " dropout " + std::to_string(dropout.rate);
  for (int kind = 0; kind < kMaskKinds; ++kind)
    if (has[kind] && kind != kWindow)
      result += std::string(" ") + mask_name(kind);
  return result;
}

// How large a case may be: multiplications of the core, sequences, heads.
struct Limits {
  double budget = 1.5e6;
  Index longest = 70, widest = 300;
  double long_share = 0.005; // of a few cases the sequences are really long
};

// Problems small enough to take every derivative of.
inline Limits small_limits() {
  Limits limits;
  limits.budget = 2e3;
  limits.longest = 6;
  limits.widest = 5;
  limits.long_share = 0;
  return limits;
}

inline Index draw_length(Dice &dice, const Limits &limits) {
  if (dice.chance(0.12))
    return dice.pick<Index>({0, 1, 1, 1});
  if (dice.chance(0.3) && limits.longest >= 70) // edges of tiles
    return dice.pick<Index>({7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 97});
  return dice.integer(1, limits.longest);
}

inline Index draw_head_size(Dice &dice, const Limits &limits) {
  if (limits.widest < 70)
    return dice.integer(1, limits.widest);
  if (dice.chance(0.5))
    return dice.pick<Index>({1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 32, 33, 40, 64, 80, 96, 128, 256});
  return dice.chance(0.7) ? dice.integer(1, 70) : dice.integer(1, limits.widest);
}

inline AttentionShape draw_shape(Dice &dice, const Limits &limits) {
  AttentionShape shape;
  shape.batch = dice.chance(0.03) ? 0 : dice.integer(1, 3);
  shape.free = dice.chance(0.15) ? dice.integer(1, 3) : 1;
  shape.queries = draw_length(dice, limits);
  shape.keys = dice.chance(0.4) ? shape.queries : draw_length(dice, limits);
  shape.groups = dice.integer(1, 3);
  shape.heads = shape.groups * dice.pick<Index>({1, 1, 1, 2, 3});
  shape.key_size = draw_head_size(dice, limits);
  shape.value_size = dice.chance(0.5) ? shape.key_size : draw_head_size(dice, limits);
  double budget = limits.budget;
  if (dice.chance(limits.long_share)) {
    shape.queries = dice.integer(1, 1100);
    shape.keys = dice.integer(1, 1100);
    budget = 5e7;
  }
  const auto work = [&] {
    return static_cast<double>(shape.elements() * shape.heads * shape.queries * shape.keys) *
           static_cast<double>(shape.key_size + shape.value_size);
  };
  // Smaller where it is too dear, the sequences last.
  while (work() > budget) {
    if (shape.batch > 1)
      --shape.batch;
    else if (shape.heads > shape.groups)
      shape.heads = shape.groups;
    else if (shape.groups > 1)
      shape.heads = shape.groups = 1;
    else if (shape.free > 1)
      --shape.free;
    else if (std::max(shape.key_size, shape.value_size) > 64)
      (shape.key_size > shape.value_size ? shape.key_size : shape.value_size) /= 2;
    else
      (shape.queries > shape.keys ? shape.queries : shape.keys) /= 2;
  }
  return shape;
}

// Which tokens of one sequence take part: padding at the end mostly.
inline void draw_padding(Dice &dice, std::uint8_t *mask, Index length) {
  const Index kept = dice.integer(0, length);
  const double kind = dice.uniform(), density = dice.uniform();
  const std::uint8_t yes = dice.chance(0.9) ? 1 : 255; // any byte but 0 is TRUE
  for (Index i = 0; i < length; ++i) {
    bool takes_part = true; // of 5% of the sequences, all tokens
    if (kind < 0.55)
      takes_part = i < kept;
    else if (kind < 0.7)
      takes_part = i >= kept;
    else if (kind < 0.9)
      takes_part = dice.chance(density);
    else if (kind < 0.95)
      takes_part = false;
    mask[i] = takes_part ? yes : 0;
  }
}

// Any pattern in T x S: random, blocks as large as tiles, or whole rows.
inline void draw_dense(Dice &dice, Configuration &c) {
  const AttentionShape &shape = c.shape;
  Index sizes[5] = {shape.batch, shape.free, shape.heads, shape.queries, shape.keys};
  for (int axis = 0; axis < 5; ++axis) {
    c.broadcast[axis] = dice.chance(0.4);
    if (c.broadcast[axis])
      sizes[axis] = 1;
  }
  // The axes lie in memory in any order, as R's and C's arrays do.
  int order[5] = {0, 1, 2, 3, 4};
  const int how = static_cast<int>(dice.integer(0, 2));
  if (how == 1)
    std::reverse(order, order + 5);
  if (how == 2)
    for (int i = 4; i > 0; --i)
      std::swap(order[i], order[dice.integer(0, i)]);
  Index strides[5], size = 1;
  for (int i = 4; i >= 0; --i) {
    strides[order[i]] = c.broadcast[order[i]] ? 0 : size;
    size *= sizes[order[i]];
  }
  c.dense.assign(static_cast<std::size_t>(std::max<Index>(size, 1)), 0);
  c.mask.dense_batch = strides[0];
  c.mask.dense_free = strides[1];
  c.mask.dense_head = strides[2];
  c.mask.dense_query = strides[3];
  c.mask.dense_key = strides[4];

  const double kind = dice.uniform(), density = dice.pick({0.03, 0.3, 0.5, 0.9, 0.99, 1.0});
  const Index block = dice.pick<Index>({2, 8, 16, 32, 64});
  const std::uint64_t salt = static_cast<std::uint64_t>(dice.integer(0, 1 << 30));
  Index i[5];
  for (i[0] = 0; i[0] < sizes[0]; ++i[0])
    for (i[1] = 0; i[1] < sizes[1]; ++i[1])
      for (i[2] = 0; i[2] < sizes[2]; ++i[2])
        for (i[3] = 0; i[3] < sizes[3]; ++i[3])
          for (i[4] = 0; i[4] < sizes[4]; ++i[4]) {
            bool may = dice.chance(density);
            if (kind < 0.3) {
              const auto tile = static_cast<std::uint64_t>((i[3] / block) * 4096 + i[4] / block);
              may = random_uniform(salt, static_cast<std::uint64_t>(i[0] + i[2]), tile) < density;
            } else if (kind < 0.5) {
              may = random_uniform(salt, static_cast<std::uint64_t>(i[0] + i[2]),
                                   static_cast<std::uint64_t>(i[3])) < density;
            }
            Index at = 0;
            for (int axis = 0; axis < 5; ++axis)
              at += i[axis] * strides[axis];
            c.dense[static_cast<std::size_t>(at)] = may ? (dice.chance(0.9) ? 1 : 2) : 0;
          }
}

inline void draw_masks(Dice &dice, Configuration &c) {
  const double how = dice.uniform();
  if (how > 0.12 && how < 0.45)
    c.has[dice.integer(0, kMaskKinds - 1)] = true;
  else if (how >= 0.45)
    for (bool &present : c.has)
      present = dice.chance(0.5);

  const AttentionShape &shape = c.shape;
  c.mask.free = shape.free;
  c.mask.queries = shape.queries;
  c.mask.keys = shape.keys;
  c.mask.causal = c.has[kCausal];
  if (c.has[kWindow])
    c.mask.window = dice.chance(0.1) ? std::numeric_limits<Index>::max()
                                     : dice.integer(1, std::max(shape.queries, shape.keys) + 3);
  c.query.assign(static_cast<std::size_t>(shape.elements() * shape.queries), 1);
  c.key.assign(static_cast<std::size_t>(shape.elements() * shape.keys), 1);
  for (Index n = 0; n < shape.elements(); ++n) {
    if (c.has[kQuery])
      draw_padding(dice, c.query.data() + n * shape.queries, shape.queries);
    if (c.has[kKey])
      draw_padding(dice, c.key.data() + n * shape.keys, shape.keys);
  }
  if (c.has[kDense])
    draw_dense(dice, c);
  c.mask.dense = c.has[kDense] ? c.dense.data() : nullptr;
  c.mask.query = c.has[kQuery] ? c.query.data() : nullptr;
  c.mask.key = c.has[kKey] ? c.key.data() : nullptr;
}

inline Configuration draw_configuration(std::uint64_t seed, std::uint64_t number,
                                        const Limits &limits = {}) {
  Dice dice(seed, number);
  Configuration c;
  c.seed = seed;
  c.number = number;
  c.shape = draw_shape(dice, limits);
  c.scale = 1 / std::sqrt(static_cast<double>(c.shape.key_size));
  if (dice.chance(0.15))
    c.scale = dice.pick({0.0, 1.0, -0.7, 3.0, 0.01});
  draw_masks(dice, c);
  if (dice.chance(0.25))
    c.values = static_cast<Values>(dice.integer(1, static_cast<Index>(Values::count) - 1));
  if (c.values == Values::overflow && c.scale == 0)
    c.scale = 1; // whether 0 times Inf is met depends on where the scale is applied
  if (dice.chance(0.15))
    c.poison = dice.chance(0.5) ? Poison::hidden : Poison::anywhere;
  c.heads_first = dice.chance(0.3);
  c.padding = dice.chance(0.3) ? dice.integer(1, 5) : 0;
  c.offset = dice.chance(0.3) ? dice.integer(1, 3) : 0;
  if (dice.chance(0.25)) {
    c.dropout.rate = dice.pick({0.05, 0.1, 0.5, 0.9, 1.0});
    c.dropout.seed = seed;
    c.dropout.call = number;
    c.dropout.batch_offset = dice.integer(0, 5);
  }
  return c;
}

inline std::uint64_t environment_number(const char *name, std::uint64_t otherwise) {
  const char *text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoull(text, nullptr, 10);
}

} // namespace attentive_test
