# Layers that change shapes only. All of them count in row-major order, as
# Keras does: the last axis runs fastest.

#' Flatten or reshape every element
#'
#' `layer_flatten()` makes a vector of every element of the batch, `layer_reshape()` gives it another shape.
#'
#' @section Shapes:
#' `[B, d1, ..., dn]` becomes `[B, d1 * ... * dn]` or `[B, target_shape]`. The numbers are taken and laid down in row-major order, the last axis fastest, as in Keras;
#' [array_reshape()] does the same. The batch stays. Masks end here. Source: the documentation of Keras's `Flatten` and `Reshape`.
#'
#' @inheritParams layer_dense
#' @param data_format `"channels_last"` or `"channels_first"`, which brings the second axis to the end before.
#' @param target_shape Sizes without the batch; one may be `NA` or -1: it is what is left.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_shape` where the numbers do not fill the target; else see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(1:12, c(1, 3, 4))
#' layer_flatten(x)
#' layer_reshape(x, c(2, NA))
#' @export
layer_flatten <- function(object, data_format = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, common_arguments, "`layer_flatten()`", call)
  self <- new_self(c("flatten", "simple_layer"), "Flatten", "flatten", dots, call)
  self$data_format <- check_data_format(data_format, call)
  compose_layer(new_layer(self), object, call)
}

check_data_format <- function(x, call = NULL) {
  if (is.null(x)) "channels_last" else check_choice(x, "data_format", c("channels_last", "channels_first"), call = call)
}

layer_build.flatten <- function(self, shapes, call = NULL) {
  self$rank <- length(shapes[[1L]])
  self$built <- TRUE
}

layer_output_shape.flatten <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  size <- prod(shape[-1L])
  if (isTRUE(size > .Machine$integer.max)) abort_long_axis(call)
  as.integer(c(shape[[1L]], size))
}

layer_emit.flatten <- function(self, builder, inputs, arguments) {
  value <- inputs[[1L]]$value
  if (self$data_format == "channels_first" && self$rank > 2L) {
    value <- add_node(builder, "transpose", value, list(order = c(0L, seq_len(self$rank - 2L) + 1L, 1L)))
  }
  handle(add_node(builder, "reshape", value, list(target = -1L)))
}

layer_config.flatten <- function(self) list(data_format = self$data_format)
layer_property.flatten <- function(self, name) simple_property(self, name, "data_format", self$data_format)

#' @rdname layer_flatten
#' @export
layer_reshape <- function(object, target_shape, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, common_arguments, "`layer_reshape()`", call)
  if (missing(target_shape)) abort_missing("target_shape", "the new sizes without the batch", call)
  self <- new_self(c("reshape", "simple_layer"), "Reshape", "reshape", dots, call)
  self$target_shape <- as_shape(target_shape, "target_shape", call)
  if (sum(is.na(self$target_shape)) > 1L) {
    abort_argument(target_shape, "target_shape", "a shape with at most one unknown size", call = call, class = "shape")
  }
  compose_layer(new_layer(self), object, call)
}

layer_output_shape.reshape <- function(self, shapes, call = NULL) {
  shape <- shapes[[1L]]
  target <- self$target_shape
  total <- prod(shape[-1L])
  known <- prod(target, na.rm = TRUE)
  open <- is.na(target)
  if (!is.na(total)) {
    if (if (any(open)) known == 0 || total %% known != 0 else total != known) {
      abort_attentive("shape", sprintf("The layer \"%s\" cannot give %s the shape %s: the numbers of one element do not fill it.",
        self$name, format_shape(shape), format_shape(c(shape[[1L]], target))), call = call)
    }
    if (any(open)) target[open] <- as.integer(total / known)
  }
  c(shape[[1L]], target)
}

layer_emit.reshape <- function(self, builder, inputs, arguments) {
  target <- ifelse(is.na(self$target_shape), -1L, self$target_shape)
  handle(add_node(builder, "reshape", inputs[[1L]]$value, list(target = target)))
}

layer_config.reshape <- function(self) list(target_shape = as.list(ifelse(is.na(self$target_shape), -1L, self$target_shape)))
layer_property.reshape <- function(self, name) {
  if (identical(name, "target_shape")) return(new_shape(self$target_shape))
  simple_property(self, name, "target_shape", format_shape(self$target_shape))
}

#' Reshape an array in row-major order
#'
#' Like `dim<-`, but the numbers are taken and laid down with the last axis fastest, as Keras and NumPy do.
#'
#' @param x An array or a vector.
#' @param dim The new sizes; one may be `NA`, `NULL` in a list, or -1: it is what is left.
#' @param order `"C"` for row-major, `"F"` for R's own order.
#' @return An array.
#' @section Errors: `attentive_error_shape` where the numbers do not fill the new sizes.
#' @family models
#' @examples
#' array_reshape(1:6, c(2, 3))
#' @export
array_reshape <- function(x, dim, order = c("C", "F")) {
  call <- environment()
  order <- check_choice(if (missing(order)) "C" else order, "order", c("C", "F"), call = call)
  if (is.null(x) || (!is.atomic(x) && !is.list(x))) abort_argument(x, "x", "an array or a vector", call = call)
  if (is.data.frame(x)) x <- frame_numbers(x, "`x`", "x", call)
  dim <- as_shape(dim, "dim", call)
  open <- is.na(dim)
  known <- prod(dim, na.rm = TRUE)
  if (sum(open) > 1L || (any(open) && (known == 0 || length(x) %% known != 0)) || (!any(open) && known != length(x))) {
    abort_attentive("shape", sprintf("%d numbers do not fill the sizes %s.", length(x), format_shape(dim)), call = call)
  }
  if (any(open)) dim[open] <- as.integer(length(x) / known)
  if (order == "F") return(array(x, dim))
  if (!is.null(base::dim(x))) x <- aperm(x, rev(seq_along(base::dim(x))))
  made <- array(x, rev(dim))
  if (length(dim) > 1L) aperm(made, rev(seq_along(dim))) else made
}
