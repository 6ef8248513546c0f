# Layers and inputs for the tests.

# A built layer with the given (or random) weights.
built_layer <- function(args, query, value = query, key = value, weights = NULL, dtype = "float64") {
  layer <- do.call(layer_multi_head_attention, c(args, list(dtype = dtype)))
  layer$build(dim(query), dim(value), dim(key))
  if (is.null(weights)) weights <- random_weights(layer)
  set_weights(layer, weights)
  layer
}

# Weights of a built layer drawn anew, biases as well (fresh ones are zero and would hide mistakes).
random_weights <- function(layer, scale = 0.7) {
  lapply(get_weights(layer), function(w) array(stats::runif(length(w), -scale, scale), dim(w)))
}

noise <- function(...) array(stats::rnorm(prod(...)), c(...))

pick <- function(x) x[[sample.int(length(x), 1)]]

chance <- function(p) stats::runif(1) < p

random_mask <- function(dim, share = 0.65) array(stats::runif(prod(dim)) < share, dim)

# A random configuration with inputs that fit: any rank, axes, sizes, and every mask that was drawn.
random_case <- function(rank = pick(list(3, 3, 3, 4, 5)), masks = TRUE) {
  free_and_tokens <- rank - 2
  axes <- if (rank == 3 || chance(0.4)) NULL else sample.int(free_and_tokens, sample.int(free_and_tokens, 1))
  if (!is.null(axes) && chance(0.3)) axes <- axes - rank
  args <- list(num_heads = pick(1:3), key_dim = pick(1:4))
  if (chance(0.4)) args$value_dim <- pick(1:4)
  if (chance(0.3)) args$use_bias <- FALSE
  if (chance(0.3)) args$output_shape <- pick(list(1, 3, c(2, 3), c(1, 2, 2)))
  if (chance(0.3)) args$use_gate <- TRUE
  if (masks && chance(0.25)) args$sliding_window <- pick(1:4)
  if (!is.null(axes)) args$attention_axes <- axes

  resolved <- oracle_axes(axes, rank)
  batch <- pick(1:3)
  query_dim <- c(batch, sample.int(if (rank == 3) 6 else 3, free_and_tokens, replace = TRUE), pick(1:4))
  value_dim <- query_dim
  value_dim[resolved + 1] <- sample.int(if (rank == 3) 6 else 3, length(resolved), replace = TRUE)
  value_dim[rank] <- pick(1:4)
  key_dim <- value_dim
  key_dim[rank] <- pick(1:4)
  query <- noise(query_dim)
  value <- noise(value_dim)
  key <- if (chance(0.4)) noise(key_dim) else NULL

  call <- list()
  if (masks) {
    if (chance(0.3)) call$query_mask <- random_mask(query_dim[-rank])
    if (chance(0.4)) call$value_mask <- random_mask(value_dim[-rank])
    if (chance(0.3)) call$key_mask <- random_mask(value_dim[-rank])
    if (chance(0.4)) call$use_causal_mask <- TRUE
    if (chance(0.5)) call$attention_mask <- random_attention_mask(query_dim, value_dim, resolved, args$num_heads)
  }
  list(args = args, inputs = list(query = query, value = value, key = key), call = call)
}

# A mask in any rank that lines up: token axes, then from the left as many of batch, free axes and heads as drawn; some of size 1.
random_attention_mask <- function(query_dim, value_dim, axes, heads) {
  rank <- length(query_dim)
  lead <- c(query_dim[setdiff(seq_len(rank - 1), axes + 1)], heads)
  kept <- sample.int(length(lead) + 1, 1) - 1
  dims <- c(lead[seq_len(kept)], query_dim[axes + 1], value_dim[axes + 1])
  ones <- stats::runif(length(dims)) < 0.2
  dims[ones] <- 1
  random_mask(dims, 0.75)
}

describe_case <- function(case) {
  dims <- vapply(case$inputs[!vapply(case$inputs, is.null, NA)], function(x) paste(dim(x), collapse = "x"), "")
  masks <- vapply(case$call, function(x) paste(dim(x), collapse = "x"), "")
  paste(
    gsub("\\s+", " ", paste(deparse(case$args), collapse = "")),
    paste(names(dims), dims, collapse = ", "), paste(names(masks), masks, collapse = ", "), sep = " | "
  )
}

run_case <- function(case, layer, scores = TRUE) {
  inputs <- case$inputs[!vapply(case$inputs, is.null, NA)]
  do.call(layer, c(inputs, case$call, list(return_attention_scores = scores)))
}

# Layers print their automatic names: a test that shows them starts from a clean count.
fresh_names <- function() clear_session()
