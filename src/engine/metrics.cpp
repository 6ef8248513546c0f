#include "metrics.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace attentive {
namespace {

// The first of the largest.
template <class T> Index largest(const T *x, Index width) {
  return std::max_element(x, x + width) - x;
}

// Whether fewer than k classes are rated higher than this one; a label that is
// no class is never among them.
template <class T> bool among_top(const T *p, Index width, double label, Index k) {
  if (!(label >= 0 && label < static_cast<double>(width)))
    return false;
  const T own = p[static_cast<Index>(label)];
  return own == own && std::count_if(p, p + width, [&](T x) { return x > own; }) < k;
}

// The share of elements for which right(y, p) holds.
template <class T, class Right>
double share(const T *y, const T *p, Index width, const Right &right) {
  Index count = 0;
  for (Index j = 0; j < width; ++j)
    count += right(y[j], p[j]);
  return static_cast<double>(count) / static_cast<double>(width);
}

template <class T>
double value_at(const MetricOptions &options, const T *y, const T *p, Index width) {
  switch (options.kind) {
  case MetricKind::accuracy:
    return share(y, p, width, [](T a, T b) { return a == b; });
  case MetricKind::binary_accuracy:
    return share(y, p, width, [&](T a, T b) {
      return a == static_cast<T>(b > static_cast<T>(options.threshold));
    });
  case MetricKind::categorical_accuracy:
    return largest(y, width) == largest(p, width);
  case MetricKind::sparse_categorical_accuracy:
    return static_cast<double>(*y) == static_cast<double>(largest(p, width));
  case MetricKind::top_k_categorical_accuracy:
    return among_top(p, width, static_cast<double>(largest(y, width)), options.k);
  case MetricKind::sparse_top_k_categorical_accuracy:
    return among_top(p, width, static_cast<double>(*y), options.k);
  default: // not by position
    return 0;
  }
}

} // namespace

MetricOptions metric_of_name(const std::string &name) {
  static const std::map<std::string, MetricKind> kinds = {
      {"accuracy", MetricKind::accuracy},
      {"binary_accuracy", MetricKind::binary_accuracy},
      {"categorical_accuracy", MetricKind::categorical_accuracy},
      {"sparse_categorical_accuracy", MetricKind::sparse_categorical_accuracy},
      {"top_k_categorical_accuracy", MetricKind::top_k_categorical_accuracy},
      {"sparse_top_k_categorical_accuracy", MetricKind::sparse_top_k_categorical_accuracy},
      {"cosine_proximity", MetricKind::cosine_similarity}, // its name is the loss's
      {"histogram", MetricKind::histogram},
      {"class_counts", MetricKind::class_counts},
      {"regression", MetricKind::regression},
  };
  MetricOptions options;
  const auto found = kinds.find(name);
  if (found != kinds.end()) {
    options.kind = found->second;
    return options;
  }
  const std::optional<LossKind> kind = loss_kind(name);
  if (!kind)
    throw std::invalid_argument("there is no metric \"" + name + "\"");
  options.loss.kind = *kind;
  return options;
}

bool is_mean(const MetricOptions &options) {
  return options.kind != MetricKind::histogram && options.kind != MetricKind::class_counts &&
         options.kind != MetricKind::regression;
}

bool has_labels(const MetricOptions &options) {
  return options.kind == MetricKind::sparse_categorical_accuracy ||
         options.kind == MetricKind::sparse_top_k_categorical_accuracy ||
         (options.kind == MetricKind::loss && has_labels(options.loss.kind));
}

template <class T>
void metric_values(const MetricOptions &options, const LossTask<T> &task,
                   const Execution &execution) {
  if (options.kind == MetricKind::loss)
    return loss_values(options.loss, task, execution);
  if (options.kind == MetricKind::cosine_similarity) {
    LossOptions cosine;
    cosine.kind = LossKind::cosine_similarity;
    loss_values(cosine, task, execution);
    for (Index n = 0; n < task.positions; ++n)
      task.values[n] = -task.values[n];
    return;
  }
  const Index stride = has_labels(options) ? 1 : task.width;
  for (Index n = 0; n < task.positions; ++n)
    task.values[n] = task.weights[n] == 0 ? 0
                                          : value_at(options, task.target + n * stride,
                                                     task.prediction + n * task.width, task.width);
}

template void metric_values<float>(const MetricOptions &, const LossTask<float> &,
                                   const Execution &);
template void metric_values<double>(const MetricOptions &, const LossTask<double> &,
                                    const Execution &);

} // namespace attentive
