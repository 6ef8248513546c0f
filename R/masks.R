# Masks: from what a user gives to bytes for the engine, TRUE = may attend.

# A padding mask [B, tokens ...] as raw bytes in the engine's order; `dims` are the
# sizes that it must have, `order` the axis order (from 0) of the engine.
padding_bytes <- function(mask, arg, dims, order, call = NULL) {
  if (is.null(mask)) return(NULL)
  check_mask_type(mask, arg, call)
  size <- dim(mask)
  if (is.null(size) && length(dims) == 2L && length(mask) == dims[[2L]] && dims[[1L]] == 1L) {
    size <- dims
    dim(mask) <- dims # one sequence: a plain vector cannot be misread
  }
  if (length(size) != length(dims) || any(size != dims & size != 1L)) {
    abort_attentive("mask",
      sprintf("`%s` must have dim %s (batch, tokens), not %s.", arg, format_shape(dims),
        if (is.null(size)) paste("a length of", length(mask)) else format_shape(size)),
      hint = mask_hint(size, dims, arg), call = call
    )
  }
  if (any(size != dims)) mask <- broadcast(mask, size, dims)
  bytes <- mask_bytes(mask, order)
  if (is.null(bytes)) abort_mask_values(mask, arg, call)
  bytes
}

mask_hint <- function(size, dims, arg) {
  if (length(size) == 2L && length(dims) == 2L && all(size == rev(dims))) return("It looks transposed: rows are batch elements, columns tokens.")
  if (length(size) > length(dims)) return("A mask of pairs of queries and keys goes into `attention_mask`.")
  NULL
}

# The dense mask as list(bytes, strides), strides for the groups batch, free,
# head, query, key, 0 where it broadcasts. `scores` are the sizes of the scores
# [B, free ..., H, T ..., S ...], `n` the number of attended axes.
dense_mask <- function(mask, scores, n, call = NULL) {
  if (is.null(mask)) return(NULL)
  check_mask_type(mask, "attention_mask", call)
  size <- dim(mask)
  rank <- length(scores)
  missing_axes <- rank - length(size)
  padded <- if (length(size) >= 2L * n && missing_axes >= 0L) {
    # missing axes are filled in just before the queries and keys
    lead <- length(size) - 2L * n
    c(size[seq_len(lead)], rep(1L, missing_axes), size[lead + seq_len(2L * n)])
  }
  if (is.null(padded) || any(padded != scores & padded != 1L)) abort_mask_shape(mask, size, scores, n, call)
  group <- rep(1:5, c(1L, rank - 2L * n - 2L, 1L, n, n))
  full <- padded == scores
  # within a group of axes either all are there or all broadcast
  partial <- unique(group[!full])
  partial <- partial[vapply(partial, function(g) any(padded[group == g] != 1L), NA)]
  if (length(partial) > 0L) {
    target <- ifelse(group %in% partial, scores, padded)
    dim(mask) <- padded
    mask <- broadcast(mask, padded, target)
    padded <- target
  } else {
    dim(mask) <- padded
  }
  bytes <- mask_bytes(mask, seq_len(rank) - 1L)
  if (is.null(bytes)) abort_mask_values(mask, "attention_mask", call)
  sizes <- vapply(1:5, function(g) prod(padded[group == g]), 0)
  strides <- rev(cumprod(c(1, rev(sizes[-1L]))))
  there <- vapply(1:5, function(g) all(padded[group == g] == scores[group == g]), NA)
  list(bytes = bytes, strides = ifelse(there, strides, 0))
}

broadcast <- function(x, from, to) {
  index <- Map(function(have, want) if (have == want) seq_len(want) else rep(1L, want), from, to)
  do.call(`[`, c(list(x), unname(index), list(drop = FALSE)))
}

check_mask_type <- function(mask, arg, call = NULL) {
  if ((is.logical(mask) || is.numeric(mask)) && !is.factor(mask) && (!is.object(mask) || inherits(mask, "table"))) return(invisible())
  abort_argument(mask, arg, "a logical or 0/1 array, TRUE where attention is allowed", call = call, class = "mask")
}

mask_meaning <- function(arg) {
  if (arg == "attention_mask") "TRUE or 1: this query may attend to this key; FALSE or 0: it may not." else
    "TRUE or 1: a real token; FALSE or 0: padding, which takes no part."
}

abort_mask_values <- function(mask, arg, call = NULL) {
  values <- as.vector(mask)
  if (anyNA(values)) {
    abort_attentive("mask", sprintf("`%s` must not contain missing values; %d of %d are.", arg, sum(is.na(values)), length(values)),
      hint = mask_meaning(arg), call = call
    )
  }
  odd <- values[values != 0 & values != 1]
  abort_attentive("mask", sprintf("`%s` must be logical or 0/1, but contains %s.", arg, format(odd[[1L]], digits = 7)),
    hint = c(
      mask_meaning(arg),
      if (any(odd < 0)) sprintf(
        "An additive mask (0 = allowed, a large negative number = forbidden) has the opposite sense: use `%s = mask == 0`.", arg
      )
    ), call = call
  )
}

abort_mask_shape <- function(mask, size, scores, n, call = NULL) {
  rank <- length(scores)
  pairs <- scores[rank - 2L * n + seq_len(2L * n)]
  forms <- unique(list(pairs, c(scores[[1L]], pairs), scores))
  abort_attentive("mask",
    sprintf(
      "`attention_mask` must have dim %s or %s (a size of 1 broadcasts), not %s.",
      paste(vapply(forms[-length(forms)], format_shape, ""), collapse = ", "), format_shape(forms[[length(forms)]]),
      if (is.null(size)) paste("a length of", length(mask)) else format_shape(size)
    ),
    hint = c(
      "The sizes are batch, heads, queries, keys; queries come before keys.",
      if (length(size) == 2L) "A mask of tokens [batch, tokens] goes into `value_mask` or `query_mask`."
    ), call = call
  )
}
