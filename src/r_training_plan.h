// The plan of a training as R hands it over; r_training.cpp says what is in it.
#pragma once

#include <cstring>
#include <map>

#include "r_program.h"

#include "engine/constraints.h"
#include "engine/regularizers.h"
#include "engine/training.h"

namespace attentive {
namespace doorway {

template <class T> struct TrainingHandle {
  TrainingPlan<T> plan;
  bool trains = false;        // there is an optimizer
  bool r_constraints = false; // a constraint may fail
};
using AnyTraining = std::variant<TrainingHandle<float>, TrainingHandle<double>>;

// Options: flat lists, in which a missing entry or NULL means the default ----------

inline double number(const Rcpp::List &list, const char *name, double otherwise) {
  SEXP value = entry(list, name);
  return Rf_isNull(value) ? otherwise : Rcpp::as<double>(value);
}

inline bool flag(const Rcpp::List &list, const char *name, bool otherwise = false) {
  return number(list, name, otherwise) != 0;
}

inline std::string text(const Rcpp::List &list, const char *name, const char *otherwise = "") {
  SEXP value = entry(list, name);
  return Rf_isNull(value) ? otherwise : Rcpp::as<std::string>(value);
}

inline std::optional<double> maybe(const Rcpp::List &list, const char *name) {
  SEXP value = entry(list, name);
  return Rf_isNull(value) ? std::nullopt : std::optional<double>(Rcpp::as<double>(value));
}

inline bool flag_at(SEXP flags, R_xlen_t i, bool otherwise) {
  if (Rf_isNull(flags))
    return otherwise;
  return Rcpp::as<Rcpp::LogicalVector>(flags)[i] == TRUE;
}

inline void read_loss_options(const Rcpp::List &list, LossOptions &options) {
  options.delta = number(list, "delta", 1);
  options.from_logits = flag(list, "from_logits");
  options.label_smoothing = number(list, "label_smoothing", 0);
  options.ignore_class = maybe(list, "ignore_class");
  options.balanced = flag(list, "apply_class_balancing");
  options.gamma = number(list, "gamma", options.gamma);
  if (!Rf_isNull(entry(list, "alpha")))
    options.alpha = Rcpp::as<std::vector<double>>(entry(list, "alpha"));
}

inline Reduction reduction_of(const std::string &name) {
  if (name == "sum")
    return Reduction::sum;
  return name == "mean_with_sample_weight" ? Reduction::mean_with_sample_weight : Reduction::mean;
}

// list(kind = "program", program =, truth =, prediction =)
template <class T> CustomValues<T> read_program(const Rcpp::List &list) {
  const std::vector<int> truth = integers(list["truth"]), prediction = integers(list["prediction"]);
  return values_of_program<T>(as_plan(list["program"]), Dims(truth.begin(), truth.end()),
                              Dims(prediction.begin(), prediction.end()));
}

// list(kind = "function", fun = function(y_true, y_pred) values)
template <class T> CustomValues<T> read_function(const Rcpp::List &list) {
  const Rcpp::Function fun = list["fun"];
  CustomValues<T> custom;
  custom.values = [=](const DatasetColumn<T> &y, const Value<T> &p, const Execution &) {
    const Execution own = doorway::execution(1);
    return as_array(Rcpp::RObject(
        fun(write_array(y.data.data(), y.dims, own), write_array(p.data.data(), p.dims, own))));
  };
  return custom;
}

template <class T> OutputMetric<T> read_metric(const Rcpp::List &list) {
  OutputMetric<T> metric;
  const std::string kind = text(list, "kind");
  if (kind == "program")
    metric.custom = read_program<T>(list);
  else if (kind == "function")
    metric.custom = read_function<T>(list);
  else
    metric.options = metric_of_name(kind);
  read_loss_options(list, metric.options.loss);
  metric.options.threshold = number(list, "threshold", 0.5);
  metric.options.k = static_cast<Index>(number(list, "k", 5));
  if (!Rf_isNull(entry(list, "thresholds")))
    metric.options.thresholds = Rcpp::as<std::vector<double>>(entry(list, "thresholds"));
  if (const auto top_k = maybe(list, "top_k"))
    metric.options.top_k = static_cast<Index>(*top_k);
  if (const auto class_id = maybe(list, "class_id"))
    metric.options.class_id = static_cast<Index>(*class_id);
  metric.options.by_label = flag(list, "by_label");
  metric.options.soft = flag(list, "soft");
  metric.output = static_cast<std::size_t>(number(list, "output", 1)) - 1;
  metric.weighted = flag(list, "weighted");
  return metric;
}

inline OptimizerOptions read_optimizer(const Rcpp::List &list) {
  OptimizerOptions options;
  static const std::map<std::string, OptimizerKind> kinds = {
      {"sgd", OptimizerKind::sgd},         {"adam", OptimizerKind::adam},
      {"adam_w", OptimizerKind::adam},     {"rmsprop", OptimizerKind::rmsprop},
      {"adagrad", OptimizerKind::adagrad}, {"adadelta", OptimizerKind::adadelta},
      {"adamax", OptimizerKind::adamax},   {"nadam", OptimizerKind::nadam},
      {"lion", OptimizerKind::lion},       {"ftrl", OptimizerKind::ftrl},
      {"lamb", OptimizerKind::lamb},
  };
  const auto found = kinds.find(text(list, "kind"));
  if (found == kinds.end())
    throw std::invalid_argument("there is no optimizer \"" + text(list, "kind") + "\"");
  options.kind = found->second;
  options.momentum = number(list, "momentum", options.momentum);
  options.nesterov = flag(list, "nesterov");
  options.beta_1 = number(list, "beta_1", options.beta_1);
  options.beta_2 = number(list, "beta_2", options.beta_2);
  options.amsgrad = flag(list, "amsgrad");
  options.rho = number(list, "rho", options.rho);
  options.centered = flag(list, "centered");
  options.epsilon = number(list, "epsilon", options.epsilon);
  options.power = number(list, "learning_rate_power", options.power);
  options.l1 = number(list, "l1_regularization_strength", 0);
  options.l2 = number(list, "l2_regularization_strength", 0);
  options.l2_shrinkage = number(list, "l2_shrinkage_regularization_strength", 0);
  options.beta = number(list, "beta", 0);
  options.weight_decay = maybe(list, "weight_decay");
  options.clipnorm = maybe(list, "clipnorm");
  options.global_clipnorm = maybe(list, "global_clipnorm");
  options.clipvalue = maybe(list, "clipvalue");
  options.accumulation = static_cast<Index>(number(list, "gradient_accumulation_steps", 1));
  if (flag(list, "use_ema"))
    options.ema_momentum = number(list, "ema_momentum", 0.99);
  options.ema_overwrite = static_cast<Index>(number(list, "ema_overwrite_frequency", 0));
  return options;
}

// Functions of R --------------------------------------------------------------------

template <class T> Rcpp::RawVector as_raw(const T *numbers, Index size) {
  Rcpp::RawVector raw(new_vector(RAWSXP, size * static_cast<Index>(sizeof(T))));
  if (size > 0)
    std::memcpy(RAW(raw), numbers, static_cast<std::size_t>(raw.size()));
  return raw;
}

template <class T> void copy_raw(SEXP raw, T *numbers, Index size, const char *what) {
  if (TYPEOF(raw) != RAWSXP || Rf_xlength(raw) != size * static_cast<Index>(sizeof(T)))
    Rcpp::stop("%s did not give the bytes of a weight.", what);
  if (size > 0)
    std::memcpy(numbers, RAW(raw), static_cast<std::size_t>(Rf_xlength(raw)));
}

template <class T> typename Hooks<T>::Loss loss_hook(const Rcpp::List &list) {
  const Rcpp::Function fun = list["fun"];
  SEXP derivative = entry(list, "gradient");
  const bool trains = !Rf_isNull(derivative);
  const Rcpp::RObject gradient_fun = derivative;
  return [=](const Value<T> &prediction, const DatasetColumn<T> &target, double *values,
             T *gradient) {
    const Execution execution = doorway::execution(1);
    const Rcpp::NumericVector y = write_array(target.data.data(), target.dims, execution);
    const Rcpp::NumericVector p = write_array(prediction.data.data(), prediction.dims, execution);
    const Array result = as_array(Rcpp::RObject(fun(y, p)));
    if (result.data.size() != prediction.dims[0])
      Rcpp::stop("The loss function gave %d values for %d samples.",
                 static_cast<int>(result.data.size()), static_cast<int>(prediction.dims[0]));
    std::copy_n(result.data.data(), result.data.size(), values);
    if (gradient == nullptr)
      return;
    if (!trains)
      Rcpp::stop("The loss function has no gradient: it cannot be trained with.");
    const Rcpp::RObject d = Rcpp::as<Rcpp::Function>(gradient_fun)(y, p);
    if (dims_of(d) != prediction.dims)
      Rcpp::stop("The gradient of the loss function does not have the prediction's dim.");
    read_into(d, gradient, execution);
  };
}

template <class T>
typename Hooks<T>::Penalty penalty_hook(SEXP config, const std::vector<Index> &shape) {
  if (Rf_isNull(config))
    return nullptr;
  const Rcpp::List list(config);
  if (list.containsElementNamed("value")) {
    const Rcpp::Function value = list["value"], derivative = list["gradient"];
    return [=](const T *w, Index size, T *gradient) {
      const Rcpp::RawVector raw = as_raw(w, size);
      const double penalty = Rcpp::as<double>(value(raw));
      if (gradient != nullptr)
        copy_raw<T>(Rcpp::RObject(derivative(raw)), gradient, size, "A regularizer's gradient");
      return penalty;
    };
  }
  if (flag(list, "orthogonal")) {
    const OrthogonalPenalty options{number(list, "factor", 0), flag(list, "columns")};
    return [=](const T *w, Index size, T *gradient) {
      if (gradient != nullptr) {
        std::fill(gradient, gradient + size, T(0));
        penalty_backward(options, w, shape.at(0), shape.at(1), 1, gradient, execution(1));
      }
      return penalty(options, w, shape.at(0), shape.at(1), execution(1));
    };
  }
  const ElementPenalty options{number(list, "l1", 0), number(list, "l2", 0)};
  return [=](const T *w, Index size, T *gradient) {
    if (gradient != nullptr) {
      std::fill(gradient, gradient + size, T(0));
      penalty_backward(options, w, size, 1, gradient);
    }
    return penalty(options, w, size);
  };
}

template <class T>
typename Hooks<T>::Constraint constraint_hook(SEXP config, const std::vector<Index> &shape) {
  if (Rf_isNull(config))
    return nullptr;
  if (Rf_isFunction(config)) {
    const Rcpp::Function fun(config);
    return [=](T *w, Index size) {
      copy_raw<T>(Rcpp::RObject(fun(as_raw(w, size))), w, size, "A constraint");
    };
  }
  const Rcpp::List list(config);
  if (flag(list, "nonneg"))
    return [](T *w, Index size) { constrain_non_negative(w, size); };
  std::vector<Index> axes;
  for (int axis : Rcpp::as<std::vector<int>>(list["axes"]))
    axes.push_back(axis - 1);
  const NormConstraint options{number(list, "min", 0), number(list, "max", 1),
                               number(list, "rate", 1)};
  return [=](T *w, Index) { constrain_norm(options, shape, axes, w); };
}

// The plan --------------------------------------------------------------------------

template <class T> OutputLoss<T> read_loss(SEXP config) {
  OutputLoss<T> loss;
  if (Rf_isNull(config))
    return loss;
  const Rcpp::List list(config);
  const std::string kind = text(list, "kind");
  loss.wanted = true;
  loss.weight = number(list, "weight", 1);
  loss.reduction = reduction_of(text(list, "reduction"));
  if (kind == "program") {
    loss.custom = read_program<T>(list);
    return loss;
  }
  if (kind == "function") {
    loss.hook = loss_hook<T>(list);
    return loss;
  }
  const std::optional<LossKind> known = loss_kind(kind);
  if (!known)
    throw std::invalid_argument("there is no loss \"" + kind + "\"");
  loss.options.kind = *known;
  read_loss_options(list, loss.options);
  return loss;
}

template <class T> TrainingHandle<T> read_training(const Rcpp::List &list) {
  TrainingHandle<T> handle;
  for (SEXP loss : Rcpp::List(entry(list, "losses")))
    handle.plan.losses.push_back(read_loss<T>(loss));
  for (SEXP metric : Rcpp::List(entry(list, "metrics")))
    handle.plan.metrics.push_back(read_metric<T>(metric));
  const Rcpp::List shapes = entry(list, "shapes");
  const Rcpp::List penalties = entry(list, "penalties");
  const Rcpp::List constraints = entry(list, "constraints");
  for (R_xlen_t i = 0; i < shapes.size(); ++i) {
    const std::vector<int> sizes = integers(shapes[i]);
    const std::vector<Index> shape(sizes.begin(), sizes.end());
    TrainedWeight<T> weight;
    weight.trainable = flag_at(entry(list, "trainable"), i, true);
    weight.decayed = flag_at(entry(list, "decayed"), i, true);
    if (i < penalties.size())
      weight.penalty = penalty_hook<T>(penalties[i], shape);
    if (i < constraints.size()) {
      weight.constraint = constraint_hook<T>(constraints[i], shape);
      handle.r_constraints = handle.r_constraints || Rf_isFunction(constraints[i]);
    }
    handle.plan.weights.push_back(std::move(weight));
  }
  SEXP optimizer = entry(list, "optimizer");
  handle.trains = !Rf_isNull(optimizer);
  if (handle.trains)
    handle.plan.optimizer = read_optimizer(optimizer);
  handle.plan.stop_on_nan = flag(list, "stop_on_nan");
  return handle;
}

inline StepColumns read_columns(const Rcpp::List &list) {
  StepColumns columns;
  for (int column : integers(entry(list, "y")))
    columns.targets.push_back(column - 1);
  for (int column : integers(entry(list, "sample_weight")))
    columns.sample_weights.push_back(column - 1);
  return columns;
}

} // namespace doorway
} // namespace attentive
