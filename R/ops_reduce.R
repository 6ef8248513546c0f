# Reductions over axes.

#' Sums, means and extremes over axes
#'
#' Reduce one, several or all axes to one number.
#'
#' @details
#' Sums and means are accumulated in double precision, in one order. `op_var()` divides by the number of elements, as Keras does and `stats::var()` does not; `op_std()` is its root. `op_logsumexp()` is
#' \eqn{\log \sum e^x} without overflow. The gradient of an extreme is shared by all numbers that reach it. `op_argmax()` and `op_argmin()` give the place of the first extreme, counted from 1, and have no gradient. `op_any()` and `op_all()` take numbers
#' other than 0 for true. Where `axis` holds 1 the elements of a batch hang together: such a model has outputs without a batch, or that depend on the others. Source: the documentation of `keras.ops`.
#'
#' @section Shapes: The reduced axes go, or have size 1 with `keepdims`.
#'
#' @param x A symbolic tensor, an array or a number.
#' @param axis One or several axes, counted from 1 with the batch as 1; negative ones from the end. `NULL` means all.
#' @param keepdims Whether reduced axes stay, with size 1.
#' @param zero_indexed Whether places count from 0.
#' @return A symbolic tensor, or an array (a plain number where no axis is left).
#' @section Errors: `attentive_error_shape` where there is no such axis, `attentive_error_argument` for an axis of 0; else see [attentive_errors].
#' @family operations
#' @name op_sum
#' @examples
#' x <- matrix(1:6, 2)
#' op_sum(x)
#' op_mean(x, axis = 2, keepdims = TRUE)
#' op_argmax(x, axis = -1)
NULL

apply_reduction <- function(name, x, axis, keepdims, call, arguments = list()) {
  axis <- read_axes(axis, call)
  keepdims <- check_flag(keepdims, "keepdims", call = call)
  apply_operation(name, list(x), c(list(axis = axis, keepdims = keepdims), arguments), call)
}

# One or several axes as Keras counts them, or NULL.
read_axes <- function(axis, call = NULL) if (!is.null(axis)) check_axis(axis, "axis", several = TRUE, call = call)

#' @rdname op_sum
#' @export
op_sum <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("sum", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_mean <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("mean", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_max <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("max", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_min <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("min", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_prod <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("prod", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_any <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("any", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_all <- function(x, axis = NULL, keepdims = FALSE) apply_reduction("all", x, axis, keepdims, environment())

#' @rdname op_sum
#' @export
op_var <- function(x, axis = NULL, keepdims = FALSE) {
  call <- environment()
  centered <- op_subtract(x, apply_reduction("mean", x, axis, TRUE, call))
  apply_reduction("mean", op_square(centered), axis, keepdims, call)
}

#' @rdname op_sum
#' @export
op_std <- function(x, axis = NULL, keepdims = FALSE) op_sqrt(op_var(x, axis, keepdims))

#' @rdname op_sum
#' @export
op_logsumexp <- function(x, axis = NULL, keepdims = FALSE) {
  call <- environment()
  largest <- op_stop_gradient(apply_reduction("max", x, axis, TRUE, call))
  largest <- op_where(op_isfinite(largest), largest, 0)
  sums <- apply_reduction("sum", op_exp(op_subtract(x, largest)), axis, keepdims, call)
  shift <- if (keepdims) largest else apply_reduction("sum", largest, axis, FALSE, call)
  op_add(op_log(sums), shift)
}

apply_place <- function(name, x, axis, keepdims, zero_indexed, call) {
  check_flag(keepdims, "keepdims", call = call)
  zero_indexed <- check_flag(zero_indexed, "zero_indexed", call = call)
  rank <- length(operand_shape(as_operand(x, 1L, 1L, call)))
  flat <- is.null(axis)
  axis <- if (flat) 0L else check_axis(axis, "axis", call = call)
  if (flat) x <- op_reshape(x, -1L)
  places <- apply_operation(name, list(x), list(axis = axis, base = if (zero_indexed) 0 else 1), call)
  if (!keepdims) return(places)
  if (flat) op_reshape(places, rep(1L, rank)) else apply_operation("expand_dims", list(places), list(axis = axis), call)
}

#' @rdname op_sum
#' @export
op_argmax <- function(x, axis = NULL, keepdims = FALSE, zero_indexed = FALSE) {
  apply_place("argmax", x, axis, keepdims, zero_indexed, environment())
}

#' @rdname op_sum
#' @export
op_argmin <- function(x, axis = NULL, keepdims = FALSE, zero_indexed = FALSE) {
  apply_place("argmin", x, axis, keepdims, zero_indexed, environment())
}

#' Running sums
#'
#' @param x A symbolic tensor or an array.
#' @param axis The axis along which, counted from 1 with the batch as 1; `NULL` means all numbers in row-major order.
#' @param dtype The type of what comes out.
#' @return A symbolic tensor or an array of the shape of `x`, or of one axis where `axis` is `NULL`: every number is the sum of those up to its place. Source: the documentation of `keras.ops`.
#' @inheritSection op_sum Errors
#' @family operations
#' @examples
#' op_cumsum(matrix(1:6, 2), axis = 2)
#' @export
op_cumsum <- function(x, axis = NULL, dtype = NULL) {
  call <- environment()
  if (is.null(axis)) x <- op_reshape(x, -1L)
  axis <- if (is.null(axis)) 0L else check_axis(axis, "axis", call = call)
  made <- apply_operation("cumsum", list(x), list(axis = axis), call)
  if (is.null(dtype)) made else op_cast(made, dtype)
}
