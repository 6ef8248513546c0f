#' Normalization without a mean
#'
#' `layer_rms_normalization()` divides by the root of the mean square and scales by a weight, `layer_unit_normalization()` divides by the length of the vector.
#'
#' @section The formulas:
#' \deqn{y = \gamma \frac{x}{\sqrt{\mathrm{mean}(x^2) + \epsilon}}, \qquad y = \frac{x}{\sqrt{\sum x^2}}}
#' over `axis`; a vector of zeros stays as it is. Sources: Zhang and Sennrich (2019) and the documentation of Keras's `RMSNormalization` and `UnitNormalization`.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. The one weight, `scale` of `layer_rms_normalization()`, has the sizes of `axis`. A mask is passed on by
#' `layer_unit_normalization()` and ends at the other, as in Keras.
#'
#' @inheritParams layer_layer_normalization
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references Zhang, B. and Sennrich, R. (2019). Root Mean Square Layer Normalization. \doi{10.48550/arXiv.1910.07467}
#' @examples
#' x <- matrix(c(3, 0, 4, 2), 2)
#' layer_rms_normalization(x)
#' layer_unit_normalization(x)
#' @export
layer_rms_normalization <- function(object, axis = -1L, epsilon = 1e-06, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "rms_normalization", "RMSNormalization", list(...))
  self$axis <- check_axis(axis, "axis", several = TRUE, call = call)
  self$epsilon <- check_number(epsilon, "epsilon", 0, call = call)
  self$scale_initializer <- as_initializer("ones", "scale_initializer", call)
  self$key <- c(0, 0) # ones are not drawn
  compose_layer(new_layer(self), object, call)
}

layer_build.rms_normalization <- function(self, shapes, call = NULL) {
  axes <- axes_within(self$axis, self, shapes[[1L]], call)
  sizes <- known_sizes(self, shapes[[1L]], axes, call)
  self$scale <- new_weight(self, "scale", sizes, call = call)
  self$sizes <- sizes
  self$axes <- axes
  self$weights <- list(self$scale)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.rms_normalization <- function(self, shapes, call = NULL) {
  check_built_sizes(self, shapes[[1L]], axes_within(self$axis, self, shapes[[1L]], call), call)
}

layer_emit.rms_normalization <- function(self, builder, inputs, arguments) {
  options <- list(axes = self$axes, epsilon = self$epsilon, statistics = "mean_square")
  handle(add_node(builder, "layer_normalization", inputs[[1L]]$value, options, list(self$scale)))
}

layer_config.rms_normalization <- function(self) list(axis = config_axes(self$axis), epsilon = self$epsilon)

layer_property.rms_normalization <- function(self, name) {
  simple_property(self, name, c("axis", "epsilon", "scale"), paste("epsilon", format(self$epsilon)))
}

config_axes <- function(axes) if (length(axes) == 1L) axes else as.list(axes)

#' @rdname layer_rms_normalization
#' @export
layer_unit_normalization <- function(object, axis = -1L, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "unit_normalization", "UnitNormalization", list(...))
  self$axis <- check_axis(axis, "axis", several = TRUE, call = call)
  compose_layer(new_layer(self), object, call)
}

layer_build.unit_normalization <- function(self, shapes, call = NULL) {
  self$axes <- axes_within(self$axis, self, shapes[[1L]], call)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.unit_normalization <- function(self, shapes, call = NULL) {
  axes_within(self$axis, self, shapes[[1L]], call)
  shapes[[1L]]
}

# The square of Keras's 1e-12, below which a length is no divisor.
layer_emit.unit_normalization <- function(self, builder, inputs, arguments) {
  options <- list(axes = self$axes, epsilon = 1e-24, statistics = "sum_square")
  handle(add_node(builder, "layer_normalization", inputs[[1L]]$value, options), inputs[[1L]]$mask)
}

layer_config.unit_normalization <- function(self) list(axis = config_axes(self$axis))
layer_property.unit_normalization <- function(self, name) simple_property(self, name, "axis", "to length 1")
