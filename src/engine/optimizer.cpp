#include "optimizer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>

#include "optimizer_rules.h"

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

} // namespace

std::vector<std::string> slot_names(const OptimizerOptions &options) {
  std::vector<std::string> names;
  const auto add = [&](std::initializer_list<const char *> more) {
    names.insert(names.end(), more.begin(), more.end());
  };
  switch (options.kind) {
  case OptimizerKind::sgd:
    if (options.momentum != 0)
      add({"momentum"});
    break;
  case OptimizerKind::adam:
    add({"momentum", "velocity"});
    if (options.amsgrad)
      add({"velocity_hat"});
    break;
  case OptimizerKind::rmsprop:
    add({"velocity"});
    if (options.momentum > 0)
      add({"momentum"});
    if (options.centered)
      add({"average_gradient"});
    break;
  case OptimizerKind::adagrad:
    add({"accumulator"});
    break;
  case OptimizerKind::adadelta:
    add({"accumulated_grad", "accumulated_delta_var"});
    break;
  case OptimizerKind::adamax:
    add({"momentum", "norm"});
    break;
  case OptimizerKind::nadam:
  case OptimizerKind::lamb:
    add({"momentum", "velocity"});
    break;
  case OptimizerKind::lion:
    add({"momentum"});
    break;
  case OptimizerKind::ftrl:
    add({"accumulator", "linear"});
    break;
  }
  if (options.ema_momentum)
    add({"average"});
  if (options.accumulation > 1)
    add({"gradient_accumulator"});
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
void update_weight(const OptimizerOptions &options, const T *gradient, double update,
                   double learning_rate, const UpdatedWeight<T> &weight) {
  using namespace optimizer_rules;
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
    return adam(options, gradient, update, learning_rate, weight);
  case OptimizerKind::adagrad:
    return adagrad(options, gradient, rate, weight);
  case OptimizerKind::adadelta:
    return adadelta(options, gradient, rate, weight);
  case OptimizerKind::adamax:
    return adamax(options, gradient, update, learning_rate, weight);
  case OptimizerKind::nadam:
    return nadam(options, gradient, update, rate, weight);
  case OptimizerKind::lion:
    return lion(options, gradient, rate, weight);
  case OptimizerKind::ftrl:
    return ftrl(options, gradient, rate, weight);
  case OptimizerKind::lamb:
    return lamb(options, gradient, update, rate, weight);
  }
}

namespace {

// The gradients become the means over the steps, whose sums begin anew.
template <class T>
void take_means(Index steps, std::vector<Weight<T>> &weights,
                const std::vector<UpdatedWeight<T>> &targets) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (targets[i].data == nullptr || !weights[i].has_gradient)
      continue;
    T *g = weights[i].gradient.data(), *sum = targets[i].slots.back();
    for (Index j = 0; j < targets[i].size; ++j) {
      g[j] = (g[j] + sum[j]) / static_cast<T>(steps);
      sum[j] = 0;
    }
  }
}

// The running mean of the weights; the first steps copy them.
template <class T>
void average(const OptimizerOptions &options, double updates_before, T *mean,
             const UpdatedWeight<T> &w) {
  const T kept = updates_before == 0 ? T(0) : static_cast<T>(*options.ema_momentum);
  for (Index i = 0; i < w.size; ++i)
    mean[i] = kept * mean[i] + (1 - kept) * w.data[i];
  const double overwrite = static_cast<double>(options.ema_overwrite);
  if (overwrite > 0 && std::fmod(updates_before + 1, overwrite) == 0)
    std::copy(mean, mean + w.size, w.data);
}

} // namespace

template <class T>
void finish_step(const OptimizerOptions &options, double step, double learning_rate,
                 std::vector<Weight<T>> &weights, const std::vector<UpdatedWeight<T>> &targets) {
  const double steps = static_cast<double>(options.accumulation);
  const double updates_before = std::floor((step - 1) / steps);
  const bool accumulates = options.accumulation > 1, updates = std::fmod(step, steps) == 0;
  if (accumulates && updates) {
    take_means(options.accumulation, weights, targets);
    clip_gradients(options, weights);
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const UpdatedWeight<T> &w = targets[i];
    if (w.data == nullptr)
      continue;
    if (weights[i].has_gradient && updates)
      update_weight(options, weights[i].gradient.data(), updates_before + 1, learning_rate, w);
    else if (weights[i].has_gradient)
      std::transform(w.slots.back(), w.slots.back() + w.size, weights[i].gradient.data(),
                     w.slots.back(), std::plus<T>());
    if (options.ema_momentum)
      average(options, updates_before, w.slots[w.slots.size() - (accumulates ? 2 : 1)], w);
  }
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void clip_gradients<T>(const OptimizerOptions &, std::vector<Weight<T>> &);             \
  template void update_weight<T>(const OptimizerOptions &, const T *, double, double,              \
                                 const UpdatedWeight<T> &);                                        \
  template void finish_step<T>(const OptimizerOptions &, double, double, std::vector<Weight<T>> &, \
                               const std::vector<UpdatedWeight<T>> &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
