#' A layer for every step
#'
#' Applies one layer, with the same weights, to every step of a sequence.
#'
#' @section Shapes:
#' `[B, T, ...]` becomes `[B, T, ...]`: the inner layer sees `[B * T, ...]`. The mask of a sequence reaches the inner layer step by step (of a mask `[B, T, S]` each step gives `[B, S]`).
#' It is passed on where the steps are vectors or the inner layer passes it on. Source: the documentation of Keras's `TimeDistributed`.
#'
#' @inheritParams layer_dense
#' @param layer The inner layer or model: one that takes one array.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' sentences <- array(rnorm(2 * 3 * 5 * 4), c(2, 3, 5, 4)) # texts of 3 sentences of 5 words
#' layer <- layer_time_distributed(layer = layer_global_average_pooling_1d())
#' dim(layer(sentences))
#' @export
layer_time_distributed <- function(object, layer, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(layer)) abort_missing("layer", "the layer for every step", call)
  if (!is_layer(layer)) abort_argument(layer, "layer", "a layer", call = call)
  inner <- layer_self(layer)
  single <- if (inherits(inner, "model")) length(inner$inputs) <= 1L && length(inner$outputs) <= 1L else inherits(inner, "simple_layer")
  if (!single || inherits(inner, "list_layer")) abort_argument(layer, "layer", "a layer or model that takes one array and gives one", call = call)
  dots <- list(...)
  if (is.null(dots$dtype)) dots$dtype <- layer_dtype(inner)
  self <- simple_self(call, c("time_distributed", "wrapper"), "TimeDistributed", dots)
  self$layers <- list(inner)
  compose_layer(new_layer(self), object, call)
}

#' @rdname layer_time_distributed
#' @export
time_distributed <- layer_time_distributed

# What the inner layer sees of a shape.
step_shape <- function(self, shape, call = NULL) {
  if (length(shape) < 3L) {
    abort_attentive("shape", sprintf("The layer \"%s\" takes sequences of at least three dimensions (batch, steps, ...), not %s.",
      self$name, format_shape(shape)), call = call)
  }
  c(NA_integer_, shape[-(1:2)])
}

layer_build.time_distributed <- function(self, shapes, call = NULL) {
  inner <- self$layers[[1L]]
  if (!inner$built) layer_build(inner, list(step_shape(self, shapes[[1L]], call)), call)
  self$vectors <- length(shapes[[1L]]) == 3L
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.time_distributed <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  step <- step_shape(self, shape, call)
  inner <- self$layers[[1L]]
  if (is_sequential_self(inner) && !inner$built) layer_build(inner, list(step), call)
  c(shape[1:2], layer_call_shapes(inner, list(step), list(), call)[-1L])
}

layer_emit.time_distributed <- function(self, builder, inputs, arguments) {
  given <- inputs[[1L]]
  mask <- given$mask
  if (mask >= 0L) {
    mask <- new_mask(builder)
    add_node(builder, "mask_fold", integer(), masks = given$mask, mask_outputs = mask)
  }
  steps <- handle(add_node(builder, "fold_steps", given$value), mask)
  made <- layer_emit(self$layers[[1L]], builder, list(steps), arguments)
  if (is.null(made$value)) made <- made[[1L]]
  value <- add_node(builder, "fold_steps", c(made$value, given$value), list(back = TRUE))
  handle(value, if (self$vectors || made$mask >= 0L) given$mask else -1L)
}

layer_config.time_distributed <- function(self) list(layer = layer_entry(self$layers[[1L]]))

layer_property.time_distributed <- function(self, name) {
  if (identical(name, "layer")) return(new_shell(self$layers[[1L]]))
  simple_property(self, name, "layer", sprintf("\"%s\" for every step", self$layers[[1L]]$name))
}
