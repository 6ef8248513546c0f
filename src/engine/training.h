// One step of training: forward, losses, metrics, penalties, backward, clipping;
// then, apart because it cannot fail, the update of the weights.
#pragma once

#include <functional>

#include "custom_values.h"
#include "dataset.h"
#include "metrics.h"
#include "optimizer.h"
#include "predict.h"
#include "program.h"

namespace attentive {

enum class Reduction { mean, sum, mean_with_sample_weight };

// What a function from outside (R's) does in place of a built-in formula. They
// run on the calling thread and may throw.
template <class T> struct Hooks {
  // Fills the value of each sample; and, where it is not null, the gradient of
  // their sum by the prediction. Both are as long as they must be.
  using Loss = std::function<void(const Value<T> &prediction, const DatasetColumn<T> &target,
                                  double *values, T *gradient)>;
  // The penalty on w; and where it is not null its gradient, which is overwritten.
  using Penalty = std::function<double(const T *w, Index size, T *gradient)>;
  // Changes w.
  using Constraint = std::function<void(T *w, Index size)>;
};

template <class T> struct OutputLoss {
  bool wanted = false;
  LossOptions options;
  // In place of the options:
  CustomValues<T> custom;
  typename Hooks<T>::Loss hook;
  double weight = 1;
  Reduction reduction = Reduction::mean;
};

template <class T> struct OutputMetric {
  MetricOptions options;
  CustomValues<T> custom; // in place of the options
  std::size_t output = 0;
  bool weighted = false; // sample weights count
};

template <class T> struct TrainedWeight {
  bool trainable = true, decayed = true;
  typename Hooks<T>::Penalty penalty;       // or null
  typename Hooks<T>::Constraint constraint; // or null
};

template <class T> struct TrainingPlan {
  std::vector<OutputLoss<T>> losses; // one an output
  std::vector<OutputMetric<T>> metrics;
  std::vector<TrainedWeight<T>> weights;
  OptimizerOptions optimizer;
  bool stop_on_nan = false;
};

// Where the targets and sample weights of each output stand in the data set; -1: nowhere.
struct StepColumns {
  std::vector<int> targets, sample_weights;
};

// What adds up over batches; the value is sum / weight.
struct State {
  double sum = 0, weight = 0;
  void add(const State &other) {
    sum += other.sum;
    weight += other.weight;
  }
};

struct StepResult {
  State loss;                // everything, penalties too
  std::vector<State> losses; // one an output, unweighted
  // One a metric, which add up too: sum and weight of a mean, else those of metric_sums().
  std::vector<std::vector<double>> metrics;
  bool finite = true; // the loss, in every batch
  void add(const StepResult &other);
};

// Forward and everything that is computed from it for these rows. With
// `backward` the gradients of the trained weights are there afterwards, penalties
// included, clipped unless the optimizer accumulates. run()'s weights, call, and execution are the
// caller's.
template <class T>
StepResult compute_step(Program<T> &program, const TrainingPlan<T> &plan, const Dataset<T> &dataset,
                        const StepColumns &columns, const Index *rows, Index count, bool backward);

// The same without backward, batch by batch.
template <class T>
StepResult evaluate_rows(Program<T> &program, const TrainingPlan<T> &plan,
                         const Dataset<T> &dataset, const StepColumns &columns,
                         const std::vector<Index> &rows, Index batch_size);

} // namespace attentive
