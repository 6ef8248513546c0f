#' Convolution over a sequence
#'
#' Every step of the result is a linear function of the steps in a window: what `layer_conv_1d()` of keras3 does.
#'
#' @section The formula:
#' \deqn{y_t = \mathrm{activation}\Big(\sum_{k=0}^{K-1} x_{t s + k d - p} W_k + b\Big)}
#' with strides s, dilation rate d, and steps outside of x counted as 0. `padding` decides p: `"valid"` 0, and no window leaves x; `"same"` about half of the window, so that without
#' strides as many steps come out as go in; `"causal"` all of it, so that no step sees a later one. With `groups` the channels and the filters are cut into as many groups, each
#' convolved by itself. Source: the documentation of Keras's `Conv1D`.
#'
#' @section Shapes:
#' | what | dim |
#' |---|---|
#' | x | `[B, T, C]`, or `[B, C, T]` with `data_format = "channels_first"` |
#' | y | `[B, T', filters]`, or `[B, filters, T']`; T' is T divided by s and rounded up for `"same"`, else what fits |
#' | kernel, bias | `[kernel_size, C / groups, filters]`, `[filters]` |
#'
#' Masks end here, as in Keras.
#'
#' @inheritParams layer_dense
#' @param filters Number of features that come out.
#' @param kernel_size Length of the window.
#' @param strides How far the window moves from step to step.
#' @param padding `"valid"`, `"same"` or `"causal"`.
#' @param data_format `"channels_last"` or `"channels_first"`.
#' @param dilation_rate Distance between the steps of a window; not together with strides.
#' @param groups Number of groups.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(rnorm(30), c(2, 5, 3))
#' layer <- layer_conv_1d(filters = 4, kernel_size = 3, padding = "causal")
#' dim(layer(x))
#' lapply(get_weights(layer), dim)
#' @export
layer_conv_1d <- function(
    object, filters, kernel_size, strides = 1L, padding = "valid", data_format = NULL, dilation_rate = 1L, groups = 1L, activation = NULL,
    use_bias = TRUE, kernel_initializer = "glorot_uniform", bias_initializer = "zeros", kernel_regularizer = NULL, bias_regularizer = NULL,
    activity_regularizer = NULL, kernel_constraint = NULL, bias_constraint = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(filters)) abort_missing("filters", "the number of features that come out", call)
  if (missing(kernel_size)) abort_missing("kernel_size", "the length of the window", call)
  self <- simple_self(call, "conv", "Conv1D", list(...), simple_dots, prefix = "conv1d", fun = "conv_1d")
  self$filters <- check_whole(filters, "filters", call = call)
  for (arg in c("kernel_size", "strides", "dilation_rate")) self[[arg]] <- check_single(call[[arg]], arg, call)
  if (self$strides > 1L && self$dilation_rate > 1L) {
    abort_argument(dilation_rate, "dilation_rate", "1 where `strides` is not", call = call)
  }
  self$padding <- check_choice(padding, "padding", c("valid", "same", "causal"), call = call)
  self$data_format <- check_data_format(data_format, call)
  self$groups <- check_whole(groups, "groups", call = call)
  if (self$filters %% self$groups != 0L) abort_argument(filters, "filters", sprintf("a multiple of `groups`, %d", self$groups), call = call)
  self$activation <- as_activation(activation, "activation", call)
  self$use_bias <- check_flag(use_bias, "use_bias", call = call)
  take_specifications(self, call, list(kernel = "glorot_uniform", bias = "zeros"), c("kernel", "bias"), c("kernel", "bias"))
  check_activity_regularizer(self, call)
  take_seed(self, list(...)$seed, call)
  compose_layer(new_layer(self), object, call)
}

# A whole number, or a vector or list of one, as Keras writes windows of one dimension.
check_single <- function(x, arg, call = NULL, min = 1L) {
  if ((is.list(x) || is.numeric(x)) && !is.object(x) && length(x) == 1L) return(check_whole(x[[1L]], arg, min, call = call))
  abort_argument(x, arg, whole_number(min), call = call)
}

layer_build.conv <- function(self, shapes, call = NULL) {
  made <- layer_output_shape(self, shapes, call)
  channels <- shapes[[1L]][[channel_axis(self)]]
  kernel <- new_weight(self, "kernel", c(self$kernel_size, channels %/% self$groups, self$filters), 0L, call = call)
  bias <- if (self$use_bias) new_weight(self, "bias", self$filters, 1L, call = call)
  self$activation <- trace_activation(self$activation, made, self$dtype, call)
  self$features <- channels
  self$kernel <- kernel
  self$bias <- bias
  self$weights <- Filter(Negate(is.null), list(kernel, bias))
  self$built <- TRUE
  invisible(self)
}

channel_axis <- function(self) if (self$data_format == "channels_last") 3L else 2L

layer_output_shape.conv <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  check_rank_of(self, shape, 3L, "sequences of three dimensions (batch, tokens, features)", call)
  channels <- shape[[channel_axis(self)]]
  known_features(self, c(shape[[1L]], channels), call)
  if (channels %% self$groups != 0L) {
    abort_attentive("shape", sprintf("The %d channels that the layer \"%s\" is applied to are no multiple of `groups`, %d.",
      channels, self$name, self$groups), call = call)
  }
  shape[[channel_axis(self)]] <- self$filters
  shape[[time_axis(self) + 1L]] <- window_steps(self, shape[[time_axis(self) + 1L]], self$kernel_size, self$strides, self$dilation_rate, call)
  activation_shape(self$activation, shape, self$dtype, call)
}

# How many steps come out of a layer with windows.
window_steps <- function(self, steps, size, strides, dilation = 1L, call = NULL) {
  if (is.na(steps)) return(NA_integer_)
  if (self$padding != "valid") return(as.integer(ceiling(steps / strides)))
  span <- (size - 1) * dilation + 1
  if (steps < span) {
    abort_attentive("shape", sprintf("The layer \"%s\" needs sequences of at least %d steps, not %d.", self$name, as.integer(span), steps), call = call)
  }
  as.integer((steps - span) %/% strides + 1)
}

layer_emit.conv <- function(self, builder, inputs, arguments) {
  value <- channels_last(self, builder, inputs[[1L]]$value, function(value) {
    add_node(builder, "convolution_1d", value, list(
      filters = self$filters, groups = self$groups, size = self$kernel_size, stride = self$strides, dilation = self$dilation_rate,
      padding = self$padding
    ), list(self$kernel, self$bias))
  })
  emit_activity(self, builder, emit_activation(builder, self$activation, handle(value)))
}

# The engine's sequences have their channels last.
channels_last <- function(self, builder, value, emit) {
  if (self$data_format == "channels_last") return(emit(value))
  turned <- function(value) add_node(builder, "transpose", value, list(order = c(0L, 2L, 1L)))
  turned(emit(turned(value)))
}

layer_config.conv <- function(self) {
  list(
    filters = self$filters, kernel_size = list(self$kernel_size), strides = list(self$strides), padding = self$padding,
    data_format = self$data_format, dilation_rate = list(self$dilation_rate), groups = self$groups,
    activation = activation_config(self$activation), use_bias = self$use_bias, kernel_initializer = serialize_spec(self$kernel_initializer),
    bias_initializer = serialize_spec(self$bias_initializer), kernel_regularizer = serialize_spec(self$kernel_regularizer),
    bias_regularizer = serialize_spec(self$bias_regularizer), activity_regularizer = serialize_spec(self$activity_regularizer),
    kernel_constraint = serialize_spec(self$kernel_constraint), bias_constraint = serialize_spec(self$bias_constraint)
  )
}

layer_property.conv <- function(self, name) {
  if (identical(name, "activation")) return(activation_config(self$activation))
  simple_property(self, name, c(
    "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation", "use_bias", "kernel", "bias",
    "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint",
    "bias_constraint", "seed"
  ), sprintf("%d filters of %d%s", self$filters, self$kernel_size, activation_label(self$activation)))
}
