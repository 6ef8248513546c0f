// Cross-entropies over classes: row rules as in loss_rules.h. The target is a
// distribution over the classes, or a label.
#pragma once

#include "loss_rules.h"

namespace attentive {
namespace loss_rules {

template <class T> double sum_of(const T *x, Index width) {
  double sum = 0;
  for (Index j = 0; j < width; ++j)
    sum += static_cast<double>(x[j]);
  return sum;
}

// log of the sum of e^x
template <class T> double log_sum_exp(const T *x, Index width) {
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

// The same for a label, which is checked before.
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
    const T level = static_cast<T>(log_sum_exp(p, width));
    for (Index j = 0; j < width; ++j)
      add(j, factor * (static_cast<double>(std::exp(p[j] - level)) - (j == label ? 1 : 0)));
  }
};

} // namespace loss_rules
} // namespace attentive
