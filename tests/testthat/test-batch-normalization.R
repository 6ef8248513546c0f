# Batch normalization against its formula; the moving statistics as a state that a step commits.

# y and the statistics of a batch, in plain R; x has its channels on the last axis.
plain_batch_norm <- function(x, gamma = 1, beta = 0, epsilon = 0.001, mask = NULL) {
  channels <- dim(x)[[length(dim(x))]]
  rows <- matrix(x, ncol = channels)
  counts <- if (is.null(mask)) rep(1, nrow(rows)) else as.double(mask)
  total <- sum(counts) + if (is.null(mask)) 0 else 1e-7
  mean <- colSums(rows * counts) / total
  variance <- colSums(sweep(rows, 2, mean)^2 * counts) / total
  y <- t((t(rows) - mean) / sqrt(variance + epsilon) * c(gamma) + c(beta))
  list(y = array(y, dim(x)), mean = mean, variance = variance)
}

test_that("training uses the statistics of the batch, inference the moving ones", {
  set.seed(1)
  for (size in list(c(5, 3), c(3, 4, 2), c(2, 3, 2, 4))) {
    x <- noise(size) * 3 + 1
    channels <- size[[length(size)]]
    layer <- layer_batch_normalization(momentum = 0.7, dtype = "float64")
    layer$build(dim(x))
    weights <- lapply(seq_len(4), function(i) array(stats::runif(channels, 0.5, 2), channels))
    set_weights(layer, weights)
    plain <- plain_batch_norm(x, weights[[1]], weights[[2]])
    expect_close(layer(x, training = TRUE), plain$y, 1e-12)
    expect_close(get_weights(layer)[[3]], array(0.7 * weights[[3]] + 0.3 * plain$mean), 1e-12)
    expect_close(get_weights(layer)[[4]], array(0.7 * weights[[4]] + 0.3 * plain$variance), 1e-12)
    set_weights(layer, weights)
    expect_close(matrix(layer(x), ncol = channels), t((t(matrix(x, ncol = channels)) - c(weights[[3]])) / sqrt(c(weights[[4]]) + 0.001) *
      c(weights[[1]]) + c(weights[[2]])), 1e-12)
    expect_equal(get_weights(layer), weights)
    single <- layer_batch_normalization(x, dtype = "float32")
    expect_equal(dim(single), dim(x))
    expect_close(layer_batch_normalization()(x, training = TRUE), plain_batch_norm(x)$y, 1e-5)
  }
  expect_everywhere(layer, x)
  expect_equal(vapply(layer$weights, function(w) w$name, ""), c("gamma", "beta", "moving_mean", "moving_variance"))
  expect_length(layer$trainable_weights, 2)
  expect_length(layer$non_trainable_weights, 2)
  bare <- layer_batch_normalization(center = FALSE, scale = FALSE, axis = 2, dtype = "float64")
  y <- bare(noise(4, 3, 5), training = TRUE)
  expect_equal(apply(y, 2, mean), rep(0, 3), tolerance = 1e-10)
  expect_length(get_weights(bare), 2)
})

test_that("with a mask only real positions count", {
  set.seed(2)
  for (i in 1:6) {
    size <- c(pick(2:4), pick(2:5), pick(1:3))
    x <- noise(size)
    mask <- random_mask(size[1:2], 0.6)
    layer <- layer_batch_normalization(momentum = 0, dtype = "float64")
    plain <- plain_batch_norm(x, mask = mask)
    expect_close(layer(x, mask = mask, training = TRUE), plain$y, 1e-11)
    expect_close(get_weights(layer)[[3]], array(plain$mean), 1e-12)
    expect_close(get_weights(layer)[[4]], array(plain$variance), 1e-12)
    fill_weights(layer)
    set_weights(layer, Map(function(w, j) if (j == 4) abs(w) + 0.1 else w, get_weights(layer), 1:4))
    layer_gradients_hold(layer, x, mask, training = TRUE)
    layer_gradients_hold(layer, x, mask)
  }
  layer_gradients_hold(fill_weights({l <- layer_batch_normalization(axis = 2, dtype = "float64"); l$build(c(NA, 3, 2)); l}), noise(4, 3, 2), training = TRUE)
})

# A model of a dense layer, batch normalization and the mean squared error, as SGD trains it.
norm_model <- function(momentum = 0.9) {
  input <- keras_input(3, dtype = "float64")
  hidden <- layer_dense(input, 4, dtype = "float64")
  hidden <- layer_batch_normalization(hidden, momentum = momentum, dtype = "float64", name = "norm")
  keras_model(input, layer_dense(hidden, 1, dtype = "float64"))
}

plain_steps <- function(w, x, y, rate, momentum, steps) {
  losses <- numeric()
  for (step in seq_len(steps)) {
    a <- plain_dense(x, w[[1]], w[[2]])
    n <- nrow(a)
    made <- plain_batch_norm(a, w[[3]], w[[4]])
    s <- 1 / sqrt(made$variance + 0.001)
    u <- t((t(a) - made$mean) * s)
    error <- plain_dense(made$y, w[[7]], w[[8]]) - y
    losses[[step]] <- mean(error^2)
    up <- 2 * error / length(error)
    g <- list()
    g[[7]] <- t(made$y) %*% up
    g[[8]] <- colSums(up)
    d <- up %*% t(w[[7]])
    g[[3]] <- colSums(d * u)
    g[[4]] <- colSums(d)
    d <- t(t(d) * c(w[[3]]))
    d <- t(t(d - rep(colMeans(d), each = n) - u * rep(colMeans(d * u), each = n)) * s)
    g[[1]] <- t(x) %*% d
    g[[2]] <- colSums(d)
    for (i in c(1:4, 7, 8)) w[[i]] <- w[[i]] - rate * c(g[[i]])
    w[[5]] <- momentum * w[[5]] + (1 - momentum) * made$mean
    w[[6]] <- momentum * w[[6]] + (1 - momentum) * made$variance
  }
  list(weights = w, losses = losses)
}

test_that("steps of SGD are those of plain R, moving statistics included", {
  set.seed(3)
  x <- noise(40, 3) + 2
  y <- noise(40, 1)
  model <- norm_model()
  start <- get_weights(model)
  expect_equal(vapply(model$weights, function(w) w$name, ""), c("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"))
  plain <- plain_steps(start, x, y, 0.1, 0.9, 5)
  model %>% compile(optimizer = optimizer_sgd(learning_rate = 0.1), loss = "mse")
  history <- model %>% fit(x, y, epochs = 5, batch_size = 40, shuffle = FALSE, verbose = 0)
  expect_equal(history$metrics$loss, plain$losses, tolerance = 1e-10)
  made <- get_weights(model)
  for (i in seq_along(made)) expect_close(made[[i]], array(plain$weights[[i]], dim(made[[i]])), 1e-9, paste("weight", i))
  # inference leaves everything alone
  predict(model, x)
  evaluate(model, x, y, verbose = 0)
  expect_identical(get_weights(model), made)
})

test_that("a step that is abandoned changes no statistics", {
  set.seed(4)
  model <- norm_model()
  model %>% compile(optimizer = optimizer_sgd(learning_rate = 0.1), loss = "mse")
  x <- noise(8, 3)
  fit(model, x, noise(8, 1), epochs = 1, verbose = 0)
  before <- get_weights(model)
  y <- noise(8, 1)
  y[3] <- 1e300
  expect_error(fit(model, x, y, epochs = 1, verbose = 0), class = "attentive_error_loss")
  expect_identical(get_weights(model), before)
})

test_that("a copy of the weights in R does not change with the statistics", {
  layer <- layer_batch_normalization(momentum = 0.5)
  x <- noise(6, 2) + 5
  layer(x)
  held <- layer$moving_mean[["value"]]
  kept <- c(held)
  layer(x, training = TRUE)
  expect_identical(held, kept)
  expect_false(identical(get_weights(layer)[[3]], array(c(0, 0))))
})

test_that("a frozen layer is in inference", {
  set.seed(5)
  x <- noise(20, 3)
  y <- noise(20, 1)
  model <- norm_model()
  model(x, training = TRUE)
  layer <- get_layer(model, "norm")
  before <- get_weights(layer)
  layer$trainable <- FALSE
  expect_equal(model(x, training = TRUE), model(x))
  expect_identical(get_weights(layer), before)
  model %>% compile(optimizer = optimizer_sgd(learning_rate = 0.1), loss = "mse")
  fit(model, x, y, epochs = 2, verbose = 0)
  expect_identical(get_weights(layer), before)
  layer$trainable <- TRUE
  model(x, training = TRUE)
  expect_false(identical(get_weights(layer)[[3]], before[[3]]))
  expect_length(layer$trainable_weights, 2)
})

test_that("the same bits for any number of threads, and a model may be saved", {
  set.seed(6)
  x <- noise(64, 20, 16)
  layer <- layer_batch_normalization()
  layer(x)
  start <- get_weights(layer)
  one <- layer(x, training = TRUE, threads = 1)
  after <- get_weights(layer)
  set_weights(layer, start)
  expect_same(layer(x, training = TRUE, threads = 4), one)
  expect_identical(get_weights(layer), after)
  copy <- unserialize(serialize(layer, NULL))
  expect_same(copy(x), layer(x))
})

test_that("wrong arguments are named", {
  x <- noise(4, 3)
  expect_error(layer_batch_normalization(axis = 0), class = "attentive_error_argument")
  expect_error(layer_batch_normalization(axis = c(2, 3)), class = "attentive_error_argument")
  expect_error(layer_batch_normalization(momentum = 2), "momentum", class = "attentive_error_argument")
  expect_error(layer_batch_normalization(epsilon = -1), class = "attentive_error_argument")
  expect_error(layer_batch_normalization(center = NA), class = "attentive_error_argument")
  expect_error(layer_batch_normalization(x, axis = 3), class = "attentive_error_shape")
  expect_error(layer_batch_normalization(x, axis = 1), class = "attentive_error_shape")
  expect_error(layer_batch_normalization(x, momentun = 1), class = "attentive_error_name")
  layer <- layer_batch_normalization()
  layer(x)
  expect_error(layer(noise(4, 2)), "built for sizes", class = "attentive_error_shape")
  expect_error(layer_batch_normalization(keras_input(c(NA, NA))), class = "attentive_error_shape")
})
