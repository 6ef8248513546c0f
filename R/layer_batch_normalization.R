#' Batch normalization
#'
#' Gives every channel mean 0 and variance 1 over the batch, then scales and shifts it by weights.
#'
#' @section The formula:
#' \deqn{y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta}
#' In training \eqn{\mu} and \eqn{\sigma^2} (divided by n) are those of the batch over all axes but `axis`, and the moving ones follow:
#' \eqn{m \leftarrow \mathrm{momentum} \cdot m + (1 - \mathrm{momentum}) \mu}, the variance in the same way. Otherwise the moving ones are used. Source: Ioffe and Szegedy (2015)
#' and the documentation of Keras's `BatchNormalization`.
#'
#' With a mask only the positions that it lets through count for the statistics, as in Keras, which adds 1e-7 to their number; all positions are normalized.
#'
#' @section Training:
#' The moving statistics are weights that no gradient changes. A step of [fit()] writes them together with the optimizer's update: a step that is not done leaves them as they are.
#' `layer(x, training = TRUE)` and `model(x, training = TRUE)` write them too. A layer that is frozen (`layer$trainable <- FALSE`) is in inference whatever the call says: it uses the
#' moving statistics and leaves them alone.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. Weights, all of the size of `axis`: gamma, beta, moving mean, moving variance. A mask is passed on.
#'
#' @inheritParams layer_layer_normalization
#' @param axis The axis of the channels, counted from 1 with the batch as 1, a negative one from the end.
#' @param momentum How slowly the moving statistics follow.
#' @param moving_mean_initializer,moving_variance_initializer How the moving statistics begin.
#' @param synchronized Accepted: there are no replicas to synchronize.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references Ioffe, S. and Szegedy, C. (2015). Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift. \doi{10.48550/arXiv.1502.03167}
#' @examples
#' layer <- layer_batch_normalization(momentum = 0.9)
#' x <- matrix(rnorm(20), 10)
#' layer(x, training = TRUE)
#' get_weights(layer)[3:4]
#' @export
layer_batch_normalization <- function(
    object, axis = -1L, momentum = 0.99, epsilon = 0.001, center = TRUE, scale = TRUE, beta_initializer = "zeros", gamma_initializer = "ones",
    moving_mean_initializer = "zeros", moving_variance_initializer = "ones", beta_regularizer = NULL, gamma_regularizer = NULL,
    beta_constraint = NULL, gamma_constraint = NULL, synchronized = FALSE, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "batch_normalization", "BatchNormalization", list(...), simple_dots)
  self$axis <- check_axis(axis, "axis", call = call)
  self$momentum <- check_number(momentum, "momentum", 0, 1, call = call)
  self$epsilon <- check_number(epsilon, "epsilon", 0, call = call)
  self$center <- check_flag(center, "center", call = call)
  self$scale <- check_flag(scale, "scale", call = call)
  self$synchronized <- check_flag(synchronized, "synchronized", call = call)
  take_specifications(
    self, call, list(beta = "zeros", gamma = "ones", moving_mean = "zeros", moving_variance = "ones"), c("beta", "gamma"), c("beta", "gamma")
  )
  take_seed(self, list(...)$seed, call)
  compose_layer(new_layer(self), object, call)
}

# A new `self` of a simple layer, its dots checked. The prefix of its names is `kind` unless Keras's differs.
simple_self <- function(call, kind, class_name, dots, known = common_arguments, prefix = kind[[1L]], fun = prefix) {
  check_dots_names(dots, known, sprintf("`layer_%s()`", fun), call)
  new_self(c(kind, "simple_layer"), class_name, prefix, dots, call)
}

layer_build.batch_normalization <- function(self, shapes, call = NULL) {
  axis <- axes_within(self$axis, self, shapes[[1L]], call)
  size <- known_sizes(self, shapes[[1L]], axis, call)
  gamma <- if (self$scale) new_weight(self, "gamma", size, 0L, call = call)
  beta <- if (self$center) new_weight(self, "beta", size, 1L, call = call)
  mean <- new_state(self, "moving_mean", size, 2L, call)
  variance <- new_state(self, "moving_variance", size, 3L, call)
  self$sizes <- size
  self$channel_axis <- axis
  self$gamma <- gamma
  self$beta <- beta
  self$moving_mean <- mean
  self$moving_variance <- variance
  self$weights <- Filter(Negate(is.null), list(gamma, beta, mean, variance))
  self$built <- TRUE
  invisible(self)
}

# A weight that no gradient changes.
new_state <- function(self, name, shape, stream, call = NULL) {
  state <- new_weight(self, name, shape, stream, call = call)
  state[["trainable"]] <- FALSE
  state
}

# The sizes of axes (Keras's numbers), which weights are made for.
known_sizes <- function(self, shape, axes, call = NULL) {
  sizes <- shape[axes + 1L]
  if (anyNA(sizes)) {
    abort_attentive("shape",
      sprintf("The sizes of the axes that the layer \"%s\" has weights for must be known: %s.", self$name, format_shape(shape)), call = call
    )
  }
  sizes
}

layer_output_shape.batch_normalization <- function(self, shapes, call = NULL) {
  check_built_sizes(self, shapes[[1L]], axes_within(self$axis, self, shapes[[1L]], call), call)
}

check_built_sizes <- function(self, shape, axes, call = NULL) {
  if (self$built && differ(shape[axes + 1L], self$sizes)) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for sizes %s along its axes: %s does not fit.", self$name, format_shape(self$sizes), format_shape(shape)),
      call = call
    )
  }
  shape
}

layer_emit.batch_normalization <- function(self, builder, inputs, arguments) {
  watch_trainable(builder, self)
  handle(add_node(builder, "batch_normalization", inputs[[1L]]$value,
    list(
      axis = self$channel_axis, epsilon = self$epsilon, momentum = self$momentum,
      inference = !self$trainable || !may_train(builder, arguments)
    ), list(self$gamma, self$beta, self$moving_mean, self$moving_variance), masks = inputs[[1L]]$mask
  ), inputs[[1L]]$mask)
}

layer_config.batch_normalization <- function(self) {
  list(
    axis = self$axis, momentum = self$momentum, epsilon = self$epsilon, center = self$center, scale = self$scale,
    beta_initializer = serialize_spec(self$beta_initializer), gamma_initializer = serialize_spec(self$gamma_initializer),
    moving_mean_initializer = serialize_spec(self$moving_mean_initializer),
    moving_variance_initializer = serialize_spec(self$moving_variance_initializer),
    beta_regularizer = serialize_spec(self$beta_regularizer), gamma_regularizer = serialize_spec(self$gamma_regularizer),
    beta_constraint = serialize_spec(self$beta_constraint), gamma_constraint = serialize_spec(self$gamma_constraint),
    synchronized = self$synchronized
  )
}

layer_property.batch_normalization <- function(self, name) {
  simple_property(self, name, c(
    "axis", "momentum", "epsilon", "center", "scale", "gamma", "beta", "moving_mean", "moving_variance", "beta_initializer",
    "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer", "beta_regularizer", "gamma_regularizer",
    "beta_constraint", "gamma_constraint", "synchronized", "seed"
  ), sprintf("momentum %s, epsilon %s", format(self$momentum), format(self$epsilon)))
}
