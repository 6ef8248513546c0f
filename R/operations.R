# Arithmetic with symbolic tensors: `+ - * / ^` and a few functions, as nodes.

binary_operations <- c(
  "+" = "add", "-" = "subtract", "*" = "multiply", "/" = "divide", "^" = "power"
)
unary_operations <- c(abs = "abs", sqrt = "sqrt", exp = "exp", log = "log")
operation_classes <- c(
  add = "Add", subtract = "Subtract", multiply = "Multiply", divide = "TrueDivide", power = "Power", negative = "Negative",
  abs = "Absolute", sqrt = "Sqrt", exp = "Exp", log = "Log"
)

#' @export
Ops.attentive_tensor <- function(e1, e2) {
  call <- environment()
  if (missing(e2)) {
    if (inherits(e1, "attentive_variable")) e1 <- variable_operand(e1)
    if (!is_symbolic(e1)) return(get(.Generic)(e1))
    if (.Generic == "+") return(e1)
    if (.Generic == "-") return(apply_operation("negative", list(e1), call))
  }
  if (!is_symbolic(e1) && !is_symbolic(e2)) { # variables
    e1 <- variable_operand(e1)
    e2 <- variable_operand(e2)
    if (!is_symbolic(e1) && !is_symbolic(e2)) return(get(.Generic)(e1, e2))
  }
  operation <- binary_operations[.Generic]
  if (is.na(operation)) abort_operation(.Generic, call)
  apply_operation(operation[[1L]], list(e1, e2), call)
}

# One method for both, else R would not know which to take.
#' @export
Ops.attentive_variable <- Ops.attentive_tensor

# A variable is a weight of what is being traced, else its numbers.
variable_operand <- function(x) {
  if (!inherits(x, "attentive_variable")) return(x)
  if (is_tracing()) weight_tensor(x) else variable_array(x)
}

#' @export
Math.attentive_tensor <- function(x, ...) {
  call <- environment()
  operation <- unary_operations[.Generic]
  if (is.na(operation) || ...length() > 0L) abort_operation(.Generic, call)
  apply_operation(operation[[1L]], list(x), call)
}

#' @export
Math.attentive_variable <- function(x, ...) get(.Generic)(variable_operand(x), ...)

#' @export
Summary.attentive_tensor <- function(..., na.rm = FALSE) abort_operation(.Generic, environment())

#' @export
`[.attentive_tensor` <- function(x, ...) abort_operation("[", environment())

abort_operation <- function(name, call = NULL) {
  abort_attentive("not_yet", sprintf("`%s` is not available for symbolic tensors.", name),
    hint = "Known are `+ - * / ^`, `abs()`, `exp()`, `log()`, `sqrt()` and all layers.", call = call
  )
}

# What R would answer without looking at any number, or after a warning.

#' @export
mean.attentive_tensor <- function(x, ...) abort_operation("mean()", environment())

#' @exportS3Method stats::median
median.attentive_tensor <- function(x, ...) abort_operation("median()", environment())

#' @export
is.na.attentive_tensor <- function(x) abort_operation("is.na()", environment())

#' @export
anyNA.attentive_tensor <- function(x, recursive = FALSE) abort_operation("anyNA()", environment())

#' @export
summary.attentive_tensor <- function(object, ...) abort_operation("summary()", environment())

#' @export
as.double.attentive_tensor <- function(x, ...) abort_operation("as.numeric()", environment())

#' @export
as.integer.attentive_tensor <- function(x, ...) abort_operation("as.integer()", environment())

#' @export
as.logical.attentive_tensor <- function(x, ...) abort_operation("as.logical()", environment())

#' @export
as.vector.attentive_tensor <- function(x, mode) abort_operation("as.vector()", environment())

#' @export
as.list.attentive_tensor <- function(x, ...) abort_operation("as.list()", environment())

#' @export
as.matrix.attentive_tensor <- function(x, ...) abort_operation("as.matrix()", environment())

#' @export
t.attentive_tensor <- function(x) abort_operation("t()", environment())

#' @export
aperm.attentive_tensor <- function(a, perm, ...) abort_operation("aperm()", environment())

#' @export
rev.attentive_tensor <- function(x) abort_operation("rev()", environment())

#' @export
scale.attentive_tensor <- function(x, center, scale) abort_operation("scale()", environment())

# Operands are tensors, numbers or arrays; these are lined up from the right.
apply_operation <- function(operation, operands, call = NULL, name = NULL) {
  operands <- lapply(operands, function(x) if (inherits(x, "attentive_variable") && is_tracing()) weight_tensor(x) else x)
  tensors <- vapply(operands, is_symbolic, NA)
  constants <- lapply(operands[!tensors], function(x) {
    if (inherits(x, "attentive_variable")) x <- variable_array(x)
    if (!(is.numeric(x) || is.logical(x)) || is.object(x) || length(x) == 0L) {
      abort_argument(x, "the other operand", "a symbolic tensor, a number or an array", call = call)
    }
    if (anyNA(x)) {
      abort_attentive("argument", "The other operand of a symbolic tensor has missing values.",
        hint = "`dim()` and `nrow()` of a tensor are NA where a size is not known yet, as that of the batch.", call = call
      )
    }
    x
  })
  # integers stay integers among themselves, as in Keras; all else computes in the session's type
  dtypes <- vapply(operands[tensors], function(tensor) tensor[["dtype"]], "")
  floats <- dtypes[dtypes %in% c("float32", "float64")]
  dtype <- if (length(floats) == 0L) config_floatx() else if ("float64" %in% floats) "float64" else "float32"
  self <- new_self("operation", operation_classes[[operation]], sub("divide", "true_divide", operation), list(dtype = dtype), call)
  self$name <- if (is.null(name)) unique_name(self$prefix) else name
  self$operation <- operation
  self$constants <- constants
  self$tensors <- tensors
  self$built <- TRUE
  apply_symbolically(self, operands[tensors], list(), call)
}

layer_output_shape.operation <- function(self, shapes, call = NULL) {
  all <- operands_of(self, unname(shapes), lapply(self$constants, function(x) if (length(x) == 1L) integer() else array_dim(x)))
  if (length(all) == 1L) return(all[[1L]])
  shape <- broadcast_shapes(all[[1L]], all[[2L]])
  if (is.null(shape)) {
    abort_attentive("shape", sprintf("The shapes %s and %s do not fit together.", format_shape(all[[1L]]), format_shape(all[[2L]])), call = call)
  }
  shape
}

# What belongs to tensors and what to constants, in the order of the operands.
operands_of <- function(self, tensors, constants) {
  all <- vector("list", length(self$tensors))
  all[self$tensors] <- tensors
  all[!self$tensors] <- constants
  all
}

layer_emit.operation <- function(self, builder, inputs, arguments) {
  constants <- lapply(self$constants, function(x) {
    scalar <- length(x) == 1L
    rows <- if (length(dim(x)) > 1L) aperm(x, rev(seq_along(dim(x)))) else x
    options <- list(values = as.double(rows))
    if (!scalar) options$dims <- array_dim(x)
    add_node(builder, "constant", integer(), options)
  })
  values <- unlist(operands_of(self, as.list(handle_values(inputs)), constants))
  binary <- length(values) == 2L
  # masks end here, as in Keras: layer_add() and its like pass them on
  handle(add_node(builder, if (binary) "binary" else "unary", values, list(operation = self$operation)))
}

layer_config.operation <- function(self) list(constants = self$constants, tensors = self$tensors)
layer_build.operation <- function(self, shapes, call = NULL) invisible(self)
layer_property.operation <- function(self, name) simple_property(self, name, "operation", self$operation)
layer_function.operation <- function(self) {
  function(...) abort_attentive("argument", "An operation of a graph cannot be called.", call = environment())
}

# Tensors from no tensor --------------------------------------------------------------

# Whether an R function is being applied to tensors that stand for arrays: then variables are weights.
is_tracing <- function() isTRUE(session$tracing)

# A variable as a tensor; the gradient goes to the variable.
weight_tensor <- function(variable) {
  self <- new_self(c("weight_operation", "operation"), "Variable", "weight", list(dtype = variable[["dtype"]]))
  self$name <- variable[["name"]]
  self$variable <- variable
  self$built <- TRUE
  new_node(self, list(), list(), list(variable[["shape"]]))$outputs[[1L]]
}

layer_emit.weight_operation <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "weight", integer(), list(dims = self$variable[["shape"]]), list(self$variable)))
}

# Which ids are not 0: a mask as a tensor.
token_mask_tensor <- function(ids) {
  self <- new_self(c("token_mask_operation", "operation"), "NotEqual", "not_equal", list())
  self$name <- unique_name(self$prefix)
  self$operation <- "not_equal"
  self$constants <- list(0)
  self$tensors <- c(TRUE, FALSE)
  self$built <- TRUE
  new_node(self, list(ids), list(), list(ids[["shape"]]), "bool")$outputs[[1L]]
}

layer_output_shape.token_mask_operation <- function(self, shapes, call = NULL) shapes[[1L]]

layer_emit.token_mask_operation <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "mask_value", integer(), masks = emit_token_mask(builder, inputs[[1L]]$value)))
}
