# What goes wrong before and in a training: classed errors that say where.

x <- wave(c(10, 2))
y <- as.vector(x %*% c(2, -1))

plain <- function(...) {
  model <- fill_weights(linear_model(2))
  compile(model, "sgd", "mse", ...)
  model
}

classifier <- function(loss = "sparse_categorical_crossentropy") {
  model <- fill_weights(linear_model(2, 3, activation = "softmax"))
  compile(model, "sgd", loss)
  model
}

argument <- "attentive_error_argument"
shape <- "attentive_error_shape"

test_that("a model must be compiled, with a loss", {
  model <- linear_model(2)
  for (call in list(quote(fit(model, x, y)), quote(evaluate(model, x, y)), quote(train_on_batch(model, x, y)), quote(test_on_batch(model, x, y)))) {
    expect_error(eval(call), "compile(model", fixed = TRUE, class = "attentive_error_state")
  }
  expect_identical(dim(predict(model, x)), c(10L, 1L))
  compile(model)
  expect_error(fit(model, x, y), "without a loss", class = "attentive_error_state")
  expect_error(compile(layer_dense(units = 2), "sgd"), "Only models", class = argument)
  expect_error(fit(layer_dense(units = 2), x, y), "Only models", class = argument)
  expect_error(train_on_batch(layer_dense(units = 2), x, y), "Only models", class = argument)
  expect_error(evaluate(3), class = argument)
})

test_that("compile says what it does not know", {
  model <- linear_model(2)
  expect_error(compile(model, "adan", "mse"), "adam", class = "attentive_error_name")
  expect_error(compile(model, "adam", "msee"), "mse", class = "attentive_error_name")
  expect_error(compile(model, "adam", "mse", metrics = "accurate"), "accuracy", class = "attentive_error_name")
  expect_error(compile(model, "adam", "mse", weighted_metric = "mae"), "weighted_metrics", class = "attentive_error_name")
  expect_error(compile(model, "adam", list("mse", "mae")), "2 losses", class = argument)
  expect_error(compile(model, "adam", list(dense_x = "mse")), "no output", class = "attentive_error_name")
  expect_error(compile(model, "adam", "mse", metrics = list(acc = "accuracy")), "no output", class = "attentive_error_name")
  expect_error(compile(model, "adam", "mse", loss_weights = "a"), class = argument)
  expect_error(compile(model, "adam", "mse", loss_weights = c(1, 2)), class = argument)
  expect_error(compile(model, "adam", loss_huber(reduction = NULL)), "reduction", class = argument)
  # a model that was compiled before is as it was
  compile(model, "adam", "mse")
  before <- model$optimizer
  try(compile(model, "adan", "mse"), silent = TRUE)
  expect_identical(model$optimizer, before)
})

test_that("data must be there, complete and of one length", {
  expect_error(fit(plain()), "`x` is missing", class = argument)
  expect_error(fit(plain(), x), "`y` is missing", class = argument)
  expect_error(fit(plain(), x, y[-1]), "9 samples, the inputs have 10", class = shape)
  expect_error(fit(plain(), x[0, ], y[0]), "no samples", class = shape)
  expect_error(fit(plain(), wave(c(10, 3)), y), "must have the shape [?, 2], not [10, 3]", fixed = TRUE, class = shape)
  expect_error(fit(plain(), x, cbind(y, y)), "[?, 2]", fixed = TRUE, class = shape)
  z <- x
  z[c(3, 7), 2] <- NA
  expect_error(fit(plain(), z, y), "rows 3, 7", class = argument)
  expect_error(fit(plain(), x, replace(y, 9, NaN)), "row 9", class = argument)
  expect_error(fit(plain(), x, rep(NA_real_, 10)), "10 in all", class = argument)
  expect_error(evaluate(plain(), z, y), "rows 3, 7", class = argument)
  expect_error(train_on_batch(plain(), z, y), "rows 3, 7", class = argument)
  expect_error(fit(plain(), "a", y), class = argument)
  expect_error(fit(plain(), x, letters[1:10]), "factor", class = argument)
  expect_error(fit(plain(), x, list(y, y)), "2 arrays", class = argument)
  expect_error(fit(plain(), function() NULL, y), class = "attentive_error_not_yet")
  expect_error(predict(plain()), class = argument)
})

test_that("labels must be class numbers from 0", {
  labels <- rep_len(0:2, 10)
  expect_error(fit(classifier(), x, replace(labels, c(2, 5), 7)), "rows 2, 5 have 7", class = argument)
  expect_error(fit(classifier(), x, labels + 1), "count from 1", class = argument)
  expect_error(fit(classifier(), x, labels + 0.5), class = argument)
  expect_error(fit(classifier(), x, replace(labels, 1, -1)), "row 1 has -1", class = argument)
  expect_error(fit(classifier("categorical_crossentropy"), x, labels), "sparse_categorical_crossentropy", class = shape)
  expect_error(fit(classifier(), x, diag(3)[labels + 1, ]), "categorical_crossentropy", class = shape)
  ignoring <- classifier(loss_sparse_categorical_crossentropy(ignore_class = -1))
  expect_silent(fit(ignoring, x, replace(labels, 1, -1), verbose = 0))
})

test_that("the truth of a binary cross-entropy is between 0 and 1", {
  model <- fill_weights(linear_model(2, activation = "sigmoid"))
  compile(model, "sgd", "binary_crossentropy")
  labels <- rep(1:2, 5)
  for (call in list(quote(fit(model, x, labels)), quote(evaluate(model, x, labels)), quote(train_on_batch(model, x, labels)), quote(test_on_batch(model, x, labels)))) {
    expect_error(eval(call), "rows 2, 4, 6, 8, 10 have 2.*count from 1: give `y - 1`, or a factor", class = argument)
  }
  expect_error(fit(model, x, replace(labels - 1, 3, -0.5)), "row 3 has -0.5", class = argument)
  expect_error(fit(model, x, 2 * labels - 3), "(y + 1) / 2", fixed = TRUE, class = argument)
  expect_error(fit(model, x, factor(rep_len(1:3, 10))), "3 levels", class = argument)
  expect_silent(fit(model, x, seq(0, 1, length.out = 10), verbose = 0))
  expect_silent(fit(model, x, factor(labels), verbose = 0))
  compile(model, "sgd", "mse", metrics = "binary_crossentropy")
  expect_error(fit(model, x, labels), "count from 1", class = argument)
})

test_that("weights of classes are for one class a sample", {
  input <- keras_input(c(4, 2), dtype = "float64")
  model <- keras_model(input, layer_dense(input, 3, activation = "softmax", dtype = "float64"))
  tokens <- wave(c(10, 4, 2))
  labels <- array(rep_len(0:2, 40), c(10, 4))
  compile(model, "sgd", "sparse_categorical_crossentropy")
  expect_error(fit(model, tokens, labels, class_weight = c("0" = 2)), "one class for each sample.*sample_weight", class = argument)
  compile(model, "sgd", "categorical_crossentropy")
  expect_error(fit(model, tokens, to_categorical(labels), class_weight = c("0" = 2)), "one class for each sample.*sample_weight", class = argument)
})

test_that("weights of classes go by numbers or by the levels of a factor", {
  model <- classifier()
  labels <- rep_len(0:2, 10)
  named <- factor(c("a", "b", "c")[labels + 1])
  expect_error(fit(model, x, labels, class_weight = list("3" = 2)), "\"3\".*0, 1, 2", class = "attentive_error_name")
  expect_error(fit(model, x, named, class_weight = list(a = 1, e = 2)), "\"e\".*\"a\", \"b\", \"c\"", class = "attentive_error_name")
  expect_error(fit(model, x, labels, class_weight = list(a = 1)), "count from 0", class = argument)
  weighted <- function(y, weights) train_on_batch(classifier(), x, y, class_weight = weights)
  expect_identical(weighted(named, list(c = 3, a = 2)), weighted(labels, c("0" = 2, "2" = 3)))
  expect_identical(weighted(named, list("2" = 3)), weighted(labels, c("2" = 3)))
})

test_that("a column that is not numeric is named", {
  frame <- data.frame(size = y, kind = factor(rep(c("a", "b"), 5)))
  expect_error(fit(plain(), frame, y), "column \"kind\".*a factor.*model.matrix", class = argument)
  expect_error(predict(plain(), frame), "column \"kind\"", class = argument)
  expect_error(fit(plain(), x, frame["kind"]), "column \"kind\" of `y`.*classes", class = argument)
  expect_silent(fit(plain(), as.data.frame(x), frame["size"], verbose = 0))
})

test_that("a missing id names the input", {
  input <- keras_input(3, name = "words")
  model <- keras_model(input, layer_embedding(input, 5, 2))
  expect_error(predict(model, rbind(c(1, NA, 2))), "NA stands at [1, 2] of the input \"words\"", fixed = TRUE, class = argument)
})

test_that("the other arguments are checked before anything happens", {
  model <- plain()
  before <- get_weights(model)
  expect_error(fit(model, x, y, batch_size = 0), class = argument)
  expect_error(fit(model, x, y, epochs = 1.5), class = argument)
  expect_error(fit(model, x, y, validation_split = 1.2), class = argument)
  expect_error(fit(model, x, y, validation_split = 0.99), "training", class = argument)
  expect_error(fit(model, x, y, validation_data = x), class = argument)
  expect_error(fit(model, x, y, validation_data = list(x, y[1:3])), class = shape)
  expect_error(fit(model, x, y, shuffle = "batch"), class = argument)
  expect_error(fit(model, x, y, verbose = 3), class = argument)
  expect_error(fit(model, x, y, epoch = 3), class = "attentive_error_name")
  expect_error(fit(model, x, y, treads = 3), "threads", class = "attentive_error_name")
  expect_error(fit(model, x, y, sample_weight = 1:3), class = shape)
  expect_error(fit(model, x, y, sample_weight = replace(1:10, 4, NA)), "row 4", class = argument)
  expect_error(fit(model, x, y, sample_weight = "a"), class = argument)
  expect_error(fit(model, x, y, class_weight = c(1, 2)), "named by the classes", class = argument)
  expect_error(fit(model, x, y, class_weight = list(a = 1)), class = argument)
  expect_error(fit(model, x, y, callbacks = "early"), class = argument)
  expect_error(fit(model, x, y, steps_per_epoch = 0), class = argument)
  expect_error(evaluate(model, x, y, steps = 0), class = argument)
  expect_error(evaluate(model, x, y, sample_wieght = 1), "sample_weight", class = "attentive_error_name")
  expect_identical(get_weights(model), before)
  expect_identical(as.double(model$optimizer$iterations), 0)
})

test_that("a loss that is not finite ends the training before the step", {
  model <- fill_weights(linear_model(2))
  compile(model, optimizer_sgd(1e200), "mse")
  error <- expect_error(
    fit(model, x, y, batch_size = 5, epochs = 4, shuffle = FALSE, verbose = 0),
    "epoch 1, step 2, with all of its rows, 6, 7, 8, 9, 10.*learning rate", class = "attentive_error_loss"
  )
  expect_identical(error$rows, 6:10)
  expect_identical(c(error$epoch, error$step), c(1L, 2L))
  expect_true(all(is.finite(unlist(get_weights(model)))))
  expect_identical(as.double(model$optimizer$iterations), 1)
  expect_error(train_on_batch(model, x * 1e200, y), class = "attentive_error_loss")
})

test_that("the rows that make the loss infinite are named", {
  model <- fill_weights(linear_model(2))
  compile(model, optimizer_sgd(0.01), "mse")
  z <- wave(c(40, 2))
  truth <- as.vector(z %*% c(2, -1))
  failure <- function(...) expect_error(fit(model, ..., batch_size = 20, verbose = 0), class = "attentive_error_loss")
  error <- failure(replace(z, c(33, 37), c(Inf, -Inf)), truth, shuffle = FALSE)
  expect_identical(error$rows, c(33L, 37L))
  expect_match(conditionMessage(error), "the input \"[a-z_0-9]+\" is not finite in rows 33, 37")
  error <- failure(z, replace(truth, 31, Inf))
  expect_identical(error$rows, 31L)
  expect_match(conditionMessage(error), "`y` is not finite in row 31")
  expect_match(conditionMessage(failure(z, truth, sample_weight = replace(rep(1, 40), 31, Inf))), "`sample_weight` is not finite in row 31")
  # finite, but too large
  error <- failure(z, replace(truth, c(5, 6), 1e200))
  expect_true(all(error$rows %in% 5:6))
  expect_match(conditionMessage(error), "because of row")
  error <- expect_error(train_on_batch(model, z, replace(truth, 5, 1e200)), class = "attentive_error_loss")
  expect_identical(error$rows, 5L)
  model$set_weights(list(matrix(c(NaN, 1), 2), 0))
  expect_match(conditionMessage(failure(z, truth)), "kernel\" was no longer finite before it")
  # what a single cannot hold
  small <- keras_model_sequential(input_shape = 2) |> layer_dense(1)
  compile(small, "sgd", "mse")
  error <- expect_error(fit(small, z, replace(truth, 7, 1e39), verbose = 0), class = "attentive_error_loss")
  expect_match(conditionMessage(error), "`y` is not finite in row 7")
})

test_that("a function without a gradient is found before the training", {
  input <- keras_input(2)
  rounded <- function(tensor) layer_lambda(tensor, function(x) round(as.array(x), 1), output_shape = 1, name = "rounding")
  model <- keras_model(input, rounded(layer_dense(input, 1)))
  compile(model, "sgd", "mse")
  begun <- FALSE
  watch <- callback_lambda(on_train_begin = function(...) begun <<- TRUE)
  expect_error(fit(model, x, y, callbacks = list(watch), verbose = 0), "\"rounding\" has no gradient", class = argument)
  expect_error(train_on_batch(model, x, y), "\"rounding\" has no gradient", class = argument)
  expect_false(begun)
  expect_identical(names(evaluate(model, x, y, verbose = 0)), "loss")
  # nothing before it is trained
  freeze_weights(model)
  expect_silent(fit(model, x, y, verbose = 0))
  model <- keras_model(input, layer_dense(layer_lambda(input, function(x) round(as.array(x), 1), output_shape = 2), 1))
  compile(model, "sgd", "mse")
  expect_silent(fit(model, x, y, verbose = 0))
})

test_that("data that leave nothing to measure are refused", {
  input <- keras_input(shape(NA, 4))
  model <- keras_model(input, layer_layer_normalization(input))
  compile(model, "sgd", "mse")
  x <- array(0, c(2, 0, 4))
  before <- get_weights(model)
  expect_error(train_on_batch(model, x, x), "would have no elements", class = "attentive_error_shape")
  expect_error(test_on_batch(model, x, x), class = "attentive_error_shape")
  expect_error(fit(model, x, x, verbose = 0), class = "attentive_error_shape")
  expect_identical(get_weights(model), before)
  expect_identical(dim(predict(model, x)), c(2L, 0L, 4L))
})

test_that("single batches take Keras's `return_dict`", {
  input <- keras_input(3)
  model <- keras_model(input, layer_dense(input, 1))
  compile(model, optimizer_sgd(0), "mse")
  x <- matrix(1:12 / 12, 4)
  expect_identical(train_on_batch(model, x, 1:4, return_dict = TRUE), test_on_batch(model, x, 1:4, return_dict = TRUE))
  expect_error(train_on_batch(model, x, 1:4, return_dict = NA), class = "attentive_error_argument")
  expect_error(train_on_batch(model, x, 1:4, reset = 1), class = "attentive_error_name")
})
