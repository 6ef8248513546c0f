# Regularizers: Keras's numbers, R functions, and the losses of layers.

golden <- readRDS(test_path("golden", "specifications.rds"))

test_that("penalties and their gradients are Keras's", {
  cases <- Filter(function(case) case$what == "regularizer", golden)
  expect_length(cases, 11)
  for (case in cases) {
    object <- do.call(specification_constructor("regularizer", case$kind), case$args)
    expect_close(object(case$x), as.vector(case$value), 1e-10, case$name)
    expect_close(regularizer_gradient(object, case$x), case$gradient, 1e-10, case$name)
    # the same on the bytes of a variable
    bytes <- pack_numbers(case$x, "float64")
    expect_close(regularizer_value(object, bytes, dim(case$x)), as.vector(case$value), 1e-10, case$name)
    expect_close(
      unpack_numbers(regularizer_gradient(object, bytes, dim(case$x)), dim(case$x), "float64"), case$gradient, 1e-10, case$name
    )
  }
})

test_that("a vector without dim is fine, coefficients stay as they are", {
  expect_equal(regularizer_l1_l2(0.1, 0.2)(c(1, -2)), 0.1 * 3 + 0.2 * 5, tolerance = 1e-15)
  expect_identical(regularizer_l1(0.01)$l1, 0.01)
  expect_identical(get_config(regularizer_l1(0.01))$l1, 0.01)
  expect_identical(regularizer_l1(NULL)$l1, 0.01)
  expect_identical(regularizer_l2(0)(c(Inf, 1)), 0)
  expect_identical(regularizer_orthogonal()(matrix(1, 1, 4)), 0)
})

test_that("an R function is a regularizer, with or without a gradient", {
  fun <- function(w) 0.1 * sum(w^2)
  plain <- as_regularizer(fun)
  expect_equal(plain(1:3), 1.4)
  expect_equal(regularizer_gradient(plain, c(1, 2)), array(c(0.2, 0.4), 2))
  expect_error(regularizer_gradient(as_regularizer(function(w) sum(w) / length(w)), c(1, 2)), class = "attentive_error_argument")
  withgrad <- regularizer_custom(fun, gradient = function(w) 0.2 * w)
  expect_equal(regularizer_gradient(withgrad, matrix(1:4, 2)), matrix(0.2 * 1:4, 2))
  attr(fun, "gradient") <- function(w) 0.2 * w
  expect_equal(regularizer_gradient(as_regularizer(fun), c(1, 2)), array(c(0.2, 0.4), 2))
  wrong <- regularizer_custom(function(w) w, gradient = function(w) 1)
  expect_error(wrong(1:2), class = "attentive_error_argument")
  expect_error(regularizer_gradient(wrong, c(1, 2)), class = "attentive_error_shape")
})

x <- array(sin(1:48), c(2, 4, 6))

test_that("losses come in Keras's order and follow the weights", {
  layer <- layer_multi_head_attention(
    num_heads = 2, key_dim = 3, value_dim = 5, use_gate = TRUE, kernel_regularizer = "l2", bias_regularizer = regularizer_l1(0.5),
    bias_initializer = "ones", activity_regularizer = function(a) sum(a^2) + 1000 * length(dim(a)), dtype = "float64", seed = 1
  )
  expect_identical(layer$losses, list())
  layer$build(dim(x), dim(x))
  expect_length(layer$losses, 10)
  out <- layer(x, x)
  expect_length(layer$losses, 15)
  expect_close(layer$losses[[5]], (sum(out^2) + 3000) / 2, 1e-12)
  expect_true(all(vapply(layer$losses[1:4], function(loss) loss > 2000, NA)))
  w <- get_weights(layer)
  weights <- unlist(lapply(seq_along(w), function(i) if (i %% 2 == 1) 0.01 * sum(w[[i]]^2) else 0.5 * sum(abs(w[[i]]))))
  expect_close(unlist(layer$losses[6:15]), weights, 1e-12)
  set_weights(layer, lapply(w, function(a) a * 2))
  expect_close(unlist(layer$losses[6:15]), weights * rep(c(4, 2), 5), 1e-12)
  layer$trainable <- FALSE
  expect_length(layer$losses, 5)
})

test_that("an R function sees the projections in R's dims, and they are what Keras says", {
  dims <- list()
  see <- function(a) {
    dims[[length(dims) + 1]] <<- dim(a)
    0
  }
  y <- array(cos(1:48), c(2, 3, 2, 4))
  layer <- layer_multi_head_attention(
    num_heads = 2, key_dim = 3, value_dim = 5, output_shape = c(2, 7), attention_axes = 2, activity_regularizer = see
  )
  layer(y, y)
  expect_identical(dims, list(c(2L, 3L, 2L, 2L, 3L), c(2L, 3L, 2L, 2L, 3L), c(2L, 3L, 2L, 2L, 5L), c(2L, 3L, 2L, 2L, 7L)))
  # numbers: the query projection by hand
  seen <- list()
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, dtype = "float64", activity_regularizer = function(a) {
    seen[[length(seen) + 1]] <<- a
    0
  })
  out <- layer(x, x)
  w <- get_weights(layer)
  by_hand <- apply(x, c(1, 2), function(row) apply(w[[1]] * row, c(2, 3), sum)) # [6, 2, 4]
  expect_close(seen[[1]], aperm(array(by_hand, c(2, 3, 2, 4)), c(3, 4, 1, 2)), 1e-12)
  expect_close(seen[[4]], out, 0)
})

test_that("the engine's penalty on activities is that of the R function", {
  make <- function(regularizer, dtype = "float64") {
    layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, activity_regularizer = regularizer, seed = 1, dtype = dtype, use_gate = TRUE)
    layer(x, x)
    unlist(layer$losses)
  }
  expect_close(make(regularizer_l1_l2(0.1, 0.3)), make(function(a) 0.1 * sum(abs(a)) + 0.3 * sum(a^2)), 1e-13)
})

test_that("grouped-query and unprojected attention count what they return, as Keras does", {
  sum_of <- function(a) sum(a)
  grouped <- layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 2, activity_regularizer = sum_of)
  out <- grouped(x, x)
  expect_length(grouped$losses, 5)
  expect_close(grouped$losses[[1]], sum(out) / 2, 1e-6)
  expect_identical(grouped$losses[[1]], grouped$losses[[5]])
  out <- grouped(x, x, return_attention_scores = TRUE)
  expect_length(grouped$losses, 6)
  expect_close(grouped$losses[[2]], 4 * 4, 1e-5) # every row of the scores sums to 1
  plain <- layer_attention(activity_regularizer = sum_of)
  out <- plain(list(x, x))
  expect_close(unlist(plain$losses), sum(out) / 2, 1e-6)
})

test_that("what is for matrices only is refused by the constructor", {
  expect_snapshot(error = TRUE, {
    layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_regularizer = regularizer_orthogonal())
    layer_multi_head_attention(num_heads = 2, key_dim = 3, activity_regularizer = "orthogonal")
    layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_initializer = "identity")
    regularizer_orthogonal()(array(1, c(2, 2, 2)))
    regularizer_l1(-1)
    regularizer_l1_l2(l2 = NaN)
    regularizer_orthogonal(mode = "row")
    regularizer_l2()("a")
    regularizer_custom(1)
    regularizer_custom(function() 1)
  })
})

test_that("a penalty that is an R function is derived and trained with", {
  x <- matrix(sin(1:60), 20)
  y <- x %*% c(1, -2, 0.5)
  train <- function(regularizer, dtype) {
    set_random_seed(1)
    input <- keras_input(3)
    model <- keras_model(input, layer_dense(input, 2, kernel_regularizer = regularizer, bias_regularizer = regularizer, dtype = dtype))
    compile(model, optimizer_sgd(0.05), "mse")
    losses <- vapply(1:10, function(i) train_on_batch(model, x, cbind(y, -y))$loss, 0)
    list(losses, get_weights(model))
  }
  for (dtype in c("float32", "float64")) {
    tolerance <- if (dtype == "float32") 1e-6 else 1e-12
    expected <- train(regularizer_l1(0.1), dtype)
    expect_equal(train(function(w) 0.1 * op_sum(op_abs(w)), dtype), expected, tolerance = tolerance)
    expect_equal(train(regularizer_custom(function(w) 0.1 * sum(abs(w))), dtype), expected, tolerance = tolerance)
    expect_equal(train(function(w) 0.1 * sum(w^2), dtype), train(regularizer_l2(0.1), dtype), tolerance = tolerance)
  }
  for (fun in list(function(w) sum(abs(w)) / length(w), function(w) norm(as.matrix(w)), function(w) w^2)) {
    expect_error(train(fun, "float32"), "gradient cannot be found", class = "attentive_error_argument")
  }
  own <- function(w) max(w) + 0.3 * min(w[1, ]) + mean(w) / prod(w + 3)
  w <- matrix(c(0.3, -0.2, 0.7, 0.1, -0.9, 0.5), 3)
  slope <- (w == 0.7) + 0.3 * (w == 0.1) * (row(w) == 1) + (1 / 6 - mean(w) / (w + 3)) / prod(w + 3)
  expect_equal(regularizer_gradient(as_regularizer(own), w), slope, tolerance = 1e-12)
  expect_identical(regularizer_gradient(as_regularizer(function(w) sum(0 * w)), w), 0 * w)
  # nothing is summed outside of a penalty
  expect_error(sum(keras_input(3)), class = "attentive_error_not_yet")
  expect_error(mean(keras_input(3)), class = "attentive_error_not_yet")
})

test_that("a function is a penalty of gradients and of frozen weights", {
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_regularizer = function(w) 0.1 * sum(w^2), activity_regularizer = function(x) 0.2 * sum(abs(x)), dtype = "float64")
  same <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_regularizer = regularizer_l2(0.1), activity_regularizer = regularizer_l1(0.2), dtype = "float64")
  x <- array(sin(1:24), c(2, 3, 4))
  layer(x, x)
  same(x, x)
  set_weights(same, get_weights(layer))
  expect_equal(get_gradients(layer, x, x, losses = TRUE), get_gradients(same, x, x, losses = TRUE), tolerance = 1e-12, ignore_attr = TRUE)
  input <- keras_input(3)
  frozen <- layer_dense(units = 2, kernel_regularizer = function(w) sum(w) / length(w))
  model <- keras_model(input, layer_dense(frozen(input), 1))
  freeze_weights(frozen)
  compile(model, "sgd", "mse")
  expect_true(is.finite(train_on_batch(model, matrix(1, 2, 3), 1:2)$loss))
})
