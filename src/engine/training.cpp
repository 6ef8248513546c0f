#include "training.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "batch.h"
#include "position_weights.h"

namespace attentive {
namespace {

// One output of the model beside what it is compared with.
template <class T> struct Comparison {
  Value<T> *prediction = nullptr;
  const MaskValue *mask = nullptr;
  const DatasetColumn<T> *sample_weight = nullptr;
  const Index *rows = nullptr;
  DatasetColumn<T> target; // the rows of this batch

  Dims leading; // the axes of the positions
  Index positions = 0, width = 0;
};

template <class T>
const DatasetColumn<T> *column_of(const Dataset<T> &dataset, const std::vector<int> &columns,
                                  std::size_t output) {
  const int column = output < columns.size() ? columns[output] : -1;
  return column < 0 ? nullptr : &dataset.columns.at(static_cast<std::size_t>(column));
}

template <class T>
Comparison<T> compare(Batch<T> &batch, const Dataset<T> &dataset, const StepColumns &columns,
                      const Index *rows, Index count, std::size_t output) {
  Comparison<T> c;
  c.prediction = &batch.output(output);
  c.mask = batch.output_mask(output);
  c.sample_weight = column_of(dataset, columns.sample_weights, output);
  c.rows = rows;
  const Dims &dims = c.prediction->dims;
  if (dims.empty() || dims[0] != count)
    throw std::invalid_argument("an output of the model has no axis of samples");
  c.leading.assign(dims.begin(), dims.size() == 1 ? dims.end() : dims.end() - 1);
  c.width = dims.size() == 1 ? 1 : dims.back();
  c.positions = attentive::count(c.leading);
  const DatasetColumn<T> *target = column_of(dataset, columns.targets, output);
  if (target == nullptr)
    throw std::invalid_argument("an output with a loss or a metric has no target");
  c.target.dims = target->batch_dims(count);
  c.target.data = Buffer<T>(count * target->row_size());
  target->gather(rows, count, c.target.data.data());
  return c;
}

template <class T>
LossTask<T> task_of(const Comparison<T> &c, bool labels, Buffer<double> &values) {
  const Index expected = labels ? c.positions : c.positions * c.width;
  if (c.target.data.size() != expected)
    throw std::invalid_argument("the target of an output does not have its shape");
  values = Buffer<double>(c.positions);
  LossTask<T> task;
  task.target = c.target.data.data();
  task.prediction = c.prediction->data.data();
  task.positions = c.positions;
  task.width = c.width;
  task.values = values.data();
  return task;
}

double weighted_sum(const Buffer<double> &values, const Buffer<double> &weights) {
  double sum = 0;
  for (Index n = 0; n < values.size(); ++n)
    sum += weights[n] == 0 ? 0 : values[n] * weights[n];
  return sum;
}

double sum_of(const Buffer<double> &numbers) {
  double sum = 0;
  for (Index n = 0; n < numbers.size(); ++n)
    sum += numbers[n];
  return sum;
}

// What the weighted sum of the values is multiplied with. With a mask the mean
// runs over the positions that it keeps.
double reduction_factor(Reduction reduction, const PositionWeights &weights) {
  const double positions = static_cast<double>(weights.numbers.size());
  switch (reduction) {
  case Reduction::sum:
    return 1;
  case Reduction::mean:
    return weights.kept == 0 || positions == 0 ? 0 : 1 / (positions * weights.kept);
  case Reduction::mean_with_sample_weight:
    break;
  }
  const double total = sum_of(weights.numbers);
  return total == 0 ? 0 : 1 / total;
}

// A loss by a function: one value a sample.
template <class T>
double hooked_loss(const OutputLoss<T> &loss, const Comparison<T> &c, bool backward) {
  const Dims samples = {c.leading[0]};
  WeightSource<T> source;
  source.sample_weight = c.sample_weight;
  source.rows = c.rows;
  const PositionWeights weights = position_weights(samples, source);
  const double factor = reduction_factor(loss.reduction, weights);
  Buffer<double> values(samples[0]);
  Buffer<T> gradient(backward ? c.prediction->data.size() : 0);
  loss.hook(*c.prediction, c.target, values.data(), backward ? gradient.data() : nullptr);
  const GradientPlace<T> place =
      backward ? gradient_place<T>(*c.prediction, gradient.size()) : GradientPlace<T>();
  const Index row = samples[0] == 0 ? 0 : gradient.size() / samples[0];
  for (Index i = 0; place.data != nullptr && i < gradient.size(); ++i) {
    const T d = static_cast<T>(loss.weight * factor * weights.numbers[i / row]) * gradient[i];
    place.data[i] = place.accumulate ? place.data[i] + d : d;
  }
  return factor * weighted_sum(values, weights.numbers);
}

// What each of the values of a function counts; of one value for all what it counts.
template <class T>
PositionWeights custom_weights(const Array &values, const Comparison<T> &c, bool weighted) {
  WeightSource<T> source;
  source.sample_weight = weighted ? c.sample_weight : nullptr;
  source.rows = c.rows;
  if (one_for_all(values, c.leading[0]))
    return position_weights(Dims{source.sample_weight == nullptr ? 1 : c.leading[0]}, source);
  if (source.sample_weight != nullptr && (values.dims.empty() || values.dims[0] != c.leading[0]))
    throw std::invalid_argument("a function of weighted samples gives a value, or a row of values, "
                                "for each of the " +
                                std::to_string(c.leading[0]) + " samples");
  source.mask = c.mask;
  return position_weights(values.dims, source);
}

// A loss by a program of its own, whose values are reduced as all others are.
template <class T>
double custom_loss(const OutputLoss<T> &loss, const Comparison<T> &c, bool backward,
                   const Execution &execution) {
  const Array values = loss.custom.values(c.target, *c.prediction, execution);
  const PositionWeights weights = custom_weights(values, c, true);
  const double factor = reduction_factor(loss.reduction, weights);
  const bool one = one_for_all(values, c.leading[0]);
  Buffer<double> counts(values.data.size());
  for (Index i = 0; i < counts.size(); ++i)
    counts[i] = factor * (one ? sum_of(weights.numbers) : weights.numbers[i]);
  const double total = weighted_sum(values.data, counts);
  if (backward) {
    if (!loss.custom.gradient)
      throw std::invalid_argument("a loss function has no gradient");
    for (Index i = 0; i < counts.size(); ++i)
      counts[i] *= loss.weight;
    const GradientPlace<T> place = gradient_place<T>(*c.prediction, c.prediction->data.size());
    if (place.data != nullptr)
      loss.custom.gradient(counts, place);
  }
  return total;
}

// The loss of one output without its own weight; with `backward` the output's gradient.
template <class T>
double output_loss(const OutputLoss<T> &loss, const Comparison<T> &c, bool backward,
                   const Execution &execution) {
  if (loss.custom)
    return custom_loss(loss, c, backward, execution);
  if (loss.hook)
    return hooked_loss(loss, c, backward);
  Buffer<double> values;
  LossTask<T> task = task_of(c, has_labels(loss.options.kind), values);
  WeightSource<T> source;
  source.mask = c.mask;
  source.sample_weight = c.sample_weight;
  source.rows = c.rows;
  if (loss.options.ignore_class) {
    source.labels = task.target;
    source.ignore = *loss.options.ignore_class;
  }
  const PositionWeights weights = position_weights(c.leading, source);
  const double factor = reduction_factor(loss.reduction, weights);
  task.weights = weights.numbers.data();
  task.scale = loss.weight * factor;
  if (backward)
    task.d_prediction = gradient_place<T>(*c.prediction, c.prediction->data.size());
  loss_values(loss.options, task, execution);
  return factor * weighted_sum(values, weights.numbers);
}

// Of values Keras takes the mean over the positions of a sample before it adds up.
std::vector<double> mean_state(const Buffer<double> &values, const PositionWeights &weights,
                               Index samples) {
  const double each =
      samples == 0 ? 1 : static_cast<double>(values.size()) / static_cast<double>(samples);
  return {weighted_sum(values, weights.numbers) / each, sum_of(weights.numbers) / each};
}

template <class T>
std::vector<double> custom_state(const OutputMetric<T> &metric, const Comparison<T> &c,
                                 const Execution &execution) {
  const Array values = metric.custom.values(c.target, *c.prediction, execution);
  const PositionWeights weights = custom_weights(values, c, metric.weighted);
  if (!one_for_all(values, c.leading[0]))
    return mean_state(values.data, weights, c.leading[0]);
  const double count = sum_of(weights.numbers);
  return {values.data[0] * count, count};
}

template <class T>
std::vector<double> metric_state(const OutputMetric<T> &metric, const Comparison<T> &c,
                                 const Execution &execution) {
  if (metric.custom)
    return custom_state(metric, c, execution);
  Buffer<double> values;
  LossTask<T> task = task_of(c, has_labels(metric.options), values);
  WeightSource<T> source;
  source.mask = c.mask;
  source.sample_weight = metric.weighted ? c.sample_weight : nullptr;
  source.rows = c.rows;
  const PositionWeights weights = position_weights(c.leading, source);
  task.weights = weights.numbers.data();
  if (!is_mean(metric.options)) {
    std::vector<double> sums;
    metric_sums(metric.options, task, sums);
    return sums;
  }
  metric_values(metric.options, task, execution);
  return mean_state(values, weights, c.leading[0]);
}

// The penalties on the trained weights; with `backward` their gradients are added.
template <class T>
double penalties(Program<T> &program, const TrainingPlan<T> &plan, bool backward) {
  double total = 0;
  for (std::size_t i = 0; i < plan.weights.size(); ++i) {
    const TrainedWeight<T> &trained = plan.weights[i];
    if (!trained.trainable || !trained.penalty)
      continue;
    Weight<T> &weight = program.run().weights[i];
    Buffer<T> part(backward ? weight.size : 0);
    total += trained.penalty(weight.data, weight.size, backward ? part.data() : nullptr);
    const GradientPlace<T> place =
        backward ? gradient_place<T>(weight, weight.size) : GradientPlace<T>();
    for (Index j = 0; place.data != nullptr && j < weight.size; ++j)
      place.data[j] = place.accumulate ? place.data[j] + part[j] : part[j];
  }
  return total;
}

template <class T> bool compared(const TrainingPlan<T> &plan, std::size_t output) {
  bool needed = output < plan.losses.size() && plan.losses[output].wanted;
  for (const OutputMetric<T> &metric : plan.metrics)
    needed = needed || metric.output == output;
  return needed;
}

} // namespace

void StepResult::add(const StepResult &other) {
  loss.add(other.loss);
  losses.resize(other.losses.size());
  metrics.resize(other.metrics.size());
  for (std::size_t i = 0; i < losses.size(); ++i)
    losses[i].add(other.losses[i]);
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    metrics[i].resize(other.metrics[i].size());
    std::transform(metrics[i].begin(), metrics[i].end(), other.metrics[i].begin(),
                   metrics[i].begin(), std::plus<double>());
  }
  finite = finite && other.finite;
}

template <class T>
StepResult compute_step(Program<T> &program, const TrainingPlan<T> &plan, const Dataset<T> &dataset,
                        const StepColumns &columns, const Index *rows, Index count, bool backward) {
  Run<T> &run = program.run();
  const std::size_t outputs = program.plan().outputs.size();
  run.training = backward;
  for (std::size_t i = 0; i < run.weights.size(); ++i)
    run.weights[i].wants_gradient = backward && plan.weights.at(i).trainable;
  Batch<T> batch(program, dataset, rows, count);
  batch.forward();
  if (backward)
    batch.begin_backward();

  StepResult result;
  const double samples = static_cast<double>(count);
  double total = 0;
  result.losses.resize(outputs);
  result.metrics.resize(plan.metrics.size());
  for (std::size_t i = 0; i < outputs; ++i) {
    if (!compared(plan, i))
      continue;
    const Comparison<T> c = compare(batch, dataset, columns, rows, count, i);
    if (i < plan.losses.size() && plan.losses[i].wanted) {
      const double value = output_loss(plan.losses[i], c, backward, run.execution);
      result.losses[i] = {value * samples, samples};
      total += value * plan.losses[i].weight;
    }
    for (std::size_t m = 0; m < plan.metrics.size(); ++m)
      if (plan.metrics[m].output == i)
        result.metrics[m] = metric_state(plan.metrics[m], c, run.execution);
  }
  total += batch.penalties();
  if (backward)
    batch.backward();
  total += penalties(program, plan, backward);
  if (backward && plan.optimizer.accumulation <= 1)
    clip_gradients(plan.optimizer, run.weights);
  result.loss = {total * samples, samples};
  result.finite = std::isfinite(total);
  return result;
}

template <class T>
StepResult evaluate_rows(Program<T> &program, const TrainingPlan<T> &plan,
                         const Dataset<T> &dataset, const StepColumns &columns,
                         const std::vector<Index> &rows, Index batch_size) {
  StepResult result;
  const Index all = static_cast<Index>(rows.size());
  for (Index first = 0; first < all; first += batch_size)
    result.add(compute_step(program, plan, dataset, columns, rows.data() + first,
                            std::min(batch_size, all - first), false));
  return result;
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template StepResult compute_step<T>(Program<T> &, const TrainingPlan<T> &, const Dataset<T> &,   \
                                      const StepColumns &, const Index *, Index, bool);            \
  template StepResult evaluate_rows<T>(Program<T> &, const TrainingPlan<T> &, const Dataset<T> &,  \
                                       const StepColumns &, const std::vector<Index> &, Index);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
