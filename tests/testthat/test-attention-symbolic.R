# Attention layers in models: every form of the call gives the numbers, masks and gradients of the call on arrays.

test_that("golden cases agree inside models: output, scores, gradients", {
  makers <- list(
    multi_head_attention = layer_multi_head_attention, group_query_attention = layer_group_query_attention,
    attention = layer_attention, additive_attention = layer_additive_attention
  )
  for (name in names(makers)) {
    for (case in sibling_cases(name)) {
      label <- paste(name, case$name)
      layer <- do.call(makers[[name]], c(case$args, list(dtype = "float64")))
      inputs <- case$inputs
      if (is.null(names(inputs))) names(inputs) <- c("query", "value", "key")[seq_along(inputs)]
      masks <- intersect(names(case$call), c("query_mask", "value_mask", "key_mask", "attention_mask"))
      options <- case$call[setdiff(names(case$call), masks)]
      graph <- model_of_call(layer, c(inputs, case$call[masks]), options)
      set_weights(layer, case$weights)
      expect_close(run_model(graph), case$output, 1e-12, paste(label, "output"))
      both <- model_of_call(layer, c(inputs, case$call[masks]), c(options, return_attention_scores = TRUE), constant = masks)
      result <- run_model(both)
      expect_close(result[[1]], case$output, 1e-12, paste(label, "output with scores"))
      expect_close(result[[2]], case$scores, 1e-12, paste(label, "scores"))
      if (is.null(case$upstream)) next
      got <- model_gradients(graph, list(case$upstream))
      for (arg in names(case$gradients$inputs)) {
        expect_close(got$inputs[[arg]], case$gradients$inputs[[arg]], 1e-11, paste(label, arg))
      }
      for (i in seq_along(case$gradients$weights)) {
        expect_close(got$weights[[i]], case$gradients$weights[[i]], 1e-11, paste(label, "weight", i))
      }
    }
  }
})

test_that("any rank, axes, sizes and masks: a model gives the bits of the layer on arrays", {
  set.seed(81)
  for (i in 1:120) {
    case <- random_case()
    label <- describe_case(case)
    inputs <- Filter(Negate(is.null), case$inputs)
    layer <- do.call(built_layer, c(list(args = case$args), unname(inputs)))
    masks <- intersect(names(case$call), c("query_mask", "value_mask", "key_mask", "attention_mask"))
    constant <- masks[stats::runif(length(masks)) < 0.5]
    graph <- model_of_call(layer, c(inputs, case$call[masks]), c(case$call["use_causal_mask"], return_attention_scores = TRUE)[
      c("use_causal_mask" %in% names(case$call), TRUE)], constant, open = chance(0.5))
    expected <- run_case(case, layer)
    result <- run_model(graph)
    expect_same(result[[1]], expected[[1]], label)
    expect_same(result[[2]], expected[[2]], label)
    expect_identical(lengths(unname(graph$model$output_shape)), lengths(lapply(unname(expected), dim)), label = label)

    upstream <- list(noise(dim(expected[[1]])), if (chance(0.5)) noise(dim(expected[[2]])))
    got <- model_gradients(graph, upstream)
    own <- do.call(get_gradients, c(list(layer), inputs, case$call, list(upstream = upstream[[1]], scores_upstream = upstream[[2]])))
    for (arg in names(inputs)) expect_close(got$inputs[[arg]], own$inputs[[arg]], 1e-12, paste(label, arg))
    for (j in seq_along(own$weights)) expect_close(got$weights[[j]], own$weights[[j]], 1e-12, paste(label, "weight", j))
  }
})

test_that("one tensor in several parts: the gradients add up", {
  set.seed(82)
  x <- noise(c(3, 5, 4))
  for (make in list(
    function() layer_multi_head_attention(num_heads = 2, key_dim = 3, use_gate = TRUE, dtype = "float64"),
    function() layer_group_query_attention(head_dim = 2, num_query_heads = 4, num_key_value_heads = 2, dtype = "float64"),
    function() layer_attention(use_scale = TRUE, dtype = "float64"), function() layer_attention(score_mode = "concat", dtype = "float64"),
    function() layer_additive_attention(dtype = "float64")
  )) {
    layer <- make()
    listed <- names(formals(layer))[[1]] == "inputs"
    input <- keras_input(c(NA, 4), dtype = "float64")
    graph <- list(model = keras_model(input, layer(input)), arrays = list(x), names = "x")
    set_weights(layer, lapply(get_weights(layer), function(w) replace(w, TRUE, stats::runif(length(w), -0.7, 0.7))))
    upstream <- noise(dim(x))
    own <- if (listed) get_gradients(layer, list(x, x, x), upstream = upstream) else get_gradients(layer, x, x, x, upstream = upstream)
    got <- model_gradients(graph, list(upstream))
    expect_close(got$inputs$x, Reduce(`+`, own$inputs), 1e-12, layer$name)
    for (i in seq_along(own$weights)) expect_close(got$weights[[i]], own$weights[[i]], 1e-12, layer$name)
    expect_same(run_model(graph), if (listed) layer(list(x, x)) else layer(x, x))
  }
})

test_that("a layer in two places shares its weights: their gradients add up", {
  set.seed(83)
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 2, dtype = "float64")
  x <- noise(c(2, 4, 3)); y <- noise(c(2, 5, 3))
  a <- keras_input(c(4, 3), dtype = "float64"); b <- keras_input(c(5, 3), dtype = "float64")
  graph <- list(model = keras_model(list(a, b), list(layer(a, b), layer(b, b))), arrays = list(x, y), names = c("x", "y"))
  set_weights(layer, random_weights(layer))
  expect_length(graph$model$weights, 8)
  up <- list(noise(c(2, 4, 3)), noise(c(2, 5, 3)))
  one <- get_gradients(layer, x, y, upstream = up[[1]])
  two <- get_gradients(layer, y, y, y, upstream = up[[2]])
  got <- model_gradients(graph, up)
  for (i in 1:8) expect_close(got$weights[[i]], one$weights[[i]] + two$weights[[i]], 1e-12)
  expect_close(got$inputs$x, one$inputs$query, 1e-12)
  expect_close(got$inputs$y, one$inputs$value + Reduce(`+`, two$inputs), 1e-12)
})

test_that("the mask of padded tokens finds its way by itself", {
  set.seed(84)
  ids <- rbind(c(3, 5, 7, 0, 0), c(1, 2, 3, 4, 5), c(6, 0, 0, 0, 0))
  other <- rbind(c(1, 0, 2), c(2, 2, 0), c(1, 1, 1))
  embed <- layer_embedding(input_dim = 9, output_dim = 4, mask_zero = TRUE, dtype = "float64")
  tokens <- keras_input(NA, dtype = "int32"); others <- keras_input(NA, dtype = "int32")
  x <- embed(tokens); y <- embed(others)
  xa <- embed(ids); ya <- embed(other)
  mx <- ids != 0; my <- other != 0
  mha <- layer_multi_head_attention(num_heads = 2, key_dim = 3, dtype = "float64")
  gqa <- layer_group_query_attention(head_dim = 2, num_query_heads = 4, num_key_value_heads = 2, dtype = "float64")
  dot <- layer_attention(dtype = "float64"); add <- layer_additive_attention(dtype = "float64")
  pairs <- random_mask(c(1, 5, 3))
  tensors <- list(
    mha(x, y), mha(x), gqa(x, y, y), dot(list(x, y)), add(x), mha(x, y, attention_mask = pairs, use_causal_mask = TRUE),
    mha(x, y, value_mask = array(TRUE, c(1, 3))), dot(list(x, y), mask = list(NULL, array(TRUE, c(1, 3))))
  )
  model <- keras_model(list(tokens, others), tensors)
  got <- model(list(ids, other))
  expected <- list(
    mha(xa, ya, query_mask = mx, value_mask = my), mha(xa, xa, query_mask = mx, value_mask = mx),
    gqa(xa, ya, ya, query_mask = mx, value_mask = my, key_mask = my), dot(list(xa, ya), mask = list(mx, my)),
    add(list(xa, xa), mask = list(mx, mx)),
    mha(xa, ya, query_mask = mx, value_mask = my, attention_mask = pairs, use_causal_mask = TRUE),
    mha(xa, ya, query_mask = mx), dot(list(xa, ya))
  )
  for (i in seq_along(expected)) expect_same(got[[i]], expected[[i]], paste("call", i))

  # what comes out has the query's mask: pooling leaves the padding out
  pooled <- keras_model(list(tokens, others), layer_global_average_pooling_1d(mha(x, y)))
  plain <- expected[[1]]
  means <- t(vapply(1:3, function(b) colMeans(matrix(plain[b, mx[b, ], ], ncol = 4)), numeric(4)))
  expect_close(pooled(list(ids, other)), means, 1e-14)
  # and padding changes nothing
  longer <- cbind(ids, 0, 0)
  expect_close(pooled(list(longer, cbind(other, 0))), means, 1e-14)
})

test_that("dropout is that of the layer on arrays; a layer in two places draws twice; inference has none", {
  set.seed(85)
  x <- noise(c(4, 6, 8))
  for (make in list(
    function() layer_multi_head_attention(num_heads = 2, key_dim = 4, dropout = 0.4, dtype = "float64"),
    function() layer_additive_attention(dropout = 0.4, dtype = "float64")
  )) {
    layer <- make()
    self_attend <- function(...) if (names(formals(layer))[[1]] == "inputs") layer(list(x, x), ...) else layer(x, x, ...)
    input <- keras_input(c(6, 8), dtype = "float64")
    both <- keras_model(input, list(layer(input), layer(input), layer(input, training = FALSE)))
    first <- both(x, training = TRUE)
    expect_same(first[[1]], self_attend(training = TRUE))
    expect_gt(max(abs(first[[1]] - first[[2]])), 1e-3)
    expect_same(first[[3]], self_attend())
    second <- both(x, training = TRUE)
    expect_gt(max(abs(first[[1]] - second[[1]])), 1e-3)
    expect_same(second[[1]], self_attend(training = TRUE))
    expect_same(both(x)[[2]], self_attend())
  }
})

test_that("penalties on activities are part of the loss, and of the gradients", {
  set.seed(86)
  x <- noise(c(3, 4, 6))
  for (make in list(
    function() layer_multi_head_attention(num_heads = 2, key_dim = 3, use_gate = TRUE, activity_regularizer = regularizer_l1_l2(0.1, 0.2), dtype = "float64"),
    function() layer_group_query_attention(head_dim = 2, num_query_heads = 4, num_key_value_heads = 2, activity_regularizer = "l2", dtype = "float64")
  )) {
    layer <- make()
    input <- keras_input(c(4, 6), dtype = "float64")
    graph <- list(model = keras_model(input, layer(input)), arrays = list(x), names = "x")
    set_weights(layer, random_weights(layer))
    layer(x, x)
    expected <- sum(unlist(layer$losses))
    run_model(graph)
    expect_equal(sum(unlist(graph$model$losses)), expected, tolerance = 1e-12)
    upstream <- noise(dim(x))
    own <- get_gradients(layer, x, x, x, upstream = upstream, losses = TRUE)
    got <- model_gradients(graph, list(upstream))
    expect_close(got$inputs$x, Reduce(`+`, own$inputs), 1e-12)
    for (i in seq_along(own$weights)) expect_close(got$weights[[i]], own$weights[[i]], 1e-12)
  }
  dot <- layer_attention(activity_regularizer = "l2", dtype = "float64")
  model <- keras_model(input, dot(input, return_attention_scores = TRUE))
  dot(list(x, x), return_attention_scores = TRUE)
  model(x)
  expect_equal(sum(unlist(model$losses)), sum(unlist(dot$losses)), tolerance = 1e-12)
})

test_that("the first argument takes tensors and sequential models in every form", {
  q <- keras_input(c(4, 6)); v <- keras_input(c(5, 6)); k <- keras_input(c(5, 3))
  make <- function(inputs, ...) layer_multi_head_attention(inputs, num_heads = 2, key_dim = 3, ...)
  shape_of <- function(x) as.integer(x$shape)
  expect_identical(shape_of(make(q)), c(NA, 4L, 6L))
  expect_identical(shape_of(make(list(q, v))), c(NA, 4L, 6L))
  expect_identical(shape_of(make(c(q, v))), c(NA, 4L, 6L))
  expect_identical(shape_of(make(list(q, v, k), output_shape = 7)), c(NA, 4L, 7L))
  expect_identical(shape_of(make(list(key = k, value = v, query = q), output_shape = c(2, 2))), c(NA, 4L, 2L, 2L))
  both <- make(list(q, v, return_attention_scores = TRUE))
  expect_identical(names(both), c("attention_output", "attention_scores"))
  expect_identical(shape_of(both[[2]]), c(NA, 2L, 4L, 5L))
  expect_identical(shape_of(make(list(q, v, return_attention_scores = "mean"))[[2]]), c(NA, 4L, 5L))
  expect_identical(shape_of(layer_attention(list(q, v, return_attention_scores = TRUE))$attention_scores), c(NA, 4L, 5L))
  expect_identical(shape_of(layer_additive_attention(q)), c(NA, 4L, 6L))
  expect_identical(shape_of(layer_group_query_attention(list(q, v), head_dim = 3, num_query_heads = 4, num_key_value_heads = 2)), c(NA, 4L, 6L))

  model <- keras_model_sequential(input_shape = c(NA, 6)) |>
    layer_multi_head_attention(num_heads = 2, key_dim = 3) |>
    layer_group_query_attention(head_dim = 3, num_query_heads = 2, num_key_value_heads = 1) |>
    layer_attention() |>
    layer_additive_attention()
  x <- noise(c(2, 4, 6))
  layers <- model$layers
  step <- layers[[2]](layers[[1]](x, x), layers[[1]](x, x))
  step <- layers[[3]](list(step, step))
  expect_close(model(x), layers[[4]](list(step, step)), 1e-6)
})

test_that("wrong calls on tensors say what is wrong, and leave the layer as it was", {
  q <- keras_input(c(4, 6)); v <- keras_input(c(5, 6)); flat <- keras_input(6); open <- keras_input(c(4, NA))
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
  dot <- layer_attention()
  wrong <- list(
    shape = quote(layer(flat)), shape = quote(layer(open)), shape = quote(layer(q, v, q)), argument = quote(layer(q, array(0, c(2, 5, 6)))),
    mask = quote(layer(q, v, value_mask = array(TRUE, c(1, 4)))), mask = quote(layer(q, v, attention_mask = array(TRUE, c(5, 4)))),
    mask = quote(layer(q, v, attention_mask = matrix(-1e9, 4, 5))), mask = quote(layer(q, v, attention_mask = q)),
    not_yet = quote(layer(q, v, training = TRUE)), argument = quote(layer(q, v, use_causal_mask = NA)),
    argument = quote(layer(q, v, return_attention_scores = 1)), name = quote(layer(q, v, maks = q)),
    shape = quote(dot(list(keras_input(c(4, 5)), v))), mask = quote(dot(list(q, v), mask = q)), argument = quote(dot(list(q, array(0, c(2, 5, 6))))),
    not_yet = quote(layer_multi_head_attention(q, 2, 3, activity_regularizer = function(x) sum(x)))
  )
  for (i in seq_along(wrong)) {
    expect_error(eval(wrong[[i]]), class = paste0("attentive_error_", names(wrong)[[i]]), label = deparse(wrong[[i]]))
  }
  expect_false(layer$built)
  layer(q)
  expect_error(layer(keras_input(c(4, 5))), class = "attentive_error_shape")
  expect_error(layer(keras_input(c(2, 4, 6))), class = "attentive_error_shape")
})

test_that("a model with attention survives saveRDS(), and gives the same bits for any number of threads", {
  set.seed(87)
  x <- noise(c(5, 7, 8))
  input <- keras_input(c(NA, 8))
  output <- layer_multi_head_attention(list(input, input, use_causal_mask = TRUE), num_heads = 2, key_dim = 4)
  model <- keras_model(input, output)
  before <- model(x, threads = 1)
  expect_same(model(x, threads = 2), before)
  file <- withr::local_tempfile()
  saveRDS(model, file)
  expect_same(readRDS(file)(x), before)
})

test_that("a batch that is cut into parts gives the same, with masks of every kind", {
  set.seed(88)
  x <- noise(c(24, 40, 64))
  real <- random_mask(c(24, 40))
  input <- keras_input(batch_shape = c(24, 40, 64)); mask <- keras_input(batch_shape = c(24, 40))
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 8)
  output <- layer(input, input, value_mask = mask)
  constant <- layer(input, input, value_mask = real)
  pairs <- layer(input, input, attention_mask = random_mask(c(40, 40)))
  model <- keras_model(list(input, mask), list(output, constant, pairs))
  result <- predict(model, list(x, real), batch_size = 24, verbose = 0)
  expect_same(result[[1]], layer(x, x, value_mask = real))
  expect_same(result[[2]], result[[1]])
  expect_same(result[[3]], model(list(x, real))[[3]])
})

test_that("scores that a model computes print and draw themselves like those of a layer", {
  compare <- function(layer, inputs, asked = TRUE) {
    tensors <- lapply(inputs, function(x) keras_input(dim(x)[-1]))
    call <- if (inherits(layer, "attentive_multi_head_attention")) function(x) layer(x[[1]], x[[2]], return_attention_scores = asked) else
      function(x) layer(x, return_attention_scores = asked)
    model <- keras_model(tensors, call(tensors)$attention_scores)
    own <- call(inputs)$attention_scores
    expect_s3_class(own, "attentive_scores")
    expect_identical(attributes(model(inputs)), attributes(own))
    expect_identical(attributes(predict(model, inputs, verbose = 0)), attributes(own))
    expect_identical(attributes(predict(unserialize(serialize(model, NULL)), inputs, verbose = 0)), attributes(own))
    expect_output(print(predict(model, inputs, verbose = 0)), "Attention scores: 2 batch elements")
  }
  x <- array(seq(-1, 1, length.out = 2 * 3 * 4), c(2, 3, 4))
  y <- array(seq(-1, 1, length.out = 2 * 5 * 4), c(2, 5, 4))
  compare(layer_multi_head_attention(num_heads = 2, key_dim = 3), list(x, y))
  compare(layer_multi_head_attention(num_heads = 2, key_dim = 3), list(x, y), "mean")
  compare(layer_attention(), list(x, y))
  grid <- array(seq(-1, 1, length.out = 2 * 3 * 2 * 4), c(2, 3, 2, 4))
  compare(layer_multi_head_attention(num_heads = 2, key_dim = 3), list(grid, grid))
  compare(layer_multi_head_attention(num_heads = 2, key_dim = 3, attention_axes = 2), list(grid, grid))

  input <- keras_input(c(3, 4))
  both <- keras_model(input, layer_multi_head_attention(num_heads = 2, key_dim = 3)(input, input, return_attention_scores = TRUE))
  expect_identical(class(predict(both, x, verbose = 0)$attention_output), "array")
  expect_s3_class(predict(both, x, verbose = 0)$attention_scores, "attentive_scores")
})
