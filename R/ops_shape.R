# Operations that change shapes, and join.

#' Reshape and transpose
#'
#' `op_reshape()` gives the numbers another shape, in row-major order; `op_transpose()` puts the axes in another order; `op_expand_dims()` adds axes of
#' size 1, `op_squeeze()` takes them off; `op_broadcast_to()` repeats axes of size 1.
#'
#' @details
#' A shape is whole numbers, with at most one -1 or `NA` for what is left. Sizes that are not known while a model is put together come from [op_shape()]:
#' `op_reshape(x, list(op_shape(x)[[1]], 4, 8))`. The numbers are taken and laid down with the last axis fastest, as in Keras and
#' unlike R's `dim<-`. Where the first axis does not stay the batch the elements of a batch hang together. Source: the documentation of `keras.ops`.
#'
#' @param x A symbolic tensor or an array.
#' @param newshape,shape The new sizes, all of them, the batch first.
#' @param axes For every axis of the result the one of `x`, counted from 1; by default in reverse.
#' @param axis Axes counted from 1, negative ones from the end: where the new ones will stand; which to take off, by default all of size 1 that are known.
#' @return A symbolic tensor, or an array.
#' @section Errors: `attentive_error_shape` where the sizes do not fit; else see [attentive_errors].
#' @family operations
#' @name op_reshape
#' @examples
#' op_reshape(1:6, c(2, -1))
#' dim(op_transpose(array(1:24, c(2, 3, 4)), c(1, 3, 2)))
#' dim(op_expand_dims(1:3, 1))
NULL

# x and a shape become an operation; the tensors whose sizes the shape holds are further operands.
apply_to_shape <- function(name, x, shape, arg, call) {
  sizes <- as_sizes(shape, arg, call, first = 1L)
  apply_operation(name, c(list(x), sizes$refs), list(sizes = sizes$sizes, refs = length(sizes$refs)), call)
}

#' @rdname op_reshape
#' @export
op_reshape <- function(x, newshape) {
  call <- environment()
  if (missing(newshape)) abort_missing("newshape", "the new sizes, the batch first", call)
  apply_to_shape("reshape", x, newshape, "newshape", call)
}

#' @rdname op_reshape
#' @export
op_broadcast_to <- function(x, shape) {
  call <- environment()
  own <- operand_shape(as_operand(x, 1L, 1L, call))
  parts <- shape_parts(shape)
  # an open size is that of x
  open <- vapply(parts, function(part) is.null(part) || (is.atomic(part) && length(part) == 1L && (is.na(part) || part == -1)), NA)
  at <- seq_along(parts) - length(parts) + length(own)
  if (any(open & at < 1L)) abort_argument(shape, "shape", "sizes that are known where `x` has no axis", call = call, class = "shape")
  parts[open] <- lapply(at[open], function(axis) op_shape(x)[[axis]])
  apply_to_shape("broadcast_to", x, parts, "shape", call)
}

#' @rdname op_reshape
#' @export
op_transpose <- function(x, axes = NULL) {
  call <- environment()
  rank <- length(operand_shape(as_operand(x, 1L, 1L, call)))
  if (!is.null(axes)) {
    axes <- check_axis(axes, "axes", several = TRUE, call = call)
    if (!identical(sort(as.integer(axis_within(axes, seq_len(rank)))), seq_len(rank) - 1L)) {
      abort_argument(axes + (axes >= 0L), "axes", sprintf("the axes 1 to %d, each once", rank), call = call)
    }
  }
  apply_operation("transpose", list(x), list(axes = axes), call)
}

#' @rdname op_reshape
#' @export
op_expand_dims <- function(x, axis) {
  call <- environment()
  if (missing(axis)) abort_missing("axis", "where the new axis will stand, counted from 1", call)
  apply_operation("expand_dims", list(x), list(axis = read_axes(axis, call)), call)
}

#' @rdname op_reshape
#' @export
op_squeeze <- function(x, axis = NULL) {
  call <- environment()
  apply_operation("squeeze", list(x), list(axis = read_axes(axis, call)), call)
}

#' Join
#'
#' `op_concatenate()` puts arrays one after the other along an axis, `op_stack()` along a new one.
#'
#' @param xs,x A list of symbolic tensors and arrays.
#' @param axis The axis, counted from 1 with the batch as 1; negative ones from the end. For `op_stack()` where the new one will stand.
#' @return A symbolic tensor, or an array. Source: the documentation of `keras.ops`.
#' @section Errors: `attentive_error_shape` where the shapes do not fit; else see [attentive_errors].
#' @family operations
#' @examples
#' op_concatenate(list(matrix(1:4, 2), matrix(5:6, 2)), axis = 2)
#' dim(op_stack(list(1:3, 4:6, 7:9, 0:2)))
#' @export
op_concatenate <- function(xs, axis = 1L) {
  call <- environment()
  apply_operation("concatenate", check_operand_list(xs, "xs", call), list(axis = check_axis(axis, "axis", call = call)), call)
}

#' @rdname op_concatenate
#' @export
op_stack <- function(x, axis = 1L) {
  call <- environment()
  apply_operation("stack", check_operand_list(x, "x", call), list(axis = check_axis(axis, "axis", call = call)), call)
}

check_operand_list <- function(x, arg, call = NULL) {
  if (is.list(x) && !is.object(x) && length(x) > 0L) return(x)
  abort_argument(x, arg, "a list of arrays or symbolic tensors", call = call)
}

#' The sizes of a tensor
#'
#' `op_shape()` gives the sizes of all axes. Those that are not known while a model is put together, such as the batch, are sizes to compute with: they can
#' stand in every shape that an operation takes, and among numbers.
#'
#' @details
#' `c(batch, length) %<-% op_shape(x)[1:2]` and then `op_reshape(x, list(batch, length, heads, depth))`. Sums, differences, products and whole quotients
#' (`%/%`) of sizes and whole numbers are sizes again; in other arithmetic a size is a number without axes, of
#' dtype `"int32"`. `x$shape` has `NULL` in their place.
#'
#' @param x A symbolic tensor, an array or a layer's variable.
#' @return `op_shape()`: a list of whole numbers and, for unknown sizes of a symbolic tensor, symbolic tensors without axes; it has the class
#'   `keras_shape`. `op_ndim()`: the number of axes. `op_size()`: how many numbers there are.
#' @section Errors: `attentive_error_argument` where `x` has no shape.
#' @family operations
#' @examples
#' op_shape(array(0, c(2, 3)))
#'
#' x <- keras_input(shape(NA, 8))
#' length <- op_shape(x)[[2]]
#' op_reshape(x, list(-1, length, 2, 4))
#' @export
op_shape <- function(x) {
  x <- as_operand(x, 1L, 1L, environment())
  shape <- operand_shape(x)
  structure(lapply(seq_along(shape), function(axis) {
    if (is.na(shape[[axis]])) new_size(list(x), c(1, 0, axis - 1)) else shape[[axis]]
  }), class = "keras_shape")
}

#' @rdname op_shape
#' @export
op_ndim <- function(x) length(operand_shape(as_operand(x, 1L, 1L, environment())))

#' @rdname op_shape
#' @export
op_size <- function(x) Reduce(function(a, b) a * b, unclass(op_shape(x)), 1L)

#' Repeat and pad
#'
#' `op_tile()` repeats an array as a whole along its axes, `op_repeat()` every place of an axis; `op_pad()` puts numbers around it.
#'
#' @param x A symbolic tensor, or an array.
#' @param repeats How often: for `op_tile()` one number an axis, for the last ones where there are fewer; for `op_repeat()` one number, or one for every place.
#' @param axis The axis, counted from 1 with the batch as 1. `NULL`: `x` as one row.
#' @param pad_width How many before and after: one number, `c(before, after)` for all axes, or a list or matrix with a pair for every axis.
#' @param mode `"constant"`, `"edge"`, `"reflect"` or `"symmetric"`; all but the first need known sizes.
#' @param constant_values What to pad with, 0 by default.
#' @return A symbolic tensor, or an array. Source: the documentation of `keras.ops`.
#' @inheritSection op_reshape Errors
#' @family operations
#' @examples
#' op_tile(1:3, 2)
#' op_repeat(1:3, 2, axis = 1)
#' op_pad(matrix(1, 1, 2), list(c(0, 1), c(1, 0)))
#' @export
op_tile <- function(x, repeats) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  repeats <- check_wholes(repeats, "repeats", min = 0L, call = call)
  missing_axes <- length(repeats) - length(operand_shape(x))
  if (missing_axes > 0L) x <- apply_operation("expand_dims", list(x), list(axis = seq_len(missing_axes) - 1L), call)
  repeats <- c(rep(1L, max(0L, -missing_axes)), repeats)
  repeat_axes(x, repeats, inside = FALSE, call)
}

# Every axis `repeats` times: with a further axis before it, or after it for every place by itself.
repeat_axes <- function(x, repeats, inside, call = NULL) {
  shape <- op_shape(x)
  with <- lapply(seq_along(shape), function(axis) {
    if (repeats[[axis]] == 1L) return(list(split = shape[axis], wide = shape[axis], made = shape[axis]))
    parts <- list(1L, shape[[axis]])
    wide <- list(repeats[[axis]], shape[[axis]])
    list(split = if (inside) rev(parts) else parts, wide = if (inside) rev(wide) else wide, made = list(shape[[axis]] * repeats[[axis]]))
  })
  part <- function(name) unlist(lapply(with, function(sizes) unclass(sizes[[name]])), recursive = FALSE)
  if (all(repeats == 1L)) return(x)
  op_reshape(op_broadcast_to(op_reshape(x, part("split")), part("wide")), part("made"))
}

#' @rdname op_tile
#' @export
op_repeat <- function(x, repeats, axis = NULL) {
  call <- environment()
  if (is.null(axis)) x <- op_reshape(x, -1L)
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  axis <- if (is.null(axis)) 0L else place_axes(check_axis(axis, "axis", call = call), shape, call)
  repeats <- check_wholes(repeats, "repeats", min = 0L, call = call)
  if (length(repeats) == 1L) {
    return(repeat_axes(x, ifelse(seq_along(shape) == axis + 1L, repeats, 1L), inside = TRUE, call))
  }
  if (!identical(length(repeats), shape[[axis + 1L]])) {
    abort_argument(repeats, "repeats", sprintf("one number, or one for each of the %s places", format(shape[[axis + 1L]])), call = call, class = "shape")
  }
  op_take(x, rep(seq_along(repeats), repeats), axis = axis + 1L)
}

#' @rdname op_tile
#' @export
op_pad <- function(x, pad_width, mode = "constant", constant_values = NULL) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  mode <- check_choice(mode, "mode", c("constant", "edge", "reflect", "symmetric"), call = call)
  if (!is.null(constant_values) && mode != "constant") {
    abort_argument(constant_values, "constant_values", sprintf("NULL where `mode` is \"%s\"", mode), call = call)
  }
  value <- if (is.null(constant_values)) 0 else check_number(constant_values, "constant_values", call = call)
  widths <- pad_widths(pad_width, length(operand_shape(x)), call)
  for (axis in which(rowSums(widths) > 0L)) {
    x <- if (mode == "constant") pad_axis(x, axis, widths[axis, ], value) else pad_mirrored(x, axis, widths[axis, ], mode, call)
  }
  x
}

pad_widths <- function(pad_width, rank, call = NULL) {
  parts <- if (is.list(pad_width)) pad_width else if (is.matrix(pad_width)) lapply(seq_len(nrow(pad_width)), function(i) pad_width[i, ]) else list(pad_width)
  whole <- function(x) is.numeric(x) && length(x) %in% 1:2 && !anyNA(x) && all(x >= 0 & x <= .Machine$integer.max & x == trunc(x))
  if (!length(parts) %in% c(1L, rank) || !all(vapply(parts, whole, NA))) {
    abort_argument(pad_width, "pad_width", "a whole number, a pair of them, or a pair for every axis", call = call)
  }
  given <- do.call(rbind, lapply(parts, rep_len, 2L))
  given[rep_len(seq_len(nrow(given)), rank), , drop = FALSE]
}

pad_axis <- function(x, axis, width, value) {
  part <- function(size) {
    if (size == 0L) return(NULL)
    if (!is_symbolic(x)) return(op_full(replace(dim(x), axis, size), value, dtype = "float64"))
    # sizes by reference: they hold for every part of a batch
    rules <- axis_rules(length(x[["shape"]]))
    at <- (axis - 1L) * 6L
    rules[at + 1:3] <- c(0, size, 0)
    apply_operation("fill", list(x), list(sizes = rules, start = value, step = 0, dtype = x[["dtype"]], refs = 1L))
  }
  made <- op_concatenate(Filter(Negate(is.null), list(part(width[[1L]]), x, part(width[[2L]]))), axis = axis)
  if (is_symbolic(x) || is.double(x)) made else as_r_type(made, dtype_of(x))
}

pad_mirrored <- function(x, axis, width, mode, call = NULL) {
  size <- operand_shape(x)[[axis]]
  most <- if (mode == "reflect") size - 1L else size
  if (is.na(size) || (mode != "edge" && any(width > most))) {
    abort_attentive("shape", sprintf("Axis %d of what has the shape %s cannot be padded by %s in this mode.", axis, format_shape(operand_shape(x)),
      paste(width, collapse = " and ")), hint = "`mode = \"constant\"` pads any axis.", call = call)
  }
  skip <- if (mode == "reflect") 1L else 0L
  before <- if (mode == "edge") rep(1L, width[[1L]]) else rev(seq_len(width[[1L]])) + skip
  after <- if (mode == "edge") rep(size, width[[2L]]) else size + 1L - skip - seq_len(width[[2L]])
  op_take(x, array(c(before, seq_len(size), after)), axis = axis)
}

#' Move axes
#'
#' `op_swapaxes()` exchanges two axes, `op_moveaxis()` puts axes elsewhere and leaves the others in order; `op_ravel()` makes one row of all numbers.
#'
#' @param x A symbolic tensor, or an array.
#' @param axis1,axis2,source,destination Axes, counted from 1 with the batch as 1; negative ones from the end.
#' @return A symbolic tensor, or an array. Source: the documentation of `keras.ops`.
#' @inheritSection op_reshape Errors
#' @family operations
#' @examples
#' dim(op_moveaxis(array(0, 2:4), 1, -1))
#' @export
op_swapaxes <- function(x, axis1, axis2) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  a <- place_axes(check_axis(axis1, "axis1", call = call), shape, call) + 1L
  b <- place_axes(check_axis(axis2, "axis2", call = call), shape, call) + 1L
  op_transpose(x, replace(seq_along(shape), c(a, b), c(b, a)))
}

#' @rdname op_swapaxes
#' @export
op_moveaxis <- function(x, source, destination) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  from <- place_axes(check_axis(source, "source", several = TRUE, call = call), shape, call) + 1L
  to <- place_axes(check_axis(destination, "destination", several = TRUE, call = call), shape, call) + 1L
  if (length(from) != length(to)) abort_argument(destination, "destination", sprintf("%d axes, as many as `source`", length(from)), call = call, class = "shape")
  order <- integer(length(shape))
  order[to] <- from
  order[-to] <- setdiff(seq_along(shape), from)
  op_transpose(x, order)
}

#' @rdname op_swapaxes
#' @export
op_ravel <- function(x) op_reshape(x, -1L)
