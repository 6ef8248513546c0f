#' Activations as operations
#'
#' The functions that stand behind activations, on tensors and arrays: `op_relu()`, `op_gelu()`, `op_softmax()` and so on.
#'
#' @details
#' \tabular{ll}{
#' `op_relu(x)` \tab \eqn{\max(x, 0)}\cr
#' `op_relu6(x)` \tab \eqn{\min(\max(x, 0), 6)}\cr
#' `op_leaky_relu(x)` \tab x, or `negative_slope` * x below 0\cr
#' `op_elu(x)`, `op_celu(x)` \tab x, or \eqn{\alpha (e^x - 1)}, \eqn{\alpha (e^{x/\alpha} - 1)} below 0\cr
#' `op_selu(x)` \tab `op_elu()` with fixed numbers, scaled\cr
#' `op_gelu(x)` \tab x times the normal distribution at x, or its approximation by tanh\cr
#' `op_silu(x)` \tab x * sigmoid(x)\cr
#' `op_softplus(x)`, `op_softsign(x)` \tab \eqn{\log(1 + e^x)}, \eqn{x / (1 + |x|)}\cr
#' `op_softmax(x)`, `op_log_softmax(x)` \tab \eqn{e^x / \sum e^x} along an axis, and its logarithm\cr
#' `op_sparsemax(x)` \tab the nearest point of the simplex (Martins and Astudillo 2016)\cr
#' `op_glu(x)` \tab the first half of an axis, times the sigmoid of the second
#' }
#' The others are as in [layer_activation()]. Source: the documentation of `keras.ops`.
#'
#' @section Shapes: What comes out has the shape of `x`; `op_glu()` halves its axis.
#'
#' @param x A symbolic tensor, an array or a number.
#' @param negative_slope,alpha,threshold,default_value,b Numbers in the formulas.
#' @param approximate Whether `op_gelu()` uses tanh in place of the normal distribution, which is the default here as in `keras.ops`, but not of [activation_gelu()].
#' @param axis The axis along which, counted from 1 with the batch as 1; negative ones from the end.
#' @return A symbolic tensor, or an array.
#' @inheritSection op_add Errors
#' @family operations
#' @name op_relu
#' @examples
#' op_relu(-2:2)
#' op_softmax(matrix(1:6, 2))
NULL

#' @rdname op_relu
#' @export
op_relu <- function(x) apply_operation("relu", list(x), call = environment())

#' @rdname op_relu
#' @export
op_relu6 <- function(x) apply_operation("relu6", list(x), call = environment())

#' @rdname op_relu
#' @export
op_selu <- function(x) apply_operation("selu", list(x), call = environment())

#' @rdname op_relu
#' @export
op_silu <- function(x) apply_operation("silu", list(x), call = environment())

#' @rdname op_relu
#' @export
op_sigmoid <- function(x) apply_operation("sigmoid", list(x), call = environment())

#' @rdname op_relu
#' @export
op_log_sigmoid <- function(x) apply_operation("log_sigmoid", list(x), call = environment())

#' @rdname op_relu
#' @export
op_hard_sigmoid <- function(x) apply_operation("hard_sigmoid", list(x), call = environment())

#' @rdname op_relu
#' @export
op_hard_silu <- function(x) apply_operation("hard_silu", list(x), call = environment())

#' @rdname op_relu
#' @export
op_tanh_shrink <- function(x) apply_operation("tanh_shrink", list(x), call = environment())

#' @rdname op_relu
#' @export
op_hard_tanh <- function(x) apply_operation("hard_tanh", list(x), call = environment())

#' @rdname op_relu
#' @export
op_softplus <- function(x) apply_operation("softplus", list(x), call = environment())

#' @rdname op_relu
#' @export
op_softsign <- function(x) apply_operation("softsign", list(x), call = environment())

#' @rdname op_relu
#' @export
op_sparse_plus <- function(x) apply_operation("sparse_plus", list(x), call = environment())

#' @rdname op_relu
#' @export
op_sparse_sigmoid <- function(x) apply_operation("sparse_sigmoid", list(x), call = environment())

#' @rdname op_relu
#' @export
op_leaky_relu <- function(x, negative_slope = 0.2) {
  call <- environment()
  apply_operation("leaky_relu", list(x), list(negative_slope = check_number(negative_slope, "negative_slope", call = call)), call)
}

#' @rdname op_relu
#' @export
op_elu <- function(x, alpha = 1) {
  call <- environment()
  apply_operation("elu", list(x), list(alpha = check_number(alpha, "alpha", call = call)), call)
}

#' @rdname op_relu
#' @export
op_celu <- function(x, alpha = 1) {
  call <- environment()
  apply_operation("celu", list(x), list(alpha = check_number(alpha, "alpha", call = call)), call)
}

#' @rdname op_relu
#' @export
op_squareplus <- function(x, b = 4) {
  call <- environment()
  apply_operation("squareplus", list(x), list(b = check_number(b, "b", call = call)), call)
}

#' @rdname op_relu
#' @export
op_soft_shrink <- function(x, threshold = 0.5) {
  call <- environment()
  apply_operation("soft_shrink", list(x), list(threshold = check_number(threshold, "threshold", call = call)), call)
}

#' @rdname op_relu
#' @export
op_hard_shrink <- function(x, threshold = 0.5) {
  call <- environment()
  apply_operation("hard_shrink", list(x), list(threshold = check_number(threshold, "threshold", call = call)), call)
}

#' @rdname op_relu
#' @export
op_threshold <- function(x, threshold, default_value) {
  call <- environment()
  apply_operation("threshold", list(x), list(threshold = check_number(threshold, "threshold", call = call), value = check_number(default_value, "default_value", call = call)), call)
}

#' @rdname op_relu
#' @export
op_gelu <- function(x, approximate = TRUE) {
  call <- environment()
  apply_operation("gelu", list(x), list(approximate = check_flag(approximate, "approximate", call = call)), call)
}

#' @rdname op_relu
#' @export
op_softmax <- function(x, axis = -1L) {
  call <- environment()
  apply_operation("softmax", list(x), list(axis = check_axis(axis, "axis", call = call)), call)
}

#' @rdname op_relu
#' @export
op_log_softmax <- function(x, axis = -1L) {
  call <- environment()
  apply_operation("log_softmax", list(x), list(axis = check_axis(axis, "axis", call = call)), call)
}

#' @rdname op_relu
#' @export
op_sparsemax <- function(x, axis = -1L) {
  call <- environment()
  apply_operation("sparsemax", list(x), list(axis = check_axis(axis, "axis", call = call)), call)
}

#' @rdname op_relu
#' @export
op_glu <- function(x, axis = -1L) {
  call <- environment()
  apply_operation("glu", list(x), list(axis = check_axis(axis, "axis", call = call)), call)
}
