# The call of an attention layer on arrays: what all of them share, and that of
# the layers with projections (multi-head and grouped-query attention).

call_multi_head_attention <- function(self, query, value, key, query_mask, value_mask, key_mask, attention_mask,
                                      return_attention_scores, training, use_causal_mask, extra, call) {
  if (missing(query)) abort_missing("query", "an array [batch, tokens, features]", call)
  if ((is.function(query) || is.environment(query)) && is_sequential(query)) return(invisible(add_layer(query, new_shell(self), call)))
  if (is.environment(query) || is.environment(value) || is.environment(key) || is.environment(query_mask) ||
    is.environment(value_mask) || is.environment(key_mask) || is.environment(attention_mask)) { # symbolic tensors are
    arrays <- list(
      query = query, value = value, key = key, query_mask = query_mask, value_mask = value_mask, key_mask = key_mask,
      attention_mask = attention_mask
    )
    if (any_symbolic(arrays)) {
      return(attend_symbolically(self, arrays, return_attention_scores, training, use_causal_mask, extra, call))
    }
  }
  prepared <- prepare_multi_head_call(
    self, query, value, key, query_mask, value_mask, key_mask, attention_mask, return_attention_scores, training,
    use_causal_mask, extra, call
  )
  engine <- prepared$engine
  result <- engine_multi_head_attention(
    engine$query, engine$value, engine$key, engine$parts, engine$call, engine$masks, engine$threads
  )
  count_dropout(self, engine$call)
  record_activities(self, result, dim(engine$query)[[1L]])
  attention_result(result, prepared$plan, engine$call$scores, engine$query, prepared$keys)
}

# Checks everything, builds the layer if need be, and gives the arguments of the
# engine: forward and gradients start from the same. `.subset2()`, here and below, is `$`
# that looks for no method: most of a short call is spent on R's side.
prepare_multi_head_call <- function(self, query, value, key, query_mask, value_mask, key_mask, attention_mask,
                                    return_attention_scores, training, use_causal_mask, extra, call) {
  check_extra(self, extra, multi_head_call, call)
  if (is.null(value)) value <- query
  query_dim <- check_input(query, "query", call)
  value_dim <- check_input(value, "value", call)
  key_dim <- if (is.null(key)) value_dim else check_input(key, "key", call)
  causal <- check_flag(use_causal_mask, "use_causal_mask", call = call)
  scores <- check_scores_request(return_attention_scores, call)
  dropout <- call_dropout(self, training, call)
  threads <- call_threads(extra, call)

  # the sizes are checked before anything is built, so that an error leaves the layer as it was
  rank <- length(query_dim)
  axes <- if (.subset2(self, "built")) check_built(self, query_dim, value_dim, key_dim, call) else attended_axes(self, rank, call)
  check_related_shapes(query_dim, value_dim, key_dim, axes, call)
  plan <- attention_plan(.subset2(self, "num_heads"), axes, query_dim, value_dim)
  value_bytes <- padding_bytes(value_mask, "value_mask", value_dim[-rank], plan$order[-rank], call)
  key_bytes <- padding_bytes(key_mask, "key_mask", value_dim[-rank], plan$order[-rank], call)
  query_bytes <- padding_bytes(query_mask, "query_mask", query_dim[-rank], plan$order[-rank], call)
  dense <- dense_mask(attention_mask, plan$scores, length(axes), call)
  if (!.subset2(self, "built")) {
    layer_build(self, list(query_shape = query_dim, value_shape = value_dim, key_shape = key_dim), call)
  }

  sizes <- engine_sizes(
    self, plan, .subset2(self, "num_heads"), .subset2(self, "num_key_value_heads"), .subset2(self, "key_dim"),
    .subset2(self, "value_dim"), .subset2(self, "output_size"), scores, dropout
  )
  padding <- if (is.null(key_bytes)) value_bytes else if (is.null(value_bytes)) key_bytes else value_bytes & key_bytes
  list(
    engine = list(
      query = query, value = value, key = key,
      parts = lapply(.subset2(self, "parts"), part_numbers),
      call = sizes, masks = engine_masks(query_bytes, padding, dense, causal, .subset2(self, "sliding_window")), threads = threads
    ),
    plan = plan, keys = if (is.null(key)) value else key
  )
}

# Kernel and bias of a projection.
part_numbers <- function(part) list(.subset2(.subset2(part, "kernel"), "value"), .subset2(.subset2(part, "bias"), "value"))

# keras3's name of the first argument is `object`. The same call under the name that it has here: so the others, given by place or by
# name, fall where they belong.
call_by_object <- function(call, first, frame) {
  call <- match.call(function(...) NULL, call, envir = frame)
  given <- names(call)
  if (sum(given %in% c("object", first)) > 1L) {
    abort_attentive("name", sprintf("`object` and `%s` are the same argument: give one of them, once.", first), call = call)
  }
  names(call)[given == "object"] <- first
  eval(call, frame)
}

# What every layer takes in the `...` of its call; `fun` is the call, for its formals.
check_extra <- function(self, extra, fun, call = NULL) {
  if (length(extra) == 0L) return(invisible())
  check_dots_names(extra, "threads", sprintf("the layer \"%s\"", self$name), call, setdiff(names(formals(fun)), "..."))
}

call_threads <- function(extra, call = NULL) {
  if (is.null(extra$threads)) return(default_threads())
  min(check_whole(extra$threads, "threads", call = call), session$thread_limit)
}

# Dropout of one call for the engine: rate, the layer's key, the number of the
# call; rate 0 when not training. The random stream is not touched: each call in
# training has its own mask because the layer counts them.
call_dropout <- function(self, training, call = NULL) {
  training <- check_flag(training, "training", null = TRUE, call = call)
  if (!isTRUE(training) || .subset2(self, "dropout") == 0) return(no_dropout)
  c(self$dropout, self$key, if (is.null(self$dropout_calls)) 0 else self$dropout_calls)
}
no_dropout <- c(0, 0, 0, 0)

# Counts a call that used dropout, once it has succeeded.
count_dropout <- function(self, sizes) {
  if (sizes$dropout[[1L]] > 0) self$dropout_calls <- sizes$dropout[[4L]] + 1
}

# The sizes of one call for the engine. `output` replaces the query's features;
# `scores` is 0 (none), 1 (all heads) or 2 (their mean, without an axis of heads).
engine_sizes <- function(self, plan, heads, groups, key_size, value_size, output, scores,
                         dropout = no_dropout) {
  list(
    float64 = .subset2(self, "dtype") == "float64", batch = plan$batch, free = plan$free, queries = plan$queries, keys = plan$keys,
    heads = heads, groups = groups, key_size = key_size, value_size = value_size, order = plan$order, output = output,
    scores = scores, score_dim = plan$scores, attended = length(plan$axes), dropout = dropout,
    activity = activity_request(.subset2(self, "activity_regularizer"))
  )
}

# The masks of one call for the engine: bytes of queries and keys that take
# part, the dense mask as dense_mask() gives it.
engine_masks <- function(query = NULL, key = NULL, dense = NULL, causal = FALSE, window = NULL) {
  list(
    query = query, key = key, dense = dense$bytes, strides = dense$strides, causal = causal,
    window = if (is.null(window)) 0L else window
  )
}

# What the user gets: the output, or with scores a list.
attention_result <- function(result, plan, scores, query, keys) {
  if (scores == 0L) return(result[[1L]])
  list(
    attention_output = result[[1L]],
    attention_scores = scores_of(result[[2L]], plan, scores == 2L, query, keys)
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
  if (rank != .subset2(self, "rank")) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for inputs of %d dimensions; `query` has %d: %s.", self$name, self$rank, rank, format_shape(query_dim)),
      call = call
    )
  }
  built <- .subset2(self, "features")
  if (query_dim[[rank]] == built[["query"]] && value_dim[[length(value_dim)]] == built[["value"]] &&
    key_dim[[length(key_dim)]] == built[["key"]]) {
    return(self$axes)
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
attention_plan <- function(heads, axes, query_dim, value_dim) {
  rank <- length(query_dim)
  free <- seq_len(rank - 2L)[-axes]
  list(
    axes = axes, order = c(0L, free, axes, rank - 1L), batch = query_dim[[1L]],
    free = prod(query_dim[free + 1L]), queries = prod(query_dim[axes + 1L]), keys = prod(value_dim[axes + 1L]),
    scores = c(query_dim[[1L]], query_dim[free + 1L], heads, query_dim[axes + 1L], value_dim[axes + 1L]),
    heads_axis = length(free) + 2L
  )
}

# The scores with their class; names of the token axes come from the inputs.
scores_of <- function(scores, plan, mean, query, keys) {
  names_of <- function(x, axis) if (is.null(dimnames(x))) NULL else dimnames(x)[[axis]]
  axes <- plan$axes + 1L
  if (!is.null(dimnames(query)) || !is.null(dimnames(keys))) {
    free <- plan$order[seq_len(plan$heads_axis - 1L)] + 1L
    labels <- c(
      lapply(free, names_of, x = query), if (!mean) list(NULL), lapply(axes, names_of, x = query), lapply(axes, names_of, x = keys)
    )
    if (!all(vapply(labels, is.null, NA))) dimnames(scores) <- labels
  }
  new_scores(scores, heads_axis = if (mean) NULL else plan$heads_axis, n_axes = length(axes))
}
