#' Noise while training
#'
#' `layer_spatial_dropout_1d()` drops whole features of a sequence, `layer_gaussian_noise()` adds normal numbers, `layer_gaussian_dropout()` multiplies with some. All of them
#' do nothing outside of training.
#'
#' @section The formulas:
#' Spatial dropout is [layer_dropout()] with one decision for all steps of a feature. Gaussian noise is \eqn{y = x + \mathrm{stddev} \cdot z}, Gaussian dropout
#' \eqn{y = x (1 + \sqrt{\mathrm{rate} / (1 - \mathrm{rate})} \cdot z)}, with standard normal z. Sources: Tompson et al. (2014), Srivastava et al. (2014) and the documentation of
#' Keras's `SpatialDropout1D`, `GaussianNoise` and `GaussianDropout`.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in, `[B, T, D]` for `layer_spatial_dropout_1d()`. A mask is passed on.
#'
#' @inheritSection layer_dropout Random numbers
#' @inheritParams layer_dropout
#' @param rate From 0 to 1: the share of the features to drop; for `layer_gaussian_dropout()` below 1.
#' @param stddev Standard deviation of what is added.
#' @param seed A whole number that fixes what is drawn.
#' @param name,dtype As in the `...` of other layers.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references Tompson, J. et al. (2014). Efficient Object Localization Using Convolutional Networks. \doi{10.48550/arXiv.1411.4280}
#' @examples
#' x <- array(1, c(1, 3, 4))
#' layer_spatial_dropout_1d(rate = 0.5, seed = 1)(x, training = TRUE)
#' layer_gaussian_noise(stddev = 0.1, seed = 1)(x, training = TRUE)
#' @export
layer_spatial_dropout_1d <- function(object, rate, seed = NULL, name = NULL, dtype = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- c(list(...), list(name = name, dtype = dtype))
  if (missing(rate)) abort_missing("rate", "the share of the features to drop", call)
  self <- simple_self(call, c("spatial_dropout", "dropout"), "SpatialDropout1D", dots, prefix = "spatial_dropout1d", fun = "spatial_dropout_1d")
  self$rate <- check_number(rate, "rate", 0, 1, call = call)
  self$noise_shape <- c(NA, 1L, NA)
  take_seed(self, seed, call)
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.spatial_dropout <- function(self, shapes, call = NULL) {
  check_rank_of(self, shapes[[1L]], 3L, "sequences of three dimensions (batch, tokens, features)", call)
  shapes[[1L]]
}

layer_config.spatial_dropout <- function(self) list(rate = self$rate, seed = self$seed)
layer_property.spatial_dropout <- function(self, name) simple_property(self, name, c("rate", "seed"), paste("rate", format(self$rate)))

#' @rdname layer_spatial_dropout_1d
#' @export
layer_gaussian_noise <- function(object, stddev, seed = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(stddev)) abort_missing("stddev", "the standard deviation of what is added", call)
  self <- simple_self(call, c("gaussian_noise", "noise"), "GaussianNoise", list(...))
  self$stddev <- self$deviation <- check_number(stddev, "stddev", 0, call = call)
  self$operation <- "add"
  take_seed(self, seed, call)
  compose_layer(new_layer(self), object, call)
}

layer_config.gaussian_noise <- function(self) list(stddev = self$stddev, seed = self$seed)
layer_property.gaussian_noise <- function(self, name) simple_property(self, name, c("stddev", "seed"), paste("deviation", format(self$stddev)))

#' @rdname layer_spatial_dropout_1d
#' @export
layer_gaussian_dropout <- function(object, rate, seed = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(rate)) abort_missing("rate", "a number from 0 to below 1", call)
  self <- simple_self(call, c("gaussian_dropout", "noise"), "GaussianDropout", list(...))
  self$rate <- check_number(rate, "rate", 0, 1, call = call)
  if (self$rate == 1) abort_argument(rate, "rate", "a number from 0 to below 1", call = call)
  self$deviation <- sqrt(self$rate / (1 - self$rate))
  self$operation <- "multiply"
  take_seed(self, seed, call)
  compose_layer(new_layer(self), object, call)
}

layer_config.gaussian_dropout <- function(self) list(rate = self$rate, seed = self$seed)
layer_property.gaussian_dropout <- function(self, name) simple_property(self, name, c("rate", "seed"), paste("rate", format(self$rate)))

layer_output_shape.noise <- function(self, shapes, call = NULL) shapes[[1L]]

layer_emit.noise <- function(self, builder, inputs, arguments) {
  if (self$deviation == 0 || !may_train(builder, arguments)) return(inputs[[1L]])
  options <- list(operation = self$operation, stddev = self$deviation, key = self$key, use = count_use(builder, self))
  handle(add_node(builder, "noise", inputs[[1L]]$value, options), inputs[[1L]]$mask)
}
