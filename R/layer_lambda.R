#' A function as a layer
#'
#' Makes a layer of an R function. The function is applied to symbolic tensors once and becomes part of the model, with a gradient, where all that it does can be
#' done with them: operators, `[`, R's `exp()` and its like, all `op_...()` functions and layers.
#'
#' @details
#' In such a function a vector stands for the last axis: `x * c(1, 2)` scales two columns, and `[` is that of tensors: `x[, -1, ]` is the last step, see [op_slice()].
#'
#' Any other function is called with arrays whenever the model runs. It must work on each row alone, whatever the number of rows, which is tried once. Such a model predicts;
#' it is trained only where no weight stands before the function, since R functions have no gradient. Weights of layers that the function uses are not those of the
#' model: make such layers outside and apply them one by one.
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
#' @section Errors: `attentive_error_argument` where `f` is no function, fails, or gives a row that depends on the others, `attentive_error_shape` where it gives no rows; else see [attentive_errors].
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

# How the function runs for these shapes: `traced`, what it does to tensors, or
# NULL where it works on arrays only; `shapes`, what comes out. The last is kept.
lambda_plan <- function(self, shapes, call = NULL) {
  shapes <- lapply(unname(shapes), function(shape) c(NA_integer_, shape[-1L])) # for any number of rows
  key <- paste(vapply(shapes, format_shape, ""), collapse = " ")
  if (identical(self$plan$key, key)) return(self$plan)
  traced <- trace_lambda(self, shapes, call)
  made <- if (!is.null(traced)) lapply(traced$outputs, function(tensor) tensor[["shape"]]) else list(tried_shape(self, shapes, call))
  self$plan <- list(key = key, traced = traced, shapes = made)
}

trace_lambda <- function(self, shapes, call = NULL) {
  around <- session$unlike_r # of a function that uses this layer
  session$unlike_r <- FALSE
  on.exit(session$unlike_r <- isTRUE(around) || session$unlike_r)
  traced <- tryCatch(
    trace_function(self$f, shapes, self$dtype, "f", call, self$arguments),
    error = function(e) NULL, warning = function(w) NULL
  )
  if (!is.null(traced) && (session$unlike_r || trace_holds(self, traced, shapes))) traced
}

# Whether the trace gives what the function gives for arrays: it does not where the function asks for `length(x)`, say.
trace_holds <- function(self, traced, shapes) {
  # a vector of numbers stands for the last axis in a trace, R recycles it down the rows: nothing to compare
  if (any(vapply(traced$nodes, function(node) any(lengths(node$self$constants) > 1L), NA))) return(TRUE)
  holds <- function(rows) {
    arrays <- trial_arrays(shapes, rows)
    # what works on tensors only cannot be compared either
    tryCatch(same_numbers(call_lambda(self, arrays), run_traced(self, traced, arrays)), error = function(e) TRUE)
  }
  suppressWarnings(holds(2L) && holds(3L))
}

same_numbers <- function(x, y) {
  identical(dim(x), dim(y)) && isTRUE(all.equal(as.vector(x), as.vector(y), tolerance = 1e-4))
}

run_traced <- function(self, traced, arrays) {
  builder <- new_builder()
  values <- lapply(arrays, function(x) new_value(builder))
  made <- emit_traced(builder, traced, lapply(values, handle))
  plan <- finish_program(builder, values, list(made))
  program_run(program_create(plan, self$dtype == "float64"), arrays, plan$variables, FALSE, 0, 1L)$outputs[[1L]]
}

# Arrays to try a function on: numbers between 0 and 1 in no order, `size` where a size is unknown.
trial_arrays <- function(shapes, size = 1L) {
  lapply(shapes, function(shape) {
    shape[is.na(shape)] <- size
    array(0.5 + 0.4 * sin(2.3 * seq_len(prod(shape))), shape)
  })
}

layer_build.lambda <- function(self, shapes, call = NULL) {
  self$traced <- lambda_plan(self, shapes, call)$traced
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.lambda <- function(self, shapes, call = NULL) {
  rows <- shapes[[1L]][[1L]]
  if (!is.null(self$output_shape)) return(c(rows, self$output_shape))
  made <- lapply(lambda_plan(self, shapes, call)$shapes, function(shape) c(rows, shape[-1L]))
  if (length(made) == 1L) made[[1L]] else made
}

# What a function of arrays gives. Unknown sizes are tried twice: what comes out differently is unknown too.
tried_shape <- function(self, shapes, call = NULL) {
  arrays <- trial_arrays(shapes, 3L)
  fewer <- lapply(arrays, function(x) array(matrix(x, 3L)[1:2, , drop = FALSE], c(2L, dim(x)[-1L])))
  large <- try_lambda(self, arrays, call)
  check_rows(self, large, try_lambda(self, fewer, call), call)
  small <- dim(try_lambda(self, trial_arrays(shapes, 2L), call))
  large <- dim(large)
  if (length(small) != length(large)) {
    abort_attentive("shape", sprintf("What comes out of the function of the layer \"%s\" has no fixed number of dimensions.", self$name), call = call)
  }
  ifelse(small == large, small, NA_integer_)
}

try_lambda <- function(self, arrays, call = NULL) {
  tryCatch(
    suppressWarnings(call_lambda(self, arrays)),
    error = function(e) {
      abort_attentive("argument", sprintf("The function of the layer \"%s\" fails on arrays of dim %s.", self$name,
        paste(vapply(arrays, function(x) format_shape(dim(x)), ""), collapse = ", ")), hint = readable(conditionMessage(e)), call = call)
    }
  )
}

# A row is one element of the batch: what comes out for it must not depend on the others.
check_rows <- function(self, three, two, call = NULL) {
  if (dim(three)[[1L]] != 3L || dim(two)[[1L]] != 2L) {
    abort_attentive("shape", sprintf("The function of the layer \"%s\" must give one row for every row: three gave %s.",
      self$name, format_shape(dim(three))), hint = "The first dimension is the batch; `drop = FALSE` keeps dimensions of size 1.", call = call)
  }
  first <- array(matrix(three, 3L)[1:2, , drop = FALSE], c(2L, dim(three)[-1L]))
  if (same_numbers(first, two)) return(invisible())
  abort_attentive("argument",
    sprintf("The function of the layer \"%s\" gives other numbers for a row when there are more rows.", self$name),
    hint = c(
      "Every row is one element of a batch of any size, and works alone.",
      "R recycles a vector down the rows: for one number a column use `sweep(x, 2, v, \"*\")`; random numbers are not possible here.",
      "A layer with weights is made outside of the function, else its weights are new in every call."
    ), call = call
  )
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
      "It has one where it uses operators, `[`, `exp()` and its like, `op_...()` functions and layers only.",
      "`freeze_weights()` leaves the layers before it as they are."
    )
  )
}

layer_config.lambda <- function(self) {
  list(f = list(fun = self$f), output_shape = if (!is.null(self$output_shape)) as.list(self$output_shape), arguments = self$arguments)
}

layer_property.lambda <- function(self, name) simple_property(self, name, c("f", "output_shape", "arguments"), "an R function")
