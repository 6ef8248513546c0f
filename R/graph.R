# The graph: which layer was applied to which tensors, and how a graph becomes
# a program of the engine.
#
# A node is one application of a layer: its `self`, the tensors it was applied
# to, the other arguments of the call, and the tensors that come out.
#
# What one kind of layer adds, as S3 methods on the class of its `self`:
#   layer_output_shape(self, shapes, call)   the shape that comes out, or a list of them
#   layer_emit(self, builder, inputs, arguments)   adds engine nodes; `inputs` are
#       handles (below) in the structure of the call; returns handles
#   layer_call_shapes(self, shapes, arguments, call)   where what comes out depends on how the
#       layer is called; `shapes` in the structure of the call
layer_emit <- function(self, builder, inputs, arguments) UseMethod("layer_emit")
layer_call_shapes <- function(self, shapes, arguments, call = NULL) UseMethod("layer_call_shapes")

layer_call_shapes.default <- function(self, shapes, arguments, call = NULL) {
  layer_output_shape(self, Filter(Negate(is.null), shapes), call)
}

new_node <- function(self, inputs, arguments, shapes, dtype = self$dtype) {
  node <- new.env(parent = emptyenv(), size = 4L)
  node$self <- self
  node$inputs <- inputs
  node$arguments <- arguments
  self$uses <- if (is.null(self$uses)) 1L else self$uses + 1L
  # what `layer$output` is: of a layer that was applied once; holding all nodes would hold every graph
  self$node <- if (self$uses == 1L) node
  name <- if (self$uses == 1L) self$name else paste0(self$name, "_", self$uses - 1L)
  fixed <- !inherits(self, "input_layer") && all(vapply(Filter(is_symbolic, inputs), is_fixed, NA))
  node$outputs <- lapply(seq_along(shapes), function(i) {
    new_tensor(shapes[[i]], dtype, if (length(shapes) == 1L) name else paste0(name, ":", i), node, i, fixed)
  })
  node
}

# Applies a layer to tensors: builds it if need be, infers shapes, adds a node.
# `inputs` is a list of tensors (NULL where an argument is left out).
apply_symbolically <- function(self, inputs, arguments = list(), call = NULL, shapes = NULL) {
  given <- Filter(is_symbolic, inputs)
  sizes <- lapply(inputs, function(tensor) if (is_symbolic(tensor)) tensor[["shape"]])
  if (is.null(shapes)) shapes <- layer_call_shapes(self, sizes, arguments, call)
  if (!self$built) layer_build(self, if ("query" %in% names(sizes)) call_sizes(sizes) else Filter(Negate(is.null), sizes), call)
  if (!is.list(shapes)) shapes <- list(shapes)
  outputs <- new_node(self, inputs, arguments, shapes)$outputs
  if (length(outputs) == 1L) outputs[[1L]] else outputs
}

# `layer$input` and `layer$output`: the tensors of the one node of a layer.
layer_ends <- function(self, name) {
  if (is.null(self$node)) {
    applied <- !is.null(self$uses)
    abort_attentive("state", sprintf(
      if (applied) "The layer \"%s\" was applied several times: it has no single `$%s`." else
        "The layer \"%s\" has no `$%s`: it was not applied to a symbolic tensor.", self$name, name
    ), hint = if (applied) "Keep the tensor that the call of the layer returned.")
  }
  tensors <- if (name == "output" || inherits(self, "input_layer")) self$node$outputs else Filter(Negate(is.null), self$node$inputs)
  if (length(tensors) == 1L) tensors[[1L]] else tensors
}

# A layer whose only node is laid again, in place of what was, or taken off.
forget_node <- function(self) {
  if (!is.null(self$node)) self$node <- self$uses <- NULL
}

# From a graph to a program ------------------------------------------------------

# A handle is a value of the program: list(value =, mask =, shape =); `value` and
# `mask` count from 0, mask is -1 where there is none.
handle <- function(value, mask = -1L) list(value = value, mask = mask)

new_builder <- function() {
  builder <- new.env(parent = emptyenv())
  builder$inference <- FALSE # within a part that stays in inference: no dropout there
  builder$whole_batch <- FALSE # an operation looks across the elements of a batch
  builder$values <- 0L
  builder$masks <- 0L
  builder$nodes <- list()
  builder$variables <- list()
  builder$selves <- list()
  builder
}

new_value <- function(builder) {
  builder$values <- builder$values + 1L
  builder$values - 1L
}

new_mask <- function(builder) {
  builder$masks <- builder$masks + 1L
  builder$masks - 1L
}

# The index of a variable in the program; a shared one has one index. -1 for NULL.
variable_index <- function(builder, variable) {
  if (is.null(variable)) return(-1L)
  for (i in seq_along(builder$variables)) {
    if (identical(builder$variables[[i]], variable)) return(i - 1L)
  }
  builder$variables[[length(builder$variables) + 1L]] <- variable
  length(builder$variables) - 1L
}

# Adds one engine node; returns the index of its output value, or of several.
# `options` are numbers, vectors of numbers or strings; `functions` are those of
# the op "function": see src/r_program.h.
add_node <- function(builder, op, inputs, options = list(), variables = list(), masks = integer(), mask_outputs = integer(),
                     outputs = 1L, functions = NULL) {
  made <- vapply(seq_len(outputs), function(i) new_value(builder), 0L)
  builder$nodes[[length(builder$nodes) + 1L]] <- list(
    op = op, inputs = as.integer(inputs), outputs = made, masks = as.integer(masks), mask_outputs = as.integer(mask_outputs),
    weights = vapply(variables, function(v) variable_index(builder, v), 0L),
    numbers = lapply(Filter(Negate(is.character), options), as.double), texts = Filter(is.character, options), functions = functions
  )
  made
}

# How often a layer was emitted before: one with dropout that is used in two
# places draws for each.
count_use <- function(builder, self) {
  earlier <- sum(vapply(builder$selves, identical, NA, self))
  builder$selves[[length(builder$selves) + 1L]] <- self
  as.integer(earlier)
}

# FALSE where a node must not train: the call said so, or that of a model around it.
may_train <- function(builder, arguments) !builder$inference && !isFALSE(arguments$training)

# The mask of the ids that are not 0.
emit_token_mask <- function(builder, value) {
  mask <- new_mask(builder)
  add_node(builder, "token_mask", value, mask_outputs = mask)
  mask
}

# The program of nodes in order, from input tensors to output tensors.
build_program <- function(inputs, outputs, nodes) {
  builder <- new_builder()
  handles <- lapply(inputs, function(tensor) handle(new_value(builder)))
  results <- emit_nodes(builder, inputs, handles, outputs, nodes)
  finish_program(builder, vapply(handles, function(h) h$value, 0L), results)
}

# What program_create() takes: `inputs` are values, `results` handles.
finish_program <- function(builder, inputs, results) {
  list(
    values = builder$values, masks = builder$masks, nodes = builder$nodes, variables = builder$variables,
    inputs = as.integer(unlist(inputs)), outputs = vapply(unname(results), function(h) h$value, 0L),
    output_masks = vapply(unname(results), function(h) h$mask, 0L), whole_batch = builder$whole_batch
  )
}

# Emits nodes in one scope: a nested model that is used twice has two.
emit_nodes <- function(builder, inputs, handles, outputs, nodes) {
  scope <- new.env(parent = emptyenv())
  key <- rlang::obj_address
  for (i in seq_along(inputs)) scope[[key(inputs[[i]])]] <- handles[[i]]
  for (node in nodes) {
    if (!is.null(scope[[key(node$outputs[[1L]])]])) next
    given <- lapply(node$inputs, function(tensor) if (!is.null(tensor)) scope[[key(tensor)]])
    made <- layer_emit(node$self, builder, given, node$arguments)
    if (!is.null(made$value)) made <- list(made)
    for (i in seq_along(made)) scope[[key(node$outputs[[i]])]] <- made[[i]]
  }
  lapply(outputs, function(tensor) scope[[key(tensor)]])
}

# Nodes between inputs and outputs in an order in which they can run: by
# decreasing depth (distance from the outputs), as Keras orders layers.
order_nodes <- function(inputs, outputs, call = NULL) {
  key <- rlang::obj_address
  stop_at <- vapply(inputs, key, "")
  seen <- list()
  place <- new.env(parent = emptyenv())
  visit <- function(tensor, trail) {
    node <- tensor[["node"]]
    id <- key(node)
    if (!is.null(place[[id]])) return(invisible())
    if (!key(tensor) %in% stop_at) {
      if (inherits(node$self, "input_layer")) {
        abort_attentive("argument",
          sprintf("The outputs depend on the input \"%s\", which is not among `inputs`.", tensor[["name"]]), call = call
        )
      }
      for (input in Filter(Negate(is.null), node$inputs)) visit(input)
    }
    seen[[length(seen) + 1L]] <<- node
    place[[id]] <- length(seen)
  }
  for (tensor in outputs) visit(tensor)
  for (tensor in inputs) visit(tensor) # those that nothing depends on
  depth <- integer(length(seen))
  for (i in rev(seq_along(seen))) {
    if (any(vapply(seen[[i]]$outputs, key, "") %in% stop_at)) next
    for (input in Filter(Negate(is.null), seen[[i]]$inputs)) {
      j <- place[[key(input[["node"]])]]
      depth[[j]] <- max(depth[[j]], depth[[i]] + 1L)
    }
  }
  seen[order(-depth, seq_along(seen))]
}
