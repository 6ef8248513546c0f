#include "optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/table.h"

namespace attentive {
namespace {

template <class T> double squares(const Weight<T> &weight) {
  double sum = 0;
  for (Index i = 0; i < weight.size; ++i)
    sum += static_cast<double>(weight.gradient[i]) * static_cast<double>(weight.gradient[i]);
  return sum;
}

template <class T> void scale_gradient(Weight<T> &weight, double factor) {
  for (Index i = 0; i < weight.size; ++i)
    weight.gradient[i] = static_cast<T>(static_cast<double>(weight.gradient[i]) * factor);
}

// NaN where the norm is not finite, as Keras does, so that it shows.
double global_scale(double norm, double limit) {
  return limit * std::min(1 / norm, 1 / limit) + (norm - norm);
}

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

// `rate` holds the correction of the bias; epsilon is outside of it.
template <class T>
void adam(const OptimizerOptions &options, const T *g, T rate, const UpdatedWeight<T> &w) {
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

} // namespace

std::vector<std::string> slot_names(const OptimizerOptions &options) {
  std::vector<std::string> names;
  switch (options.kind) {
  case OptimizerKind::sgd:
    if (options.momentum != 0)
      names = {"momentum"};
    break;
  case OptimizerKind::adam:
    names = {"momentum", "velocity"};
    if (options.amsgrad)
      names.push_back("velocity_hat");
    break;
  case OptimizerKind::rmsprop:
    names = {"velocity"};
    if (options.momentum > 0)
      names.push_back("momentum");
    if (options.centered)
      names.push_back("average_gradient");
    break;
  }
  return names;
}

template <class T>
void clip_gradients(const OptimizerOptions &options, std::vector<Weight<T>> &weights) {
  double total = 0;
  for (Weight<T> &weight : weights) {
    if (!weight.has_gradient)
      continue;
    if (options.clipnorm) {
      const double norm = std::sqrt(squares(weight));
      scale_gradient(weight, *options.clipnorm / std::max(norm, *options.clipnorm));
    } else if (options.global_clipnorm) {
      total += squares(weight);
    } else if (options.clipvalue) {
      const T limit = static_cast<T>(*options.clipvalue);
      for (Index i = 0; i < weight.size; ++i)
        weight.gradient[i] = std::min(std::max(weight.gradient[i], -limit), limit);
    }
  }
  if (!options.global_clipnorm)
    return;
  const double scale = global_scale(std::sqrt(total), *options.global_clipnorm);
  for (Weight<T> &weight : weights)
    if (weight.has_gradient && scale != 1)
      scale_gradient(weight, scale);
}

template <class T>
void update_weight(const OptimizerOptions &options, const T *gradient, double step,
                   double learning_rate, const UpdatedWeight<T> &weight) {
  if (options.weight_decay && weight.decayed) {
    const T kept = static_cast<T>(*options.weight_decay * learning_rate);
    for (Index i = 0; i < weight.size; ++i)
      weight.data[i] -= weight.data[i] * kept;
  }
  const T rate = static_cast<T>(learning_rate);
  switch (options.kind) {
  case OptimizerKind::sgd:
    return sgd(options, gradient, rate, weight);
  case OptimizerKind::rmsprop:
    return rmsprop(options, gradient, rate, weight);
  case OptimizerKind::adam:
    const double corrected = learning_rate * std::sqrt(1 - std::pow(options.beta_2, step)) /
                             (1 - std::pow(options.beta_1, step));
    return adam(options, gradient, static_cast<T>(corrected), weight);
  }
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void clip_gradients<T>(const OptimizerOptions &, std::vector<Weight<T>> &);             \
  template void update_weight<T>(const OptimizerOptions &, const T *, double, double,              \
                                 const UpdatedWeight<T> &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
