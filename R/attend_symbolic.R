# Attention layers on symbolic tensors: checks, shapes and masks of the call, and
# the engine's nodes.
#
# A node of an attention layer has the inputs query, value, key and, where they
# are tensors, the masks that the call named; its arguments are those of the call
# that are no tensors.

# Masks by argument; a mask that the call names replaces the one that travels
# with the tensor.
mask_arguments <- c("query_mask", "value_mask", "key_mask", "attention_mask")

# The node of a layer with projections. `tensors` holds query, value, key and
# masks, NULL where left out.
attend_symbolically <- function(self, tensors, return_attention_scores, training, use_causal_mask, extra, call) {
  check_extra(self, extra, multi_head_call, call)
  if (is.null(tensors$value)) tensors$value <- tensors$query
  sizes <- tensor_sizes(self, tensors, call)
  causal <- check_flag(use_causal_mask, "use_causal_mask", call = call)
  scores <- check_scores_request(return_attention_scores, call)
  training <- check_symbolic_training(training, call)
  check_known_penalty(self, call)

  shapes <- check_input_shapes(stats::setNames(sizes, paste0(names(sizes), "_shape")), call)
  rank <- length(shapes$query)
  axes <- if (self$built) check_built(self, shapes$query, shapes$value, shapes$key, call) else attended_axes(self, rank, call)
  check_related_shapes(shapes$query, shapes$value, shapes$key, axes, call)
  plan <- attention_plan(self$num_heads, axes, shapes$query, shapes$value)
  masks <- tensors[mask_arguments]
  for (arg in mask_arguments[1:3]) {
    check_symbolic_mask(masks[[arg]], arg, if (arg == "query_mask") shapes$query[-rank] else shapes$value[-rank], call)
  }
  check_symbolic_pairs(masks$attention_mask, plan$scores, length(axes), call)
  if (!self$built) layer_build(self, stats::setNames(sizes, paste0(names(sizes), "_shape")), call)
  add_attention_node(self, tensors, list(causal = causal, scores = scores, training = training), call)
}

# The node of a layer without projections, whose call takes lists.
attend_plain_symbolically <- function(self, inputs, mask, training, return_attention_scores, use_causal_mask, extra, call) {
  check_extra(self, extra, unprojected_call, call)
  tensors <- split_inputs(inputs, call)
  sizes <- tensor_sizes(self, tensors, call)
  causal <- check_flag(use_causal_mask, "use_causal_mask", call = call)
  scores <- check_flag(return_attention_scores, "return_attention_scores", call = call)
  training <- check_symbolic_training(training, call)
  check_known_penalty(self, call)
  shapes <- unprojected_shapes(self, stats::setNames(sizes, paste0(names(sizes), "_shape")), call)
  masks <- NULL
  if (!is.null(mask)) {
    masks <- check_mask_list(mask, call)
    for (arg in array_arguments) {
      size <- if (arg == "query") shapes$query else shapes$value
      check_symbolic_mask(masks[[arg]], paste0("mask$", arg), size[-length(size)], call)
    }
    names(masks) <- paste0(names(masks), "_mask")
    masks <- masks[c("query_mask", "value_mask")] # as in Keras, a mask of the key has no effect
  }
  if (!self$built) layer_build(self, stats::setNames(sizes, paste0(names(sizes), "_shape")), call)
  arguments <- list(causal = causal, scores = if (scores) 2L else 0L, training = training, own_masks = !is.null(mask))
  add_attention_node(self, c(tensors, masks), arguments, call)
}

# Tensors become inputs of the node, masks that are arrays stay beside them.
add_attention_node <- function(self, tensors, arguments, call) {
  symbolic <- vapply(tensors, is_symbolic, NA)
  arguments$masks <- Filter(Negate(is.null), tensors[!symbolic])
  made <- apply_symbolically(self, tensors[symbolic], arguments, call)
  if (arguments$scores == 0L) return(made)
  stats::setNames(made, c("attention_output", "attention_scores"))
}

# What a model computed for `tensor`: scores of attention have their class there too, so that they print and draw themselves.
as_scores <- function(result, tensor) {
  node <- tensor[["node"]]
  scores <- node$arguments$scores
  if (is_symbolic(result) || is.null(scores) || scores == 0L || tensor[["index"]] != 2L) return(result)
  n <- max(1L, length(node$self$axes))
  new_scores(result, heads_axis = if (scores != 2L) length(dim(result)) - 2L * n, n_axes = n)
}

# The shapes of query, value and, where there is one, key, all of them tensors.
tensor_sizes <- function(self, tensors, call = NULL) {
  given <- Filter(Negate(is.null), tensors[array_arguments])
  if (!all(vapply(given, is_symbolic, NA))) abort_mixed(self, call)
  lapply(given, function(tensor) tensor[["shape"]])
}

check_symbolic_training <- function(training, call = NULL) {
  training <- check_flag(training, "training", null = TRUE, call = call)
  check_training_option(training, call)
  training
}

# In a model the engine computes penalties on activities, whose formula it has to know.
check_known_penalty <- function(self, call = NULL) {
  regularizer <- self$activity_regularizer
  if (is.null(regularizer) || specification_data(regularizer)$kind %in% c("l1", "l2", "l1_l2")) return(invisible())
  abort_attentive("not_yet", "In a model, `activity_regularizer` must be l1, l2 or l1_l2.", arg = "activity_regularizer", call = call)
}

# A mask of tokens beside tensors: a tensor or an array of these sizes, NA being any.
check_symbolic_mask <- function(mask, arg, sizes, call = NULL) {
  if (is.null(mask)) return(invisible())
  size <- mask_sizes(mask, arg, call)
  if (length(size) == length(sizes) && !any(size != sizes & size != 1L, na.rm = TRUE)) return(invisible())
  abort_attentive("mask",
    sprintf("`%s` must have dim %s (batch, tokens), not %s.", arg, format_shape(sizes), describe_sizes(mask, size)),
    hint = mask_hint(size, sizes, arg), call = call
  )
}

# A mask of pairs: [T, S], [B, T, S] or [B, H, T, S], and so on for more axes.
check_symbolic_pairs <- function(mask, scores, n, call = NULL) {
  if (is.null(mask)) return(invisible())
  size <- mask_sizes(mask, "attention_mask", call)
  missing_axes <- length(scores) - length(size)
  if (length(size) >= 2L * n && missing_axes >= 0L) {
    lead <- length(size) - 2L * n
    padded <- c(size[seq_len(lead)], rep(1L, missing_axes), size[lead + seq_len(2L * n)])
    if (!any(padded != scores & padded != 1L, na.rm = TRUE)) return(invisible())
  }
  abort_mask_shape(mask, size, scores, n, call)
}

mask_sizes <- function(mask, arg, call = NULL) {
  if (is_symbolic(mask)) return(mask[["shape"]])
  check_mask_type(mask, arg, call)
  values <- as.vector(mask)
  if (anyNA(values) || !all(values == 0 | values == 1)) abort_mask_values(mask, arg, call)
  dim(mask)
}

describe_sizes <- function(mask, size) if (is.null(size)) paste("a length of", length(mask)) else format_shape(size)

# Shapes -------------------------------------------------------------------------

# The output, and the scores where the call asks for them.
layer_call_shapes.multi_head_attention <- function(self, shapes, arguments, call = NULL) {
  sizes <- call_sizes(shapes)
  output <- layer_output_shape(self, sizes, call)
  if (arguments$scores == 0L) return(list(output))
  axes <- attended_axes(self, length(sizes$query_shape), call)
  plan <- attention_plan(self$num_heads, axes, sizes$query_shape, sizes$value_shape)
  list(output, if (arguments$scores == 2L) plan$scores[-plan$heads_axis] else plan$scores)
}

layer_call_shapes.unprojected_attention <- function(self, shapes, arguments, call = NULL) {
  sizes <- call_sizes(shapes)
  output <- layer_output_shape(self, sizes, call)
  if (arguments$scores == 0L) return(list(output))
  rank <- length(sizes$query_shape)
  list(output, c(sizes$query_shape[-rank], sizes$value_shape[[rank - 1L]]))
}

call_sizes <- function(shapes) {
  given <- Filter(Negate(is.null), shapes[array_arguments])
  stats::setNames(given, paste0(names(given), "_shape"))
}

# The engine's nodes ---------------------------------------------------------------

layer_emit.multi_head_attention <- function(self, builder, inputs, arguments) {
  rank <- self$rank
  order <- c(0L, seq_len(rank - 2L)[-self$axes], self$axes, rank - 1L) # as in attention_plan()
  moved <- is.unsorted(order)
  masks <- attention_masks(builder, inputs, arguments)
  parts <- self$parts[c("query", "key", "gate", "value", "output")]
  penalty <- activity_request(self$activity_regularizer)
  values <- attention_values(builder, inputs, if (moved) order)
  made <- add_node(builder, "multi_head_attention", values,
    c(
      list(
        heads = self$num_heads, groups = self$num_key_value_heads, key_size = self$key_dim, value_size = self$value_dim,
        output = self$output_size, attended = length(self$axes), order = if (moved) order[-rank], causal = arguments$causal,
        window = if (is.null(self$sliding_window)) 0L else self$sliding_window, l1 = penalty$l1, l2 = penalty$l2
      ),
      whole_batch_option(arguments, length(self$axes)), attention_dropout(self, builder, arguments), scores_option(arguments)
    ),
    unlist(lapply(parts, function(part) list(part[["kernel"]], part[["bias"]])), recursive = FALSE, use.names = FALSE),
    masks, outputs = if (arguments$scores == 0L) 1L else 2L
  )
  if (moved) {
    features <- rank - 2L + seq_along(self$output_size)
    back <- match(seq_len(rank - 1L) - 1L, order) - 1L
    made[[1L]] <- add_node(builder, "transpose", made[[1L]], list(order = c(back, features)))
  }
  attention_handles(self, builder, made, inputs)
}

layer_emit.unprojected_attention <- function(self, builder, inputs, arguments) {
  score <- layer_score(self)
  masks <- attention_masks(builder, inputs, arguments)
  made <- add_node(builder, if (score$dot) "dot_attention" else "additive_attention", attention_values(builder, inputs),
    c(list(causal = arguments$causal), whole_batch_option(arguments, 1L), attention_dropout(self, builder, arguments)),
    lapply(unname(score$weights), function(name) if (nzchar(name)) self[[name]]), masks,
    outputs = if (arguments$scores == 0L) 1L else 2L
  )
  attention_handles(self, builder, made, inputs)
}

# Query, value and key as values of the program, transposed where `order` says so;
# what plays several parts stays one value.
attention_values <- function(builder, inputs, order = NULL) {
  key <- inputs[[if (is.null(inputs[["key"]])) "value" else "key"]] # `$` would take key_mask for it
  values <- c(inputs[["query"]]$value, inputs[["value"]]$value, key$value)
  if (is.null(order)) return(values)
  distinct <- unique(values)
  moved <- vapply(distinct, function(value) add_node(builder, "transpose", value, list(order = order)), 0L)
  moved[match(values, distinct)]
}

# The masks of query, value, key and pairs, -1 where there is none: what the call
# names, else what travels with the tensor.
attention_masks <- function(builder, inputs, arguments) {
  own <- isTRUE(arguments$own_masks)
  vapply(mask_arguments, function(arg) {
    if (!is.null(inputs[[arg]])) return(emit_token_mask(builder, inputs[[arg]]$value))
    if (!is.null(arguments$masks[[arg]])) return(emit_constant_mask(builder, arguments$masks[[arg]]))
    of <- inputs[[sub("_mask", "", arg)]]
    if (own || is.null(of)) -1L else of$mask
  }, 0L, USE.NAMES = FALSE)
}

emit_constant_mask <- function(builder, mask) {
  value <- add_node(builder, "constant", integer(), list(dims = dim(mask), values = as.double(aperm(mask))))
  emit_token_mask(builder, value)
}

# Whether an array in the call is a mask for every element of the batch.
whole_batch_option <- function(arguments, n) {
  whole <- vapply(names(arguments$masks), function(arg) {
    size <- dim(arguments$masks[[arg]])
    size[[1L]] > 1L && (arg != "attention_mask" || length(size) > 2L * n)
  }, NA)
  if (any(whole)) list(whole_batch = TRUE)
}

attention_dropout <- function(self, builder, arguments) {
  if (self$dropout == 0 || !may_train(builder, arguments)) return(NULL)
  list(rate = self$dropout, key = self$key, use = count_use(builder, self))
}

scores_option <- function(arguments) if (arguments$scores == 2L) list(scores = "mean")

# The output has the query's mask, the scores have none.
attention_handles <- function(self, builder, made, inputs) {
  handles <- list(handle(made[[1L]], inputs[["query"]]$mask))
  if (length(made) > 1L) handles[[2L]] <- handle(made[[2L]])
  if (isTRUE(self$regularizes_result)) handles <- lapply(handles, function(h) emit_activity(self, builder, h))
  handles
}
