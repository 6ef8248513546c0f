#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "metrics.h"

namespace attentive {
namespace {

// Which columns are among the k largest, the first of equal ones first.
template <class T>
void mark_top(const T *p, Index width, Index k, std::vector<Index> &order, std::vector<char> &top) {
  order.resize(static_cast<std::size_t>(width));
  std::iota(order.begin(), order.end(), Index(0));
  const auto end = order.begin() + std::min(k, width);
  // what is no number comes last, and is below every threshold
  const auto key = [&](Index j) { return p[j] == p[j] ? p[j] : std::numeric_limits<T>::lowest(); };
  std::partial_sort(order.begin(), end, order.end(), [&](Index a, Index b) {
    return key(a) > key(b) || (key(a) == key(b) && a < b);
  });
  top.assign(static_cast<std::size_t>(width), 0);
  std::for_each(order.begin(), end, [&](Index j) { top[static_cast<std::size_t>(j)] = 1; });
}

template <class T>
void histogram(const MetricOptions &options, const LossTask<T> &task, std::vector<double> &sums) {
  std::vector<T> thresholds;
  for (double threshold : options.thresholds)
    thresholds.push_back(static_cast<T>(threshold));
  const std::size_t bins = thresholds.size() + 1;
  if (options.class_id && (*options.class_id < 0 || *options.class_id >= task.width))
    throw std::invalid_argument("there is no class " + std::to_string(*options.class_id) +
                                " among " + std::to_string(task.width));
  const Index first = options.class_id.value_or(0);
  const Index last = options.class_id ? first + 1 : task.width;
  sums.resize(2 * bins * (options.by_label ? static_cast<std::size_t>(task.width) : 1));
  std::vector<Index> order;
  std::vector<char> top;
  for (Index n = 0; n < task.positions; ++n) {
    const double weight = task.weights[n];
    if (weight == 0)
      continue;
    const T *y = task.target + n * task.width, *p = task.prediction + n * task.width;
    if (options.top_k)
      mark_top(p, task.width, *options.top_k, order, top);
    for (Index j = first; j < last; ++j) {
      std::size_t bin = 0;
      if (!options.top_k || top[static_cast<std::size_t>(j)])
        bin = static_cast<std::size_t>(
            std::lower_bound(thresholds.begin(), thresholds.end(), p[j]) - thresholds.begin());
      const double truth =
          options.soft ? static_cast<double>(y[j]) : static_cast<double>(y[j] != 0);
      double *own = sums.data() + (options.by_label ? static_cast<std::size_t>(j) * 2 * bins : 0);
      own[bin] += weight * truth;
      own[bins + bin] += weight * (1 - truth);
    }
  }
}

// The largest class, all of equal ones, or what is above the threshold.
template <class T> bool chosen(const MetricOptions &options, T p, T most) {
  if (!options.thresholds.empty())
    return p > static_cast<T>(options.thresholds[0]);
  return p >= most && std::abs(static_cast<double>(p)) > 1e-9;
}

template <class T>
void class_counts(const MetricOptions &options, const LossTask<T> &task,
                  std::vector<double> &sums) {
  const std::size_t width = static_cast<std::size_t>(task.width);
  sums.resize(4 * width);
  if (width == 0)
    return;
  for (Index n = 0; n < task.positions; ++n) {
    const double weight = task.weights[n];
    if (weight == 0)
      continue;
    const T *y = task.target + n * task.width, *p = task.prediction + n * task.width;
    const T most = *std::max_element(p, p + task.width);
    for (std::size_t j = 0; j < width; ++j) {
      const double truth = static_cast<double>(y[j]);
      const double hit = chosen(options, p[j], most) ? 1 : 0;
      sums[j] += weight * hit * truth;
      sums[width + j] += weight * hit * (1 - truth);
      sums[2 * width + j] += weight * (1 - hit) * truth;
      sums[3 * width + j] += weight * truth;
    }
  }
}

template <class T> void regression(const LossTask<T> &task, std::vector<double> &sums) {
  const std::size_t width = static_cast<std::size_t>(task.width);
  sums.resize(4 * width + 1);
  for (Index n = 0; n < task.positions; ++n) {
    const double weight = task.weights[n];
    if (weight == 0)
      continue;
    for (std::size_t j = 0; j < width; ++j) {
      const std::size_t at = static_cast<std::size_t>(n) * width + j;
      const double y = static_cast<double>(task.target[at]);
      const double error = y - static_cast<double>(task.prediction[at]);
      sums[j] += weight * y;
      sums[width + j] += weight * y * y;
      sums[2 * width + j] += weight * error * error;
      sums[3 * width + j] += weight;
    }
  }
  sums[4 * width] += static_cast<double>(task.positions * task.width);
}

} // namespace

template <class T>
void metric_sums(const MetricOptions &options, const LossTask<T> &task, std::vector<double> &sums) {
  if (options.kind == MetricKind::histogram)
    histogram(options, task, sums);
  else if (options.kind == MetricKind::class_counts)
    class_counts(options, task, sums);
  else
    regression(task, sums);
}

template void metric_sums<float>(const MetricOptions &, const LossTask<float> &,
                                 std::vector<double> &);
template void metric_sums<double>(const MetricOptions &, const LossTask<double> &,
                                  std::vector<double> &);

} // namespace attentive
