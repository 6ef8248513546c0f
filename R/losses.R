# Losses: what training makes small. A loss is an R function with a class
# around data (kind, options, reduction, name); the engine computes it.

#' Losses
#'
#' A loss measures how far predictions are from the truth. Give one to [compile()][compile.attentive_model], as an object or by its name.
#'
#' @details
#' With data, as in `loss_mean_squared_error(y_true, y_pred)`, these functions give one value per sample, two vectors being one sample. Without, they make a loss: a function
#' `loss(y_true, y_pred, sample_weight = NULL)` that gives one number.
#'
#' | function | names | value of one sample: the mean over the last axis, or the sum for cross-entropies of classes |
#' |---|---|---|
#' | `loss_mean_squared_error()` | "mse" | \eqn{(y - p)^2} |
#' | `loss_mean_absolute_error()` | "mae" | \eqn{|y - p|} |
#' | `loss_huber()` | "huber" | \eqn{e^2 / 2} where \eqn{|e| \le \delta}, else \eqn{\delta |e| - \delta^2 / 2}, with \eqn{e = y - p} |
#' | `loss_binary_crossentropy()` | "bce" | \eqn{-y \log p - (1 - y) \log(1 - p)} |
#' | `loss_categorical_crossentropy()` | | \eqn{-\sum y \log p}, \eqn{y} in one column per class |
#' | `loss_sparse_categorical_crossentropy()` | | \eqn{-\log p_y}, \eqn{y} the number of the class, from 0 |
#' | `loss_binary_focal_crossentropy()` | | "bce" times \eqn{(1 - p_t)^\gamma}, \eqn{p_t = y p + (1 - y)(1 - p)}; with `apply_class_balancing` times \eqn{y \alpha + (1 - y)(1 - \alpha)} |
#' | `loss_categorical_focal_crossentropy()` | | \eqn{-\sum \alpha (1 - p)^\gamma y \log p} |
#' | `loss_mean_absolute_percentage_error()` | "mape" | \eqn{100 |y - p| / \max(|y|, 10^{-7})} |
#' | `loss_mean_squared_logarithmic_error()` | "msle" | \eqn{(\log(y + 1) - \log(p + 1))^2}, both at least \eqn{10^{-7}} |
#' | `loss_log_cosh()` | "logcosh" | \eqn{\log \cosh(p - y)} |
#' | `loss_poisson()` | | \eqn{p - y \log(p + 10^{-7})} |
#' | `loss_kl_divergence()` | "kld" | \eqn{\sum y \log(y / p)}, both kept in \eqn{[10^{-7}, 1]} |
#' | `loss_hinge()`, `loss_squared_hinge()` | | \eqn{\max(1 - y p, 0)}, or its square; \eqn{y} is -1 or 1, or 0 or 1 throughout |
#' | `loss_categorical_hinge()` | | \eqn{\max(\max((1 - y) p) - \sum y p + 1, 0)} |
#' | `loss_cosine_similarity()` | | \eqn{-\sum y p / (\|y\| \|p\|)}: minus the cosine, so that less is better |
#'
#' The name "crossentropy" chooses the binary cross-entropy where the prediction has one column, the sparse one where the truth has one axis less than the
#' prediction or a last axis of 1, else the categorical one.
#'
#' Probabilities are kept in `[1e-7, 1 - 1e-7]` before the logarithm; those of several classes are divided by their sum first. With `from_logits` the prediction is
#' what comes before sigmoid or softmax.
#'
#' The reduction "sum_over_batch_size" adds the weighted values of all samples and divides by their *number*, not by the sum of the weights; that is
#' "mean_with_sample_weight". Where a prediction carries a mask, the mean is over the samples that are not masked.
#'
#' An R function `function(y_true, y_pred)` is a loss, too: see [custom_metric()].
#'
#' @param y_true,y_pred The truth and the prediction: arrays. Leave both out to get a loss.
#' @param delta Where the Huber loss turns from a square into a straight line.
#' @param from_logits Whether predictions are logits and not probabilities.
#' @param label_smoothing A number from 0 to 1 by which the truth is moved towards "all classes alike".
#' @param apply_class_balancing Whether the two classes have different weights.
#' @param alpha The weight of class 1, that of class 0 being `1 - alpha`; for several classes that of all, or one number for each.
#' @param gamma How much samples count less the better they are predicted; 0 is the plain cross-entropy.
#' @param ignore_class The number of a class whose samples do not count and have the value 0, or `NULL`.
#' @param axis The axis of classes; it must be the last one.
#' @param ... Nothing.
#' @param reduction "sum_over_batch_size", "sum", "mean" or "mean_with_sample_weight"; `NULL` or "none" for one value per sample, which cannot be trained.
#' @param name A name.
#' @param dtype Accepted for compatibility.
#' @return A loss; with data, an array of one value per sample.
#' @section Errors:
#' `attentive_error_shape` where truth and prediction do not fit each other, `attentive_error_argument` for missing values and for labels outside of the classes,
#' with the rows where they are.
#' @source P. Huber (1964), Robust estimation of a location parameter. \doi{10.1214/aoms/1177703732} Label smoothing: C. Szegedy et al. (2015),
#'   \doi{10.48550/arXiv.1512.00567}. Focal losses: T.-Y. Lin et al. (2018), \doi{10.48550/arXiv.1708.02002}.
#' @family training
#' @examples
#' y <- rbind(c(0, 1, 0), c(1, 0, 0))
#' p <- rbind(c(0.2, 0.5, 0.3), c(0.6, 0.3, 0.1))
#' loss_mean_squared_error(y, p)
#' loss_sparse_categorical_crossentropy(c(1, 0), p)
#' loss <- loss_huber(delta = 0.5)
#' loss(y, p)
#' @export
loss_mean_squared_error <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "mean_squared_error", dtype = NULL) {
  values_or_self(new_loss("mean_squared_error", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_mean_absolute_error <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "mean_absolute_error", dtype = NULL) {
  object <- new_loss("mean_absolute_error", list(), reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_huber <- function(y_true, y_pred, delta = 1, ..., reduction = "sum_over_batch_size", name = "huber_loss", dtype = NULL) {
  options <- list(delta = check_number(delta, "delta", 0, call = environment()))
  values_or_self(new_loss("huber", options, reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_binary_crossentropy <- function(y_true, y_pred, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                     reduction = "sum_over_batch_size", name = "binary_crossentropy", dtype = NULL) {
  object <- new_loss("binary_crossentropy", entropy_options(from_logits, label_smoothing, axis, environment()), reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_categorical_crossentropy <- function(y_true, y_pred, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                          reduction = "sum_over_batch_size", name = "categorical_crossentropy", dtype = NULL) {
  object <- new_loss("categorical_crossentropy", entropy_options(from_logits, label_smoothing, axis, environment()), reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_sparse_categorical_crossentropy <- function(y_true, y_pred, from_logits = FALSE, ignore_class = NULL, axis = -1L, ...,
                                                 reduction = "sum_over_batch_size", name = "sparse_categorical_crossentropy", dtype = NULL) {
  options <- sparse_options(from_logits, ignore_class, axis, environment())
  object <- new_loss("sparse_categorical_crossentropy", options, reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

entropy_options <- function(from_logits, label_smoothing, axis, call) {
  check_class_axis(axis, call)
  list(
    from_logits = check_flag(from_logits, "from_logits", call = call),
    label_smoothing = check_number(label_smoothing, "label_smoothing", 0, 1, call = call)
  )
}

sparse_options <- function(from_logits, ignore_class, axis, call) {
  check_class_axis(axis, call)
  c(
    list(from_logits = check_flag(from_logits, "from_logits", call = call)),
    if (!is.null(ignore_class)) list(ignore_class = as.double(check_whole(ignore_class, "ignore_class", min = -.Machine$integer.max, call = call)))
  )
}

check_class_axis <- function(axis, call) {
  if (is.numeric(axis) && length(axis) == 1L && !is.object(axis) && isTRUE(axis == -1)) return(invisible())
  abort_attentive("not_yet", "`axis` must be -1: classes are along the last axis.", arg = "axis", call = call)
}

# Objects ----------------------------------------------------------------------

loss_reductions <- c("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none")

# `more` are entries of the measure beside its options.
new_loss <- function(kind, options, reduction, name, dots = list(), call = NULL, more = NULL) {
  check_dots_names(dots, character(), sprintf("`loss_%s()`", kind), call)
  if (is.null(reduction)) reduction <- "none"
  around <- new.env(parent = topenv(), size = 1L)
  around$measure <- c(list(
    family = "loss", kind = kind, options = options, reduction = check_choice(reduction, "reduction", loss_reductions, call = call),
    name = check_string(name, "name", call = call)
  ), more)
  fun <- function(y_true, y_pred, sample_weight = NULL) call_loss(measure, y_true, y_pred, sample_weight, environment())
  environment(fun) <- around
  structure(fun, class = c("attentive_loss", "attentive_measure"))
}
utils::globalVariables("measure")

# The object itself, or with data its value for each sample.
values_or_self <- function(object, y_true, y_pred, call) {
  if (missing(y_true) && missing(y_pred)) return(object)
  if (missing(y_true) || missing(y_pred)) {
    abort_missing(if (missing(y_true)) "y_true" else "y_pred", "an array; leave out both to get the loss or metric itself", call)
  }
  measure_values(measure_data(object), y_true, y_pred, call)
}

measure_data <- function(x) environment(x)$measure

# Spellings: the suffix of the constructor and short forms.
loss_names <- c(
  mean_squared_error = "mean_squared_error", mse = "mean_squared_error", mean_absolute_error = "mean_absolute_error", mae = "mean_absolute_error",
  huber = "huber", huber_loss = "huber", binary_crossentropy = "binary_crossentropy", bce = "binary_crossentropy",
  categorical_crossentropy = "categorical_crossentropy", sparse_categorical_crossentropy = "sparse_categorical_crossentropy",
  binary_focal_crossentropy = "binary_focal_crossentropy", categorical_focal_crossentropy = "categorical_focal_crossentropy",
  mean_absolute_percentage_error = "mean_absolute_percentage_error", mape = "mean_absolute_percentage_error",
  mean_squared_logarithmic_error = "mean_squared_logarithmic_error", msle = "mean_squared_logarithmic_error",
  log_cosh = "log_cosh", poisson = "poisson", kl_divergence = "kl_divergence", kld = "kl_divergence", hinge = "hinge",
  squared_hinge = "squared_hinge", categorical_hinge = "categorical_hinge", cosine_similarity = "cosine_similarity",
  crossentropy = "crossentropy", ce = "crossentropy"
)

loss_constructor <- function(kind) {
  if (kind == "crossentropy") return(function() new_loss("crossentropy", list(), "sum_over_batch_size", "crossentropy"))
  get(paste0("loss_", kind), envir = topenv(), mode = "function")
}

# Whatever a loss may be given as; NULL is none.
as_loss <- function(x, arg = "loss", call = NULL) {
  if (is.null(x) || inherits(x, "attentive_loss")) return(x)
  if (is.character(x) && length(x) == 1L && !is.na(x)) {
    return(loss_constructor(measure_kind(x, loss_names, "loss", arg, call))())
  }
  if (is.function(x) && !is.object(x)) {
    for (kind in setdiff(unique(loss_names), "crossentropy")) if (identical(x, loss_constructor(kind))) return(x())
    return(new_loss("function", list(), "sum_over_batch_size", "custom_loss", more = list(fun = check_measure_function(x, arg, call))))
  }
  abort_argument(x, arg, "a loss: a name (\"mse\"), an object (`loss_mean_squared_error()`) or a function of `y_true` and `y_pred`", call = call)
}

# The kind that a spelling means: "mse", "MeanSquaredError", "loss_mean_squared_error".
measure_kind <- function(name, known, family, arg, call = NULL) {
  spelt <- plain_name(readable(name), family)
  found <- known[match(spelt, plain_name(names(known), family))]
  if (!is.na(found)) return(found[[1L]])
  abort_attentive("name", sprintf("`%s` must be the name of a %s, not %s.", arg, family, describe(name)),
    hint = c(nearest_hint(name, names(known)), paste0("Known names: ", or_list(names(known)), ".")), arg = arg, call = call
  )
}

# "crossentropy" and "accuracy" mean one of three, by the sizes of one sample's
# truth and prediction.
resolve_kind <- function(kind, truth, prediction) {
  if (!kind %in% c("crossentropy", "accuracy")) return(kind)
  classes <- if (length(prediction) == 0L) 1L else prediction[[length(prediction)]]
  sparse <- length(truth) < length(prediction) || (truth[[length(truth)]] == 1L && classes > 1L)
  paste0(if (classes == 1L) "binary" else if (sparse) "sparse_categorical" else "categorical", "_", kind)
}

is_sparse_kind <- function(kind) startsWith(kind, "sparse_")

#' @export
`$.attentive_measure` <- function(x, name) {
  data <- measure_data(x)
  if (name == "get_config") return(function() get_config(x))
  known <- c("name", if (data$family == "loss") "reduction")
  if (name %in% known) return(data[[name]])
  if (name %in% names(data$options)) return(data$options[[name]])
  metric_method(x, name, c(known, names(data$options), "get_config"))
}

#' @export
names.attentive_measure <- function(x) {
  data <- measure_data(x)
  c("name", if (data$family == "loss") "reduction" else metric_methods, names(data$options), "get_config")
}

#' @export
get_config.attentive_measure <- function(object) {
  data <- measure_data(object)
  structure(
    c(list(name = data$name), if (data$family == "loss") list(reduction = data$reduction), data$options, if (data$kind == "function") list(fun = data$fun)),
    class_name = if (data$kind == "function") paste0(capitalized(data$family), "Function") else measure_class(data$kind)
  )
}

# A loss or a metric from its configuration, NULL where the class is none. Both may have the same class name, but losses alone have a reduction.
measure_of_class <- function(class_name, config) {
  if (class_name == "MetricFunction" && is.function(config$fun)) return(custom_metric(config$name, config$fun))
  if (class_name == "LossFunction" && is.function(config$fun)) return(new_loss("function", list(), config$reduction, config$name, more = list(fun = config$fun)))
  family <- if ("reduction" %in% names(config)) "loss" else "metric"
  if (class_name == "Crossentropy" && family == "loss") return(new_loss("crossentropy", list(), config$reduction, config$name))
  if (class_name %in% c("Accuracy", "Crossentropy")) return(new_metric(tolower(class_name), list(), config$name))
  exported <- paste0("^", family, "_")
  kinds <- sub(exported, "", grep(exported, getNamespaceExports("attentive"), value = TRUE))
  kind <- kinds[match(class_name, vapply(kinds, measure_class, ""))]
  if (is.na(kind)) return(NULL)
  make <- paste0(family, "_", kind)
  known <- setdiff(names(formals(make)), c("y_true", "y_pred", "...", "dtype"))
  warn_unknown_entries(setdiff(names(config), c(known, "dtype", "fn")))
  do.call(make, unclass(config[intersect(names(config), known)]))
}

# "mean_squared_error" -> "MeanSquaredError"
measure_class <- function(kind) {
  known <- c(auc = "AUC", fbeta_score = "FBetaScore", kl_divergence = "KLDivergence")
  if (kind %in% names(known)) known[[kind]] else gsub("(^|_)([a-z])", "\\U\\2", kind, perl = TRUE)
}

#' @export
format.attentive_measure <- function(x, ...) {
  data <- measure_data(x)
  if (data$kind == "function") return(sprintf("custom_%s(\"%s\")", data$family, data$name))
  options <- data$options[!vapply(data$options, is.null, NA)]
  shown <- vapply(options, function(value) if (length(value) > 1L) paste0("c(", paste(format(value), collapse = ", "), ")") else format(value), "")
  sprintf("%s_%s(%s)", data$family, data$kind, paste(names(options), shown, sep = " = ", collapse = ", "))
}

#' @export
print.attentive_measure <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_measure <- function(object, ...) cat(format(object), "\n", sep = "")
