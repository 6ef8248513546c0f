#' Dot products of two arrays
#'
#' Sums over one axis of each of two arrays, for every element of the batch.
#'
#' @section Shapes:
#' \eqn{y_{b, i..., j...} = \sum_k x_{b, i..., k, ...} z_{b, j..., k, ...}}{y[b, i..., j...] = sum_k x[b, ..., k, ...] z[b, ..., k, ...]}: `[B, T, D]` and `[B, S, D]` with `axes = 3` (or -1) give `[B, T, S]`; `[B, D]` and `[B, D]` with `axes = 2` give `[B, 1]`. Masks end here. Source: the documentation of Keras's `Dot`.
#'
#' @inheritParams layer_add
#' @param inputs A list of two arrays or symbolic tensors, or the first of them. Missing or `NULL`: the layer itself is returned.
#' @param axes The axis to sum over, counted from 1 with the batch as 1, negative ones from the end; two numbers: of the first and of the second array.
#' @param normalize Whether vectors along the axes are divided by their length before: then the products are cosines.
#' @return A layer, a symbolic tensor or an array: see `inputs`.
#' @section Errors: `attentive_error_shape` where the axes are not there or differ in size; else see [attentive_errors].
#' @family layers
#' @examples
#' a <- array(rnorm(12), c(2, 3, 2))
#' layer_dot(a, a, axes = -1)
#' @export
layer_dot <- function(inputs, ..., axes, normalize = FALSE) {
  call <- environment()
  parts <- merge_arguments(first_argument(call, "inputs"), list(...))
  check_dots_names(parts$arguments, common_arguments, "`layer_dot()`", call)
  if (missing(axes)) abort_missing("axes", "the axis to sum over, or one for each of the two arrays", call)
  self <- new_self(c("dot", "list_layer", "simple_layer"), "Dot", "dot", parts$arguments, call)
  self$axes <- check_axis(axes, "axes", several = TRUE, call = call)
  if (length(self$axes) > 2L) abort_argument(axes, "axes", "one axis, or two", call = call)
  self$normalize <- check_flag(normalize, "normalize", call = call)
  compose_list(new_layer(self), parts$inputs, call)
}

# The axis of each input, counted from 0.
dot_axes <- function(self, shapes, call = NULL) {
  if (length(shapes) != 2L) abort_argument(shapes, "inputs", "a list of exactly two arrays or tensors", call = call)
  axes <- Map(function(axis, shape) axes_within(axis, self, shape, call), rep_len(self$axes, 2L), unname(shapes))
  if (differ(shapes[[1L]][[axes[[1L]] + 1L]], shapes[[2L]][[axes[[2L]] + 1L]]) || differ(shapes[[1L]][[1L]], shapes[[2L]][[1L]])) {
    abort_attentive("shape", sprintf("The layer \"%s\" sums over axes of equal size, and both arrays have one batch: %s.", self$name,
      paste(vapply(shapes, format_shape, ""), collapse = ", ")), call = call)
  }
  unlist(axes)
}

layer_output_shape.dot <- function(self, shapes, call = NULL) {
  shapes <- unname(shapes)
  axes <- dot_axes(self, shapes, call) + 1L
  self$ranks <- lengths(shapes)
  made <- c(shapes[[1L]][-axes[[1L]]], shapes[[2L]][-c(1L, axes[[2L]])])
  if (length(made) == 1L) c(made, 1L) else made
}

layer_emit.dot <- function(self, builder, inputs, arguments) {
  values <- handle_values(inputs)
  ranks <- self$ranks
  axes <- rep_len(self$axes, 2L)
  axes <- ifelse(axes < 0L, axes + ranks, axes)
  if (self$normalize) values <- vapply(1:2, function(i) emit_normalized(builder, values[[i]], axes[[i]]), 0L)
  # [B, rows, K] and [B, columns, K]
  flat <- lapply(1:2, function(i) {
    free <- setdiff(seq_len(ranks[[i]]) - 1L, c(0L, axes[[i]]))
    turned <- add_node(builder, "transpose", values[[i]], list(order = c(0L, free, axes[[i]])))
    rows <- if (length(free) == 0L) c(0, 1, 0) else dims_product(free)
    list(value = emit_reshape_to(builder, c(turned, values[[i]]), c(1, 1, 0, close_rule, rows, close_rule, 1, 1, axes[[i]], close_rule)), free = free)
  })
  made <- add_node(builder, "matmul", c(flat[[1L]]$value, flat[[2L]]$value), list(transpose_b = TRUE))
  rule <- function(input, axes) unlist(lapply(axes, function(axis) c(1, input, axis, close_rule)))
  sizes <- c(rule(1, c(0L, flat[[1L]]$free)), rule(2, flat[[2L]]$free))
  if (length(sizes) == 6L) sizes <- c(sizes, number_rules(1L))
  handle(emit_reshape_to(builder, c(made, values), sizes))
}

# The rule for the product of these sizes of input 1.
dims_product <- function(axes) c(unlist(lapply(axes, function(axis) c(1, 1, axis))), rep(c(size_codes[["multiply"]], 0, 0), length(axes) - 1L))

emit_normalized <- function(builder, value, axis) {
  squares <- add_node(builder, "unary", value, list(operation = "square"))
  sums <- add_node(builder, "reduce", squares, list(operation = "sum", axes = axis, keepdims = TRUE))
  least <- add_node(builder, "constant", integer(), list(values = 1e-14))
  sums <- add_node(builder, "binary", c(sums, least), list(operation = "maximum"))
  factor <- add_node(builder, "unary", sums, list(operation = "rsqrt"))
  add_node(builder, "binary", c(value, factor), list(operation = "multiply"))
}

layer_config.dot <- function(self) list(axes = as.list(self$axes), normalize = self$normalize)
layer_property.dot <- function(self, name) {
  if (identical(name, ".shape_arguments")) return(NULL)
  simple_property(self, name, c("axes", "normalize"), paste("axes", paste(self$axes, collapse = ", ")))
}
