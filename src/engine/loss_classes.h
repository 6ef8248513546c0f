// Cross-entropies over classes: row rules as in loss_rules.h. The target is a
// distribution over the classes, or a label.
#pragma once

#include <limits>

#include "loss_rules.h"

namespace attentive {
namespace loss_rules {

template <class T> double sum_of(const T *x, Index width) {
  double sum = 0;
  for (Index j = 0; j < width; ++j)
    sum += static_cast<double>(x[j]);
  return sum;
}

// log of the sum of e^x, which is 0 where there is no x
template <class T> double log_sum_exp(const T *x, Index width) {
  if (width == 0)
    return -std::numeric_limits<double>::infinity();
  T most = x[0];
  for (Index j = 1; j < width; ++j)
    most = std::max(most, x[j]);
  double sum = 0;
  for (Index j = 0; j < width; ++j)
    sum += static_cast<double>(std::exp(x[j] - most));
  return static_cast<double>(most) + std::log(sum);
}

// A distribution as it is given, smoothed.
struct Distribution {
  double smoothing;
  template <class T> double operator()(const T *y, Index j, Index width) const {
    return static_cast<double>(y[j]) * (1 - smoothing) + smoothing / static_cast<double>(width);
  }
};

// -sum y log p, p being divided by its sum and clipped.
struct CategoricalCrossentropy {
  Distribution target;
  template <class T> double value(const T *y, const T *p, Index width) const {
    const double total = sum_of(p, width);
    double sum = 0;
    for (Index j = 0; j < width; ++j) {
      const double t = target(y, j, width);
      if (t != 0)
        sum -= t * std::log(clip(static_cast<double>(p[j]) / total));
    }
    return sum;
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    const double total = sum_of(p, width);
    double mean = 0; // of the slopes by q = p / total, weighted with q
    for (Index j = 0; j < width; ++j)
      mean -= inside(static_cast<double>(p[j]) / total) ? target(y, j, width) : 0;
    for (Index j = 0; j < width; ++j) {
      const double q = static_cast<double>(p[j]) / total;
      const double slope = inside(q) ? -target(y, j, width) / q : 0;
      add(j, factor * (slope - mean) / total);
    }
  }
};

// With logits: log-softmax in place of the logarithm.
struct CategoricalCrossentropyOfLogits {
  Distribution target;
  template <class T> double value(const T *y, const T *p, Index width) const {
    const double level = log_sum_exp(p, width);
    double sum = 0;
    for (Index j = 0; j < width; ++j) {
      const double t = target(y, j, width);
      if (t != 0)
        sum += t * (level - static_cast<double>(p[j]));
    }
    return sum;
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    const double level = log_sum_exp(p, width);
    double mass = 0;
    for (Index j = 0; j < width; ++j)
      mass += target(y, j, width);
    for (Index j = 0; j < width; ++j)
      add(j, factor * (mass * std::exp(static_cast<double>(p[j]) - level) - target(y, j, width)));
  }
};

// -sum alpha (1 - q)^gamma y log q, q being p divided by its sum and clipped.
struct CategoricalFocal {
  Distribution target;
  bool logits;
  const std::vector<double> &alpha;
  double gamma;

  double weight(Index j) const {
    return alpha.size() == 1 ? alpha[0] : alpha[static_cast<std::size_t>(j)];
  }
  // Probability j is share(j); with logits by the softmax, whose sum is 1.
  template <class T> auto share(const T *p, Index width, double &total) const {
    const double level = logits ? log_sum_exp(p, width) : 0;
    const double sum = total = logits ? 1 : sum_of(p, width);
    return [=](Index j) {
      const double x = static_cast<double>(p[j]);
      return logits ? std::exp(x - level) : x / sum;
    };
  }
  template <class T> double value(const T *y, const T *p, Index width) const {
    double total = 0, sum = 0;
    const auto share_of = share(p, width, total);
    for (Index j = 0; j < width; ++j) {
      const double q = clip(share_of(j));
      sum -= weight(j) * std::pow(1 - q, gamma) * target(y, j, width) * std::log(q);
    }
    return sum;
  }
  // d value / d q, 0 where q is clipped
  double slope(double q, double t, Index j) const {
    if (!inside(q))
      return 0;
    const double by_miss = gamma == 0 ? 0 : gamma * std::pow(1 - q, gamma - 1) * std::log(q);
    return weight(j) * t * (by_miss - std::pow(1 - q, gamma) / q);
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    double total = 0, mean = 0;
    const auto share_of = share(p, width, total);
    for (Index j = 0; j < width; ++j)
      mean += slope(share_of(j), target(y, j, width), j) * share_of(j);
    for (Index j = 0; j < width; ++j) {
      const double q = share_of(j);
      add(j, factor * (slope(q, target(y, j, width), j) - mean) * (logits ? q : 1 / total));
    }
  }
};

// The cross-entropy of a label, which is checked before.
struct SparseCrossentropy {
  template <class T> double value(const T *y, const T *p, Index width) const {
    const Index label = static_cast<Index>(*y);
    return -std::log(clip(static_cast<double>(p[label]) / sum_of(p, width)));
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    const Index label = static_cast<Index>(*y);
    const double total = sum_of(p, width), own = static_cast<double>(p[label]) / total;
    const double common = inside(own) ? factor / total : 0;
    const double more = inside(own) ? common / own : 0; // own may be 0
    for (Index j = 0; j < width; ++j)
      add(j, j == label ? common - more : common);
  }
};

struct SparseCrossentropyOfLogits {
  template <class T> double value(const T *y, const T *p, Index width) const {
    return log_sum_exp(p, width) - static_cast<double>(p[static_cast<Index>(*y)]);
  }
  template <class T, class Add>
  void gradient(const T *y, const T *p, Index width, double factor, const Add &add) const {
    const Index label = static_cast<Index>(*y);
    const double level = log_sum_exp(p, width);
    for (Index j = 0; j < width; ++j)
      add(j, factor * (std::exp(static_cast<double>(p[j]) - level) - (j == label ? 1 : 0)));
  }
};

} // namespace loss_rules
} // namespace attentive
