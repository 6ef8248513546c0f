# Losses and metrics of arrays, without a model: the engine runs a program
# without nodes, whose prediction is its input.

identity_program <- function() {
  program_create(list(
    values = 1L, masks = 0L, nodes = list(), variables = list(), inputs = 0L, outputs = 0L, output_masks = -1L
  ), TRUE)
}

# A function of rows that gives what test_step() does for one measure; `truth`,
# `prediction` and `weight` are arrays that fit each other.
new_measurement <- function(data, truth, prediction, weight = NULL) {
  kind <- resolve_kind(data$kind, dim(truth)[-1L], dim(prediction)[-1L])
  truth_sizes <- dim(truth)[-1L]
  sizes <- dim(prediction)[-1L]
  plan <- list(
    losses = list(if (data$family == "loss") engine_loss(data, kind, truth_sizes, sizes, "float64")),
    metrics = if (data$family == "metric") list(c(list(output = 1L, weighted = TRUE), engine_metric(data, kind, truth_sizes, sizes, "float64"))) else list(),
    shapes = list(), trainable = logical(), penalties = list(), constraints = list()
  )
  program <- identity_program()
  training <- training_create(plan, TRUE)
  dataset <- dataset_create(c(list(prediction, truth), if (!is.null(weight)) list(weight)), TRUE, 1L)
  columns <- list(y = 2L, sample_weight = if (is.null(weight)) 0L else 3L)
  function(rows) test_step(program, training, dataset, columns, rows, length(rows), list(), 1L)
}

# Checked arrays; a vector is one sample per number.
measure_input <- function(data, y_true, y_pred, sample_weight, call = NULL) {
  if (inherits(y_pred, "attentive_variable")) y_pred <- as.array(y_pred)
  if (!(is.numeric(y_pred) || is.logical(y_pred)) || is.factor(y_pred)) abort_argument(y_pred, "y_pred", "a numeric array", call = call)
  prediction <- if (length(dim(y_pred)) < 2L) array(y_pred, c(length(y_pred), 1L)) else array(as.vector(y_pred), dim(y_pred))
  shape <- dim(prediction)[-1L]
  if (shape[[length(shape)]] == 0L) abort_argument(y_pred, "y_pred", "an array with at least one column", call = call, class = "shape")
  truth <- read_truth(y_true, list(data), shape, dim(prediction)[[1L]], "`y_true`", "y_true", call)
  weight <- if (!is.null(sample_weight)) {
    self <- list(outputs = list(NULL))
    read_sample_weights(self, if (is.list(sample_weight)) sample_weight[[1L]] else sample_weight, list(shape), dim(prediction)[[1L]], call)[[1L]]
  }
  list(truth = truth, prediction = prediction, weight = weight)
}

measure_arrays <- function(data, y_true, y_pred, sample_weight, call = NULL) {
  input <- measure_input(data, y_true, y_pred, sample_weight, call)
  if (length(input$prediction) == 0L) return(empty_state(data, dim(input$prediction)))
  new_measurement(data, input$truth, input$prediction, input$weight)(seq_len(dim(input$prediction)[[1L]]))
}

check_both_given <- function(y_true, y_pred, call = NULL) {
  if (missing(y_true)) abort_missing("y_true", "the truth, an array", call)
  if (missing(y_pred)) abort_missing("y_pred", "the prediction, an array", call)
}

# The state of no samples, or of samples without positions: the mean over nothing is NaN, the sum is 0.
empty_state <- function(data, sizes) {
  if (data$family == "loss") return(list(loss = c(0, if (data$reduction == "sum") 1 else 0)))
  list(metrics = list(numeric(metric_size(data, sizes[[length(sizes)]]))))
}

# loss(y_true, y_pred, sample_weight): one number, or the values of all samples.
call_loss <- function(data, y_true, y_pred, sample_weight, call = NULL) {
  check_both_given(y_true, y_pred, call)
  if (data$reduction == "none") {
    values <- measure_values(data, y_true, y_pred, call)
    return(if (is.null(sample_weight)) values else values * as.vector(sample_weight))
  }
  state <- measure_arrays(data, y_true, y_pred, sample_weight, call)$loss
  state[[1L]] / state[[2L]]
}

# One value per sample, or per position of a sample: each is measured alone.
# Two vectors are one sample, except for what looks at each number alone.
measure_values <- function(data, y_true, y_pred, call = NULL) {
  if (is.null(dim(y_true)) && is.null(dim(y_pred)) && is.numeric(y_pred) && data$kind != "binary_accuracy") {
    if (length(y_true) + length(y_pred) == 0L) return(NaN)
    y_pred <- array(y_pred, c(1L, length(y_pred)))
    if (!is_sparse_kind(data$kind) && is.numeric(y_true)) y_true <- array(y_true, c(1L, length(y_true)))
  }
  input <- measure_input(data, y_true, y_pred, NULL, call)
  sizes <- dim(input$prediction)
  positions <- prod(sizes[-length(sizes)])
  if (positions == 0) return(if (length(sizes) == 2L) numeric() else array(0, sizes[-length(sizes)]))
  prediction <- array(input$prediction, c(positions, sizes[[length(sizes)]]))
  truth <- array(input$truth, c(positions, length(input$truth) / positions))
  # as in Keras, positions of a class that is ignored have the value 0
  ignored <- if (is.null(data$options$ignore_class)) integer() else which(truth == data$options$ignore_class)
  truth[ignored] <- 0
  data$options$ignore_class <- NULL
  data$as_loss <- data$family == "loss" || isTRUE(data$as_loss)
  data$family <- "metric"
  measure <- new_measurement(data, truth, prediction)
  values <- vapply(seq_len(positions), function(i) metric_value(data, measure(i)$metrics[[1L]]), 0)
  values[ignored] <- 0
  if (length(sizes) == 2L) values else array(values, sizes[-length(sizes)])
}
