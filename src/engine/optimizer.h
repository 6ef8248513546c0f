// Optimizers: from a gradient to the next weights, in place.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node.h"

namespace attentive {

enum class OptimizerKind { sgd, adam, rmsprop, adagrad, adadelta, adamax, nadam, lion, ftrl, lamb };

// Defaults and formulas are Keras's.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0; // sgd, rmsprop
  bool nesterov = false;
  double beta_1 = 0.9, beta_2 = 0.999; // adam, adamax, nadam, lion, lamb
  bool amsgrad = false;
  double rho = 0.9; // rmsprop, adadelta
  bool centered = false;
  double epsilon = 1e-7;
  double power = -0.5, l1 = 0, l2 = 0, l2_shrinkage = 0, beta = 0; // ftrl
  // Taken off the weights before the update, times the learning rate.
  std::optional<double> weight_decay;
  // At most one of them is there.
  std::optional<double> clipnorm, global_clipnorm, clipvalue;
  // An update is done every so many steps, with the mean of their gradients.
  Index accumulation = 1;
  // A running mean of the weights, which forgets with this factor; every so many
  // updates the weights are set to it, 0: never.
  std::optional<double> ema_momentum;
  Index ema_overwrite = 0;
};

// The numbers that the optimizer keeps for each weight: those of its formula, then
// "average" with ema_momentum, then "gradient_accumulator" with accumulation.
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

// The update number `update`, from 1, by the formula alone. Cannot fail.
template <class T>
void update_weight(const OptimizerOptions &options, const T *gradient, double update,
                   double learning_rate, const UpdatedWeight<T> &weight);

// All that step number `step`, from 1, does with the gradients: it adds them up or
// updates the weights, then averages them. With accumulation the gradients come
// unclipped, else clipped. `targets` is as long as `weights`; one without data is left
// as it is, one without a gradient is averaged only. Cannot fail.
template <class T>
void finish_step(const OptimizerOptions &options, double step, double learning_rate,
                 std::vector<Weight<T>> &weights, const std::vector<UpdatedWeight<T>> &targets);

} // namespace attentive
