# fit(): the loop of training. One step is one call into the engine; R shuffles,
# adds up, reports and lets callbacks act.

#' Train a model
#'
#' Trains a model for a number of epochs: in each, all samples are seen once, in batches, and each batch moves the weights one step.
#'
#' @details
#' Data are arrays whose first axis is the samples: a single one, a list in the order of the inputs (outputs), or a list named by them. Factors count from 0;
#' the model remembers their levels, so that later ones, also those for validation and [evaluate()], are matched with them by name.
#' Data frames become matrices. The data are converted once, not in every epoch.
#'
#' `validation_split` sets the *last* part of the samples aside, before any shuffling; shuffling and `class_weight` concern the rest. `validation_data` has precedence.
#'
#' Reported are means over the samples of the epoch, taken while the weights move; the loss includes the penalties of regularizers. Values of validation are taken
#' at the end of the epoch.
#'
#' Ctrl-C stops before the next step: the weights, the optimizer and the counters are those after the last step that was finished, and the
#' history has the epochs so far. A step whose loss is not finite is not done; it ends the training with an error.
#'
#' With the same seed ([set.seed()]), set before the layers are made, a training gives the same bits, whatever the number of threads. A seed that is set between the making of
#' the model and `fit()` repeats the order of the samples alone: initial weights and dropout follow from a key that a layer draws when it is made. A compiled model that is saved
#' with [saveRDS()] goes on where it was: optimizer and dropout are part of it; the random order of samples is R's `.Random.seed`.
#'
#' @param object A compiled model.
#' @param x The inputs.
#' @param y The truth for the outputs.
#' @param ... `threads`, how many threads the engine uses.
#' @param batch_size The number of samples of a step; `NULL` means 32. The last batch of an epoch may be smaller.
#' @param epochs The number of the last epoch.
#' @param callbacks A list of [callbacks].
#' @param validation_split The part of the samples that is for validation, from 0 to 1.
#' @param validation_data A list of `x`, `y` and maybe `sample_weight`.
#' @param shuffle Whether each epoch sees the samples in another order.
#' @param class_weight A list of numbers named by the classes, `list("0" = 1, "1" = 5)`, or by the levels of a factor `y`, by which the losses
#'   of their samples are multiplied.
#' @param sample_weight Numbers by which the losses of samples are multiplied: one for each sample, or an array with one for each position of the output; for several outputs
#'   a list.
#' @param initial_epoch The number of the first epoch, for a training that goes on.
#' @param steps_per_epoch How many batches are an epoch; `NULL` means all. The next epoch goes on where this one stopped.
#' @param validation_steps How many batches are used for validation; `NULL` means all.
#' @param validation_batch_size The batch size for validation; `NULL` means `batch_size`.
#' @param validation_freq Validate every so many epochs, or in the epochs of a vector.
#' @param verbose 0 for silence, 1 for a progress bar, 2 for one line per epoch; "auto" is a bar on a terminal, else a line.
#' @param view_metrics Accepted for compatibility; there is no live viewer.
#' @return The history, invisibly; see [keras_training_history].
#' @section Errors:
#' `attentive_error_state` where the model is not compiled; `attentive_error_shape` where the data do not fit the model or each other; `attentive_error_argument` for
#' missing values and labels outside of the classes, with their rows; `attentive_error_loss` where the loss is no longer finite, with the rows that make it so (the
#' condition has `history`, `epoch`, `step` and `rows`); `attentive_error_callback` where a callback fails.
#' @section Differences from Keras:
#' Unfreezing or freezing weights takes effect at the next call, without compiling again. A loss that is not finite is an error, and the step that brought it is not done.
#' @family training
#' @examples
#' set.seed(1)
#' input <- keras_input(c(6, 4))
#' output <- layer_multi_head_attention(input, num_heads = 2, key_dim = 2) |>
#'   layer_global_average_pooling_1d() |>
#'   layer_dense(2, activation = "softmax")
#' model <- keras_model(input, output)
#' compile(model, optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = "accuracy")
#' x <- array(rnorm(64 * 6 * 4), c(64, 6, 4))
#' y <- as.integer(rowMeans(x[, , 1]) > 0)
#' history <- fit(model, x, y, epochs = 3, validation_split = 0.25, verbose = 2)
#' history
#' @export
fit.attentive_model <- function(object, x = NULL, y = NULL, ..., batch_size = NULL, epochs = 1L, callbacks = NULL, validation_split = 0,
                                validation_data = NULL, shuffle = TRUE, class_weight = NULL, sample_weight = NULL, initial_epoch = 1L,
                                steps_per_epoch = NULL, validation_steps = NULL, validation_batch_size = NULL, validation_freq = 1L,
                                verbose = getOption("keras.verbose", default = "auto"),
                                view_metrics = getOption("keras.view_metrics", default = "auto")) {
  call <- environment()
  self <- layer_self(object)
  threads <- training_threads(list(...), "`fit()`", fit.attentive_model, call)
  check_compiled(self, "fit()", call)
  verbose <- check_verbose(verbose, call)
  callbacks <- as_callbacks(callbacks, call)

  data <- training_data(self, x, y, sample_weight, class_weight, call)
  rows <- if (is.null(validation_data)) split_rows(data$samples, validation_split, call) else list(train = seq_len(data$samples))
  batch_size <- check_batch_size(batch_size, call)
  steps <- check_whole(steps_per_epoch, "steps_per_epoch", null = TRUE, call = call)
  run <- new_run(self, threads, verbose, callbacks, call)
  run$first_epoch <- check_whole(initial_epoch, "initial_epoch", call = call)
  run$epochs <- check_whole(epochs, "epochs", min = 0L, call = call)
  run$batch_size <- batch_size
  run$shuffle <- check_flag(shuffle, "shuffle", call = call)
  run$rows <- rows$train
  run$steps <- if (is.null(steps)) as.integer(ceiling(length(rows$train) / batch_size)) else steps
  run$goes_on <- !is.null(steps)
  run$dataset <- new_dataset(self, data$arrays, threads)
  run$data <- data
  run$trainer <- model_trainer(self, data, TRUE, call)
  # weights of classes are for training only
  if (is.null(class_weight) || length(rows$validate) == 0L) {
    run$validation <- new_validation(self, data, rows$validate, run$dataset, validation_data, threads, call)
  } else {
    plain <- training_data(self, x, y, sample_weight, NULL, call)
    run$validation <- new_validation(self, plain, rows$validate, new_dataset(self, plain$arrays, threads), NULL, threads, call)
  }
  if (!is.null(run$validation)) {
    size <- if (is.null(validation_batch_size)) batch_size else check_whole(validation_batch_size, "validation_batch_size", call = call)
    limit_evaluation(run$validation, size, validation_steps, "validation_steps", call)
    run$validated <- check_wholes(validation_freq, "validation_freq", call = call)
  }
  describe_run(run)
  self$compiled$classes <- data$classes
  train(run)
  invisible(run$history)
}

#' @export
fit.attentive_layer <- function(object, ...) abort_no_model(object, "trained", environment())

training_threads <- function(dots, what, fun, call) {
  check_dots_names(dots, "threads", what, call, formals = setdiff(names(formals(fun)), c("object", "...")))
  call_threads(dots, call)
}

check_batch_size <- function(batch_size, call = NULL) {
  batch_size <- check_whole(batch_size, "batch_size", null = TRUE, call = call)
  if (is.null(batch_size)) 32L else batch_size
}

# A run: what a training is while it goes on, and what callbacks see of it.
new_run <- function(self, threads, verbose = 0L, callbacks = list(), call = NULL) {
  run <- new.env(parent = emptyenv())
  run$self <- self
  run$optimizer <- self$compiled$optimizer
  run$threads <- threads
  run$verbose <- verbose
  run$listeners <- listeners_of(callbacks)
  run$logs <- structure(list(), names = character())
  run$call <- call
  run
}

# What is known of a run before it begins.
describe_run <- function(run) {
  measures <- run$trainer$measures
  validated <- if (!is.null(run$validation)) paste0("val_", measures$names)
  run$metric_names <- c(measures$names, validated)
  run$metric_grows <- stats::setNames(lapply(measures$data, metric_grows), measures$names)
  run$history <- new_history(list(verbose = run$verbose, epochs = run$epochs, steps = run$steps))
  run$progress <- new_progress(run$verbose, run$epochs, run$steps)
}

# All epochs. Whatever ends the training, on_train_end comes after it.
train <- function(run) {
  run$self$stop_training <- FALSE
  run$order <- integer()
  read_optimizer(run)
  on.exit({
    write_optimizer(run)
    progress_leave(run$progress)
  })
  notify(run, "on_train_begin")
  tryCatch(
    with_engine_errors({
      for (epoch in seq_len(max(0L, run$epochs - run$first_epoch + 1L)) + run$first_epoch - 1L) {
        train_epoch(run, epoch)
        if (run$self$stop_training) break
      }
      restore_averages(run$optimizer, run$trainer$variables[!vapply(run$trainer$slots, is.null, NA)])
    }, run$call),
    interrupt = function(condition) {
      progress_leave(run$progress)
      rlang::inform(sprintf("Training was interrupted in epoch %d, after step %d. The model keeps what it has learnt.", run$epoch, run$step))
    },
    attentive_error_loss = function(error) {
      if (!isTRUE(run$ends_on_nan)) rlang::cnd_signal(error)
      progress_leave(run$progress)
      rlang::inform(sprintf("The loss was not finite in epoch %d, step %d: the training ends.", error$epoch, error$step))
    }
  )
  notify(run, "on_train_end")
}

train_epoch <- function(run, epoch) {
  run$epoch <- epoch
  run$step <- 0L
  run$logs <- structure(list(), names = character())
  notify(run, "on_epoch_begin", epoch)
  progress_begin(run$progress, epoch)
  measures <- run$trainer$measures
  listens <- c(begin = length(run$listeners$on_train_batch_begin) > 0L, end = length(run$listeners$on_train_batch_end) > 0L)
  total <- numeric(measures$size)
  for (step in seq_len(run$steps)) {
    if (listens[[1L]]) notify(run, "on_train_batch_begin", step)
    rows <- next_rows(run)
    total <- total + train_step(run, rows, step)
    run$step <- step
    if (listens[[2L]]) {
      run$logs <- logs_of(measures, total)
      notify(run, "on_train_batch_end", step)
    }
    if (run$progress$bar) progress_step(run$progress, step, function() logs_of(measures, total))
    if (run$self$stop_training) break
  }
  run$logs <- logs_of(measures, total)
  if (!is.null(run$validation) && is_validated(run, epoch)) {
    values <- evaluate_run(run$validation, run)
    run$logs[paste0("val_", names(values))] <- values
  }
  notify(run, "on_epoch_end", epoch)
  run$history <- add_epoch(run$history, run$logs)
  progress_end(run$progress, run$logs)
}

is_validated <- function(run, epoch) {
  if (length(run$validated) == 1L) epoch %% run$validated == 0L else epoch %in% run$validated
}

# The rows of the next batch. A new round through the data begins when they are
# used up, and with each epoch unless the number of steps is given.
next_rows <- function(run) {
  if (length(run$order) == 0L || (run$step == 0L && !run$goes_on)) {
    run$order <- if (run$shuffle) run$rows[sample.int(length(run$rows))] else run$rows
    run$used <- 0L
  }
  last <- min(run$used + run$batch_size, length(run$order))
  rows <- run$order[seq.int(run$used + 1L, last)]
  run$used <- last
  if (last == length(run$order)) run$order <- integer()
  rows
}

# What only the engine can see, while it computes, as an error of the package.
with_engine_errors <- function(expr, call = NULL) {
  tryCatch(expr, `std::invalid_argument` = function(error) abort_attentive("argument", capitalized(conditionMessage(error)), call = call))
}

# One step. An interrupt can come while the engine computes, before it changes
# anything, but not between the update and the counters that belong to it.
train_step <- function(run, rows, step) {
  trainer <- run$trainer
  self <- run$self
  calls <- if (is.null(self$calls)) 0 else self$calls
  if (is.function(run$schedule)) run$rate <- rate_of_function(run$schedule, run$iterations)
  suspendInterrupts({
    result <- allowInterrupts(training_step(
      trainer$program, trainer$pointer, run$dataset, trainer$columns, rows, trainer$variables, trainer$slots, run$iterations + 1, run$rate, calls,
      run$threads
    ))
    if (result$updated) {
      run$iterations <- run$iterations + 1
      self$calls <- calls + 1
    }
  })
  if (!result$updated) abort_loss(run, rows, step, result$loss[[1L]] / result$loss[[2L]], run$rate)
  step_states(result)
}

# While steps follow each other, the run keeps the optimizer's numbers; whenever
# somebody else may look at them or set them, they are in the optimizer.
read_optimizer <- function(run) {
  run$iterations <- as.double(run$optimizer[["iterations"]])
  run$schedule <- run$optimizer[["config"]]$learning_rate
  if (!is.function(run$schedule)) run$rate <- as.double(run$optimizer[["learning_rate"]])
}

write_optimizer <- function(run) {
  if (is.null(run$iterations)) return(invisible())
  run$optimizer[["iterations"]][["value"]] <- pack_numbers(run$iterations, "float64")
}

abort_loss <- function(run, rows, step, value, rate) {
  cause <- find_cause(run, rows)
  abort_attentive("loss",
    sprintf("The loss became %s in epoch %d, step %d, %s. The step was not done.", format(value), run$epoch, step, cause$text),
    hint = c(
      cause$hint,
      if (is.null(cause$hint)) sprintf("A learning rate smaller than %s, or `clipnorm = 1` in the optimizer, often helps.", format(rate)),
      "`model$optimizer$iterations` tells how many steps were done."
    ), history = run$history, epoch = run$epoch, step = step, rows = cause$rows, call = run$call
  )
}

# Why the loss of these rows is not finite: list(rows, text, hint), the hint only where the learning rate is not to blame.
find_cause <- function(run, rows) {
  trainer <- run$trainer
  rows <- sort(rows)
  weights <- Filter(function(variable) !all(is.finite(variable_array(variable))), trainer$variables)
  if (length(weights) > 0L) {
    return(list(rows = rows, text = sprintf("as the weight \"%s\" was no longer finite before it", weights[[1L]][["path"]]),
      hint = "An earlier step made it so, or `set_weights()`: begin anew with a smaller learning rate, or with `clipnorm = 1` in the optimizer."))
  }
  largest <- if (model_program(run$self)$float64) Inf else 3.4028235e38 # of a single
  for (i in seq_along(run$data$arrays)) {
    wrong <- rows_with(run$data$arrays[[i]], rows, function(x) !(abs(x) < largest))
    if (length(wrong) > 0L) {
      return(list(rows = wrong, text = sprintf("as %s is not finite in %s", column_label(run, i), say_numbers(wrong)),
        hint = "Drop these rows, or replace their infinite values."))
    }
  }
  alone <- vapply(rows, function(row) {
    test_step(trainer$program, trainer$pointer, run$dataset, trainer$columns, row, 1L, trainer$variables, run$threads)$finite
  }, NA)
  if (all(alone) || !any(alone)) return(list(rows = rows, text = paste("with all of its rows,", sub("^rows? ", "", say_numbers(rows)))))
  list(rows = rows[!alone], text = sprintf("because of %s", say_numbers(rows[!alone])), hint = "The other rows of this step are fine: look for huge values in these.")
}

# Those of `rows` in which something is wrong.
rows_with <- function(x, rows, wrong) {
  x <- array(x, c(dim(x)[[1L]], length(x) / dim(x)[[1L]]))[rows, , drop = FALSE]
  rows[rowSums(wrong(x)) > 0]
}

column_label <- function(run, i) {
  columns <- run$data$columns
  if (i <= length(run$self$inputs)) return(input_label(run$self, i))
  arg <- if (i %in% columns$y) "y" else "sample_weight"
  if (length(run$self$outputs) == 1L) return(sprintf("`%s`", arg))
  sprintf("`%s` of the output \"%s\"", arg, output_names(run$self)[[match(i, columns[[arg]])]])
}

# Evaluation within a run ------------------------------------------------------------

# An evaluation: a data set, the rows of it, and a trainer without optimizer.
new_evaluation <- function(self, data, dataset, rows, threads, call = NULL) {
  evaluation <- new.env(parent = emptyenv())
  evaluation$dataset <- dataset
  evaluation$rows <- rows
  evaluation$trainer <- data$trainer
  evaluation$threads <- threads
  evaluation
}

new_validation <- function(self, data, rows, dataset, validation_data, threads, call = NULL) {
  if (!is.null(validation_data)) {
    data <- read_validation(self, validation_data, data$classes, call)
    dataset <- new_dataset(self, data$arrays, threads)
    rows <- seq_len(data$samples)
  }
  if (length(rows) == 0L) return(NULL)
  data$trainer <- model_trainer(self, data, FALSE, call)
  new_evaluation(self, data, dataset, rows, threads, call)
}

limit_evaluation <- function(evaluation, batch_size, steps, arg, call = NULL) {
  evaluation$batch_size <- batch_size
  steps <- check_whole(steps, arg, null = TRUE, call = call)
  if (!is.null(steps)) evaluation$rows <- utils::head(evaluation$rows, steps * batch_size)
}

# The values of an evaluation as a named list; in one call where no callback
# wants to know of batches.
evaluate_run <- function(evaluation, run) {
  trainer <- evaluation$trainer
  states <- function(rows) {
    step_states(with_engine_errors(test_step(
      trainer$program, trainer$pointer, evaluation$dataset, trainer$columns, rows, evaluation$batch_size, trainer$variables, evaluation$threads
    ), run$call))
  }
  logs <- run$logs
  run$logs <- structure(list(), names = character())
  notify(run, "on_test_begin")
  if (length(run$listeners$on_test_batch_begin) + length(run$listeners$on_test_batch_end) == 0L) {
    total <- states(evaluation$rows)
  } else {
    total <- 0
    steps <- ceiling(length(evaluation$rows) / evaluation$batch_size)
    for (step in seq_len(steps)) {
      notify(run, "on_test_batch_begin", step)
      total <- total + states(batch_rows(evaluation$rows, evaluation$batch_size, step))
      run$logs <- logs_of(trainer$measures, total)
      notify(run, "on_test_batch_end", step)
    }
  }
  values <- logs_of(trainer$measures, total)
  run$logs <- values
  notify(run, "on_test_end")
  run$logs <- logs
  values
}

batch_rows <- function(rows, batch_size, step) rows[seq.int((step - 1L) * batch_size + 1L, min(step * batch_size, length(rows)))]
