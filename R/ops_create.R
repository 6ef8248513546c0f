# Operations that make arrays: of one number, of numbers in a row, the identity.

#' Arrays of one number, of numbers in a row
#'
#' @details
#' Where all sizes are known these give R arrays, which every operation and layer takes; where a size comes from [op_shape()] of a symbolic tensor they
#' give a symbolic tensor. `op_arange(n)` are the numbers 1 to n and `op_arange(start, end)` those from `start` to
#' `end`, both included, as in keras3 since 1.4. Source: the documentation of `keras.ops`.
#'
#' @param shape Sizes: whole numbers, and sizes that [op_shape()] gave; none, as `shape()` or `NULL`, for a single number.
#' @param fill_value The number to fill with.
#' @param dtype `"float32"`, `"float64"`, `"int32"`, `"int64"` or `"bool"`; by default a float, for `op_arange()` and `op_full()` that of the numbers given.
#' @param x An array or a symbolic tensor whose shape is taken.
#' @param start,end,step The first number, the last one and the distance. With `start` alone the numbers are 1 to `start`.
#' @param include_end Whether `end` belongs to them.
#' @param N,M Rows and columns of the identity; `M` is `N` by default.
#' @param k Which diagonal: 0 the main one, 1 the one above.
#' @return An array, or a symbolic tensor.
#' @section Errors: `attentive_error_shape` for sizes that are none; else see [attentive_errors].
#' @family operations
#' @examples
#' op_ones(c(2, 3))
#' op_arange(4)
#' op_eye(3)
#'
#' x <- keras_input(shape(NA, 8))
#' op_arange(op_shape(x)[[2]])
#' @name op_ones
NULL

make_full <- function(shape, value, dtype, step = 0, call = NULL) {
  sizes <- as_sizes(shape, "shape", call)
  if (!any_size(sizes)) {
    dim <- evaluate_rules(sizes$sizes, list())
    if (any(dim < 0L)) abort_argument(shape, "shape", "sizes that are known", call = call, class = "shape")
    made <- as_r_type(value + step * (seq_len(prod(dim)) - 1), dtype)
    return(if (length(dim) == 0L) made else array(made, dim))
  }
  if (any(evaluate_number_rules(sizes$sizes) < 0)) abort_argument(shape, "shape", "sizes that are known, or come from `op_shape()`", call = call, class = "shape")
  apply_operation("fill", sizes$refs, list(sizes = sizes$sizes, start = value, step = step, dtype = dtype, refs = length(sizes$refs)), call)
}

full_dtype <- function(dtype, otherwise, call = NULL) if (is.null(dtype)) otherwise else check_op_dtype(dtype, call)

#' @rdname op_ones
#' @export
op_ones <- function(shape, dtype = NULL) make_full(shape, 1, full_dtype(dtype, config_floatx(), environment()), call = environment())

#' @rdname op_ones
#' @export
op_zeros <- function(shape, dtype = NULL) make_full(shape, 0, full_dtype(dtype, config_floatx(), environment()), call = environment())

#' @rdname op_ones
#' @export
op_full <- function(shape, fill_value, dtype = NULL) {
  call <- environment()
  if (is_symbolic(fill_value)) return(op_broadcast_to(fill_value, shape))
  dtype <- full_dtype(dtype, promote_dtypes(dtype_of(fill_value)), call)
  make_full(shape, check_fill(fill_value, call), dtype, call = call)
}

# A number or a truth value as a number.
check_fill <- function(x, call = NULL) {
  if ((is.numeric(x) || is.logical(x)) && !is.object(x) && length(x) == 1L && (is.nan(x) || !is.na(x))) return(as.double(x))
  abort_argument(x, "fill_value", "a number", call = call)
}

# Sizes of a tensor by reference, those that are known as well: then nothing depends on a fixed batch.
like_full <- function(x, value, dtype, call) {
  x <- as_operand(x, 1L, 1L, call)
  dtype <- full_dtype(dtype, promote_dtypes(dtype_of(x)), call)
  if (!is_symbolic(x)) return(make_full(as.list(operand_shape(x)), value, dtype, call = call))
  rules <- axis_rules(length(operand_shape(x)))
  apply_operation("fill", list(x), list(sizes = as.double(rules), start = value, step = 0, dtype = dtype, refs = 1L), call)
}

#' @rdname op_ones
#' @export
op_ones_like <- function(x, dtype = NULL) like_full(x, 1, dtype, environment())

#' @rdname op_ones
#' @export
op_zeros_like <- function(x, dtype = NULL) like_full(x, 0, dtype, environment())

#' @rdname op_ones
#' @export
op_full_like <- function(x, fill_value, dtype = NULL) like_full(x, check_fill(fill_value, environment()), dtype, environment())

#' @rdname op_ones
#' @export
op_arange <- function(start, end, step = 1L, dtype = NULL, include_end = TRUE) {
  call <- environment()
  include_end <- check_flag(include_end, "include_end", call = call)
  if (missing(end) || is.null(end)) {
    end <- start
    start <- if (include_end) 1L else 0L
  }
  given <- list(start = start, end = end, step = step)
  for (arg in names(given)) if (!is_size(given[[arg]])) check_number(given[[arg]], arg, call = call)
  if (is_size(step) || step == 0) abort_argument(step, "step", "a number other than 0", call = call)
  dtype <- full_dtype(dtype, promote_dtypes(vapply(given, dtype_of, "")), call)
  if (is_size(start)) {
    abort_attentive("not_yet", "`start` of `op_arange()` must be a number.", hint = "Add the size to what comes out.", arg = "start", call = call)
  }
  if (!is_size(end)) {
    count <- floor((end - start) / step + 1e-9) + 1
    if (!include_end && abs(start + (count - 1) * step - end) < 1e-9 * abs(step)) count <- count - 1
    return(make_full(max(count, 0), start, dtype, step, call))
  }
  if (start != trunc(start) || step != trunc(step)) abort_argument(start, "start", "a whole number where the end is a size", call = call)
  # numbers from start up to end, or up to the one before it
  last <- if (include_end) end else end - sign(step)
  make_full(list((last - start) %/% step + 1L), start, dtype, step, call)
}

#' @rdname op_ones
#' @export
op_eye <- function(N, M = NULL, k = 0L, dtype = NULL) {
  call <- environment()
  rows <- check_whole(N, "N", min = 0L, call = call)
  columns <- if (is.null(M)) rows else check_whole(M, "M", min = 0L, call = call)
  k <- check_whole(k, "k", min = -.Machine$integer.max, call = call)
  as_r_type(array(as.double(col(matrix(0, rows, columns)) - row(matrix(0, rows, columns)) == k), c(rows, columns)), full_dtype(dtype, config_floatx(), call))
}

#' Triangles of matrices
#'
#' `op_tril()` keeps what is on and below a diagonal of the matrices in the last two axes, `op_triu()` what is on and above it; the rest is 0.
#'
#' @param x A symbolic tensor or an array with at least two axes.
#' @param k Which diagonal: 0 the main one, 1 the one above.
#' @return A symbolic tensor or an array of the shape of `x`. Source: the documentation of `keras.ops`.
#' @inheritSection op_sum Errors
#' @family operations
#' @examples
#' op_tril(matrix(1, 3, 3))
#' @export
op_tril <- function(x, k = 0L) op_triangle(x, k, op_greater_equal, environment())

#' @rdname op_tril
#' @export
op_triu <- function(x, k = 0L) op_triangle(x, k, op_less_equal, environment())

op_triangle <- function(x, k, keep, call) {
  k <- check_whole(k, "k", min = -.Machine$integer.max, call = call)
  shape <- op_shape(x)
  rank <- length(shape)
  if (rank < 2L) abort_attentive("shape", sprintf("`x` must have at least two axes, not the shape %s.", format_shape(operand_shape(x))), call = call)
  rows <- op_expand_dims(op_arange(shape[[rank - 1L]]), 2L)
  op_where(keep(op_add(rows, k), op_arange(shape[[rank]])), x, 0L)
}

#' Convert
#'
#' `op_convert_to_tensor()` and `op_array()` give what operations take: an array without a class, or the symbolic tensor itself; `op_convert_to_numpy()`
#' gives an R array. There are no tensors with numbers other than R arrays.
#'
#' @param x An array, a number, a layer's variable or a symbolic tensor.
#' @param dtype The type of what comes out.
#' @param sparse Not available.
#' @return An array, or the symbolic tensor.
#' @section Errors: `attentive_error_state` where a symbolic tensor is to become numbers; else see [attentive_errors].
#' @family operations
#' @examples
#' op_convert_to_tensor(c(1.5, 2), "int32")
#' @export
op_convert_to_tensor <- function(x, dtype = NULL, sparse = NULL) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  if (is.null(dtype)) x else op_cast(x, dtype)
}

#' @rdname op_convert_to_tensor
#' @export
op_array <- function(x, dtype = NULL) op_convert_to_tensor(x, dtype)

#' @rdname op_convert_to_tensor
#' @export
op_convert_to_numpy <- function(x) {
  x <- as_operand(x, 1L, 1L, environment())
  if (is_symbolic(x)) as.array(x) else x
}
