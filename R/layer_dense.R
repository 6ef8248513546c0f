#' A dense layer
#'
#' Multiplies the last axis with a matrix, adds a bias and applies an activation: what `layer_dense()` of keras3 does.
#'
#' @section The formula:
#' \deqn{y = \mathrm{activation}(x W + b)}
#' Source: the documentation of Keras's `Dense`.
#'
#' @section Shapes:
#' | what | dim |
#' |---|---|
#' | x | `[B, ..., D]`: the batch, any axes between, features |
#' | y | `[B, ..., units]`; `units / 2` with the activation `"glu"`, which halves them |
#' | kernel, bias | `[D, units]`, `[units]` |
#'
#' The kernel is created when the layer first sees D features; from then on it takes these only. A mask of x is passed on.
#'
#' @param object What to apply the layer to. Missing or `NULL`: nothing, the layer itself is returned. A symbolic tensor: the result is one too.
#'   A sequential model: the layer is appended. An array: the result of the layer on it.
#' @param units Number of features that come out.
#' @param activation Name of an activation, see [layer_activation()], or an R function of a symbolic tensor; by default none.
#' @param use_bias Whether there is a bias.
#' @param kernel_initializer,bias_initializer How kernel and bias begin.
#' @param kernel_regularizer,bias_regularizer Penalties on kernel and bias.
#' @param activity_regularizer Penalty on what comes out, divided by the batch size: l1, l2 or both.
#' @param kernel_constraint,bias_constraint What kernel and bias must obey after each training step.
#' @param ... By name: `name`; `trainable`; `dtype`, "float32" or "float64", by default [config_floatx()]; `input_shape`, the shape of one element where the layer is the first
#'   of a sequential model; `seed`, a whole number that fixes what the layer draws; `autocast`, accepted.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument`, `_name` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' x <- matrix(rnorm(6), 2)
#' layer <- layer_dense(units = 4, activation = "relu")
#' layer(x)
#' lapply(get_weights(layer), dim)
#' @export
layer_dense <- function(
    object, units, activation = NULL, use_bias = TRUE, kernel_initializer = "glorot_uniform", bias_initializer = "zeros",
    kernel_regularizer = NULL, bias_regularizer = NULL, activity_regularizer = NULL, kernel_constraint = NULL, bias_constraint = NULL,
    ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, simple_dots, "`layer_dense()`", call)
  if (missing(units)) {
    abort_missing("units", "the number of features that come out", call,
      if (is.numeric(object) && length(object) == 1L) "The first argument is `object`: name the other, as in `layer_dense(units = 3)`."
    )
  }
  self <- new_self(c("dense", "simple_layer"), "Dense", "dense", dots, call)
  self$units <- check_whole(units, "units", call = call)
  self$activation <- as_activation(activation, "activation", call)
  self$use_bias <- check_flag(use_bias, "use_bias", call = call)
  take_specifications(
    self, call, list(kernel = "glorot_uniform", bias = "zeros"), c("kernel", "bias"), c("kernel", "bias")
  )
  check_activity_regularizer(self, call)
  take_seed(self, dots$seed, call)
  compose_layer(new_layer(self), object, call)
}

# What simple layers take in `...`.
simple_dots <- c(common_arguments, "seed")

layer_build.dense <- function(self, shapes, call = NULL) {
  features <- known_features(self, shapes[[1L]], call)
  kernel <- new_weight(self, "kernel", c(features, self$units), 0L, 1L, 2L, call = call)
  bias <- if (self$use_bias) new_weight(self, "bias", self$units, 1L, call = call)
  self$activation <- trace_activation(self$activation, replace_last(shapes[[1L]], self$units), self$dtype, call)
  self$features <- features
  self$kernel <- kernel
  self$bias <- bias
  self$weights <- Filter(Negate(is.null), list(kernel, bias))
  self$built <- TRUE
  invisible(self)
}

replace_last <- function(shape, size) c(shape[-length(shape)], size)

layer_output_shape.dense <- function(self, shapes, call = NULL) {
  known_features(self, shapes[[1L]], call)
  activation_shape(self$activation, replace_last(shapes[[1L]], self$units), self$dtype, call)
}

# The engine's node has the activations that keep the shape.
layer_emit.dense <- function(self, builder, inputs, arguments) {
  apart <- is.null(self$activation$name) || self$activation$name == "glu"
  value <- add_node(builder, "dense", inputs[[1L]]$value,
    list(units = self$units, activation = if (apart) "linear" else self$activation$name), list(self$kernel, self$bias)
  )
  made <- handle(value, inputs[[1L]]$mask)
  emit_activity(self, builder, if (apart) emit_activation(builder, self$activation, made) else made)
}

layer_config.dense <- function(self) {
  list(
    units = self$units, activation = activation_config(self$activation), use_bias = self$use_bias,
    kernel_initializer = serialize_spec(self$kernel_initializer), bias_initializer = serialize_spec(self$bias_initializer),
    kernel_regularizer = serialize_spec(self$kernel_regularizer), bias_regularizer = serialize_spec(self$bias_regularizer),
    activity_regularizer = serialize_spec(self$activity_regularizer),
    kernel_constraint = serialize_spec(self$kernel_constraint), bias_constraint = serialize_spec(self$bias_constraint)
  )
}

layer_property.dense <- function(self, name) {
  if (identical(name, "activation")) return(activation_config(self$activation))
  simple_property(self, name, c(
    "units", "activation", "use_bias", "kernel", "bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
    "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "seed"
  ), sprintf("%d %s%s", self$units, if (self$units == 1L) "unit" else "units", activation_label(self$activation)))
}
