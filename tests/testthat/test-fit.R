# fit(), evaluate(), predict() and single batches.

# A linear model's loss and gradient step in plain R, for what is reported.
step_by_hand <- function(w, x, y, rate, weight = rep(1, nrow(x))) {
  error <- as.vector(x %*% w) - y
  list(loss = sum(weight * error^2) / length(y), w = w - rate * as.vector(t(x) %*% (2 * weight * error)) / length(y))
}

one_weight_model <- function(features = 2, optimizer = optimizer_sgd(0.1), loss = "mse", ...) {
  model <- linear_model(features, 1, use_bias = FALSE)
  set_weights(model, list(matrix(0.5, features, 1)))
  compile(model, optimizer, loss, ...)
  model
}

x <- wave(c(10, 2))
y <- as.vector(x %*% c(2, -1)) + 0.1

test_that("an epoch is the steps that one would do by hand", {
  model <- one_weight_model(metrics = "mae")
  history <- fit(model, x, y, batch_size = 4, epochs = 2, shuffle = FALSE, verbose = 0)
  w <- c(0.5, 0.5)
  for (epoch in 1:2) {
    losses <- absolute <- c()
    for (rows in list(1:4, 5:8, 9:10)) {
      absolute <- c(absolute, abs(as.vector(x[rows, ] %*% w) - y[rows]))
      step <- step_by_hand(w, x[rows, ], y[rows], 0.1)
      losses <- c(losses, step$loss * length(rows))
      w <- step$w
    }
    expect_close(history$metrics$loss[[epoch]], sum(losses) / 10, 1e-12)
    expect_close(history$metrics$mae[[epoch]], mean(absolute), 1e-12)
  }
  expect_close(as.vector(get_weights(model)[[1]]), w, 1e-12)
  expect_identical(history$params, list(verbose = 0L, epochs = 2L, steps = 3L))
  expect_identical(as.double(model$optimizer$iterations), 6)
  expect_close(evaluate(model, x, y, verbose = 0)$loss, mean((x %*% w - y)^2), 1e-12)
  expect_identical(evaluate(model, x, y, verbose = 0, batch_size = 3), evaluate(model, x, y, verbose = 0, batch_size = 3))
  expect_close(evaluate(model, x, y, verbose = 0, batch_size = 3)$mae, mean(abs(x %*% w - y)), 1e-12)
})

test_that("fit returns the history invisibly and compile the model", {
  model <- linear_model(2)
  expect_invisible(compile(model, "sgd", "mse"))
  expect_identical(compile(model, "sgd", "mse"), model)
  expect_invisible(fit(model, x, y, verbose = 0))
  expect_s3_class(fit(model, x, y, verbose = 0), "keras_training_history")
  expect_visible(evaluate(model, x, y, verbose = 0))
  expect_identical(names(evaluate(model, x, y, verbose = 0)), "loss")
})

test_that("truths come as vectors, matrices, data frames and factors", {
  expected <- evaluate(one_weight_model(), x, y, verbose = 0)
  expect_identical(evaluate(one_weight_model(), x, matrix(y), verbose = 0), expected)
  expect_identical(evaluate(one_weight_model(), as.data.frame(x), data.frame(y = y), verbose = 0), expected)
  expect_identical(evaluate(one_weight_model(), list(x), list(y), verbose = 0), expected)
  model <- fill_weights(linear_model(2, 3, activation = "softmax"))
  compile(model, loss = "sparse_categorical_crossentropy", metrics = "accuracy")
  labels <- rep_len(0:2, 10)
  expected <- evaluate(model, x, labels, verbose = 0)
  expect_identical(evaluate(model, x, factor(c("a", "b", "c")[labels + 1]), verbose = 0), expected)
  expect_identical(evaluate(model, x, matrix(labels), verbose = 0), expected)
  compile(model, loss = "categorical_crossentropy", metrics = "accuracy")
  expect_equal(evaluate(model, x, to_categorical(labels, 3), verbose = 0), expected, tolerance = 1e-12)
  compile(model, loss = "crossentropy", metrics = "acc")
  expect_equal(unname(evaluate(model, x, labels, verbose = 0)), unname(expected), tolerance = 1e-12)
})

test_that("validation_split takes the last part, before shuffling", {
  model <- one_weight_model(optimizer = optimizer_sgd(0))
  history <- fit(model, x, y, epochs = 2, validation_split = 0.25, verbose = 0)
  error <- as.vector(x %*% c(0.5, 0.5)) - y
  expect_close(history$metrics$loss, rep(mean(error[1:7]^2), 2), 1e-12)
  expect_close(history$metrics$val_loss, rep(mean(error[8:10]^2), 2), 1e-12)
  expect_identical(names(history$metrics), c("loss", "val_loss"))
  # given validation data have precedence
  history <- fit(model, x, y, validation_split = 0.25, validation_data = list(x[1:2, ], y[1:2]), verbose = 0)
  expect_close(history$metrics$loss, mean(error^2), 1e-12)
  expect_close(history$metrics$val_loss, mean(error[1:2]^2), 1e-12)
  weighted <- fit(model, x, y, validation_data = list(x[1:2, ], y[1:2], c(0, 3)), verbose = 0)
  expect_close(weighted$metrics$val_loss, 3 * error[[2]]^2 / 2, 1e-12)
  named <- fit(model, x, y, validation_data = list(y = y[1:2], x = x[1:2, ]), verbose = 0)
  expect_identical(named$metrics$val_loss, history$metrics$val_loss)
})

test_that("validation can be rare, and is limited by steps", {
  model <- one_weight_model(optimizer = optimizer_sgd(0))
  error <- as.vector(x %*% c(0.5, 0.5)) - y
  history <- fit(model, x, y, epochs = 5, validation_data = list(x, y), validation_freq = 2, verbose = 0)
  expect_identical(is.na(history$metrics$val_loss), c(TRUE, FALSE, TRUE, FALSE, TRUE))
  expect_output(print(history), "val_loss: [0-9]")
  history <- fit(model, x, y, epochs = 5, validation_data = list(x, y), validation_freq = c(1, 5), verbose = 0)
  expect_identical(is.na(history$metrics$val_loss), c(FALSE, TRUE, TRUE, TRUE, FALSE))
  history <- fit(model, x, y, validation_data = list(x, y), validation_steps = 2, validation_batch_size = 3, verbose = 0)
  expect_close(history$metrics$val_loss, mean(error[1:6]^2), 1e-12)
  expect_close(evaluate(model, x, y, steps = 1, batch_size = 4, verbose = 0)$loss, mean(error[1:4]^2), 1e-12)
})

test_that("weights of samples and classes multiply the loss, not the metrics", {
  model <- one_weight_model(optimizer = optimizer_sgd(0), metrics = "mse", weighted_metrics = c("mse", "mae"))
  error <- as.vector(x %*% c(0.5, 0.5)) - y
  w <- seq(0, 1.8, 0.2)
  values <- evaluate(model, x, y, sample_weight = w, verbose = 0)
  expect_identical(names(values), c("loss", "mae", "mse", "weighted_mse"))
  expect_close(values$loss, sum(w * error^2) / 10, 1e-12)
  expect_close(values$mse, mean(error^2), 1e-12)
  expect_close(values$weighted_mse, sum(w * error^2) / sum(w), 1e-12)
  expect_close(fit(model, x, y, sample_weight = w, verbose = 0)$metrics$loss, sum(w * error^2) / 10, 1e-12)

  model <- fill_weights(linear_model(2, 1, activation = "sigmoid"))
  compile(model, optimizer_sgd(0), "binary_crossentropy")
  labels <- rep_len(c(0, 1, 1), 10)
  by_class <- fit(model, x, labels, class_weight = list("0" = 3, "1" = 0.5), verbose = 0)
  expect_close(by_class$metrics$loss, evaluate(model, x, labels, sample_weight = ifelse(labels == 0, 3, 0.5), verbose = 0)$loss, 1e-12)
  both <- fit(model, x, labels, class_weight = c("0" = 3), sample_weight = w, verbose = 0, validation_split = 0.3)
  expect_close(both$metrics$loss, evaluate(model, x[1:7, ], labels[1:7], sample_weight = (w * ifelse(labels == 0, 3, 1))[1:7], verbose = 0)$loss, 1e-12)
  # classes weigh in training only
  expect_close(both$metrics$val_loss, evaluate(model, x[8:10, ], labels[8:10], sample_weight = w[8:10], verbose = 0)$loss, 1e-12)
})

test_that("shuffling sees every sample once, governed by the seed", {
  rows_of <- function(...) {
    seen <- c()
    model <- one_weight_model(optimizer = optimizer_sgd(0))
    run <- new.env()
    run$shuffle <- TRUE
    run$rows <- 1:10
    run$batch_size <- 4L
    run$order <- integer()
    run$goes_on <- FALSE
    unlist(lapply(0:2, function(step) {
      run$step <- step
      next_rows(run)
    }))
  }
  set.seed(3)
  first <- rows_of()
  expect_identical(sort(first), 1:10)
  expect_false(identical(first, 1:10))
  set.seed(3)
  expect_identical(rows_of(), first)

  train <- function(seed, shuffle = TRUE) {
    model <- one_weight_model()
    set.seed(seed)
    fit(model, x, y, batch_size = 3, epochs = 3, shuffle = shuffle, verbose = 0)
    get_weights(model)[[1]]
  }
  expect_identical(train(1), train(1))
  expect_false(identical(train(1), train(2)))
  expect_identical(train(1, FALSE), train(2, FALSE))
})

test_that("epochs can be counted on, and limited in steps", {
  model <- one_weight_model()
  history <- fit(model, x, y, batch_size = 5, epochs = 5, initial_epoch = 4, verbose = 0)
  expect_length(history$metrics$loss, 2)
  expect_identical(as.double(model$optimizer$iterations), 4)
  expect_length(fit(model, x, y, epochs = 2, initial_epoch = 3, verbose = 0)$metrics, 0)
  expect_length(fit(model, x, y, epochs = 0, verbose = 0)$metrics, 0)
  expect_output(print(fit(model, x, y, epochs = 0, verbose = 0)), "No epoch")
  # limited steps go on through the data
  model <- one_weight_model(optimizer = optimizer_sgd(0))
  error <- as.vector(x %*% c(0.5, 0.5)) - y
  history <- fit(model, x, y, batch_size = 4, epochs = 2, steps_per_epoch = 2, shuffle = FALSE, verbose = 0)
  expect_close(history$metrics$loss, c(mean(error[1:8]^2), mean(error[c(9:10, 1:4)]^2)), 1e-12)
  expect_identical(history$params$steps, 2L)
})

test_that("several inputs and outputs are matched by order and by name", {
  left <- keras_input(2, name = "left", dtype = "float64")
  right <- keras_input(1, name = "right", dtype = "float64")
  joint <- layer_concatenate(list(left, right), dtype = "float64")
  near <- layer_dense(joint, 1, name = "near", dtype = "float64")
  far <- layer_dense(joint, 3, activation = "softmax", name = "far", dtype = "float64")
  model <- fill_weights(keras_model(list(left, right), list(near, far)))
  r <- wave(c(10, 1), 0.3)
  labels <- rep_len(0:2, 10)
  compile(model, optimizer_sgd(0.01), list("mse", "sparse_categorical_crossentropy"), metrics = list("mae", c("accuracy", "acc")), loss_weights = c(2, 0.5))
  values <- evaluate(model, list(x, r), list(y, labels), verbose = 0)
  expect_identical(names(values), c("far_acc", "far_accuracy", "far_loss", "loss", "near_loss", "near_mae"))
  expect_close(values$loss, 2 * values$near_loss + 0.5 * values$far_loss, 1e-12)
  p <- predict(model, list(x, r))
  expect_length(p, 2)
  expect_close(values$near_loss, mean((p[[1]] - y)^2), 1e-12)
  expect_close(values$far_loss, -mean(log(p[[2]][cbind(1:10, labels + 1)])), 1e-12)
  expect_identical(evaluate(model, list(right = r, left = x), list(far = labels, near = y), verbose = 0), values)

  compile(model, optimizer_sgd(0.01), list(far = "sparse_categorical_crossentropy", near = "mse"),
    metrics = list(far = c("accuracy", "acc"), near = "mae"), loss_weights = list(near = 2, far = 0.5))
  expect_identical(evaluate(model, list(x, r), list(y, labels), verbose = 0), values)
  history <- fit(model, list(x, r), list(y, labels), epochs = 2, batch_size = 4, verbose = 0)
  expect_identical(names(history$metrics), names(values))
  expect_lt(history$metrics$loss[[2]], history$metrics$loss[[1]])

  # one output only
  compile(model, optimizer_sgd(0.01), list(near = "mse"))
  before <- get_weights(get_layer(model, "far"))
  history <- fit(model, list(x, r), list(near = y), verbose = 0)
  expect_identical(names(history$metrics), "loss")
  expect_identical(get_weights(get_layer(model, "far")), before)
  weighted <- evaluate(model, list(x, r), list(near = y), sample_weight = list(near = 1:10), verbose = 0)
  expect_close(weighted$loss, sum(1:10 * (predict(model, list(x, r))[[1]] - y)^2) / 10, 1e-12)

  # outputs of a named list
  model <- keras_model(list(left, right), list(a = near, b = far))
  compile(model, "sgd", list(a = "mse", b = "sparse_categorical_crossentropy"))
  expect_identical(names(evaluate(model, list(x, r), list(b = labels, a = y), verbose = 0)), c("a_loss", "b_loss", "loss"))
  expect_identical(names(predict(model, list(x, r))), c("a", "b"))
  # one loss serves all outputs
  compile(keras_model(list(left, right), list(near, near + 1)), "sgd", "mse")
})

test_that("masked positions count neither in the loss nor in the metrics", {
  ids <- keras_input(NA, dtype = "int32")
  model <- keras_model(ids, ids |> layer_embedding(6, 2, mask_zero = TRUE, dtype = "float64") |> layer_dense(1, dtype = "float64"))
  set_weights(model, lapply(get_weights(model), function(w) w * 0))
  compile(model, optimizer_sgd(0.1), "mse", metrics = c("mse", "mae"), weighted_metrics = list(metric_mean_absolute_error(name = "w")))
  one <- rbind(c(5, 3, 0))
  truth <- array(c(1, 2, 3), c(1, 3, 1))
  expect_close(unlist(evaluate(model, one, truth, verbose = 0)), c(2.5, 1.5, 2.5, 1.5), 1e-12)
  expect_identical(evaluate(model, one, truth[, , 1, drop = TRUE] |> matrix(1), verbose = 0), evaluate(model, one, truth, verbose = 0))
  # positions may have weights of their own
  values <- evaluate(model, one, truth, sample_weight = rbind(c(3, 1, 7)), verbose = 0)
  expect_close(values$loss, (3 * 1 + 1 * 4) / 2, 1e-12)
  expect_close(values$w, (3 * 1 + 1 * 2) / 4, 1e-12)
  expect_close(values$mse, 2.5, 1e-12)
  # what is masked has no gradient
  fit(model, one, truth, verbose = 0)
  expect_close(as.vector(get_weights(model)[[3]]), 0.1 * 2 * (1 + 2) / 2, 1e-12)
})

test_that("penalties belong to the loss, and frozen weights stay", {
  model <- linear_model(2, 1, kernel_regularizer = regularizer_l2(0.1), bias_regularizer = regularizer_l1(0.2))
  fill_weights(model)
  compile(model, optimizer_sgd(0.1), "mse")
  w <- get_weights(model)
  penalty <- 0.1 * sum(w[[1]]^2) + 0.2 * sum(abs(w[[2]]))
  error <- as.vector(x %*% w[[1]] + w[[2]][[1]]) - y
  expect_close(evaluate(model, x, y, verbose = 0)$loss, mean(error^2) + penalty, 1e-12)
  fit(model, x, y, batch_size = 10, verbose = 0)
  upstream <- 2 * error / 10
  expect_close(get_weights(model)[[1]], w[[1]] - 0.1 * (t(x) %*% upstream + 0.2 * w[[1]]), 1e-12)
  expect_close(as.vector(get_weights(model)[[2]]), w[[2]][[1]] - 0.1 * (sum(upstream) + 0.2 * sign(w[[2]][[1]])), 1e-12)

  input <- keras_input(2, dtype = "float64")
  hidden <- layer_dense(units = 2, name = "hidden", dtype = "float64")
  model <- keras_model(input, input |> hidden() |> layer_dense(1, dtype = "float64"))
  compile(model, optimizer_sgd(0.1), "mse")
  freeze_weights(hidden)
  before <- get_weights(model)
  fit(model, x, y, verbose = 0)
  expect_identical(get_weights(model)[1:2], before[1:2])
  expect_false(identical(get_weights(model)[3:4], before[3:4]))
  unfreeze_weights(hidden)
  fit(model, x, y, verbose = 0)
  expect_false(identical(get_weights(model)[1:2], before[1:2]))
})

test_that("constraints hold after every step, and R functions do as built-in ones", {
  model <- linear_model(2, 2, kernel_constraint = constraint_nonneg(), bias_constraint = "unitnorm")
  compile(model, optimizer_sgd(0.5), "mse")
  fit(model, x, cbind(y, -y), epochs = 3, verbose = 0)
  expect_true(all(get_weights(model)[[1]] >= 0))
  expect_close(sum(get_weights(model)[[2]]^2), 1, 1e-6)

  builtin <- fill_weights(linear_model(2, 1, kernel_regularizer = regularizer_l2(0.1), kernel_constraint = constraint_nonneg()))
  square <- function(w) 0.1 * sum(w^2)
  own <- fill_weights(linear_model(2, 1, kernel_regularizer = structure(square, gradient = function(w) 0.2 * w), kernel_constraint = function(w) pmax(w, 0)))
  for (model in list(builtin, own)) compile(model, optimizer_adam(0.05), "mse")
  expect_equal(fit(own, x, y, epochs = 3, shuffle = FALSE, verbose = 0)$metrics$loss, fit(builtin, x, y, epochs = 3, shuffle = FALSE, verbose = 0)$metrics$loss, tolerance = 1e-12)
  expect_equal(get_weights(own), get_weights(builtin), tolerance = 1e-12)
})

test_that("sequential models take the shape of their first data", {
  set.seed(2)
  model <- keras_model_sequential() |> layer_dense(4, activation = "tanh") |> layer_dense(1)
  compile(model, "adam", "mse", metrics = "mae")
  history <- fit(model, x, y, epochs = 2, verbose = 0)
  expect_identical(names(history$metrics), c("loss", "mae"))
  expect_identical(dim(predict(model, x)), c(10L, 1L))
})

test_that("single batches train, test and predict", {
  model <- one_weight_model()
  step <- step_by_hand(c(0.5, 0.5), x, y, 0.1)
  expect_close(test_on_batch(model, x, y)$loss, step$loss, 1e-12)
  expect_close(train_on_batch(model, x, y)$loss, step$loss, 1e-12)
  expect_close(as.vector(get_weights(model)[[1]]), step$w, 1e-12)
  again <- step_by_hand(step$w, x, y, 0.1, weight = 10:1)
  expect_close(train_on_batch(model, x, y, sample_weight = 10:1)$loss, again$loss, 1e-12)
  expect_close(as.vector(predict_on_batch(model, x)), as.vector(x %*% again$w), 1e-12)
  expect_identical(predict_on_batch(model, x), predict(model, x, batch_size = 3))
  expect_identical(as.double(model$optimizer$iterations), 2)
})

test_that("predictions keep their numbers in any batches, and missing values stay in their rows", {
  model <- fill_weights(linear_model(2, 3))
  expect_identical(predict(model, x, batch_size = 3), predict(model, x))
  expect_identical(dim(predict(model, x, batch_size = 3, steps = 2)), c(6L, 3L))
  z <- x
  z[4, 1] <- NA
  p <- predict(model, z)
  expect_true(all(is.na(p[4, ])))
  expect_identical(p[-4, ], predict(model, x)[-4, ])
})

test_that("what is seen: silence, a line per epoch, a bar", {
  model <- one_weight_model(metrics = "mae")
  expect_silent(fit(model, x, y, epochs = 2, verbose = 0))
  lines <- capture.output(fit(model, x, y, epochs = 2, verbose = 2, validation_split = 0.2))
  expect_length(lines, 2)
  expect_match(lines, "^Epoch [12]/2 - [0-9.]+s - loss: [0-9.e-]+ - mae: [0-9.e-]+ - val_loss: .* - val_mae: ")
  # where nothing can be drawn over, a bar is a line per epoch too
  expect_length(capture.output(fit(model, x, y, epochs = 3, verbose = 1)), 3)
  expect_silent(fit(model, x, y, verbose = "auto")) # under testthat
  expect_output(evaluate(model, x, y, verbose = 1), "^loss: .* - mae: ")
  bar <- new_progress(1L, 12L, 4L, interval = 0)
  bar$bar <- TRUE
  drawn <- capture.output({
    progress_begin(bar, 3L)
    for (step in 1:4) progress_step(bar, step, function() list(loss = 0.5))
    progress_end(bar, list(loss = 0.25))
  })
  frames <- strsplit(paste(drawn, collapse = "\n"), "\r")[[1]]
  expect_length(frames, 6)
  expect_match(frames[[3]], "Epoch  3/12 .* 2/4  [0-9.]+s left  loss: 0.5")
  expect_match(frames[[6]], "Epoch  3/12 - [0-9.]+s - loss: 0.25 *$")
  expect_identical(format_seconds(3.14), "3.1s")
  expect_identical(format_seconds(75), "1m 15s")
  expect_identical(format_seconds(7300), "2h 01m")
})

test_that("a trained model shows what its optimizer remembers", {
  model <- linear_model(2, 3)
  compile(model, "adam", "mse")
  expect_false(any(grepl("Optimizer", capture.output(print(model)))))
  fit(model, x, cbind(y, y, y), verbose = 0)
  expect_output(print(model), "Optimizer params: 20 ")
  expect_length(model$optimizer$variables, 2 + 2 * 2)
})

test_that("factors are matched by the names of their levels", {
  set.seed(1)
  x <- wave(c(12, 3))
  classes <- rep_len(c("a", "b", "c"), 12)
  code <- match(classes, c("a", "b", "c")) - 1L
  trained <- function(y, validation, weights = NULL) {
    model <- fill_weights(linear_model(3, 3, activation = "softmax"))
    compile(model, "sgd", "sparse_categorical_crossentropy")
    history <- fit(model, x, y, validation_data = validation, shuffle = FALSE, verbose = 0, class_weight = weights)
    list(model = model, metrics = history$metrics)
  }
  part <- which(code > 0)
  numbers <- trained(code, list(x[part, ], code[part]))
  names <- trained(factor(classes), list(x[part, ], factor(classes[part])))
  expect_identical(names$metrics, numbers$metrics)
  same <- evaluate(numbers$model, x, code, verbose = 0)
  other <- factor(classes, c("c", "a", "d", "b"))
  restored <- unserialize(serialize(names$model, NULL))
  for (model in list(names$model, restored)) {
    expect_identical(evaluate(model, x, other, verbose = 0), same)
    expect_identical(test_on_batch(model, x, other), test_on_batch(numbers$model, x, code))
    expect_error(evaluate(model, x, factor(sub("b", "e", classes)), verbose = 0), "\"e\".*\"a\", \"b\", \"c\"", class = "attentive_error_argument")
  }
  expect_error(trained(factor(classes), list(x, factor(sub("b", "e", classes)))), "\"e\"", class = "attentive_error_argument")
  # the next training goes on with the same classes, a new compile() begins anew
  fit(names$model, x, other, shuffle = FALSE, verbose = 0)
  fit(numbers$model, x, code, shuffle = FALSE, verbose = 0)
  expect_identical(get_weights(names$model), get_weights(numbers$model))
  compile(names$model, "sgd", "sparse_categorical_crossentropy")
  expect_silent(train_on_batch(names$model, x, factor(toupper(classes))))
  expect_error(test_on_batch(names$model, x, factor(classes)), "\"a\"", class = "attentive_error_argument")
})
