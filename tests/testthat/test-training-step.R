# The doorway of training: one call is one step, and an error leaves all as it was.

variable <- function(x) new_variable(pack_numbers(x, "float64"), dim(x), "float64", "w", "w")
numbers <- function(variables) lapply(variables, as.array)

# A dense layer [3] -> [2], ten samples with weights.
setting <- function() {
  set.seed(11)
  variables <- list(variable(matrix(rnorm(6), 3)), variable(array(rnorm(2), 2)))
  builder <- new_builder()
  x <- new_value(builder)
  y <- add_node(builder, "dense", x, list(units = 2), variables)
  list(
    variables = variables, program = program_create(finish_program(builder, x, list(handle(y))), TRUE),
    x = matrix(rnorm(30), 10), y = matrix(rnorm(20), 10), w = runif(10)
  )
}

training <- function(..., loss = list(kind = "mean_squared_error"), optimizer = list(kind = "adam")) {
  training_create(list(losses = list(loss), shapes = list(c(3L, 2L), 2L), ..., optimizer = optimizer), TRUE)
}

slots_for <- function(variables, training) {
  lapply(variables, function(v) lapply(training_slots(training), function(name) variable(array(0, v[["shape"]]))))
}

step <- function(s, training, rows, slots, number = 1, rate = 0.05, y = 2L, sample_weight = NULL) {
  data <- dataset_create(list(s$x, s$y, s$w), TRUE, 1L)
  training_step(s$program, training, data, list(y = y, sample_weight = sample_weight), rows, s$variables, slots, number, rate, number, 1L)
}

test_that("twenty steps are those of the formulas", {
  s <- setting()
  fit <- training(
    penalties = list(list(orthogonal = FALSE, l1 = 0.01, l2 = 0.02), NULL),
    metrics = list(list(output = 1, kind = "mean_absolute_error"), list(output = 1, kind = "mean_absolute_error", weighted = TRUE))
  )
  expect_identical(training_slots(fit), c("momentum", "velocity"))
  slots <- slots_for(s$variables, fit)
  k <- as.array(s$variables[[1L]])
  b <- as.array(s$variables[[2L]])
  m <- v <- list(0, 0)
  for (t in 1:20) {
    rows <- sample(10L, 4L)
    result <- step(s, fit, rows, slots, t, sample_weight = 3L)
    x <- s$x[rows, ]
    w <- s$w[rows]
    error <- x %*% k + rep(c(b), each = 4L) - s$y[rows, ]
    expect_equal(result$loss, c(sum(w * rowMeans(error^2)) + 4 * (0.01 * sum(abs(k)) + 0.02 * sum(k^2)), 4), tolerance = 1e-12)
    expect_equal(result$metrics, list(c(sum(rowMeans(abs(error))), 4), c(sum(w * rowMeans(abs(error))), sum(w))), tolerance = 1e-12)
    upstream <- w * error / 4
    gradient <- list(t(x) %*% upstream + 0.01 * sign(k) + 0.04 * k, colSums(upstream))
    change <- lapply(1:2, function(i) {
      m[[i]] <<- m[[i]] + 0.1 * (gradient[[i]] - m[[i]])
      v[[i]] <<- v[[i]] + 0.001 * (gradient[[i]]^2 - v[[i]])
      0.05 * sqrt(1 - 0.999^t) / (1 - 0.9^t) * m[[i]] / (sqrt(v[[i]]) + 1e-7)
    })
    k <- k - change[[1L]]
    b <- b - change[[2L]]
    expect_equal(c(as.array(s$variables[[1L]])), c(k), tolerance = 1e-11)
    expect_equal(c(as.array(s$variables[[2L]])), c(b), tolerance = 1e-11)
  }
  expect_identical(c(result$finite, result$updated), c(TRUE, TRUE))
})

test_that("numbers that another object shares are copied first, others are written in place", {
  s <- setting()
  fit <- training()
  slots <- slots_for(s$variables, fit)
  snapshot <- lapply(s$variables, function(v) v[["value"]])
  before <- numbers(s$variables)
  step(s, fit, 1:4, slots)
  expect_false(identical(numbers(s$variables), before))
  expect_identical(snapshot[[1L]], pack_numbers(before[[1L]], "float64"))
})

test_that("functions of R serve as loss, regularizer and constraint", {
  s <- setting()
  plain <- setting()
  squares <- list(
    kind = "function", fun = function(y_true, y_pred) rowMeans((y_pred - y_true)^2), gradient = function(y_true, y_pred) y_pred - y_true
  )
  l2 <- list(
    value = function(raw) 0.1 * sum(unpack_numbers(raw, c(3L, 2L), "float64")^2),
    gradient = function(raw) pack_numbers(0.2 * unpack_numbers(raw, c(3L, 2L), "float64"), "float64")
  )
  positive <- function(raw) pack_numbers(pmax(unpack_numbers(raw, c(3L, 2L), "float64"), 0), "float64")
  by_function <- training(loss = squares, penalties = list(l2, NULL), constraints = list(positive, NULL), optimizer = list(kind = "sgd", momentum = 0.9))
  built_in <- training(penalties = list(list(orthogonal = FALSE, l1 = 0, l2 = 0.1), NULL), constraints = list(list(nonneg = TRUE), NULL),
    optimizer = list(kind = "sgd", momentum = 0.9))
  slots <- list(slots_for(s$variables, by_function), slots_for(plain$variables, built_in))
  for (t in 1:3) expect_equal(step(s, by_function, 1:5, slots[[1L]], t), step(plain, built_in, 1:5, slots[[2L]], t))
  expect_equal(numbers(s$variables), numbers(plain$variables))
})

test_that("an error changes nothing", {
  s <- setting()
  before <- numbers(s$variables)
  unchanged <- function(fit, ..., slots = slots_for(s$variables, fit)) {
    expect_error(step(s, fit, 1:4, slots, ...))
    expect_identical(numbers(s$variables), before)
    expect_true(all(unlist(numbers(unlist(slots))) == 0))
  }
  unchanged(training(constraints = list(NULL, function(raw) stop("no"))))
  unchanged(training(constraints = list(NULL, function(raw) raw(3))))
  unchanged(training(penalties = list(list(value = function(raw) 1, gradient = function(raw) stop("no")), NULL)))
  unchanged(training(loss = list(kind = "function", fun = function(y_true, y_pred) rowMeans(y_pred))))
  unchanged(training(loss = list(kind = "function", fun = function(y_true, y_pred) 1)))
  unchanged(training(), y = 3L)
  unchanged(training(loss = list(kind = "sparse_categorical_crossentropy")), y = 3L)
  unchanged(training(optimizer = NULL))
  expect_error(training(loss = list(kind = "nothing")))
  expect_error(training(optimizer = list(kind = "nothing")))
})

test_that("a loss that is not finite holds the update back where that is wanted", {
  s <- setting()
  s$y[2L, 1L] <- Inf
  before <- numbers(s$variables)
  fit <- training(stop_on_nan = TRUE)
  slots <- slots_for(s$variables, fit)
  result <- step(s, fit, 1:4, slots)
  expect_identical(c(result$finite, result$updated), c(FALSE, FALSE))
  expect_identical(numbers(s$variables), before)
  expect_true(step(s, fit, 3:4, slots)$updated)
})

test_that("evaluation adds up over batches and changes nothing", {
  s <- setting()
  fit <- training(metrics = list(list(output = 1, kind = "mean_squared_error")))
  data <- dataset_create(list(s$x, s$y), TRUE, 1L)
  before <- numbers(s$variables)
  results <- lapply(c(3L, 10L), function(size) test_step(s$program, fit, data, list(y = 2L), NULL, size, s$variables, 1L))
  expect_equal(results[[1L]], results[[2L]])
  expect_equal(results[[1L]]$metrics[[1L]], results[[1L]]$loss)
  expect_identical(numbers(s$variables), before)
})

test_that("pointers of another session are dead", {
  s <- setting()
  file <- withr::local_tempfile()
  saveRDS(s$program, file)
  expect_true(pointer_alive(s$program))
  expect_false(pointer_alive(readRDS(file)))
  expect_false(pointer_alive(NULL))
  expect_error(program_predict(readRDS(file), dataset_create(list(s$x), TRUE, 1L), NULL, 4L, s$variables, 1L))
})

test_that("a function of arrays inside a model predicts, and trains what stands behind it", {
  local_floatx <- config_floatx()
  config_set_floatx("float64")
  on.exit(config_set_floatx(local_floatx))
  set.seed(12)
  inputs <- keras_input(3L)
  reversed <- function(x) t(apply(x, 1, rev))
  x <- matrix(rnorm(12), 4)
  y <- rnorm(4)

  before <- layer_dense(units = 3L)
  model <- keras_model(inputs, inputs |> before() |> layer_lambda(reversed))
  expect_equal(model(x), reversed(before(x)), ignore_attr = TRUE)
  expect_equal(predict(model, x, verbose = 0L), reversed(before(x)), ignore_attr = TRUE)
  compile(model, optimizer = "sgd", loss = "mse")
  expect_error(fit(model, x, x, epochs = 1L, verbose = 0L), class = "attentive_error_argument")

  behind <- keras_model(inputs, inputs |> layer_lambda(reversed) |> layer_dense(1L))
  compile(behind, optimizer = "sgd", loss = "mse")
  start <- get_weights(behind)
  fit(behind, x, y, epochs = 1L, verbose = 0L)
  error <- drop(reversed(x) %*% start[[1L]]) - y
  expect_equal(get_weights(behind)[[1L]], start[[1L]] - 0.01 * t(reversed(x)) %*% (2 * error / 4))
})
