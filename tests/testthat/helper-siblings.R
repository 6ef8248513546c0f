# The sibling layers' golden cases, and their attention in plain R.

sibling_cases <- function(name) readRDS(test_path("golden", paste0(name, ".rds")))

# A built layer of a golden case that takes a list, and its call.
list_layer <- function(make, case, dtype) {
  layer <- do.call(make, c(case$args, list(dtype = dtype, name = "att")))
  layer$build(lapply(case$inputs, dim))
  set_weights(layer, case$weights)
  layer
}

list_call <- function(layer, case, ...) {
  m <- case$call
  mask <- if (!is.null(m$query_mask) || !is.null(m$value_mask)) list(m$query_mask, m$value_mask)
  layer(unname(case$inputs), mask = mask, use_causal_mask = isTRUE(m$use_causal_mask), ...)
}

# Output and scores of golden cases; weights in Keras's order under Keras's paths.
check_list_layer <- function(make, name, dtype, bound) {
  for (case in sibling_cases(name)) {
    label <- sprintf("%s (%s)", case$name, dtype)
    layer <- list_layer(make, case, dtype)
    expect_identical(vapply(layer$weights, function(w) w$path, ""), as.character(unlist(case$weight_paths)), label = label)
    both <- list_call(layer, case, return_attention_scores = TRUE)
    expect_close(both$attention_output, case$output, bound, paste(label, "output"))
    expect_close(both$attention_scores, case$scores, bound, paste(label, "scores"))
    expect_close(list_call(layer, case), case$output, bound, paste(label, "output without scores"))
  }
}

# score(q, k), a number for two vectors, softmax, weighted sum: one pair at a time, for inputs of any rank.
plain_attention <- function(score, query, value, key = value, query_mask = NULL, value_mask = NULL, causal = FALSE) {
  flat <- function(x) array(x, c(prod(dim(x)[seq_len(length(dim(x)) - 2)]), tail(dim(x), 2)))
  flat_mask <- function(m, x) if (is.null(m)) array(TRUE, dim(flat(x))[1:2]) else array(as.logical(m), dim(flat(x))[1:2])
  q <- flat(query); k <- flat(key); v <- flat(value)
  qm <- flat_mask(query_mask, query); vm <- flat_mask(value_mask, value)
  output <- array(0, c(dim(q)[1:2], dim(v)[3]))
  scores <- array(0, c(dim(q)[1:2], dim(k)[2]))
  for (n in seq_len(dim(q)[1])) for (t in seq_len(dim(q)[2])) {
    seen <- Filter(function(s) vm[n, s] && (!causal || s <= t), seq_len(dim(k)[2]))
    if (length(seen) == 0) next
    logits <- vapply(seen, function(s) score(q[n, t, ], k[n, s, ]), 0)
    weights <- exp(logits - max(logits))
    weights <- weights / sum(weights)
    scores[n, t, seen] <- weights
    if (qm[n, t]) for (i in seq_along(seen)) output[n, t, ] <- output[n, t, ] + weights[i] * v[n, seen[i], ]
  }
  lead <- dim(query)[-length(dim(query))]
  list(output = array(output, c(lead, dim(v)[3])), scores = array(scores, c(lead, dim(k)[2])))
}

# sin(0.37 i^2 + p), i counting in row-major order: the inputs and weights of Keras's recorded vectors.
fill <- function(shape, p) {
  aperm(array(sin(0.37 * seq_len(prod(shape))^2 + p), rev(shape)), rev(seq_along(shape)))
}
row_major <- function(x) as.vector(aperm(x, rev(seq_along(dim(x)))))

check_list_gradients <- function(make, name, dtype, bound) {
  for (case in sibling_cases(name)) {
    layer <- list_layer(make, case, dtype)
    m <- case$call
    mask <- if (!is.null(m$query_mask) || !is.null(m$value_mask)) list(m$query_mask, m$value_mask)
    got <- get_gradients(layer, case$inputs, mask = mask, use_causal_mask = isTRUE(m$use_causal_mask), upstream = case$upstream)
    expect_gradients(got, case, bound, sprintf("%s (%s)", case$name, dtype))
  }
}

expect_gradients <- function(got, case, bound, label) {
  expect_identical(names(got$inputs), names(case$gradients$inputs), label = label)
  expect_length(got$weights, length(case$gradients$weights))
  for (arg in names(got$inputs)) expect_close(got$inputs[[arg]], case$gradients$inputs[[arg]], bound, paste(label, arg))
  for (i in seq_along(got$weights)) expect_close(got$weights[[i]], case$gradients$weights[[i]], bound, paste(label, "weight", i))
}
