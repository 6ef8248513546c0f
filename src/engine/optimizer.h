// Optimizers: from a gradient to the next weights, in place.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node.h"

namespace attentive {

enum class OptimizerKind { sgd, adam, rmsprop };

// Defaults and formulas are Keras's.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0; // sgd, rmsprop
  bool nesterov = false;
  double beta_1 = 0.9, beta_2 = 0.999; // adam
  bool amsgrad = false;
  double rho = 0.9; // rmsprop
  bool centered = false;
  double epsilon = 1e-7;
  // Taken off the weights before the update, times the learning rate.
  std::optional<double> weight_decay;
  // At most one of them is there.
  std::optional<double> clipnorm, global_clipnorm, clipvalue;
};

// The numbers that the optimizer keeps for each weight, 0 at first.
std::vector<std::string> slot_names(const OptimizerOptions &options);

// Clips the gradients of those weights that have one.
template <class T>
void clip_gradients(const OptimizerOptions &options, std::vector<Weight<T>> &weights);

// One weight and its slots, in the order of slot_names().
template <class T> struct UpdatedWeight {
  T *data = nullptr;
  Index size = 0;
  std::vector<T *> slots;
  bool decayed = true;
};

// The update number `step`, from 1. Cannot fail.
template <class T>
void update_weight(const OptimizerOptions &options, const T *gradient, double step,
                   double learning_rate, const UpdatedWeight<T> &weight);

} // namespace attentive
