// Metrics that are no losses: how often a prediction is right, by position.
#pragma once

#include "losses.h"

namespace attentive {

enum class MetricKind {
  loss, // the mean of a loss
  accuracy,
  binary_accuracy,
  categorical_accuracy,
  sparse_categorical_accuracy,
  top_k_categorical_accuracy,
  sparse_top_k_categorical_accuracy
};

struct MetricOptions {
  MetricKind kind = MetricKind::loss;
  LossOptions loss;       // of kind loss
  double threshold = 0.5; // of binary_accuracy
  Index k = 5;            // of the top k
};

// Throws std::invalid_argument where neither a metric nor a loss has this name.
MetricOptions metric_of_name(const std::string &name);

bool has_labels(const MetricOptions &options);

// task.values from target and prediction; its gradient is not for metrics.
template <class T>
void metric_values(const MetricOptions &options, const LossTask<T> &task,
                   const Execution &execution);

} // namespace attentive
