# Losses and metrics of one's own: as the built-in ones where they say the same.

pairs <- list(
  mse = list(loss_mean_squared_error(), function(y_true, y_pred) (y_true - y_pred)^2),
  mae = list(loss_mean_absolute_error(), function(y_true, y_pred) abs(y_pred - y_true)),
  poisson = list(loss_poisson(), function(y_true, y_pred) y_pred - y_true * log(y_pred + 1e-7))
)

masked_model <- function(dtype, table) {
  input <- keras_input(3, dtype = dtype)
  embedding <- layer_embedding(input_dim = 5, output_dim = 2, mask_zero = TRUE, dtype = dtype)
  model <- keras_model(input, embedding(input))
  set_weights(model, list(table))
  model
}

table <- matrix(c(0.3, 0.9, 0.2, 0.7, 0.45, 0.8, 0.15, 0.6, 0.35, 0.5), 5)
ids <- rbind(c(1, 2, 0), c(3, 0, 0), c(2, 2, 4), c(4, 1, 3), c(1, 1, 1))
y <- array(seq(0.1, 1.3, length.out = 30)[c(7, 22, 3, 15, 28, 1, 19, 10, 25, 5, 13, 30, 8, 17, 2, 21, 12, 26, 4, 29, 9, 16, 23, 6, 11, 20, 14, 27, 18, 24)], c(5, 3, 2))
w <- c(1, 0.5, 2, 0, 1)

for (name in names(pairs)) {
  test_that(paste("a loss and a metric that say", name, "are like the built-in ones"), {
    for (dtype in c("float64", "float32")) {
      results <- lapply(pairs[[name]], function(loss) {
        model <- masked_model(dtype, table)
        metric <- if (is.function(loss) && !is.object(loss)) {
          custom_metric("m", loss)
        } else {
          m <- as_metric(loss)
          environment(m)$measure$name <- "m"
          m
        }
        compile(model, optimizer_sgd(0.5), loss, metrics = list(metric), weighted_metrics = list(metric))
        before <- evaluate(model, ids, y, sample_weight = w, verbose = 0)
        history <- fit(model, ids, y, sample_weight = w, batch_size = 2, epochs = 3, shuffle = FALSE, verbose = 0)
        list(before, history$metrics, get_weights(model)[[1]])
      })
      expect_equal(results[[2]], results[[1]], tolerance = if (dtype == "float64") 1e-12 else 1e-5, label = paste(name, dtype))
    }
  })
}

test_that("reductions, loss weights and several outputs count as for built-in losses", {
  fun <- function(y_true, y_pred) (y_true - y_pred)^2
  x <- wave(c(8, 3))
  truths <- list(wave(c(8, 2), 0.7), wave(8, 0.3))
  train <- function(first, second) {
    input <- keras_input(3, dtype = "float64")
    model <- fill_weights(keras_model(input, list(layer_dense(input, 2, dtype = "float64"), layer_dense(input, 1, dtype = "float64"))))
    compile(model, optimizer_adam(0.05), list(first, second), loss_weights = c(0.5, 2))
    list(fit(model, x, truths, batch_size = 3, epochs = 2, shuffle = FALSE, verbose = 0)$metrics, get_weights(model))
  }
  # the truth of the second output has no axis of size 1
  named <- function(x) stats::setNames(x[[1]], NULL)
  expect_equal(train(fun, fun)[[2]], train("mse", "mse")[[2]], tolerance = 1e-12)
  expect_equal(named(train(fun, "mse")), named(train("mse", fun)), tolerance = 1e-12)
  for (reduction in c("sum", "mean_with_sample_weight")) {
    ours <- new_loss("function", list(), reduction, "custom_loss", more = list(fun = fun))
    results <- lapply(list(ours, loss_mean_squared_error(reduction = reduction)), function(loss) {
      model <- fill_weights(linear_model(3, 1))
      compile(model, optimizer_sgd(0.01), loss)
      fit(model, x, truths[[2]], sample_weight = seq_len(8) / 4, batch_size = 3, epochs = 2, shuffle = FALSE, verbose = 0)
      get_weights(model)
    })
    expect_equal(results[[1]], results[[2]], tolerance = 1e-12, label = reduction)
  }
})

test_that("values may be one for each sample, position, element, or batch", {
  first <- layer_lambda(f = function(x) x) # a layer within a function
  model <- fill_weights(linear_model(3, 2))
  x <- wave(c(7, 3))
  truth <- wave(c(7, 2), 0.7)
  p <- predict(model, x)
  weight <- c(1, 2, 0, 1, 1, 0.5, 3)
  metrics <- list(
    custom_metric("elements", function(y_true, y_pred) first((y_true - y_pred)^2)),
    custom_metric("samples", function(y_true, y_pred) rowSums(abs(y_true - y_pred))), # of arrays only
    custom_metric("batch", function(y_true, y_pred) max(abs(y_true - y_pred)))
  )
  compile(model, optimizer_sgd(0), "mse", metrics = metrics, weighted_metrics = metrics)
  batches <- list(1:3, 4:6, 7)
  logs <- evaluate(model, x, truth, sample_weight = weight, batch_size = 3, verbose = 0)
  each <- rowMeans((truth - p)^2)
  sums <- rowSums(abs(truth - p))
  largest <- vapply(batches, function(rows) max(abs(truth - p)[rows, ]), 0)
  expect_equal(logs$elements, mean(each))
  expect_equal(logs$weighted_elements, sum(each * weight) / sum(weight))
  expect_equal(logs$samples, mean(sums))
  expect_equal(logs$weighted_samples, sum(sums * weight) / sum(weight))
  expect_equal(logs$batch, mean(largest)) # each batch counts once
  expect_equal(logs$weighted_batch, sum(largest * vapply(batches, function(rows) sum(weight[rows]), 0)) / sum(weight))
  metric <- metrics[[3]]
  expect_equal(metric(truth, p), max(abs(truth - p)))
  expect_identical(metric$name, "batch")
  expect_output(print(metric), "custom_metric(\"batch\")", fixed = TRUE)
})

test_that("a loss of the whole batch, with operations that reduce", {
  x <- wave(c(8, 3))
  truth <- wave(c(8, 2), 0.7)
  weight <- c(1, 2, 0, 1, 1, 0.5, 3, 1)
  per_row <- function(y_true, y_pred) op_mean((y_true - y_pred)^2, axis = -1)
  per_batch <- function(y_true, y_pred) op_mean((y_true - y_pred)^2)
  weights <- lapply(list("mse", per_row, per_batch), function(loss) {
    model <- fill_weights(linear_model(3, 2))
    compile(model, optimizer_sgd(0.1), loss, metrics = if (is.function(loss)) list(custom_metric("m", loss)))
    history <- fit(model, x, truth, batch_size = 4, epochs = 3, shuffle = FALSE, verbose = 0)
    list(get_weights(model), history$metrics$loss)
  })
  expect_equal(weights[[2]], weights[[1]], tolerance = 1e-12)
  expect_equal(weights[[3]], weights[[1]], tolerance = 1e-12)
  model <- fill_weights(linear_model(3, 2))
  compile(model, optimizer_sgd(0.1), per_batch)
  expect_equal(evaluate(model, x, truth, sample_weight = weight, batch_size = 8, verbose = 0)$loss, mean((truth - predict(model, x))^2) * mean(weight))
})

test_that("the same bits for any number of threads, and from a saved model", {
  model <- small_classifier(0.2)
  fun <- function(y_true, y_pred) abs(y_true - y_pred)^1.5
  compile(model, optimizer_adam(0.01), fun, metrics = list(custom_metric("m", fun), custom_metric("n", function(y_true, y_pred) max(y_pred))))
  x <- wave(c(40, 5, 4))
  truth <- to_categorical(rep_len(0:2, 40))
  file <- withr::local_tempfile()
  saveRDS(model, file)
  train <- function(threads) {
    model <- readRDS(file)
    set.seed(4)
    history <- fit(model, x, truth, batch_size = 16, epochs = 2, verbose = 0, threads = threads)
    list(get_weights(model), history$metrics)
  }
  one <- train(1)
  expect_identical(train(8), one)
  expect_named(one[[2]], c("loss", "m", "n"))
})

test_that("wrong functions are said", {
  x <- wave(c(6, 3))
  truth <- wave(c(6, 1))
  expect_error(custom_metric("m"), class = "attentive_error_argument")
  expect_error(custom_metric("m", 3), class = "attentive_error_argument")
  expect_error(custom_metric("m", function(x) x), class = "attentive_error_argument")
  expect_error(custom_metric(3, function(y_true, y_pred) 1), class = "attentive_error_argument")
  expect_error(custom_metric("m", metric_mean_absolute_error()), class = "attentive_error_argument")
  expect_error(as_loss(function() 1), "y_true", class = "attentive_error_argument")
  with_loss <- function(loss, metrics = NULL) {
    model <- linear_model()
    compile(model, "sgd", loss, metrics = metrics)
    model
  }
  untraced <- function(y_true, y_pred) rowMeans(sort(abs(y_true - y_pred)) + 0 * y_true)
  model <- with_loss(untraced)
  expect_error(fit(model, x, truth, verbose = 0), "symbolic tensors", class = "attentive_error_argument")
  expect_equal(evaluate(model, x, truth, verbose = 0)$loss, mean(abs(truth - predict(model, x))))
  heavy <- layer_dense(units = 1)
  expect_error(fit(with_loss(function(y_true, y_pred) heavy(y_true - y_pred)), x, truth, verbose = 0), class = "attentive_error_argument")
  expect_error(evaluate(with_loss("mse", list(custom_metric("m", function(y_true, y_pred) "a"))), x, truth, verbose = 0))
  expect_error(fit(with_loss(function(y_true, y_pred) stop("no")), x, truth, verbose = 0), class = "attentive_error_argument")
  # values that lost the axis of the mask
  model <- masked_model("float64", table)
  compile(model, "sgd", "mse", metrics = list(custom_metric("m", function(y_true, y_pred) apply(y_pred, 1, mean))))
  expect_error(evaluate(model, ids, y, verbose = 0), "mask", class = "attentive_error_argument")
})

test_that("a function of weighted samples has values for each of them", {
  x <- matrix(1:32 / 8, 8)
  y <- matrix(1:16 / 4, 8)
  train <- function(..., weights = rep(1, 8)) {
    model <- keras_model_sequential(input_shape = 4) |> layer_dense(2)
    compile(model, "sgd", ...)
    fit(model, x, y, sample_weight = weights, epochs = 1, verbose = 0)
  }
  every_entry <- function(y_true, y_pred) op_reshape((y_true - y_pred)^2, -1)
  expect_error(train(every_entry), "8 samples", class = "attentive_error_argument")
  expect_error(train("mse", weighted_metrics = list(every_entry)), "8 samples", class = "attentive_error_argument")
  expect_s3_class(train(every_entry, weights = NULL), "keras_training_history")
})
