# Activations: names that the engine knows, or R functions that are traced.

# Keras's names; the last ones are its aliases.
activation_names <- c(
  "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish", "sigmoid", "hard_sigmoid",
  "hard_silu", "hard_swish", "hard_tanh", "tanh", "tanh_shrink", "softplus", "softsign", "exponential", "log_sigmoid", "squareplus",
  "soft_shrink", "hard_shrink", "sparse_plus", "sparse_sigmoid", "threshold", "softmax", "log_softmax", "sparsemax", "glu"
)

#' An activation as a layer
#'
#' Applies a function to every number, or for `"softmax"` and its like to every vector along the last axis.
#'
#' @section Activations:
#' `"linear"` (nothing), `"relu"`, `"relu6"`, `"leaky_relu"`, `"elu"`, `"selu"`, `"celu"`, `"gelu"` (with the exact normal distribution), `"silu"` or `"swish"`, `"mish"`,
#' `"sigmoid"`, `"hard_sigmoid"`, `"hard_silu"`, `"hard_tanh"`, `"tanh"`, `"tanh_shrink"`, `"softplus"`, `"softsign"`, `"exponential"`, `"log_sigmoid"`, `"squareplus"`,
#' `"soft_shrink"`, `"hard_shrink"`, `"sparse_plus"`, `"sparse_sigmoid"`, `"threshold"`, `"softmax"`, `"log_softmax"`, `"sparsemax"`, `"glu"`. Source: the documentation of
#' `keras.activations`. An R function is applied to a symbolic tensor once, to see what it does: it may use
#' operators, R's `abs()`, `exp()`, `log()`, `sqrt()` and their like, all `op_...()` functions and layers. The functions `activation_...()` can be given as they are.
#'
#' @section Shapes:
#' What comes out has the shape of what goes in; `"glu"` halves the last axis. A mask is passed on.
#'
#' @inheritParams layer_dense
#' @param activation Name of an activation, one of the functions `activation_...()`, or an R function of a symbolic tensor.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_name` for an unknown activation; else see [attentive_errors].
#' @family layers
#' @examples
#' layer_activation(matrix(-1:2, 1), "relu")
#' layer_activation(matrix(-1:2, 1), function(x) x * x)
#' @export
layer_activation <- function(object, activation, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, common_arguments, "`layer_activation()`", call)
  if (missing(activation)) abort_missing("activation", "the name of an activation or a function", call)
  self <- new_self(c("activation", "simple_layer"), "Activation", "activation", dots, call)
  self$activation <- as_activation(activation, "activation", call)
  compose_layer(new_layer(self), object, call)
}

layer_build.activation <- function(self, shapes, call = NULL) {
  self$activation <- trace_activation(self$activation, shapes[[1L]], self$dtype, call)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.activation <- function(self, shapes, call = NULL) activation_shape(self$activation, shapes[[1L]], self$dtype, call)

layer_emit.activation <- function(self, builder, inputs, arguments) emit_activation(builder, self$activation, inputs[[1L]])

layer_config.activation <- function(self) list(activation = activation_config(self$activation))

layer_property.activation <- function(self, name) {
  if (identical(name, "activation")) return(activation_config(self$activation))
  simple_property(self, name, "activation", if (is.null(self$activation$name)) "an R function" else self$activation$name)
}

# An activation is list(name =) or list(fun =), with `traced` once a shape is known.
as_activation <- function(x, arg, call = NULL) {
  if (is.null(x)) return(list(name = "linear"))
  if (is.list(x) && !is.object(x) && is.function(x$fun)) x <- x$fun # from a configuration
  if (is_layer(x) && inherits(x, "attentive_activation")) x <- layer_self(x)$activation$name
  if (is.function(x) && !inherits(x, "attentive_layer")) {
    name <- name_of_activation(x)
    if (!is.null(name)) return(list(name = name))
    check_takes_arguments(x, "activation", arg, call)
    return(list(fun = x))
  }
  if (!is.character(x) || is.object(x) || length(x) != 1L || is.na(x)) {
    abort_argument(x, arg, "the name of an activation, an R function or NULL", call = call)
  }
  x <- readable(x)
  name <- activation_names[match(plain_name(x, "activation"), plain_name(activation_names, "activation"))]
  if (!is.na(name)) return(list(name = name))
  abort_attentive("name", sprintf("`%s` must be the name of an activation, not %s.", arg, describe(x)),
    hint = c(nearest_hint(x, activation_names), paste0("Known names: ", or_list(activation_names), ".")), arg = arg, call = call
  )
}

trace_activation <- function(activation, shape, dtype, call = NULL) {
  if (!is.null(activation$name)) return(activation)
  activation$traced <- trace_function(activation$fun, list(shape), dtype, "activation", call)
  activation
}

activation_shape <- function(activation, shape, dtype, call = NULL) {
  if (is.null(activation$name)) return(trace_activation(activation, shape, dtype, call)$traced$outputs[[1L]][["shape"]])
  if (activation$name != "glu") return(shape)
  last <- shape[[length(shape)]]
  if (!is.na(last) && last %% 2L != 0L) {
    abort_attentive("shape", sprintf("\"glu\" halves the last axis, which must be even: %s.", format_shape(shape)), call = call)
  }
  replace_last(shape, last %/% 2L)
}

emit_activation <- function(builder, activation, input) {
  if (is.null(activation$name)) return(handle(emit_traced(builder, activation$traced, list(input))$value, input$mask))
  if (activation$name == "linear") return(input)
  handle(add_node(builder, "activation", input$value, list(activation = activation$name)), input$mask)
}

activation_config <- function(activation) if (is.null(activation$name)) activation["fun"] else activation$name

activation_label <- function(activation) {
  if (is.null(activation$name)) ", an R function" else if (activation$name == "linear") "" else paste0(", ", activation$name)
}

# Functions that are traced ---------------------------------------------------------

# What an R function does to symbolic tensors of these shapes, as a graph.
trace_function <- function(fun, shapes, dtype, arg, call = NULL, arguments = list()) {
  inputs <- lapply(seq_along(shapes), function(i) new_input_tensor(shapes[[i]], dtype, paste0("input_", i)))
  given <- if (length(inputs) == 1L) inputs[[1L]] else inputs
  outer <- session$tracing
  session$tracing <- TRUE
  on.exit(session$tracing <- outer)
  outputs <- do.call(fun, c(list(given), arguments), quote = TRUE)
  if (is_symbolic(outputs)) outputs <- list(outputs)
  if (!is.list(outputs) || length(outputs) == 0L || !all(vapply(outputs, is_symbolic, NA))) {
    abort_attentive("argument", sprintf("The function `%s` must give a symbolic tensor, not %s.", arg, describe(outputs)),
      hint = "It is applied to symbolic tensors: operators, `exp()` and its like, `op_...()` functions and layers work on them.", arg = arg, call = call
    )
  }
  list(inputs = inputs, outputs = outputs, nodes = order_nodes(inputs, outputs, call))
}

# A tensor that stands for an argument, outside of any model.
new_input_tensor <- function(shape, dtype, name) {
  self <- new.env(parent = topenv())
  self$name <- name
  self$built <- TRUE
  self$trainable <- TRUE
  self$weights <- list()
  class(self) <- c("input_layer", "attentive_self")
  new_node(self, list(), list(), list(shape), dtype)$outputs[[1L]]
}

emit_traced <- function(builder, traced, handles) {
  made <- emit_nodes(builder, traced$inputs, handles, traced$outputs, traced$nodes)
  if (length(made) == 1L) made[[1L]] else made
}
