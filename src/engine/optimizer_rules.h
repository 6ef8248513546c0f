// The formulas of the optimizers, one weight at a time: w.slots are those of
// slot_names(), `update` counts from 1. Only optimizer.cpp includes this.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/table.h"
#include "optimizer.h"

namespace attentive {
namespace optimizer_rules {

template <class T>
void sgd(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  if (options.momentum == 0) {
    for (Index i = 0; i < w.size; ++i)
      w.data[i] -= rate * g[i];
    return;
  }
  const T momentum = static_cast<T>(options.momentum);
  T *m = w.slots[0];
  for (Index i = 0; i < w.size; ++i) {
    const T change = rate * g[i];
    m[i] = m[i] * momentum - change;
    w.data[i] += options.nesterov ? m[i] * momentum - change : m[i];
  }
}

// The correction of the bias is in the rate; epsilon is outside of it.
template <class T>
void adam(const OptimizerOptions &options, const T *g, double update, double learning_rate,
          const UpdatedWeight<T> &w) {
  const T rate = static_cast<T>(learning_rate * std::sqrt(1 - std::pow(options.beta_2, update)) /
                                (1 - std::pow(options.beta_1, update)));
  const T fresh_1 = static_cast<T>(1 - options.beta_1),
          fresh_2 = static_cast<T>(1 - options.beta_2);
  const T epsilon = static_cast<T>(options.epsilon);
  AdamArrays<T> arrays;
  arrays.gradient = g;
  arrays.momentum = w.slots[0];
  arrays.velocity = w.slots[1];
  arrays.largest = options.amsgrad ? w.slots[2] : nullptr;
  arrays.weight = w.data;
  kernels<T>().optimizer.adam(w.size, arrays, fresh_1, fresh_2, rate, epsilon);
}

// epsilon is inside the root.
template <class T>
void rmsprop(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  const T rho = static_cast<T>(options.rho), fresh = static_cast<T>(1 - options.rho);
  const T epsilon = static_cast<T>(options.epsilon), momentum = static_cast<T>(options.momentum);
  std::size_t next = 0;
  T *v = w.slots[next++];
  T *m = options.momentum > 0 ? w.slots[next++] : nullptr;
  T *average = options.centered ? w.slots[next++] : nullptr;
  for (Index i = 0; i < w.size; ++i) {
    v[i] = rho * v[i] + fresh * g[i] * g[i];
    T size = v[i] + epsilon;
    if (average != nullptr) {
      average[i] = rho * average[i] + fresh * g[i];
      size = v[i] - average[i] * average[i] + epsilon;
    }
    T change = rate * g[i] / std::sqrt(size);
    if (m != nullptr)
      change = m[i] = momentum * m[i] + change;
    w.data[i] -= change;
  }
}

template <class T>
void adagrad(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  const T epsilon = static_cast<T>(options.epsilon);
  T *sum = w.slots[0];
  for (Index i = 0; i < w.size; ++i) {
    sum[i] += g[i] * g[i];
    w.data[i] -= rate * g[i] / std::sqrt(sum[i] + epsilon);
  }
}

template <class T>
void adadelta(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  const T rho = static_cast<T>(options.rho), fresh = static_cast<T>(1 - options.rho);
  const T epsilon = static_cast<T>(options.epsilon);
  T *squares = w.slots[0], *changes = w.slots[1];
  for (Index i = 0; i < w.size; ++i) {
    squares[i] = rho * squares[i] + fresh * g[i] * g[i];
    const T change = -std::sqrt(changes[i] + epsilon) * g[i] / std::sqrt(squares[i] + epsilon);
    changes[i] = rho * changes[i] + fresh * change * change;
    w.data[i] += rate * change;
  }
}

template <class T>
void adamax(const OptimizerOptions &options, const T *g, double update, double learning_rate,
            const UpdatedWeight<T> &w) {
  const T fresh = static_cast<T>(1 - options.beta_1), beta_2 = static_cast<T>(options.beta_2);
  const T epsilon = static_cast<T>(options.epsilon);
  const T rate = static_cast<T>(learning_rate / (1 - std::pow(options.beta_1, update)));
  T *m = w.slots[0], *norm = w.slots[1];
  for (Index i = 0; i < w.size; ++i) {
    m[i] += fresh * (g[i] - m[i]);
    norm[i] = std::max(beta_2 * norm[i], std::fabs(g[i]));
    w.data[i] -= rate * m[i] / (norm[i] + epsilon);
  }
}

// The schedule of the momentum, and its product from the first update to this one.
inline double nadam_momentum(const OptimizerOptions &options, double update) {
  return options.beta_1 * (1 - 0.5 * std::pow(0.96, update));
}
inline double nadam_product(const OptimizerOptions &options, double update) {
  double product = 1;
  // what is left below this does not change 1 - product
  for (double k = 1; k <= update && product > 1e-30; ++k)
    product *= nadam_momentum(options, k);
  return product;
}

template <class T>
void nadam(const OptimizerOptions &options, const T *g, double update, T rate,
           const UpdatedWeight<T> &w) {
  const T fresh_1 = static_cast<T>(1 - options.beta_1),
          fresh_2 = static_cast<T>(1 - options.beta_2);
  const double now = nadam_momentum(options, update), next = nadam_momentum(options, update + 1);
  const double product = nadam_product(options, update);
  const T of_momentum = static_cast<T>(next / (1 - product * next));
  const T of_gradient = static_cast<T>((1 - now) / (1 - product));
  const T of_velocity = static_cast<T>(1 / (1 - std::pow(options.beta_2, update)));
  const T epsilon = static_cast<T>(options.epsilon);
  T *m = w.slots[0], *v = w.slots[1];
  for (Index i = 0; i < w.size; ++i) {
    m[i] += fresh_1 * (g[i] - m[i]);
    v[i] += fresh_2 * (g[i] * g[i] - v[i]);
    w.data[i] -= rate * (of_momentum * m[i] + of_gradient * g[i]) /
                 (std::sqrt(of_velocity * v[i]) + epsilon);
  }
}

template <class T> T sign_of(T x) { return x > 0 ? T(1) : x < 0 ? T(-1) : x; } // NaN stays

template <class T>
void lion(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  const T beta_1 = static_cast<T>(options.beta_1), fresh_1 = static_cast<T>(1 - options.beta_1);
  const T beta_2 = static_cast<T>(options.beta_2), fresh_2 = static_cast<T>(1 - options.beta_2);
  T *m = w.slots[0];
  for (Index i = 0; i < w.size; ++i) {
    const T direction = m[i] * beta_1 + g[i] * fresh_1;
    w.data[i] -= rate * sign_of(direction);
    m[i] = m[i] * beta_2 + g[i] * fresh_2;
  }
}

template <class T>
void ftrl(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
  if (rate == 0)
    return; // it is divided by
  const T power = static_cast<T>(-options.power), l1 = static_cast<T>(options.l1);
  const T l2 = static_cast<T>(options.l2) + static_cast<T>(options.beta) / (2 * rate);
  const T shrinkage = static_cast<T>(2 * options.l2_shrinkage);
  T *sum = w.slots[0], *linear = w.slots[1];
  for (Index i = 0; i < w.size; ++i) {
    const T grown = sum[i] + g[i] * g[i];
    const T root = std::pow(grown, power), before = std::pow(sum[i], power);
    linear[i] += g[i] + shrinkage * w.data[i] - (root - before) / rate * w.data[i];
    const T bounded = std::min(std::max(linear[i], -l1), l1);
    w.data[i] = (bounded - linear[i]) / (2 * l2 + root / rate);
    sum[i] = grown;
  }
}

// Adam's direction, as long as the weight itself. The direction is computed twice
// in place of being kept.
template <class T>
void lamb(const OptimizerOptions &options, const T *g, double update, T rate,
          const UpdatedWeight<T> &w) {
  const T fresh_1 = static_cast<T>(1 - options.beta_1),
          fresh_2 = static_cast<T>(1 - options.beta_2);
  const T kept_1 = static_cast<T>(1 - std::pow(options.beta_1, update));
  const T kept_2 = static_cast<T>(1 - std::pow(options.beta_2, update));
  const T epsilon = static_cast<T>(options.epsilon);
  T *m = w.slots[0], *v = w.slots[1];
  const auto direction = [&](Index i) {
    return m[i] / kept_1 / (std::sqrt(v[i] / kept_2) + epsilon);
  };
  double own = 0, length = 0;
  for (Index i = 0; i < w.size; ++i) {
    m[i] += fresh_1 * (g[i] - m[i]);
    v[i] += fresh_2 * (g[i] * g[i] - v[i]);
    const double d = static_cast<double>(direction(i)), x = static_cast<double>(w.data[i]);
    own += x * x;
    length += d * d;
  }
  const T ratio = own > 0 && length > 0 ? static_cast<T>(std::sqrt(own) / std::sqrt(length)) : T(1);
  for (Index i = 0; i < w.size; ++i)
    w.data[i] -= ratio * rate * direction(i);
}

} // namespace optimizer_rules
} // namespace attentive
