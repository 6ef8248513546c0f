# Callbacks: what happens between the steps of training. A callback is an
# environment that holds data (settings, and what it remembers of a run); what
# it does is an S3 method on its class:
#   callback_hooks(self)              the hooks that it wants to hear of
#   callback_act(self, hook, run, at) acts; `at` is the number of the epoch or
#       batch, from 1; the numbers so far are in run$logs, which it may change
# `run` is the run of training, an environment: see fit.R.
callback_hooks <- function(self) UseMethod("callback_hooks")
callback_act <- function(self, hook, run, at) UseMethod("callback_act")

new_callback <- function(kind, settings) {
  self <- list2env(settings, parent = emptyenv())
  class(self) <- c(paste0("attentive_callback_", kind), "attentive_callback")
  self
}

#' Callbacks
#'
#' Callbacks act at the beginning and the end of epochs and batches: they stop the training, change the learning rate, write a log, or call functions of your
#' own. Give a list of them to [fit()][fit.attentive_model].
#'
#' @details
#' `callback_early_stopping()` stops when `monitor` has not improved for `patience` epochs; with `restore_best_weights` the model then gets the weights of the
#' best epoch.
#'
#' `callback_learning_rate_scheduler()` sets the learning rate at the beginning of each epoch to `schedule(epoch, lr)`, or `schedule(epoch)`; *here the first
#' epoch is 0*, as in keras3. The learning rate joins the history as `learning_rate`.
#'
#' `callback_csv_logger()` writes a line per epoch: `epoch` (from 0, as Keras writes it), then all metrics in alphabetical order.
#'
#' `callback_model_checkpoint()` saves the model after every epoch, or after every `save_freq` batches, with [saveRDS()]; with `save_best_only` only when `monitor` is better than
#' ever before, and with `save_weights_only` the list that [get_weights()] gives. `filepath` ends in ".rds" and may have numbers in it: `"{epoch:02d}-{val_loss:.2f}.rds"`.
#'
#' `callback_reduce_lr_on_plateau()` multiplies the learning rate by `factor` when `monitor` has not improved by more than `min_delta` for `patience` epochs; then it waits `cooldown`
#' epochs before it counts again. The learning rate joins the history as `learning_rate`.
#'
#' `callback_terminate_on_nan()` ends the training without an error when the loss is no longer finite; the model keeps what it had learnt before that step.
#'
#' `callback_lambda()` calls functions: `on_epoch_begin(epoch, logs)`, `on_train_batch_end(batch, logs)`, `on_train_end(logs)` and so on, with numbers from 1
#' and with `logs`, a named list of the metrics so far. A function that takes fewer arguments gets fewer. Besides the hooks for training there
#' are `on_test_begin`, `on_test_end`, `on_test_batch_begin`, `on_test_batch_end` for validation and [evaluate()], and the same with `predict`.
#' `model$stop_training <- TRUE` in a function ends the training after the batch.
#'
#' Callbacks act in the order of the list, so that a logger sees what a scheduler before it has added.
#'
#' @param monitor The metric to watch, as it is called in the history.
#' @param min_delta How much counts as an improvement.
#' @param patience After how many epochs without an improvement to stop.
#' @param verbose 1 for a line whenever the callback acts, 0 for none.
#' @param mode "min" where less is better, "max" where more is; "auto" knows it of losses and the metrics of this package.
#' @param baseline A value that must be reached, or `NULL`.
#' @param restore_best_weights Whether the model gets the weights of the best epoch at the end.
#' @param start_from_epoch How many epochs to wait before watching.
#' @param schedule A function of epoch (from 0) and learning rate that gives the new learning rate.
#' @param filename A file.
#' @param separator What stands between columns.
#' @param append Whether to go on with a file that is there.
#' @param on_epoch_begin,on_epoch_end,on_train_begin,on_train_end,on_train_batch_begin,on_train_batch_end Functions, or `NULL`.
#' @param ... `callback_lambda()`: more hooks, by name; else nothing.
#' @param filepath The name of a file.
#' @param save_best_only Whether to save only what is the best so far.
#' @param save_weights_only Whether to save the weights alone.
#' @param save_freq "epoch", or a number of batches.
#' @param initial_value_threshold A value that must be improved on, or `NULL`.
#' @param factor What the learning rate is multiplied by, less than 1.
#' @param cooldown For how many epochs to rest after a reduction.
#' @param min_lr The least learning rate.
#' @return A callback.
#' @section Errors:
#' `attentive_error_not_yet` for a `filepath` that ends in ".keras" or ".h5". An error in a callback ends the training; the error has the class
#' `attentive_error_callback` and the original one as its parent. The model keeps what it has learnt.
#' @section Differences from Keras:
#' `min_delta` is not truncated to a whole number. A `monitor` that does not exist is reported before the training begins.
#' @source Early stopping: L. Prechelt (1998), Early Stopping - But When? \doi{10.1007/3-540-49430-8_3}
#' @family training
#' @examples
#' callback_early_stopping(patience = 3, restore_best_weights = TRUE)
#' callback_learning_rate_scheduler(function(epoch, lr) if (epoch < 10) lr else lr * 0.9)
#' callback_lambda(on_epoch_end = function(epoch, logs) cat(epoch, logs$loss, "\n"))
#' @name callbacks
NULL

# Early stopping -----------------------------------------------------------------

#' @rdname callbacks
#' @export
callback_early_stopping <- function(monitor = "val_loss", min_delta = 0L, patience = 0L, verbose = 0L, mode = "auto", baseline = NULL,
                                    restore_best_weights = FALSE, start_from_epoch = 0L) {
  call <- environment()
  new_callback("early_stopping", list(
    monitor = check_string(monitor, "monitor", call = call), min_delta = abs(check_number(min_delta, "min_delta", call = call)),
    patience = check_whole(patience, "patience", min = 0L, call = call), verbose = check_verbosity(verbose, call),
    mode = check_choice(mode, "mode", c("auto", "min", "max"), call = call), baseline = check_number(baseline, "baseline", null = TRUE, call = call),
    restore_best_weights = check_flag(restore_best_weights, "restore_best_weights", call = call),
    start_from_epoch = check_whole(start_from_epoch, "start_from_epoch", min = 0L, call = call)
  ))
}

check_verbosity <- function(verbose, call = NULL) {
  if (is.logical(verbose)) return(check_flag(verbose, "verbose", call = call))
  check_whole(verbose, "verbose", min = 0L, call = call) > 0L
}

callback_hooks.attentive_callback_early_stopping <- function(self) c("on_train_begin", "on_epoch_end", "on_train_end")

callback_act.attentive_callback_early_stopping <- function(self, hook, run, at) {
  switch(hook,
    on_train_begin = {
      self$sign <- monitor_sign(self, run)
      self$wait <- self$best_epoch <- self$stopped_epoch <- 0L
      self$best <- self$best_weights <- NULL
    },
    on_epoch_end = watch_monitor(self, run, at),
    on_train_end = {
      if (self$stopped_epoch > 0L && self$verbose) cat(sprintf("Epoch %d: early stopping\n", self$stopped_epoch))
      if (!is.null(self$best_weights)) {
        if (self$verbose) cat(sprintf("The weights of epoch %d, the best one, are restored.\n", self$best_epoch))
        restore_numbers(self$best_weights)
      }
      self$best_weights <- NULL
    }
  )
}

watch_monitor <- function(self, run, epoch) {
  current <- run$logs[[self$monitor]]
  if (is.null(current) || epoch <= self$start_from_epoch) return(invisible())
  current <- current * self$sign # now less is better
  if (self$restore_best_weights && is.null(self$best_weights)) keep_best(self, run, epoch)
  self$wait <- self$wait + 1L
  improves_on <- function(reference) is.null(reference) || isTRUE(current + self$min_delta < reference)
  if (improves_on(self$best)) {
    self$best <- current
    keep_best(self, run, epoch)
    if (improves_on(if (!is.null(self$baseline)) self$baseline * self$sign)) self$wait <- 0L
  } else if (self$wait >= self$patience && epoch > 1L) {
    self$stopped_epoch <- epoch
    run$self$stop_training <- TRUE
  }
}

keep_best <- function(self, run, epoch) {
  self$best_epoch <- epoch
  if (self$restore_best_weights) self$best_weights <- current_numbers(model_weights(run$self))
}

# The numbers of variables, without copying: the engine copies before it writes
# to what somebody else holds.
current_numbers <- function(variables) lapply(variables, function(variable) list(variable = variable, value = variable[["value"]]))
restore_numbers <- function(numbers) for (one in numbers) one$variable[["value"]] <- one$value

# 1 where less of the monitored metric is better, -1 where more is. Warns where there is no such metric.
monitor_sign <- function(self, run, who = "early stopping") {
  if (!self$monitor %in% run$metric_names) {
    rlang::warn(c(
      sprintf("The metric \"%s\", which %s is to watch, will not be there.", self$monitor, who),
      i = paste0("Metrics of this training: ", or_list(run$metric_names), "."),
      if (startsWith(self$monitor, "val_") && !any(startsWith(run$metric_names, "val_"))) {
        c(i = "Metrics that begin with \"val_\" need `validation_data` or `validation_split`.")
      }
    ), class = "attentive_warning_monitor")
    return(1)
  }
  if (self$mode != "auto") return(if (self$mode == "min") 1 else -1)
  if (isTRUE(run$metric_grows[[sub("^val_", "", self$monitor)]])) -1 else 1
}

# Learning rate ------------------------------------------------------------------

#' @rdname callbacks
#' @export
callback_learning_rate_scheduler <- function(schedule, verbose = 0L) {
  call <- environment()
  if (missing(schedule) || !is.function(schedule)) {
    abort_argument(if (missing(schedule)) NULL else schedule, "schedule", "a function of epoch and learning rate", call = call)
  }
  new_callback("learning_rate_scheduler", list(schedule = schedule, verbose = check_verbosity(verbose, call)))
}

callback_hooks.attentive_callback_learning_rate_scheduler <- function(self) c("on_epoch_begin", "on_epoch_end")

callback_act.attentive_callback_learning_rate_scheduler <- function(self, hook, run, at) {
  if (hook == "on_epoch_end") {
    run$logs$learning_rate <- as.double(run$optimizer[["learning_rate"]])
    return(invisible())
  }
  rate <- call_with(self$schedule, list(at - 1L, as.double(run$optimizer[["learning_rate"]])))
  set_rate(run$optimizer, rate, "schedule(epoch, lr)")
  if (self$verbose) cat(sprintf("Epoch %d: the learning rate is %s.\n", at, format(rate)))
}

# fun(...) with as many of the arguments as it takes.
call_with <- function(fun, arguments) {
  takes <- names(formals(args(fun)))
  if (!"..." %in% takes) arguments <- arguments[seq_len(min(length(takes), length(arguments)))]
  do.call(fun, arguments, quote = TRUE)
}

# Log file -----------------------------------------------------------------------

#' @rdname callbacks
#' @export
callback_csv_logger <- function(filename, separator = ",", append = FALSE) {
  call <- environment()
  if (missing(filename)) abort_missing("filename", "the name of a file", call)
  new_callback("csv_logger", list(
    filename = check_string(filename, "filename", call = call), separator = check_string(separator, "separator", call = call),
    append = check_flag(append, "append", call = call)
  ))
}

callback_hooks.attentive_callback_csv_logger <- function(self) c("on_train_begin", "on_epoch_end")

callback_act.attentive_callback_csv_logger <- function(self, hook, run, at) {
  if (hook == "on_train_begin") {
    self$keys <- NULL
    self$continues <- self$append && isTRUE(file.size(self$filename) > 0)
    if (!self$continues && !file.create(self$filename, showWarnings = FALSE)) {
      abort_attentive("file", sprintf("The log \"%s\" cannot be written.", self$filename))
    }
    return(invisible())
  }
  line <- function(fields) cat(paste(fields, collapse = self$separator), "\n", sep = "", file = self$filename, append = TRUE)
  if (is.null(self$keys)) {
    # metrics of the validation, too, which may come in later epochs only
    self$keys <- sorted(union(names(run$logs), run$metric_names))
    if (!self$continues) line(c("epoch", self$keys))
  }
  values <- vapply(self$keys, function(key) if (is.null(run$logs[[key]])) "NA" else sprintf("%.15g", run$logs[[key]]), "")
  line(c(at - 1L, values))
}

# In the order of code points, whatever the locale.
sorted <- function(x) sort(x, method = "radix")

# Functions of one's own ---------------------------------------------------------

training_hooks <- c(
  "on_epoch_begin", "on_epoch_end",
  paste0("on_", rep(c("train", "test", "predict"), each = 4L), c("_begin", "_end", "_batch_begin", "_batch_end"))
)

#' @rdname callbacks
#' @export
callback_lambda <- function(on_epoch_begin = NULL, on_epoch_end = NULL, on_train_begin = NULL, on_train_end = NULL,
                            on_train_batch_begin = NULL, on_train_batch_end = NULL, ...) {
  call <- environment()
  check_dots_names(list(...), training_hooks, "`callback_lambda()`", call)
  hooks <- c(list(
    on_epoch_begin = on_epoch_begin, on_epoch_end = on_epoch_end, on_train_begin = on_train_begin, on_train_end = on_train_end,
    on_train_batch_begin = on_train_batch_begin, on_train_batch_end = on_train_batch_end
  ), list(...))
  hooks <- hooks[!vapply(hooks, is.null, NA)]
  for (hook in names(hooks)) if (!is.function(hooks[[hook]])) abort_argument(hooks[[hook]], hook, "a function or NULL", call = call)
  new_callback("lambda", list(functions = hooks))
}

callback_hooks.attentive_callback_lambda <- function(self) names(self$functions)

callback_act.attentive_callback_lambda <- function(self, hook, run, at) {
  call_with(self$functions[[hook]], c(if (!is.null(at)) list(at), list(run$logs)))
}

# The list of callbacks ------------------------------------------------------------

as_callbacks <- function(callbacks, call = NULL) {
  if (is.null(callbacks)) return(list())
  if (inherits(callbacks, "attentive_callback")) callbacks <- list(callbacks)
  if (is.list(callbacks) && !is.object(callbacks) && all(vapply(callbacks, inherits, NA, "attentive_callback"))) return(unname(callbacks))
  wrong <- if (is.list(callbacks) && !is.object(callbacks)) Find(function(one) !inherits(one, "attentive_callback"), callbacks) else callbacks
  abort_argument(wrong, "callbacks", "a list of callbacks", hint = "For a function of your own: `callback_lambda(on_epoch_end = function(epoch, logs) ...)`.", call = call)
}

# For each hook the callbacks that listen to it.
listeners_of <- function(callbacks) {
  wanted <- lapply(callbacks, function(callback) callback_hooks(callback))
  lapply(stats::setNames(nm = training_hooks), function(hook) callbacks[vapply(wanted, function(hooks) hook %in% hooks, NA)])
}

notify <- function(run, hook, at = NULL) {
  listeners <- run$listeners[[hook]]
  if (length(listeners) == 0L) return(invisible())
  write_optimizer(run)
  for (callback in listeners) {
    rlang::try_fetch(callback_act(callback, hook, run, at), error = function(error) {
      abort_attentive("callback", sprintf("The callback `%s` failed in `%s`.", callback_name(callback), hook), parent = error, call = run$call)
    })
  }
  if (!is.null(run$iterations)) read_optimizer(run)
}

callback_name <- function(callback) if (is.null(callback$class_name)) sub("^attentive_", "", class(callback)[[1L]]) else callback$class_name

#' @export
format.attentive_callback <- function(x, ...) {
  if (!is.null(x$class_name)) return(sprintf("callback of the class %s", x$class_name))
  settings <- as.list.environment(x)[names(formals(get(callback_name(x), envir = topenv())))]
  settings <- Filter(function(value) !is.null(value) && !is.function(value), settings)
  shown <- vapply(settings, function(value) if (is.character(value)) encodeString(value, quote = "\"") else format(value), "")
  sprintf("%s(%s)", callback_name(x), paste(names(shown), shown, sep = " = ", collapse = ", "))
}

#' @export
print.attentive_callback <- function(x, ...) {
  cat("<", format(x), ">\n", sep = "")
  invisible(x)
}
