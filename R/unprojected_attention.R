# Attention without projections: what layer_attention() and
# layer_additive_attention() share. Their call takes one list of arrays.
#
# A kind of layer adds the method
#   layer_score(self)   how its scores are computed, see new_score()

layer_score <- function(self) UseMethod("layer_score")

# By dot products or sums of tanh; `scale`, `inside` and `outside` name the
# weights that the engine knows so, "" where there is none.
new_score <- function(dot, scale = "", inside = "", outside = "") {
  list(dot = dot, weights = c(scale = scale, inside = inside, outside = outside))
}

unprojected_dots <- c("activity_regularizer")

# What a user calls. The formals are Keras's, in its order; `...` takes
# `object`, keras3's name of the first argument, and `threads`.
unprojected_call <- function(inputs, mask = NULL, training = NULL, return_attention_scores = FALSE,
                             use_causal_mask = FALSE, ...) {
  if ("object" %in% ...names()) return(call_by_object(sys.call(), "inputs", parent.frame()))
  call_unprojected_attention(
    parent.env(environment()), inputs, mask, training, return_attention_scores, use_causal_mask,
    extra = list(...), call = environment()
  )
}
layer_function.unprojected_attention <- function(self) unprojected_call

call_unprojected_attention <- function(self, inputs, mask, training, return_attention_scores, use_causal_mask, extra, call) {
  if (missing(inputs)) abort_missing("inputs", "a list of query, value and maybe key", call)
  if (is_sequential(inputs)) return(invisible(add_layer(inputs, new_shell(self), call)))
  if (any_symbolic(inputs) || any_symbolic(mask)) {
    return(attend_plain_symbolically(self, inputs, mask, training, return_attention_scores, use_causal_mask, extra, call))
  }
  prepared <- prepare_unprojected_call(self, inputs, mask, training, return_attention_scores, use_causal_mask, extra, call)
  result <- do.call(engine_unprojected_attention, prepared$engine, quote = TRUE)
  count_dropout(self, prepared$engine$call)
  record_activities(self, result, prepared$plan$batch)
  attention_result(result, prepared$plan, prepared$engine$call$scores, prepared$engine$query, prepared$engine$key)
}

# Checks everything, builds the layer if need be, and gives the arguments of the
# engine: forward and gradients start from the same.
prepare_unprojected_call <- function(self, inputs, mask, training, return_attention_scores, use_causal_mask, extra, call) {
  check_extra(self, extra, unprojected_call, call)
  given <- split_inputs(inputs, call)
  inputs <- given
  if (is.null(inputs$key)) inputs$key <- inputs$value
  sizes <- Map(check_input, inputs, names(inputs), list(call))
  causal <- check_flag(use_causal_mask, "use_causal_mask", call = call)
  scores <- check_flag(return_attention_scores, "return_attention_scores", call = call)
  dropout <- call_dropout(self, training, call)
  threads <- call_threads(extra, call)

  # the sizes are checked before anything is built, so that an error leaves the layer as it was
  check_unprojected_shapes(self, sizes, call)
  rank <- length(sizes$query)
  plan <- attention_plan(1L, rank - 2L, sizes$query, sizes$value)
  bytes <- split_mask(mask, sizes, plan$order[-rank], call)
  if (!self$built) layer_build(self, stats::setNames(sizes, paste0(names(sizes), "_shape")), call)

  scores <- if (scores) 2L else 0L # there is one head: its scores have no axis of heads
  features <- sizes$value[[rank]]
  score <- layer_score(self)
  list(
    engine = list(
      dot = score$dot, query = inputs$query, value = inputs$value, key = inputs$key,
      weights = lapply(score$weights, function(name) if (nzchar(name)) self[[name]][["value"]]),
      call = engine_sizes(self, plan, 1L, 1L, sizes$query[[rank]], features, features, scores, dropout),
      masks = engine_masks(bytes$query, bytes$value, causal = causal), threads = threads
    ),
    plan = plan, has_key = !is.null(given$key), output_dim = c(sizes$query[-rank], features), score = score
  )
}

layer_gradients.unprojected_attention <- function(self, arguments, upstream, scores_upstream, losses, call = NULL) {
  arguments <- match_call_arguments(unprojected_call, arguments, call)
  prepared <- do.call(prepare_unprojected_call, c(list(self), arguments, list(call = call)), quote = TRUE)
  engine <- prepared$engine
  engine$call$scores <- 0L
  check_upstream(upstream, "upstream", prepared$output_dim, call)
  check_upstream(scores_upstream, "scores_upstream", prepared$plan$scores[-(length(prepared$plan$scores) - 2L)], call)
  if (losses) upstream <- add_output_penalty(self, upstream, engine, prepared$output_dim)
  engine$has_key <- prepared$has_key
  result <- do.call(
    engine_unprojected_gradients, c(engine, list(upstream = upstream, scores_upstream = scores_upstream)), quote = TRUE
  )
  count_dropout(self, engine$call)
  known <- prepared$score$weights
  result$weights <- lapply(self$weights, function(weight) {
    row_major_array(result$weights[[names(known)[match(weight[["name"]], known)]]], weight[["shape"]])
  })
  result
}

# The gradient that arrives at the output, with that of a penalty on it.
add_output_penalty <- function(self, upstream, engine, dim) {
  regularizer <- self$activity_regularizer
  batch <- dim[[1L]]
  if (is.null(regularizer) || batch == 0L) return(upstream)
  output <- do.call(engine_unprojected_attention, engine, quote = TRUE)[[1L]]
  penalty <- regularizer_gradient(regularizer, output, arg = "activity_regularizer") / batch
  penalty + if (is.null(upstream)) 1 else upstream
}

# The arrays of a call; one alone plays all parts. The key may be NULL.
split_inputs <- function(inputs, call = NULL) {
  if (!is.list(inputs) || is.data.frame(inputs)) {
    if (is.null(dim(inputs)) || is.data.frame(inputs)) {
      abort_argument(inputs, "inputs", "a list of query, value and maybe key", call = call)
    }
    inputs <- list(inputs)
  }
  if (length(inputs) < 1L || length(inputs) > 3L) {
    abort_argument(inputs, "inputs", "a list of query, value and maybe key, of length 2 or 3", call = call)
  }
  inputs <- by_array_argument(inputs, "inputs", "query, value and maybe key", call)
  if (is.null(inputs$query)) abort_missing("query", "an array [batch, tokens, features]", call)
  if (is.null(inputs$value)) inputs$value <- inputs$query
  inputs
}

# The masks of a call as bytes. A mask of the key is checked and, as in Keras,
# not used: the value's mask says which positions are real.
split_mask <- function(mask, sizes, order, call = NULL) {
  if (is.null(mask)) return(NULL)
  mask <- check_mask_list(mask, call)
  Map(function(part, arg, size) {
    padding_bytes(part, sprintf("mask$%s", arg), size[-length(size)], order, call)
  }, mask, names(mask), sizes[names(mask)])
}

check_mask_list <- function(mask, call = NULL) {
  if (!is.list(mask) || is.data.frame(mask) || length(mask) < 2L || length(mask) > 3L) {
    abort_argument(mask, "mask", "a list of the masks of query and value, of length 2 or 3",
      hint = if (is.numeric(mask) && length(dim(mask)) > 2L) {
        "Query, value and key go into one list: `layer(list(query, value))`."
      } else {
        "With a mask of the value alone: `mask = list(NULL, value_mask)`."
      }, call = call, class = "mask"
    )
  }
  by_array_argument(mask, "mask", "the masks of query, value and maybe key", call)
}

check_unprojected_shapes <- function(self, sizes, call = NULL) {
  rank <- length(sizes$query)
  check_related_shapes(sizes$query, sizes$value, sizes$key, rank - 2L, call)
  features <- sizes$query[[rank]]
  if (differ(features, sizes$key[[rank]])) {
    abort_attentive("shape", "query and key must have the same number of features, the last dimension.",
      hint = sprintf("query %s, key %s", format_shape(sizes$query), format_shape(sizes$key)), call = call
    )
  }
  if (!is.null(self$features) && differ(features, self$features)) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for a `query` with %d features, not %s: %s.",
        self$name, self$features, format(features), format_shape(sizes$query)), call = call
    )
  }
}

# The shapes of build() and compute_output_shape(), checked and completed.
unprojected_shapes <- function(self, shapes, call = NULL) {
  sizes <- check_input_shapes(shapes, call)
  check_unprojected_shapes(self, sizes, call)
  sizes
}

layer_output_shape.unprojected_attention <- function(self, shapes, call = NULL) {
  sizes <- unprojected_shapes(self, shapes, call)
  rank <- length(sizes$query)
  c(sizes$query[-rank], sizes$value[[rank]])
}

# The arguments that both constructors take last: only when everything is
# checked is the random stream touched.
take_unprojected_arguments <- function(self, dropout, seed, dots, call = NULL) {
  self$dropout <- check_number(dropout, "dropout", 0, 1, call = call)
  self$activity_regularizer <- as_regularizer(dots$activity_regularizer, "activity_regularizer", call)
  self$regularizes_result <- TRUE
  take_seed(self, seed, call)
}

# A weight of this kind of layer, added to the others.
add_weight <- function(self, name, value, shape) {
  self[[name]] <- new_variable(value, shape, self$dtype, name, paste0(self$name, "/", name))
  self$weights <- c(self$weights, list(self[[name]]))
}

# Entries of the configuration that Keras's base class writes where they are used.
base_config <- function(self) {
  if (is.null(self$activity_regularizer)) return(NULL)
  list(activity_regularizer = serialize_spec(self$activity_regularizer))
}

# layer_property() of both: `fields` are what the layer has, `summary` its line.
unprojected_property <- function(self, name, fields, summary) {
  fields <- c(fields, "dropout", "seed", "activity_regularizer")
  if (is.null(name)) return(fields)
  if (name == ".shape_arguments") return(c("query_shape", "value_shape", "key_shape"))
  if (name == ".summary") return(summary)
  if (!name %in% fields) return(unknown_property(self, name, fields))
  self[[name]]
}
