# Configurations of models, in the form of Keras: the layers with their own
# configurations, and for every use of a layer what it was called with.
#
# What one kind of layer adds, where it is not called on one tensor or a list:
#   node_call(self, inputs, arguments)   list(args =, kwargs =) of the call
node_call <- function(self, inputs, arguments) UseMethod("node_call")

node_call.default <- function(self, inputs, arguments) {
  inputs <- unname(Filter(Negate(is.null), inputs))
  takes_list <- inherits(self, "list_layer") || length(inputs) > 1L
  list(args = if (takes_list) list(inputs) else inputs, kwargs = Filter(Negate(is.null), arguments["training"]))
}

node_call.multi_head_attention <- function(self, inputs, arguments) {
  list(args = unname(inputs[c("query", "value")]), kwargs = c(
    inputs[setdiff(names(inputs), c("query", "value"))], arguments$masks, attention_options(arguments)
  ))
}

node_call.unprojected_attention <- function(self, inputs, arguments) {
  masks <- c(inputs[setdiff(names(inputs), array_arguments)], arguments$masks)
  names(masks) <- sub("_mask$", "", names(masks))
  list(args = list(unname(inputs[intersect(array_arguments, names(inputs))])), kwargs = c(
    if (length(masks) > 0L) list(mask = masks), attention_options(arguments)
  ))
}

attention_options <- function(arguments) {
  Filter(Negate(is.null), list(
    use_causal_mask = if (isTRUE(arguments$causal)) TRUE,
    return_attention_scores = switch(arguments$scores + 1L, NULL, TRUE, "mean"), training = arguments$training
  ))
}

node_call.operation <- function(self, inputs, arguments) {
  operands <- operands_of(self, unname(inputs), self$constants)
  list(args = if (operation_table[[self$operation]]$listed) list(operands) else operands, kwargs = list())
}

# Writing --------------------------------------------------------------------------

#' @export
get_config.attentive_model <- function(object) {
  self <- layer_self(object)
  config <- if (is_sequential_self(self)) sequential_config(self) else functional_config(self)
  structure(config, class_name = self$class_name)
}

sequential_config <- function(self) {
  input <- if (self$built) list(layer_entry(self$inputs[[1L]][["node"]]$self))
  c(list(name = self$name, trainable = self$trainable, dtype = dtype_config(self$dtype)), list(
    layers = c(input, lapply(self$stack, layer_entry)),
    build_input_shape = if (self$built) as_config_shape(self$inputs[[1L]][["shape"]])
  ))
}

functional_config <- function(self) {
  # which use of its layer a node is, counted from 0 within the model
  uses <- new.env(parent = emptyenv())
  counted <- new.env(parent = emptyenv())
  for (node in self$nodes) {
    id <- rlang::obj_address(node$self)
    counted[[id]] <- if (is.null(counted[[id]])) 0L else counted[[id]] + 1L
    uses[[rlang::obj_address(node)]] <- counted[[id]]
  }
  history <- function(tensor) {
    node <- tensor[["node"]]
    list(node$self$name, uses[[rlang::obj_address(node)]], tensor[["index"]] - 1L)
  }
  layers <- lapply(self$layers, function(inner) {
    nodes <- if (inherits(inner, "input_layer")) list() else nodes_of(self, inner)
    c(layer_entry(inner), list(name = inner$name, inbound_nodes = lapply(nodes, function(node) {
      written <- node_call(inner, node$inputs, node$arguments)
      list(args = lapply(written$args, write_operand, history), kwargs = lapply(written$kwargs, write_operand, history))
    })))
  })
  ends <- function(tensors, single) {
    written <- lapply(tensors, history)
    if (single) written[[1L]] else written
  }
  list(
    name = self$name, trainable = self$trainable, layers = layers,
    input_layers = ends(self$inputs, self$single_input), output_layers = ends(self$outputs, self$single_output)
  )
}

# One layer as a configuration of a model lists it.
layer_entry <- function(inner) {
  config <- if (inherits(inner, "input_layer")) input_config(inner) else get_config(new_shell(inner))
  if (inherits(inner, "custom_layer")) {
    return(list(module = NULL, class_name = inner$class_name, config = structure(config, class_name = NULL), registered_name = registered_name(inner)))
  }
  list(
    module = if (inherits(inner, "operation")) paste0("keras.src.ops.", operation_table[[inner$operation]]$module) else "keras.layers", class_name = inner$class_name,
    config = structure(config, class_name = NULL), registered_name = NULL
  )
}

input_config <- function(inner) {
  list(
    batch_shape = as_config_shape(inner$batch_shape), dtype = inner$input_dtype, sparse = FALSE, ragged = FALSE, name = inner$name,
    optional = FALSE
  )
}

as_config_shape <- function(shape) lapply(shape, function(size) if (is.na(size)) NULL else size)

write_operand <- function(x, history) {
  if (is_symbolic(x)) {
    return(list(class_name = "__keras_tensor__", config = list(
      shape = as_config_shape(x[["shape"]]), dtype = x[["dtype"]], keras_history = history(x)
    )))
  }
  if (is.list(x)) lapply(x, write_operand, history) else x
}

# Reading --------------------------------------------------------------------------

model_from_config <- function(class_name, config, custom_objects = NULL, call = NULL) {
  if (!is.list(config$layers)) {
    abort_attentive("config", sprintf("The configuration of class \"%s\" has no layers.", class_name), call = call)
  }
  if (is.data.frame(config$layers) || !all(vapply(config$layers, is.list, NA))) {
    abort_attentive("config", sprintf("The layers in the configuration of class \"%s\" are not lists any more.", class_name),
      hint = "JSON must be read as it is: `jsonlite::fromJSON(x, simplifyVector = FALSE)`.", call = call
    )
  }
  if (class_name == "Sequential") return(sequential_from_config(config, custom_objects, call))
  functional_from_config(config, custom_objects, call)
}

sequential_from_config <- function(config, custom_objects, call) {
  entries <- config$layers
  input <- length(entries) > 0L && entries[[1L]]$class_name == "InputLayer"
  arguments <- list(name = config$name, trainable = if (is.null(config$trainable)) TRUE else config$trainable)
  if (input) {
    given <- entries[[1L]]$config
    arguments <- c(arguments, list(input_batch_shape = read_shape(given), input_dtype = given$dtype, input_name = given$name))
    entries <- entries[-1L]
  }
  model <- do.call(keras_model_sequential, arguments)
  for (entry in entries) add_layer(model, from_config(entry, custom_objects), call)
  if (!input && length(config$build_input_shape) > 0L) {
    set_sequential_input(layer_self(model), as_shape(config$build_input_shape, "build_input_shape", call), call = call)
  }
  model
}

read_shape <- function(config) {
  shape <- if (is.null(config$batch_shape)) config$batch_input_shape else config$batch_shape
  as_shape(shape, "batch_shape")
}

functional_from_config <- function(config, custom_objects, call) {
  layers <- new.env(parent = emptyenv()) # by name
  tensors <- new.env(parent = emptyenv()) # "name/use/index"
  # inputs first, then every call as soon as all that it needs is there
  waiting <- list()
  for (entry in config$layers) {
    name <- if (is.null(entry$name)) entry$config$name else entry$name
    if (entry$class_name == "InputLayer") {
      tensors[[paste0(name, "/0/0")]] <- keras_input(batch_shape = read_shape(entry$config), dtype = entry$config$dtype, name = name)
      next
    }
    operation <- is_operation_entry(entry)
    if (!operation) layers[[name]] <- from_config(entry[c("class_name", "config", "registered_name")], custom_objects)
    for (i in seq_along(entry$inbound_nodes)) {
      waiting[[length(waiting) + 1L]] <- list(name = name, use = i - 1L, node = entry$inbound_nodes[[i]], operation = if (operation) entry$class_name, config = entry$config)
    }
  }
  while (length(waiting) > 0L) {
    left <- list()
    for (item in waiting) {
      ready <- all(vapply(needed_tensors(item$node), function(key) !is.null(tensors[[key]]), NA))
      if (ready) call_from_config(item, layers, tensors, call) else left[[length(left) + 1L]] <- item
    }
    if (length(left) == length(waiting)) {
      abort_attentive("config", sprintf("The configuration does not say what the layer \"%s\" is applied to.", left[[1L]]$name), call = call)
    }
    waiting <- left
  }
  ends <- function(given) {
    if (is_history(given)) return(tensors[[history_key(given)]])
    found <- lapply(given, function(end) tensors[[history_key(end)]])
    stats::setNames(found, names(given))
  }
  model <- keras_model(ends(config$input_layers), ends(config$output_layers), name = config$name)
  if (isFALSE(config$trainable)) model$trainable <- FALSE
  model
}

# Keras's own files hold the arithmetic of masks, which is no part of a model here: masks travel by themselves.
mask_operations <- c("NotEqual", "LogicalOr", "LogicalAnd", "ExpandDims", "BroadcastTo", "Any")

is_operation_entry <- function(entry) is.character(entry$module) && startsWith(entry$module, "keras.src.ops")

call_from_config <- function(item, layers, tensors, call = NULL) {
  give <- function(x) {
    if (is_tensor_entry(x)) return(tensors[[history_key(x$config$keras_history)]])
    if (is.list(x)) lapply(x, give) else x
  }
  id <- paste0(item$name, "/", item$use)
  if (is.null(item$operation)) {
    kwargs <- Filter(function(x) !identical(x, no_tensor), lapply(item$node$kwargs, give))
    made <- do.call(layers[[item$name]], c(lapply(item$node$args, give), kwargs), quote = TRUE)
  } else if (item$operation %in% mask_operations && is.null(item$config$tensors)) {
    made <- list(no_tensor)
  } else {
    made <- operation_from_config(item, lapply(item$node$args, give), call)
  }
  if (is_symbolic(made)) made <- list(made)
  for (i in seq_along(made)) tensors[[paste0(id, "/", i - 1L)]] <- made[[i]]
}

operation_from_config <- function(item, operands, call = NULL) {
  classes <- vapply(operation_table, function(rule) rule$class, "")
  name <- names(classes)[match(item$operation, classes)]
  if (is.na(name)) {
    abort_attentive("config", sprintf("The operation \"%s\" of the configuration is not available.", item$operation),
      hint = paste0("Known operations: ", or_list(unname(classes)), "."), call = call
    )
  }
  if (operation_table[[name]]$listed) operands <- operands[[1L]]
  to_dtype <- if (!is.null(item$config$to_dtype)) item$config$to_dtype else if (name == "cast") item$config$dtype
  args <- item$config[setdiff(names(item$config), c("name", "trainable", "dtype", "to_dtype", "constants", "tensors"))]
  if (!is.null(to_dtype)) args$dtype <- to_dtype
  apply_operation(name, operands, args, call, item$name)
}

no_tensor <- structure(list(), class = "attentive_no_tensor")

is_tensor_entry <- function(x) is.list(x) && identical(x$class_name, "__keras_tensor__")

needed_tensors <- function(x) {
  if (is_tensor_entry(x)) return(history_key(x$config$keras_history))
  if (is.list(x)) unlist(lapply(x, needed_tensors)) else character()
}

is_history <- function(x) length(x) == 3L && is.character(x[[1L]]) && !is.na(suppressWarnings(as.integer(x[[2L]])))

history_key <- function(x) paste(x[[1L]], as.integer(x[[2L]]), as.integer(x[[3L]]), sep = "/")
