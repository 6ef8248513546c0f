# Callbacks that save, slow down and end, against their rules in plain R; classes of callbacks.

x <- wave(c(12, 2))
y <- as.vector(x %*% c(2, -1))

small_model <- function() {
  model <- fill_weights(linear_model(2))
  compile(model, optimizer_sgd(0.1), "mse", metrics = "mae")
  model
}

# Acts as if a training had these values of a metric; gives what `see()` gives after each epoch.
play <- function(callback, losses, see, model = small_model(), metric = "loss") {
  run <- list2env(list(self = attentive:::layer_self(model), metric_names = metric, metric_grows = list(accuracy = TRUE)))
  run$optimizer <- run$self$compiled$optimizer
  act <- function(hook, at = NULL) if (hook %in% attentive:::callback_hooks(callback)) attentive:::callback_act(callback, hook, run, at)
  act("on_train_begin")
  lapply(seq_along(losses), function(epoch) {
    act("on_epoch_begin", epoch)
    run$logs <- stats::setNames(list(losses[[epoch]]), metric)
    act("on_epoch_end", epoch)
    see(run)
  })
}

test_that("the learning rate is reduced as the rules say", {
  # the rule, in its own words
  plateau <- function(values, factor, patience, min_delta, cooldown, min_lr, sign = 1, rate = 0.1) {
    best <- sign * Inf
    wait <- resting <- 0
    vapply(values, function(value) {
      if (resting > 0) {
        resting <<- resting - 1
        wait <<- 0
      }
      better <- if (sign > 0) value < best - min_delta else value > best + min_delta
      if (better) {
        best <<- value
        wait <<- 0
      } else if (!(resting > 0)) {
        wait <<- wait + 1
        if (wait >= patience && rate > min_lr) {
          rate <<- max(rate * factor, min_lr)
          resting <<- cooldown
          wait <<- 0
        }
      }
      rate
    }, 0)
  }
  set.seed(5)
  for (i in 1:25) {
    growing <- i %% 3 == 0
    values <- round(cumsum(rnorm(30, -0.02, 0.1)), 2)
    o <- list(factor = runif(1, 0.1, 0.9), patience = sample(0:4, 1), min_delta = sample(c(0, 0.05), 1), cooldown = sample(0:3, 1), min_lr = sample(c(0, 0.01), 1))
    metric <- if (growing) "accuracy" else "loss"
    callback <- do.call(callback_reduce_lr_on_plateau, c(list(metric), o))
    rates <- unlist(play(callback, values, function(run) as.double(run$optimizer$learning_rate), metric = metric))
    expect_close(rates, do.call(plateau, c(list(values), o, list(sign = if (growing) -1 else 1))), 1e-6)
  }
})

test_that("models are saved as the rules say", {
  folder <- withr::local_tempdir()
  values <- c(3, 2, 2.5, 1, 1, 0.5)
  path <- file.path(folder, "{epoch:02d}-{loss:.2f}.rds")
  play(callback_model_checkpoint(path, "loss"), values, identity)
  expect_identical(list.files(folder), sprintf("%02d-%.2f.rds", 1:6, values))
  expect_s3_class(readRDS(file.path(folder, "01-3.00.rds")), "attentive_model")
  unlink(list.files(folder, full.names = TRUE))
  play(callback_model_checkpoint(path, "loss", save_best_only = TRUE, save_weights_only = TRUE), values, identity)
  expect_identical(list.files(folder), c("01-3.00.rds", "02-2.00.rds", "04-1.00.rds", "06-0.50.rds"))
  expect_identical(readRDS(file.path(folder, "04-1.00.rds")), get_weights(small_model()))
  unlink(list.files(folder, full.names = TRUE))
  play(callback_model_checkpoint(path, "loss", save_best_only = TRUE, initial_value_threshold = 1.5), values, identity)
  expect_identical(list.files(folder), c("04-1.00.rds", "06-0.50.rds"))
  unlink(list.files(folder, full.names = TRUE))
  play(callback_model_checkpoint(path, "loss", save_best_only = TRUE, mode = "max"), values, identity)
  expect_identical(list.files(folder), "01-3.00.rds")
  unlink(list.files(folder, full.names = TRUE))
  # every third batch, counted through the epochs
  model <- small_model()
  callback <- callback_model_checkpoint(file.path(folder, "{epoch}_{batch}.rds"), save_freq = 5)
  fit(model, x, y, batch_size = 4, epochs = 4, verbose = 0, callbacks = callback)
  expect_identical(list.files(folder), c("2_2.rds", "4_1.rds"))
})

test_that("a saved model goes on where it was", {
  file <- withr::local_tempfile(fileext = ".rds")
  model <- small_model()
  fit(model, x, y, epochs = 2, verbose = 0, shuffle = FALSE, callbacks = list(callback_model_checkpoint(file)))
  again <- readRDS(file)
  expect_identical(
    fit(again, x, y, epochs = 2, verbose = 0, shuffle = FALSE)$metrics, fit(model, x, y, epochs = 2, verbose = 0, shuffle = FALSE)$metrics
  )
})

test_that("a training ends without an error when the loss is not finite", {
  model <- small_model()
  model$optimizer$learning_rate <- 1e30
  expect_error(fit(model, x, y, epochs = 50, verbose = 0), class = "attentive_error_loss")
  model <- small_model()
  model$optimizer$learning_rate <- 1e30
  ended <- FALSE
  suppressMessages(history <- fit(model, x, y, epochs = 50, batch_size = 4, verbose = 0,
    callbacks = list(callback_terminate_on_nan(), callback_lambda(on_train_end = function(logs) ended <<- TRUE))))
  expect_true(ended)
  expect_lt(length(history$metrics$loss), 50)
})

test_that("classes of callbacks hear of what happens, know the model, and inherit", {
  callback_log <- Callback("Log",
    initialize = function(stop_at = 100) {
      self$stop_at <- stop_at
      self$seen <- character()
    },
    note = function(...) self$seen <- c(self$seen, paste(...)),
    on_train_begin = function(logs) self$note("begin", self$params$epochs, self$params$steps),
    on_epoch_begin = function(epoch, logs) self$note("epoch", epoch),
    on_batch_end = function(batch, logs) self$note("batch", batch, names(logs)[[1]]),
    on_epoch_end = function(epoch, logs) if (epoch >= self$stop_at) self$model$stop_training <- TRUE,
    on_train_end = function() self$note("end", length(get_weights(self$model)))
  )
  expect_identical(names(formals(callback_log)), "stop_at")
  seen <- NULL
  callback_child <- Callback("Child", inherit = callback_log, on_train_end = function(logs) {
    super$on_train_end()
    seen <<- self$seen
  })
  fit(small_model(), x, y, batch_size = 6, epochs = 5, verbose = 0, callbacks = list(callback_child(stop_at = 2)))
  expect_identical(seen, c("begin 5 2", "epoch 1", "batch 1 loss", "batch 2 loss", "epoch 2", "batch 1 loss", "batch 2 loss", "end 2"))
  expect_output(print(callback_child()), "Child")
  failing <- Callback("Failing", on_epoch_end = function(epoch, logs) stop("no more"))
  error <- expect_error(fit(small_model(), x, y, verbose = 0, callbacks = list(failing())), class = "attentive_error_callback")
  expect_match(conditionMessage(error), "Failing")
  expect_match(conditionMessage(error$parent), "no more")
})

test_that("what cannot be is said", {
  cases <- list(
    not_yet = list(quote(callback_model_checkpoint("model.keras")), ".rds"),
    not_yet = list(quote(callback_model_checkpoint("model.weights.h5", save_weights_only = TRUE)), ".rds"),
    argument = list(quote(callback_model_checkpoint("model")), "ends in"),
    argument = list(quote(callback_model_checkpoint()), "filepath"),
    argument = list(quote(callback_model_checkpoint("a.rds", save_freq = "batch")), "save_freq"),
    argument = list(quote(callback_reduce_lr_on_plateau(factor = 1)), "factor"),
    name = list(quote(callback_reduce_lr_on_plateau(epsilon = 1)), "epsilon"),
    argument = list(quote(Callback("A", on_epoch_end = 1)), "on_epoch_end"),
    argument = list(quote(Callback("A", inherit = callback_early_stopping)), "inherit"),
    callback = list(quote(fit(small_model(), x, y, verbose = 0, callbacks = callback_model_checkpoint(file.path(tempdir(), "{nothing}.rds")))), "model_checkpoint"),
    callback = list(quote(fit(small_model(), x, y, verbose = 0, callbacks = callback_model_checkpoint("/no/such/folder/a.rds"))), "model_checkpoint")
  )
  for (case in seq_along(cases)) {
    expect_error(eval(cases[[case]][[1]]), cases[[case]][[2]], fixed = TRUE, class = paste0("attentive_error_", names(cases)[[case]]))
  }
})
