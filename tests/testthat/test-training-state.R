# What a training leaves behind: the same bits whatever the threads, in a saved
# model, after an interrupt; and nothing in what was copied from it.

x <- wave(c(40, 5, 4))
y <- rep_len(0:2, 40)

ready <- function(dropout = 0.2, optimizer = optimizer_adam(0.02), ...) {
  model <- small_classifier(dropout, ...)
  compile(model, optimizer, "sparse_categorical_crossentropy", metrics = "accuracy")
  model
}

bytes <- function(model) lapply(model$weights, function(w) w[["value"]])

test_that("the same seed gives the same bits, for any number of threads", {
  train <- function(threads, dtype) {
    model <- ready(dtype = dtype)
    set.seed(7)
    history <- fit(model, x, y, batch_size = 12, epochs = 3, validation_split = 0.25, verbose = 0, threads = threads)
    list(bytes(model), history$metrics, evaluate(model, x, y, verbose = 0, threads = threads), predict(model, x, threads = threads))
  }
  for (dtype in c("float32", "float64")) {
    one <- train(1, dtype)
    for (threads in c(1, 2, 8)) expect_identical(train(threads, dtype), one, label = paste(dtype, threads))
  }
})

test_that("a saved model goes on with the same bits", {
  for (optimizer in list(optimizer_adam(0.02, amsgrad = TRUE), optimizer_sgd(0.05, momentum = 0.9), optimizer_rmsprop(0.01, momentum = 0.5, centered = TRUE),
    # 8 batches are no whole number of updates of 3
    optimizer_nadam(learning_rate_schedule_cosine_decay(0.02, 30), gradient_accumulation_steps = 3, use_ema = TRUE, ema_momentum = 0.9, ema_overwrite_frequency = 2),
    optimizer_ftrl(0.05, gradient_accumulation_steps = 5, global_clipnorm = 1), optimizer_lamb(0.01, use_ema = TRUE), optimizer_adadelta(1))) {
    model <- ready(optimizer = optimizer)
    set.seed(3)
    fit(model, x, y, batch_size = 12, epochs = 2, verbose = 0)
    saved <- withr::local_tempfile(fileext = ".rds")
    saveRDS(model, saved)
    stream <- .Random.seed
    continue <- function(model) {
      assign(".Random.seed", stream, envir = globalenv())
      history <- fit(model, x, y, batch_size = 12, epochs = 4, initial_epoch = 3, verbose = 0)
      list(bytes(model), history$metrics, as.double(model$optimizer$iterations))
    }
    expected <- continue(model)
    restored <- readRDS(saved)
    expect_identical(continue(restored), expected)
    every <- optimizer$gradient_accumulation_steps
    expect_identical(expected[[3]], (4 * 4) %/% (if (is.null(every)) 1 else every))
    # the restored one is another model
    before <- bytes(model)
    fit(restored, x, y, verbose = 0)
    expect_identical(bytes(model), before)
  }
})

test_that("training in another process goes on with the same bits", {
  model <- ready()
  set.seed(3)
  fit(model, x, y, batch_size = 12, epochs = 2, verbose = 0)
  saved <- withr::local_tempfile(fileext = ".rds")
  answer <- withr::local_tempfile(fileext = ".rds")
  saveRDS(list(model = model, x = x, y = y), saved)
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(
    "library(attentive)", sprintf("given <- readRDS(%s)", deparse(saved)), "set.seed(11)",
    "fit(given$model, given$x, given$y, batch_size = 12, epochs = 2, verbose = 0)",
    sprintf("saveRDS(get_weights(given$model), %s)", deparse(answer))
  ), script)
  log <- run_r(script)
  expect_true(file.exists(answer), info = paste(log, collapse = "\n"))
  set.seed(11)
  fit(model, x, y, batch_size = 12, epochs = 2, verbose = 0)
  expect_identical(readRDS(answer), get_weights(model))
})

test_that("training never changes a clone, a snapshot or the data", {
  model <- ready()
  weights <- get_weights(model)
  raws <- bytes(model)
  copies <- lapply(raws, function(raw) rawToBits(raw))
  clone <- clone_model(model)
  set_weights(clone, weights)
  data <- x + 0
  fit(model, data, y, epochs = 2, verbose = 0)
  expect_false(identical(bytes(model), raws))
  expect_identical(lapply(raws, rawToBits), copies)
  expect_identical(get_weights(clone), weights)
  expect_identical(data, x)
  # and the other way round
  after <- get_weights(model)
  compile(clone, "adam", "sparse_categorical_crossentropy")
  fit(clone, x, y, verbose = 0)
  expect_identical(get_weights(model), after)
})

test_that("dropout draws anew in each step, from a counter in the model", {
  model <- ready(0.5, optimizer_sgd(0))
  losses <- vapply(1:4, function(i) train_on_batch(model, x, y)$loss, 0)
  expect_identical(anyDuplicated(losses), 0L)
  expect_identical(test_on_batch(model, x, y), test_on_batch(model, x, y))
  other <- ready(0.5, optimizer_sgd(0))
  expect_identical(vapply(1:4, function(i) train_on_batch(other, x, y)$loss, 0), losses)
})

test_that("an interrupt leaves a whole model and the history so far", {
  model <- ready(0)
  stopping <- callback_lambda(on_train_batch_begin = function(batch, logs) {
    if (as.double(model$optimizer$iterations) == 6) rlang::interrupt()
  })
  expect_message(
    history <- fit(model, x, y, batch_size = 10, epochs = 5, shuffle = FALSE, verbose = 0, callbacks = stopping),
    "interrupted in epoch 2, after step 2"
  )
  expect_length(history$metrics$loss, 1)
  expect_identical(as.double(model$optimizer$iterations), 6)
  reference <- ready(0)
  fit(reference, x, y, batch_size = 10, epochs = 1, shuffle = FALSE, verbose = 0)
  fit(reference, x, y, batch_size = 10, epochs = 1, steps_per_epoch = 2, shuffle = FALSE, verbose = 0)
  expect_identical(bytes(model), bytes(reference))
})

test_that("Ctrl-C is heard while the engine works", {
  skip_on_os("windows")
  answer <- withr::local_tempfile(fileext = ".rds")
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(
    "library(attentive)",
    "input <- keras_input(20)",
    "model <- keras_model(input, input |> layer_dense(50) |> layer_dense(1))",
    "compile(model, 'adam', 'mse')",
    "x <- matrix(sin(1:20000), 1000)",
    "system(sprintf('(sleep 1; kill -INT %d) &', Sys.getpid()))",
    "history <- fit(model, x, x[, 1], epochs = 1e6, shuffle = FALSE, verbose = 0)",
    "steps <- as.double(model$optimizer$iterations)",
    sprintf("saveRDS(list(epochs = length(history$metrics$loss), steps = steps, weights = get_weights(model)), %s)", deparse(answer))
  ), script)
  log <- run_r(script)
  expect_true(file.exists(answer), info = paste(log, collapse = "\n"))
  result <- readRDS(answer)
  expect_match(paste(log, collapse = "\n"), "interrupted in epoch")
  # the signal may come between the last step of an epoch and its entry in the history
  expect_true(result$epochs %in% c(result$steps %/% 32, (result$steps - 1) %/% 32))
  expect_true(all(is.finite(unlist(result$weights))))
})
