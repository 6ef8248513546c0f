# Callbacks that keep models, and that slow down or end a training that gets nowhere.

#' @rdname callbacks
#' @export
callback_model_checkpoint <- function(filepath, monitor = "val_loss", verbose = 0L, save_best_only = FALSE, save_weights_only = FALSE, mode = "auto",
                                      save_freq = "epoch", initial_value_threshold = NULL) {
  call <- environment()
  if (missing(filepath)) abort_missing("filepath", "the name of a file", call)
  new_callback("model_checkpoint", list(
    filepath = check_checkpoint_path(filepath, call), monitor = check_string(monitor, "monitor", call = call),
    verbose = check_verbosity(verbose, call), save_best_only = check_flag(save_best_only, "save_best_only", call = call),
    save_weights_only = check_flag(save_weights_only, "save_weights_only", call = call),
    mode = check_choice(mode, "mode", c("auto", "min", "max"), call = call),
    save_freq = if (identical(save_freq, "epoch")) save_freq else check_save_freq(save_freq, call),
    initial_value_threshold = check_number(initial_value_threshold, "initial_value_threshold", null = TRUE, call = call)
  ))
}

check_save_freq <- function(save_freq, call = NULL) {
  if (is.character(save_freq)) abort_argument(save_freq, "save_freq", "\"epoch\" or a number of batches", call = call)
  check_whole(save_freq, "save_freq", call = call)
}

check_checkpoint_path <- function(filepath, call = NULL) {
  filepath <- check_string(filepath, "filepath", call = call)
  ending <- tolower(sub("^.*\\.", "", basename(filepath)))
  if (ending == "rds") return(filepath)
  hint <- "Name it with the ending \".rds\": the model, or with `save_weights_only` its weights, are kept with `saveRDS()`."
  if (ending %in% c("keras", "h5", "hdf5")) {
    abort_attentive("not_yet", sprintf("Files of Keras, as \"%s\", cannot be written yet.", shorten(filepath)), hint = hint, arg = "filepath", call = call)
  }
  abort_argument(filepath, "filepath", "a file name that ends in \".rds\"", hint = hint, call = call)
}

callback_hooks.attentive_callback_model_checkpoint <- function(self) {
  c("on_train_begin", "on_epoch_begin", if (identical(self$save_freq, "epoch")) "on_epoch_end" else "on_train_batch_end")
}

callback_act.attentive_callback_model_checkpoint <- function(self, hook, run, at) {
  switch(hook,
    on_train_begin = {
      self$sign <- if (self$save_best_only) monitor_sign(self, run, "the model checkpoint") else 1
      # as in Keras, what was the best in an earlier training counts
      if (is.null(self$best)) self$best <- if (is.null(self$initial_value_threshold)) self$sign * Inf else self$initial_value_threshold
      self$batches <- 0L
    },
    on_epoch_begin = self$epoch <- at,
    on_epoch_end = save_checkpoint(self, run, list(epoch = at)),
    on_train_batch_end = {
      self$batches <- self$batches + 1L
      if (self$batches < self$save_freq) return(invisible())
      self$batches <- 0L
      save_checkpoint(self, run, list(epoch = self$epoch, batch = at))
    }
  )
}

save_checkpoint <- function(self, run, at) {
  say <- function(...) if (self$verbose) cat(sprintf("Epoch %d: %s.\n", at$epoch, sprintf(...)))
  if (self$save_best_only) {
    current <- run$logs[[self$monitor]]
    if (is.null(current)) return(invisible())
    if (!isTRUE(current * self$sign < self$best * self$sign)) {
      say("%s did not improve from %s", self$monitor, format(self$best))
      return(invisible())
    }
    say("%s improved from %s to %s", self$monitor, format(self$best), format(current))
    self$best <- current
  }
  path <- fill_path(self$filepath, c(at, run$logs))
  model <- new_shell(run$self)
  write_rds(if (self$save_weights_only) get_weights(model) else model, path)
  say("saved to %s", path)
}

# A file is there wholly or as it was.
write_rds <- function(object, path) {
  beside <- tempfile("checkpoint", dirname(path))
  on.exit(unlink(beside))
  saved <- tryCatch({
    suppressWarnings(saveRDS(object, beside))
    file.rename(beside, path)
  }, error = function(e) FALSE)
  if (!saved) abort_attentive("file", sprintf("The file \"%s\" cannot be written.", path))
}

# "{epoch:02d}-{val_loss:.2f}.rds" with numbers in place of the braces: a name and, after a colon, a format as Python has it.
fill_path <- function(path, values) {
  pattern <- "\\{([A-Za-z_][A-Za-z0-9_]*)(:[^{}]*)?\\}"
  places <- gregexpr(pattern, path)
  found <- regmatches(path, places)[[1L]]
  if (length(found) == 0L) return(path)
  filled <- vapply(found, function(field) {
    name <- sub(pattern, "\\1", field)
    spec <- sub("^:", "", sub(pattern, "\\2", field))
    value <- values[[name, exact = TRUE]]
    if (is.null(value)) {
      abort_attentive("name", sprintf("The path \"%s\" names \"%s\", which is no number of this training.", path, name),
        hint = paste0("Known are ", or_list(names(values)), ".")
      )
    }
    format_number(value, spec, path)
  }, "")
  regmatches(path, places) <- list(unname(filled))
  path
}

format_number <- function(value, spec, path) {
  if (!grepl("^[-+ 0]*[0-9]*([.][0-9]+)?[dfeEgG]?$", spec)) {
    abort_attentive("argument", sprintf("The path \"%s\" has a format that is not known: \"%s\".", path, spec),
      hint = "Such as `{epoch:02d}` or `{val_loss:.4f}`."
    )
  }
  if (grepl("[feEgG]$", spec)) return(sprintf(paste0("%", spec), as.double(value)))
  if (grepl("d$", spec)) return(sprintf(paste0("%", spec), as.integer(value)))
  sprintf(paste0("%", sub("[.].*$", "", spec), "s"), format(value, digits = if (grepl("[.]", spec)) as.integer(sub("^.*[.]", "", spec)) else 15L))
}

# Slower where nothing improves ----------------------------------------------------

#' @rdname callbacks
#' @export
callback_reduce_lr_on_plateau <- function(monitor = "val_loss", factor = 0.1, patience = 10L, verbose = 0L, mode = "auto", min_delta = 1e-4, cooldown = 0L,
                                          min_lr = 0, ...) {
  call <- environment()
  check_dots_names(list(...), character(), "`callback_reduce_lr_on_plateau()`", call)
  factor <- check_number(factor, "factor", 0, call = call)
  if (factor >= 1) abort_argument(factor, "factor", "a number smaller than 1", hint = "The learning rate is multiplied by it.", call = call)
  new_callback("reduce_lr_on_plateau", list(
    monitor = check_string(monitor, "monitor", call = call), factor = factor, patience = check_whole(patience, "patience", min = 0L, call = call),
    verbose = check_verbosity(verbose, call), mode = check_choice(mode, "mode", c("auto", "min", "max"), call = call),
    min_delta = check_number(min_delta, "min_delta", call = call), cooldown = check_whole(cooldown, "cooldown", min = 0L, call = call),
    min_lr = check_number(min_lr, "min_lr", 0, call = call)
  ))
}

callback_hooks.attentive_callback_reduce_lr_on_plateau <- function(self) c("on_train_begin", "on_epoch_end")

callback_act.attentive_callback_reduce_lr_on_plateau <- function(self, hook, run, at) {
  if (hook == "on_train_begin") {
    self$sign <- monitor_sign(self, run, "the reduction of the learning rate")
    self$best <- Inf
    self$wait <- self$resting <- 0L
    return(invisible())
  }
  rate <- as.double(run$optimizer[["learning_rate"]])
  run$logs$learning_rate <- rate
  current <- run$logs[[self$monitor]]
  if (is.null(current)) return(invisible())
  current <- current * self$sign # now less is better
  if (self$resting > 0L) {
    self$resting <- self$resting - 1L
    self$wait <- 0L
  }
  if (isTRUE(current < self$best - self$min_delta)) {
    self$best <- current
    self$wait <- 0L
  } else if (self$resting == 0L) {
    self$wait <- self$wait + 1L
    if (self$wait < self$patience || rate <= self$min_lr) return(invisible())
    set_rate(run$optimizer, max(rate * self$factor, self$min_lr), "the new learning rate")
    if (self$verbose) cat(sprintf("Epoch %d: the learning rate is reduced to %s.\n", at, format(as.double(run$optimizer[["learning_rate"]]))))
    self$resting <- self$cooldown
    self$wait <- 0L
  }
}

# An end without an error ------------------------------------------------------------

#' @rdname callbacks
#' @export
callback_terminate_on_nan <- function() new_callback("terminate_on_nan", list())

callback_hooks.attentive_callback_terminate_on_nan <- function(self) "on_train_begin"

# What is not finite is found before the step is done: see train().
callback_act.attentive_callback_terminate_on_nan <- function(self, hook, run, at) run$ends_on_nan <- TRUE
