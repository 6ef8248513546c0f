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
  check_inputs_once(inputs, call)
  outputs <- check_tensors(outputs, "outputs", call)
  self <- new_self(c("functional_model", "model"), "Functional", "functional", dots, call)
  graph <- begin_at_inputs(inputs, outputs, order_nodes(inputs, outputs, call), call)
  check_layers(lapply(graph$nodes, function(node) node$self), call)
  self$single_input <- attr(inputs, "single")
  self$single_output <- attr(outputs, "single")
  set_graph(self, graph$inputs, graph$outputs, graph$nodes)
  new_layer(self)
}

# A model may begin in the middle of a graph: then that part is laid anew, from inputs of its own.
begin_at_inputs <- function(inputs, outputs, nodes, call = NULL) {
  inner <- vapply(inputs, function(tensor) !inherits(tensor[["node"]]$self, "input_layer"), NA)
  if (!any(inner)) return(list(inputs = inputs, outputs = outputs, nodes = nodes))
  fresh <- inputs
  for (i in which(inner)) {
    tensor <- inputs[[i]]
    fresh[[i]] <- keras_input(batch_shape = tensor[["shape"]], dtype = tensor[["dtype"]], name = unique_name(tensor[["name"]]))
  }
  given <- vapply(inputs, rlang::obj_address, "")
  nodes <- Filter(function(node) !any(vapply(node$outputs, rlang::obj_address, "") %in% given), nodes)
  # what the layers were applied to before stays their `$output`
  selves <- unique_selves(lapply(nodes, function(node) node$self))
  before <- lapply(selves, function(inner) inner$node)
  outputs <- lay_graph(inputs, fresh, outputs, nodes, call = call)
  for (i in seq_along(selves)) selves[[i]]$node <- before[[i]]
  list(inputs = fresh, outputs = outputs, nodes = order_nodes(fresh, outputs, call))
}

# Applies the layers of `nodes` again, from `fresh` in place of `inputs`;
# `replace` gives the layer that stands for another. Returns the new outputs.
lay_graph <- function(inputs, fresh, outputs, nodes, replace = identity, call = NULL) {
  key <- rlang::obj_address
  laid <- new.env(parent = emptyenv())
  for (i in seq_along(inputs)) laid[[key(inputs[[i]])]] <- fresh[[i]]
  for (node in nodes) {
    if (!is.null(laid[[key(node$outputs[[1L]])]])) next
    given <- lapply(node$inputs, function(tensor) if (!is.null(tensor)) laid[[key(tensor)]])
    made <- apply_symbolically(replace(node$self), given, node$arguments, call)
    if (is_symbolic(made)) made <- list(made)
    for (i in seq_along(made)) laid[[key(node$outputs[[i]])]] <- made[[i]]
  }
  attributes_of <- attributes(outputs)
  outputs <- lapply(outputs, function(tensor) laid[[key(tensor)]])
  attributes(outputs) <- attributes_of
  outputs
}

# Names of layers are what weights, configurations and get_layer() go by.
check_layers <- function(selves, call = NULL) {
  selves <- unique_selves(selves)
  names <- vapply(selves, function(inner) inner$name, "")
  twice <- anyDuplicated(names)
  if (twice > 0L) {
    abort_attentive("name", sprintf("The model has two different layers with the name \"%s\".", names[[twice]]),
      hint = "Give one of them another `name`.", call = call
    )
  }
  check_one_dtype(selves, call)
}

unique_selves <- function(selves) selves[!duplicated(vapply(selves, rlang::obj_address, ""))]

# A tensor or a list of tensors as a list, with whether it was a single one.
check_tensors <- function(x, arg, call = NULL) {
  single <- is_symbolic(x)
  tensors <- if (single) list(x) else x
  # as in keras3, a list of one without a name is that one
  if (!single && is.list(x) && length(x) == 1L && is.null(names(x))) single <- TRUE
  if (!is.list(tensors) || is.object(tensors) || length(tensors) == 0L || !all(vapply(tensors, is_symbolic, NA))) {
    abort_argument(x, arg, "a symbolic tensor or a list of them",
      hint = "`keras_input()` makes one to begin with.", call = call
    )
  }
  structure(as.list(tensors), single = single)
}

# Two arrays for one tensor cannot both be meant.
check_inputs_once <- function(inputs, call = NULL) {
  ids <- vapply(inputs, rlang::obj_address, "")
  twice <- anyDuplicated(ids)
  if (twice == 0L) return(invisible())
  places <- which(ids == ids[[twice]])
  shown <- if (is.null(names(inputs))) sprintf("inputs[[%d]]", places) else sprintf("inputs$%s", names(inputs)[places])
  abort_attentive("argument",
    sprintf("%s are the same tensor, \"%s\".", paste0("`", shown, "`", collapse = " and "), inputs[[twice]][["name"]]),
    hint = "Make one `keras_input()` for every input of the model.", arg = "inputs", call = call
  )
}

set_graph <- function(self, inputs, outputs, nodes) {
  attributes(inputs) <- list(names = names(inputs))
  attributes(outputs) <- list(names = names(outputs))
  self$inputs <- inputs
  self$outputs <- outputs
  self$nodes <- nodes
  self$layers <- unique_selves(lapply(nodes, function(node) node$self))
  self$built <- TRUE
  self$customs <- custom_layers_in(self)
  forget_programs(self)
  invisible(self)
}

# The weights of a model are those of its layers, each once. A weight is trained
# if neither it nor a layer around it is frozen.
model_weights <- function(self, trainable = NA) {
  found <- collect_weights(self, TRUE)
  keep <- !duplicated(vapply(found$weights, rlang::obj_address, ""))
  if (!is.na(trainable)) keep <- keep & found$trainable == trainable
  found$weights[keep]
}

# Models, wrappers and layers of the user's classes hold layers, whose weights are theirs.
holds_layers <- function(self) inherits(self, c("model", "wrapper", "custom_layer"))

collect_weights <- function(self, trainable) {
  trainable <- trainable && self$trainable
  moved <- vapply(self$weights, function(w) w[["trainable"]], NA)
  own <- list(weights = self$weights, trainable = trainable & moved)
  if (!holds_layers(self)) return(own)
  # as in Keras: the layer's own, those that are trained first, then those of its layers
  first <- order(!moved)
  own <- list(weights = own$weights[first], trainable = own$trainable[first])
  parts <- c(list(own), lapply(self$layers, collect_weights, trainable))
  list(
    weights = unlist(lapply(parts, function(part) part$weights), recursive = FALSE),
    trainable = unlist(lapply(parts, function(part) part$trainable))
  )
}

# What a model's program is for its own inputs and outputs; rebuilt from R data
# whenever it is missing (after readRDS(), a fork, a change of the graph).
layer_emit.model <- function(self, builder, inputs, arguments) {
  handles <- unname(Filter(Negate(is.null), inputs))
  around <- builder$inference
  builder$inference <- !may_train(builder, arguments)
  made <- emit_nodes(builder, self$inputs, handles, self$outputs, self$nodes)
  builder$inference <- around
  made
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
  made <- lapply(self$outputs, function(tensor) known[[key(tensor)]])
  if (length(made) == 1L) made[[1L]] else made
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
  if ("object" %in% ...names()) return(call_by_object(sys.call(), "inputs", parent.frame()))
  call_model(parent.env(environment()), inputs, training, mask, list(...), environment())
}

layer_function.model <- function(self) model_call

call_model <- function(self, inputs, training, mask, extra, call, run = run_on_arrays) {
  if (missing(inputs)) abort_missing("inputs", "an array or a symbolic tensor, or a list of them", call)
  if (is_sequential(inputs)) return(invisible(add_layer(inputs, new_shell(self), call)))
  if (length(extra) > 0L) check_dots_names(extra, "threads", sprintf("the model \"%s\"", self$name), call, c("inputs", "training", "mask"))
  if (!is.null(mask)) {
    abort_argument(mask, "mask", "NULL for a model", hint = "`layer_embedding(mask_zero = TRUE)` makes masks inside a model.", call = call)
  }
  if (is_symbolic(training) || (is.numeric(training) && length(training) > 1L)) {
    abort_argument(training, "training", "TRUE, FALSE or NULL", hint = "Several inputs go in one list: `model(list(x1, x2))`.", call = call)
  }
  training <- check_flag(training, "training", null = TRUE, call = call)
  inputs <- model_inputs(self, inputs, call)
  symbolic <- vapply(inputs, is_symbolic, NA)
  if (any(symbolic)) {
    if (!all(symbolic)) abort_mixed(self, call)
    check_training_option(training, call)
    result <- apply_symbolically(self, inputs, list(training = training), call)
    return(if (is_symbolic(result)) give_outputs(self, list(result)) else give_outputs(self, result))
  }
  give_outputs(self, run_program(self, inputs, training, call_threads(extra, call), run))
}

# One output, or a list of them with the names that were given.
give_outputs <- function(self, results) {
  results <- Map(as_scores, results, self$outputs)
  if (self$single_output) results[[1L]] else stats::setNames(results, names(self$outputs))
}

array_dim <- function(x) if (is.null(dim(x))) length(x) else dim(x)

# The arrays or tensors for the inputs of a model, in its order.
model_inputs <- function(self, inputs, call = NULL) {
  if (is_sequential(self)) take_shape_of(self, inputs, call)
  if (!is.list(inputs) || is.data.frame(inputs)) inputs <- list(if (is.data.frame(inputs)) frame_numbers(inputs, "the inputs", "x", call) else inputs)
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
    abort_attentive("argument", sprintf("The model \"%s\" takes %d %s, %d came.", self$name, length(self$inputs),
      if (length(self$inputs) == 1L) "input" else "inputs", sum(!vapply(inputs, is.null, NA))),
      hint = paste("Its inputs:", paste0("\"", known, "\"", collapse = ", ")), call = call)
  }
  inputs <- unname(inputs)
  for (i in seq_along(inputs)) {
    if (!is_symbolic(inputs[[i]])) inputs[[i]] <- check_data(inputs[[i]], known[[i]], self$inputs[[i]][["shape"]], call)
    check_input_shape(self, i, dim(inputs[[i]]), call)
    if (!is_symbolic(inputs[[i]])) check_input_ids(self, i, inputs[[i]], call)
  }
  inputs
}

# Ids that go straight into an embedding: here the message can say where they stand.
check_input_ids <- function(self, i, ids, call = NULL) {
  for (node in self$nodes) {
    if (inherits(node$self, "embedding") && identical(node$inputs[[1L]], self$inputs[[i]])) {
      check_ids(ids, node$self$input_dim, node$self$name, call, sprintf(" of %s", input_label(self, i)))
    }
  }
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
  if (inherits(x, "attentive_variable")) x <- variable_array(x)
  if (!(is.numeric(x) || is.logical(x)) || (is.object(x) && !inherits(x, c("attentive_scores", "table")))) {
    abort_argument(x, arg, "a numeric array", call = call)
  }
  if (is.null(dim(x))) dim(x) <- length(x)
  if (length(dim(x)) == length(shape) - 1L && isTRUE(shape[[length(shape)]] == 1L)) dim(x) <- c(dim(x), 1L)
  x
}

# Fields ---------------------------------------------------------------------------

model_fields <- c(
  "layers", "inputs", "outputs", "input", "output", "input_shape", "output_shape", "input_names", "output_names", training_fields,
  "summary", "get_layer", "add", "pop"
)

layer_property.model <- function(self, name) {
  if (is.null(name)) return(model_fields)
  if (name == ".shape_arguments") return(NULL)
  if (name == ".summary") return(sprintf("%d %s", length(shown_layers(self)), if (length(shown_layers(self)) == 1L) "layer" else "layers"))
  if (!name %in% model_fields) return(unknown_property(self, name, model_fields))
  if (name %in% c("inputs", "outputs", "input", "output", "input_shape", "output_shape", "input_names", "output_names")) {
    if (!self$built) abort_not_built(self)
    return(model_ends(self, name))
  }
  model <- new_shell(self)
  switch(name,
    layers = lapply(shown_layers(self), new_shell),
    summary = function(...) summary(model, ...),
    get_layer = function(name = NULL, index = NULL) get_layer(model, name, index),
    add = function(layer) invisible(add_layer(model, layer)),
    pop = function() invisible(pop_layer(model)),
    training_property(self, name)
  )
}

model_ends <- function(self, name) {
  one <- function(x, single) if (single) x[[1L]] else x
  switch(name,
    inputs = self$inputs, outputs = self$outputs,
    input = one(self$inputs, self$single_input), output = one(self$outputs, self$single_output),
    input_shape = one(lapply(self$inputs, function(tensor) tensor$shape), self$single_input),
    output_shape = one(lapply(self$outputs, function(tensor) tensor$shape), self$single_output),
    input_names = unname(input_names(self)), output_names = unname(output_names(self))
  )
}

# An output is called as in the list it was given in, else after its layer.
output_names <- function(self) {
  own <- vapply(self$outputs, function(tensor) tensor[["node"]]$self$name, "")
  given <- names(self$outputs)
  if (is.null(given)) own else ifelse(given == "", own, given)
}

# `$layers`: operations such as `x + y` are no layers, the input of a sequential model is not shown.
shown_layers <- function(self) {
  if (is_sequential_self(self)) return(self$stack)
  Filter(function(inner) !inherits(inner, "operation"), self$layers)
}

abort_not_built <- function(self, call = NULL) {
  abort_attentive("state", sprintf("The model \"%s\" does not know the shape of its input yet.", self$name),
    hint = "Give `input_shape` to `keras_model_sequential()`, or call the model once.", call = call
  )
}

layer_build.model <- function(self, shapes, call = NULL) {
  if (is_sequential_self(self) && !self$built) set_sequential_input(self, shapes[[1L]], call = call)
  invisible(self)
}
