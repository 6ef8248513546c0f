#' Small layers
#'
#' `layer_identity()` gives what it gets; `layer_rescaling()` multiplies with `scale` and adds `offset`; `layer_activity_regularization()` gives what it gets and adds a penalty on it
#' to the loss; `layer_masking()` marks the steps whose features all are `mask_value` as padding and sets them to 0.
#'
#' @section The formulas:
#' Rescaling is \eqn{y = x \cdot \mathrm{scale} + \mathrm{offset}}. The penalty is \eqn{(l_1 \sum |x| + l_2 \sum x^2) / B} for a batch of B. Source: the documentation of Keras's
#' `Identity`, `Rescaling`, `ActivityRegularization` and `Masking`.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in. A mask is passed on, but `layer_masking()` makes its own, of all axes but the last.
#'
#' @inheritParams layer_dense
#' @param scale,offset Numbers, or vectors of one number for each feature.
#' @param l1,l2 Factors of the penalty.
#' @param mask_value The number that padding consists of.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` or `_shape`, see [attentive_errors].
#' @family layers
#' @examples
#' x <- matrix(0:5, 2)
#' layer_rescaling(x, scale = 1 / 5, offset = -0.5)
#' layer_activity_regularization(l2 = 0.1)(x)
#' layer_masking(array(c(0, 1, 0, 2), c(1, 2, 2)))
#' @export
layer_identity <- function(object, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, c("identity_layer", "same_shape"), "Identity", list(...), prefix = "identity")
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.same_shape <- function(self, shapes, call = NULL) shapes[[1L]]

layer_emit.identity_layer <- function(self, builder, inputs, arguments) inputs[[1L]]
layer_config.identity_layer <- function(self) list()
layer_property.identity_layer <- function(self, name) simple_property(self, name, character(), "as it is")

#' @rdname layer_identity
#' @export
layer_rescaling <- function(object, scale, offset = 0, ...) {
  call <- environment()
  object <- first_argument(call)
  if (missing(scale)) abort_missing("scale", "a number, or one for each feature", call)
  self <- simple_self(call, "rescaling", "Rescaling", list(...))
  self$scale <- check_factors(scale, "scale", call)
  self$offset <- check_factors(offset, "offset", call)
  compose_layer(new_layer(self), object, call)
}

check_factors <- function(x, arg, call = NULL) {
  values <- if (is.list(x) && !is.object(x) && all(lengths(x) == 1L)) unlist(x) else x
  if (is.numeric(values) && !is.object(values) && length(values) >= 1L && all(is.finite(values)) && length(dim(values)) < 2L) return(as.double(values))
  abort_argument(x, arg, "a finite number, or one for each feature", call = call)
}

layer_output_shape.rescaling <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  for (arg in c("scale", "offset")) {
    if (!length(self[[arg]]) %in% c(1L, shape[[length(shape)]]) && !is.na(shape[[length(shape)]])) {
      abort_attentive("shape", sprintf("`%s` of the layer \"%s\" has %d numbers, which do not fit %s.",
        arg, self$name, length(self[[arg]]), format_shape(shape)), arg = arg, call = call)
    }
  }
  shape
}

layer_emit.rescaling <- function(self, builder, inputs, arguments) {
  constant <- function(x) {
    add_node(builder, "constant", integer(), if (length(x) == 1L) list(values = x) else list(values = x, dims = length(x)))
  }
  scaled <- add_node(builder, "binary", c(inputs[[1L]]$value, constant(self$scale)), list(operation = "multiply"))
  handle(add_node(builder, "binary", c(scaled, constant(self$offset)), list(operation = "add")), inputs[[1L]]$mask)
}

layer_config.rescaling <- function(self) {
  plain <- function(x) if (length(x) == 1L) x else as.list(x)
  list(scale = plain(self$scale), offset = plain(self$offset))
}

layer_property.rescaling <- function(self, name) {
  simple_property(self, name, c("scale", "offset"), if (length(self$scale) == 1L) paste("by", format(self$scale)) else "by features")
}

#' @rdname layer_identity
#' @export
layer_activity_regularization <- function(object, l1 = 0, l2 = 0, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, c("activity_regularization", "same_shape"), "ActivityRegularization", list(...))
  self$l1 <- check_number(l1, "l1", call = call)
  self$l2 <- check_number(l2, "l2", call = call)
  compose_layer(new_layer(self), object, call)
}

layer_emit.activity_regularization <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "activity_penalty", inputs[[1L]]$value, list(l1 = self$l1, l2 = self$l2)), inputs[[1L]]$mask)
}

layer_config.activity_regularization <- function(self) list(l1 = self$l1, l2 = self$l2)
layer_property.activity_regularization <- function(self, name) {
  simple_property(self, name, c("l1", "l2"), sprintf("l1 %s, l2 %s", format(self$l1), format(self$l2)))
}

#' @rdname layer_identity
#' @export
layer_masking <- function(object, mask_value = 0, ...) {
  call <- environment()
  object <- first_argument(call)
  self <- simple_self(call, c("masking", "same_shape"), "Masking", list(...))
  self$mask_value <- check_number(mask_value, "mask_value", call = call)
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.masking <- function(self, shapes, call = NULL) {
  known_features(self, shapes[[1L]], call)
  shapes[[1L]]
}

layer_emit.masking <- function(self, builder, inputs, arguments) {
  mask <- new_mask(builder)
  add_node(builder, "step_mask", inputs[[1L]]$value, list(value = self$mask_value), mask_outputs = mask)
  handle(add_node(builder, "select", inputs[[1L]]$value, masks = mask), mask)
}

layer_config.masking <- function(self) list(mask_value = self$mask_value)
layer_property.masking <- function(self, name) simple_property(self, name, "mask_value", paste(format(self$mask_value), "is padding"))

# A logical array, or a symbolic tensor of dtype "bool".
layer_compute_mask.masking <- function(self, inputs, previous_mask) op_any(as_input(inputs, "inputs") != self$mask_value, axis = -1L)
