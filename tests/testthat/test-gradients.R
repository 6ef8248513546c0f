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
