#' Move, repeat, add or cut steps
#'
#' `layer_permute()` brings axes into another order, `layer_repeat_vector()` makes a sequence of one vector, `layer_upsampling_1d()` repeats every step,
#' `layer_zero_padding_1d()` adds steps of zeros and `layer_cropping_1d()` cuts steps off.
#'
#' @section Shapes:
#' | layer | from | to |
#' |---|---|---|
#' | `layer_permute()` | `[B, d1, ..., dn]` | `[B, d_dims[1], ..., d_dims[n]]` |
#' | `layer_repeat_vector()` | `[B, D]` | `[B, n, D]` |
#' | `layer_upsampling_1d()` | `[B, T, D]` | `[B, size * T, D]` |
#' | `layer_zero_padding_1d()` | `[B, T, D]` | `[B, left + T + right, D]` |
#' | `layer_cropping_1d()` | `[B, T, D]` | `[B, T - left - right, D]` |
#'
#' Masks end here, as in Keras. Source: the documentation of Keras's `Permute`, `RepeatVector`, `UpSampling1D`, `ZeroPadding1D` and `Cropping1D`.
#'
#' @inheritParams layer_dense
#' @param dims The axes in their new order, counted from 1 without the batch: `c(2, 1)` exchanges the two axes after the batch.
#' @param n,size How often.
#' @param padding,cropping One number for both ends, or two: left and right.
#' @param data_format `"channels_last"` or `"channels_first"`, which has the steps on the last axis.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(1:6, c(1, 2, 3))
#' layer_permute(x, c(2, 1))
#' layer_repeat_vector(matrix(1:3, 1), 2)
#' dim(layer_zero_padding_1d(x, c(1, 2)))
#' layer_cropping_1d(x, c(0, 1))
#' @export
layer_permute <- function(object, dims, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(dims)) abort_missing("dims", "the axes in their new order, without the batch", call)
  self <- simple_self(call, "permute", "Permute", list(...))
  self$dims <- check_wholes(dims, "dims", call = call)
  if (!identical(sort(self$dims), seq_along(self$dims))) {
    abort_argument(dims, "dims", "every axis but the batch once, counted from 1", call = call)
  }
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.permute <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, length(self$dims) + 1L, sprintf("inputs of %d dimensions", length(self$dims) + 1L), call)
  shape[c(1L, self$dims + 1L)]
}

layer_emit.permute <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "transpose", inputs[[1L]]$value, list(order = c(0L, self$dims))))
}

layer_config.permute <- function(self) list(dims = as.list(self$dims))
layer_property.permute <- function(self, name) simple_property(self, name, "dims", paste(self$dims, collapse = ", "))

#' @rdname layer_permute
#' @export
layer_repeat_vector <- function(object, n, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(n)) abort_missing("n", "how often the vector is repeated", call)
  self <- simple_self(call, "repeat_vector", "RepeatVector", list(...))
  self$n <- check_whole(n, "n", call = call)
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.repeat_vector <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 2L, "one vector for each element of the batch", call)
  c(shape[[1L]], self$n, shape[[2L]])
}

layer_emit.repeat_vector <- function(self, builder, inputs, arguments) {
  handle(emit_repeated(builder, add_node(builder, "reshape", inputs[[1L]]$value, list(target = c(1L, -1L))), self$n))
}

# [..., 1, D] times ones [n, 1]: [..., n, D]
emit_repeated <- function(builder, value, n) {
  ones <- add_node(builder, "constant", integer(), list(values = rep(1, n), dims = c(n, 1L)))
  add_node(builder, "binary", c(value, ones), list(operation = "multiply"))
}

layer_config.repeat_vector <- function(self) list(n = self$n)
layer_property.repeat_vector <- function(self, name) simple_property(self, name, "n", paste(self$n, "times"))

#' @rdname layer_permute
#' @export
layer_upsampling_1d <- function(object, size = 2L, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, "up_sampling", "UpSampling1D", list(...), prefix = "up_sampling1d", fun = "up_sampling_1d")
  self$size <- check_single(size, "size", call)
  compose_layer(new_layer(self), object, call)
}

layer_build.up_sampling <- function(self, shapes, call = NULL) {
  layer_output_shape(self, shapes, call)
  self$features <- shapes[[1L]][[3L]]
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.up_sampling <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 3L, "sequences of three dimensions (batch, tokens, features)", call)
  known_features(self, shape, call)
  shape[[2L]] <- shape[[2L]] * self$size
  shape
}

layer_emit.up_sampling <- function(self, builder, inputs, arguments) {
  value <- add_node(builder, "reshape", inputs[[1L]]$value, list(target = c(-1L, 1L, self$features)))
  handle(add_node(builder, "reshape", emit_repeated(builder, value, self$size), list(target = c(-1L, self$features))))
}

layer_config.up_sampling <- function(self) list(size = self$size)
layer_property.up_sampling <- function(self, name) simple_property(self, name, "size", paste("by", self$size))

#' @rdname layer_permute
#' @export
layer_zero_padding_1d <- function(object, padding = 1L, data_format = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, c("zero_padding", "step_edges"), "ZeroPadding1D", list(...), prefix = "zero_padding1d", fun = "zero_padding_1d")
  self$padding <- self$edges <- check_edges(padding, "padding", call)
  self$data_format <- check_data_format(data_format, call)
  compose_layer(new_layer(self), object, call)
}

layer_config.zero_padding <- function(self) list(padding = as.list(self$padding), data_format = self$data_format)
layer_property.zero_padding <- function(self, name) {
  simple_property(self, name, c("padding", "data_format"), paste(self$padding, collapse = " and "))
}

#' @rdname layer_permute
#' @export
layer_cropping_1d <- function(object, cropping = c(1L, 1L), ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, c("cropping", "step_edges"), "Cropping1D", list(...), prefix = "cropping1d", fun = "cropping_1d")
  self$cropping <- check_edges(cropping, "cropping", call)
  self$edges <- -self$cropping
  self$data_format <- "channels_last"
  compose_layer(new_layer(self), object, call)
}

layer_config.cropping <- function(self) list(cropping = as.list(self$cropping))
layer_property.cropping <- function(self, name) simple_property(self, name, "cropping", paste(self$cropping, collapse = " and "))

# Left and right: one number for both, or two.
check_edges <- function(x, arg, call = NULL) {
  edges <- check_wholes(x, arg, min = 0L, call = call)
  if (length(edges) > 2L) abort_argument(x, arg, "one number, or two for left and right", call = call)
  rep(edges, length.out = 2L)
}

layer_output_shape.step_edges <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 3L, "sequences of three dimensions (batch, tokens, features)", call)
  time <- time_axis(self) + 1L
  made <- shape[[time]] + sum(self$edges)
  if (!is.na(made) && made <= 0L && any(self$edges < 0L)) {
    abort_attentive("shape", sprintf("The layer \"%s\" cuts %d steps off and leaves none of %s.", self$name, -sum(self$edges), format_shape(shape)), call = call)
  }
  replace(shape, time, made)
}

layer_emit.step_edges <- function(self, builder, inputs, arguments) {
  handle(channels_last(self, builder, inputs[[1L]]$value, function(value) {
    add_node(builder, "pad_steps", value, list(before = self$edges[[1L]], after = self$edges[[2L]]))
  }))
}
