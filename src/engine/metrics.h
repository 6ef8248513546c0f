// Metrics that are no losses: how often a prediction is right, by position; or
// sums from which more is computed when all batches are through.
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
  sparse_top_k_categorical_accuracy,
  cosine_similarity, // the loss with the other sign
  // Those that are no mean of values:
  histogram,    // predictions of what is true and of what is not, between thresholds
  class_counts, // hits and misses of each class
  regression    // squares and their like of each column
};

struct MetricOptions {
  MetricKind kind = MetricKind::loss;
  LossOptions loss;       // of kind loss
  double threshold = 0.5; // of binary_accuracy
  Index k = 5;            // of the top k
  // Of histogram, increasing; of class_counts one, or none for the largest class.
  std::vector<double> thresholds;
  std::optional<Index> top_k, class_id; // of histogram: only those columns are looked at
  bool by_label = false;                // of histogram: one for each column
  bool soft = false;                    // of histogram: a truth between 0 and 1 is both in parts
};

// Throws std::invalid_argument where neither a metric nor a loss has this name.
MetricOptions metric_of_name(const std::string &name);

bool has_labels(const MetricOptions &options);

// task.values from target and prediction; its gradient is not for metrics.
template <class T>
void metric_values(const MetricOptions &options, const LossTask<T> &task,
                   const Execution &execution);

// Whether the metric is the mean of metric_values().
bool is_mean(const MetricOptions &options);

// Adds to the sums of a metric that is no mean; they are made where they are empty.
//   histogram     for each label (or all together): what is true with a prediction above 0,
//                 1, ... all of the thresholds, then likewise what is not
//   class_counts  by class: hits, false alarms, misses, truths
//   regression    by column: y, y^2, (y - p)^2, weights; then the number of elements
// The order of the additions is that of the positions. Throws std::invalid_argument
// where class_id is no column.
template <class T>
void metric_sums(const MetricOptions &options, const LossTask<T> &task, std::vector<double> &sums);

} // namespace attentive
