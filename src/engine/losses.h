// Losses: their values and gradients, position by position. A position is what
// the last axis of the prediction spans: a sample, or a token of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node.h"

namespace attentive {

enum class LossKind {
  mean_squared_error,
  mean_absolute_error,
  mean_absolute_percentage_error,
  mean_squared_logarithmic_error,
  log_cosh,
  huber,
  poisson,
  kl_divergence,
  hinge,
  squared_hinge,
  categorical_hinge,
  cosine_similarity,
  binary_crossentropy,
  categorical_crossentropy,
  sparse_categorical_crossentropy,
  binary_focal_crossentropy,
  categorical_focal_crossentropy
};

struct LossOptions {
  LossKind kind = LossKind::mean_squared_error;
  double delta = 1; // of huber
  bool from_logits = false;
  double label_smoothing = 0;
  std::optional<double> ignore_class; // such labels count as masked
  // Of the focal losses: the power, and the weight of class 1 (binary, where it is
  // balanced) or of all classes or each.
  double gamma = 2;
  bool balanced = false;
  std::vector<double> alpha = {0.25};
};

// Empty where no loss has this name.
std::optional<LossKind> loss_kind(const std::string &name);

// Whether the target holds one label for each position.
inline bool has_labels(LossKind kind) { return kind == LossKind::sparse_categorical_crossentropy; }

template <class T> struct LossTask {
  const T *target = nullptr;     // [positions, width], or [positions] labels
  const T *prediction = nullptr; // [positions, width]
  Index positions = 0, width = 0;
  // What a position counts; one that counts 0 is not looked at, its value is 0.
  const double *weights = nullptr;
  double *values = nullptr; // [positions], without the weights
  // d_prediction = or += scale * weight * gradient; null: not wanted.
  GradientPlace<T> d_prediction;
  double scale = 1;
};

// Throws std::invalid_argument where a label is none of 0 ... width - 1.
template <class T>
void loss_values(const LossOptions &options, const LossTask<T> &task, const Execution &execution);

} // namespace attentive
