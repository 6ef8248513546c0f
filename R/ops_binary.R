# Arithmetic, functions and comparisons of single numbers.

#' Arithmetic
#'
#' Element by element: sum, difference, product, quotient, power, larger and smaller number. `op_floor_divide()` rounds the quotient down, `op_mod()` is
#' what is left.
#'
#' @details
#' Operations work on symbolic tensors, where they add a node to the graph, and on numbers and arrays, where they compute in double precision and give an
#' array. The operators `+ - * / ^ %/% %%` do the same with symbolic tensors; with R arrays alone they are R's
#' own, which recycles where these broadcast. Masks end at an operation, as in Keras: [layer_add()] and its like pass them on.
#'
#' At a tie both sides of `op_maximum()` and `op_minimum()` get half of the gradient; `op_floor_divide()` has none.
#'
#' @section Shapes:
#' Axes are lined up from the right; sizes are equal or 1, which serves any other: `[B, T, D]` and `[D]` give `[B, T, D]`. An R vector has one axis, a
#' number none. Source: the documentation of `keras.ops`.
#'
#' @section Types:
#' Whole numbers (R's integers, `"int32"`) stay whole among themselves, but for a division. A plain number takes the type of the tensor beside it. Models
#' compute in floating-point numbers throughout:
#' whole numbers are exact up to 2^24 in float32.
#'
#' @param x1,x2 Symbolic tensors, arrays or numbers.
#' @param x A symbolic tensor, an array or a number.
#' @return A symbolic tensor, or an array where no operand is symbolic.
#' @section Errors: `attentive_error_shape` where the shapes do not fit, `attentive_error_argument` for an operand that is neither; else see [attentive_errors].
#' @family operations
#' @name op_add
#' @examples
#' op_add(matrix(1:6, 2), c(10, 20, 30))
#' op_maximum(-1:2, 0)
#'
#' x <- keras_input(3)
#' op_multiply(x, 2)
NULL

#' @rdname op_add
#' @export
op_add <- function(x1, x2) apply_binary("add", x1, x2, environment())

#' @rdname op_add
#' @export
op_subtract <- function(x1, x2) apply_binary("subtract", x1, x2, environment())

#' @rdname op_add
#' @export
op_multiply <- function(x1, x2) apply_binary("multiply", x1, x2, environment())

#' @rdname op_add
#' @export
op_divide <- function(x1, x2) apply_binary("divide", x1, x2, environment())

#' @rdname op_add
#' @export
op_power <- function(x1, x2) apply_binary("power", x1, x2, environment())

#' @rdname op_add
#' @export
op_maximum <- function(x1, x2) apply_binary("maximum", x1, x2, environment())

#' @rdname op_add
#' @export
op_minimum <- function(x1, x2) apply_binary("minimum", x1, x2, environment())

#' @rdname op_add
#' @export
op_floor_divide <- function(x1, x2) apply_binary("floor_divide", x1, x2, environment())

#' @rdname op_add
#' @export
op_mod <- function(x1, x2) apply_binary("mod", x1, x2, environment())

#' @rdname op_add
#' @export
op_negative <- function(x) apply_operation("negative", list(x), call = environment())

#' Compare and decide
#'
#' Comparisons and logic, element by element; `op_where()` takes `x1` where the condition holds and `x2` elsewhere.
#'
#' @details
#' The operators `> >= < <= == != & | !` do the same with symbolic tensors. What comes out is logical: in a model 1 or 0 of dtype `"bool"`. There is no
#' gradient through a comparison; through `op_where()` it goes to the side that was taken. Any number other
#' than 0 counts as true.
#'
#' @inheritSection op_add Shapes
#' @inheritParams op_add
#' @param x A symbolic tensor, an array or a number.
#' @param condition Logical, or numbers: where they are not 0, `x1` is taken.
#' @return A symbolic tensor, or a logical array; for `op_where()` of the type of `x1` and `x2`.
#' @inheritSection op_add Errors
#' @family operations
#' @name op_equal
#' @examples
#' op_greater(c(1, 5, 3), 2)
#' op_where(c(TRUE, FALSE), 1, c(10, 20))
NULL

#' @rdname op_equal
#' @export
op_equal <- function(x1, x2) apply_operation("equal", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_not_equal <- function(x1, x2) apply_operation("not_equal", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_greater <- function(x1, x2) apply_operation("greater", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_greater_equal <- function(x1, x2) apply_operation("greater_equal", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_less <- function(x1, x2) apply_operation("less", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_less_equal <- function(x1, x2) apply_operation("less_equal", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_logical_and <- function(x1, x2) apply_operation("logical_and", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_logical_or <- function(x1, x2) apply_operation("logical_or", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_logical_xor <- function(x1, x2) apply_operation("logical_xor", list(x1, x2), call = environment())

#' @rdname op_equal
#' @export
op_logical_not <- function(x) apply_operation("logical_not", list(x), call = environment())

#' @rdname op_equal
#' @export
op_isnan <- function(x) apply_operation("isnan", list(x), call = environment())

#' @rdname op_equal
#' @export
op_isinf <- function(x) apply_operation("isinf", list(x), call = environment())

#' @rdname op_equal
#' @export
op_isfinite <- function(x) apply_operation("isfinite", list(x), call = environment())

#' @rdname op_equal
#' @export
op_where <- function(condition, x1 = NULL, x2 = NULL) {
  call <- environment()
  if (is.null(x1) || is.null(x2)) {
    abort_attentive("not_yet", "`op_where()` needs `x1` and `x2`: the places where a condition holds have no fixed number.", arg = "x1", call = call)
  }
  apply_operation("where", list(condition, x1, x2), call = call)
}
