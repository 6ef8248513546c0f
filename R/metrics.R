# Metrics: what is reported beside the loss. A metric is an R function with a
# class around data; its state is a numeric vector that adds up over batches.

#' Metrics
#'
#' A metric measures predictions, for people to read: it does not change the training. Give metrics to [compile()][compile.attentive_model], as objects or by their names.
#'
#' @details
#' With data, as in `metric_binary_accuracy(y_true, y_pred)`, these functions give one value per sample; two vectors are one sample, for
#' `metric_binary_accuracy()` one sample per number. Without, they make a metric: a function
#' `metric(y_true, y_pred, sample_weight = NULL)` that takes the data of a batch into account and gives the value so far, with the methods
#' `$update_state(y_true, y_pred, sample_weight)`, `$result()` and `$reset_state()`.
#'
#' | function | names | value of one sample |
#' |---|---|---|
#' | `metric_binary_accuracy()` | | whether prediction > `threshold` is the truth |
#' | `metric_categorical_accuracy()` | | whether the largest class is the one of the truth |
#' | `metric_sparse_categorical_accuracy()` | | the same where the truth is the number of the class, from 0 |
#' | `metric_top_k_categorical_accuracy()`, `metric_sparse_top_k_categorical_accuracy()` | | whether the class of the truth is among the `k` largest |
#' | `metric_mean_squared_error()`, `metric_mean_absolute_error()` | "mse", "mae" | as the losses |
#' | `metric_root_mean_squared_error()` | "rmse" | the root of the mean over all samples |
#' | `metric_binary_crossentropy()`, ..., `metric_huber()` | "bce" | as the losses |
#' | `metric_mean_absolute_percentage_error()`, ..., `metric_categorical_hinge()` | "mape", "msle", "kld" | as the losses |
#' | `metric_cosine_similarity()` | | the cosine of the angle between the two: the loss with the other sign |
#'
#' The name "accuracy" or "acc" chooses one of the first three: binary where the prediction has one column, sparse where the truth has one axis
#' less than the prediction or a last axis of 1, else categorical. Every loss is a metric, too: `metrics = "huber"`, `metrics = list(loss_huber())`.
#'
#' Precision, recall, the area under a curve and others that are no means have a page of their own: [metric_auc()].
#'
#' The value over several batches is the weighted mean over all samples, those of smaller batches included. A metric is reported under its `name`; one that was
#' given as a string under that very string.
#'
#' @inheritParams loss_mean_squared_error
#' @param threshold Predictions above it count as 1.
#' @param k How many classes count.
#' @return A metric; with data, an array of one value per sample.
#' @inheritSection loss_mean_squared_error Errors
#' @family training
#' @examples
#' metric_binary_accuracy(c(1, 0, 1), c(0.9, 0.2, 0.4))
#' metric <- metric_mean_absolute_error()
#' metric$update_state(c(1, 2), c(1, 3))
#' metric$update_state(5, 5)
#' metric$result()
#' @export
metric_binary_accuracy <- function(y_true, y_pred, threshold = 0.5, ..., name = "binary_accuracy", dtype = NULL) {
  object <- new_metric("binary_accuracy", list(threshold = check_number(threshold, "threshold", call = environment())), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_categorical_accuracy <- function(y_true, y_pred, ..., name = "categorical_accuracy", dtype = NULL) {
  values_or_self(new_metric("categorical_accuracy", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_sparse_categorical_accuracy <- function(y_true, y_pred, ..., name = "sparse_categorical_accuracy", dtype = NULL) {
  values_or_self(new_metric("sparse_categorical_accuracy", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_top_k_categorical_accuracy <- function(y_true, y_pred, k = 5L, ..., name = "top_k_categorical_accuracy", dtype = NULL) {
  object <- new_metric("top_k_categorical_accuracy", list(k = check_whole(k, "k", call = environment())), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_sparse_top_k_categorical_accuracy <- function(y_true, y_pred, k = 5L, ..., name = "sparse_top_k_categorical_accuracy", dtype = NULL) {
  object <- new_metric("sparse_top_k_categorical_accuracy", list(k = check_whole(k, "k", call = environment())), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_mean_squared_error <- function(y_true, y_pred, ..., name = "mean_squared_error", dtype = NULL) {
  values_or_self(new_metric("mean_squared_error", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_mean_absolute_error <- function(y_true, y_pred, ..., name = "mean_absolute_error", dtype = NULL) {
  values_or_self(new_metric("mean_absolute_error", list(), name, list(...), environment()), y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_root_mean_squared_error <- function(..., name = "root_mean_squared_error", dtype = NULL) {
  new_metric("root_mean_squared_error", list(), name, list(...), environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_huber <- function(y_true, y_pred, delta = 1, ..., name = "huber_loss", dtype = NULL) {
  object <- new_metric("huber", list(delta = check_number(delta, "delta", 0, call = environment())), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_binary_crossentropy <- function(y_true, y_pred, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                       name = "binary_crossentropy", dtype = NULL) {
  object <- new_metric("binary_crossentropy", entropy_options(from_logits, label_smoothing, axis, environment()), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_categorical_crossentropy <- function(y_true, y_pred, from_logits = FALSE, label_smoothing = 0, axis = -1L, ...,
                                            name = "categorical_crossentropy", dtype = NULL) {
  object <- new_metric("categorical_crossentropy", entropy_options(from_logits, label_smoothing, axis, environment()), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

#' @rdname metric_binary_accuracy
#' @export
metric_sparse_categorical_crossentropy <- function(y_true, y_pred, from_logits = FALSE, axis = -1L, ...,
                                                   name = "sparse_categorical_crossentropy", dtype = NULL) {
  object <- new_metric("sparse_categorical_crossentropy", sparse_options(from_logits, NULL, axis, environment()), name, list(...), environment())
  values_or_self(object, y_true, y_pred, environment())
}

# Objects ----------------------------------------------------------------------

# `more` are entries of the measure beside its options.
new_metric <- function(kind, options, name, dots = list(), call = NULL, more = NULL) {
  check_dots_names(dots, character(), sprintf("`metric_%s()`", kind), call)
  around <- new.env(parent = topenv(), size = 2L)
  around$measure <- c(list(family = "metric", kind = kind, options = options, name = check_string(name, "name", call = call)), more)
  around$state <- NULL
  fun <- function(y_true, y_pred, sample_weight = NULL) call_metric(parent.env(environment()), y_true, y_pred, sample_weight, environment())
  environment(fun) <- around
  structure(fun, class = c("attentive_metric", "attentive_measure"))
}

metric_names <- c(
  binary_accuracy = "binary_accuracy", categorical_accuracy = "categorical_accuracy", sparse_categorical_accuracy = "sparse_categorical_accuracy",
  top_k_categorical_accuracy = "top_k_categorical_accuracy", sparse_top_k_categorical_accuracy = "sparse_top_k_categorical_accuracy",
  root_mean_squared_error = "root_mean_squared_error", rmse = "root_mean_squared_error", accuracy = "accuracy", acc = "accuracy",
  auc = "auc", precision = "precision", recall = "recall", f1_score = "f1_score", fbeta_score = "fbeta_score", r2_score = "r2_score",
  true_positives = "true_positives", true_negatives = "true_negatives", false_positives = "false_positives", false_negatives = "false_negatives",
  log_cosh_error = "log_cosh_error", loss_names
)

metric_constructor <- function(kind) {
  if (kind %in% c("accuracy", "crossentropy")) return(function(name) new_metric(kind, list(), name))
  get(paste0("metric_", kind), envir = topenv(), mode = "function")
}

# Whatever a metric may be given as; one given as a string is reported under it.
as_metric <- function(x, arg = "metrics", call = NULL) {
  if (inherits(x, "attentive_metric")) {
    if (isTRUE(measure_data(x)$of_values)) {
      abort_argument(x, arg, "a metric that compares a truth with a prediction", hint = "`metric_mean()` and `metric_sum()` are for numbers of your own.", call = call)
    }
    return(x)
  }
  if (inherits(x, "attentive_loss")) {
    data <- measure_data(x)
    return(new_metric(data$kind, data$options, data$name, more = list(as_loss = TRUE, fun = data$fun)))
  }
  if (is.character(x) && length(x) == 1L && !is.na(x)) {
    return(metric_constructor(measure_kind(x, metric_names, "metric", arg, call))(name = as.vector(x)))
  }
  if (is.function(x) && !is.object(x)) {
    for (kind in setdiff(unique(metric_names), c("crossentropy", "accuracy"))) if (identical(x, metric_constructor(kind))) return(x())
    for (kind in setdiff(unique(loss_names), "crossentropy")) if (identical(x, loss_constructor(kind))) return(as_metric(x()))
    return(new_custom_metric("custom_metric", check_measure_function(x, arg, call)))
  }
  abort_argument(x, arg, "a metric: a name (\"mae\"), an object (`metric_mean_absolute_error()`) or a function of `y_true` and `y_pred`", call = call)
}

# What the engine computes for a metric whose kind is settled: list(kind =, options).
# `truth` and `shape` are the sizes of a sample's truth and prediction.
engine_metric <- function(data, kind, truth, shape, dtype) {
  if (kind == "function") return(engine_function(data, truth, shape, dtype))
  if (!is.null(data$counts)) return(engine_counts(data))
  if (kind == "root_mean_squared_error") kind <- "mean_squared_error"
  if (kind == "cosine_similarity" && !isTRUE(data$as_loss)) kind <- "cosine_proximity"
  c(list(kind = kind), data$options)
}

# The value of a state: c(sum, weight), or the sums of a metric that is no mean.
metric_value <- function(data, state) {
  if (!is.null(data$counts)) return(counts_value(data, state))
  value <- if (is.null(state) || state[[2L]] == 0) 0 else state[[1L]] / state[[2L]]
  if (data$kind == "root_mean_squared_error") sqrt(value) else value
}

# How many numbers a state has, for a prediction of so many columns.
metric_size <- function(data, width) if (is.null(data$counts)) 2L else counts_size(data, width)

# Whether more is better.
metric_grows <- function(data) {
  grepl("accuracy$|^auc$|^precision|^recall|score$|^true_|^sensitivity|^specificity", data$kind) ||
    (data$kind == "cosine_similarity" && data$family == "metric" && !isTRUE(data$as_loss))
}

metric_methods <- c("update_state", "result", "reset_state")

metric_method <- function(x, name, known) {
  around <- environment(x)
  data <- measure_data(x)
  if (data$family == "metric" && name %in% metric_methods) {
    return(switch(name,
      update_state = if (isTRUE(data$of_values)) {
        function(values, sample_weight = NULL) {
          update_values(around, values, sample_weight, environment())
          invisible(x)
        }
      } else {
        function(y_true, y_pred, sample_weight = NULL) {
          update_metric(around, y_true, y_pred, sample_weight, environment())
          invisible(x)
        }
      },
      result = function() metric_value(data, around$state),
      reset_state = function() {
        around$state <- NULL
        invisible(x)
      }
    ))
  }
  if (data$family == "metric") known <- c(known, metric_methods)
  abort_attentive("name", sprintf("`%s` has no field `%s`.", format(x), name),
    hint = c(nearest_hint(name, known), paste0("Known fields: ", paste0("`", known, "`", collapse = ", "), "."))
  )
}

call_metric <- function(around, y_true, y_pred, sample_weight, call = NULL) {
  update_metric(around, y_true, y_pred, sample_weight, call)
  metric_value(around$measure, around$state)
}

update_metric <- function(around, y_true, y_pred, sample_weight, call = NULL) {
  check_both_given(y_true, y_pred, call)
  state <- measure_arrays(around$measure, y_true, y_pred, sample_weight, call)$metrics[[1L]]
  if (!is.null(around$state) && length(around$state) != length(state)) {
    abort_attentive("shape", "The prediction has another number of columns than those before it.", hint = "`$reset_state()` begins anew.", call = call)
  }
  around$state <- if (is.null(around$state)) state else around$state + state
}
