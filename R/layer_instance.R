# What methods of a class of layers see as `self`: an R6 object with the fields of
# the class. What all layers have (weights, name, ...) is in the layer's own
# `self`, here called its layer.

# What a class inherits from at the bottom; see class-bridge.R. Only the doors
# are here: an object that was saved runs the package's code of today.
make_layer_base <- function() {
  R6::R6Class("attentive_layer_instance", lock_objects = FALSE, public = list(
    initialize = function(...) initialize_instance(self, list(...)),
    get_config = function() base_layer_config(self),
    compute_mask = function(inputs, mask = NULL) mask,
    add_weight = function(shape = NULL, initializer = NULL, dtype = NULL, trainable = TRUE, autocast = TRUE, regularizer = NULL, constraint = NULL,
                          aggregation = "none", name = NULL) {
      add_instance_weight(self, shape, initializer, dtype, trainable, regularizer, constraint, name)
    },
    add_loss = function(loss) abort_add_loss()
  ))
}

# The layer of an instance; made when it is first asked for, which may be before `super$initialize()`.
instance_layer <- function(instance) {
  self <- .subset2(instance, ".layer")
  if (is.null(self)) {
    class_name <- class(instance)[[1L]]
    self <- new_self("custom_layer", class_name, snake_name(class_name), list())
    self$layers <- list()
    self$edition <- 0
    self$traces <- list()
    self$instance <- instance
    assign(".layer", self, envir = instance)
  }
  self
}

# "TransformerEncoder" -> "transformer_encoder", as Keras does it.
snake_name <- function(name) {
  name <- gsub("(.)([A-Z][a-z]+)", "\\1_\\2", gsub("[^A-Za-z0-9_]", "", name))
  tolower(gsub("([a-z])([A-Z])", "\\1_\\2", name))
}

initialize_instance <- function(instance, arguments) {
  self <- instance_layer(instance)
  check_dots_names(arguments, common_arguments, sprintf("the class %s", self$class_name))
  common <- new_self("custom_layer", self$class_name, self$prefix, arguments)
  for (field in c("name", "trainable", "dtype", "input_shape")) self[[field]] <- common[[field]]
  if (is.null(self$name)) self$name <- unique_name(self$prefix)
  for (weight in self$weights) if (weight[["dtype"]] != self$dtype) abort_late_initialize(self)
  invisible(instance)
}

abort_late_initialize <- function(self) {
  abort_attentive("state", sprintf("The class %s makes weights before `super$initialize(...)`.", self$class_name),
    hint = "Begin `initialize` with `super$initialize(...)`."
  )
}

# Reading and setting fields --------------------------------------------------------

instance_fields <- c(
  "name", "path", "built", "trainable", "dtype", "variable_dtype", "compute_dtype", "weights", "trainable_weights", "non_trainable_weights",
  "variables", "trainable_variables", "non_trainable_variables", "losses", "count_params", "get_weights", "set_weights", "compute_output_shape", "input_spec"
)

#' @export
`$.attentive_layer_instance` <- function(x, name) {
  if (exists(name, envir = x, inherits = FALSE)) return(get(name, envir = x, inherits = FALSE))
  self <- instance_layer(x)
  if (name == "supports_masking") return(has_own_method(x, "compute_mask"))
  if (name %in% instance_fields) return(layer_field(new_shell(self), self, name))
  builtin <- .subset2(x, "builtin")
  if (is_layer(builtin) && name %in% names(builtin)) return(do.call("$", list(builtin, name)))
  NULL # a field that is not there, as in any R6 object
}

#' @export
`$<-.attentive_layer_instance` <- function(x, name, value) {
  self <- instance_layer(x)
  if (name == "trainable") {
    set_trainable(self, check_flag(value, "trainable"))
  } else if (name == "name") {
    self$name <- check_string(value, "name")
  } else if (name %in% setdiff(instance_fields, "built")) { # `self$built <- TRUE` is usual in `build`, and changes nothing
    abort_attentive("name", sprintf("The field `%s` of a layer cannot be set.", name))
  } else if (name != "built") {
    set_field(x, self, name, value)
  }
  invisible(x)
}

#' @export
`[[.attentive_layer_instance` <- function(x, i) do.call("$", list(x, i))

#' @export
`[[<-.attentive_layer_instance` <- function(x, i, value) `$<-.attentive_layer_instance`(x, i, value)

#' @export
print.attentive_layer_instance <- function(x, ...) {
  print(new_shell(instance_layer(x)))
  invisible(x)
}

set_field <- function(instance, self, name, value) {
  before <- .subset2(instance, name)
  found <- tracked_in(value)
  fresh <- Filter(function(one) !is_tracked(self, one), found)
  if (length(fresh) > 0L && isTRUE(self$tracing)) abort_made_in_call(self, fresh[[1L]])
  assign(name, value, envir = instance)
  for (one in fresh) track(self, one)
  if (length(tracked_in(before)) > 0L) forget_unreachable(instance, self)
  # what the call does may depend on it
  if (!is_tracing()) {
    self$edition <- self$edition + 1
    self$traces <- list()
  }
}

abort_made_in_call <- function(self, one) {
  what <- if (inherits(one, "attentive_variable")) "a weight" else sprintf("the layer \"%s\"", one$name)
  abort_attentive("state", sprintf("The `call()` of the layer \"%s\" makes %s.", self$name, what),
    hint = "Layers are made and assigned to `self` in `initialize()`, weights there or in `build()`: `call()` runs many times."
  )
}

# Layers and weights of an instance --------------------------------------------------

# The layers (their `self`) and variables in a field: alone, or in lists.
tracked_in <- function(value) {
  if (is_layer(value)) return(list(layer_self(value)))
  if (inherits(value, "attentive_variable")) return(list(value))
  if (is.list(value) && !is.data.frame(value)) return(unlist(lapply(unname(unclass(value)), tracked_in), recursive = FALSE))
  list()
}

is_tracked <- function(self, one) {
  any(vapply(if (inherits(one, "attentive_variable")) self$weights else self$layers, identical, NA, one))
}

track <- function(self, one) {
  if (inherits(one, "attentive_variable")) {
    self$weights <- c(self$weights, list(one))
  } else {
    self$layers <- c(self$layers, list(one))
  }
}

# Fields that were set past `$<-`: those of the class.
track_fields <- function(instance) {
  self <- instance_layer(instance)
  for (one in reachable(instance)) if (!is_tracked(self, one)) track(self, one)
}

reachable <- function(instance) {
  fields <- setdiff(ls(instance, all.names = TRUE), c(".layer", ".__enclos_env__"))
  unlist(lapply(fields, function(name) tracked_in(.subset2(instance, name))), recursive = FALSE)
}

# Layers that were replaced are no longer part of the layer. Weights stay: `add_weight()` gives them to the layer.
forget_unreachable <- function(instance, self) {
  left <- reachable(instance)
  self$layers <- Filter(function(one) any(vapply(left, identical, NA, one)), self$layers)
}

add_instance_weight <- function(instance, shape, initializer, dtype, trainable, regularizer, constraint, name) {
  self <- instance_layer(instance)
  call <- NULL
  if (isTRUE(self$tracing)) abort_made_in_call(self, structure(list(), class = "attentive_variable"))
  shape <- if (length(shape) == 0L) integer() else as_shape(shape, "shape", call)
  if (anyNA(shape)) {
    abort_argument(shape, "shape", "a shape without unknown sizes", hint = "A weight has a size for every axis.", call = call, class = "shape")
  }
  name <- check_string(name, "name", null = TRUE, call = call)
  earlier <- length(self$weights)
  if (is.null(name)) name <- if (earlier == 0L) "variable" else paste0("variable_", earlier)
  if (is.null(self$key)) self$key <- draw_key()
  dtype <- check_dtype(if (is.null(dtype)) self$dtype else dtype, call)
  values <- initial_values(as_initializer(initializer, "initializer", call), shape, dtype, self$key, earlier, arg = "initializer", call = call)
  weight <- new_variable(values, shape, dtype, name, paste0(self$name, "/", name), check_flag(trainable, "trainable", call = call),
    as_regularizer(regularizer, "regularizer", call), as_constraint(constraint, "constraint", call)
  )
  track(self, weight)
  weight
}

abort_add_loss <- function() {
  abort_attentive("not_yet", "`self$add_loss()` is not available.",
    hint = "`regularizer` of `add_weight()` and `activity_regularizer` of layers add penalties to the loss."
  )
}

# Whether the class has a method beyond that of the bottom class.
has_own_method <- function(instance, name) {
  method <- .subset2(instance, name)
  is.function(method) && !identical(body(method), body(layer_base$public_methods[[name]]))
}
