# Sequential models: a stack of layers, each applied to what the one before
# gives. The graph is laid as soon as the shape of the input is known.

#' A model of layers in a row
#'
#' Every layer is applied to what the one before it gives. Layers are added by piping the model into them: `model |> layer_dense(4)` changes the model in place.
#'
#' @details
#' With `input_shape` the model is built while layers are added. Without it, it is built when it is first called, or by `model$build(shape)` with the batch as first size, or
#' when its first layer has an `input_shape`. Attention layers attend from the sequence to itself.
#'
#' @param input_shape Sizes of one element, without the batch; `NA` for a size that differs from batch to batch.
#' @param name A name for the model.
#' @param ... Nothing; layers go into `layers`.
#' @param input_dtype,input_batch_size,input_batch_shape,input_name See [keras_input()].
#' @param trainable Whether the weights are trained.
#' @param layers A list of layers to begin with.
#' @return A model, see [keras_model()].
#' @section Errors: `attentive_error_argument` where something is no layer, `attentive_error_shape` where a layer does not fit what is before it; the model is unchanged then.
#' @family models
#' @examples
#' model <- keras_model_sequential(input_shape = c(4, 6)) |>
#'   layer_multi_head_attention(num_heads = 2, key_dim = 3) |>
#'   layer_flatten() |>
#'   layer_dense(1)
#' model
#' @export
keras_model_sequential <- function(
    input_shape = NULL, name = NULL, ..., input_dtype = NULL, input_batch_size = NULL, input_batch_shape = NULL, input_name = NULL,
    trainable = TRUE, layers = list()) {
  call <- environment()
  if (is.list(input_shape) && length(input_shape) > 0L && all(vapply(input_shape, is_layer, NA))) {
    abort_argument(input_shape, "input_shape", "a shape", hint = "Name the list: `keras_model_sequential(layers = list(...))`.", call = call)
  }
  check_dots_names(list(...), "dtype", "`keras_model_sequential()`", call)
  self <- new_self(c("sequential_model", "model"), "Sequential", "sequential", list(name = name, trainable = trainable, ...), call)
  self$stack <- list()
  self$layers <- list()
  self$single_input <- self$single_output <- TRUE
  if (is_layer(layers)) layers <- list(layers)
  if (!is.list(layers)) abort_argument(layers, "layers", "a list of layers", call = call)
  model <- new_layer(self)
  if (!is.null(input_shape) || !is.null(input_batch_shape)) {
    input <- keras_input(input_shape, input_batch_size, input_dtype, batch_shape = input_batch_shape, name = input_name)
    set_graph(self, list(input), list(input), list(input[["node"]]))
  } else {
    self$input_options <- list(dtype = input_dtype, name = input_name)
  }
  for (layer in layers) add_layer(model, layer, call)
  model
}

is_layer <- function(x) is.function(x) && inherits(x, "attentive_layer")
is_sequential_self <- function(self) inherits(self, "sequential_model")
is_sequential <- function(x) {
  if (is.environment(x)) is_sequential_self(x) else is_layer(x) && inherits(x, "attentive_sequential_model")
}

# Appends a layer; the model is unchanged where the layer does not fit.
add_layer <- function(model, layer, call = NULL) {
  self <- layer_self(model)
  if (!is_sequential_self(self)) {
    abort_attentive("state", sprintf("Layers can be added to sequential models only, not to \"%s\".", self$name),
      hint = "Apply the layer to `model$output` and make a new model with `keras_model()`.", call = call
    )
  }
  if (!is_layer(layer)) abort_argument(layer, "layer", "a layer", call = call)
  inner <- layer_self(layer)
  if (inherits(inner, "list_layer")) {
    abort_attentive("argument", sprintf("The layer \"%s\" takes several inputs and cannot be added to a sequential model.", inner$name),
      hint = "`keras_input()` and `keras_model()` make models that branch.", call = call
    )
  }
  check_layers(c(self$stack, list(inner)), call)
  shape <- if (length(self$stack) == 0L && !self$built) own_input_shape(inner)
  if (!is.null(shape)) {
    options <- self$input_options
    input <- keras_input(batch_shape = shape, dtype = options$dtype, name = options$name)
    output <- apply_one(layer, input, call)
    set_graph(self, list(input), list(output), list(input[["node"]], output[["node"]]))
  } else if (self$built) {
    output <- apply_one(layer, self$outputs[[1L]], call)
    set_graph(self, self$inputs, list(output), c(self$nodes, list(output[["node"]])))
  } else {
    self$layers <- c(self$layers, list(inner))
  }
  self$stack <- c(self$stack, list(inner))
  model
}

# A layer applied to what comes before it: a layer of one tensor in, one out.
apply_one <- function(layer, tensor, call = NULL) {
  output <- layer(tensor)
  if (is_symbolic(output)) return(output)
  abort_attentive("argument",
    sprintf("The layer \"%s\" gives %d results; in a sequential model it must be one.", layer$name, length(output)), call = call
  )
}

# The shape that a model takes from its first layer, if that says it.
own_input_shape <- function(inner) {
  if (!is.null(inner$input_shape)) return(c(NA_integer_, inner$input_shape))
  if (inherits(inner, "model") && inner$built && length(inner$inputs) == 1L) inner$inputs[[1L]][["shape"]]
}

# Lays the graph of all layers on an input of this shape.
set_sequential_input <- function(self, shape, dtype = NULL, call = NULL) {
  options <- self$input_options
  input <- keras_input(batch_shape = shape, dtype = if (is.null(options$dtype)) dtype else options$dtype, name = options$name)
  lay_sequential(self, input, self$stack, call)
}

lay_sequential <- function(self, input, stack, call = NULL) {
  output <- input
  nodes <- list(input[["node"]])
  for (inner in stack) {
    forget_node(inner)
    output <- apply_one(new_shell(inner), output, call)
    nodes <- c(nodes, list(output[["node"]]))
  }
  set_graph(self, list(input), list(output), nodes)
  self$stack <- stack
  invisible(self)
}

# A model that was not told its shape takes that of what it is first called on;
# where a later input has other sizes, they become unknown, if its layers allow it.
take_shape_of <- function(self, inputs, call = NULL) {
  if (is.data.frame(inputs)) inputs <- as.matrix(inputs)
  if (is.list(inputs) && length(inputs) == 1L) inputs <- inputs[[1L]]
  sizes <- if (is_symbolic(inputs)) inputs[["shape"]] else if (is.numeric(inputs) || is.logical(inputs)) array_dim(inputs)
  if (is.null(sizes) || is.null(self$input_options)) return(invisible())
  if (length(sizes) == 1L) sizes <- c(sizes, 1L) # single numbers are a column
  if (!self$built) {
    if (length(self$stack) == 0L) {
      abort_attentive("state", sprintf("The model \"%s\" has no layers yet.", self$name),
        hint = "Pipe it into layers: `model |> layer_dense(1)`.", call = call
      )
    }
    dtype <- if (is_symbolic(inputs)) inputs[["dtype"]]
    return(set_sequential_input(self, c(NA_integer_, sizes[-1L]), dtype, call))
  }
  known <- self$inputs[[1L]][["shape"]]
  if (length(known) != length(sizes) || !any(differ_each(known, sizes))) return(invisible())
  wider <- ifelse(differ_each(known, sizes), NA_integer_, known)
  # where a layer needs the size, the usual error about shapes follows
  tryCatch(set_sequential_input(self, wider, self$inputs[[1L]][["dtype"]], call), attentive_error = function(e) NULL)
  invisible()
}
