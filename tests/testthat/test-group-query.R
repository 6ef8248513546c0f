# Grouped-query attention, layer_group_query_attention().

test_that("golden cases agree", {
  cases <- sibling_cases("group_query_attention")
  expect_length(cases, 16)
  for (dtype in c("float64", "float32")) {
    bound <- if (dtype == "float64") 1e-12 else 2e-5
    for (case in cases) {
      label <- sprintf("%s (%s)", case$name, dtype)
      layer <- do.call(layer_group_query_attention, c(case$args, list(dtype = dtype, name = "gqa")))
      do.call(layer$build, unname(lapply(case$inputs, dim)))
      expect_identical(vapply(layer$weights, function(w) w$path, ""), as.character(case$weight_paths), label = label)
      expect_identical(lapply(get_weights(layer), dim), lapply(case$weights, dim), label = label)
      set_weights(layer, case$weights)
      both <- do.call(layer, c(case$inputs, case$call, list(return_attention_scores = TRUE)))
      expect_close(both$attention_output, case$output, bound, paste(label, "output"))
      expect_close(both$attention_scores, case$scores, bound, paste(label, "scores"))
      expect_close(do.call(layer, c(case$inputs, case$call)), case$output, bound, paste(label, "output without scores"))
    }
  }
})

test_that("formals are keras3 1.0.0's", {
  expect_identical(names(formals(layer_group_query_attention)), c(
    "object", "head_dim", "num_query_heads", "num_key_value_heads", "dropout", "use_bias", "kernel_initializer", "bias_initializer",
    "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "..."
  ))
})

test_that("Keras's recorded vector: window and causal", {
  x <- fill(c(1, 3, 4), 0.1)
  layer <- layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 2, sliding_window = 2, dtype = "float64")
  layer$build(dim(x), dim(x))
  set_weights(layer, Map(function(w, i) fill(unlist(w$shape), 1 + 0.3 * (i - 1)), layer$weights, seq_along(layer$weights)))
  both <- layer(x, x, use_causal_mask = TRUE, return_attention_scores = TRUE)
  expect_equal(row_major(both[[1]]), c(5.0649, -1.5171, .1524, -1.2451, 5.2661, -1.6613, .4865, -.8880, .1899, -2.6594, .6436, -3.5731), tolerance = 2e-4)
  scores <- bare(both[[2]])[1, , , ]
  expect_equal(scores[, 2, 1], c(.8510, .6615, .2980, .5299), tolerance = 2e-3)
  expect_equal(scores[, 3, 2], c(.5038, .1368, .0471, .8735), tolerance = 2e-3)
})

test_that("with as many groups as heads it is multi-head attention, bit for bit", {
  set.seed(1)
  x <- noise(2, 70, 6); y <- noise(2, 90, 5)
  for (dtype in c("float32", "float64")) {
    for (gate in c(FALSE, TRUE)) {
      multi <- layer_multi_head_attention(num_heads = 3, key_dim = 4, use_gate = gate, sliding_window = 20, seed = 5, dtype = dtype)
      group <- layer_group_query_attention(head_dim = 4, num_query_heads = 3, num_key_value_heads = 3, use_gate = gate, sliding_window = 20, seed = 5, dtype = dtype)
      mask <- random_mask(c(2, 90))
      pairs <- random_mask(c(2, 3, 70, 90))
      a <- multi(x, y, value_mask = mask, attention_mask = pairs, return_attention_scores = TRUE)
      b <- group(x, y, value_mask = mask, attention_mask = pairs, return_attention_scores = TRUE)
      expect_same(b[[1]], a[[1]])
      expect_same(b[[2]], a[[2]])
      expect_same(group(x, y, use_causal_mask = TRUE), multi(x, y, use_causal_mask = TRUE))
      gradients <- function(layer) unlist(get_gradients(layer, x, y, value_mask = mask, attention_mask = pairs), use.names = FALSE)
      expect_same(gradients(group), gradients(multi))
    }
  }
})

test_that("shared heads are repeated heads", {
  set.seed(2)
  x <- noise(2, 5, 6)
  for (groups in c(1, 2, 3, 6)) {
    layer <- layer_group_query_attention(head_dim = 2, num_query_heads = 6, num_key_value_heads = groups, dtype = "float64")
    layer$build(dim(x), dim(x))
    w <- random_weights(layer)
    set_weights(layer, w)
    full <- layer_multi_head_attention(num_heads = 6, key_dim = 2, dtype = "float64")
    full$build(dim(x), dim(x))
    index <- rep(seq_len(groups), each = 6 / groups)
    for (i in c(3, 5)) {
      w[[i]] <- w[[i]][, index, , drop = FALSE]
      w[[i + 1]] <- w[[i + 1]][index, , drop = FALSE]
    }
    set_weights(full, w)
    a <- layer(x, x, return_attention_scores = TRUE)
    b <- full(x, x, return_attention_scores = TRUE)
    expect_close(a[[1]], b[[1]], 1e-13)
    expect_close(a[[2]], b[[2]], 1e-13)
  }
})

test_that("in one step, by name, and without a value", {
  set.seed(3)
  x <- noise(2, 5, 6); y <- noise(2, 4, 3)
  layer <- layer_group_query_attention(head_dim = 2, num_query_heads = 4, num_key_value_heads = 2, seed = 9)
  once <- function(object) layer_group_query_attention(object, 2, 4, 2, seed = 9)
  expect_same(once(list(x, y)), layer(x, y))
  expect_same(once(list(value = y, query = x)), layer(x, y))
  layer <- layer_group_query_attention(head_dim = 2, num_query_heads = 4, num_key_value_heads = 2, seed = 9)
  expect_same(once(x), layer(x))
  expect_s3_class(once(NULL), "attentive_layer")
})

test_that("names, configuration, copies", {
  clear_session()
  layer <- layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 2)
  expect_identical(layer$name, "grouped_query_attention")
  config <- get_config(layer)
  expect_identical(names(config), c(
    "name", "trainable", "dtype", "head_dim", "num_query_heads", "num_key_value_heads", "use_bias", "use_gate", "sliding_window",
    "dropout", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
    "kernel_constraint", "bias_constraint", "seed"
  ))
  expect_identical(attr(config, "class_name"), "GroupQueryAttention")
  expect_identical(get_config(from_config(config)), config)
  attr(config, "class_name") <- "GroupedQueryAttention"
  expect_s3_class(from_config(config), "attentive_group_query_attention")
  expect_identical(c(layer$head_dim, layer$num_query_heads, layer$num_key_value_heads), c(3L, 4L, 2L))
  layer$build(c(NA, 4, 6), c(NA, 5, 6))
  expect_identical(count_params(layer), 246)
  expect_identical(unlist(layer$compute_output_shape(c(7, 4, 6), c(7, 2, 3))), c(7L, 4L, 6L))
  expect_snapshot(print(layer))
})

test_that("wrong calls", {
  x <- array(0.5, c(2, 3, 4))
  layer <- layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 2, name = "gqa")
  expect_snapshot(error = TRUE, {
    layer_group_query_attention()
    layer_group_query_attention(head_dim = 3)
    layer_group_query_attention(3, 4, 2)
    layer_group_query_attention(head_dim = 0, num_query_heads = 4, num_key_value_heads = 2, name = "gqa")
    layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 0)
    layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 3)
    layer_group_query_attention(head_dim = 2.5, num_query_heads = 4, num_key_value_heads = 2, name = "gqa")
    layer_group_query_attention(head_dim = 3, num_query_heads = 4, num_key_value_heads = 2, attention_axes = 1)
    layer(array(0.5, c(2, 2, 3, 4)))
    layer(list(x, x))
    layer(x, array(0.5, c(1, 3, 4)))
    layer(x, x, array(0.5, c(2, 4, 4)))
    layer$num_heads
  })
  expect_false(layer$built)
})

test_that("gradients agree with the golden cases", {
  for (case in sibling_cases("group_query_attention")) {
    layer <- do.call(layer_group_query_attention, c(case$args, list(dtype = "float64")))
    do.call(layer$build, unname(lapply(case$inputs, dim)))
    set_weights(layer, case$weights)
    got <- do.call(get_gradients, c(list(layer), case$inputs, case$call, list(upstream = case$upstream)))
    expect_gradients(got, case, 1e-12, case$name)
  }
})
