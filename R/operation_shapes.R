# The rules of operations that move numbers: transpose, concatenate, slice, take.

shape_transpose <- function(shapes, args, call = NULL) shapes[[1L]][transpose_order(args, shapes[[1L]]) + 1L]
transpose_order <- function(args, shape) if (is.null(args$axes)) rev(seq_along(shape)) - 1L else axis_within(unlist(args$axes), shape)
emit_transpose <- function(builder, values, args, shapes) {
  if (length(shapes[[1L]]) == 0L) return(values)
  add_node(builder, "transpose", values, list(order = transpose_order(args, shapes[[1L]])))
}
across_transpose <- function(shapes, fixed, args) length(shapes[[1L]]) > 0L && transpose_order(args, shapes[[1L]])[[1L]] != 0L

# New axes of size 1: their places in what comes out.
new_axes <- function(args, shape, call = NULL) {
  axes <- unlist(args$axis)
  sort(place_axes(axes, shape, call, length(shape) + length(axes)))
}

shape_expand <- function(shapes, args, call = NULL) {
  axes <- new_axes(args, shapes[[1L]], call) + 1L
  made <- rep(1L, length(shapes[[1L]]) + length(axes))
  made[-axes] <- shapes[[1L]]
  made
}

emit_expand <- function(builder, values, args, shapes) {
  shape <- shapes[[1L]]
  axes <- new_axes(args, shape) + 1L
  rules <- as.list(rep(NA, length(shape) + length(axes)))
  rules[axes] <- list(number_rules(1L))
  rules[-axes] <- lapply(seq_along(shape), function(axis) axis_rules(keep = axis))
  emit_reshape_to(builder, values, unlist(rules))
}

across_expand <- function(shapes, fixed, args) 0L %in% new_axes(args, shapes[[1L]])

# Axes of size 1 that go; without `axis` all that are known to have it.
squeezed_axes <- function(args, shape, call = NULL) {
  if (is.null(args$axis)) return(which(!is.na(shape) & shape == 1L))
  axes <- place_axes(unlist(args$axis), shape, call) + 1L
  if (any(shape[axes] != 1L, na.rm = TRUE)) {
    abort_attentive("shape", sprintf("Only axes of size 1 can be squeezed, see the shape %s.", format_shape(shape)), call = call)
  }
  axes
}

shape_squeeze <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  shape[setdiff(seq_along(shape), squeezed_axes(args, shape, call))]
}

emit_squeeze <- function(builder, values, args, shapes) {
  kept <- setdiff(seq_along(shapes[[1L]]), squeezed_axes(args, shapes[[1L]]))
  emit_reshape_to(builder, values, if (length(kept) > 0L) axis_rules(keep = kept) else numeric())
}

across_squeeze <- function(shapes, fixed, args) 1L %in% squeezed_axes(args, shapes[[1L]])

shape_concatenate <- function(shapes, args, call = NULL) {
  first <- shapes[[1L]]
  axis <- place_axes(args$axis, first, call) + 1L
  for (shape in shapes[-1L]) {
    if (length(shape) != length(first) || any(differ_each(shape[-axis], first[-axis]))) abort_joined(shapes, call)
    first[-axis] <- ifelse(is.na(first[-axis]), shape[-axis], first[-axis])
  }
  first[[axis]] <- sum(vapply(shapes, function(shape) shape[[axis]], 0L))
  first
}

abort_joined <- function(shapes, call = NULL) {
  abort_attentive("shape", sprintf("Arrays of the shapes %s cannot be joined.", paste(vapply(shapes, format_shape, ""), collapse = ", ")),
    hint = "All sizes are equal, but that of `axis`.", call = call
  )
}

emit_concatenate <- function(builder, values, args, shapes) {
  add_node(builder, "concatenate", values, list(axis = axis_within(args$axis, shapes[[1L]])))
}

across_concatenate <- function(shapes, fixed, args) any(fixed) || across_axis(shapes, fixed, args)

shape_stack <- function(shapes, args, call = NULL) {
  first <- shapes[[1L]]
  for (shape in shapes) if (length(shape) != length(first) || any(differ_each(shape, first))) abort_joined(shapes, call)
  made <- shape_expand(shapes, args, call)
  made[[new_axes(args, first) + 1L]] <- length(shapes)
  made
}

emit_stack <- function(builder, values, args, shapes) {
  parts <- vapply(values, function(value) emit_expand(builder, value, args, shapes), 0L)
  add_node(builder, "concatenate", parts, list(axis = new_axes(args, shapes[[1L]])))
}

across_stack <- function(shapes, fixed, args) any(fixed) || across_expand(shapes, fixed, args)

# A slice: of every axis `sizes` numbers from `starts` on, `steps` apart; rules but for the steps.
shape_slice <- function(shapes, args, call = NULL) {
  if (length(shapes[[1L]]) == 0L) return(integer())
  made <- evaluate_rules(args$sizes, shapes)
  starts <- evaluate_rules(args$starts, shapes)
  last <- starts + (made - 1L) * as.integer(args$steps)
  if (any(made < 0L, na.rm = TRUE) || any((made > 0L) & (pmax(starts, last) >= shapes[[1L]] | pmin(starts, last) < 0L), na.rm = TRUE)) {
    abort_attentive("shape", sprintf("The slice reaches beyond what has the shape %s.", format_shape(shapes[[1L]])), call = call)
  }
  made
}

emit_slice <- function(builder, values, args, shapes) {
  if (length(shapes[[1L]]) == 0L) return(values)
  add_node(builder, "slice", values, args[c("starts", "steps", "sizes")])
}

across_slice <- function(shapes, fixed, args) {
  if (length(shapes[[1L]]) == 0L) return(FALSE)
  if (fixed[[1L]]) return(TRUE)
  start <- split_rules(args$starts)[[1L]]
  size <- split_rules(args$sizes)[[1L]]
  whole <- is_batch_rule(size) && size[[2L]] == 0
  !(is_number_rule(start) && start[[2L]] == 0 && args$steps[[1L]] == 1 && whole) || across_sizes(shapes, fixed, args)
}

shape_take <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  axis <- place_axes(args$axis, shape, call) + 1L
  c(shape[seq_len(axis - 1L)], shapes[[2L]], shape[-seq_len(axis)])
}

emit_take <- function(builder, values, args, shapes) {
  add_node(builder, "take", values, list(axis = axis_within(args$axis, shapes[[1L]]), base = args$base))
}

across_take <- function(shapes, fixed, args) {
  first <- across_axis(shapes, fixed, args)
  if (fixed[[1L]]) !first else first || !fixed[[2L]]
}

shape_take_along <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  axis <- place_axes(args$axis, shape, call) + 1L
  places <- shapes[[2L]]
  if (length(places) != length(shape) || any(differ_each(places[-axis], shape[-axis]))) {
    abort_attentive("shape", sprintf("`indices` must have the sizes of `x`, %s, but along `axis`, not %s.", format_shape(shape), format_shape(places)), call = call)
  }
  shape[[axis]] <- places[[axis]]
  shape
}

emit_along <- function(op) {
  function(builder, values, args, shapes) {
    args$axis <- axis_within(args$axis, shapes[[1L]])
    add_node(builder, op, values, Filter(Negate(is.null), args))
  }
}

across_along <- function(shapes, fixed, args) any(fixed) || across_axis(shapes, fixed, args)

shape_argsort <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  axis <- place_axes(args$axis, shape, call) + 1L
  if (is.null(args$count)) return(shape)
  if (!is.na(shape[[axis]]) && args$count > shape[[axis]]) {
    abort_attentive("shape", sprintf("An axis of size %d has no %d largest numbers.", shape[[axis]], args$count), call = call)
  }
  shape[[axis]] <- as.integer(args$count)
  shape
}

# Attention: query, key, value as [B, T, H, D]; a mask that broadcasts to [B, H, T, S].
shape_attention <- function(shapes, args, call = NULL) {
  query <- shapes[[1L]]
  key <- shapes[[2L]]
  value <- shapes[[3L]]
  if (any(lengths(shapes[1:3]) != 4L) || differ(query[c(1L, 3L, 4L)], key[c(1L, 3L, 4L)]) || differ(key[-4L], value[-4L])) {
    abort_attentive("shape", sprintf("`query`, `key` and `value` must be [batch, length, heads, depth] and fit together, not %s.",
      paste(vapply(shapes[1:3], format_shape, ""), collapse = ", ")), call = call)
  }
  if (length(shapes) > 3L && (length(shapes[[4L]]) != 4L || is.null(broadcast_shapes(shapes[[4L]], c(query[c(1L, 3L, 2L)], key[[2L]]))))) {
    abort_attentive("mask", sprintf("`mask` must broadcast to [batch, heads, queries, keys], %s, not have the shape %s.",
      format_shape(c(query[c(1L, 3L, 2L)], key[[2L]])), format_shape(shapes[[4L]])), call = call)
  }
  c(query[-4L], value[[4L]])
}

emit_attention <- function(builder, values, args, shapes) {
  heads_first <- vapply(values[1:3], function(value) add_node(builder, "transpose", value, list(order = c(0L, 2L, 1L, 3L))), 0L)
  scale <- add_node(builder, "constant", integer(), list(values = args$scale))
  query <- add_node(builder, "binary", c(heads_first[[1L]], scale), list(operation = "multiply"))
  mask <- if (length(values) > 3L) emit_token_mask(builder, values[[4L]]) else -1L
  made <- add_node(builder, "dot_attention", c(query, heads_first[[3L]], heads_first[[2L]]), list(attended = 1L, causal = args$is_causal),
    masks = c(-1L, -1L, -1L, mask))
  add_node(builder, "transpose", made, list(order = c(0L, 2L, 1L, 3L)))
}

across_attention <- function(shapes, fixed, args) any(fixed[1:3]) || (length(fixed) > 3L && fixed[[4L]] && !one_first(shapes[[4L]]))
