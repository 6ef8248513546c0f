# Layers that put several arrays together, element by element or side by side.

merge_layer <- function(operation, class_name, inputs, dots, call) {
  parts <- merge_arguments(inputs, dots)
  check_dots_names(parts$arguments, common_arguments, sprintf("`layer_%s()`", operation), call)
  self <- new_self(c("merge", "list_layer", "simple_layer"), class_name, operation, parts$arguments, call)
  self$operation <- operation
  compose_list(new_layer(self), parts$inputs, call)
}

# The arrays come as a list, or one by one; what has a name in the dots is an argument of the layer.
merge_arguments <- function(inputs, dots) {
  named <- if (is.null(names(dots))) logical(length(dots)) else names(dots) != ""
  more <- unname(dots[!named])
  if (!is.null(inputs) && !(is.list(inputs) && !is.object(inputs))) inputs <- list(inputs)
  list(inputs = if (length(more) > 0L) c(inputs, unlist_once(more)) else inputs, arguments = dots[named])
}

# list(list(a, b), c) -> list(a, b, c)
unlist_once <- function(x) unlist(lapply(x, function(part) if (is.list(part) && !is.object(part)) part else list(part)), recursive = FALSE)

compose_list <- function(layer, inputs, call = NULL) {
  if (length(inputs) == 0L) return(layer)
  if (length(inputs) == 1L && is_sequential(inputs[[1L]])) {
    abort_attentive("argument", "A layer of several inputs cannot be added to a sequential model.",
      hint = "`keras_input()` and `keras_model()` make models that branch.", call = call
    )
  }
  call_layer(layer_self(layer), inputs, NULL, NULL, list(), call)
}

layer_inputs.list_layer <- function(self, inputs, call = NULL) {
  if (!is.list(inputs) || is.object(inputs)) {
    abort_argument(inputs, "inputs", "a list of arrays or of symbolic tensors", call = call)
  }
  least <- if (inherits(self, "concatenate")) 1L else 2L
  if (length(inputs) < least || (identical(self$operation, "subtract") && length(inputs) != 2L)) {
    abort_argument(inputs, "inputs", sprintf("a list of %s arrays or tensors",
      if (identical(self$operation, "subtract")) "exactly two" else sprintf("at least %d", least)), call = call)
  }
  Map(function(x, i) as_input(x, sprintf("inputs[[%d]]", i), call), unname(inputs), seq_along(inputs))
}

#' Put arrays together, element by element
#'
#' Sum, difference, product, mean, maximum or minimum of several arrays.
#'
#' @section Shapes:
#' The arrays have the same shape, or sizes of 1 where they broadcast; one with fewer dimensions lacks those that follow the batch. What comes out carries a mask if
#' all of them do: a position counts where it counts in any. Numbers behind a mask take part in sums, differences and means; in a product they are 1, and 0 comes out where none
#' is real; in a maximum or minimum the others take their place. All as in Keras. Source: the documentation and behaviour of Keras's merging layers.
#'
#' @param inputs A list of arrays or of symbolic tensors, or the first of them; two at least, exactly two for `layer_subtract()`. Missing or `NULL`: the layer itself is returned.
#' @param ... Further arrays or tensors without a name; by name `name`, `trainable`, `dtype`.
#' @return A layer, a symbolic tensor or an array: see `inputs`.
#' @section Errors: `attentive_error_shape` where the shapes do not fit each other; else see [attentive_errors].
#' @family layers
#' @examples
#' a <- matrix(1:4, 2)
#' layer_add(list(a, a))
#' layer_maximum(a, 5 - a)
#'
#' x <- keras_input(3)
#' layer_add(x, layer_dense(x, 3))
#' @export
layer_add <- function(inputs, ...) merge_layer("add", "Add", first_argument(environment(), "inputs"), list(...), environment())

#' @rdname layer_add
#' @export
layer_subtract <- function(inputs, ...) merge_layer("subtract", "Subtract", first_argument(environment(), "inputs"), list(...), environment())

#' @rdname layer_add
#' @export
layer_multiply <- function(inputs, ...) merge_layer("multiply", "Multiply", first_argument(environment(), "inputs"), list(...), environment())

#' @rdname layer_add
#' @export
layer_average <- function(inputs, ...) merge_layer("average", "Average", first_argument(environment(), "inputs"), list(...), environment())

#' @rdname layer_add
#' @export
layer_maximum <- function(inputs, ...) merge_layer("maximum", "Maximum", first_argument(environment(), "inputs"), list(...), environment())

#' @rdname layer_add
#' @export
layer_minimum <- function(inputs, ...) merge_layer("minimum", "Minimum", first_argument(environment(), "inputs"), list(...), environment())

layer_output_shape.merge <- function(self, shapes, call = NULL) {
  shapes <- unname(shapes)
  merged <- shapes[[1L]]
  for (shape in shapes[-1L]) {
    # the batch is lined up with the batch, the others from the right
    rest <- broadcast_shapes(merged[-1L], shape[-1L])
    if (is.null(rest) || differ(merged[[1L]], shape[[1L]])) {
      abort_attentive("shape", sprintf("The shapes that the layer \"%s\" is to put together do not fit: %s.",
        self$name, paste(vapply(shapes, format_shape, ""), collapse = ", ")), call = call)
    }
    merged <- c(if (is.na(merged[[1L]])) shape[[1L]] else merged[[1L]], rest)
  }
  merged
}

# The shape to which both broadcast, lined up from the right; NULL where they do not.
broadcast_shapes <- function(a, b) {
  rank <- max(length(a), length(b))
  a <- c(rep(1L, rank - length(a)), a)
  b <- c(rep(1L, rank - length(b)), b)
  if (any(differ_each(a, b) & a != 1L & b != 1L, na.rm = TRUE)) return(NULL)
  as.integer(ifelse(!is.na(a) & a == 1L, b, ifelse(!is.na(b) & b == 1L, a, ifelse(is.na(a) & !is.na(b), b, a))))
}

layer_emit.merge <- function(self, builder, inputs, arguments) {
  masked <- any(handle_masks(inputs) >= 0L)
  if (masked && self$operation == "multiply") return(emit_masked_product(builder, inputs))
  if (masked && self$operation %in% c("maximum", "minimum")) return(emit_masked_extreme(builder, inputs, self$operation))
  handle(emit_merge(builder, handle_values(inputs), self$operation), emit_any_mask(builder, inputs))
}

emit_merge <- function(builder, values, operation) add_node(builder, "merge", values, list(operation = operation))

# As in Keras, a factor behind its mask counts as 1, and the product is 0 where no factor is real.
emit_masked_product <- function(builder, inputs) {
  mask <- emit_any_mask(builder, inputs)
  masks <- handle_masks(inputs)
  factors <- handle_values(inputs)
  if (mask < 0L || length(unique(masks)) > 1L) {
    factors <- vapply(unname(inputs), function(h) if (h$mask < 0L) h$value else emit_select(builder, h$mask, h$value, otherwise = 1), 0L)
  }
  product <- emit_merge(builder, factors, "multiply")
  if (mask >= 0L) product <- emit_select(builder, mask, product, otherwise = 0)
  handle(product, mask)
}

# As in Keras, what is behind a mask gives way to what came before it, or comes after.
emit_masked_extreme <- function(builder, inputs, operation) {
  inputs <- unname(inputs)
  made <- inputs[[1L]]
  for (input in inputs[-1L]) {
    value <- if (input$mask < 0L) input$value else emit_select(builder, input$mask, input$value, made$value)
    before <- if (made$mask < 0L) made$value else emit_select(builder, made$mask, made$value, value)
    made <- handle(emit_merge(builder, c(before, value), operation), emit_any_mask(builder, list(made, input)))
  }
  made
}

emit_select <- function(builder, mask, value, other = NULL, otherwise = 0) {
  add_node(builder, "select", c(value, other), list(otherwise = otherwise), masks = mask)
}

handle_values <- function(inputs) vapply(unname(inputs), function(h) h$value, 0L)
handle_masks <- function(inputs) vapply(unname(inputs), function(h) h$mask, 0L)

# Where any of the masks is set; none if one of the inputs has none.
emit_any_mask <- function(builder, inputs) {
  masks <- unique(handle_masks(inputs))
  if (any(masks < 0L)) return(-1L)
  if (length(masks) == 1L) return(masks)
  mask <- new_mask(builder)
  add_node(builder, "mask_or", integer(), masks = masks, mask_outputs = mask)
  mask
}

layer_config.merge <- function(self) list()
layer_property.list_layer <- function(self, name) {
  if (identical(name, ".shape_arguments")) return(NULL)
  if (inherits(self, "concatenate")) return(simple_property(self, name, "axis", paste("axis", self$axis)))
  simple_property(self, name, character(), self$operation)
}

#' Put arrays side by side
#'
#' @section Shapes:
#' The arrays agree in all sizes but that of `axis`, which adds up. Masks are put together accordingly. Source: the documentation of Keras's `Concatenate`.
#'
#' @inheritParams layer_add
#' @param inputs A list of arrays or of symbolic tensors, or the first of them. Missing or `NULL`: the layer itself is returned.
#' @param axis The axis along which they are put together, counted from 1 with the batch as 1; negative ones from the end.
#' @return A layer, a symbolic tensor or an array: see `inputs`.
#' @section Errors: `attentive_error_shape` where the shapes do not fit each other; else see [attentive_errors].
#' @family layers
#' @examples
#' layer_concatenate(matrix(1:4, 2), matrix(5:6, 2))
#' @export
layer_concatenate <- function(inputs, ..., axis = -1L) {
  call <- environment()
  parts <- merge_arguments(first_argument(call, "inputs"), list(...))
  check_dots_names(parts$arguments, common_arguments, "`layer_concatenate()`", call)
  self <- new_self(c("concatenate", "list_layer", "simple_layer"), "Concatenate", "concatenate", parts$arguments, call)
  self$axis <- check_axis(axis, "axis", call = call)
  compose_list(new_layer(self), parts$inputs, call)
}

layer_output_shape.concatenate <- function(self, shapes, call = NULL) {
  shapes <- unname(shapes)
  first <- shapes[[1L]]
  axis <- axes_within(self$axis, self, first, call) + 1L
  for (shape in shapes) {
    if (length(shape) != length(first) || differ(shape[-axis], first[-axis])) {
      abort_attentive("shape", sprintf("The shapes that the layer \"%s\" is to put side by side must agree but in one axis: %s.",
        self$name, paste(vapply(shapes, format_shape, ""), collapse = ", ")), call = call)
    }
    first[-axis] <- ifelse(is.na(first[-axis]), shape[-axis], first[-axis])
  }
  first[[axis]] <- sum(vapply(shapes, function(shape) shape[[axis]], 0L))
  first
}

# Along the features a token is real if any part is, as in Keras.
layer_build.concatenate <- function(self, shapes, call = NULL) {
  first <- shapes[[1L]]
  self$along_features <- axes_within(self$axis, self, first, call) == length(first) - 1L
  self$built <- TRUE
  invisible(self)
}

layer_emit.concatenate <- function(self, builder, inputs, arguments) {
  values <- handle_values(inputs)
  masks <- handle_masks(inputs)
  mask <- -1L
  if (self$along_features) {
    mask <- emit_any_mask(builder, inputs)
  } else if (any(masks >= 0L)) {
    mask <- new_mask(builder)
    add_node(builder, "mask_concatenate", values, list(axis = self$axis), masks = masks, mask_outputs = mask)
  }
  handle(add_node(builder, "concatenate", values, list(axis = self$axis)), mask)
}

layer_config.concatenate <- function(self) list(axis = self$axis)
