# The rules that operations share: shapes, engine nodes, dtypes, and what looks
# across the elements of a batch.
#
# An entry of the table, made by operation():
#   class, module   Keras's name of its class, and the module where Keras keeps it
#   shape           function(shapes, args, call): the shape that comes out, or a list of shapes
#   emit            function(builder, values, args, shapes): adds engine nodes; the value(s) that come out
#   dtype           "promote": that of the operands; "float": the same, but never whole numbers; "bool", "int32";
#                   or function(dtypes, args)
#   across          function(shapes, fixed, args): whether it looks across the elements of a batch, or puts them on another axis;
#                   `fixed`: which operands are the same for every batch. Then a model with it is not run in parts.
#   listed          whether Keras takes the operands as one list
# `args` are the other arguments as Keras writes them: axes count from 0. Shapes are integer vectors, NA where unknown.
operation <- function(class, shape, emit, dtype = "promote", across = across_never, module = "numpy", listed = FALSE) {
  list(class = class, shape = shape, emit = emit, dtype = dtype, across = across, module = module, listed = listed)
}

across_never <- function(shapes, fixed, args) FALSE


# Element by element ------------------------------------------------------------------

shape_same <- function(shapes, args, call = NULL) shapes[[1L]]

shape_broadcast <- function(shapes, args, call = NULL) {
  made <- shapes[[1L]]
  for (shape in shapes[-1L]) {
    both <- broadcast_shapes(made, shape)
    if (is.null(both)) {
      abort_attentive("shape", sprintf("The shapes %s do not fit together.", paste(vapply(shapes, format_shape, ""), collapse = " and ")),
        hint = "Axes are lined up from the right; sizes are equal or 1.", call = call
      )
    }
    made <- both
  }
  made
}

# What depends on the batch has its axis first; what does not must not reach that axis, or have size 1 there.
across_broadcast <- function(shapes, fixed, args) {
  rank <- max(lengths(shapes))
  any(!fixed & lengths(shapes) < rank) || any(fixed & lengths(shapes) == rank & !vapply(shapes, one_first, NA))
}
one_first <- function(shape) length(shape) == 0L || identical(shape[[1L]], 1L)

emit_unary <- function(operation) function(builder, values, args, shapes) add_node(builder, "unary", values, list(operation = operation))
emit_binary <- function(operation) function(builder, values, args, shapes) add_node(builder, "binary", values, list(operation = operation))
emit_compare <- function(operation) function(builder, values, args, shapes) add_node(builder, "compare", values, list(operation = operation))
emit_where <- function(builder, values, args, shapes) add_node(builder, "where", values)
emit_stop <- function(builder, values, args, shapes) add_node(builder, "stop_gradient", values)
emit_clip <- function(builder, values, args, shapes) {
  add_node(builder, "unary", values, list(operation = "clip", threshold = args$x_min, max_value = args$x_max))
}
emit_cast <- function(builder, values, args, shapes) {
  to <- switch(args$dtype, bool = "logical", int32 = , int64 = "integer", "float")
  add_node(builder, "cast", values, list(to = to))
}

# An activation; its numbers are args of the names that the engine has.
emit_function <- function(activation) {
  function(builder, values, args, shapes) {
    if (!is.null(args$axis)) args$axis <- axis_within(args$axis, shapes[[1L]])
    add_node(builder, "activation", values, c(list(activation = activation), Filter(Negate(is.null), args)))
  }
}
across_axis <- function(shapes, fixed, args) axis_within(args$axis, shapes[[1L]]) == 0L

shape_axis <- function(shapes, args, call = NULL) {
  place_axes(args$axis, shapes[[1L]], call)
  shapes[[1L]]
}

shape_glu <- function(shapes, args, call = NULL) {
  axis <- place_axes(args$axis, shapes[[1L]], call) + 1L
  shape <- shapes[[1L]]
  if (!is.na(shape[[axis]]) && shape[[axis]] %% 2L != 0L) {
    abort_attentive("shape", sprintf("`op_glu()` halves its axis, which must be even: %s.", format_shape(shape)), call = call)
  }
  shape[[axis]] <- shape[[axis]] %/% 2L
  shape
}

unary <- function(class, operation, dtype = "promote", module = "numpy") operation(class, shape_same, emit_unary(operation), dtype, module = module)
binary <- function(class, operation, dtype = "promote") operation(class, shape_broadcast, emit_binary(operation), dtype, across_broadcast)
compare <- function(class, operation, dtype = "bool") operation(class, shape_broadcast, emit_compare(operation), dtype, across_broadcast)
activation <- function(class, name) operation(class, shape_same, emit_function(name), "float", module = "nn")
along_axis <- function(class, name, shape = shape_axis) operation(class, shape, emit_function(name), "float", across_axis, module = "nn")

# Axes ---------------------------------------------------------------------------------

# Axes as Keras counts them, from 0 or from the end by negative ones, as places from 0.
axis_within <- function(axes, shape) ifelse(axes < 0L, axes + length(shape), axes)

place_axes <- function(axes, shape, call = NULL, rank = length(shape)) {
  places <- as.integer(ifelse(axes < 0L, axes + rank, axes))
  if (any(places < 0L | places >= rank) || anyDuplicated(places)) {
    abort_attentive("shape", sprintf("`axis` does not fit what has the shape %s.", format_shape(shape)),
      hint = sprintf("Axes count from 1, the batch, to %d; negative ones from the end; each once.", rank), call = call
    )
  }
  places
}

reduced_axes <- function(args, shape) if (is.null(args$axis)) seq_along(shape) - 1L else axis_within(unlist(args$axis), shape)

shape_reduce <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  gone <- (if (is.null(args$axis)) seq_along(shape) - 1L else place_axes(unlist(args$axis), shape, call)) + 1L
  if (length(gone) == 0L) return(shape)
  if (!isTRUE(args$keepdims)) return(shape[-gone])
  shape[gone] <- 1L
  shape
}

across_reduce <- function(shapes, fixed, args) 0L %in% reduced_axes(args, shapes[[1L]])

emit_reduce <- function(operation) {
  function(builder, values, args, shapes) {
    add_node(builder, "reduce", values, list(operation = operation, axes = reduced_axes(args, shapes[[1L]]), keepdims = isTRUE(args$keepdims)))
  }
}

# Any and all are extremes of truth values.
emit_truth <- function(operation) {
  function(builder, values, args, shapes) {
    truth <- add_node(builder, "cast", values, list(to = "logical"))
    emit_reduce(operation)(builder, truth, args, shapes)
  }
}

emit_place <- function(operation) {
  function(builder, values, args, shapes) {
    axis <- axis_within(args$axis, shapes[[1L]])
    add_node(builder, "reduce", values, list(operation = operation, axis = axis, base = args$base))
  }
}

emit_cumsum <- function(builder, values, args, shapes) add_node(builder, "cumsum", values, list(axis = axis_within(args$axis, shapes[[1L]])))

reduce <- function(class, operation, dtype = "promote", module = "numpy") {
  operation(class, shape_reduce, emit_reduce(operation), dtype, across_reduce, module)
}
sum_dtype <- function(dtypes, args) if (identical(dtypes, "bool")) "int32" else promote_dtypes(dtypes)

# Matrices -----------------------------------------------------------------------------

# Vectors are rows of the first, columns of the second matrix, as in NumPy.
shape_matmul <- function(shapes, args, call = NULL) {
  a <- shapes[[1L]]
  b <- shapes[[2L]]
  if (length(a) == 0L || length(b) == 0L) abort_matmul(shapes, call)
  row <- length(a) == 1L
  column <- length(b) == 1L
  if (row) a <- c(1L, a)
  if (column) b <- c(b, 1L)
  ends <- c(length(a), length(b))
  lead <- broadcast_shapes(a[seq_len(ends[[1L]] - 2L)], b[seq_len(ends[[2L]] - 2L)])
  if (is.null(lead) || differ(a[[ends[[1L]]]], b[[ends[[2L]] - 1L]])) abort_matmul(shapes, call)
  as.integer(c(lead, if (!row) a[[ends[[1L]] - 1L]], if (!column) b[[ends[[2L]]]]))
}

abort_matmul <- function(shapes, call = NULL) {
  abort_attentive("shape", sprintf("Arrays of the shapes %s and %s have no matrix product.", format_shape(shapes[[1L]]), format_shape(shapes[[2L]])),
    hint = "The last size of the first is the last but one of the second; sizes before these are equal or 1.", call = call
  )
}

emit_matmul <- function(builder, values, args, shapes) {
  row <- length(shapes[[1L]]) == 1L
  column <- length(shapes[[2L]]) == 1L
  if (row) values[[1L]] <- emit_reshape_to(builder, values[[1L]], c(number_rules(1L), axis_rules(1L)))
  if (column) values[[2L]] <- emit_reshape_to(builder, values[[2L]], c(axis_rules(1L), number_rules(1L)))
  made <- add_node(builder, "matmul", values)
  rank <- max(lengths(shapes), 2L)
  gone <- c(if (row) rank - 1L, if (column) rank)
  if (length(gone) == 0L) return(made)
  emit_reshape_to(builder, made, axis_rules(rank, keep = setdiff(seq_len(rank), gone)))
}

across_matmul <- function(shapes, fixed, args) {
  ranks <- lengths(shapes)
  if (fixed[[2L]]) return(ranks[[1L]] == 1L || ranks[[2L]] > ranks[[1L]] || (ranks[[2L]] == ranks[[1L]] && ranks[[2L]] > 2L && !one_first(shapes[[2L]])))
  if (fixed[[1L]]) return(ranks[[2L]] < 3L || ranks[[1L]] > ranks[[2L]] || (ranks[[1L]] == ranks[[2L]] && !one_first(shapes[[1L]])))
  ranks[[1L]] != ranks[[2L]] || ranks[[1L]] < 3L
}
