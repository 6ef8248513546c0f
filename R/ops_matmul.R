#' Products of matrices
#'
#' `op_matmul()` multiplies the matrices in the last two axes; axes before these broadcast. With R of at least 4.3 `%*%` does the same with symbolic tensors.
#'
#' @details
#' `op_dot()` sums over the last axis of `x1` and the last but one of `x2`, with all pairs of the other axes; for matrices and vectors it is the same.
#'
#' @section Shapes:
#' `[..., M, K]` and `[..., K, N]` give `[..., M, N]`. A vector is a row of the first, or a column of the second matrix. Source: the documentation of `keras.ops`.
#'
#' @inheritParams op_add
#' @return A symbolic tensor, or an array.
#' @section Errors: `attentive_error_shape` where there is no such product; else see [attentive_errors].
#' @family operations
#' @examples
#' op_matmul(matrix(1:6, 2), matrix(1:6, 3))
#' x <- keras_input(shape(NA, 4))
#' op_matmul(x, op_transpose(x, c(1, 3, 2)))
#' @export
op_matmul <- function(x1, x2) apply_operation("matmul", list(x1, x2), call = environment())
