# Dot-product attention, layer_attention(), with both kinds of scores.

q <- fill(c(1, 3, 4), 0.1)
v <- fill(c(1, 2, 4), 0.2)

test_that("golden cases agree", {
  expect_length(sibling_cases("attention"), 12)
  check_list_layer(layer_attention, "attention", "float64", 1e-12)
  check_list_layer(layer_attention, "attention", "float32", 2e-5)
})

test_that("formals are keras3's", {
  expect_identical(as.list(formals(layer_attention))[-1], as.list(alist(use_scale = FALSE, score_mode = "dot", dropout = 0, seed = NULL, ... = )))
  expect_identical(names(formals(layer_attention))[1], "object")
})

test_that("Keras's recorded vectors: scaled dot, and concat", {
  layer <- layer_attention(use_scale = TRUE, dtype = "float64")
  layer$build(list(dim(q), dim(v)))
  set_weights(layer, list(0.5))
  both <- layer(list(q, v), mask = list(t(c(TRUE, TRUE, FALSE)), t(c(TRUE, TRUE))), return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(.2710, .9092, -.4347, -.5369, .2110, .8902, -.4472, -.6206, 0, 0, 0, 0), tolerance = 2e-4)
  expect_equal(row_major(bare(both[[2]])), c(.5245, .4755, .4182, .5818, .4331, .5669), tolerance = 2e-4)

  layer <- layer_attention(use_scale = TRUE, score_mode = "concat", dtype = "float64")
  layer$build(list(dim(q), dim(v)))
  set_weights(layer, list(0.5, 2))
  both <- layer(list(q, v), return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(.4230, .9572, -.4030, -.3251, .4084, .9526, -.4061, -.3453, .4375, .9618, -.4000, -.3048), tolerance = 2e-4)
  expect_equal(row_major(bare(both[[2]])), c(.7935, .2065, .7677, .2323, .8192, .1808), tolerance = 2e-4)
})

test_that("Keras's own small examples", {
  eye <- array(c(1, 0, 0, 1), c(1, 2, 2))
  swapped <- array(c(0, 1, 1, 0), c(1, 2, 2))
  value <- aperm(array(c(1, 2, 3, 4), c(2, 2, 1)), c(3, 2, 1))
  both <- layer_attention()(list(eye, value, swapped), return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(2.462, 3.462, 1.538, 2.538), tolerance = 1e-3)
  expect_equal(row_major(bare(both[[2]])), c(.269, .731, .731, .269), tolerance = 1e-3)
  both <- layer_attention(score_mode = "concat")(list(eye, value, swapped), return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(1.727, 2.727, 2.272, 3.272), tolerance = 1e-3)
  ones <- array(1, c(1, 2, 2))
  half <- t(c(TRUE, FALSE))
  for (layer in list(layer_attention(), layer_additive_attention())) {
    both <- layer(list(eye, ones, swapped), mask = list(half, half), return_attention_scores = TRUE)
    expect_equal(row_major(both[[1]]), c(1, 1, 0, 0))
    expect_equal(row_major(bare(both[[2]])), c(1, 0, 1, 0))
  }
})

test_that("inputs of four dimensions are attended over the last but one", {
  set.seed(1)
  query <- noise(2, 3, 4, 5); value <- noise(2, 3, 6, 2); key <- noise(2, 3, 6, 5)
  masks <- list(random_mask(c(2, 3, 4)), random_mask(c(2, 3, 6)))
  for (mode in c("dot", "concat")) {
    layer <- layer_attention(score_mode = mode, dtype = "float64")
    score <- if (mode == "dot") function(a, b) sum(a * b) else function(a, b) sum(tanh(a + b))
    for (causal in c(FALSE, TRUE)) {
      both <- layer(list(query, value, key), mask = masks, use_causal_mask = causal, return_attention_scores = TRUE)
      expected <- plain_attention(score, query, value, key, masks[[1]], masks[[2]], causal)
      expect_close(both[[1]], expected$output, 1e-13, mode)
      expect_close(both[[2]], expected$scores, 1e-13, mode)
      expect_close(layer(list(query, value, key), mask = masks, use_causal_mask = causal), expected$output, 1e-13, mode)
    }
  }
})

test_that("a list by name, a bare array, one step: the same call", {
  set.seed(2)
  x <- noise(2, 3, 4); y <- noise(2, 5, 4); k <- noise(2, 5, 4)
  layer <- layer_attention(dtype = "float64")
  expect_same(layer(list(key = k, query = x, value = y)), layer(list(x, y, k)))
  expect_same(layer(list(x, y, NULL)), layer(list(x, y)))
  expect_same(layer(list(x, key = k, y)), layer(list(x, y, k)))
  expect_same(layer(x), layer(list(x, x)))
  expect_same(layer(object = list(x, y)), layer(list(x, y)))
  expect_same(layer_attention(list(x, y), dtype = "float64"), layer(list(x, y)))
  expect_same(layer_attention(x, dtype = "float64"), layer(list(x, x)))
  mask <- random_mask(c(2, 5))
  expect_same(
    layer_attention(list(x, y, mask = list(NULL, mask), use_causal_mask = TRUE), dtype = "float64"),
    layer(list(x, y), mask = list(NULL, mask), use_causal_mask = TRUE)
  )
  expect_same(layer(list(x, y), mask = list(value = mask, query = NULL)), layer(list(x, y), mask = list(NULL, mask)))
  expect_same(layer(list(x, y), mask = list(NULL, mask, !mask)), layer(list(x, y), mask = list(NULL, mask)))
})

test_that("what nobody may see cannot be seen", {
  set.seed(3)
  x <- noise(2, 3, 4); y <- noise(2, 5, 4)
  mask <- rbind(c(TRUE, FALSE, TRUE, TRUE, FALSE), FALSE)
  seen <- rbind(c(TRUE, FALSE, TRUE), TRUE)
  for (mode in c("dot", "concat")) {
    layer <- layer_attention(score_mode = mode, dtype = "float64")
    clean <- layer(list(x, y), mask = list(seen, mask), return_attention_scores = TRUE)
    expect_true(all(bare(clean[[1]])[2, , ] == 0) && all(bare(clean[[2]])[2, , ] == 0))
    expect_true(all(bare(clean[[1]])[1, 2, ] == 0))
    bad <- y
    bad[1, c(2, 5), ] <- NaN
    bad[2, , ] <- Inf
    poisoned <- layer(list(x, bad), mask = list(seen, mask), return_attention_scores = TRUE)
    expect_same(poisoned[[1]], clean[[1]])
    expect_same(poisoned[[2]], clean[[2]])
    odd <- x
    odd[1, 2, ] <- NaN # a query that does not take part
    expect_same(layer(list(odd, y), mask = list(seen, mask)), clean[[1]])
  }
})

test_that("weights, configuration, copies", {
  layer <- layer_attention(use_scale = TRUE, score_mode = "concat", dropout = 0.1, seed = 1337, name = "att")
  expect_false(layer$built)
  config <- get_config(layer)
  expect_identical(names(config), c("name", "trainable", "dtype", "use_scale", "score_mode", "dropout", "seed"))
  expect_equal(config$seed, 1337)
  expect_identical(attr(config, "class_name"), "Attention")
  copy <- from_config(config)
  expect_identical(get_config(copy), config)
  layer$build(list(shape(NA, 3, 4), shape(NA, NA, 4)))
  expect_identical(vapply(layer$weights, function(w) w$path, ""), c("att/scale", "att/concat_score_weight"))
  expect_identical(lapply(get_weights(layer), as.double), list(1, 1))
  expect_identical(unlist(layer$compute_output_shape(list(c(2, 3, 4), c(2, 5, 6), c(2, 5, 4)))), c(2L, 3L, 6L))
  expect_length(layer_attention()$weights, 0)
  set_weights(layer, list(0.5, -2))
  expect_equal(as.double(layer$concat_score_weight), -2)
  expect_snapshot(print(layer))
})

test_that("wrong calls", {
  x <- array(0.5, c(2, 3, 4))
  y <- array(0.5, c(2, 5, 4))
  layer <- layer_attention(name = "att")
  expect_snapshot(error = TRUE, {
    layer_attention(score_mode = "sum")
    layer_attention(use_scale = 1)
    layer_attention(dropout = 1.5)
    layer_attention(units = 3)
    layer_attention(3)
    layer_attention(list(x, y, x, y))
    layer()
    layer(list())
    layer(list(x, y, y, y))
    layer(list(x, values = y))
    layer(x, y)
    layer(list(x, y), mask = matrix(TRUE, 2, 5))
    layer(list(x, y), mask = list(matrix(TRUE, 2, 5)))
    layer(list(x, y), mask = list(NULL, matrix(TRUE, 5, 2)))
    layer(list(x, y), mask = list(NULL, matrix(c(0, -1e9), 2, 5)))
    layer(list(x, y), mask = list(NULL, matrix(NA, 2, 5)))
    layer(list(x, y[, , 1:3]))
    layer(list(x, y, y[, 1:4, ]))
    layer(list(x, y[1, , , drop = FALSE]))
    layer(list(x, array(1, c(2, 1, 5, 4))))
    layer(list(x[1, , ], y))
    layer(list(1:3, y))
    layer(list(x, y), return_attention_scores = "mean")
    layer(list(x, y), use_causal_mask = NA)
    layer(list(x, y), causal = TRUE)
    layer$build(list(c(2, 3, 4), c(2, 5, 5)))
    layer$units
  })
  expect_false(layer$built)
  for (code in list(quote(layer_attention(score_mode = "sum")), quote(layer(list(x, y), mask = list(NULL, matrix(NA, 2, 5)))))) {
    expect_error(eval(code), class = "attentive_error")
  }
})

test_that("gradients agree with the golden cases", {
  check_list_gradients(layer_attention, "attention", "float64", 1e-12)
  check_list_gradients(layer_attention, "attention", "float32", 2e-5)
})

test_that("dropout: the scores returned are those that were used, their mean is kept", {
  set.seed(4)
  x <- noise(2, 40, 3); y <- noise(2, 50, 3)
  for (layer in list(layer_attention(dropout = 0.3, dtype = "float64"), layer_additive_attention(dropout = 0.3, dtype = "float64"))) {
    clean <- layer(list(x, y), return_attention_scores = TRUE)
    both <- layer(list(x, y), training = TRUE, return_attention_scores = TRUE)
    scores <- bare(both[[2]])
    kept <- scores != 0
    expect_lt(abs(mean(kept) - 0.7), 0.03)
    expect_close((scores / bare(clean[[2]]))[kept], array(1 / 0.7, sum(kept)), 1e-4)
    output <- bare(both[[1]])
    for (b in 1:2) output[b, , ] <- scores[b, , ] %*% y[b, , ]
    expect_close(both[[1]], output, 1e-13)
    expect_false(identical(bare(layer(list(x, y), training = TRUE)), bare(both[[1]]))) # a new mask at each call
    expect_same(layer(list(x, y)), clean[[1]])
    twin <- function() {
      layer <- layer_attention(dropout = 0.5, seed = 8)
      layer(list(x, y), training = TRUE)
    }
    expect_same(twin(), twin())
  }
})

test_that("gradients with dropout, upstream scores, a penalty and one array for all agree with differences", {
  set.seed(5)
  x <- noise(2, 4, 3); y <- noise(2, 5, 3); k <- noise(2, 5, 3)
  mask <- list(random_mask(c(2, 4)), random_mask(c(2, 5)))
  up <- noise(2, 4, 3); up_scores <- noise(2, 4, 5)
  make <- list(
    function() layer_attention(use_scale = TRUE, dropout = 0.3, seed = 1, dtype = "float64", activity_regularizer = regularizer_l2(0.1)),
    function() layer_attention(use_scale = TRUE, score_mode = "concat", dropout = 0.3, seed = 1, dtype = "float64", activity_regularizer = regularizer_l1(0.1)),
    function() layer_additive_attention(dropout = 0.3, seed = 1, dtype = "float64")
  )
  for (one in make) {
    new <- function(weights) { # the first call of a fresh layer: the same dropout
      layer <- one()
      layer$build(list(dim(x), dim(y), dim(k)))
      set_weights(layer, weights)
      layer
    }
    start <- one()
    start$build(list(dim(x), dim(y), dim(k)))
    weights <- lapply(get_weights(start), function(w) w * 0 + runif(length(w), 0.3, 1))
    penalty <- if (is.null(start$activity_regularizer)) function(o) 0 else if (start$score_mode == "dot") function(o) 0.1 * sum(o^2) / 2 else function(o) 0.1 * sum(abs(o)) / 2
    loss <- function(inputs, weights) {
      both <- new(weights)(inputs, mask = mask, training = TRUE, return_attention_scores = TRUE)
      sum(up * both[[1]]) + sum(up_scores * bare(both[[2]])) + penalty(both[[1]])
    }
    inputs <- list(query = x, value = y, key = k)
    got <- get_gradients(new(weights), inputs, mask = mask, training = TRUE, upstream = up, scores_upstream = up_scores, losses = TRUE)
    step <- 1e-5
    for (arg in names(inputs)) {
      direction <- noise(dim(inputs[[arg]]))
      moved <- function(by) replace(inputs, arg, list(inputs[[arg]] + by * direction))
      expect_equal(sum(got$inputs[[arg]] * direction), (loss(moved(step), weights) - loss(moved(-step), weights)) / (2 * step), tolerance = 1e-6, label = arg)
    }
    for (i in seq_along(weights)) {
      direction <- rnorm(length(weights[[i]]))
      moved <- function(by) replace(weights, i, list(weights[[i]] + by * direction))
      expect_equal(sum(got$weights[[i]] * direction), (loss(inputs, moved(step)) - loss(inputs, moved(-step))) / (2 * step), tolerance = 1e-6, label = paste("weight", i))
    }
  }
  both <- get_gradients(layer_attention(dtype = "float64"), list(x, x))
  alone <- get_gradients(layer_attention(dtype = "float64"), x)
  expect_identical(both, alone)
  apart <- get_gradients(layer_attention(dtype = "float64"), list(x, x, x))
  expect_close(apart$inputs$value + apart$inputs$key, both$inputs$value, 1e-14)
})
