# Additive attention, layer_additive_attention().

test_that("golden cases agree", {
  expect_length(sibling_cases("additive_attention"), 12)
  check_list_layer(layer_additive_attention, "additive_attention", "float64", 1e-12)
  check_list_layer(layer_additive_attention, "additive_attention", "float32", 2e-5)
})

test_that("formals are keras3's", {
  expect_identical(as.list(formals(layer_additive_attention))[-1], as.list(alist(use_scale = TRUE, dropout = 0, ... = )))
})

test_that("Keras's recorded vector", {
  q <- fill(c(1, 3, 4), 0.1)
  v <- fill(c(1, 2, 4), 0.2)
  layer <- layer_additive_attention(dtype = "float64")
  layer$build(list(dim(q), dim(v)))
  set_weights(layer, list(fill(4, 1)))
  both <- layer(list(q, v), return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(.3330, .9287, -.4218, -.4506, .3322, .9285, -.4220, -.4517, .3519, .9347, -.4179, -.4242), tolerance = 2e-4)
  expect_equal(row_major(bare(both[[2]])), c(.6341, .3659, .6327, .3673, .6676, .3324), tolerance = 2e-4)
})

test_that("long sequences, many features and all masks agree with plain R", {
  set.seed(1)
  for (sizes in list(c(1, 70, 130, 9, 3), c(2, 33, 65, 1, 17), c(3, 1, 200, 5, 1), c(1, 40, 1, 3, 2))) {
    query <- noise(sizes[c(1, 2, 4)]); key <- noise(sizes[c(1, 3, 4)]); value <- noise(sizes[c(1, 3, 5)])
    masks <- list(random_mask(sizes[1:2]), random_mask(sizes[c(1, 3)]))
    layer <- layer_additive_attention(dtype = "float64")
    layer$build(list(dim(query), dim(value), dim(key)))
    scale <- noise(sizes[4])
    set_weights(layer, list(scale))
    both <- layer(list(query, value, key), mask = masks, use_causal_mask = TRUE, return_attention_scores = TRUE)
    expected <- plain_attention(function(a, b) sum(scale * tanh(a + b)), query, value, key, masks[[1]], masks[[2]], TRUE)
    expect_close(both[[1]], expected$output, 1e-13, toString(sizes))
    expect_close(both[[2]], expected$scores, 1e-13, toString(sizes))
  }
})

test_that("the same bits for any number of threads and any batch", {
  set.seed(2)
  query <- noise(3, 70, 16); value <- noise(3, 90, 16)
  mask <- random_mask(c(3, 90))
  layer <- layer_additive_attention()
  one <- layer(list(query, value), mask = list(NULL, mask), threads = 1)
  expect_same(layer(list(query, value), mask = list(NULL, mask), threads = 2), one)
  part <- layer(list(query[2, , , drop = FALSE], value[2, , , drop = FALSE]), mask = list(NULL, mask[2, , drop = FALSE]))
  expect_same(part[1, , ], one[2, , ])
})

test_that("the scale begins as Glorot's, with both fans its length", {
  layers <- lapply(1:200, function(i) layer_additive_attention(seed = i))
  drawn <- unlist(lapply(layers, function(layer) {
    layer$build(list(c(1, 2, 12), c(1, 3, 12)))
    get_weights(layer)
  }))
  limit <- sqrt(3 / 12)
  expect_true(all(abs(drawn) <= limit))
  expect_gt(max(abs(drawn)), 0.99 * limit)
  expect_lt(abs(sd(drawn) - limit / sqrt(3)), 0.02 * limit)
})

test_that("weights, configuration, copies", {
  layer <- layer_additive_attention(name = "add", seed = 3)
  layer$build(list(c(NA, 2, 5), c(NA, 3, 5)))
  expect_identical(vapply(layer$weights, function(w) w$path, ""), "add/scale")
  expect_identical(dim(get_weights(layer)[[1]]), 5L)
  expect_identical(count_params(layer), 5)
  config <- get_config(layer)
  expect_identical(names(config), c("name", "trainable", "dtype", "use_scale", "dropout", "seed"))
  expect_identical(get_config(from_config(config)), config)
  expect_length(layer_additive_attention(use_scale = FALSE)$weights, 0)
  copy <- unserialize(serialize(layer, NULL))
  x <- array(0.5, c(1, 2, 5))
  expect_same(copy(x), layer(x))
})

test_that("wrong calls", {
  x <- array(0.5, c(2, 3, 4))
  layer <- layer_additive_attention(name = "add")
  layer$build(list(dim(x), dim(x)))
  expect_snapshot(error = TRUE, {
    layer_additive_attention(use_scale = "yes")
    layer_additive_attention(score_mode = "sum")
    layer_additive_attention(scale = TRUE)
    layer(array(0.5, c(2, 3, 5)))
    layer(list(x, array(0.5, c(2, 3, 5)), array(0.5, c(2, 3, 5))))
    layer(list(x, x), mask = list(NULL, NULL, NULL, NULL))
    set_weights(layer, list(1:3))
  })
})

test_that("gradients agree with the golden cases", {
  check_list_gradients(layer_additive_attention, "additive_attention", "float64", 1e-12)
  check_list_gradients(layer_additive_attention, "additive_attention", "float32", 2e-5)
})
