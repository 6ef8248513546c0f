#' Functions of single numbers
#'
#' Absolute value, roots, exponentials, logarithms, rounding, trigonometry and their like, element by element.
#'
#' @details
#' \tabular{ll}{
#' `op_square(x)`, `op_sqrt(x)`, `op_rsqrt(x)`, `op_reciprocal(x)` \tab \eqn{x^2, \sqrt{x}, 1/\sqrt{x}, 1/x}\cr
#' `op_expm1(x)`, `op_log1p(x)` \tab \eqn{e^x - 1, \log(1 + x)}, exact near 0\cr
#' `op_sign(x)` \tab -1, 0 or 1\cr
#' `op_round(x)` \tab to whole numbers or `decimals`; halves go to the even neighbour\cr
#' `op_erf(x)` \tab \eqn{2/\sqrt{\pi} \int_0^x e^{-t^2} dt}\cr
#' `op_clip(x, x_min, x_max)` \tab within the two bounds\cr
#' `op_cast(x, dtype)` \tab towards 0 for whole numbers, 1 or 0 for `"bool"`\cr
#' `op_stop_gradient(x)` \tab x, but a constant for the gradient
#' }
#' Symbolic tensors also take R's own `abs()`, `sqrt()`, `exp()`, `log()`, `expm1()`, `log1p()`, `log2()`, `log10()`, `sign()`, `floor()`, `ceiling()`, `round()`, `sin()`, `cos()`, `tan()`, `tanh()` and so on.
#' Rounding, signs and casts to whole numbers have gradient 0. Source: the documentation of `keras.ops`.
#'
#' @param x A symbolic tensor, an array or a number.
#' @param decimals To how many decimals `op_round()` rounds; negative ones are tens, hundreds and so on.
#' @param x_min,x_max Bounds: numbers, arrays or symbolic tensors.
#' @param dtype `"float32"`, `"float64"`, `"int32"`, `"int64"` or `"bool"`.
#' @param variable The same as `x`.
#' @return A symbolic tensor of the shape of `x`, or an array.
#' @inheritSection op_add Errors
#' @family operations
#' @name op_abs
#' @examples
#' op_square(matrix(1:4, 2))
#' op_clip(c(-2, 0.5, 3), 0, 1)
#' op_cast(c(0.2, 1.7), "int32")
NULL

#' @rdname op_abs
#' @export
op_abs <- function(x) apply_operation("abs", list(x), call = environment())

#' @rdname op_abs
#' @export
op_square <- function(x) apply_operation("square", list(x), call = environment())

#' @rdname op_abs
#' @export
op_sqrt <- function(x) apply_operation("sqrt", list(x), call = environment())

#' @rdname op_abs
#' @export
op_rsqrt <- function(x) apply_operation("rsqrt", list(x), call = environment())

#' @rdname op_abs
#' @export
op_reciprocal <- function(x) apply_operation("reciprocal", list(x), call = environment())

#' @rdname op_abs
#' @export
op_exp <- function(x) apply_operation("exp", list(x), call = environment())

#' @rdname op_abs
#' @export
op_expm1 <- function(x) apply_operation("expm1", list(x), call = environment())

#' @rdname op_abs
#' @export
op_log <- function(x) apply_operation("log", list(x), call = environment())

#' @rdname op_abs
#' @export
op_log1p <- function(x) apply_operation("log1p", list(x), call = environment())

#' @rdname op_abs
#' @export
op_log2 <- function(x) apply_operation("log2", list(x), call = environment())

#' @rdname op_abs
#' @export
op_log10 <- function(x) apply_operation("log10", list(x), call = environment())

#' @rdname op_abs
#' @export
op_sign <- function(x) apply_operation("sign", list(x), call = environment())

#' @rdname op_abs
#' @export
op_floor <- function(x) apply_operation("floor", list(x), call = environment())

#' @rdname op_abs
#' @export
op_ceil <- function(x) apply_operation("ceil", list(x), call = environment())

#' @rdname op_abs
#' @export
op_sin <- function(x) apply_operation("sin", list(x), call = environment())

#' @rdname op_abs
#' @export
op_cos <- function(x) apply_operation("cos", list(x), call = environment())

#' @rdname op_abs
#' @export
op_tan <- function(x) apply_operation("tan", list(x), call = environment())

#' @rdname op_abs
#' @export
op_arcsin <- function(x) apply_operation("arcsin", list(x), call = environment())

#' @rdname op_abs
#' @export
op_arccos <- function(x) apply_operation("arccos", list(x), call = environment())

#' @rdname op_abs
#' @export
op_arctan <- function(x) apply_operation("arctan", list(x), call = environment())

#' @rdname op_abs
#' @export
op_sinh <- function(x) apply_operation("sinh", list(x), call = environment())

#' @rdname op_abs
#' @export
op_cosh <- function(x) apply_operation("cosh", list(x), call = environment())

#' @rdname op_abs
#' @export
op_tanh <- function(x) apply_operation("tanh", list(x), call = environment())

#' @rdname op_abs
#' @export
op_erf <- function(x) apply_operation("erf", list(x), call = environment())

#' @rdname op_abs
#' @export
op_round <- function(x, decimals = 0L) {
  call <- environment()
  decimals <- check_whole(decimals, "decimals", min = -300L, call = call)
  if (decimals == 0L) return(apply_operation("round", list(x), call = call))
  scale <- 10^decimals
  op_divide(apply_operation("round", list(op_multiply(x, scale)), call = call), scale)
}

#' @rdname op_abs
#' @export
op_clip <- function(x, x_min, x_max) {
  call <- environment()
  bound <- function(b) is.numeric(b) && is.null(dim(b)) && length(b) == 1L && !is.na(b)
  if (bound(x_min) && bound(x_max)) return(apply_operation("clip", list(x), list(x_min = x_min, x_max = x_max), call))
  apply_operation("minimum", list(apply_operation("maximum", list(x, x_min), call = call), x_max), call = call)
}

#' @rdname op_abs
#' @export
op_cast <- function(x, dtype) {
  call <- environment()
  apply_operation("cast", list(x), list(dtype = check_op_dtype(dtype, call)), call)
}

# The dtypes that tensors have; Keras's others are near to one of them.
check_op_dtype <- function(dtype, call = NULL) {
  if (is.character(dtype) && length(dtype) == 1L && dtype %in% c("int8", "int16", "uint8", "uint16", "uint32")) return("int32")
  check_choice(dtype, "dtype", c("float32", "float64", "int32", "int64", "bool"), call = call)
}

#' @rdname op_abs
#' @export
op_stop_gradient <- function(variable) apply_operation("stop_gradient", list(variable), call = environment())
