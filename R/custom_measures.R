# Losses and metrics of one's own: R functions of truth and prediction. They are
# applied to symbolic tensors once, and the engine computes what came out, with its
# gradient. A metric that cannot be is called with arrays, batch by batch.

#' Losses and metrics of your own
#'
#' A function `function(y_true, y_pred)` serves as a loss or as a metric of [compile()][compile.attentive_model]; `custom_metric()` gives a metric a name.
#'
#' @details
#' The function is applied to symbolic tensors, once for each kind of data: `+ - * / ^`, `abs()`, `exp()`, `log()`, `sqrt()`, the `op_*()` functions and layers without weights
#' work on them. What it does is then computed, and for a loss derived, like everything else in a model. An axis of truth or prediction that is missing on one side and has
#' the size 1 on the other is added to, or taken off, as for all losses.
#'
#' The values that it gives may have any shape: one number for each sample, for each position of a sample or for each element. The loss is their mean (or the sum, times their
#' weights, as for all losses); masks and sample weights are lined up with their first axes. One number for a whole batch is taken as it is; there
#' a mask does not count, and sample weights multiply it by their mean.
#'
#' A metric may also use functions that work on arrays only: it is then called for each batch with arrays, and may call the model, which computes with its weights
#' before the step. A loss must work on tensors, or it can be evaluated but not trained with; then it
#' must give one number for each sample.
#'
#' The value of a metric is the mean over all samples; of a metric that gives one number for a batch it is the mean over the batches, whatever their sizes, as in Keras.
#'
#' @param name The name under which the metric is reported. Without one it is "custom_metric".
#' @param metric_fn A function of `y_true` and `y_pred`.
#' @return A metric, see [metric_binary_accuracy()].
#' @section Errors:
#' `attentive_error_argument` where a loss cannot be applied to symbolic tensors, has weights, or gives values that fit neither the samples nor the mask.
#' @family training
#' @examples
#' squares <- function(y_true, y_pred) (y_true - y_pred)^2
#' input <- keras_input(3)
#' model <- keras_model(input, layer_dense(input, 1))
#' largest <- custom_metric("largest", function(y_true, y_pred) max(abs(y_true - y_pred)))
#' compile(model, "sgd", loss = squares, metrics = list(largest))
#' x <- matrix(sin(1:24), 8)
#' evaluate(model, x, rowSums(x), verbose = 0)
#' @export
custom_metric <- function(name, metric_fn) {
  call <- environment()
  if (missing(name)) abort_missing("name", "a string", call)
  if (missing(metric_fn)) abort_missing("metric_fn", "a function of `y_true` and `y_pred`", call)
  name <- check_string(name, "name", call = call)
  if (inherits(metric_fn, "attentive_measure")) abort_argument(metric_fn, "metric_fn", "a function of `y_true` and `y_pred`", call = call)
  new_custom_metric(name, check_measure_function(metric_fn, "metric_fn", call))
}

new_custom_metric <- function(name, fun) new_metric("function", list(), name, more = list(fun = fun))

check_measure_function <- function(fun, arg, call = NULL) {
  takes <- if (is.function(fun)) formals(args(fun))
  if (length(takes) >= 2L || "..." %in% names(takes)) return(fun)
  abort_argument(fun, arg, "a function of `y_true` and `y_pred`", call = call)
}

# What the engine computes for a function: a program, or where it cannot be applied
# to tensors the function itself, on arrays. `truth` and `shape` are sizes of a sample.
engine_function <- function(data, truth, shape, dtype, trains = FALSE, call = NULL) {
  sizes <- comparable_sizes(as.integer(truth), as.integer(shape))
  plan <- tryCatch(measure_program(data, sizes, dtype, call), error = identity)
  if (!inherits(plan, "error")) return(c(list(kind = "program", program = plan), sizes))
  if (trains) abort_untraced(plan, call)
  as_batch <- function(x, sample) array(x, c(dim(x)[[1L]], sample))
  list(kind = "function", fun = function(y_true, y_pred) {
    values <- data$fun(as_batch(y_true, sizes$truth), as_batch(y_pred, sizes$prediction))
    if (is.numeric(values) || is.logical(values)) return(if (is.null(dim(values))) array(as.double(values), length(values)) else values + 0)
    abort_attentive("argument", sprintf("The function of \"%s\" must give numbers, not %s.", data$name, describe(values)), call = call)
  })
}

abort_untraced <- function(error, call = NULL) {
  abort_attentive("argument", "The loss function cannot be applied to symbolic tensors, which training needs.",
    hint = c("`+ - * / ^`, `abs()`, `exp()`, `log()`, `sqrt()`, the `op_*()` functions and layers without weights work on them.",
      "It can still be evaluated, or serve as a metric."),
    arg = "loss", parent = error, call = call
  )
}

measure_program <- function(data, sizes, dtype, call = NULL) {
  shapes <- unname(lapply(sizes, function(sample) c(NA_integer_, sample)))
  traced <- trace_function(function(pair) data$fun(pair[[1L]], pair[[2L]]), shapes, dtype, data$family, call)
  if (length(traced$outputs) != 1L) abort_attentive("argument", "The function must give one tensor.", call = call)
  plan <- build_program(traced$inputs, traced$outputs, traced$nodes)
  if (length(plan$variables) > 0L) abort_attentive("argument", "The function must not have weights: layers with weights belong into the model.", call = call)
  for (node in plan$nodes) if (!is.null(node$functions)) node$functions$gradient(list(), NULL) # says that there is none
  plan
}

# Sizes of a truth and a prediction between which an axis of size 1 at the end
# is added or taken off, as Keras does before every loss.
comparable_sizes <- function(truth, prediction) {
  fit <- function(long, short) {
    if (length(long) != length(short) + 1L || long[[length(long)]] != 1L) return(list(long, short))
    if (length(short) == 0L) list(long, 1L) else list(long[-length(long)], short)
  }
  if (length(truth) > length(prediction)) {
    made <- fit(truth, prediction)
    return(list(truth = made[[1L]], prediction = made[[2L]]))
  }
  made <- fit(prediction, truth)
  list(truth = made[[2L]], prediction = made[[1L]])
}
