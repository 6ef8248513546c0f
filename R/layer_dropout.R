#' Dropout
#'
#' Sets a share of the numbers to 0 while training and scales the others up, so that their mean stays; does nothing otherwise.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. A mask is passed on. Source: Srivastava et al. (2014) and the documentation of Keras's `Dropout`.
#'
#' @section Random numbers:
#' The layer draws one key from R's stream when it is made, or takes `seed`; which numbers are dropped depends on that key, on how many calls in training there were
#' and on the place in the array. [set.seed()] before the layer is made repeats everything.
#'
#' @inheritParams layer_dense
#' @param rate Share of the numbers to drop, from 0 to 1.
#' @param noise_shape Sizes with the batch first: 1 where one decision holds for the whole axis, `NA` or the axis's own size elsewhere.
#' @param seed A whole number that fixes what is dropped.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @references Srivastava, N. et al. (2014). Dropout: A Simple Way to Prevent Neural Networks from Overfitting. Journal of Machine Learning Research 15.
#' @examples
#' layer <- layer_dropout(rate = 0.5, seed = 1)
#' layer(matrix(1, 2, 6), training = TRUE)
#' layer(matrix(1, 2, 6))
#' @export
layer_dropout <- function(object, rate, noise_shape = NULL, seed = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, common_arguments, "`layer_dropout()`", call)
  if (missing(rate)) abort_missing("rate", "the share of the numbers to drop", call)
  self <- new_self(c("dropout", "simple_layer"), "Dropout", "dropout", dots, call)
  self$rate <- check_number(rate, "rate", 0, 1, call = call)
  self$noise_shape <- if (!is.null(noise_shape)) as_shape(noise_shape, "noise_shape", call)
  take_seed(self, seed, call)
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.dropout <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  if (is.null(self$noise_shape)) return(shape)
  fits <- length(self$noise_shape) == length(shape) && all(is.na(self$noise_shape) | self$noise_shape == 1L | !differ_each(self$noise_shape, shape))
  if (!fits) {
    abort_attentive("shape", sprintf("`noise_shape` %s of the layer \"%s\" must have 1 or the size of the axis everywhere: %s.",
      format_shape(self$noise_shape), self$name, format_shape(shape)), call = call)
  }
  shape
}

differ_each <- function(a, b) !is.na(a) & !is.na(b) & a != b

layer_emit.dropout <- function(self, builder, inputs, arguments) {
  if (self$rate == 0 || !may_train(builder, arguments)) return(inputs[[1L]])
  options <- list(rate = self$rate, key = self$key, use = count_use(builder, self))
  if (!is.null(self$noise_shape)) options$noise_shape <- ifelse(is.na(self$noise_shape), -1L, self$noise_shape)
  handle(add_node(builder, "dropout", inputs[[1L]]$value, options), inputs[[1L]]$mask)
}

layer_config.dropout <- function(self) {
  list(rate = self$rate, seed = self$seed, noise_shape = if (!is.null(self$noise_shape)) as_config_shape(self$noise_shape))
}

layer_property.dropout <- function(self, name) simple_property(self, name, c("rate", "noise_shape", "seed"), paste("rate", format(self$rate)))
