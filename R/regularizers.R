# Regularizers: penalties that weights or activities add to the loss.

#' Penalties on weights and activities
#'
#' A regularizer adds a penalty to the loss that is minimised, which keeps weights (or the outputs of projections) small.
#'
#' @details
#' * `regularizer_l1()`: \eqn{l_1 \sum |x|}
#' * `regularizer_l2()`: \eqn{l_2 \sum x^2}
#' * `regularizer_l1_l2()`: the sum of both. Its defaults are 0, as in keras3; the *names* `"l1_l2"` and `"l1l2"` mean 0.01 for both, as Keras's documentation
#'   says of the first. Keras itself does not know `"l1_l2"` and makes two zeros of `"l1l2"`.
#' * `regularizer_orthogonal()`: `factor` times the mean of \eqn{|\langle u_i, u_j\rangle|} over all pairs of different rows (or columns) of a matrix,
#'   each divided by its length. For matrices only, so not for the kernels of attention layers.
#'
#' A layer lists its penalties in `layer$losses` after each call. With an activity regularizer the penalty of each projection's output is
#' divided by the batch size.
#'
#' A regularizer can be given to a layer by name (`"l2"`, `"L2"`, `"l1_l2"`), as an object, as the function itself without a call
#' (`regularizer_l2`), as an R function of the array that returns a number, as a list with `class_name` and `config`, or as `NULL` for
#' none. Numbers stay as they are: 0.01 is not rounded to single precision, as Keras does for L1.
#'
#' @param l1,l2,factor Numbers that are not negative.
#' @param mode `"rows"` or `"columns"`.
#' @return A regularizer: a function of an array that returns the penalty, a number.
#' @family regularizers and constraints
#' @section Errors: `attentive_error_argument` for a coefficient that is negative or no number. Called: `attentive_error_shape` where `regularizer_orthogonal()` gets no matrix.
#' @examples
#' regularizer_l2(0.01)(c(1, 2, 3))
#' layer <- layer_multi_head_attention(
#'   num_heads = 2, key_dim = 3, kernel_regularizer = regularizer_l1(0.001)
#' )
#' @export
regularizer_l1 <- function(l1 = 0.01) {
  new_specification("regularizer", "l1", list(l1 = check_coefficient(l1, "l1", 0.01, environment())))
}

#' @rdname regularizer_l1
#' @export
regularizer_l2 <- function(l2 = 0.01) {
  new_specification("regularizer", "l2", list(l2 = check_coefficient(l2, "l2", 0.01, environment())))
}

#' @rdname regularizer_l1
#' @export
regularizer_l1_l2 <- function(l1 = 0, l2 = 0) {
  call <- environment()
  new_specification("regularizer", "l1_l2", list(l1 = check_coefficient(l1, "l1", 0, call), l2 = check_coefficient(l2, "l2", 0, call)))
}

#' @rdname regularizer_l1
#' @export
regularizer_orthogonal <- function(factor = 0.01, mode = "rows") {
  call <- environment()
  new_specification("regularizer", "orthogonal", list(
    factor = check_coefficient(factor, "factor", 0.01, call), mode = check_choice(mode, "mode", c("rows", "columns"), call)
  ))
}

# NULL is Keras's None: the default.
check_coefficient <- function(x, arg, default, call = NULL) {
  if (is.null(x)) default else check_number(x, arg, 0, call = call)
}

#' A penalty of one's own
#'
#' Makes a regularizer from an R function, and from its gradient where that is not found by itself.
#'
#' @details
#' A plain R function can be given to a layer as it is; its attribute `gradient`, if it has one, is used as `gradient` here.
#'
#' Without a gradient the function is applied to a symbolic tensor before the training begins, and what it does is derived: operators, `[`, `abs()`, `exp()` and their like,
#' `sum()`, `mean()`, `prod()`, `max()`, `min()` and all `op_...()` functions. A function that does anything else needs a `gradient`.
#'
#' On what layers put out (`activity_regularizer`) a function works where attention layers are called, and in [get_gradients()]. In models it must be `regularizer_l1()`,
#' `regularizer_l2()` or `regularizer_l1_l2()`.
#'
#' @param fun A function of an array that returns one number.
#' @param gradient `NULL`, or a function of an array that returns the derivatives of `fun`, an array of the same dim.
#' @return A regularizer.
#' @family regularizers and constraints
#' @section Errors: `attentive_error_argument` where `fun` or `gradient` is no function, `fun` gives not one number, or the gradient is needed and can be found in no way; `attentive_error_shape` where
#'   the gradient has another shape.
#' @examples
#' smooth <- regularizer_custom(
#'   function(w) 0.1 * sum(sqrt(w^2 + 1)),
#'   gradient = function(w) 0.1 * w / sqrt(w^2 + 1)
#' )
#' smooth(c(-1, 0, 2))
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_regularizer = smooth)
#' layer_dense(units = 2, kernel_regularizer = function(w) 0.1 * sum(abs(w)))
#' @export
regularizer_custom <- function(fun, gradient = NULL) {
  specification_from_function("regularizer", fun, gradient, "fun", environment())
}

# Values -------------------------------------------------------------------------

# The numbers of a penalty: an R array, or the bytes of a variable with its
# shape and dtype.
regularizer_value <- function(regularizer, x, shape = array_shape(x), dtype = "float64", arg = "regularizer", call = NULL) {
  data <- specification_data(regularizer)
  if (data$kind == "function") {
    return(check_penalty(data$fun(if (is.raw(x)) unpack_numbers(x, shape, dtype) else x), arg, call))
  }
  check_matrix_penalty(data, shape, arg, call)
  penalty_value(engine_penalty(data), x, as.double(shape), dtype == "float64")
}

# The derivatives, in the form in which the numbers came.
regularizer_gradient <- function(regularizer, x, shape = array_shape(x), dtype = "float64", arg = "regularizer", call = NULL) {
  data <- specification_data(regularizer)
  if (data$kind != "function") {
    check_matrix_penalty(data, shape, arg, call)
    return(penalty_gradient(engine_penalty(data), x, as.double(shape), dtype == "float64"))
  }
  derive <- if (is.null(data$gradient)) traced_gradient(data$fun, shape, arg, call) else data$gradient
  gradient <- derive(if (is.raw(x)) unpack_numbers(x, shape, dtype) else x)
  if (!is.numeric(gradient) || length(gradient) != prod(shape)) {
    abort_attentive("shape",
      sprintf("The gradient of `%s` must be a numeric array of dim %s, not %s.", arg, format_shape(shape), describe(gradient)),
      arg = arg, call = call
    )
  }
  gradient <- array(as.double(gradient), shape)
  if (is.raw(x)) pack_numbers(gradient, dtype) else gradient
}

# The gradient of a penalty that is an R function alone: what it does to a symbolic tensor
# is a program. It must give what the function gives for an array: it does not where that asks for `length(w)`, say.
traced_gradient <- function(fun, shape, arg, call = NULL) {
  sizes <- if (length(shape) == 0L) 1L else as.integer(shape)
  pointer <- tryCatch(penalty_program(fun, sizes, arg, call), error = identity)
  if (inherits(pointer, "error")) {
    abort_attentive("argument", sprintf("`%s` is an R function whose gradient cannot be found; training needs one.", arg), hint = c(
      "Operators, `abs()`, `sum()` and their like and `op_...()` functions are derived.",
      "For anything else: `regularizer_custom(fun, gradient = function(w) ...)`."
    ), arg = arg, parent = pointer, call = call)
  }
  function(w) {
    derived <- program_gradients(pointer, list(array(as.double(w), sizes)), list(1), list(), FALSE, 0, 1L)$inputs[[1L]]
    if (is.null(derived)) array(0, sizes) else derived
  }
}

penalty_program <- function(fun, sizes, arg, call = NULL) {
  outer <- session$penalty
  session$penalty <- TRUE # sum() and its like are of all numbers
  on.exit(session$penalty <- outer)
  traced <- trace_function(fun, list(sizes), "float64", arg, call)
  plan <- build_program(traced$inputs, traced$outputs, traced$nodes)
  for (node in plan$nodes) if (!is.null(node$functions)) node$functions$gradient(list(), NULL) # says that there is none
  pointer <- program_create(plan, TRUE)
  trial <- trial_arrays(list(sizes))[[1L]] - 0.5
  value <- program_run(pointer, list(trial), list(), FALSE, 0, 1L)$outputs[[1L]]
  if (length(plan$variables) > 0L || !isTRUE(all.equal(as.vector(value), check_penalty(fun(trial), arg, call), tolerance = 1e-6))) {
    abort_attentive("argument", sprintf("`%s` gives other numbers for a symbolic tensor than for an array.", arg), arg = arg, call = call)
  }
  pointer
}

engine_penalty <- function(data) {
  if (data$kind == "orthogonal") {
    list(orthogonal = TRUE, factor = data$config$factor, columns = data$config$mode == "columns")
  } else {
    list(orthogonal = FALSE, l1 = c(data$config$l1, 0)[[1L]], l2 = c(data$config$l2, 0)[[1L]])
  }
}

check_matrix_penalty <- function(data, shape, arg, call = NULL) {
  if (data$kind != "orthogonal" || length(shape) == 2L) return(invisible())
  abort_attentive("shape", sprintf("`%s` is `regularizer_orthogonal()`, which is for matrices only, not for dim %s.", arg, format_shape(shape)),
    hint = "For kernels of more axes: `regularizer_l2()`, or a function of your own.", arg = arg, call = call
  )
}

check_penalty <- function(value, arg, call = NULL) {
  if (is.numeric(value) && length(value) == 1L && !is.factor(value)) return(as.double(value))
  abort_argument(value, sprintf("%s(x)", arg), "one number",
    hint = "A regularizer is a function of an array that returns its penalty, such as `function(x) 0.01 * sum(x^2)`.", call = call
  )
}

call_regularizer <- function(specification, x, call = NULL) {
  if (missing(x)) abort_missing("x", "a numeric array", call)
  regularizer_value(restored(specification), as_numbers(x, "x", call), call = call)
}

# The object of these data, for code that is called from inside it.
restored <- function(specification) {
  do.call(new_specification, specification)
}

# Doubles with the dim that they came with; variables as their array.
as_numbers <- function(x, arg, call = NULL) {
  if (inherits(x, "attentive_variable")) x <- as.array(x)
  if (!(is.numeric(x) || is.logical(x)) || is.factor(x) || is.data.frame(x)) {
    abort_argument(x, arg, "a numeric array", call = call)
  }
  if (!is.double(x)) storage.mode(x) <- "double"
  x
}

# Losses of a layer --------------------------------------------------------------

# Activity losses of the last call, then the penalties of the trainable weights
# as they are now, in the order of the weights.
layer_losses <- function(self) {
  weights <- Filter(function(weight) !is.null(weight[["regularizer"]]), layer_weights(self, TRUE))
  c(as.list(self$activity_losses), lapply(weights, function(weight) {
    regularizer_value(weight[["regularizer"]], weight[["value"]], weight[["shape"]], weight[["dtype"]],
      arg = paste0(weight[["name"]], "_regularizer")
    )
  }))
}

# What the engine is to give back for an activity regularizer: nothing, the
# penalties (its coefficients), or the activities themselves for an R function.
activity_request <- function(regularizer) {
  if (is.null(regularizer)) return(NULL)
  data <- specification_data(regularizer)
  if (data$kind == "function") TRUE else engine_penalty(data)
}

# Keeps the activity losses of a call: those of what the layer returns where
# Keras counts them, then those of its projections, in Keras's order, each
# divided by the batch size. `result` is what the engine gave: output, scores
# and, for layers with projections, penalties or activities.
record_activities <- function(self, result, batch) {
  regularizer <- self$activity_regularizer
  if (is.null(regularizer)) return(invisible())
  own <- if (isTRUE(self$regularizes_result)) Filter(Negate(is.null), result[1:2])
  projections <- if (length(result) > 2L) result[[3L]]
  self$activity_losses <- vapply(c(own, projections), function(value) {
    if (batch == 0L) return(0)
    loss <- if (is.null(dim(value))) value else regularizer_value(regularizer, value, arg = "activity_regularizer")
    loss / batch
  }, 0)
  invisible()
}

# Some specifications are for matrices only. A layer whose weights (or
# projections) never all are says so before anything is computed.
check_matrix_only <- function(self, args, call = NULL) {
  for (arg in args) {
    kind <- if (!is.null(self[[arg]])) specification_data(self[[arg]])$kind
    if (is.null(kind)) next
    if (kind == "identity" || (kind == "orthogonal" && grepl("regularizer", arg))) {
      abort_attentive("argument", sprintf("`%s` cannot be `%s`: it is for matrices only.", arg, format(self[[arg]])),
        hint = "Kernels and outputs of the projections have at least three dimensions, the output's bias one.", arg = arg, call = call
      )
    }
  }
}
