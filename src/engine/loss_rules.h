// The formulas of the losses, each with its gradient beside it, in double. What
// a rule is asked:
//   an element rule   value(y, p), slope(y, p) = d value / d p; the loss of a
//                     position is the mean over its elements
//   a row rule        value(y, p, width), and gradient(y, p, width, factor, add),
//                     which calls add(j, factor * d value / d p_j) for each j
#pragma once

#include <algorithm>
#include <cmath>

#include "losses.h"

namespace attentive {
namespace loss_rules {

constexpr double kEpsilon = 1e-7; // Keras's

inline double sign(double x) { return static_cast<double>(x > 0) - static_cast<double>(x < 0); }
inline double clip(double x) { return std::min(std::max(x, kEpsilon), 1 - kEpsilon); }
inline bool inside(double x) { return x >= kEpsilon && x <= 1 - kEpsilon; }
// log(1 + e^x)
inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
inline double sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

struct SquaredError {
  double value(double y, double p) const { return (y - p) * (y - p); }
  double slope(double y, double p) const { return 2 * (p - y); }
};

struct AbsoluteError {
  double value(double y, double p) const { return std::fabs(y - p); }
  double slope(double y, double p) const { return sign(p - y); }
};

struct PercentageError {
  static double size(double y) { return std::max(std::fabs(y), kEpsilon); }
  double value(double y, double p) const { return 100 * std::fabs(y - p) / size(y); }
  double slope(double y, double p) const { return 100 * sign(p - y) / size(y); }
};

struct SquaredLogarithmicError {
  static double log_plus(double x) { return std::log(std::max(x, kEpsilon) + 1); }
  double value(double y, double p) const {
    const double difference = log_plus(p) - log_plus(y);
    return difference * difference;
  }
  double slope(double y, double p) const {
    return p < kEpsilon ? 0 : 2 * (log_plus(p) - log_plus(y)) / (p + 1);
  }
};

struct LogCosh {
  double value(double y, double p) const {
    const double x = std::fabs(p - y); // even
    return x + softplus(-2 * x) - std::log(2.0);
  }
  double slope(double y, double p) const { return std::tanh(p - y); }
};

struct Huber {
  double delta;
  double value(double y, double p) const {
    const double e = std::fabs(y - p);
    return e <= delta ? 0.5 * e * e : delta * e - 0.5 * delta * delta;
  }
  double slope(double y, double p) const {
    const double e = p - y;
    return std::fabs(e) <= delta ? e : delta * sign(e);
  }
};

struct Poisson {
  double value(double y, double p) const { return p - y * std::log(p + kEpsilon); }
  double slope(double y, double p) const { return 1 - y / (p + kEpsilon); }
};

// y is -1 or 1; with `binary`, where all targets are 0 or 1, 0 stands for -1.
struct Hinge {
  bool binary, squared;
  double label(double y) const { return binary ? 2 * y - 1 : y; }
  double value(double y, double p) const {
    const double h = std::max(1 - label(y) * p, 0.0);
    return squared ? h * h : h;
  }
  double slope(double y, double p) const {
    const double h = 1 - label(y) * p;
    return h <= 0 ? 0 : -label(y) * (squared ? 2 * h : 1);
  }
};

struct BinaryCrossentropy {
  double smoothing;
  double label(double y) const { return y * (1 - smoothing) + 0.5 * smoothing; }
  double value(double y, double p) const {
    const double t = label(y), q = clip(p);
    return -(t * std::log(q) + (1 - t) * std::log(1 - q));
  }
  double slope(double y, double p) const {
    const double t = label(y);
    return inside(p) ? (p - t) / (p * (1 - p)) : 0;
  }
};

struct BinaryCrossentropyOfLogits {
  double smoothing;
  double label(double y) const { return y * (1 - smoothing) + 0.5 * smoothing; }
  double value(double y, double p) const { return softplus(p) - label(y) * p; }
  double slope(double y, double p) const { return sigmoid(p) - label(y); }
};

// The cross-entropy times (1 - p_t)^gamma, p_t the probability of the truth.
struct BinaryFocal {
  BinaryCrossentropy entropy;
  bool logits, balanced;
  double alpha, gamma;
  double weight(double t) const { return balanced ? t * alpha + (1 - t) * (1 - alpha) : 1; }
  static double miss(double t, double q) { return 1 - (t * q + (1 - t) * (1 - q)); }
  double value(double y, double p) const {
    const double t = entropy.label(y), q = logits ? sigmoid(p) : p;
    return weight(t) * std::pow(miss(t, q), gamma) * entropy.value(y, q);
  }
  double slope(double y, double p) const {
    const double t = entropy.label(y), q = logits ? sigmoid(p) : p, m = miss(t, q);
    const double by_miss = gamma == 0 ? 0 : gamma * std::pow(m, gamma - 1) * (1 - 2 * t);
    const double by_q = by_miss * entropy.value(y, q) + std::pow(m, gamma) * entropy.slope(y, q);
    return weight(t) * by_q * (logits ? q * (1 - q) : 1);
  }
};

// -- Rows -------------------------------------------------------------------

// The mean of an element rule over a row.
template <class Rule> struct Mean {
  Rule rule;
  template <class T> double value(const T *y, const T *p, Index width) const {
    double sum = 0;
    for (Index j = 0; j < width; ++j)
      sum += rule.value(static_cast<double>(y[j]), static_cast<double>(p[j]));
    return sum / static_cast<double>(width);
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    factor /= static_cast<double>(width);
    for (Index j = 0; j < width; ++j)
      add(j, factor * rule.slope(static_cast<double>(y[j]), static_cast<double>(p[j])));
  }
};

struct KlDivergence {
  static double bounded(double x) { return std::min(std::max(x, kEpsilon), 1.0); }
  template <class T> double value(const T *y, const T *p, Index width) const {
    double sum = 0;
    for (Index j = 0; j < width; ++j) {
      const double t = bounded(static_cast<double>(y[j]));
      sum += t * std::log(t / bounded(static_cast<double>(p[j])));
    }
    return sum;
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    for (Index j = 0; j < width; ++j) {
      const double q = static_cast<double>(p[j]);
      const bool free = q >= kEpsilon && q <= 1;
      add(j, free ? -factor * bounded(static_cast<double>(y[j])) / q : 0);
    }
  }
};

struct CategoricalHinge {
  // The largest of (1 - y) p, and where it is.
  template <class T> static Index rival(const T *y, const T *p, Index width, double &largest) {
    Index best = 0;
    for (Index j = 0; j < width; ++j) {
      const double x = (1 - static_cast<double>(y[j])) * static_cast<double>(p[j]);
      if (j == 0 || x > largest) {
        best = j;
        largest = x;
      }
    }
    return best;
  }
  template <class T> double value(const T *y, const T *p, Index width) const {
    double largest = 0, own = 0;
    rival(y, p, width, largest);
    for (Index j = 0; j < width; ++j)
      own += static_cast<double>(y[j]) * static_cast<double>(p[j]);
    return std::max(largest - own + 1, 0.0);
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    double largest = 0;
    const Index best = rival(y, p, width, largest);
    const bool active = value(y, p, width) > 0;
    for (Index j = 0; j < width; ++j) {
      const double t = static_cast<double>(y[j]);
      add(j, active ? factor * ((j == best ? 1 - t : 0) - t) : 0);
    }
  }
};

// Minus the cosine of the angle between the two rows.
struct CosineSimilarity {
  template <class T> static double norm(const T *x, Index width) {
    double sum = 0;
    for (Index j = 0; j < width; ++j)
      sum += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    return std::max(std::sqrt(sum), kEpsilon);
  }
  template <class T> double value(const T *y, const T *p, Index width) const {
    double product = 0;
    for (Index j = 0; j < width; ++j)
      product += static_cast<double>(y[j]) * static_cast<double>(p[j]);
    return -product / (norm(y, width) * norm(p, width));
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    const double own = norm(p, width), other = norm(y, width);
    // a norm that is held does not turn with p
    const double cosine = own > kEpsilon ? -value(y, p, width) : 0;
    for (Index j = 0; j < width; ++j)
      add(j, -factor *
                 (static_cast<double>(y[j]) / other - cosine * static_cast<double>(p[j]) / own) /
                 own);
  }
};

} // namespace loss_rules
} // namespace attentive
