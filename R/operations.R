# Operations on symbolic tensors, where they add a node, and on arrays, where the
# same engine nodes compute in double precision. What each of them is stands in
# operation_table.R.

# Applies an operation to operands: tensors, variables, arrays, numbers. `args` as above.
apply_operation <- function(name, operands, args = list(), call = NULL, node_name = NULL) {
  operands <- lapply(seq_along(operands), function(i) as_operand(operands[[i]], i, length(operands), call))
  tensors <- vapply(operands, is_symbolic, NA)
  if (!any(tensors) && name != "constant") return(compute_operation(name, operands, args, call))
  self <- new_operation(name, operands, args, tensors, call, node_name)
  shapes <- layer_output_shape(self, lapply(operands[tensors], function(tensor) tensor[["shape"]]), call)
  if (!is.list(shapes)) shapes <- list(shapes)
  outputs <- new_node(self, operands[tensors], list(), shapes, operation_dtype(name, vapply(operands, dtype_of, ""), args))$outputs
  for (tensor in outputs) tensor$fixed <- makes_fixed(self$fixed, args)
  if (length(outputs) == 1L) outputs[[1L]] else outputs
}

new_operation <- function(name, operands, args, tensors, call, node_name) {
  # what is computed is float: among whole numbers in the session's type
  dtypes <- vapply(operands[tensors], function(tensor) tensor[["dtype"]], "")
  floats <- dtypes[dtypes %in% c("float32", "float64")]
  dtype <- if (length(floats) == 0L) config_floatx() else if ("float64" %in% floats) "float64" else "float32"
  class <- operation_table[[name]]$class
  self <- new_self("operation", class, snake_case(class), list(dtype = dtype), call)
  self$name <- if (is.null(node_name)) unique_name(self$prefix) else node_name
  self$operation <- name
  self$args <- args
  self$constants <- operands[!tensors]
  self$tensors <- tensors
  self$fixed <- vapply(operands, is_fixed, NA)
  self$built <- TRUE
  self
}

snake_case <- function(class) tolower(gsub("([a-z])([A-Z])", "\\1_\\2", class))

# One operand: a tensor, or an array without a class. Variables are weights of what is being traced, else numbers.
as_operand <- function(x, i, n, call = NULL) {
  if (is_symbolic(x)) return(x)
  if (inherits(x, "attentive_variable")) return(if (is_tracing()) weight_tensor(x) else variable_array(x))
  plain <- !is.object(x) || inherits(x, c("attentive_scores", "table"))
  if (!(is.numeric(x) || is.logical(x)) || !plain) {
    what <- if (n == 1L) "x" else paste("operand", i)
    abort_argument(x, what, "a symbolic tensor, a number or a numeric array", call = call)
  }
  if (is.object(x)) x <- unclass(x)
  # a number without dim has no axis
  if (is.null(dim(x)) && length(x) != 1L) dim(x) <- length(x)
  dimnames(x) <- NULL
  x
}

# A size of 1 or NA that a tensor does not know yet is a trap: `dim()` of a tensor gives it.
check_known <- function(constants, call = NULL) {
  for (x in constants) {
    if (anyNA(x) && !all(is.nan(x[is.na(x)]))) {
      abort_attentive("argument", "An operand beside a symbolic tensor has missing values.",
        hint = "`dim()` and `nrow()` of a tensor are NA where a size is not known yet, as that of the batch; `op_shape()` gives sizes to compute with.", call = call
      )
    }
  }
}

operand_shape <- function(x) if (is_symbolic(x)) x[["shape"]] else as.integer(dim(x))
is_fixed <- function(x) !is_symbolic(x) || isTRUE(x[["fixed"]])
dtype_of <- function(x) if (is_symbolic(x)) x[["dtype"]] else switch(typeof(x), logical = "bool", integer = "int32", "number")

# The dtype of what comes out. A plain number does not make a float64 of a float32.
operation_dtype <- function(name, dtypes, args) {
  rule <- operation_table[[name]]$dtype
  if (is.function(rule)) return(rule(dtypes, args))
  if (!rule %in% c("promote", "float")) return(rule)
  promote_dtypes(dtypes, rule == "float")
}

promote_dtypes <- function(dtypes, float = FALSE) {
  for (dtype in c("float64", "float32")) if (dtype %in% dtypes) return(dtype)
  if (float || "number" %in% dtypes) return(config_floatx())
  for (dtype in c("int64", "int32")) if (dtype %in% dtypes) return(dtype)
  "bool"
}

layer_output_shape.operation <- function(self, shapes, call = NULL) {
  check_known(self$constants, call)
  all <- operands_of(self, unname(shapes), lapply(self$constants, operand_shape))
  self$operand_shapes <- all
  operation_table[[self$operation]]$shape(all, self$args, call)
}

# Whether what comes out is the same for every batch. The last `refs` operands are there for their sizes alone.
makes_fixed <- function(fixed, args) {
  data <- seq_len(length(fixed) - if (is.null(args$refs)) 0L else args$refs)
  all(fixed[data]) && !uses_batch(c(args$sizes, args$starts, args$rule))
}

# What belongs to tensors and what to constants, in the order of the operands.
operands_of <- function(self, tensors, constants) {
  all <- vector("list", length(self$tensors))
  all[self$tensors] <- tensors
  all[!self$tensors] <- constants
  all
}

layer_emit.operation <- function(self, builder, inputs, arguments) {
  rule <- operation_table[[self$operation]]
  values <- as.integer(unlist(operands_of(self, as.list(handle_values(inputs)), lapply(self$constants, emit_constant, builder = builder))))
  if (!makes_fixed(self$fixed, self$args) && rule$across(self$operand_shapes, self$fixed, self$args)) builder$whole_batch <- TRUE
  made <- rule$emit(builder, values, self$args, self$operand_shapes)
  # masks end here, as in Keras: layer_add() and its like pass them on
  if (length(made) == 1L) handle(made) else lapply(made, handle)
}

emit_constant <- function(x, builder) {
  rows <- if (length(dim(x)) > 1L) aperm(x, rev(seq_along(dim(x)))) else x
  options <- list(values = as.double(rows))
  if (!is.null(dim(x))) options$dims <- dim(x)
  add_node(builder, "constant", integer(), options)
}

# `dtype` is that in which a layer computes: what an operation makes has another name.
layer_config.operation <- function(self) {
  args <- self$args
  names(args)[names(args) == "dtype"] <- "to_dtype"
  c(args, list(constants = self$constants, tensors = self$tensors))
}
layer_build.operation <- function(self, shapes, call = NULL) invisible(self)
layer_property.operation <- function(self, name) simple_property(self, name, "operation", self$operation)
layer_function.operation <- function(self) {
  function(...) abort_attentive("argument", "An operation of a graph cannot be called.", call = environment())
}

# On arrays ------------------------------------------------------------------------

# The operation on arrays: a program of its nodes, in double precision.
compute_operation <- function(name, operands, args, call = NULL) {
  rule <- operation_table[[name]]
  shapes <- lapply(operands, operand_shape)
  made <- rule$shape(shapes, args, call)
  builder <- new_builder()
  inputs <- vapply(operands, function(x) new_value(builder), 0L)
  # the engine's programs have arrays as inputs: a single number is one of one axis
  values <- inputs
  for (i in which(lengths(shapes) == 0L)) values[[i]] <- add_node(builder, "reshape", inputs[[i]], list(sizes = numeric()))
  results <- rule$emit(builder, values, args, shapes)
  plan <- finish_program(builder, inputs, lapply(results, handle))
  arrays <- tryCatch(
    program_run(program_create(plan, TRUE), lapply(operands, as_doubles), list(), FALSE, 0, call_threads(list(), call))$outputs,
    `std::invalid_argument` = function(e) abort_attentive("argument", capitalized(conditionMessage(e)), call = call)
  )
  dtype <- operation_dtype(name, vapply(operands, dtype_of, ""), args)
  arrays <- lapply(arrays, as_r_type, dtype)
  if (length(arrays) == 1L) arrays[[1L]] else arrays
}

as_doubles <- function(x) {
  if (!is.double(x)) storage.mode(x) <- "double"
  x
}

as_r_type <- function(x, dtype) {
  if (dtype == "bool") {
    storage.mode(x) <- "logical"
  } else if (dtype %in% c("int32", "int64") && all(abs(x) <= .Machine$integer.max, na.rm = TRUE)) {
    storage.mode(x) <- "integer"
  }
  x
}

# Tensors from no tensor --------------------------------------------------------------

# Whether an R function is being applied to tensors that stand for arrays: then variables are
# weights, and what a layer is called on becomes part of the trace.
is_tracing <- function() isTRUE(session$tracing)

# A variable as a tensor; the gradient goes to the variable.
weight_tensor <- function(variable) {
  self <- new_operation("constant", list(), list(), logical(), NULL, NULL)
  self$variable <- variable
  self$dtype <- variable[["dtype"]]
  class(self) <- c("weight_operation", class(self))
  new_node(self, list(), list(), list(variable[["shape"]]), variable[["dtype"]])$outputs[[1L]]
}

layer_emit.weight_operation <- function(self, builder, inputs, arguments) {
  handle(add_node(builder, "weight", integer(), list(dims = self$variable[["shape"]]), list(self$variable)))
}

# An array as a tensor.
constant_tensor <- function(x) {
  apply_operation("constant", list(), list(value = as_operand(x, 1L, 1L)))
}

# Operators -------------------------------------------------------------------------

operator_names <- c(
  "+" = "add", "-" = "subtract", "*" = "multiply", "/" = "divide", "^" = "power", "%/%" = "floor_divide", "%%" = "mod",
  ">" = "greater", ">=" = "greater_equal", "<" = "less", "<=" = "less_equal", "==" = "equal", "!=" = "not_equal",
  "&" = "logical_and", "|" = "logical_or"
)
math_names <- c(
  abs = "abs", sqrt = "sqrt", exp = "exp", log = "log", expm1 = "expm1", log1p = "log1p", log2 = "log2", log10 = "log10", sign = "sign",
  floor = "floor", ceiling = "ceil", round = "round", sin = "sin", cos = "cos", tan = "tan", asin = "arcsin", acos = "arccos",
  atan = "arctan", sinh = "sinh", cosh = "cosh", tanh = "tanh"
)

#' @export
Ops.attentive_tensor <- function(e1, e2) {
  call <- environment()
  if (missing(e2)) {
    switch(.Generic,
      "+" = return(e1), "-" = return(apply_operation("negative", list(e1), call = call)),
      "!" = return(apply_operation("logical_not", list(e1), call = call)), abort_operation(.Generic, call)
    )
  }
  name <- operator_names[.Generic]
  if (is.na(name)) abort_operation(.Generic, call)
  apply_binary(name[[1L]], e1, e2, call)
}

# Sizes of shapes stay sizes under whole-number arithmetic; x %% y is made of the others.
apply_binary <- function(name, x1, x2, call = NULL) {
  if (is_size(x1) || is_size(x2)) {
    size <- size_arithmetic(name, x1, x2)
    if (!is.null(size)) return(size)
  }
  if (name == "mod") {
    whole <- apply_operation("multiply", list(apply_operation("floor_divide", list(x1, x2), call = call), x2), call = call)
    return(apply_operation("subtract", list(x1, whole), call = call))
  }
  apply_operation(name, list(x1, x2), call = call)
}

# One method for both, else R would not know which to take.
#' @export
Ops.attentive_variable <- Ops.attentive_tensor

#' @export
Math.attentive_tensor <- function(x, ...) {
  call <- environment()
  name <- math_names[.Generic]
  if (is.na(name) || (...length() > 0L && .Generic != "round")) abort_operation(.Generic, call)
  if (...length() > 0L) return(op_round(x, ...))
  apply_operation(name[[1L]], list(x), call = call)
}

#' @rawNamespace if (getRversion() >= "4.3.0") S3method(matrixOps, attentive_tensor)
matrixOps.attentive_tensor <- function(x, y) op_matmul(x, y)

#' @rawNamespace if (getRversion() >= "4.3.0") S3method(matrixOps, attentive_variable)
matrixOps.attentive_variable <- matrixOps.attentive_tensor

#' @export
Math.attentive_variable <- Math.attentive_tensor

#' @export
Summary.attentive_tensor <- function(..., na.rm = FALSE) {
  over_all <- if (isTRUE(session$penalty) && ...length() == 1L) switch(.Generic, sum = op_sum, prod = op_prod, max = op_max, min = op_min)
  if (is.null(over_all)) abort_operation(.Generic, environment()) else over_all(...)
}

# What to use in place of R's own functions.
operation_hints <- c(
  sum = "op_sum", max = "op_max", min = "op_min", prod = "op_prod", any = "op_any", all = "op_all", range = "op_max", "mean()" = "op_mean",
  "t()" = "op_transpose", "aperm()" = "op_transpose", "rev()" = "op_flip", "is.na()" = "op_isnan", cumsum = "op_cumsum", trunc = "op_cast",
  "median()" = "op_mean", "scale()" = "op_normalize", "as.integer()" = "op_cast", "as.numeric()" = "op_cast", "as.logical()" = "op_cast"
)

abort_operation <- function(name, call = NULL) {
  instead <- operation_hints[name]
  abort_attentive("not_yet", sprintf("`%s` is not available for symbolic tensors.", name), hint = c(
    if (!is.na(instead)) sprintf("Use `%s()`.", instead),
    "Known are the operators, `[`, `abs()`, `exp()`, `log()`, `sqrt()` and their like, all `op_...()` functions and all layers."
  ), call = call)
}

# What R would answer without looking at any number, or after a warning.

#' @export
mean.attentive_tensor <- function(x, ...) if (isTRUE(session$penalty)) op_mean(x) else abort_operation("mean()", environment())

#' @importFrom stats median
#' @export
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
