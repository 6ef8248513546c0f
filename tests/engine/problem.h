// A configuration with its numbers: q, k and v in memory as the configuration
// lays them out, and what the textbook makes of them.
//
// Letters as in attention.h.
#pragma once

#include "attention_naive.h"
#include "attention_tiles.h"
#include "generate.h"

namespace attentive_test {

// Rows of heads in memory. Between the rows, and around them, stands `gap`.
template <class T> class HeadArray {
public:
  HeadArray(const Configuration &c, Index tokens, Index heads, Index size, T gap)
      : offset_(c.offset) {
    const Index row = size + c.padding;
    element_ = tokens * heads * row + c.padding;
    token_ = c.heads_first ? row : heads * row;
    head_ = c.heads_first ? tokens * row : row;
    data_.assign(static_cast<std::size_t>(c.shape.elements() * element_ + offset_ + c.padding),
                 gap);
  }
  HeadView<T> view() { return {data_.data() + offset_, element_, token_, head_}; }
  HeadView<const T> view() const { return {data_.data() + offset_, element_, token_, head_}; }
  const std::vector<T> &all() const { return data_; }

private:
  Index offset_, element_ = 0, token_ = 0, head_ = 0;
  std::vector<T> data_;
};

template <class T> struct Problem {
  const Configuration &c;
  HeadArray<T> q, k, v;

  explicit Problem(const Configuration &configuration)
      : c(configuration), q(c, c.shape.queries, c.shape.heads, c.shape.key_size, gap()),
        k(c, c.shape.keys, c.shape.groups, c.shape.key_size, gap()),
        v(c, c.shape.keys, c.shape.groups, c.shape.value_size, gap()) {}

  // The same numbers in another precision.
  template <class U> explicit Problem(const Problem<U> &other) : Problem(other.c) {
    const AttentionShape &a = c.shape;
    copy(other.q.view(), q.view(), a.queries, a.heads, a.key_size);
    copy(other.k.view(), k.view(), a.keys, a.groups, a.key_size);
    copy(other.v.view(), v.view(), a.keys, a.groups, a.value_size);
  }

  // Whoever reads between the rows gets NaN.
  static T gap() { return std::numeric_limits<T>::quiet_NaN(); }

private:
  template <class From, class To>
  void copy(From from, To to, Index tokens, Index heads, Index size) const {
    for (Index n = 0; n < c.shape.elements(); ++n)
      for (Index token = 0; token < tokens; ++token)
        for (Index h = 0; h < heads; ++h)
          for (Index i = 0; i < size; ++i)
            to.row(n, token, h)[i] = static_cast<T>(from.row(n, token, h)[i]);
  }
};

// Uniform numbers of mean 0 and variance 1; factor(dice) multiplies a whole
// row. Four numbers a block of random bits, as this is most of the work.
template <class T, class Factor>
void draw_rows(const Configuration &c, std::uint64_t stream, HeadView<T> x, Index tokens,
               Index heads, Index size, Factor factor) {
  const std::uint64_t key = derive_key(c.seed, c.number);
  Dice dice(key, stream + 100);
  PhiloxCounter bits{};
  std::uint64_t i = 0;
  for (Index n = 0; n < c.shape.elements(); ++n)
    for (Index token = 0; token < tokens; ++token)
      for (Index h = 0; h < heads; ++h) {
        const double row_factor = factor(dice) * 3.4641016151377544; // sqrt(12)
        for (Index j = 0; j < size; ++j, ++i) {
          if (i % 4 == 0)
            bits = random_block(key, stream, i / 4);
          x.row(n, token, h)[j] = static_cast<T>(row_factor * (bits[i % 4] * 0x1p-32 - 0.5));
        }
      }
}

template <class T> void draw_values(Problem<T> &p) {
  const Configuration &c = p.c;
  const AttentionShape &a = c.shape;
  const bool is_float = sizeof(T) == sizeof(float);
  const double huge = is_float ? 1e26 : 1e200, tiny = is_float ? 1e-41 : 1e-312;
  const auto q_factor = [&](Dice &dice) {
    switch (c.values) {
    case Values::large_scores:
      return std::pow(10.0, 5 * dice.uniform());
    case Values::overflow:
      return dice.chance(0.7) ? huge : 1.0;
    case Values::denormal:
      return dice.chance(0.5) ? tiny : 1.0;
    case Values::equal_scores:
      return 0.0;
    default:
      return 1.0;
    }
  };
  const auto k_factor = [&](Dice &dice) {
    switch (c.values) {
    case Values::overflow:
      return dice.chance(0.3) ? huge : 1.0;
    case Values::dominant:
      return dice.chance(0.1) ? 40.0 : 1.0;
    default:
      return 1.0;
    }
  };
  const auto v_factor = [&](Dice &) { return c.values == Values::denormal ? tiny : 1.0; };
  draw_rows(c, 0, p.q.view(), a.queries, a.heads, a.key_size, q_factor);
  draw_rows(c, 1, p.k.view(), a.keys, a.groups, a.key_size, k_factor);
  draw_rows(c, 2, p.v.view(), a.keys, a.groups, a.value_size, v_factor);
}

// NaN or Inf in one entry of a row, or in all.
template <class T> void poison_row(Dice &dice, T *row, Index size) {
  const T infinity = std::numeric_limits<T>::infinity();
  const T bad = dice.pick({std::numeric_limits<T>::quiet_NaN(), infinity, -infinity});
  const Index only = dice.chance(0.5) ? dice.integer(0, size - 1) : -1;
  for (Index i = 0; i < size; ++i)
    if (only < 0 || i == only)
      row[i] = bad;
}

// Whether any query of the heads that share key/value head g sees key s.
inline bool key_is_seen(const Configuration &c, Index n, Index s, Index g) {
  const Index shared = c.shape.heads / c.shape.groups;
  for (Index h = g * shared; h < (g + 1) * shared; ++h)
    for (Index t = 0; t < c.shape.queries; ++t)
      if (c.mask.may_attend(n, h, t, s))
        return true;
  return false;
}

inline bool query_sees(const Configuration &c, Index n, Index h, Index t) {
  for (Index s = 0; s < c.shape.keys; ++s)
    if (c.mask.may_attend(n, h, t, s))
      return true;
  return false;
}

// Poison::hidden: wherever nobody can see it. Poison::anywhere: in a few
// tokens, so that some queries see it and others do not.
template <class T> void add_poison(Problem<T> &p) {
  const Configuration &c = p.c;
  const AttentionShape &a = c.shape;
  Dice dice(derive_key(c.seed, c.number), 200);
  const bool hidden = c.poison == Poison::hidden;
  for (Index n = 0; n < a.elements() && c.poison != Poison::none; ++n) {
    for (Index s = 0; s < a.keys; ++s)
      for (Index g = 0; g < a.groups; ++g) {
        if (hidden ? key_is_seen(c, n, s, g) : !dice.chance(0.04))
          continue;
        if (dice.chance(0.7))
          poison_row(dice, p.k.view().row(n, s, g), a.key_size);
        if (dice.chance(0.7))
          poison_row(dice, p.v.view().row(n, s, g), a.value_size);
      }
    for (Index t = 0; t < a.queries; ++t)
      for (Index h = 0; h < a.heads; ++h)
        if (hidden ? !query_sees(c, n, h, t) : dice.chance(0.02))
          poison_row(dice, p.q.view().row(n, t, h), a.key_size);
  }
}

template <class T> Problem<T> draw_problem(const Configuration &c) {
  Problem<T> p(c);
  draw_values(p);
  add_poison(p);
  return p;
}

// The engine's log-sum-exps are to the base 2, the textbook's are natural.
template <class T> std::vector<T> times(const std::vector<T> &x, double factor) {
  std::vector<T> y;
  for (T number : x)
    y.push_back(static_cast<T>(factor * static_cast<double>(number)));
  return y;
}

// What a core makes of a problem: out [N, T, H, V], lse [N, H, T], scores
// [N, H, T, S], all row-major.
template <class T> struct Answer {
  std::vector<T> out, lse, scores;
  explicit Answer(const AttentionShape &a, bool want_scores = true)
      : out(static_cast<std::size_t>(a.elements() * a.queries * a.heads * a.value_size)),
        lse(static_cast<std::size_t>(a.elements() * a.heads * a.queries)),
        scores(static_cast<std::size_t>(
            want_scores ? a.elements() * a.heads * a.queries * a.keys : 0)) {}
};

template <class T> HeadView<T> head_rows(std::vector<T> &x, Index tokens, Index heads, Index size) {
  return {x.data(), tokens * heads * size, heads * size, size};
}

template <class T> Answer<T> textbook(const Problem<T> &p) {
  const AttentionShape &a = p.c.shape;
  Answer<T> answer(a);
  attention_forward_naive(a, p.q.view(), p.k.view(), p.v.view(), p.c.options(),
                          head_rows(answer.out, a.queries, a.heads, a.value_size),
                          answer.lse.data(), answer.scores.data());
  return answer;
}

// How large the scores of a problem are, seen from a type with this eps and
// this largest number. Scores of 1 / eps and more are beyond precision.
struct ScoreSizes {
  double largest = 0;       // |score| that anybody sees and that fits the type
  std::vector<char> beyond; // [N, H, T]: does the row see a finite one beyond precision?
};

inline ScoreSizes score_sizes(const Problem<double> &p, double eps, double too_large) {
  const AttentionShape &a = p.c.shape;
  ScoreSizes sizes;
  for (Index n = 0; n < a.elements(); ++n)
    for (Index h = 0; h < a.heads; ++h)
      for (Index t = 0; t < a.queries; ++t) {
        const double *q = p.q.view().row(n, t, h);
        int beyond = 0;
        for (Index s = 0; s < a.keys; ++s) {
          if (!p.c.mask.may_attend(n, h, t, s))
            continue;
          const double *k = p.k.view().row(n, s, h / (a.heads / a.groups));
          double dot = 0;
          int overflows = 0; // of products: 1 upwards, 2 downwards
          for (Index i = 0; i < a.key_size; ++i) {
            dot += q[i] * k[i];
            if (std::fabs(q[i] * k[i]) * static_cast<double>(a.key_size) >= too_large)
              overflows |= q[i] * k[i] > 0 ? 1 : 2;
          }
          const double score = std::fabs(dot * p.c.scale);
          if (score >= 1 / eps && score < too_large)
            beyond |= 1;
          if (overflows == 3)
            beyond |= 2;
          if (score < too_large)
            sizes.largest = std::max(sizes.largest, score);
        }
        sizes.beyond.push_back(static_cast<char>(beyond));
      }
  return sizes;
}

template <class T> ScoreSizes score_sizes(const Problem<double> &p) {
  return score_sizes(p, static_cast<double>(std::numeric_limits<T>::epsilon()),
                     static_cast<double>(std::numeric_limits<T>::max()));
}

// Adds 4 for rows [N, H, T] whose weights are NaN and then meet dropout: whether
// a NaN survives being dropped is not promised.
template <class T>
void mark_dropped_nan(const Configuration &c, const std::vector<T> &lse, std::vector<char> &rows) {
  for (std::size_t i = 0; i < rows.size() && c.dropout.rate > 0; ++i)
    if (!std::isfinite(lse[i]) && lse[i] != -std::numeric_limits<T>::infinity())
      rows[i] = static_cast<char>(rows[i] | 4);
}

} // namespace attentive_test
