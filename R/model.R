# Functional models: a graph between inputs and outputs, itself a layer.

#' A model from inputs to outputs
#'
#' Cuts the part of a graph that leads from `inputs` to `outputs` out as a model. A model is called on arrays like a layer, and can be a layer of another model.
#'
#' @param inputs A symbolic tensor from [keras_input()], or a list of them; names of the list are kept.
#' @param outputs A symbolic tensor that was computed from `inputs`, or a list of them.
#' @param ... `name`, the model's name; `trainable`.
#' @return A model: a function of arrays with methods for `compile()`, `fit()`, `predict()`, `evaluate()`, `summary()`.
#' @section Errors: `attentive_error_argument` where the outputs depend on an input that is not given.
#' @family models
#' @examples
#' input <- keras_input(c(4, 6))
#' output <- layer_multi_head_attention(input, num_heads = 2, key_dim = 3) |>
#'   layer_global_average_pooling_1d() |>
#'   layer_dense(1)
#' model <- keras_model(input, output)
#' model
#' dim(model(array(0, c(2, 4, 6))))
#' @export
keras_model <- function(inputs = NULL, outputs = NULL, ...) {
  call <- environment()
  dots <- list(...)
  check_dots_names(dots, c("name", "trainable"), "`keras_model()`", call)
  inputs <- check_tensors(inputs, "inputs", call)
  outputs <- check_tensors(outputs, "outputs", call)
  nodes <- order_nodes(inputs, outputs, call)
  self <- new_self(c("functional_model", "model"), "Functional", "functional", dots, call)
  self$single_input <- attr(inputs, "single")
  self$single_output <- attr(outputs, "single")
  set_graph(self, inputs, outputs, nodes)
  new_layer(self)
}

# A tensor or a list of tensors as a list, with whether it was a single one.
check_tensors <- function(x, arg, call = NULL) {
  single <- is_symbolic(x)
  tensors <- if (single) list(x) else x
  if (!is.list(tensors) || length(tensors) == 0L || !all(vapply(tensors, is_symbolic, NA))) {
    abort_argument(x, arg, "a symbolic tensor or a list of them",
      hint = "`keras_input()` makes one to begin with.", call = call
    )
  }
  structure(as.list(tensors), single = single)
}

set_graph <- function(self, inputs, outputs, nodes) {
  attributes(inputs) <- list(names = names(inputs))
  attributes(outputs) <- list(names = names(outputs))
  self$inputs <- inputs
  self$outputs <- outputs
  self$nodes <- nodes
  selves <- list()
  for (node in nodes) {
    if (!any(vapply(selves, identical, NA, node$self))) selves[[length(selves) + 1L]] <- node$self
  }
  self$layers <- selves
  self$built <- TRUE
  invisible(self)
}

# The weights of a model are those of its layers, each once.
model_weights <- function(self, trainable = NA) {
  weights <- list()
  for (inner in self$layers) {
    own <- if (inherits(inner, "model")) model_weights(inner) else inner$weights
    for (weight in own) {
      if (!any(vapply(weights, identical, NA, weight))) weights[[length(weights) + 1L]] <- weight
    }
  }
  if (is.na(trainable)) weights else Filter(function(w) is_trainable(self, w) == trainable, weights)
}

# A weight is trained if neither it nor a layer around it is frozen.
is_trainable <- function(self, weight) {
  if (!self$trainable || !weight[["trainable"]]) return(FALSE)
  if (!inherits(self, "model")) return(TRUE)
  for (inner in self$layers) {
    own <- if (inherits(inner, "model")) model_weights(inner) else inner$weights
    if (any(vapply(own, identical, NA, weight))) return(is_trainable(inner, weight))
  }
  FALSE
}

# What a model's program is for its own inputs and outputs; rebuilt from R data
# whenever it is missing (after readRDS(), a fork, a change of the graph).
layer_emit.model <- function(self, builder, inputs, arguments) {
  handles <- unname(Filter(Negate(is.null), inputs))
  emit_nodes(builder, self$inputs, handles, self$outputs, self$nodes)
}

layer_output_shape.model <- function(self, shapes, call = NULL) {
  if (length(shapes) != length(self$inputs)) {
    abort_attentive("shape", sprintf("The model \"%s\" has %d inputs, not %d.", self$name, length(self$inputs), length(shapes)), call = call)
  }
  # apply every layer's rule to shapes alone
  known <- new.env(parent = emptyenv())
  key <- rlang::obj_address
  for (i in seq_along(self$inputs)) {
    check_input_shape(self, i, shapes[[i]], call)
    known[[key(self$inputs[[i]])]] <- shapes[[i]]
  }
  for (node in self$nodes) {
    if (inherits(node$self, "input_layer")) next
    sizes <- lapply(node$inputs, function(tensor) if (!is.null(tensor)) known[[key(tensor)]])
    made <- layer_call_shapes(node$self, sizes, node$arguments, call)
    if (!is.list(made)) made <- list(made)
    for (i in seq_along(node$outputs)) known[[key(node$outputs[[i]])]] <- made[[i]]
  }
  lapply(self$outputs, function(tensor) known[[key(tensor)]])
}

check_input_shape <- function(self, i, shape, call = NULL) {
  expected <- self$inputs[[i]][["shape"]]
  if (length(shape) == length(expected) && !differ(as.integer(shape), expected)) return(invisible())
  abort_attentive("shape",
    sprintf("The input \"%s\" of the model \"%s\" must have the shape %s, not %s.",
      self$inputs[[i]][["name"]], self$name, format_shape(expected), format_shape(shape)),
    hint = "The first size is the batch; ? stands for any size.", call = call
  )
}

# Calling a model: `inputs` is an array, a tensor, or a list of them by position
# or by the names of the inputs.
model_call <- function(inputs, training = NULL, mask = NULL, ...) {
  call_model(parent.env(environment()), inputs, training, list(...), environment())
}

layer_function.model <- function(self) model_call

call_model <- function(self, inputs, training, extra, call) {
  if (length(extra) > 0L) check_dots_names(extra, "threads", sprintf("The model \"%s\"", self$name), call)
  training <- check_flag(training, "training", null = TRUE, call = call)
  inputs <- model_inputs(self, inputs, call)
  if (any(vapply(inputs, is_symbolic, NA))) {
    result <- apply_symbolically(self, inputs, list(), call)
    return(result)
  }
  for (i in seq_along(inputs)) check_input_shape(self, i, array_dim(inputs[[i]]), call)
  result <- run_program(self, inputs, isTRUE(training), call_threads(extra, call))
  if (self$single_output) result[[1L]] else stats::setNames(result, names(self$outputs))
}

array_dim <- function(x) if (is.null(dim(x))) length(x) else dim(x)

# The arrays or tensors for the inputs of a model, in its order.
model_inputs <- function(self, inputs, call = NULL) {
  if (!is.list(inputs) || is.data.frame(inputs)) inputs <- list(if (is.data.frame(inputs)) as.matrix(inputs) else inputs)
  known <- input_names(self)
  if (!is.null(names(inputs)) && all(names(inputs) != "")) {
    unknown <- setdiff(names(inputs), known)
    if (length(unknown) > 0L) {
      abort_attentive("name", sprintf("The model \"%s\" has no input \"%s\".", self$name, unknown[[1L]]),
        hint = paste("Its inputs:", or_list(known)), call = call
      )
    }
    inputs <- inputs[match(known, names(inputs))]
  }
  if (length(inputs) != length(self$inputs) || any(vapply(inputs, is.null, NA))) {
    abort_attentive("argument", sprintf("The model \"%s\" takes %d inputs, %d came.", self$name, length(self$inputs),
      sum(!vapply(inputs, is.null, NA))), hint = paste("Its inputs:", paste0("\"", known, "\"", collapse = ", ")), call = call)
  }
  inputs <- unname(inputs)
  for (i in seq_along(inputs)) {
    if (is_symbolic(inputs[[i]])) next
    inputs[[i]] <- check_data(inputs[[i]], known[[i]], self$inputs[[i]][["shape"]], call)
  }
  inputs
}

input_names <- function(self) {
  given <- names(self$inputs)
  own <- vapply(self$inputs, function(tensor) tensor[["name"]], "")
  if (is.null(given)) own else ifelse(given == "", own, given)
}

# Numbers for a model: an array of the rank of its input; factors count from 0,
# and a vector is a column where the input has one feature.
check_data <- function(x, arg, shape, call = NULL) {
  if (is.factor(x)) x <- array(as.integer(x) - 1L, length(x))
  if (!(is.numeric(x) || is.logical(x)) || (is.object(x) && !inherits(x, c("attentive_scores", "table")))) {
    abort_argument(x, arg, "a numeric array", call = call)
  }
  if (is.null(dim(x))) dim(x) <- length(x)
  if (length(dim(x)) == length(shape) - 1L && isTRUE(shape[[length(shape)]] == 1L)) dim(x) <- c(dim(x), 1L)
  x
}

layer_config.model <- function(self) list(layers = lapply(self$layers, function(inner) get_config(new_shell(inner))))
