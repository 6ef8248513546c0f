#' Pooling in windows
#'
#' The mean or the largest number of every feature in windows that move over a sequence.
#'
#' @section Shapes:
#' `[B, T, D]` becomes `[B, T', D]` (`[B, D, T]` with `data_format = "channels_first"`). Without `strides` the windows do not overlap. With `padding = "same"` T' is T divided by
#' `strides`, rounded up; steps outside of the sequence count for nothing, not for the mean either. Masks end here. Source: the documentation of Keras's `AveragePooling1D` and
#' `MaxPooling1D`.
#'
#' @inheritParams layer_conv_1d
#' @param pool_size Length of a window.
#' @param strides How far the window moves from step to step, by default its length.
#' @param padding `"valid"` or `"same"`.
#' @param name The name of the layer.
#' @param ... By name: `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(1:12, c(1, 6, 2))
#' layer_average_pooling_1d(x, pool_size = 2)
#' layer_max_pooling_1d(x, pool_size = 3, strides = 1)
#' @export
layer_average_pooling_1d <- function(object, pool_size, strides = NULL, padding = "valid", data_format = NULL, name = NULL, ...) {
  call <- environment()
  if (missing(pool_size)) abort_missing("pool_size", "the length of a window", call)
  window_pooling_layer(call, "average", "AveragePooling1D", c(list(...), list(name = name)))
}

#' @rdname layer_average_pooling_1d
#' @export
layer_max_pooling_1d <- function(object, pool_size = 2L, strides = NULL, padding = "valid", data_format = NULL, name = NULL, ...) {
  window_pooling_layer(environment(), "max", "MaxPooling1D", c(list(...), list(name = name)))
}

window_pooling_layer <- function(call, operation, class_name, dots) {
  object <- first_argument(call)
  self <- simple_self(call, "window_pooling", class_name, dots,
    prefix = paste0(operation, "_pooling1d"), fun = paste0(operation, "_pooling_1d")
  )
  self$operation <- operation
  self$pool_size <- check_single(call$pool_size, "pool_size", call)
  self$strides <- if (is.null(call$strides)) self$pool_size else check_single(call$strides, "strides", call)
  self$padding <- check_choice(call$padding, "padding", c("valid", "same"), call = call)
  self$data_format <- check_data_format(call$data_format, call)
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.window_pooling <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 3L, "sequences of three dimensions (batch, tokens, features)", call)
  time <- time_axis(self) + 1L
  replace(shape, time, window_steps(self, shape[[time]], self$pool_size, self$strides, call = call))
}

layer_emit.window_pooling <- function(self, builder, inputs, arguments) {
  handle(channels_last(self, builder, inputs[[1L]]$value, function(value) {
    add_node(builder, "window_pooling_1d", value,
      list(operation = self$operation, size = self$pool_size, stride = self$strides, padding = self$padding)
    )
  }))
}

layer_config.window_pooling <- function(self) {
  list(pool_size = list(self$pool_size), padding = self$padding, strides = list(self$strides), data_format = self$data_format)
}

layer_property.window_pooling <- function(self, name) {
  simple_property(self, name, c("pool_size", "strides", "padding", "data_format"), sprintf("windows of %d", self$pool_size))
}
