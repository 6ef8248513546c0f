#' Activations with numbers of their own
#'
#' Layers for activations that take numbers, or learn them: what the functions of these names in keras3 do.
#'
#' @section The formulas:
#' | layer | y |
#' |---|---|
#' | `layer_activation_relu()` | x above `threshold`, at most `max_value`; `negative_slope` times (x - `threshold`) below |
#' | `layer_activation_leaky_relu()` | x, or `negative_slope` times x where x is negative |
#' | `layer_activation_elu()` | x, or `alpha` times (exp(x) - 1) where x is negative |
#' | `layer_activation_parametric_relu()` | x, or the weight `alpha` times x where x is negative |
#' | `layer_activation_softmax()` | exp(x) divided by the sum of exp(x) along `axis` |
#'
#' Sources: He et al. (2015) and the documentation of Keras's `ReLU`, `LeakyReLU`, `ELU`, `PReLU` and `Softmax`.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. `alpha` has the shape of one element, with size 1 along `shared_axes`. A mask is passed on. The call of a softmax layer on an array
#' takes a `mask` of the shape of the array: what it leaves out has weight 0. A mask of the tokens alone changes no number.
#'
#' @inheritParams layer_dense
#' @param max_value The largest number that comes out; by default none.
#' @param negative_slope,threshold,alpha See the formulas.
#' @param alpha_initializer,alpha_regularizer,alpha_constraint How `alpha` begins, a penalty on it, what it must obey after each training step.
#' @param shared_axes Axes along which one weight serves all places, counted from 1 with the batch as 1.
#' @param axis The axis of the softmax, counted from 1 with the batch as 1, a negative one from the end.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references He, K. et al. (2015). Delving Deep into Rectifiers. \doi{10.48550/arXiv.1502.01852}
#' @examples
#' x <- matrix(-2:3, 2)
#' layer_activation_relu(x, max_value = 2)
#' layer_activation_leaky_relu(x)
#' layer_activation_softmax()(x, mask = x > -2)
#' @export
layer_activation_relu <- function(object, max_value = NULL, negative_slope = 0, threshold = 0, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "element_activation", "ReLU", list(...), prefix = "re_lu", fun = "activation_relu")
  self$activation <- "relu"
  self$numbers <- list(
    max_value = check_number(max_value, "max_value", 0, null = TRUE, call = call),
    negative_slope = check_number(negative_slope, "negative_slope", 0, call = call), threshold = check_number(threshold, "threshold", 0, call = call)
  )
  compose_layer(new_layer(self), object, call)
}

#' @rdname layer_activation_relu
#' @export
layer_activation_leaky_relu <- function(object, negative_slope = 0.3, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "element_activation", "LeakyReLU", list(...), prefix = "leaky_re_lu", fun = "activation_leaky_relu")
  self$activation <- "leaky_relu"
  self$numbers <- list(negative_slope = check_number(negative_slope, "negative_slope", 0, call = call))
  compose_layer(new_layer(self), object, call)
}

#' @rdname layer_activation_relu
#' @export
layer_activation_elu <- function(object, alpha = 1, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "element_activation", "ELU", list(...), prefix = "elu", fun = "activation_elu")
  self$activation <- "elu"
  self$numbers <- list(alpha = check_number(alpha, "alpha", call = call))
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.element_activation <- function(self, shapes, call = NULL) shapes[[1L]]

layer_emit.element_activation <- function(self, builder, inputs, arguments) {
  options <- c(list(activation = self$activation), Filter(Negate(is.null), self$numbers))
  handle(add_node(builder, "activation", inputs[[1L]]$value, options), inputs[[1L]]$mask)
}

layer_config.element_activation <- function(self) self$numbers

layer_property.element_activation <- function(self, name) {
  known <- names(self$numbers)
  if (!is.null(name) && name %in% known) return(self$numbers[[name]])
  given <- Filter(Negate(is.null), self$numbers)
  simple_property(self, name, known, paste(names(given), vapply(given, format, ""), collapse = ", "))
}

#' @rdname layer_activation_relu
#' @export
layer_activation_softmax <- function(object, axis = -1L, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "softmax_layer", "Softmax", list(...), prefix = "softmax", fun = "activation_softmax")
  self$axis <- check_axis(axis, "axis", several = TRUE, call = call)
  if (length(self$axis) > 1L) {
    abort_attentive("not_yet", "`axis` of a softmax layer must be one axis.", arg = "axis", hint = "`layer_reshape()` makes one axis of several.", call = call)
  }
  compose_layer(new_layer(self), object, call)
}

layer_build.softmax_layer <- function(self, shapes, call = NULL) {
  self$softmax_axis <- axes_within(self$axis, self, shapes[[1L]], call)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.softmax_layer <- function(self, shapes, call = NULL) {
  axes_within(self$axis, self, shapes[[1L]], call)
  shapes[[1L]]
}

# A mask of all numbers takes part, by a number that Keras takes for minus infinity; one of tokens passes by.
layer_emit.softmax_layer <- function(self, builder, inputs, arguments) {
  value <- inputs[[1L]]$value
  mask <- inputs[[1L]]$mask
  if (mask >= 0L) value <- add_node(builder, "select", value, list(otherwise = -1e9, whole = TRUE), masks = mask)
  handle(add_node(builder, "activation", value, list(activation = "softmax", axis = self$softmax_axis)), mask)
}

layer_config.softmax_layer <- function(self) list(axis = self$axis)
layer_property.softmax_layer <- function(self, name) simple_property(self, name, "axis", paste("axis", self$axis + (self$axis >= 0L)))

#' @rdname layer_activation_relu
#' @export
layer_activation_parametric_relu <- function(
    object, alpha_initializer = "zeros", alpha_regularizer = NULL, alpha_constraint = NULL, shared_axes = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "parametric_relu", "PReLU", list(...), simple_dots, prefix = "p_re_lu", fun = "activation_parametric_relu")
  take_specifications(self, call, list(alpha = "zeros"), "alpha", "alpha")
  self$shared_axes <- if (!is.null(shared_axes)) check_axis(shared_axes, "shared_axes", several = TRUE, call = call)
  take_seed(self, list(...)$seed, call)
  compose_layer(new_layer(self), object, call)
}

layer_build.parametric_relu <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  if (!is.null(self$shared_axes)) shape[axes_within(self$shared_axes, self, shape, call) + 1L] <- 1L
  sizes <- known_sizes(self, shape, seq_along(shape)[-1L] - 1L, call)
  self$alpha <- new_weight(self, "alpha", sizes, call = call)
  self$sizes <- sizes
  self$weights <- list(self$alpha)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.parametric_relu <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  axes <- if (!is.null(self$shared_axes)) axes_within(self$shared_axes, self, shape, call)
  own <- replace(shape, axes + 1L, 1L)[-1L]
  if (self$built && differ(own, self$sizes)) {
    abort_attentive("shape", sprintf("The layer \"%s\" has weights of shape %s: %s does not fit.",
      self$name, format_shape(self$sizes), format_shape(shape)), call = call)
  }
  shape
}

# relu(x) - alpha relu(-x)
layer_emit.parametric_relu <- function(self, builder, inputs, arguments) {
  relu <- function(value) add_node(builder, "activation", value, list(activation = "relu"))
  x <- inputs[[1L]]$value
  alpha <- add_node(builder, "weight", integer(), list(dims = self$sizes), list(self$alpha))
  below <- relu(add_node(builder, "unary", x, list(operation = "negative")))
  bent <- add_node(builder, "binary", c(below, alpha), list(operation = "multiply"))
  handle(add_node(builder, "binary", c(relu(x), bent), list(operation = "subtract")), inputs[[1L]]$mask)
}

layer_config.parametric_relu <- function(self) {
  list(
    alpha_initializer = serialize_spec(self$alpha_initializer), alpha_regularizer = serialize_spec(self$alpha_regularizer),
    alpha_constraint = serialize_spec(self$alpha_constraint), shared_axes = if (!is.null(self$shared_axes)) as.list(self$shared_axes)
  )
}

layer_property.parametric_relu <- function(self, name) {
  simple_property(self, name, c("alpha", "shared_axes", "alpha_initializer", "alpha_regularizer", "alpha_constraint", "seed"), "with weights")
}
