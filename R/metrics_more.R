# More metrics that are means; metrics.R says what they have in common.

#' @rdname metric_binary_accuracy
#' @export
metric_mean_absolute_percentage_error <- function(y_true, y_pred, ..., name = "mean_absolute_percentage_error", dtype = NULL) {
  values_or_self(new_metric("mean_absolute_percentage_error", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_mean_squared_logarithmic_error <- function(y_true, y_pred, ..., name = "mean_squared_logarithmic_error", dtype = NULL) {
  values_or_self(new_metric("mean_squared_logarithmic_error", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_log_cosh <- function(y_true, y_pred, ..., name = "logcosh", dtype = NULL) {
  values_or_self(new_metric("log_cosh", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_poisson <- function(y_true, y_pred, ..., name = "poisson", dtype = NULL) {
  values_or_self(new_metric("poisson", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_kl_divergence <- function(y_true, y_pred, ..., name = "kl_divergence", dtype = NULL) {
  values_or_self(new_metric("kl_divergence", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_hinge <- function(y_true, y_pred, ..., name = "hinge", dtype = NULL) {
  values_or_self(new_metric("hinge", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_squared_hinge <- function(y_true, y_pred, ..., name = "squared_hinge", dtype = NULL) {
  values_or_self(new_metric("squared_hinge", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_categorical_hinge <- function(y_true, y_pred, ..., name = "categorical_hinge", dtype = NULL) {
  values_or_self(new_metric("categorical_hinge", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_log_cosh_error <- function(..., name = "logcosh", dtype = NULL) new_metric("log_cosh", list(), name, list(...), environment())

#' @rdname metric_binary_accuracy
#' @export
metric_cosine_similarity <- function(..., name = "cosine_similarity", dtype = NULL, axis = -1L) {
  check_class_axis(axis, environment())
  new_metric("cosine_similarity", list(), name, list(...), environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_binary_focal_crossentropy <- function(y_true, y_pred, apply_class_balancing = FALSE, alpha = 0.25, gamma = 2, from_logits = FALSE,
                                             label_smoothing = 0, axis = -1L, ..., name = "binary_focal_crossentropy", dtype = NULL) {
  object <- new_metric("binary_focal_crossentropy", focal_options(as.list(environment()), environment()), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_categorical_focal_crossentropy <- function(y_true, y_pred, alpha = 0.25, gamma = 2, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                                  name = "categorical_focal_crossentropy", dtype = NULL) {
  object <- new_metric("categorical_focal_crossentropy", focal_options(as.list(environment()), environment()), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}
