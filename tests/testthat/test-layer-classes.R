# Classes of layers that users write: the call is traced and becomes nodes.

layer_encoder <- Layer("Encoder",
  initialize = function(heads, width, ...) {
    super$initialize(...)
    self$heads <- heads
    self$width <- width
    self$attention <- layer_multi_head_attention(num_heads = heads, key_dim = width)
    self$dense <- layer_dense(units = width, activation = "relu")
    self$norms <- list(layer_layer_normalization(), layer_layer_normalization())
    self$supports_masking <- TRUE
  },
  call = function(inputs, training = NULL) {
    x <- self$norms[[1]](inputs + self$attention(inputs, inputs, training = training))
    self$norms[[2]](x + self$dense(x))
  }
)

# The same put together by hand from the same layers.
plain_encoder <- function(layer, x) {
  y <- layer$norms[[1]](layer_add(x, layer$attention(x, x)))
  layer$norms[[2]](layer_add(y, layer$dense(y)))
}

test_that("the first argument decides what comes back", {
  layer <- layer_encoder(heads = 2, width = 6)
  expect_s3_class(layer, "attentive_layer")
  expect_false(layer$built)
  x <- wave(c(2, 5, 6))
  expect_equal(dim(layer(x)), c(2, 5, 6))
  expect_true(layer$built)
  expect_equal(dim(layer_encoder(x, heads = 2, width = 6)), c(2, 5, 6))
  tensor <- keras_input(c(5, 6)) |> layer_encoder(2, 6)
  expect_s3_class(tensor, "attentive_tensor")
  expect_identical(dim(tensor), c(NA, 5L, 6L))
  model <- keras_model_sequential(input_shape = c(5, 6)) |> layer_encoder(2, 6, name = "mine")
  expect_identical(model$layers[[1]]$name, "mine")
  expect_identical(names(formals(layer_encoder)), c("object", "heads", "width", "..."))
  expect_identical(dim(layer(object = x)), dim(x))
})

test_that("arrays, a model and the same layers by hand give the same numbers", {
  for (dtype in c("float32", "float64")) {
    local_floatx(dtype)
    layer <- layer_encoder(heads = 2, width = 6)
    x <- wave(c(3, 5, 6))
    layer$build(c(NA, NA, 6))
    fill_weights(layer)
    input <- keras_input(c(NA, 6))
    expected <- plain_encoder(layer, x)
    expect_close(layer(x), expected, if (dtype == "float64") 1e-12 else 1e-5)
    expect_same(keras_model(input, layer(input))(x), layer(x))
    expect_close(layer(x[, 1:2, , drop = FALSE]), plain_encoder(layer, x[, 1:2, , drop = FALSE]), 1e-5)
  }
})

test_that("weights are found in order, counted, frozen and penalized", {
  layer_own <- Layer("Own",
    initialize = function(...) {
      super$initialize(...)
      self$inner <- list(a = layer_dense(units = 2, kernel_regularizer = regularizer_l2(0.1)), b = list(layer_dense(units = 3)))
    },
    build = function(input_shape) {
      self$still <- self$add_weight(shape = 1, initializer = "zeros", trainable = FALSE, name = "still")
      self$scale <- self$add_weight(shape = c(input_shape[[2]]), initializer = "ones", regularizer = "l2", name = "scale")
    },
    call = function(inputs) self$inner$b[[1]](self$inner$a(inputs * self$scale + self$still))
  )
  input <- keras_input(4)
  layer <- layer_own()
  model <- keras_model(input, layer(input))
  expect_identical(lapply(get_weights(layer), dim), list(4L, 1L, c(4L, 2L), 2L, c(2L, 3L), 3L))
  expect_identical(vapply(layer$weights[1:2], function(w) w$path, ""), c("own/scale", "own/still"))
  expect_identical(count_params(model), 4 + 1 + 8 + 2 + 6 + 3)
  expect_length(model$trainable_weights, 5)
  expect_length(layer$losses, 2)
  expect_match(summary(model) |> capture.output() |> paste(collapse = " "), "own \\(Own\\)")
  freeze_weights(model)
  expect_length(model$trainable_weights, 0)
  expect_false(layer$inner$a$trainable)
  unfreeze_weights(model)
  # the penalties are part of the loss
  compile(model, optimizer_sgd(0.1), "mse")
  x <- wave(c(5, 4))
  y <- model(x)
  expect_close(evaluate(model, x, y, verbose = 0)$loss, sum(unlist(layer$losses)), 1e-6)
  # own weights are trained, those that are not stay
  before <- get_weights(layer)
  fit(model, x, wave(c(5, 3), 2), epochs = 2, verbose = 0)
  moved <- mapply(function(a, b) !identical(a, b), before, get_weights(layer))
  expect_identical(moved, c(TRUE, FALSE, TRUE, TRUE, TRUE, TRUE))
})

test_that("gradients reach a layer's own weights", {
  local_floatx("float64")
  layer_scaled <- Layer("Scaled",
    build = function(input_shape) self$w <- self$add_weight(shape = c(2, 3), initializer = wave(c(2, 3)), name = "w"),
    call = function(inputs) exp(self$w * inputs) / (1 + self$w^2)
  )
  layer <- layer_scaled()
  input <- keras_input(c(2, 3))
  case <- list(model = keras_model(input, layer(input)), arrays = list(wave(c(4, 2, 3))), names = "x")
  upstream <- wave(c(4, 2, 3), 3)
  gradient <- model_gradients(case, list(upstream))
  loss <- function() sum(run_model(case) * upstream)
  at <- get_weights(layer)[[1]]
  numeric <- at
  for (i in seq_along(at)) {
    numeric[i] <- (function(h) {
      value <- function(d) { set_weights(layer, list(replace(at, i, at[i] + d))); loss() }
      (value(h) - value(-h)) / (2 * h)
    })(1e-6)
  }
  expect_close(gradient$weights[[1]], numeric, 1e-8)
})

test_that("`training` is known: two traces", {
  layer_both <- Layer("Both", call = function(inputs, training = NULL) if (isTRUE(training)) inputs * 2 else if (isFALSE(training)) inputs * 3 else inputs)
  layer <- layer_both()
  x <- wave(c(3, 2))
  expect_close(layer(x), x, 1e-6)
  expect_close(layer(x, training = TRUE), 2 * x, 1e-6)
  expect_close(layer(x, training = FALSE), 3 * x, 1e-6)
  input <- keras_input(2)
  model <- keras_model(input, layer(input))
  expect_close(predict(model, x, verbose = 0), 3 * x, 1e-6)
  expect_close(model(x, training = TRUE), 2 * x, 1e-6)
  compile(model, "sgd", "mse")
  expect_close(fit(model, x, 2 * x, verbose = 0)$metrics$loss, 0, 1e-10)
  expect_close(evaluate(model, x, 3 * x, verbose = 0)$loss, 0, 1e-10)
  # within another layer, and told to a layer of the package
  layer_around <- Layer("Around",
    initialize = function(...) {
      super$initialize(...)
      self$inner <- layer_both()
      self$dropout <- layer_dropout(rate = 0.5, seed = 1)
    },
    call = function(inputs, training = NULL) self$dropout(self$inner(inputs, training = training), training = training)
  )
  around <- keras_model(input, layer_around(input))
  expect_close(predict(around, x, verbose = 0), 3 * x, 1e-6)
  dropped <- around(x, training = TRUE)
  expect_true(all(dropped == 0 | abs(dropped - 4 * x) < 1e-5) && any(dropped == 0) && any(dropped != 0))
})
