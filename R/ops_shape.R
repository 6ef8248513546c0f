# Operations that change shapes, and join.

#' Reshape and transpose
#'
#' `op_reshape()` gives the numbers another shape, in row-major order; `op_transpose()` puts the axes in another order; `op_expand_dims()` adds axes of size 1, `op_squeeze()` takes them off; `op_broadcast_to()` repeats axes of size 1.
#'
#' @details
#' A shape is whole numbers, with at most one -1 or `NA` for what is left. Sizes that are not known while a model is put together come from [op_shape()]: `op_reshape(x, list(op_shape(x)[[1]], 4, 8))`. The numbers are taken and laid down with the last axis fastest, as in Keras and
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
  parts <- if (is_symbolic(shape)) list(shape) else as.list(shape)
  # an open size is that of x
  open <- vapply(parts, function(part) is.null(part) || (!is_symbolic(part) && (is.na(part) || part == -1)), NA)
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
#' `op_shape()` gives the sizes of all axes. Those that are not known while a model is put together, such as the batch, are sizes to compute with: they can stand in every shape that an operation takes, and among numbers.
#'
#' @details
#' `c(batch, length) %<-% op_shape(x)[1:2]` and then `op_reshape(x, list(batch, length, heads, depth))`. Sums, differences, products and whole quotients (`%/%`) of sizes and whole numbers are sizes again; in other arithmetic a size is a number without axes, of
#' dtype `"int32"`. `x$shape` has `NULL` in their place.
#'
#' @param x A symbolic tensor, an array or a layer's variable.
#' @return `op_shape()`: a list of whole numbers and, for unknown sizes of a symbolic tensor, symbolic tensors without axes; it has the class `keras_shape`. `op_ndim()`: the number of axes. `op_size()`: how many numbers there are.
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
