# What one does with a model but train it: look layers up, take one off, freeze, copy.

#' Layers of a model
#'
#' `get_layer()` finds a layer by name or place, `pop_layer()` takes the last layer of a sequential model off. `model$layers` lists all.
#'
#' @param object A model.
#' @param name The name of a layer.
#' @param index The place of a layer, from 1; negative places count from the end.
#' @return `get_layer()`: the layer itself, not a copy. `pop_layer()`: the layer that was taken off, invisibly; the model is changed in place.
#' @section Errors: `attentive_error_name` where there is no such layer.
#' @family models
#' @examples
#' model <- keras_model_sequential(input_shape = 3) |> layer_dense(2, name = "first") |> layer_dense(1)
#' get_layer(model, "first")
#' get_layer(model, index = 2)
#' pop_layer(model)
#' model$output_shape
#' @export
get_layer <- function(object, name = NULL, index = NULL) {
  call <- environment()
  self <- check_model(object, call)
  if (is.numeric(name) && is.null(index)) {
    index <- name
    name <- NULL
  }
  if (is.null(name) == is.null(index)) abort_attentive("argument", "Give either `name` or `index`.", call = call)
  layers <- shown_layers(self)
  new_shell(layers[[if (is.null(index)) layer_place(self, name, "name", call) else layer_place(self, index, "index", call)]])
}

# The place of a layer in `$layers` from its name or its place.
layer_place <- function(self, x, arg, call = NULL) {
  layers <- shown_layers(self)
  known <- vapply(layers, function(inner) inner$name, "")
  if (is.character(x)) {
    name <- check_string(x, arg, call = call)
    place <- match(name, known)
    if (!is.na(place)) return(place)
    abort_attentive("name", sprintf("The model \"%s\" has no layer \"%s\".", self$name, shorten(name)),
      hint = c(nearest_hint(name, known), if (length(known) > 0L) {
        paste0("Its layers: ", or_list(utils::head(known, 12L)), if (length(known) > 12L) " ...", ".")
      }), call = call
    )
  }
  place <- check_whole(x, arg, min = -.Machine$integer.max, call = call)
  if (place < 0L) place <- length(layers) + place + 1L
  if (place >= 1L && place <= length(layers)) return(place)
  abort_attentive("argument", sprintf("`%s` must be a place between 1 and %d, not %s.", arg, length(layers), format(x)), arg = arg, call = call)
}

#' @rdname get_layer
#' @export
pop_layer <- function(object) {
  call <- environment()
  self <- check_model(object, call)
  if (!is_sequential_self(self)) {
    abort_attentive("state", sprintf("Only the layers of a sequential model can be taken off; \"%s\" is none.", self$name),
      hint = "`keras_model(model$inputs, get_layer(model, index = -2)$output)` is the model without its last layer.", call = call
    )
  }
  if (length(self$stack) == 0L) abort_attentive("state", sprintf("The model \"%s\" has no layers.", self$name), call = call)
  last <- self$stack[[length(self$stack)]]
  rest <- self$stack[-length(self$stack)]
  if (self$built) {
    # the graph without its last node: nothing is applied again
    before <- self$nodes[[length(self$nodes) - 1L]]
    set_graph(self, self$inputs, list(before$outputs[[1L]]), self$nodes[-length(self$nodes)])
  } else {
    self$layers <- rest
  }
  self$stack <- rest
  forget_node(last)
  invisible(new_shell(last))
}

check_model <- function(object, call = NULL) {
  if (is_layer(object) && inherits(object, "attentive_model")) return(layer_self(object))
  abort_argument(object, "object", "a model", hint = "`keras_model()` and `keras_model_sequential()` make one.", call = call)
}

# Freezing ---------------------------------------------------------------------------

#' Freeze and unfreeze weights
#'
#' Frozen weights stay as they are while a model is trained. `layer$trainable <- FALSE` does the same for one layer.
#'
#' @param object A layer or a model.
#' @param from,to The first and the last layer, by name or place (from 1; negative from the end); by default the first and the last one.
#' @param which Which layers: names, places, a logical vector with one value a layer, or a function of a layer that gives `TRUE` or `FALSE`.
#' @return `object`, which is changed, invisibly.
#' @section Errors: `attentive_error_name` or `_argument` where there is no such layer.
#' @family models
#' @examples
#' model <- keras_model_sequential(input_shape = 3) |> layer_dense(2) |> layer_dense(1)
#' freeze_weights(model, to = 1)
#' length(model$trainable_weights)
#' unfreeze_weights(model)
#' length(model$trainable_weights)
#' @export
freeze_weights <- function(object, from = NULL, to = NULL, which = NULL) {
  switch_weights(object, from, to, which, FALSE, environment())
}

#' @rdname freeze_weights
#' @export
unfreeze_weights <- function(object, from = NULL, to = NULL, which = NULL) {
  switch_weights(object, from, to, which, TRUE, environment())
}

switch_weights <- function(object, from, to, which, trainable, call) {
  if (!is_layer(object)) abort_argument(object, "object", "a layer or a model", call = call)
  self <- layer_self(object)
  if (is.null(from) && is.null(to) && is.null(which)) {
    set_trainable(self, trainable)
    return(invisible(object))
  }
  check_model(object, call)
  if (!is.null(which) && !(is.null(from) && is.null(to))) {
    abort_attentive("argument", "Give either `which`, or `from` and `to`.", call = call)
  }
  chosen <- if (is.null(which)) {
    first <- if (is.null(from)) 1L else layer_place(self, from, "from", call)
    last <- if (is.null(to)) length(shown_layers(self)) else layer_place(self, to, "to", call)
    seq(first, last)
  } else {
    chosen_layers(self, which, call)
  }
  # a layer trains only within a model that does
  if (trainable) self$trainable <- TRUE
  for (inner in shown_layers(self)[chosen]) set_trainable(inner, trainable)
  invisible(object)
}

chosen_layers <- function(self, which, call = NULL) {
  layers <- shown_layers(self)
  if (inherits(which, "formula") && length(which) == 2L) which <- rlang::as_function(which)
  if (is.function(which)) {
    # NULL or NA leaves a layer as it is
    return(base::which(vapply(layers, function(inner) isTRUE(as.logical(which(new_shell(inner)))), NA)))
  }
  if (is.logical(which)) {
    if (length(which) != length(layers) || anyNA(which)) {
      abort_argument(which, "which", sprintf("one TRUE or FALSE for each of the %d layers", length(layers)), call = call)
    }
    return(base::which(which))
  }
  if (!(is.character(which) || is.numeric(which)) || length(which) == 0L) {
    abort_argument(which, "which", "names, places, a logical vector or a function of a layer", call = call)
  }
  vapply(which, function(x) layer_place(self, x, "which", call), 0L, USE.NAMES = FALSE)
}

# Copies -------------------------------------------------------------------------------

#' A copy of a model with weights of its own
#'
#' Makes the same layers under the same names and puts them together in the same way. The weights begin anew; `set_weights(copy, get_weights(model))` copies them too.
#' A model that is only assigned to another name, `b <- a`, is the same model.
#'
#' @param model A model.
#' @param input_tensors Symbolic tensors, or a list of them, to begin with in place of the model's inputs.
#' @param clone_function A function that gets a layer and gives the one that takes its place.
#' @param ... Nothing.
#' @return A model; not compiled.
#' @section Errors: `attentive_error_argument` where `clone_function` gives no layer.
#' @family models
#' @examples
#' model <- keras_model_sequential(input_shape = 3) |> layer_dense(2)
#' copy <- clone_model(model)
#' set_weights(copy, get_weights(model))
#' @export
clone_model <- function(model, input_tensors = NULL, clone_function = NULL, ...) {
  call <- environment()
  check_dots_names(list(...), c("call_function", "recursive"), "`clone_model()`", call)
  self <- check_model(model, call)
  replace <- cloning(clone_function, call)
  if (!is.null(input_tensors)) input_tensors <- unname(check_tensors(input_tensors, "input_tensors", call))
  copy <- copy_self(self)
  clone_graph(self, copy, input_tensors, replace, call)
  new_shell(copy)
}

# A function from a layer's `self` to that of its copy, the same copy for the same layer.
cloning <- function(clone_function, call = NULL) {
  made <- new.env(parent = emptyenv())
  function(inner) {
    id <- rlang::obj_address(inner)
    if (is.null(made[[id]])) made[[id]] <- clone_layer(inner, clone_function, call)
    made[[id]]
  }
}

clone_layer <- function(inner, clone_function, call = NULL) {
  if (inherits(inner, "operation")) return(copy_self(inner))
  if (!is.null(clone_function)) {
    if (!is.function(clone_function)) abort_argument(clone_function, "clone_function", "a function of a layer", call = call)
    layer <- clone_function(new_shell(inner))
    if (!is_layer(layer)) abort_argument(layer, "clone_function(layer)", "a layer", call = call)
    return(layer_self(layer))
  }
  # as in Keras: made again from its configuration
  if (inherits(inner, "custom_layer")) return(layer_self(from_config(get_config(new_shell(inner)))))
  copy <- copy_self(inner)
  if (inherits(inner, "model")) clone_graph(inner, copy, NULL, cloning(NULL, call), call)
  if (inherits(inner, "wrapper")) copy$layers <- lapply(inner$layers, clone_layer, NULL, call)
  copy
}

# What a layer is, without what it has become: no weights, programs or counters.
copy_self <- function(self) {
  copy <- new.env(parent = parent.env(self))
  gone <- c(
    "weights", "parts", "programs", "calls", "uses", "node", "traced", "plan", "dropout_calls", "activity_losses", "features", "sizes", "layers", "nodes",
    "inputs", "outputs", "stack", "compiled", "trainers", "stop_training", "customs"
  )
  for (name in setdiff(ls(self, all.names = TRUE), gone)) {
    value <- self[[name]]
    if (!inherits(value, "attentive_variable") && !inherits(value, "externalptr")) copy[[name]] <- value
  }
  class(copy) <- class(self)
  copy$weights <- list()
  copy$parts <- list()
  copy$built <- inherits(self, "operation")
  if (!is.null(self$key) && is.null(self$seed)) copy$key <- draw_key()
  copy
}

clone_graph <- function(self, copy, fresh, replace, call = NULL) {
  if (is_sequential_self(self)) {
    stack <- lapply(self$stack, replace)
    if (!self$built) {
      copy$stack <- copy$layers <- stack
      return(invisible(copy))
    }
    input <- if (is.null(fresh)) clone_input(self$inputs[[1L]]) else fresh[[1L]]
    return(lay_sequential(copy, input, stack, call))
  }
  if (is.null(fresh)) fresh <- lapply(self$inputs, clone_input)
  if (length(fresh) != length(self$inputs)) {
    abort_attentive("argument",
      sprintf("The model \"%s\" has %d inputs, `input_tensors` %d.", self$name, length(self$inputs), length(fresh)), call = call
    )
  }
  names(fresh) <- names(self$inputs)
  outputs <- lay_graph(self$inputs, fresh, self$outputs, self$nodes, replace, call)
  set_graph(copy, fresh, outputs, order_nodes(fresh, outputs, call))
}

clone_input <- function(tensor) {
  keras_input(batch_shape = tensor[["shape"]], dtype = tensor[["dtype"]], name = tensor[["node"]]$self$name)
}
