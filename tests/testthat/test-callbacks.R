# Callbacks: their order, what they see, and what they do.

x <- wave(c(12, 2))
y <- as.vector(x %*% c(2, -1))

callback_model <- function(optimizer = optimizer_sgd(0.1), ...) {
  model <- fill_weights(linear_model(2))
  compile(model, optimizer, "mse", ...)
  model
}

train_with <- function(model, callbacks, epochs = 3, ...) {
  fit(model, x, y, batch_size = 4, epochs = epochs, shuffle = FALSE, verbose = 0, callbacks = callbacks, ...)
}

test_that("all hooks are called in order, with numbers from 1", {
  seen <- c()
  note <- function(hook) force(hook)
  with_number <- function(hook) function(at, logs) seen <<- c(seen, paste(hook, at))
  without <- function(hook) function(logs) seen <<- c(seen, hook)
  all <- callback_lambda(
    on_epoch_begin = with_number("epoch begin"), on_epoch_end = with_number("epoch end"), on_train_begin = without("train begin"),
    on_train_end = without("train end"), on_train_batch_begin = with_number("batch begin"), on_train_batch_end = with_number("batch end"),
    on_test_begin = without("test begin"), on_test_end = without("test end"), on_test_batch_begin = with_number("test batch begin"),
    on_test_batch_end = with_number("test batch end"), on_predict_begin = without("predict begin"), on_predict_end = without("predict end"),
    on_predict_batch_begin = with_number("predict batch begin"), on_predict_batch_end = with_number("predict batch end")
  )
  model <- callback_model()
  train_with(model, all, epochs = 1, validation_split = 0.5)
  batches <- function(what, n) as.vector(rbind(paste(what, "begin", seq_len(n)), paste(what, "end", seq_len(n))))
  testing <- function(n) c("test begin", batches("test batch", n), "test end")
  expect_identical(seen, c("train begin", "epoch begin 1", batches("batch", 2), testing(2), "epoch end 1", "train end"))
  seen <- c()
  evaluate(model, x, y, batch_size = 5, callbacks = list(all))
  expect_identical(seen, testing(3))
  seen <- c()
  predict(model, x, batch_size = 6, callbacks = list(all))
  expect_identical(seen, c("predict begin", batches("predict batch", 2), "predict end"))
})

test_that("hooks see the numbers so far and take as many arguments as they want", {
  model <- callback_model(metrics = "mae")
  losses <- epochs <- c()
  logs_at_end <- NULL
  history <- train_with(model, list(callback_lambda(
    on_epoch_end = function(epoch, logs) {
      losses <<- c(losses, logs$loss)
      logs_at_end <<- logs
    },
    on_epoch_begin = function(epoch) epochs <<- c(epochs, epoch),
    on_train_end = function() epochs <<- c(epochs, 0)
  )))
  expect_identical(losses, history$metrics$loss)
  expect_identical(epochs, c(1, 2, 3, 0))
  expect_identical(names(logs_at_end), c("loss", "mae"))
  # the last batch of an epoch has seen what the epoch reports
  last <- NULL
  history <- train_with(model, callback_lambda(on_train_batch_end = function(batch, logs) last <<- logs), epochs = 1)
  expect_identical(last$loss, history$metrics$loss)
})

test_that("measuring by batches changes no number", {
  model <- callback_model(metrics = "mae")
  quiet <- callback_lambda(on_test_batch_end = function(...) NULL)
  expect_equal(evaluate(model, x, y, batch_size = 5, callbacks = quiet), evaluate(model, x, y, batch_size = 5), tolerance = 1e-14)
  expect_identical(predict(model, x, callbacks = callback_lambda(on_predict_batch_end = function(...) NULL)), predict(model, x))
})

test_that("early stopping waits, keeps the best weights and restores them", {
  # a rate that grows makes the loss fall, then rise
  schedule <- callback_learning_rate_scheduler(function(epoch, lr) if (epoch < 3) 0.05 else 1.5)
  model <- callback_model()
  weights <- list()
  history <- train_with(model, list(
    schedule, callback_lambda(on_epoch_end = function(epoch, logs) weights[[epoch]] <<- get_weights(model)),
    callback_early_stopping("loss", patience = 2, restore_best_weights = TRUE)
  ), epochs = 20)
  losses <- history$metrics$loss
  best <- which.min(losses)
  expect_length(losses, best + 2)
  expect_identical(get_weights(model), weights[[best]])
  frame <- as.data.frame(history)
  expect_identical(nrow(frame), 40L)
  expect_identical(sum(is.na(frame$value)), 2L * (20L - length(losses)))
  # without restoring the last weights stay
  model <- callback_model()
  history <- train_with(model, list(schedule, callback_early_stopping("loss", patience = 2)), epochs = 20)
  expect_identical(get_weights(model), weights[[length(history$metrics$loss)]])
})

test_that("early stopping knows what is better, how much, from where and from when", {
  epochs_of <- function(values, ...) {
    self <- callback_early_stopping("value", ...)
    run <- list2env(list(self = new.env(), metric_names = "value", metric_grows = list(value = FALSE)))
    callback_act(self, "on_train_begin", run, NULL)
    for (i in seq_along(values)) {
      run$logs <- list(value = values[[i]])
      callback_act(self, "on_epoch_end", run, i)
      if (isTRUE(run$self$stop_training)) break
    }
    i
  }
  expect_identical(epochs_of(c(3, 2, 1, 1, 0)), 4L)
  expect_identical(epochs_of(c(3, 2, 1, 1, 0), patience = 2), 5L)
  expect_identical(epochs_of(c(3, 2, 1.95, 1, 0), min_delta = 0.1), 3L)
  expect_identical(epochs_of(c(3, 2, 1.95, 1, 0), min_delta = 0.01), 5L)
  expect_identical(epochs_of(c(1, 2, 3, 2.5), mode = "max"), 4L)
  expect_identical(epochs_of(c(1, 2, 3, 2.5), mode = "min"), 2L)
  expect_identical(epochs_of(c(1, 2, 3, 4), start_from_epoch = 2, patience = 0), 4L)
  # getting better, but never as good as the baseline
  expect_identical(epochs_of(c(9, 8, 7, 6, 9), baseline = 1, patience = 2), 5L)
  expect_identical(epochs_of(c(9, 8, 9, 6, 5), baseline = 1, patience = 2), 3L)
  model <- fill_weights(linear_model(2, 1, activation = "sigmoid"))
  compile(model, optimizer_sgd(0), "bce", metrics = "accuracy")
  history <- fit(model, x, as.numeric(y > 0), epochs = 5, verbose = 0, callbacks = callback_early_stopping("accuracy"))
  expect_length(history$metrics$loss, 2)
})

test_that("a metric that will not be there is said before the training", {
  expect_warning(train_with(callback_model(), callback_early_stopping()), "validation_split", class = "attentive_warning_monitor")
  expect_warning(train_with(callback_model(), callback_early_stopping("val_los"), validation_split = 0.5), "val_loss", class = "attentive_warning_monitor")
  expect_silent(train_with(callback_model(), callback_early_stopping(), validation_split = 0.5))
})

test_that("the scheduler sets the learning rate of every epoch, from epoch 0", {
  model <- callback_model()
  asked <- list()
  history <- train_with(model, list(callback_learning_rate_scheduler(function(epoch, lr) {
    asked[[length(asked) + 1]] <<- c(epoch, lr)
    lr / 2
  })))
  expect_identical(asked, list(c(0, 0.1), c(1, 0.05), c(2, 0.025)))
  expect_identical(history$metrics$learning_rate, c(0.05, 0.025, 0.0125))
  expect_identical(as.double(model$optimizer$learning_rate), 0.0125)
  history <- train_with(model, callback_learning_rate_scheduler(function(epoch) 1 / (epoch + 1)))
  expect_equal(history$metrics$learning_rate, 1 / 1:3)
  expect_output(train_with(model, callback_learning_rate_scheduler(function(epoch) 0.5, verbose = 1), epochs = 1), "0.5")
})

test_that("the log has a line per epoch", {
  log <- withr::local_tempfile(fileext = ".csv")
  history <- train_with(callback_model(), list(callback_csv_logger(log)), validation_split = 0.5)
  table <- read.csv(log)
  expect_identical(names(table), c("epoch", "loss", "val_loss"))
  expect_identical(table$epoch, 0:2)
  expect_equal(table$val_loss, history$metrics$val_loss, tolerance = 1e-14)
  train_with(callback_model(), callback_csv_logger(log, append = TRUE), epochs = 1, validation_split = 0.5)
  expect_identical(read.csv(log)$epoch, c(0:2, 0L))
  train_with(callback_model(), callback_csv_logger(log, separator = ";"), epochs = 2, validation_split = 0.5, validation_freq = 2)
  expect_identical(is.na(read.csv2(log, dec = ".")$val_loss), c(TRUE, FALSE))
  expect_error(train_with(callback_model(), callback_csv_logger(file.path(log, "no", "where.csv"))), class = "attentive_error_callback")
})

test_that("a function can stop the training", {
  model <- callback_model()
  history <- train_with(model, callback_lambda(on_epoch_end = function(epoch, logs) if (epoch == 2) model$stop_training <- TRUE), epochs = 10)
  expect_length(history$metrics$loss, 2)
  expect_true(model$stop_training)
  train_with(model, callback_lambda(on_train_batch_end = function(batch, logs) model$stop_training <- TRUE), epochs = 10)
  expect_identical(as.double(model$optimizer$iterations), 2 * 3 + 1)
})

test_that("an error in a callback says which, and leaves a whole model", {
  model <- callback_model()
  failing <- callback_lambda(on_train_batch_begin = function(batch, logs) if (batch == 3) stop("no more"))
  error <- expect_error(train_with(model, list(failing)), "on_train_batch_begin", class = "attentive_error_callback")
  expect_match(conditionMessage(error$parent), "no more")
  expect_identical(as.double(model$optimizer$iterations), 2)
  reference <- callback_model()
  fit(reference, x, y, batch_size = 4, shuffle = FALSE, verbose = 0, steps_per_epoch = 2)
  expect_identical(get_weights(model), get_weights(reference))
})

test_that("callbacks show what they are and refuse what they cannot be", {
  expect_output(print(callback_early_stopping(patience = 3)), "callback_early_stopping(monitor = \"val_loss\"", fixed = TRUE)
  expect_output(print(callback_lambda(on_epoch_end = identity)), "callback_lambda")
  expect_error(callback_early_stopping(patience = -1), class = "attentive_error_argument")
  expect_error(callback_early_stopping(mode = "best"), class = "attentive_error_argument")
  expect_error(callback_learning_rate_scheduler(), class = "attentive_error_argument")
  expect_error(callback_lambda(on_batch_end = identity), class = "attentive_error_name")
  expect_error(callback_lambda(on_epoch_end = 3), class = "attentive_error_argument")
  expect_error(callback_csv_logger(), class = "attentive_error_argument")
  expect_error(train_with(callback_model(), list(function(epoch) 1)), "callback_lambda", class = "attentive_error_argument")
  expect_error(train_with(callback_model(), callback_learning_rate_scheduler(function(epoch) "a")), class = "attentive_error_callback")
})
