# The simple layers on arrays, each against its formula in R.

test_that("a dense layer is a matrix product, a bias and an activation", {
  x <- wave(c(3, 4, 5))
  layer <- layer_dense(units = 2, activation = "tanh", dtype = "float64")
  y <- fill_weights({layer(x); layer})(x)
  weights <- get_weights(layer)
  expect_equal(lapply(weights, dim), list(c(5L, 2L), 2L))
  expect_equal(y, tanh(plain_dense(x, weights[[1]], weights[[2]])), tolerance = 1e-12)
  bare <- layer_dense(units = 3, use_bias = FALSE)
  expect_equal(dim(bare(x[, 1, ])), c(3L, 3L))
  expect_length(get_weights(bare), 1)
  expect_equal(vapply(layer$weights, function(w) w$path, ""), paste0(layer$name, c("/kernel", "/bias")))
})

test_that("activations are what their names say", {
  x <- matrix(seq(-3, 3, length.out = 12), 3)
  formulas <- list(
    linear = function(x) x, relu = function(x) pmax(x, 0), sigmoid = function(x) 1 / (1 + exp(-x)), tanh = tanh, exponential = exp,
    gelu = function(x) x * stats::pnorm(x), silu = function(x) x / (1 + exp(-x)), softplus = function(x) log1p(exp(x)),
    softsign = function(x) x / (1 + abs(x)), softmax = function(x) exp(x) / rowSums(exp(x)), log_softmax = function(x) x - log(rowSums(exp(x))),
    elu = function(x) ifelse(x > 0, x, exp(x) - 1), leaky_relu = function(x) ifelse(x > 0, x, 0.2 * x),
    relu6 = function(x) pmin(pmax(x, 0), 6), hard_sigmoid = function(x) pmin(pmax(x / 6 + 0.5, 0), 1),
    mish = function(x) x * tanh(log1p(exp(x)))
  )
  for (name in names(formulas)) {
    expect_equal(layer_activation(x, name, dtype = "float64"), formulas[[name]](x), tolerance = 1e-10, info = name)
    dense <- layer_dense(units = 4, activation = name, kernel_initializer = "identity", dtype = "float64")
    expect_equal(dense(x), formulas[[name]](x), tolerance = 1e-10, info = name)
  }
  expect_error(layer_activation(x, "rellu"), "Did you mean \"relu\"", class = "attentive_error_name")
  expect_error(layer_activation(x, 3), class = "attentive_error_argument")
  expect_equal(layer_activation(x, function(x) x * x + 1, dtype = "float64"), x * x + 1, tolerance = 1e-12)
  expect_equal(layer_dense(units = 4, activation = function(x) exp(x) / 2, kernel_initializer = "identity", dtype = "float64")(x), exp(x) / 2,
    tolerance = 1e-12
  )
  expect_error(layer_activation(x, function(x) "no"), "symbolic tensor", class = "attentive_error_argument")
})

test_that("an activation that halves the features does so within every layer", {
  local_floatx("float64")
  x <- wave(c(2, 5, 3))
  makers <- list(
    function(activation) layer_dense(units = 4, activation = activation, seed = 1),
    function(activation) layer_conv_1d(filters = 4, kernel_size = 2, activation = activation, seed = 1),
    function(activation) layer_einsum_dense(equation = "abc,cd->abd", output_shape = c(NA, 4), activation = activation, seed = 1)
  )
  for (make in makers) for (activation in list("glu", activation_glu, function(x) op_glu(x))) {
    layer <- make(activation)
    y <- layer(x)
    expect_close(y, layer_activation(make(NULL)(x), "glu"), 1e-12)
    model <- keras_model_sequential(input_shape = c(5, 3), layers = list(layer))
    expect_identical(as.integer(model$output_shape), c(NA, dim(y)[-1]))
    expect_identical(dim(y)[[3]], 2L)
    compile(model, "sgd", "mse")
    expect_true(is.finite(fit(model, x, y * 0, verbose = 0)$metrics$loss))
  }
  expect_error(layer_dense(x, 3, activation = "glu"), "even", class = "attentive_error_shape")
  expect_error(keras_model_sequential(input_shape = 3) |> layer_dense(3, activation = "glu"), "even", class = "attentive_error_shape")
})

test_that("an embedding looks rows up and makes a mask of zeros", {
  ids <- rbind(c(3, 0, 1), c(2, 2, 0))
  layer <- layer_embedding(input_dim = 4, output_dim = 2, mask_zero = TRUE, dtype = "float64")
  y <- layer(ids)
  table <- get_weights(layer)[[1]]
  expect_equal(dim(table), c(4L, 2L))
  expect_equal(y, array(table[ids + 1, ], c(2, 3, 2)))
  expect_equal(layer$compute_mask(ids), ids != 0)
  expect_true(all(abs(table) <= 0.05))
  given <- layer_embedding(input_dim = 4, output_dim = 2, weights = table, dtype = "float64")
  expect_equal(given(ids), y)
  expect_match(given$weights[[1]]$path, paste0(given$name, "/embeddings"), fixed = TRUE)
  for (wrong in list(4, -1, 1.5, NA)) {
    expect_error(layer(replace(ids, 5, wrong)), "[1, 3]", fixed = TRUE, class = "attentive_error_argument")
  }
  expect_error(layer_embedding(input_dim = 4, output_dim = 2, weights = matrix(0, 3, 2)), class = "attentive_error_weights")
})

test_that("dropout drops while training only, and repeats", {
  x <- matrix(1, 40, 50)
  layer <- layer_dropout(rate = 0.3, seed = 7)
  expect_equal(layer(x), x)
  first <- layer(x, training = TRUE)
  second <- layer(x, training = TRUE)
  expect_equal(sort(unique(as.vector(first))), c(0, 1 / 0.7), tolerance = 1e-5)
  expect_equal(mean(first == 0), 0.3, tolerance = 0.1)
  expect_false(identical(first, second))
  again <- layer_dropout(rate = 0.3, seed = 7)
  expect_identical(again(x, training = TRUE), first)
  set.seed(3)
  a <- layer_dropout(rate = 0.5)(x, training = TRUE)
  set.seed(3)
  expect_identical(layer_dropout(rate = 0.5)(x, training = TRUE), a)
  rows <- layer_dropout(rate = 0.5, noise_shape = c(NA, 1))(x, training = TRUE)
  expect_true(all(apply(rows, 1, function(row) length(unique(row)) == 1)))
  expect_true(all(layer_dropout(rate = 1)(x, training = TRUE) == 0))
  expect_error(layer_dropout(rate = 2), class = "attentive_error_argument")
  expect_error(layer_dropout(x, 0.5, noise_shape = c(NA, 2)), class = "attentive_error_shape")
})

test_that("layer normalization gives mean 0 and variance 1", {
  x <- wave(c(3, 4, 5))
  layer <- layer_layer_normalization(dtype = "float64")
  layer(x)
  weights <- get_weights(fill_weights(layer))
  expected <- apply(x, 1:2, function(v) {
    (v - mean(v)) / sqrt(mean((v - mean(v))^2) + 0.001) * as.vector(weights[[1]]) + as.vector(weights[[2]])
  })
  expect_equal(layer(x), aperm(expected, c(2, 3, 1)), tolerance = 1e-10)
  expect_equal(vapply(layer$weights, function(w) w$name, ""), c("gamma", "beta"))
  both <- layer_layer_normalization(x, axis = c(2, 3), center = FALSE, scale = FALSE, epsilon = 0, dtype = "float64")
  expect_equal(apply(both, 1, mean), rep(0, 3), tolerance = 1e-10)
  expect_equal(apply(both^2, 1, mean), rep(1, 3), tolerance = 1e-10)
  rms <- layer_layer_normalization(x, rms_scaling = TRUE, dtype = "float64")
  expect_equal(rms[2, 3, ], x[2, 3, ] / sqrt(mean((x[2, 3, ] - mean(x[2, 3, ]))^2) + 0.001), tolerance = 1e-10)
  expect_error(layer_layer_normalization(x, axis = 1), class = "attentive_error_shape")
  expect_error(layer_layer_normalization(axis = 0), "count from 1", class = "attentive_error_argument")
  expect_error(layer(wave(c(3, 4, 6))), "built for sizes", class = "attentive_error_shape")
})

test_that("merging layers work element by element and broadcast", {
  a <- wave(c(2, 3, 4))
  b <- wave(c(2, 3, 4), 0.3)
  c <- wave(c(2, 3, 4), 0.7)
  expect_equal(layer_add(list(a, b, c), dtype = "float64"), a + b + c, tolerance = 1e-12)
  expect_equal(layer_add(a, b, c, dtype = "float64"), a + b + c, tolerance = 1e-12)
  expect_equal(layer_subtract(list(a, b), dtype = "float64"), a - b, tolerance = 1e-12)
  expect_equal(layer_multiply(list(a, b, c), dtype = "float64"), a * b * c, tolerance = 1e-12)
  expect_equal(layer_average(list(a, b, c), dtype = "float64"), (a + b + c) / 3, tolerance = 1e-12)
  expect_equal(layer_maximum(list(a, b), dtype = "float64"), pmax(a, b), tolerance = 1e-12)
  expect_equal(layer_minimum(list(a, b), dtype = "float64"), pmin(a, b), tolerance = 1e-12)
  row <- wave(c(2, 1, 4))
  expect_equal(layer_add(list(a, row), dtype = "float64"), a + row[, rep(1, 3), ], tolerance = 1e-12)
  expect_error(layer_add(list(a, wave(c(2, 3, 5)))), "[2, 3, 4], [2, 3, 5]", fixed = TRUE, class = "attentive_error_shape")
  expect_error(layer_add(list(a, wave(c(3, 3, 4)))), class = "attentive_error_shape")
  expect_error(layer_add(list(a)), "at least 2", class = "attentive_error_argument")
  expect_error(layer_subtract(list(a, b, c)), "exactly two", class = "attentive_error_argument")
  expect_true(is.function(layer_add()))
})

test_that("concatenation puts arrays side by side along any axis", {
  a <- wave(c(2, 3, 4))
  b <- wave(c(2, 3, 2), 0.3)
  made <- layer_concatenate(list(a, b), dtype = "float64")
  expect_equal(made[, , 1:4], a)
  expect_equal(made[, , 5:6], b)
  time <- layer_concatenate(a, wave(c(2, 5, 4)), axis = 2, dtype = "float64")
  expect_equal(dim(time), c(2L, 8L, 4L))
  expect_equal(time[, 1:3, ], a)
  expect_error(layer_concatenate(list(a, b), axis = 2), class = "attentive_error_shape")
  expect_error(layer_concatenate(list(a, b), axis = 4), class = "attentive_error_shape")
})

test_that("flatten and reshape count in row-major order", {
  x <- array(as.double(1:24), c(2, 3, 4))
  expect_equal(layer_flatten(x), rbind(as.vector(t(x[1, , ])), as.vector(t(x[2, , ]))))
  expect_equal(layer_flatten(x, data_format = "channels_first")[1, ], as.vector(x[1, , ]))
  expect_equal(layer_reshape(x, c(6, 2))[1, , ], matrix(as.vector(t(x[1, , ])), 6, byrow = TRUE))
  expect_equal(layer_reshape(x, c(NA, 2)), layer_reshape(x, c(6, -1)))
  expect_equal(layer_reshape(x, c(6, 2)), array_reshape(x, c(2, 6, 2)))
  expect_error(layer_reshape(x, c(5, 2)), class = "attentive_error_shape")
  expect_error(layer_reshape(x, c(NA, NA)), class = "attentive_error_shape")
  expect_equal(array_reshape(1:6, c(2, 3)), rbind(1:3, 4:6))
  expect_equal(array_reshape(1:6, c(2, NA), order = "F"), matrix(1:6, 2))
  expect_error(array_reshape(1:6, c(4, 2)), class = "attentive_error_shape")
})

test_that("pooling takes the mean of real tokens and the maximum of all", {
  x <- wave(c(3, 4, 2))
  mask <- rbind(c(TRUE, TRUE, FALSE, FALSE), TRUE, FALSE)
  layer <- layer_global_average_pooling_1d(dtype = "float64")
  expect_equal(layer(x), apply(x, c(1, 3), mean), tolerance = 1e-12)
  masked <- layer(x, mask = mask)
  expect_equal(masked[1, ], colMeans(x[1, 1:2, ]), tolerance = 1e-12)
  expect_equal(masked[2, ], colMeans(x[2, , ]), tolerance = 1e-12)
  expect_equal(masked[3, ], c(0, 0))
  expect_equal(layer_global_max_pooling_1d(x, dtype = "float64"), apply(x, c(1, 3), max))
  expect_equal(dim(layer_global_max_pooling_1d(x, keepdims = TRUE)), c(3L, 1L, 2L))
  expect_equal(layer_global_average_pooling_1d(x, data_format = "channels_first", dtype = "float64"), apply(x, 1:2, mean), tolerance = 1e-12)
  expect_error(layer(x[, 1, ]), "three dimensions", class = "attentive_error_shape")
  expect_error(layer(x, mask = mask[, 1:2]), class = "attentive_error_mask")
  expect_error(layer(x, mask = mask - 5), class = "attentive_error_mask")
})

test_that("a lambda layer is traced and becomes part of the engine's program", {
  x <- wave(c(2, 3))
  expect_equal(layer_lambda(x, function(x) x * 2 + 1, dtype = "float64"), x * 2 + 1, tolerance = 1e-12)
  expect_equal(layer_lambda(x, function(x, k) (x - k) / 4, arguments = list(k = 3), dtype = "float64"), (x - 3) / 4, tolerance = 1e-12)
  two <- layer_lambda(list(x, x), function(l) l[[1]] * l[[2]], dtype = "float64")
  expect_equal(two, x * x, tolerance = 1e-12)
  expect_equal(unlist(layer_lambda(keras_input(c(4, 2)), function(x) layer_flatten(x) * 2)$shape), 8L)
  expect_error(layer_lambda(x, ~ .x), "formula", class = "attentive_error_argument")
  expect_error(layer_lambda(x, function(x) stop("dear me")), "dear me", class = "attentive_error_argument")
})

test_that("constructors say what is missing, unknown or wrong", {
  x <- wave(c(2, 3))
  expect_error(layer_dense(x), "`units` is missing", class = "attentive_error_argument")
  expect_error(layer_dense(4), "units = 3", class = "attentive_error_argument")
  expect_error(layer_dense(x, 3, activaton = "relu"), class = "attentive_error_name")
  expect_error(layer_dense(x, 2.5), class = "attentive_error_argument")
  expect_error(layer_dense("a", 2), "numeric array", class = "attentive_error_argument")
  expect_error(layer_embedding(x, 4), "`output_dim` is missing", class = "attentive_error_argument")
  layer <- layer_dense(units = 2)
  layer(x)
  expect_error(layer(wave(c(2, 4))), "built for 3 features, not 4", class = "attentive_error_shape")
  expect_error(layer(x, maks = 1), class = "attentive_error_name")
  expect_error(layer(), class = "attentive_error_argument")
  expect_error(layer(1:3), "at least two dimensions", class = "attentive_error_shape")
  expect_error(layer_dense(units = 2)$kernl, class = "attentive_error_name")
})

test_that("layers can be made again from their configurations", {
  made <- list(
    layer_dense(units = 3, activation = "relu", kernel_regularizer = "l2", bias_constraint = "nonneg", name = "a"),
    layer_dense(units = 3, activation = function(x) x * x),
    layer_embedding(input_dim = 5, output_dim = 2, mask_zero = TRUE), layer_dropout(rate = 0.2, noise_shape = c(NA, 1, 3), seed = 4),
    layer_layer_normalization(axis = c(2, 3), epsilon = 1e-5, center = FALSE), layer_activation(activation = "gelu"),
    layer_add(), layer_subtract(), layer_multiply(), layer_average(), layer_maximum(), layer_minimum(), layer_concatenate(axis = 2),
    layer_flatten(), layer_reshape(target_shape = c(2, NA)), layer_global_average_pooling_1d(keepdims = TRUE),
    layer_global_max_pooling_1d(data_format = "channels_first"), layer_lambda(f = function(x) x + 1)
  )
  for (layer in made) {
    config <- get_config(layer)
    again <- from_config(config)
    expect_identical(class(again), class(layer))
    expect_equal(get_config(again), config)
    expect_output(print(layer), layer$name, fixed = TRUE)
    expect_match(format(layer), attr(config, "class_name"), fixed = TRUE)
  }
  expect_identical(get_config(layer_layer_normalization(axis = 3))$axis, 2L)
})

test_that("activity regularizers add to the losses of a layer", {
  x <- wave(c(4, 3))
  layer <- layer_dense(units = 2, activity_regularizer = regularizer_l2(0.1), dtype = "float64")
  y <- layer(x)
  expect_equal(unlist(layer$losses), 0.1 * sum(y^2) / 4, tolerance = 1e-10)
  expect_error(layer_dense(units = 2, activity_regularizer = "orthogonal"), class = "attentive_error_not_yet")
})

test_that("a tensor without axes is refused where a layer needs the batch", {
  x <- keras_input(c(3, 4))
  s <- op_min(x)
  calls <- alist(
    layer_flatten(s), layer_reshape(s, 1), layer_add(list(s, s)), layer_add(list(x, s)), layer_lambda(s, function(x) x), layer_einsum_dense(s, "a,b->ab", 2), layer_dense(s, 2),
    layer_rescaling(s, 2), layer_masking(s), layer_activation(s, "softmax"), layer_activation(s, "glu"), layer_dropout(s, rate = 0.5), layer_embedding(s, 3, 2),
    layer_activity_regularization(s, l1 = 1), layer_concatenate(list(s, s)), layer_layer_normalization(s), layer_attention(list(s, s)), layer_attention(list(x, s))
  )
  for (e in calls) expect_error(eval(e), class = "attentive_error_shape", info = deparse(e))
  a <- wave(c(2, 3, 4))
  expect_equal(keras_model(x, layer_activation(s, "relu"))(a), max(0, min(a)), tolerance = 1e-6)
  expect_equal(keras_model(x, layer_activation_leaky_relu(layer_identity(s), 0.5))(a), min(a) / 2, tolerance = 1e-6)
})

test_that("a penalty on numbers that are missing is missing", {
  x <- matrix(c(NA, 1), 1)
  layer <- layer_activity_regularization(l1 = 1)
  expect_identical(layer(x), x)
  expect_true(is.na(layer$losses[[1]]))
})

test_that("the session's number type is that of new layers", {
  expect_identical(config_floatx(), "float32")
  local_floatx("float64")
  expect_identical(layer_dense(units = 2)$dtype, "float64")
  expect_identical(keras_input(3)$dtype, "float64")
  expect_error(config_set_floatx("float16"), class = "attentive_error_argument")
})

test_that("what symbolic tensors cannot do is refused, not answered with nonsense", {
  x <- keras_input(3)
  expect_error(mean(x), "mean", class = "attentive_error_not_yet")
  expect_error(is.na(x), class = "attentive_error_not_yet")
  expect_error(anyNA(x), class = "attentive_error_not_yet")
  expect_error(summary(x), class = "attentive_error_not_yet")
  expect_error(median(x), class = "attentive_error_not_yet")
  for (f in list(as.numeric, as.double, as.integer, as.logical, as.vector, as.list, as.matrix, t, aperm, rev, scale, sum, max, cumsum)) {
    expect_error(f(x), class = "attentive_error_not_yet")
  }
  expect_error(x %*% diag(3))
  expect_error(pmax(x, 0), class = "attentive_error_not_yet")
  expect_error(x * NA, "missing", class = "attentive_error_argument")
  expect_error(x / nrow(x), "not known", class = "attentive_error_argument")
})

test_that("a lambda layer gives what its function gives, traced or not", {
  a <- wave(c(5, 4))
  model_of <- function(f, ...) {
    x <- keras_input(4)
    keras_model(x, layer_lambda(x, f, ...))
  }
  functions <- list(
    positive = function(x) pmax(x, 0), rows = function(x) x - rowMeans(x), known = function(x) ifelse(is.na(x), 0, x),
    columns = function(x) x * ncol(x), scaled = function(x) sweep(x, 2, 1:4, "*"), product = function(x) x %*% diag(1:4), power = function(x) x^2 + exp(x)
  )
  for (name in names(functions)) {
    f <- functions[[name]]
    expect_no_warning(model <- model_of(f))
    expect_equal(model(a), f(a), tolerance = 1e-5, info = name)
    expect_equal(model(a[2:3, ]), f(a[2:3, ]), tolerance = 1e-5, info = name)
    expect_equal(layer_lambda(a, f), f(a), tolerance = 1e-5, info = name)
  }
  # in a trace a vector stands for the last axis, on arrays it would depend on the number of rows
  expect_equal(model_of(function(x) x * c(1, 2, 3, 4))(a), sweep(a, 2, 1:4, "*"), tolerance = 1e-6)
  whole <- list(
    function(x) pmax(x, 0) * 1:4, function(x) x / dim(x)[1], function(x) x - mean(x), function(x) x / nrow(x), function(x) scale(x)[, ],
    function(x) x[rev(seq_len(nrow(x))), ], function(x) x * length(x), function(x) x + runif(length(x))
  )
  for (f in whole) {
    expect_error(model_of(f, name = "odd"), "\"odd\" gives other numbers", class = "attentive_error_argument")
    expect_error(layer_lambda(a, f), "other numbers", class = "attentive_error_argument")
  }
  expect_error(model_of(function(x) layer_dense(x, 2)), "made outside", class = "attentive_error_argument")
  dense <- layer_dense(units = 2)
  expect_equal(model_of(function(x) dense(x) * 2)(a), dense(a) * 2, tolerance = 1e-5)
  expect_error(model_of(function(x) x * length(x), output_shape = 4), "other numbers", class = "attentive_error_argument")
  for (f in list(function(x) rev(x), function(x) mean(x), function(x) t(x), function(x) colSums(x))) {
    expect_error(model_of(f, name = "odd"), "\"odd\" must give one row", class = "attentive_error_shape")
  }
  # `[` is that of tensors
  a <- wave(c(2, 4, 3))
  x <- keras_input(c(4, 3))
  expect_equal(keras_model(x, layer_lambda(x, function(x) x[, -1, ]))(a), a[, 4, ], tolerance = 1e-6)
  expect_equal(layer_lambda(a, function(x) x[, 2:2, ]), a[, 2, , drop = FALSE], tolerance = 1e-6)
  expect_equal(layer_lambda(a, function(x) x[, 1:-2, -1]), a[, 1:3, 3], tolerance = 1e-6)
  nested <- function(x) layer_lambda(x[, -1, ], function(y) y * 2)
  expect_equal(keras_model(x, layer_lambda(x, nested))(a), 2 * a[, 4, ], tolerance = 1e-6)
  # sequences of any length
  x <- keras_input(c(NA, 2))
  model <- keras_model(x, layer_lambda(x, function(x) x[, rev(seq_len(dim(x)[2])), , drop = FALSE]))
  b <- wave(c(2, 5, 2))
  expect_equal(model(b), b[, 5:1, ], tolerance = 1e-6)
  expect_equal(model$output_shape, shape(NA, NA, 2))
  copy <- clone_model(model)
  expect_equal(copy(b), b[, 5:1, ], tolerance = 1e-6)
})
