# More losses; losses.R says what they have in common.

#' @rdname loss_mean_squared_error
#' @export
loss_mean_absolute_percentage_error <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "mean_absolute_percentage_error", dtype = NULL) {
  values_or_self(new_loss("mean_absolute_percentage_error", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_mean_squared_logarithmic_error <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "mean_squared_logarithmic_error", dtype = NULL) {
  values_or_self(new_loss("mean_squared_logarithmic_error", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_log_cosh <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "log_cosh", dtype = NULL) {
  values_or_self(new_loss("log_cosh", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_poisson <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "poisson", dtype = NULL) {
  values_or_self(new_loss("poisson", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_kl_divergence <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "kl_divergence", dtype = NULL) {
  values_or_self(new_loss("kl_divergence", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_hinge <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "hinge", dtype = NULL) {
  values_or_self(new_loss("hinge", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_squared_hinge <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "squared_hinge", dtype = NULL) {
  values_or_self(new_loss("squared_hinge", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_categorical_hinge <- function(y_true, y_pred, ..., reduction = "sum_over_batch_size", name = "categorical_hinge", dtype = NULL) {
  values_or_self(new_loss("categorical_hinge", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_cosine_similarity <- function(y_true, y_pred, axis = -1L, ..., reduction = "sum_over_batch_size", name = "cosine_similarity", dtype = NULL) {
  check_class_axis(axis, environment())
  values_or_self(new_loss("cosine_similarity", list(), reduction, name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_binary_focal_crossentropy <- function(y_true, y_pred, apply_class_balancing = FALSE, alpha = 0.25, gamma = 2, from_logits = FALSE,
                                           label_smoothing = 0, axis = -1L, ..., reduction = "sum_over_batch_size",
                                           name = "binary_focal_crossentropy", dtype = NULL) {
  object <- new_loss("binary_focal_crossentropy", focal_options(as.list(environment()), environment()), reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname loss_mean_squared_error
#' @export
loss_categorical_focal_crossentropy <- function(y_true, y_pred, alpha = 0.25, gamma = 2, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                                reduction = "sum_over_batch_size", name = "categorical_focal_crossentropy", dtype = NULL) {
  object <- new_loss("categorical_focal_crossentropy", focal_options(as.list(environment()), environment()), reduction, name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

focal_options <- function(given, call) {
  alpha <- given$alpha
  binary <- "apply_class_balancing" %in% names(given)
  if (!binary && is.list(alpha) && !is.object(alpha)) alpha <- unlist(alpha)
  fits <- is.numeric(alpha) && !is.object(alpha) && length(alpha) > 0L && all(is.finite(alpha)) && all(alpha >= 0)
  if (!fits || (binary && (length(alpha) > 1L || alpha > 1))) {
    abort_argument(alpha, "alpha", if (binary) "a number between 0 and 1" else "a number of at least 0, or one for each class", call = call)
  }
  c(
    if (binary) list(apply_class_balancing = check_flag(given$apply_class_balancing, "apply_class_balancing", call = call)),
    list(alpha = as.double(alpha), gamma = check_number(given$gamma, "gamma", 0, call = call)),
    entropy_options(given$from_logits, given$label_smoothing, given$axis, call)
  )
}
