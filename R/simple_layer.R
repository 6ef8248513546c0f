# Layers whose call takes one array, or one list of arrays: what they share.
#
# Each is applied in three ways. To a sequential model: it is appended. To
# symbolic tensors: a node of the graph. To arrays: a program with this layer
# alone. What one kind adds, besides the methods in layer.R and graph.R:
#   layer_inputs(self, inputs, call)   the arrays or tensors of a call as a list
layer_inputs <- function(self, inputs, call = NULL) UseMethod("layer_inputs")

# Constructors end with this: the first argument decides what comes back.
compose_layer <- function(layer, object, call = NULL) {
  if (is.null(object)) return(layer)
  if (is_sequential(object)) return(invisible(add_layer(object, layer, call)))
  call_layer(layer_self(layer), object, NULL, NULL, list(), call)
}

# The first argument of a constructor: forced before anything else, so that
# piped layers are numbered from left to right.
first_argument <- function(frame, name = "object") {
  if (eval(call("missing", as.name(name)), frame)) NULL else frame[[name]]
}

simple_call <- function(inputs, training = NULL, mask = NULL, ...) {
  if ("object" %in% ...names()) return(call_by_object(sys.call(), "inputs", parent.frame()))
  call_layer(parent.env(environment()), inputs, training, mask, list(...), environment())
}
layer_function.simple_layer <- function(self) simple_call

# `run` computes: it takes what run_on_arrays() takes.
call_layer <- function(self, inputs, training, mask, extra, call, run = run_on_arrays) {
  if (missing(inputs)) abort_missing("inputs", "an array or a symbolic tensor", call)
  if (is_sequential(inputs)) return(invisible(add_layer(inputs, new_shell(self), call)))
  if (length(extra) > 0L) check_dots_names(extra, "threads", sprintf("the layer \"%s\"", self$name), call, names(formals(simple_call))[1:3])
  training <- check_flag(training, "training", null = TRUE, call = call)
  inputs <- layer_inputs(self, inputs, call)
  # what a layer gives for an array is part of what is traced: the gradient goes to its weights
  if (is_tracing()) inputs <- lapply(inputs, function(x) if (is_symbolic(x)) x else constant_tensor(x))
  symbolic <- vapply(inputs, is_symbolic, NA)
  if (any(symbolic)) {
    if (!all(symbolic)) abort_mixed(self, call)
    if (!is.null(mask)) {
      abort_argument(mask, "mask", "NULL where the layer is applied to a symbolic tensor", hint = "A mask travels with its tensor.", call = call)
    }
    check_training_option(training, call)
    check_has_axes(self, inputs, call)
    return(apply_symbolically(self, inputs, list(training = training), call))
  }
  dims <- lapply(inputs, dim)
  layer_output_shape(self, dims, call)
  check_numbers(self, inputs, call)
  masks <- call_mask(mask, dims[[1L]], call)
  if (!self$built) layer_build(self, dims, call)
  run_layer(self, inputs, masks, isTRUE(training), call_threads(extra, call), run)
}

abort_mixed <- function(self, call = NULL) {
  abort_attentive("argument", sprintf("The layer \"%s\" was given arrays and symbolic tensors together.", self$name),
    hint = "Make an input for every array with `keras_input()`, or use `+ - * /` with an array.", call = call
  )
}

# A single number has no batch; what works on each number alone takes it nevertheless.
check_has_axes <- function(self, inputs, call = NULL) {
  single <- vapply(inputs, function(tensor) length(tensor[["shape"]]) == 0L, NA)
  along <- c("softmax", "log_softmax", "sparsemax", "glu")
  element_wise <- inherits(self, c("identity_layer", "element_activation")) || (inherits(self, "activation") && !isTRUE(self$activation$name %in% along))
  if (element_wise || !any(single)) return(invisible())
  abort_attentive("shape", sprintf("The layer \"%s\" was given a tensor without axes: [].", self$name),
    hint = c(
      "The first axis is the batch: `op_min(x, axis = -1)`, say, leaves it, while `op_min(x)` is one number for all.",
      "`op_reshape(x, c(1, 1))` makes axes; operations such as `*` take single numbers."
    ), call = call
  )
}

# A part of a model can be told to stay in inference; training alone is up to fit().
check_training_option <- function(training, call = NULL) {
  if (isTRUE(training) && !allows_training(training)) {
    abort_attentive("not_yet", "`training = TRUE` for a part of a model is not available.",
      hint = "`fit()` and `model(x, training = TRUE)` train the whole model; `training = FALSE` switches dropout of a part off.", call = call
    )
  }
}

# What a kind of layer asks of the numbers themselves.
check_numbers <- function(self, inputs, call = NULL) UseMethod("check_numbers")
check_numbers.default <- function(self, inputs, call = NULL) invisible()

# One array or tensor, or a list that holds just one.
layer_inputs.default <- function(self, inputs, call = NULL) {
  if (is.list(inputs) && !is.object(inputs) && length(inputs) == 1L) inputs <- inputs[[1L]]
  list(as_input(inputs, "inputs", call))
}

# A numeric array with at least two dimensions (a vector is a batch of single
# numbers), or a symbolic tensor.
as_input <- function(x, arg, call = NULL) {
  if (is_symbolic(x)) return(x)
  if (is.data.frame(x) && all(vapply(x, is.numeric, NA))) x <- as.matrix(x)
  if (inherits(x, "attentive_variable")) x <- variable_array(x)
  plain <- !is.object(x) || inherits(x, c("attentive_scores", "table"))
  if (!(is.numeric(x) || is.logical(x)) || !plain) {
    hint <- if (is_layer(x) && inherits(x, "attentive_model")) {
      "To go on from a model, apply the layer to `model$output`."
    }
    abort_argument(x, arg, "a numeric array, the batch first, or a symbolic tensor", hint = hint, call = call)
  }
  if (is.null(dim(x))) dim(x) <- length(x)
  x
}

# The mask of a call: logical or 0/1, of the first dimensions of the array.
call_mask <- function(mask, dim, call = NULL) {
  if (is.null(mask)) return(NULL)
  if (is.object(mask) || !(is.logical(mask) || is.numeric(mask)) || anyNA(mask) || !all(mask == 0 | mask == 1)) {
    abort_argument(mask, "mask", "logical or 0/1, TRUE for real positions", call = call, class = "mask")
  }
  fits <- !is.null(base::dim(mask)) && length(base::dim(mask)) <= length(dim) &&
    identical(as.integer(base::dim(mask)), as.integer(dim[seq_along(base::dim(mask))]))
  if (!fits) {
    abort_attentive("mask",
      sprintf("`mask` must have the first dimensions of the array %s, not %s.", format_shape(dim),
        if (is.null(base::dim(mask))) sprintf("a length of %d", length(mask)) else format_shape(base::dim(mask))), call = call
    )
  }
  mask
}

# Shapes -------------------------------------------------------------------------

# The size of the last axis, which the weights of a layer are made for.
known_features <- function(self, shape, call = NULL) {
  features <- shape[[length(shape)]]
  if (length(shape) < 2L) {
    abort_attentive("shape", sprintf("The layer \"%s\" needs inputs of at least two dimensions, not %s.", self$name, format_shape(shape)),
      hint = "The first dimension is the batch: a vector of n single numbers is `matrix(x, ncol = 1)`.", call = call
    )
  }
  if (is.na(features)) {
    abort_attentive("shape",
      sprintf("The last size of what the layer \"%s\" is applied to must be known: %s.", self$name, format_shape(shape)), call = call
    )
  }
  if (!is.null(self$features) && self$features != features) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" was built for %d features, not %d: %s.", self$name, self$features, features, format_shape(shape)), call = call
    )
  }
  features
}

check_rank_of <- function(self, shape, rank, what, call = NULL) {
  if (length(shape) == rank) return(invisible())
  abort_attentive("shape",
    sprintf("The layer \"%s\" takes %s, not %s.", self$name, what, format_shape(shape)), call = call
  )
}

# Weights ------------------------------------------------------------------------

# One weight of a layer, under the arguments `<name>_initializer` and so on;
# `stream` numbers its random numbers within the layer.
new_weight <- function(self, name, shape, stream = 0L, inputs = NULL, outputs = NULL, of = name, call = NULL) {
  argument <- paste0(of, "_initializer")
  new_variable(
    initial_values(self[[argument]], shape, self$dtype, self$key, stream, inputs, outputs, arg = argument, call = call),
    shape, self$dtype, name, paste0(self$name, "/", name), TRUE, self[[paste0(of, "_regularizer")]], self[[paste0(of, "_constraint")]]
  )
}

# The specifications of a layer from the frame of its constructor.
take_specifications <- function(self, frame, initializers = NULL, regularizers = NULL, constraints = NULL) {
  for (name in names(initializers)) {
    arg <- paste0(name, "_initializer")
    self[[arg]] <- as_initializer(frame[[arg]], arg, frame, default = initializers[[name]])
  }
  for (name in regularizers) {
    arg <- paste0(name, "_regularizer")
    self[[arg]] <- as_regularizer(frame[[arg]], arg, frame)
  }
  for (name in constraints) {
    arg <- paste0(name, "_constraint")
    self[[arg]] <- as_constraint(frame[[arg]], arg, frame)
  }
}

# Penalties on what comes out: a node that adds to the loss.
check_activity_regularizer <- function(self, frame) {
  self$activity_regularizer <- as_regularizer(frame$activity_regularizer, "activity_regularizer", frame)
  if (is.null(self$activity_regularizer)) return(invisible())
  if (!specification_data(self$activity_regularizer)$kind %in% c("l1", "l2", "l1_l2")) {
    abort_attentive("not_yet", "`activity_regularizer` must be l1, l2 or l1_l2 for this layer.", arg = "activity_regularizer", call = frame)
  }
}

emit_activity <- function(self, builder, made) {
  if (is.null(self$activity_regularizer)) return(made)
  config <- specification_data(self$activity_regularizer)$config
  zero <- function(x) if (is.null(x)) 0 else x
  made$value <- add_node(builder, "activity_penalty", made$value, list(l1 = zero(config$l1), l2 = zero(config$l2)))
  made
}

# Fields and configuration -------------------------------------------------------

# The common part of layer_property(): `fields` are the names that stand in `self`.
simple_property <- function(self, name, fields, summary) {
  if (is.null(name)) return(fields)
  if (name == ".shape_arguments") return("input_shape")
  if (name == ".summary") return(summary)
  if (!name %in% fields) return(unknown_property(self, name, fields))
  self[[name]]
}

# Most simple layers have no weights.
layer_build.simple_layer <- function(self, shapes, call = NULL) {
  layer_output_shape(self, shapes, call)
  self$built <- TRUE
  invisible(self)
}
