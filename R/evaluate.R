# evaluate(), predict() and single batches.

#' Measure a model
#'
#' Gives the loss and the metrics of a compiled model on data.
#'
#' @param object A compiled model.
#' @param ... For models: the arguments below; `threads`, how many threads the engine uses.
#' @param x,y,sample_weight As in [fit()][fit.attentive_model].
#' @param batch_size How many samples are computed at once; `NULL` means 32.
#' @param verbose 0 for silence, 1 or 2 for a line with the values; "auto" as in [fit()][fit.attentive_model].
#' @param steps The number of batches; `NULL` means all.
#' @param callbacks A list of [callbacks].
#' @return A named list of numbers, in alphabetical order.
#' @inheritSection fit.attentive_model Errors
#' @family training
#' @examples
#' input <- keras_input(3)
#' model <- keras_model(input, layer_dense(input, 1))
#' compile(model, loss = "mse", metrics = "mae")
#' x <- matrix(1:12, 4)
#' evaluate(model, x, rowSums(x), verbose = 0)
#' @export
evaluate <- function(object, ...) UseMethod("evaluate")

#' @export
evaluate.default <- function(object, ...) abort_argument(object, "object", "a compiled model", call = environment())

#' @rdname evaluate
#' @export
evaluate.attentive_model <- function(object, x = NULL, y = NULL, ..., batch_size = NULL, verbose = getOption("keras.verbose", default = "auto"),
                                     sample_weight = NULL, steps = NULL, callbacks = NULL) {
  call <- environment()
  self <- layer_self(object)
  threads <- training_threads(list(...), "`evaluate()`", evaluate.attentive_model, call)
  check_compiled(self, "evaluate()", call)
  verbose <- check_verbose(verbose, call)
  data <- training_data(self, x, y, sample_weight, NULL, call)
  evaluation <- new_validation(self, data, seq_len(data$samples), new_dataset(self, data$arrays, threads), NULL, threads, call)
  limit_evaluation(evaluation, check_batch_size(batch_size, call), steps, "steps", call)
  values <- evaluate_run(evaluation, new_run(self, threads, verbose, as_callbacks(callbacks, call), call))
  if (verbose > 0L) cat(substring(format_logs(values, " - "), 4L), "\n", sep = "")
  values
}

#' Predictions of a model
#'
#' Computes the outputs of a model for data, batch by batch, in one call of the engine. Dropout does not act.
#'
#' @param object A model.
#' @param x The inputs: an array, or a list of them in the order of the inputs or named by them.
#' @param ... `threads`, how many threads the engine uses.
#' @param batch_size How many samples are computed at once; `NULL` means 32. It does not change the numbers.
#' @param verbose Accepted for compatibility; predictions are silent.
#' @param steps The number of batches; `NULL` means all.
#' @param callbacks A list of [callbacks].
#' @return An array whose first axis is the samples; a list of arrays for a model with several outputs, named if its outputs are.
#' @section Errors: `attentive_error_shape` where the data do not fit the model.
#' @family training
#' @examples
#' input <- keras_input(c(4, 6))
#' model <- keras_model(input, layer_multi_head_attention(input, num_heads = 2, key_dim = 3))
#' dim(predict(model, array(0, c(5, 4, 6))))
#' @export
predict.attentive_model <- function(object, x, ..., batch_size = NULL, verbose = getOption("keras.verbose", default = "auto"),
                                    steps = NULL, callbacks = NULL) {
  call <- environment()
  self <- layer_self(object)
  if (missing(x)) abort_missing("x", "the data of the model's inputs", call)
  threads <- training_threads(list(...), "`predict()`", predict.attentive_model, call)
  check_verbose(verbose, call)
  inputs <- predicted_inputs(self, x, call)
  batch_size <- check_batch_size(batch_size, call)
  rows <- seq_len(dim(inputs[[1L]])[[1L]])
  steps <- check_whole(steps, "steps", null = TRUE, call = call)
  if (!is.null(steps)) rows <- utils::head(rows, steps * batch_size)
  run <- new_run(self, threads, 0L, as_callbacks(callbacks, call), call)
  give_outputs(self, predict_run(run, inputs, rows, batch_size))
}

#' @export
predict.attentive_layer <- function(object, ...) abort_no_model(object, "asked for predictions", environment())

predicted_inputs <- function(self, x, call) {
  check_is_data(x, "x", call)
  inputs <- model_inputs(self, x, call)
  count_samples(inputs, input_names(self), call)
  inputs
}

predict_run <- function(run, inputs, rows, batch_size) {
  program <- model_program(run$self)
  dataset <- new_dataset(run$self, inputs, run$threads)
  compute <- function(rows) {
    with_engine_errors(program_predict(program$pointer, dataset, rows, batch_size, program$variables, run$threads), run$call)
  }
  notify(run, "on_predict_begin")
  if (length(run$listeners$on_predict_batch_begin) + length(run$listeners$on_predict_batch_end) > 0L) {
    for (step in seq_len(ceiling(length(rows) / batch_size))) {
      notify(run, "on_predict_batch_begin", step)
      run$logs <- list(outputs = compute(batch_rows(rows, batch_size, step)))
      notify(run, "on_predict_batch_end", step)
    }
    run$logs <- structure(list(), names = character())
  }
  result <- compute(rows)
  notify(run, "on_predict_end")
  result
}

# Single batches ---------------------------------------------------------------------

#' Train, test or predict with one batch
#'
#' For training loops of one's own: `train_on_batch()` does one step with all the samples that it is given, `test_on_batch()` measures them, `predict_on_batch()`
#' computes the outputs.
#'
#' @inheritParams fit.attentive_model
#' @param ... `return_dict`, accepted for compatibility with Keras: the values are a named list in any case.
#' @return `train_on_batch()` and `test_on_batch()`: a named list of the loss and the metrics of this batch, before the step. `predict_on_batch()`: as
#'   [predict()][predict.attentive_model].
#' @section Differences from Keras:
#' The values are those of the batch alone; Keras goes on adding up over calls until its metrics are reset.
#' @inheritSection fit.attentive_model Errors
#' @family training
#' @examples
#' input <- keras_input(3)
#' model <- keras_model(input, layer_dense(input, 1))
#' compile(model, optimizer_sgd(0.01), "mse")
#' x <- matrix(rnorm(24), 8)
#' for (step in 1:3) print(train_on_batch(model, x, rowSums(x))$loss)
#' @export
train_on_batch <- function(object, x, y = NULL, sample_weight = NULL, class_weight = NULL, ...) {
  call <- environment()
  self <- batch_model(object, "train_on_batch()", call)
  check_batch_dots(list(...), "`train_on_batch()`", train_on_batch, call)
  data <- training_data(self, x, y, sample_weight, class_weight, call)
  run <- new_run(self, default_threads(), call = call)
  run$epoch <- 1L
  run$dataset <- new_dataset(self, data$arrays, run$threads)
  run$data <- data
  run$trainer <- model_trainer(self, data, TRUE, call)
  self$compiled$classes <- data$classes
  read_optimizer(run)
  on.exit(write_optimizer(run))
  logs_of(run$trainer$measures, with_engine_errors(train_step(run, seq_len(data$samples), 1L), call))
}

#' @rdname train_on_batch
#' @export
test_on_batch <- function(object, x, y = NULL, sample_weight = NULL, ...) {
  call <- environment()
  self <- batch_model(object, "test_on_batch()", call)
  check_batch_dots(list(...), "`test_on_batch()`", test_on_batch, call)
  data <- training_data(self, x, y, sample_weight, NULL, call)
  run <- new_run(self, default_threads(), call = call)
  evaluation <- new_validation(self, data, seq_len(data$samples), new_dataset(self, data$arrays, run$threads), NULL, run$threads, call)
  limit_evaluation(evaluation, data$samples, NULL, "steps", call)
  evaluate_run(evaluation, run)
}

#' @rdname train_on_batch
#' @export
predict_on_batch <- function(object, x) {
  call <- environment()
  self <- batch_model(object, NULL, call)
  inputs <- predicted_inputs(self, x, call)
  rows <- seq_len(dim(inputs[[1L]])[[1L]])
  give_outputs(self, predict_run(new_run(self, default_threads(), call = call), inputs, rows, length(rows)))
}

check_batch_dots <- function(dots, what, fun, call = NULL) {
  check_dots_names(dots, "return_dict", what, call, formals = setdiff(names(formals(fun)), "..."))
  check_flag(dots$return_dict, "return_dict", null = TRUE, call = call)
}

batch_model <- function(object, what, call) {
  if (!inherits(object, "attentive_model")) {
    if (inherits(object, "attentive_layer")) abort_no_model(object, "trained", call)
    abort_argument(object, "object", "a model", call = call)
  }
  self <- layer_self(object)
  if (!is.null(what)) check_compiled(self, what, call)
  self
}
