# Symbolic tensors: what stands for an array while a model is put together.
#
# A tensor is an environment with its shape (NA where unknown, the batch first),
# dtype and name, and with the node that makes it. It has no numbers. `fixed`:
# it does not depend on the batch, as positions do not.

new_tensor <- function(shape, dtype, name, node = NULL, index = 1L, fixed = FALSE) {
  tensor <- new.env(parent = emptyenv(), size = 7L)
  tensor$shape <- as.integer(shape)
  tensor$dtype <- dtype
  tensor$name <- name
  tensor$node <- node
  tensor$index <- index
  tensor$fixed <- fixed
  class(tensor) <- "attentive_tensor"
  tensor
}

is_symbolic <- function(x) is.environment(x) && inherits(x, "attentive_tensor") # a class is easily forged

# Whether x is a symbolic tensor or a list that holds one.
any_symbolic <- function(x) {
  is_symbolic(x) || (is.list(x) && !is.data.frame(x) && any(vapply(x, is_symbolic, NA)))
}

#' @export
`$.attentive_tensor` <- function(x, name) {
  switch(name,
    shape = new_shape(x[["shape"]]),
    ndim = , rank = length(x[["shape"]]),
    name = , dtype = x[[name]],
    abort_attentive("name", sprintf("A symbolic tensor has no field `%s`.", name),
      hint = "Known fields: `shape`, `dtype`, `name`, `ndim`."
    )
  )
}

#' @export
names.attentive_tensor <- function(x) c("shape", "dtype", "name", "ndim")

#' @export
dim.attentive_tensor <- function(x) if (is_symbolic(x)) x[["shape"]]

#' @export
length.attentive_tensor <- function(x) 1L

#' @export
format.attentive_tensor <- function(x, ...) {
  sprintf("<symbolic tensor \"%s\", shape %s, %s>", x[["name"]], format_shape(x[["shape"]]), x[["dtype"]])
}

#' @export
print.attentive_tensor <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_tensor <- function(object, ...) cat(format(object), "\n", sep = "")

#' @export
as.array.attentive_tensor <- function(x, ...) {
  abort_attentive("state", "A symbolic tensor has no numbers yet.",
    hint = "Make a model with `keras_model(inputs, outputs)` and call it or `predict()` on arrays."
  )
}

# The beginning of a model ------------------------------------------------------

#' The input of a model
#'
#' Makes a symbolic tensor from which a model is put together: apply layers to it, and give it and the result to [keras_model()].
#'
#' @param shape Sizes of one element, without the batch; `NA` for a size that differs from batch to batch, such as the length of sequences.
#' @param batch_size The number of elements of every batch, where it is fixed.
#' @param dtype "float32", "float64", or "int32" for whole numbers such as token ids.
#' @param name A name: predictions and training take named lists by it.
#' @param ... Nothing; `sparse`, `ragged` and `tensor` of keras3 are not available.
#' @param batch_shape All sizes with the batch, in place of `shape` and `batch_size`.
#' @return A symbolic tensor.
#' @section Errors: `attentive_error_shape` where `shape` is missing or no shape.
#' @family models
#' @examples
#' tokens <- keras_input(shape(NA), dtype = "int32")
#' tokens
#' @export
keras_input <- function(shape = NULL, batch_size = NULL, dtype = NULL, ..., batch_shape = NULL, name = NULL) {
  call <- environment()
  check_dots_names(list(...), character(), "`keras_input()`", call, c("shape", "batch_size", "dtype", "batch_shape", "name"))
  check_no_negative(shape, "shape", call)
  check_no_negative(batch_shape, "batch_shape", call)
  sizes <- if (!is.null(batch_shape)) {
    as_shape(batch_shape, "batch_shape", call)
  } else {
    batch <- check_whole(batch_size, "batch_size", null = TRUE, call = call)
    c(if (is.null(batch)) NA_integer_ else batch, if (length(shape) > 0L) as_shape(shape, "shape", call))
  }
  if (is.null(shape) && is.null(batch_shape)) abort_missing("shape", "the sizes of one element, NA where unknown", call)
  if (is.null(dtype)) dtype <- config_floatx()
  check_choice(dtype, "dtype", c("float32", "float64", "int32", "int64", "bool"), call = call)
  name <- check_string(name, "name", null = TRUE, call = call)
  self <- new_self("input_layer", "InputLayer", "input_layer", list(name = name), call)
  self$batch_shape <- sizes
  self$input_dtype <- dtype
  self$built <- TRUE
  if (is.null(name)) self$name <- unique_name("input_layer")
  new_node(self, list(), list(), list(sizes), dtype)$outputs[[1L]]
}

# An input says what is unknown by NA; -1 is more often a mistake.
check_no_negative <- function(shape, arg, call = NULL) {
  sizes <- Filter(is.numeric, as.list(shape))
  if (!any(unlist(sizes) < 0, na.rm = TRUE)) return(invisible())
  abort_argument(shape, arg, "a shape: whole numbers, NA where a size is unknown", call = call, class = "shape")
}

#' @rdname keras_input
#' @export
layer_input <- keras_input

layer_function.input_layer <- function(self) {
  function(...) abort_attentive("argument", "The input of a model cannot be called.", call = environment())
}

layer_config.input_layer <- function(self) {
  list(batch_shape = as.list(self$batch_shape), input_dtype = self$input_dtype)
}

layer_property.input_layer <- function(self, name) {
  if (is.null(name)) return(c("batch_shape"))
  if (name == ".summary") return(format_shape(self$batch_shape))
  if (name == "batch_shape") return(new_shape(self$batch_shape))
  unknown_property(self, name, "batch_shape")
}
