# Variables: the numbers of a layer.
#
# A variable is an environment that holds data only: `value`, the numbers as
# raw bytes in row-major order and in the layer's dtype (so the engine reads
# them without converting, and saveRDS(), a fork or a worker just work), and
# `shape`, `dtype`, `name`, `path`, `trainable`, `regularizer`, `constraint`.

new_variable <- function(value, shape, dtype, name, path, trainable = TRUE,
                         regularizer = NULL, constraint = NULL) {
  variable <- new.env(parent = emptyenv(), size = 8L)
  variable$value <- value
  variable$shape <- as.integer(shape)
  variable$dtype <- dtype
  variable$name <- name
  variable$path <- path
  variable$trainable <- trainable
  variable$regularizer <- regularizer
  variable$constraint <- constraint
  class(variable) <- "attentive_variable"
  variable
}

# Internal code reads fields with [[ ]], which stays the environment's own.
variable_array <- function(variable) {
  unpack_numbers(variable[["value"]], variable[["shape"]], variable[["dtype"]])
}

variable_assign <- function(variable, value, arg = "value", call = NULL) {
  if (is_tracing()) {
    abort_attentive("not_yet", sprintf("The weight \"%s\" cannot be assigned to within `call()`: state that changes while a layer runs is not available.", variable[["path"]]),
      hint = c(
        "`call()` is followed once and only what comes out of it runs later; `layer_batch_normalization()` has moving statistics.",
        "Outside of it, in a callback or a loop of one's own, `variable$assign(value)` works."
      ), call = call
    )
  }
  variable[["value"]] <- pack_value(variable, value, arg, call)
  invisible(variable)
}

# `value` as the bytes of this variable, or an error; the variable is unchanged.
pack_value <- function(variable, value, arg, call = NULL) {
  shape <- variable[["shape"]]
  if (inherits(value, "attentive_variable")) value <- variable_array(value)
  if (!(is.numeric(value) || is.logical(value)) || is.factor(value) || inherits(value, "integer64")) {
    abort_argument(value, arg, sprintf("a numeric array of dim %s", format_shape(shape)),
      call = call, class = "weights"
    )
  }
  fits <- if (is.null(dim(value))) {
    length(shape) <= 1L && length(value) == prod(shape)
  } else {
    identical(as.integer(dim(value)), shape) || (length(shape) == 0L && length(value) == 1L)
  }
  if (!fits) {
    abort_attentive("weights",
      sprintf(
        "`%s` for the weight \"%s\" must have dim %s, not %s.", arg, variable[["path"]],
        format_shape(shape), if (is.null(dim(value))) paste("a length of", length(value)) else format_shape(dim(value))
      ),
      hint = "`lapply(get_weights(layer), dim)` shows what a layer takes.", call = call
    )
  }
  if (!is.logical(value) && !is.double(value)) storage.mode(value) <- "double"
  pack_numbers(value, variable[["dtype"]])
}

#' @export
`$.attentive_variable` <- function(x, name) {
  switch(name,
    shape = new_shape(x[["shape"]]),
    value = , numpy = if (name == "value") variable_array(x) else function() variable_array(x),
    assign = function(value) variable_assign(x, value),
    count_params = function() prod(x[["shape"]]),
    dtype = , name = , path = , trainable = , regularizer = , constraint = x[[name]],
    abort_attentive("name", sprintf("A variable has no field `%s`.", name),
      hint = paste0("Known fields: ", paste0("`", variable_fields, "`", collapse = ", "), ".")
    )
  )
}

variable_fields <- c(
  "name", "path", "shape", "dtype", "trainable", "value", "regularizer", "constraint", "assign", "numpy", "count_params"
)

#' @export
names.attentive_variable <- function(x) variable_fields

#' @export
`$<-.attentive_variable` <- function(x, name, value) {
  if (name == "trainable") {
    assign("trainable", check_flag(value, "trainable"), envir = x)
  } else if (name == "value") {
    variable_assign(x, value)
  } else {
    abort_attentive("name", sprintf("The field `%s` of a variable cannot be set.", name),
      hint = "Use `variable$assign(value)` to change the numbers."
    )
  }
  invisible(x)
}

#' @export
as.array.attentive_variable <- function(x, ...) variable_array(x)

#' @export
as.double.attentive_variable <- function(x, ...) as.double(variable_array(x))

#' @export
dim.attentive_variable <- function(x) x[["shape"]]

#' @export
format.attentive_variable <- function(x, ...) {
  sprintf(
    "<variable \"%s\", shape %s, %s%s>", x[["path"]], format_shape(x[["shape"]]), x[["dtype"]],
    if (x[["trainable"]]) "" else ", not trainable"
  )
}

#' @export
print.attentive_variable <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  print(variable_array(x), ...)
  invisible(x)
}

#' @export
str.attentive_variable <- function(object, ...) cat(format(object), "\n", sep = "")
