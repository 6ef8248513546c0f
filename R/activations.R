# Activations as functions: on tensors, on arrays, and as the `activation` of a layer.

#' Activation functions
#'
#' The functions of [layer_activation()] to be called on symbolic tensors and arrays, or given to the argument `activation` of a layer as they are: `layer_dense(units = 4, activation = activation_gelu)`.
#'
#' @details See [op_relu()] for the formulas. `activation_gelu()` uses the exact normal distribution by default, unlike [op_gelu()]. Source: the documentation of `keras.activations`.
#'
#' @param x A symbolic tensor, an array or a number.
#' @param negative_slope,max_value,threshold,alpha,b,default_value Numbers of the functions: slope below the threshold, the largest value that comes out, and so on.
#' @param approximate Whether to use tanh in place of the normal distribution.
#' @param axis The axis along which, counted from 1 with the batch as 1; negative ones from the end.
#' @return A symbolic tensor, or an array, of the shape of `x`; `activation_glu()` halves its axis.
#' @inheritSection op_add Errors
#' @family operations
#' @name activation_relu
#' @examples
#' activation_relu(c(-1, 2))
#' activation_softmax(matrix(1:6, 2))
#' layer_dense(units = 2, activation = activation_tanh)
NULL

#' @rdname activation_relu
#' @export
activation_relu <- function(x, negative_slope = 0, max_value = NULL, threshold = 0) {
  call <- environment()
  apply_operation("relu", list(x), list(
    negative_slope = check_number(negative_slope, "negative_slope", call = call), max_value = check_number(max_value, "max_value", null = TRUE, call = call),
    threshold = check_number(threshold, "threshold", call = call)
  ), call)
}

#' @rdname activation_relu
#' @export
activation_gelu <- function(x, approximate = FALSE) op_gelu(x, approximate)

#' @rdname activation_relu
#' @export
activation_linear <- function(x) if (is_symbolic(x)) x else as_operand(x, 1L, 1L, environment())

#' @rdname activation_relu
#' @export
activation_exponential <- function(x) op_exp(x)

#' @rdname activation_relu
#' @export
activation_relu6 <- function(x) op_relu6(x)

#' @rdname activation_relu
#' @export
activation_selu <- function(x) op_selu(x)

#' @rdname activation_relu
#' @export
activation_silu <- function(x) op_silu(x)

#' @rdname activation_relu
#' @export
activation_sigmoid <- function(x) op_sigmoid(x)

#' @rdname activation_relu
#' @export
activation_log_sigmoid <- function(x) op_log_sigmoid(x)

#' @rdname activation_relu
#' @export
activation_hard_sigmoid <- function(x) op_hard_sigmoid(x)

#' @rdname activation_relu
#' @export
activation_hard_silu <- function(x) op_hard_silu(x)

#' @rdname activation_relu
#' @export
activation_tanh_shrink <- function(x) op_tanh_shrink(x)

#' @rdname activation_relu
#' @export
activation_hard_tanh <- function(x) op_hard_tanh(x)

#' @rdname activation_relu
#' @export
activation_softplus <- function(x) op_softplus(x)

#' @rdname activation_relu
#' @export
activation_softsign <- function(x) op_softsign(x)

#' @rdname activation_relu
#' @export
activation_sparse_plus <- function(x) op_sparse_plus(x)

#' @rdname activation_relu
#' @export
activation_sparse_sigmoid <- function(x) op_sparse_sigmoid(x)

#' @rdname activation_relu
#' @export
activation_tanh <- function(x) op_tanh(x)

#' @rdname activation_relu
#' @export
activation_mish <- function(x) apply_operation("mish", list(x), call = environment())

#' @rdname activation_relu
#' @export
activation_leaky_relu <- function(x, negative_slope = 0.2) op_leaky_relu(x, negative_slope)

#' @rdname activation_relu
#' @export
activation_elu <- function(x, alpha = 1) op_elu(x, alpha)

#' @rdname activation_relu
#' @export
activation_celu <- function(x, alpha = 1) op_celu(x, alpha)

#' @rdname activation_relu
#' @export
activation_squareplus <- function(x, b = 4) op_squareplus(x, b)

#' @rdname activation_relu
#' @export
activation_soft_shrink <- function(x, threshold = 0.5) op_soft_shrink(x, threshold)

#' @rdname activation_relu
#' @export
activation_hard_shrink <- function(x, threshold = 0.5) op_hard_shrink(x, threshold)

#' @rdname activation_relu
#' @export
activation_threshold <- function(x, threshold = 0, default_value = 0) op_threshold(x, threshold, default_value)

#' @rdname activation_relu
#' @export
activation_softmax <- function(x, axis = -1L) op_softmax(x, axis)

#' @rdname activation_relu
#' @export
activation_log_softmax <- function(x, axis = -1L) op_log_softmax(x, axis)

#' @rdname activation_relu
#' @export
activation_sparsemax <- function(x, axis = -1L) op_sparsemax(x, axis)

#' @rdname activation_relu
#' @export
activation_glu <- function(x, axis = -1L) op_glu(x, axis)

# The name of an activation that was given as its function, else NULL.
name_of_activation <- function(fun) {
  for (name in setdiff(activation_names, c("swish", "hard_swish"))) {
    if (identical(fun, get(paste0("activation_", name), envir = topenv(), mode = "function"))) return(name)
  }
}
