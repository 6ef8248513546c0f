# Dropout of the scores while training.

training_layer <- function(rate, seed = 1, heads = 2, dtype = "float64") {
  layer_multi_head_attention(num_heads = heads, key_dim = 4, dropout = rate, seed = seed, dtype = dtype)
}

test_that("dropout acts in training only, and draws a new mask at each call", {
  x <- noise(2, 6, 5)
  layer <- training_layer(0.5)
  still <- layer(x, x)
  expect_identical(layer(x, x, training = FALSE), still)
  first <- layer(x, x, training = TRUE)
  expect_gt(scaled_error(first, still), 1e-3)
  expect_gt(scaled_error(layer(x, x, training = TRUE), first), 1e-3)
  expect_identical(layer(x, x), still)
})

test_that("scores are those before dropout", {
  x <- noise(2, 6, 5)
  layer <- training_layer(0.5)
  trained <- layer(x, x, training = TRUE, return_attention_scores = TRUE)
  expect_identical(trained$attention_scores, layer(x, x, return_attention_scores = TRUE)$attention_scores)
})

test_that("a rate of 1 gives the output bias, a rate of 0 changes nothing", {
  x <- noise(2, 6, 5)
  everything <- training_layer(1)
  everything$build(dim(x), dim(x))
  set_weights(everything, random_weights(everything))
  bias <- utils::tail(get_weights(everything), 1)[[1]]
  expect_identical(everything(x, x, training = TRUE), aperm(array(bias, c(5, 2, 6)), c(2, 3, 1)))
  nothing <- training_layer(0)
  expect_identical(nothing(x, x, training = TRUE), nothing(x, x))
})

test_that("the seed, or set.seed(), fixes all masks; training = FALSE never touches the stream", {
  x <- noise(2, 6, 5)
  run <- function(seed) {
    layer <- training_layer(0.3, seed)
    list(layer(x, x, training = TRUE), layer(x, x, training = TRUE))
  }
  expect_identical(run(7), run(7))
  expect_false(identical(run(7), run(8)))
  unseeded <- function() {
    set.seed(3)
    run(NULL)
  }
  expect_identical(unseeded(), unseeded())
  layer <- training_layer(0.3, NULL)
  layer(x, x)
  before <- .Random.seed
  layer(x, x, training = FALSE)
  layer(x, x, training = TRUE)
  expect_identical(.Random.seed, before)
})

test_that("a saved layer goes on with the mask that would have come next", {
  x <- noise(2, 6, 5)
  layer <- training_layer(0.4)
  layer(x, x, training = TRUE)
  copy <- unserialize(serialize(layer, NULL))
  expect_identical(copy(x, x, training = TRUE), layer(x, x, training = TRUE))
})

test_that("the share that is kept agrees with the rate", {
  # all scores equal and values 1: the output counts what is kept
  length <- 256
  x <- array(1, c(8, length, 1))
  for (rate in c(0.1, 0.25, 0.5, 0.9)) {
    layer <- layer_multi_head_attention(num_heads = 1, key_dim = 1, use_bias = FALSE, dropout = rate, seed = 11, dtype = "float64")
    layer$build(dim(x), dim(x))
    set_weights(layer, lapply(get_weights(layer), function(w) w * 0 + 1))
    kept <- layer(x, x, training = TRUE) * (1 - rate) # mean of each query's decisions
    n <- 8 * length^2
    z <- (mean(kept) - (1 - rate)) / sqrt(rate * (1 - rate) / n)
    expect_lt(abs(z), 4)
    # and the decisions of one query vary as independent ones do
    spread <- stats::var(as.vector(kept)) / (rate * (1 - rate) / length)
    expect_lt(abs(spread - 1), 4 * sqrt(2 / (8 * length)))
  }
})

test_that("the mean over seeds is the output without dropout", {
  x <- noise(1, 4, 3)
  layer <- training_layer(0.3)
  still <- layer(x, x)
  draws <- replicate(4000, layer(x, x, training = TRUE))
  mean <- apply(draws, 1:3, mean)
  error <- apply(draws, 1:3, stats::sd) / sqrt(4000)
  expect_lt(max(abs(mean - still) / error), 4.5)
})

test_that("threads do not change what is dropped", {
  x <- noise(3, 70, 8)
  bits <- lapply(c(1, 2, 3, 8), function(threads) {
    layer <- training_layer(0.3, dtype = "float32")
    layer(x, x, training = TRUE, threads = threads)
  })
  for (other in bits[-1]) expect_identical(other, bits[[1]])
})
