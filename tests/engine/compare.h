// How far a fast path may be from the textbook, and the three verdicts: PASS,
// MARGINAL (above half the bound: counted and printed, never failing) and FAIL.
//
// Softmax turns a rounding of a score of size M into a relative error of
// M eps whatever the order of summation, so every bound grows with the largest
// |score| of the case. Where scores overflow there is no number to be near to:
// what the textbook finds not finite must not be finite, and the reverse. In
// between lie finite scores of 1 / eps and more, whose rounding alone exceeds
// 1, so that exp of a difference is noise and may overflow: there the engine
// may say NaN, but nothing larger than can be. And where products of both signs
// overflow, the order and a fused product decide between NaN, Inf and -Inf.
#pragma once

#include <map>

#include "problem.h"

namespace attentive_test {

// One quantity of one case: `exact` from the textbook in double, `own` from
// the textbook in the type under test.
struct Difference {
  double error = 0;     // of the path under test, over max(1, largest |exact|)
  double own_error = 0; // of the textbook in this type
  bool wrong_class = false;
  Index at = -1;                // where the error is largest, or the class wrong
  double got = 0, expected = 0; // there
};

struct Rules {
  // -Inf must meet -Inf: it is the log-sum-exp of a query that sees nothing,
  // and of no other.
  bool empty_is_exact = false;
  // What is left open, as a sum of: 1, numbers made from finite scores beyond
  // precision; 2, from scores whose products overflow both ways: both may be NaN
  // or up to `limit`; 4, numbers from weights that are NaN and then met dropout,
  // which may drop the NaN or not. Empty: nothing.
  std::vector<char> beyond;
  double limit = std::numeric_limits<double>::infinity();
  // The error is taken over the largest |exact|, or over this where larger.
  double scale = 1;
};

template <class Got, class T>
Difference difference(const std::vector<Got> &got, const std::vector<T> &own,
                      const std::vector<double> &exact, const Rules &rules = {}) {
  constexpr double kEmpty = -std::numeric_limits<double>::infinity();
  Difference d;
  double scale = rules.scale;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double g = static_cast<double>(got[i]), o = static_cast<double>(own[i]);
    const int kind = rules.beyond.empty() ? 0 : rules.beyond[i];
    if ((kind & 4) != 0)
      continue;
    const bool beyond = kind != 0 && (std::isfinite(o) || (kind & 2) != 0);
    if (beyond && (std::isnan(g) || std::fabs(g) <= rules.limit))
      continue;
    if (beyond || !std::isfinite(o) || !std::isfinite(g)) {
      const bool same = !std::isfinite(o) && !std::isfinite(g) &&
                        (!rules.empty_is_exact || (o == kEmpty) == (g == kEmpty));
      if (!same && !d.wrong_class) {
        d.wrong_class = true;
        d.at = static_cast<Index>(i);
        d.got = g;
        d.expected = o;
      }
      continue;
    }
    scale = std::max(scale, std::fabs(exact[i]));
    d.own_error = std::max(d.own_error, std::fabs(o - exact[i]));
    if (std::fabs(g - exact[i]) > d.error) {
      d.error = std::fabs(g - exact[i]);
      if (d.wrong_class)
        continue;
      d.at = static_cast<Index>(i);
      d.got = g;
      d.expected = exact[i];
    }
  }
  d.error /= scale;
  d.own_error /= scale;
  return d;
}

// float: twice the error of the textbook in float, at least 10 eps. double:
// 1e-13 (1 + log2 S).
template <class T> double bound_of(const Difference &d, double largest_score, Index keys) {
  const double m = std::max(1.0, largest_score);
  if (sizeof(T) == sizeof(float))
    return std::max(2 * d.own_error,
                    10 * static_cast<double>(std::numeric_limits<float>::epsilon()) * m);
  return 1e-13 * (1 + std::log2(static_cast<double>(std::max<Index>(keys, 1)))) * m;
}

// Gradients. float: four times the error of the textbook in float, at least 40
// eps. double: 1e-12.
template <class T> double gradient_bound_of(const Difference &d, double largest_score) {
  const double m = std::max(1.0, largest_score);
  if (sizeof(T) == sizeof(float))
    return std::max(4 * d.own_error,
                    40 * static_cast<double>(std::numeric_limits<float>::epsilon()) * m);
  return 1e-12 * m;
}

// Counts verdicts by quantity and prints each failure as a line that replays it.
class Verdicts {
public:
  void add(const std::string &quantity, const Difference &d, double bound, const Configuration &c) {
    Row &row = rows_[quantity];
    const double ratio = d.wrong_class ? std::numeric_limits<double>::infinity() : d.error / bound;
    ++row.cases;
    row.worst = std::max(row.worst, ratio);
    row.marginal += ratio > 0.5 && ratio <= 1;
    if (ratio <= 1)
      return;
    if (++row.failed <= 5)
      std::printf("FAIL %s %s at %td: %.9g, not %.9g; error %.3g, bound %.3g%s | %s\n",
                  c.replay().c_str(), quantity.c_str(), d.at, d.got, d.expected, d.error, bound,
                  d.wrong_class ? ", wrong class" : "", c.describe().c_str());
  }
  // Something that must hold exactly.
  void require(const std::string &quantity, bool holds, const Configuration &c) {
    Difference d;
    d.wrong_class = !holds;
    add(quantity, d, 1, c);
  }

  void print() const {
    for (const auto &entry : rows_)
      std::printf("%-28s %8ld cases, worst ratio %.3g, %ld marginal, %ld failed\n",
                  entry.first.c_str(), entry.second.cases, entry.second.worst,
                  entry.second.marginal, entry.second.failed);
  }
  long failed() const {
    long sum = 0;
    for (const auto &entry : rows_)
      sum += entry.second.failed;
    return sum;
  }
  long cases() const {
    long sum = 0;
    for (const auto &entry : rows_)
      sum += entry.second.cases;
    return sum;
  }
  long marginal() const {
    long sum = 0;
    for (const auto &entry : rows_)
      sum += entry.second.marginal;
    return sum;
  }

private:
  struct Row {
    long cases = 0, marginal = 0, failed = 0;
    double worst = 0;
  };
  std::map<std::string, Row> rows_;
};

} // namespace attentive_test
