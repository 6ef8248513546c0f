#include "losses.h"

#include <map>
#include <stdexcept>

#include "loss_classes.h"
#include "loss_rules.h"
#include "number_text.h"

namespace attentive {
namespace {

// Predictions that one task looks at.
constexpr Index kTask = 16384;

// A row rule at all positions that count; `stride` is the target's width.
template <class T, class Rule>
void run_rows(const Rule &rule, const LossTask<T> &task, Index stride, const Execution &execution) {
  const Index width = task.width, chunk = std::max<Index>(kTask / std::max<Index>(width, 1), 1);
  parallel_for((task.positions + chunk - 1) / chunk, execution, [&](Index part, int) {
    const Index end = std::min((part + 1) * chunk, task.positions);
    for (Index n = part * chunk; n < end; ++n) {
      const T *y = task.target + n * stride, *p = task.prediction + n * width;
      T *d_p = task.d_prediction.data == nullptr ? nullptr : task.d_prediction.data + n * width;
      const double weight = task.weights[n];
      task.values[n] = weight == 0 ? 0 : rule.value(y, p, width);
      if (d_p == nullptr)
        continue;
      if (weight == 0) {
        if (!task.d_prediction.accumulate)
          std::fill(d_p, d_p + width, T(0));
      } else if (task.d_prediction.accumulate) {
        rule.gradient(y, p, width, task.scale * weight, [&](Index j, double d) {
          d_p[j] = static_cast<T>(static_cast<double>(d_p[j]) + d);
        });
      } else {
        rule.gradient(y, p, width, task.scale * weight,
                      [&](Index j, double d) { d_p[j] = static_cast<T>(d); });
      }
    }
  });
}

template <class T, class Rule>
void run_elements(const Rule &rule, const LossTask<T> &task, const Execution &execution) {
  run_rows(loss_rules::Mean<Rule>{rule}, task, task.width, execution);
}

template <class T> void check_labels(const LossTask<T> &task) {
  for (Index n = 0; n < task.positions; ++n) {
    if (task.weights[n] == 0)
      continue;
    const double label = static_cast<double>(task.target[n]);
    if (label >= 0 && label < static_cast<double>(task.width) && label == std::floor(label))
      continue;
    throw std::invalid_argument("the label " + number_text(label) + " at position " +
                                std::to_string(n + 1) + " is none of 0 ... " +
                                std::to_string(task.width - 1));
  }
}

template <class T> bool all_binary(const LossTask<T> &task) {
  const T *end = task.target + task.positions * task.width;
  return std::all_of(task.target, end, [](T y) { return y == 0 || y == 1; });
}

} // namespace

std::optional<LossKind> loss_kind(const std::string &name) {
  static const std::map<std::string, LossKind> kinds = {
      {"mean_squared_error", LossKind::mean_squared_error},
      {"mean_absolute_error", LossKind::mean_absolute_error},
      {"mean_absolute_percentage_error", LossKind::mean_absolute_percentage_error},
      {"mean_squared_logarithmic_error", LossKind::mean_squared_logarithmic_error},
      {"log_cosh", LossKind::log_cosh},
      {"huber", LossKind::huber},
      {"poisson", LossKind::poisson},
      {"kl_divergence", LossKind::kl_divergence},
      {"hinge", LossKind::hinge},
      {"squared_hinge", LossKind::squared_hinge},
      {"categorical_hinge", LossKind::categorical_hinge},
      {"cosine_similarity", LossKind::cosine_similarity},
      {"binary_crossentropy", LossKind::binary_crossentropy},
      {"categorical_crossentropy", LossKind::categorical_crossentropy},
      {"sparse_categorical_crossentropy", LossKind::sparse_categorical_crossentropy},
      {"binary_focal_crossentropy", LossKind::binary_focal_crossentropy},
      {"categorical_focal_crossentropy", LossKind::categorical_focal_crossentropy},
  };
  const auto found = kinds.find(name);
  return found == kinds.end() ? std::nullopt : std::optional<LossKind>(found->second);
}

template <class T>
void loss_values(const LossOptions &options, const LossTask<T> &task, const Execution &execution) {
  using namespace loss_rules;
  const double smoothing = options.label_smoothing;
  switch (options.kind) {
  case LossKind::mean_squared_error:
    return run_elements(SquaredError{}, task, execution);
  case LossKind::mean_absolute_error:
    return run_elements(AbsoluteError{}, task, execution);
  case LossKind::mean_absolute_percentage_error:
    return run_elements(PercentageError{}, task, execution);
  case LossKind::mean_squared_logarithmic_error:
    return run_elements(SquaredLogarithmicError{}, task, execution);
  case LossKind::log_cosh:
    return run_elements(LogCosh{}, task, execution);
  case LossKind::huber:
    return run_elements(Huber{options.delta}, task, execution);
  case LossKind::poisson:
    return run_elements(Poisson{}, task, execution);
  case LossKind::hinge:
    return run_elements(Hinge{all_binary(task), false}, task, execution);
  case LossKind::squared_hinge:
    return run_elements(Hinge{all_binary(task), true}, task, execution);
  case LossKind::kl_divergence:
    return run_rows(KlDivergence{}, task, task.width, execution);
  case LossKind::categorical_hinge:
    return run_rows(CategoricalHinge{}, task, task.width, execution);
  case LossKind::cosine_similarity:
    return run_rows(CosineSimilarity{}, task, task.width, execution);
  case LossKind::binary_crossentropy:
    if (options.from_logits)
      return run_elements(BinaryCrossentropyOfLogits{smoothing}, task, execution);
    return run_elements(BinaryCrossentropy{smoothing}, task, execution);
  case LossKind::categorical_crossentropy:
    if (options.from_logits)
      return run_rows(CategoricalCrossentropyOfLogits{{smoothing}}, task, task.width, execution);
    return run_rows(CategoricalCrossentropy{{smoothing}}, task, task.width, execution);
  case LossKind::sparse_categorical_crossentropy:
    check_labels(task);
    if (options.from_logits)
      return run_rows(SparseCrossentropyOfLogits{}, task, 1, execution);
    return run_rows(SparseCrossentropy{}, task, 1, execution);
  case LossKind::binary_focal_crossentropy:
    return run_elements(
        BinaryFocal{
            {smoothing}, options.from_logits, options.balanced, options.alpha.at(0), options.gamma},
        task, execution);
  case LossKind::categorical_focal_crossentropy:
    if (options.alpha.size() != 1 && static_cast<Index>(options.alpha.size()) != task.width)
      throw std::invalid_argument("`alpha` has " + std::to_string(options.alpha.size()) +
                                  " numbers for " + std::to_string(task.width) + " classes");
    return run_rows(
        CategoricalFocal{{smoothing}, options.from_logits, options.alpha, options.gamma}, task,
        task.width, execution);
  }
}

template void loss_values<float>(const LossOptions &, const LossTask<float> &, const Execution &);
template void loss_values<double>(const LossOptions &, const LossTask<double> &, const Execution &);

} // namespace attentive
