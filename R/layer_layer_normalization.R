#' Layer normalization
#'
#' Gives every token mean 0 and variance 1 over its features, then scales and shifts them by weights.
#'
#' @section The formula:
#' \deqn{y = \gamma \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}} + \beta}
#' with mean and variance (divided by n) over `axis`. Source: Ba et al. (2016) and the documentation of Keras's `LayerNormalization`.
#' With `rms_scaling`, as in Keras, \eqn{y = \gamma x / \sqrt{\mathrm{var}(x) + \epsilon}}: nothing is subtracted, there is no \eqn{\beta}.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. Weights: gamma, then beta, both of the sizes of `axis`. A mask is passed on.
#'
#' @inheritParams layer_dense
#' @param axis Axes to normalize over, counted from 1 with the batch as 1, negative ones from the end: -1 is the features.
#' @param epsilon A small number that keeps the square root away from 0.
#' @param center,scale Whether there is a beta and a gamma.
#' @param rms_scaling See the formula.
#' @param beta_initializer,gamma_initializer How beta and gamma begin.
#' @param beta_regularizer,gamma_regularizer Penalties on beta and gamma.
#' @param beta_constraint,gamma_constraint What beta and gamma must obey after each training step.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references Ba, J. L., Kiros, J. R. and Hinton, G. E. (2016). Layer Normalization. \doi{10.48550/arXiv.1607.06450}
#' @examples
#' layer_layer_normalization(matrix(c(1, 2, 3, 4, 6, 11), 2))
#' @export
layer_layer_normalization <- function(
    object, axis = -1L, epsilon = 0.001, center = TRUE, scale = TRUE, rms_scaling = FALSE, beta_initializer = "zeros",
    gamma_initializer = "ones", beta_regularizer = NULL, gamma_regularizer = NULL, beta_constraint = NULL, gamma_constraint = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, simple_dots, "`layer_layer_normalization()`", call)
  self <- new_self(c("layer_normalization", "simple_layer"), "LayerNormalization", "layer_normalization", dots, call)
  self$axis <- check_axis(axis, "axis", several = TRUE, call = call)
  self$epsilon <- check_number(epsilon, "epsilon", 0, call = call)
  self$center <- check_flag(center, "center", call = call)
  self$scale <- check_flag(scale, "scale", call = call)
  self$rms_scaling <- check_flag(rms_scaling, "rms_scaling", call = call)
  take_specifications(self, call, list(beta = "zeros", gamma = "ones"), c("beta", "gamma"), c("beta", "gamma"))
  take_seed(self, dots$seed, call)
  compose_layer(new_layer(self), object, call)
}

# Axes from 1 with the batch as 1; they stand in `self` as Keras's numbers, from 0.
check_axis <- function(x, arg, several = FALSE, call = NULL) {
  values <- if (is.list(x) && !is.object(x) && all(lengths(x) == 1L)) unlist(x) else x
  if (!is.numeric(values) || is.factor(values) || length(values) == 0L || (!several && length(values) > 1L) || anyNA(values) ||
    any(values != trunc(values)) || any(values == 0) || any(abs(values) > 1000)) {
    abort_argument(x, arg, if (several) "whole numbers other than 0" else "a whole number other than 0",
      hint = "Axes count from 1, which is the batch; negative ones from the end: -1 is the last.", call = call
    )
  }
  as.integer(ifelse(values > 0, values - 1, values))
}

# Keras's axis numbers within a rank, from 0.
axes_within <- function(axes, self, shape, call = NULL) {
  rank <- length(shape)
  resolved <- ifelse(axes < 0L, axes + rank, axes)
  if (any(resolved < 1L | resolved >= rank) || anyDuplicated(resolved)) {
    abort_attentive("shape", sprintf("`axis` of the layer \"%s\" does not fit what it is applied to: %s.", self$name, format_shape(shape)),
      hint = "Axes count from 1, which is the batch and cannot be meant here; negative ones from the end.", call = call
    )
  }
  sort(as.integer(resolved))
}

layer_build.layer_normalization <- function(self, shapes, call = NULL) {
  axes <- axes_within(self$axis, self, shapes[[1L]], call)
  sizes <- shapes[[1L]][axes + 1L]
  if (anyNA(sizes)) {
    abort_attentive("shape",
      sprintf("The sizes of the axes that the layer \"%s\" normalizes must be known: %s.", self$name, format_shape(shapes[[1L]])), call = call
    )
  }
  gamma <- if (self$scale || self$rms_scaling) new_weight(self, "gamma", sizes, 0L, call = call)
  beta <- if (self$center && !self$rms_scaling) new_weight(self, "beta", sizes, 1L, call = call)
  self$rank <- length(shapes[[1L]])
  self$sizes <- sizes
  self$axes <- axes
  self$gamma <- gamma
  self$beta <- beta
  self$weights <- Filter(Negate(is.null), list(gamma, beta))
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.layer_normalization <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  axes <- axes_within(self$axis, self, shape, call)
  if (self$built && differ(shape[axes + 1L], self$sizes)) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for sizes %s along its axes: %s does not fit.",
        self$name, format_shape(self$sizes), format_shape(shape)), call = call
    )
  }
  shape
}

layer_emit.layer_normalization <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "layer_normalization", inputs[[1L]]$value,
    list(axes = self$axes, epsilon = self$epsilon, statistics = if (self$rms_scaling) "variance" else "mean_variance"),
    list(self$gamma, self$beta)
  ), inputs[[1L]]$mask)
}

layer_config.layer_normalization <- function(self) {
  list(
    axis = if (length(self$axis) == 1L) self$axis else as.list(self$axis), epsilon = self$epsilon, center = self$center, scale = self$scale,
    rms_scaling = self$rms_scaling, beta_initializer = serialize_spec(self$beta_initializer), gamma_initializer = serialize_spec(self$gamma_initializer),
    beta_regularizer = serialize_spec(self$beta_regularizer), gamma_regularizer = serialize_spec(self$gamma_regularizer),
    beta_constraint = serialize_spec(self$beta_constraint), gamma_constraint = serialize_spec(self$gamma_constraint)
  )
}

layer_property.layer_normalization <- function(self, name) {
  simple_property(self, name, c(
    "axis", "epsilon", "center", "scale", "rms_scaling", "gamma", "beta", "beta_initializer", "gamma_initializer", "beta_regularizer",
    "gamma_regularizer", "beta_constraint", "gamma_constraint", "seed"
  ), paste("epsilon", format(self$epsilon)))
}
