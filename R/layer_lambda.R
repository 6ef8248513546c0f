#' A function as a layer
#'
#' Makes a layer of an R function. The function is applied to symbolic tensors once and becomes part of the model, with a gradient, where all that it does can be
#' done with them: `+ - * / ^`, `abs()`, `exp()`, `log()`, `sqrt()` and layers.
#'
#' @details
#' Any other function is called with arrays whenever the model runs. Such a model predicts; it is trained only where no weight stands before the function, since R
#' functions have no gradient. Weights of layers that the function uses are not those of the model: make such layers outside and apply them one by one.
#'
#' @section Shapes:
#' What comes out has the shape that the function gives. For a function of arrays it is found by trying, or is `output_shape`. Masks end here.
#' Source: the documentation of Keras's `Lambda`.
#'
#' @inheritParams layer_dense
#' @param f A function of a tensor, or of a list of tensors.
#' @param output_shape Sizes of what comes out, without the batch.
#' @param mask Not available: must be `NULL`.
#' @param arguments A named list of further arguments for `f`.
#' @param ... By name: `name`, `trainable`, `dtype`, `input_shape`.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` where `f` is no function; else see [attentive_errors].
#' @family layers
#' @examples
#' layer_lambda(matrix(1:4, 2), function(x) x * 2 + 1)
#' @export
layer_lambda <- function(object, f, output_shape = NULL, mask = NULL, arguments = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, common_arguments, "`layer_lambda()`", call)
  if (missing(f)) abort_missing("f", "a function of a tensor", call)
  if (is.list(f) && is.function(f$fun)) f <- f$fun # from a configuration
  if (!is.function(f)) {
    abort_argument(f, "f", "a function of a tensor",
      hint = if (inherits(f, "formula")) "Write the formula as a function: `function(x) ...`.", call = call
    )
  }
  if (!is.null(mask)) abort_attentive("not_yet", "`mask` of `layer_lambda()` is not available.", arg = "mask", call = call)
  if (!is.null(arguments) && (!is.list(arguments) || (length(arguments) > 0L && is.null(names(arguments))))) {
    abort_argument(arguments, "arguments", "a named list or NULL", call = call)
  }
  self <- new_self(c("lambda", "simple_layer"), "Lambda", "lambda", dots, call)
  self$f <- f
  self$output_shape <- if (!is.null(output_shape)) as_shape(output_shape, "output_shape", call)
  self$arguments <- as.list(arguments)
  compose_layer(new_layer(self), object, call)
}

layer_inputs.lambda <- function(self, inputs, call = NULL) {
  if (!is.list(inputs) || is.object(inputs)) return(list(as_input(inputs, "inputs", call)))
  if (length(inputs) == 0L) abort_argument(inputs, "inputs", "an array, or a list of arrays", call = call)
  Map(function(x, i) as_input(x, sprintf("inputs[[%d]]", i), call), unname(inputs), seq_along(inputs))
}

# What the function does to tensors, or NULL where it works on arrays only.
trace_lambda <- function(self, shapes, call = NULL) {
  tryCatch(
    trace_function(self$f, shapes, self$dtype, "f", call, self$arguments),
    error = function(e) NULL
  )
}

layer_build.lambda <- function(self, shapes, call = NULL) {
  self$traced <- trace_lambda(self, unname(shapes), call)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.lambda <- function(self, shapes, call = NULL) {
  shapes <- unname(shapes)
  if (!is.null(self$output_shape)) return(c(shapes[[1L]][[1L]], self$output_shape))
  traced <- trace_lambda(self, shapes, call)
  if (!is.null(traced)) {
    made <- lapply(traced$outputs, function(tensor) tensor[["shape"]])
    return(if (length(made) == 1L) made[[1L]] else made)
  }
  # unknown sizes are tried twice: what comes out differently is unknown too
  small <- tried_shape(self, shapes, 2L, call)
  if (!anyNA(unlist(shapes))) return(small)
  large <- tried_shape(self, shapes, 3L, call)
  if (length(small) != length(large)) {
    abort_attentive("shape", sprintf("What comes out of the function of the layer \"%s\" has no fixed number of dimensions.", self$name), call = call)
  }
  ifelse(small == large, small, NA_integer_)
}

tried_shape <- function(self, shapes, size, call = NULL) {
  arrays <- lapply(shapes, function(shape) array(0.5, ifelse(is.na(shape), size, shape)))
  made <- tryCatch(
    call_lambda(self, arrays),
    error = function(e) {
      abort_attentive("argument", sprintf("The function of the layer \"%s\" fails on arrays of dim %s.", self$name,
        paste(vapply(arrays, function(x) format_shape(dim(x)), ""), collapse = ", ")), hint = readable(conditionMessage(e)), call = call)
    }
  )
  dim(made)
}

# The function on arrays; what it gives is an array with the batch first.
call_lambda <- function(self, arrays) {
  given <- if (length(arrays) == 1L) arrays[[1L]] else arrays
  made <- do.call(self$f, c(list(given), self$arguments), quote = TRUE)
  if (!(is.numeric(made) || is.logical(made)) || is.object(made)) {
    abort_attentive("argument", sprintf("The function of the layer \"%s\" must give a numeric array, not %s.", self$name, describe(made)))
  }
  if (is.null(dim(made))) dim(made) <- length(made)
  storage.mode(made) <- "double"
  made
}

layer_emit.lambda <- function(self, builder, inputs, arguments) {
  if (!is.null(self$traced)) {
    made <- emit_traced(builder, self$traced, unname(inputs))
    return(if (is.null(made$value)) made else handle(made$value))
  }
  value <- add_node(builder, "function", vapply(unname(inputs), function(h) h$value, 0L), functions = list(
    shape = function(dims) layer_output_shape(self, dims),
    forward = function(arrays) call_lambda(self, arrays),
    gradient = function(arrays, upstream) abort_no_gradient(self)
  ))
  handle(value)
}

abort_no_gradient <- function(self) {
  abort_attentive("argument", sprintf("The function of the layer \"%s\" has no gradient: no weight before it can be trained.", self$name),
    hint = c(
      "It has one where it uses `+ - * / ^`, `abs()`, `exp()`, `log()`, `sqrt()` and layers only.",
      "`freeze_weights()` leaves the layers before it as they are."
    )
  )
}

layer_config.lambda <- function(self) {
  list(f = list(fun = self$f), output_shape = if (!is.null(self$output_shape)) as.list(self$output_shape), arguments = self$arguments)
}

layer_property.lambda <- function(self, name) simple_property(self, name, c("f", "output_shape", "arguments"), "an R function")
