# The call of multi-head attention on arrays.

call_multi_head_attention <- function(self, query, value, key, query_mask, value_mask, key_mask, attention_mask,
                                      return_attention_scores, training, use_causal_mask, extra, call) {
  if (length(extra) > 0L) {
    check_dots_names(extra, c("object", "threads"), sprintf("The layer \"%s\"", self$name), call)
    if (!is.null(extra$object)) { # keras3's name of the first argument: the others move by one
      key <- value
      value <- if (!missing(query)) query
      query <- extra$object
    }
  }
  if (missing(query)) abort_missing("query", "an array [batch, tokens, features]", call)
  if (is.null(value)) value <- query
  query_dim <- check_input(query, "query", call)
  value_dim <- check_input(value, "value", call)
  key_dim <- if (is.null(key)) value_dim else check_input(key, "key", call)
  causal <- check_flag(use_causal_mask, "use_causal_mask", call = call)
  scores <- check_scores_request(return_attention_scores, call)
  training <- check_flag(training, "training", null = TRUE, call = call)
  if (isTRUE(training) && self$dropout > 0) {
    abort_attentive("not_yet", "Dropout while training is not available yet.",
      hint = "Use `training = FALSE`, or `dropout = 0`.", call = call
    )
  }
  threads <- if (is.null(extra$threads)) default_threads() else check_whole(extra$threads, "threads", call = call)

  # the sizes are checked before anything is built, so that an error leaves the layer as it was
  rank <- length(query_dim)
  axes <- if (self$built) check_built(self, query_dim, value_dim, key_dim, call) else resolve_axes(self$attention_axes, rank, call)
  check_related_shapes(query_dim, value_dim, key_dim, axes, call)
  plan <- attention_plan(self, axes, query_dim, value_dim)
  value_bytes <- padding_bytes(value_mask, "value_mask", value_dim[-rank], plan$order[-rank], call)
  key_bytes <- padding_bytes(key_mask, "key_mask", value_dim[-rank], plan$order[-rank], call)
  query_bytes <- padding_bytes(query_mask, "query_mask", query_dim[-rank], plan$order[-rank], call)
  dense <- dense_mask(attention_mask, plan$scores, length(axes), call)
  if (!self$built) {
    layer_build(self, list(query_shape = query_dim, value_shape = value_dim, key_shape = key_dim), call)
  }

  parts <- self$parts
  result <- engine_multi_head_attention(
    query, value, key,
    lapply(parts, function(part) list(part[["kernel"]][["value"]], part[["bias"]][["value"]])),
    list(
      float64 = self$dtype == "float64", batch = query_dim[[1L]], free = plan$free, queries = plan$queries, keys = plan$keys,
      heads = self$num_heads, key_size = self$key_dim, value_size = self$value_dim, order = plan$order,
      output = self$output_size, scores = scores, score_dim = plan$scores, attended = length(axes),
      activity = activity_request(self$activity_regularizer)
    ),
    list(
      query = query_bytes, key = if (is.null(key_bytes)) value_bytes else if (is.null(value_bytes)) key_bytes else value_bytes & key_bytes,
      dense = dense$bytes, strides = dense$strides, causal = causal, window = if (is.null(self$sliding_window)) 0L else self$sliding_window
    ),
    threads
  )
  self$activity_losses <- activity_losses(self$activity_regularizer, result[[3L]], query_dim[[1L]])
  if (scores == 0L) return(result[[1L]])
  list(
    attention_output = result[[1L]],
    attention_scores = scores_of(result[[2L]], plan, axes, scores == 2L, query, if (is.null(key)) value else key)
  )
}

# dim(x), or an error that says what an input is.
check_input <- function(x, arg, call = NULL) {
  size <- dim(x)
  plain <- !is.object(x) || inherits(x, c("attentive_scores", "table"))
  if (!(is.numeric(x) || is.logical(x)) || !plain || is.null(size)) {
    abort_argument(x, arg, "a numeric array [batch, tokens, features]",
      hint = if (is.list(x) && !is.data.frame(x)) "A layer takes its arrays one by one: `layer(query, value)`." else
        if (is.data.frame(x)) "For one sequence: `array(as.matrix(x), c(1, dim(x)))`." else
        if (is.atomic(x) && is.numeric(x) && is.null(size)) "For one sequence of single numbers: `array(x, c(1, length(x), 1))`.",
      call = call
    )
  }
  if (length(size) < 3L) abort_rank(size, arg, call)
  size
}

# FALSE, TRUE or "mean" as 0, 1, 2.
check_scores_request <- function(x, call = NULL) {
  if (identical(x, FALSE)) return(0L)
  if (identical(x, TRUE)) return(1L)
  if (identical(x, "mean")) return(2L)
  abort_argument(x, "return_attention_scores", "TRUE, FALSE or \"mean\" (averaged over the heads)", call = call)
}

check_built <- function(self, query_dim, value_dim, key_dim, call = NULL) {
  rank <- length(query_dim)
  if (rank != self$rank) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for inputs of %d dimensions; `query` has %d: %s.", self$name, self$rank, rank, format_shape(query_dim)),
      call = call
    )
  }
  given <- list(query = query_dim, value = value_dim, key = key_dim)
  for (arg in names(given)) {
    size <- given[[arg]][[length(given[[arg]])]]
    if (size != self$features[[arg]]) {
      abort_attentive("shape",
        sprintf("The layer \"%s\" was built for a `%s` with %d features, not %d: %s.",
          self$name, arg, self$features[[arg]], size, format_shape(given[[arg]])),
        hint = if (arg == "key" && identical(key_dim, value_dim)) "The layer has seen a separate `key` before; give one again.", call = call
      )
    }
  }
  self$axes
}

# Sizes and orders of one call. The engine sees [B, F, T, D]: the axes that are
# not attended over (F) first, then the attended ones (T or S).
attention_plan <- function(self, axes, query_dim, value_dim) {
  rank <- length(query_dim)
  free <- seq_len(rank - 2L)[-axes]
  list(
    order = c(0L, free, axes, rank - 1L),
    free = prod(query_dim[free + 1L]), queries = prod(query_dim[axes + 1L]), keys = prod(value_dim[axes + 1L]),
    scores = c(query_dim[[1L]], query_dim[free + 1L], self$num_heads, query_dim[axes + 1L], value_dim[axes + 1L]),
    heads_axis = length(free) + 2L
  )
}

# The scores with their class; names of the token axes come from the inputs.
scores_of <- function(scores, plan, axes, mean, query, keys) {
  names_of <- function(x, axis) if (is.null(dimnames(x))) NULL else dimnames(x)[[axis]]
  if (!is.null(dimnames(query)) || !is.null(dimnames(keys))) {
    free <- plan$order[seq_len(plan$heads_axis - 1L)] + 1L
    labels <- c(
      lapply(free, names_of, x = query), if (!mean) list(NULL), lapply(axes + 1L, names_of, x = query), lapply(axes + 1L, names_of, x = keys)
    )
    if (!all(vapply(labels, is.null, NA))) dimnames(scores) <- labels
  }
  new_scores(scores, heads_axis = if (mean) NULL else plan$heads_axis, n_axes = length(axes))
}
