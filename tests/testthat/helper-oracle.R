# Multi-head attention in plain R, written from the documentation of the layer alone: explicit loops over batch, free axes and
# heads, one query at a time. Slow and easy to check by eye; it shares no code and no idea of layout with the package.

# Attended axes as Keras counts them: the batch is 0, negatives from the end of the input.
oracle_axes <- function(axes, rank) {
  if (is.null(axes)) return(seq_len(rank - 2))
  axes <- unlist(axes)
  ifelse(axes < 0, axes + rank, axes)
}

# All index tuples of an index space, the last index fastest; one row per tuple. No axes: one empty tuple.
oracle_tuples <- function(sizes) {
  n <- prod(sizes)
  tuples <- matrix(0L, n, length(sizes))
  for (row in seq_len(n)) {
    rest <- row - 1
    for (axis in rev(seq_along(sizes))) {
      tuples[row, axis] <- as.integer(rest %% sizes[axis]) + 1L
      rest <- rest %/% sizes[axis]
    }
  }
  tuples
}

oracle_at <- function(x, index) x[matrix(index, 1)]

# A mask with fewer axes than the scores is lined up at both ends: batch and free axes left, token axes right, ones between.
oracle_mask_dims <- function(mask, scores_rank, n_axes) {
  dims <- dim(mask)
  tail <- seq(length(dims) - 2 * n_axes + 1, length(dims))
  c(dims[-tail], rep(1, scores_rank - length(dims)), dims[tail])
}

# query [B, .., D], value and key likewise -> list(output, scores).
oracle_attention <- function(args, weights, query, value, key = NULL, query_mask = NULL, value_mask = NULL, key_mask = NULL,
                             attention_mask = NULL, use_causal_mask = FALSE) {
  if (is.null(key)) key <- value
  rank <- length(dim(query))
  axes <- oracle_axes(args$attention_axes, rank)
  free <- setdiff(seq_len(rank - 2), axes)
  biased <- !identical(args$use_bias, FALSE)
  gated <- isTRUE(args$use_gate)
  parts <- c("query", "key", if (gated) "gate", "value", "output")
  step <- if (biased) 2 else 1
  kernel <- setNames(weights[seq(1, by = step, length.out = length(parts))], parts)
  bias <- if (biased) setNames(weights[seq(2, by = 2, length.out = length(parts))], parts)

  heads <- dim(kernel$query)[2]
  key_dim <- dim(kernel$query)[3]
  value_dim <- dim(kernel$value)[3]
  output_sizes <- dim(kernel$output)[-(1:2)]
  batch <- dim(query)[1]
  free_tuples <- oracle_tuples(dim(query)[free + 1])
  query_tuples <- oracle_tuples(dim(query)[axes + 1])
  key_tuples <- oracle_tuples(dim(value)[axes + 1])
  score_dims <- c(batch, dim(query)[free + 1], heads, dim(query)[axes + 1], dim(value)[axes + 1])
  scores <- array(0, score_dims)
  output <- array(0, c(dim(query)[-rank], output_sizes))
  output_tuples <- oracle_tuples(output_sizes)

  if (!is.null(attention_mask)) {
    attention_mask <- array(attention_mask != 0, oracle_mask_dims(attention_mask, length(score_dims), length(axes)))
  }

  # The position in an input: batch, then each axis from its free or its attended tuple.
  place <- function(b, f, tuple) {
    index <- integer(rank - 1)
    index[1] <- b
    index[free + 1] <- f
    index[axes + 1] <- tuple
    index
  }
  features <- function(x, position) {
    vapply(seq_len(dim(x)[rank]), function(d) oracle_at(x, c(position, d)), 0)
  }
  project <- function(x, part, head) {
    k <- kernel[[part]]
    out <- numeric(dim(k)[3])
    for (j in seq_along(out)) out[j] <- sum(x * k[, head, j]) + if (biased) bias[[part]][head, j] else 0
    out
  }
  allowed <- function(b, f, h, i, j) {
    q <- query_tuples[i, ]
    s <- key_tuples[j, ]
    if (!is.null(query_mask) && !oracle_at(query_mask, place(b, f, q))) return(FALSE)
    if (!is.null(value_mask) && !oracle_at(value_mask, place(b, f, s))) return(FALSE)
    if (!is.null(key_mask) && !oracle_at(key_mask, place(b, f, s))) return(FALSE)
    if (use_causal_mask && j > i) return(FALSE)
    if (!is.null(args$sliding_window) && abs(i - j) >= args$sliding_window) return(FALSE)
    if (!is.null(attention_mask)) {
      index <- pmin(c(b, f, h, q, s), dim(attention_mask))
      if (!oracle_at(attention_mask, index)) return(FALSE)
    }
    TRUE
  }

  for (b in seq_len(batch)) for (row in seq_len(nrow(free_tuples))) {
    f <- free_tuples[row, ]
    x_query <- lapply(seq_len(nrow(query_tuples)), function(i) features(query, place(b, f, query_tuples[i, ])))
    x_key <- lapply(seq_len(nrow(key_tuples)), function(j) features(key, place(b, f, key_tuples[j, ])))
    x_value <- lapply(seq_len(nrow(key_tuples)), function(j) features(value, place(b, f, key_tuples[j, ])))
    for (i in seq_along(x_query)) {
      result <- array(0, length(output_tuples[, 1]))
      for (h in seq_len(heads)) {
        q <- project(x_query[[i]], "query", h)
        seen <- which(vapply(seq_along(x_key), function(j) allowed(b, f, h, i, j), NA))
        context <- numeric(value_dim)
        if (length(seen) > 0) {
          logits <- vapply(seen, function(j) sum(q * project(x_key[[j]], "key", h)) / sqrt(key_dim), 0)
          weight <- exp(logits - max(logits))
          weight <- weight / sum(weight)
          for (n in seq_along(seen)) {
            context <- context + weight[n] * project(x_value[[seen[n]]], "value", h)
            scores[matrix(c(b, f, h, query_tuples[i, ], key_tuples[seen[n], ]), 1)] <- weight[n]
          }
        }
        if (gated) context <- context / (1 + exp(-project(x_query[[i]], "gate", h)))
        for (e in seq_along(result)) for (v in seq_len(value_dim)) {
          result[e] <- result[e] + context[v] * oracle_at(kernel$output, c(h, v, output_tuples[e, ]))
        }
      }
      for (e in seq_along(result)) {
        added <- if (biased) oracle_at(array(bias$output, output_sizes), output_tuples[e, ]) else 0
        output[matrix(c(place(b, f, query_tuples[i, ]), output_tuples[e, ]), 1)] <- result[e] + added
      }
    }
  }
  list(output = output, scores = scores)
}

oracle_case <- function(case, weights) {
  do.call(oracle_attention, c(list(args = case$args, weights = weights), case$inputs, case$call))
}
