# Gradients of a layer: against Keras's numbers, against differences, against themselves.

test_that("gradients agree with all golden cases in both precisions", {
  for (case in readRDS(test_path("golden", "multi_head_attention.rds"))) {
    for (dtype in c("float64", "float32")) {
      layer <- built_layer(case$args, case$inputs$query, case$inputs$value, if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key,
        weights = case$weights, dtype = dtype
      )
      got <- do.call(get_gradients, c(list(layer), case$inputs, case$call, list(upstream = case$upstream)))
      bound <- if (dtype == "float64") 1e-11 else 1e-4
      label <- paste(case$name, dtype)
      expect_identical(names(got$inputs), names(case$inputs), label = label)
      for (i in seq_along(got$inputs)) expect_close(got$inputs[[i]], case$gradients$inputs[[i]], bound, paste(label, "input", i))
      for (i in seq_along(got$weights)) expect_close(got$weights[[i]], case$gradients$weights[[i]], bound, paste(label, "weight", i))
    }
  }
})

# Differences ------------------------------------------------------------------

# One value of every option; a configuration draws one of each.
gradient_options <- list(
  rank = c("3", "4, one axis", "4, two axes"), value_dim = c("same", "other"), bias = c("yes", "no"), gate = c("no", "yes"),
  output = c("query", "one", "two"), window = c("no", "yes"), key = c("no", "yes"), query_mask = c("no", "yes"),
  value_mask = c("no", "yes"), key_mask = c("no", "yes"), causal = c("no", "yes"),
  attention_mask = c("no", "pairs", "batch", "heads"), scores = c("no", "yes"), dropout = c("no", "yes"),
  penalties = c("no", "yes")
)

option_pairs <- function(chosen) {
  values <- paste0(names(chosen), "=", unlist(chosen))
  utils::combn(values, 2, paste, collapse = " & ")
}

all_option_pairs <- function(options) {
  unlist(utils::combn(names(options), 2, function(two) {
    as.vector(outer(
      paste0(two[[1]], "=", options[[two[[1]]]]), paste0(two[[2]], "=", options[[two[[2]]]]), paste, sep = " & "
    ))
  }, simplify = FALSE))
}

# A layer, the arguments of its call and upstream gradients for the chosen options.
gradient_case <- function(chosen) {
  rank <- if (chosen$rank == "3") 3 else 4
  axes <- if (chosen$rank == "4, one axis") 2L
  query_dim <- if (rank == 3) c(2, 3, 4) else c(2, 2, 3, 4)
  value_dim <- if (rank == 3) c(2, 4, 3) else c(2, 2, 4, 3)
  args <- list(
    num_heads = 2, key_dim = 3, value_dim = if (chosen$value_dim == "other") 2, use_bias = chosen$bias == "yes",
    use_gate = chosen$gate == "yes", output_shape = switch(chosen$output, query = NULL, one = 5, two = c(2, 3)),
    sliding_window = if (chosen$window == "yes") 2, attention_axes = axes, dropout = if (chosen$dropout == "yes") 0.4 else 0, seed = 5,
    # not l1, whose kinks differences would see
    activity_regularizer = if (chosen$penalties == "yes") regularizer_l2(0.03),
    kernel_regularizer = if (chosen$penalties == "yes") "l2"
  )
  query <- noise(query_dim)
  value <- noise(value_dim)
  key <- if (chosen$key == "yes") noise(c(value_dim[-rank], 2))
  attended <- if (is.null(axes)) seq_len(rank - 2) else axes
  scores_dim <- c(2, query_dim[setdiff(seq_len(rank - 2), attended) + 1], 2, query_dim[attended + 1], value_dim[attended + 1])
  pairs <- utils::tail(scores_dim, 2 * length(attended))
  call <- list(
    query_mask = if (chosen$query_mask == "yes") random_mask(query_dim[-rank]),
    value_mask = if (chosen$value_mask == "yes") random_mask(value_dim[-rank]),
    key_mask = if (chosen$key_mask == "yes") random_mask(value_dim[-rank]),
    attention_mask = switch(chosen$attention_mask, no = NULL, pairs = random_mask(pairs), batch = random_mask(c(2, pairs)), heads = random_mask(scores_dim)),
    use_causal_mask = chosen$causal == "yes", training = chosen$dropout == "yes"
  )
  layer <- built_layer(args, query, value, if (is.null(key)) value else key)
  output_dim <- c(query_dim[-rank], if (is.null(args$output_shape)) query_dim[[rank]] else args$output_shape)
  list(
    layer = layer, inputs = Filter(Negate(is.null), list(query = query, value = value, key = key)), call = call,
    upstream = noise(output_dim), scores_upstream = if (chosen$scores == "yes") noise(scores_dim), losses = chosen$penalties == "yes"
  )
}

# The loss whose gradient is asked for. Each call works on a copy of the layer, so that dropout draws the same mask.
gradient_loss <- function(case, inputs, weights) {
  layer <- unserialize(serialize(case$layer, NULL))
  set_weights(layer, weights)
  result <- do.call(layer, c(inputs, case$call, list(return_attention_scores = TRUE)))
  loss <- sum(result$attention_output * case$upstream)
  if (!is.null(case$scores_upstream)) loss <- loss + sum(as.array(result$attention_scores) * case$scores_upstream)
  if (case$losses) loss <- loss + sum(unlist(layer$losses))
  loss
}

test_that("gradients agree with differences for 200 configurations that cover every pair of options", {
  set.seed(4711)
  wanted <- all_option_pairs(gradient_options)
  covered <- character()
  h <- 1e-5
  for (number in 1:200) {
    # of a few random choices the one that covers most new pairs
    candidates <- lapply(1:8, function(i) lapply(gradient_options, pick))
    gain <- vapply(candidates, function(chosen) length(setdiff(option_pairs(chosen), covered)), 0)
    chosen <- candidates[[which.max(gain)]]
    covered <- union(covered, option_pairs(chosen))

    case <- gradient_case(chosen)
    weights <- get_weights(case$layer)
    got <- do.call(get_gradients, c(
      list(unserialize(serialize(case$layer, NULL))), case$inputs, case$call,
      list(upstream = case$upstream, scores_upstream = case$scores_upstream, losses = case$losses)
    ))
    label <- paste(c(number, paste0(names(chosen), "=", unlist(chosen))), collapse = " ")
    # along one random direction for each array
    for (i in seq_along(case$inputs)) {
      step <- noise(dim(case$inputs[[i]]))
      along <- function(sign) {
        moved <- case$inputs
        moved[[i]] <- moved[[i]] + sign * h * step
        gradient_loss(case, moved, weights)
      }
      expect_close((along(1) - along(-1)) / (2 * h), sum(got$inputs[[i]] * step), 1e-7, paste(label, names(case$inputs)[[i]]))
    }
    for (i in seq_along(weights)) {
      step <- array(stats::rnorm(length(weights[[i]])), dim(weights[[i]]))
      along <- function(sign) {
        moved <- weights
        moved[[i]] <- moved[[i]] + sign * h * step
        gradient_loss(case, case$inputs, moved)
      }
      expect_close((along(1) - along(-1)) / (2 * h), sum(got$weights[[i]] * step), 1e-7, paste(label, "weight", i))
    }
  }
  expect_identical(setdiff(wanted, covered), character())
})

# What gradients mean ------------------------------------------------------------

test_that("the default upstream is ones, and the output is the layer's", {
  x <- noise(2, 4, 5)
  layer <- built_layer(list(num_heads = 2, key_dim = 3), x)
  ones <- array(1, dim(x))
  expect_identical(get_gradients(layer, x, x), get_gradients(layer, x, x, upstream = ones))
  expect_identical(get_gradients(layer, x, x)$output, layer(x, x))
})

test_that("gradients are linear in the upstream gradient", {
  x <- noise(2, 4, 5)
  layer <- built_layer(list(num_heads = 2, key_dim = 3, use_gate = TRUE), x)
  u <- noise(dim(x))
  v <- noise(dim(x))
  both <- get_gradients(layer, x, x, upstream = 2 * u - v)
  one <- get_gradients(layer, x, x, upstream = u)
  other <- get_gradients(layer, x, x, upstream = v)
  for (i in seq_along(both$weights)) expect_close(both$weights[[i]], 2 * one$weights[[i]] - other$weights[[i]], 1e-13)
  expect_close(both$inputs$query, 2 * one$inputs$query - other$inputs$query, 1e-13)
})

test_that("what a mask hides has gradient 0 exactly, and may be NaN", {
  x <- noise(2, 4, 5)
  y <- noise(2, 6, 3)
  layer <- built_layer(list(num_heads = 2, key_dim = 3), x, y)
  real <- rbind(c(TRUE, TRUE, FALSE, TRUE, FALSE, FALSE), c(FALSE, FALSE, FALSE, FALSE, FALSE, FALSE))
  clean <- get_gradients(layer, x, y, value_mask = real)
  expect_true(all(clean$inputs$value[1, !real[1, ], ] == 0))
  expect_true(all(clean$inputs$value[2, , ] == 0))
  expect_true(all(clean$inputs$query[2, , ] == 0))
  y[1, 3, ] <- NaN
  y[2, 5, ] <- Inf
  expect_identical(get_gradients(layer, x, y, value_mask = real), clean)
})

test_that("gradients of empty inputs are empty, whichever axis is", {
  for (dims in list(c(0, 2, 3, 4), c(2, 0, 3, 4), c(2, 3, 0, 4))) {
    x <- array(0, dims)
    for (axes in list(1, 2, NULL)) {
      layer <- layer_multi_head_attention(num_heads = 2, key_dim = 4, attention_axes = axes)
      g <- get_gradients(layer, x, x)
      expect_identical(lapply(g$inputs, dim), list(query = as.integer(dims), value = as.integer(dims)))
      expect_true(all(unlist(g$weights) == 0))
    }
  }
})

test_that("causal attention passes nothing back from the past to the future", {
  x <- noise(1, 6, 4)
  layer <- built_layer(list(num_heads = 2, key_dim = 3), x)
  u <- array(0, dim(x))
  u[1, 3, ] <- 1
  g <- get_gradients(layer, x, x, upstream = u, use_causal_mask = TRUE)
  expect_true(all(g$inputs$value[1, 4:6, ] == 0))
  expect_true(any(g$inputs$value[1, 1:3, ] != 0))
})

test_that("<J v, u> is <v, J' u> for long sequences", {
  set.seed(8)
  for (length in c(200, 1000, 2048)) {
    x <- noise(1, length, 8)
    layer <- built_layer(list(num_heads = 2, key_dim = 8), x)
    u <- noise(dim(x)) / length
    step <- noise(dim(x))
    h <- 1e-6
    forward <- sum(u * (layer(x + h * step, x) - layer(x - h * step, x))) / (2 * h)
    expect_close(forward, sum(get_gradients(layer, x, x, upstream = u)$inputs$query * step), 1e-7, paste("length", length))
  }
})

test_that("every layer and model has gradients", {
  local_floatx("float64")
  set.seed(3)
  x <- noise(c(4, 5, 3))
  input <- keras_input(c(5, 3))
  hidden <- layer_dense(input, 4, activation = "tanh", kernel_regularizer = "l2", activity_regularizer = regularizer_l2(0.1))
  shared <- layer_multi_head_attention(num_heads = 2, key_dim = 2, activity_regularizer = regularizer_l2(0.1))
  model <- keras_model(input, shared(hidden, hidden))
  layer_own <- Layer("Own",
    initialize = function(...) {
      super$initialize(...)
      self$dense <- layer_dense(units = 3)
    },
    build = function(input_shape) self$scale <- self$add_weight(shape = 3, initializer = "ones", regularizer = "l2", name = "scale"),
    call = function(x, other, training = NULL) self$dense(x) * self$scale + op_sin(other)
  )
  cases <- list(
    list(layer_dense(units = 4, activation = "gelu", kernel_regularizer = "l2", activity_regularizer = regularizer_l2(0.1)), x),
    list(layer_layer_normalization(), x), list(layer_conv_1d(filters = 2, kernel_size = 3), x), list(layer_batch_normalization(), x, training = TRUE),
    list(layer_multiply(), list(a = x, b = noise(c(4, 5, 3)))), list(keras_model(input, layer_lambda(input, function(x) op_tanh(x)[, -1, ])), x), list(layer_own(), x, other = noise(c(4, 5, 3))),
    list(model, x), list(keras_model_sequential(input_shape = c(5, 3)) |> layer_dense(2, activation = "tanh") |> layer_flatten() |> layer_dense(1), x),
    list(layer_time_distributed(layer = layer_dense(units = 2)), x), list(layer_global_average_pooling_1d(), x, mask = matrix(rep(c(TRUE, FALSE), 10), 4))
  )
  for (losses in c(FALSE, TRUE)) for (case in cases) {
    layer <- case[[1]]
    y <- do.call(layer, case[-1])
    u <- noise(dim(y))
    got <- do.call(get_gradients, c(case, list(upstream = u, losses = losses)))
    expect_equal(got$output, y, tolerance = 1e-12)
    value <- function(arguments) {
      out <- sum(do.call(layer, arguments) * u)
      if (losses) out + sum(unlist(layer$losses)) else out
    }
    # along one direction of all inputs and trained weights together
    arrays <- rapply(case[-1], function(a) if (is.double(a)) noise(dim(a)) else a, how = "replace")
    weights <- get_weights(layer)
    direction <- lapply(weights, function(w) noise(dim(w)))
    at <- function(h) {
      set_weights(layer, Map(function(w, d) w + h * d, weights, direction))
      moved <- rapply(Map(list, case[-1], arrays), identity, how = "replace")
      move <- function(a, d) if (is.list(a)) Map(move, a, d) else if (is.double(a)) a + h * d else a
      value(Map(move, case[-1], arrays))
    }
    numeric <- (at(1e-5) - at(-1e-5)) / 2e-5
    set_weights(layer, weights)
    flat <- Filter(is.double, unlist(lapply(arrays, function(a) if (is.list(a)) a else list(a)), recursive = FALSE))
    found <- sum(mapply(function(g, d) sum(g * d), got$inputs, flat)) + sum(0, unlist(Map(function(g, d) sum(g * d), got$weights, direction)))
    # moving statistics move too
    if (!inherits(layer, "attentive_batch_normalization")) expect_close(found, numeric, 1e-6, paste(class(layer)[[1]], losses))
    expect_identical(lapply(got$weights, dim), lapply(weights, dim))
  }
  expect_named(get_gradients(cases[[5]][[1]], cases[[5]][[2]])$inputs, c("a", "b"))
  expect_named(get_gradients(cases[[7]][[1]], x, x)$inputs, c("x", "other"))
  expect_named(get_gradients(model, x)$inputs, model$input_names)
  ids <- matrix(c(1, 0, 2, 2), 2)
  embedding <- layer_embedding(input_dim = 3, output_dim = 2)
  g <- get_gradients(embedding, ids)
  expect_identical(g$inputs[[1]], ids * 0)
  expect_identical(g$weights[[1]], matrix(c(1, 1, 2), 3, 2))
  # several outputs, dropout
  two <- keras_model(input, list(layer_flatten(input), op_sum(input, axis = c(2, 3))))
  expect_close(get_gradients(two, x)$inputs[[1]], x * 0 + 2, 1e-12)
  expect_close(get_gradients(two, x, upstream = list(NULL, array(1:4)))$inputs[[1]], x * 0 + 1:4, 1e-12)
  expect_error(get_gradients(two, x, upstream = x), class = "attentive_error_argument")
  expect_error(get_gradients(two, x, upstream = list(x, NULL)), class = "attentive_error_shape")
  dropped <- get_gradients(layer_dropout(rate = 0.5, seed = 1), x, training = TRUE)
  expect_close(dropped$inputs[[1]] * x, dropped$output, 1e-12)
  expect_error(get_gradients(model, x, scores_upstream = x), class = "attentive_error_argument")
  expect_error(get_gradients(model, input), class = "attentive_error_argument")
  expect_error(get_gradients(layer_dense(units = 2)), class = "attentive_error_argument")
  expect_error(get_gradients(x, x), class = "attentive_error_argument")
})

test_that("wrong calls of get_gradients() are classed errors", {
  x <- noise(2, 4, 5)
  layer <- built_layer(list(num_heads = 2, key_dim = 3), x)
  expect_error(get_gradients(layer), class = "attentive_error_argument")
  expect_error(get_gradients(layer, x, x, upstream = x[1, , , drop = FALSE]), class = "attentive_error_shape")
  expect_error(get_gradients(layer, x, x, upstream = "a"), class = "attentive_error_shape")
  expect_error(get_gradients(layer, x, x, scores_upstream = x), class = "attentive_error_shape")
  expect_error(get_gradients(layer, x, x, losses = NA), class = "attentive_error_argument")
  expect_error(get_gradients(layer, x, x, nonsense = 1), class = "attentive_error_name")
  expect_error(get_gradients(layer, query = x, query = x), class = "attentive_error_name")
  expect_error(get_gradients(layer, x, x, x, x, x, x, x, x, x, x, x), class = "attentive_error_argument")
})
