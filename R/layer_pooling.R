#' One vector for a whole sequence
#'
#' `layer_global_average_pooling_1d()` gives the mean over the tokens, `layer_global_max_pooling_1d()` the largest number of every feature.
#'
#' @section Shapes:
#' | what | dim |
#' |---|---|
#' | x | `[B, T, D]`, or `[B, D, T]` with `data_format = "channels_first"` |
#' | output | `[B, D]`; with `keepdims` the axis of time stays, of size 1 |
#'
#' The mean is taken over the tokens that the mask of x lets through; the maximum over all. Masks end here. Source: the documentation of
#' Keras's `GlobalAveragePooling1D` and `GlobalMaxPooling1D`.
#'
#' @section Differences from Keras:
#' The mean of a row that the mask hides wholly is 0; Keras divides 0 by 0 there, which is NaN.
#'
#' @inheritParams layer_dense
#' @param data_format `"channels_last"` or `"channels_first"`.
#' @param keepdims Whether the axis of time stays.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_shape` for inputs that have not three dimensions; else see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(1:12, c(2, 3, 2))
#' layer <- layer_global_average_pooling_1d()
#' layer(x)
#' layer(x, mask = rbind(c(TRUE, TRUE, FALSE), TRUE))
#' layer_global_max_pooling_1d(x)
#' @export
layer_global_average_pooling_1d <- function(object, data_format = NULL, keepdims = FALSE, ...) {
  pooling_layer(environment(), "average", "GlobalAveragePooling1D", list(...))
}

#' @rdname layer_global_average_pooling_1d
#' @export
layer_global_max_pooling_1d <- function(object, data_format = NULL, keepdims = FALSE, ...) {
  pooling_layer(environment(), "max", "GlobalMaxPooling1D", list(...))
}

pooling_layer <- function(call, kind, class_name, dots) {
  object <- first_argument(call)
  name <- sprintf("global_%s_pooling1d", kind)
  check_dots_names(dots, common_arguments, sprintf("`layer_global_%s_pooling_1d()`", kind), call)
  self <- new_self(c("pooling", "simple_layer"), class_name, name, dots, call)
  self$op <- sprintf("global_%s_pooling_1d", kind)
  self$data_format <- check_data_format(call$data_format, call)
  self$keepdims <- check_flag(call$keepdims, "keepdims", call = call)
  compose_layer(new_layer(self), object, call)
}

time_axis <- function(self) if (self$data_format == "channels_last") 1L else 2L

layer_output_shape.pooling <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 3L, "sequences of three dimensions (batch, tokens, features)", call)
  time <- time_axis(self) + 1L
  if (self$keepdims) replace(shape, time, 1L) else shape[-time]
}

layer_emit.pooling <- function(self, builder, inputs, arguments) {
  masked <- self$op == "global_average_pooling_1d"
  handle(add_node(builder, self$op, inputs[[1L]]$value, list(axis = time_axis(self), keepdims = self$keepdims),
    masks = if (masked) inputs[[1L]]$mask else integer()
  ))
}

layer_compute_mask.pooling <- function(self, inputs, previous_mask) NULL

layer_config.pooling <- function(self) list(data_format = self$data_format, keepdims = self$keepdims)
layer_property.pooling <- function(self, name) simple_property(self, name, c("data_format", "keepdims"), self$data_format)
