# Classes of layers that users write: Layer("Name", initialize = , call = ).
#
# An object of such a class has two sides. Users hold a layer as any other: a
# function around `self`, of the kind "custom_layer". Methods see the instance
# of the R6 class as their `self`; it holds what the class keeps (layer_instance.R).
# self$instance leads from one to the other, instance$.layer back.
#
# How the call becomes nodes stands in layer_trace.R.

#' A class of layers of one's own
#'
#' `Layer()` makes a class; its value is the function that makes layers of it, which composes like the built-in ones: with a symbolic tensor, an array or a sequential
#' model as first argument.
#'
#' @details
#' Methods see `self`, `private` and `super`, as in [R6::R6Class()], on which classes stand.
#'
#' - `initialize(...)` begins with `super$initialize(...)`, which takes `name`, `trainable` and `dtype`. Layers that are assigned to `self`, also in lists, belong to the
#'   layer: their weights are found, frozen, trained and counted with it, in the order in which they were assigned.
#' - `build(input_shape)` is called once, before the first call, with the shape of the first argument. Weights of the layer's own are made by
#'   `self$add_weight(shape, initializer, dtype, trainable, regularizer, constraint, name)` here or in `initialize`. With more tensors, name the arguments `<argument>_shape`.
#' - `call(inputs, ...)` computes. Further arguments may be tensors, too. It gives a tensor, or a list of them. With an argument `training` it is told whether the model is
#'   trained: what the call says, else what the call of the layer or model around it says, else the argument's own default, else `NULL`. [fit()][fit.attentive_model] says
#'   `TRUE`, `evaluate()` and `predict()` say `FALSE`, `model(x)` says nothing. With an argument `mask` it is told the mask of `inputs` (a list of masks for a list, `NULL` where there is none).
#'   Where several arguments are tensors, masks are told as `<argument>_mask`.
#' - `compute_mask(inputs, mask)` gives the mask of what comes out. Without it the mask of the inputs goes on if `self$supports_masking` is `TRUE`.
#' - `compute_output_shape(input_shape)` answers `layer$compute_output_shape()`; without it the call is followed.
#' - `get_config()` gives the arguments that make the same layer again, added to `super$get_config()`. Without it those that the layer was made with are remembered.
#'
#' `self` also has `name`, `dtype`, `trainable`, `built`, `losses` and `weights` and its like.
#'
#' @section How the call runs:
#' `call` is applied to symbolic tensors, and what it does with them is remembered; then arrays, batches and gradients go through that alone. It happens once for
#' each combination of shapes (but for the batch), types, `training`, arguments that are no tensors, and masks. So `if (isTRUE(training))`, `if (is.null(mask))`
#' and a loop over layers do what they say, while a condition on the numbers of a tensor cannot be decided. A mask is a symbolic tensor of dtype "bool".
#'
#' @section Saving:
#' [saveRDS()] keeps a model with such layers; it works in another session, too. [clone_model()] and `from_config(get_config(model))` make such layers anew from their
#' configuration; a configuration from elsewhere needs `custom_objects = list(Name = constructor)`, [register_keras_serializable()] or [with_custom_object_scope()].
#'
#' @section Errors:
#' `attentive_error_argument` where `call` fails on symbolic tensors or gives none, with the error that came as `parent`; `attentive_error_state` where `call` makes layers or weights,
#' which `initialize` and `build` must do.
#'
#' @section Differences from Keras:
#' A layer with weights that `call` uses without having been assigned to `self` is an error: it would not be trained. `add_loss()` is not available.
#' Neither is state: `call` cannot assign to a weight, as in `self$total$assign(self$total + op_sum(inputs))`, since it is followed once and does not run again.
#' Where a default `training = TRUE` decides within a model, `call` is told so, but dropout of the package's layers within it is active only while the whole model trains.
#'
#' @param classname The name of the class.
#' @param initialize,call,build,get_config Methods; see details.
#' @param ...,public More methods and fields, by name.
#' @param private Private methods and fields: a named list.
#' @param inherit `NULL`, or what an earlier call of `Layer()` gave, or the constructor of a built-in layer such as [layer_dense], without a call.
#' @param parent_env The environment around the methods.
#' @return A function: its first argument is `object`, the others are those of the method `initialize`. With `object` missing or `NULL` it gives a layer, else
#'   what a built-in constructor would give.
#' @source The documentation of `keras.layers.Layer`.
#' @family layers
#' @examples
#' layer_scaled <- Layer("Scaled",
#'   initialize = function(units, ...) {
#'     super$initialize(...)
#'     self$dense <- layer_dense(units = units)
#'   },
#'   build = function(input_shape) {
#'     self$scale <- self$add_weight(shape = 1, initializer = "ones", name = "scale")
#'   },
#'   call = function(inputs) self$dense(inputs) * self$scale
#' )
#' input <- keras_input(3)
#' model <- keras_model(input, input |> layer_scaled(units = 2))
#' model
#' layer_scaled(units = 2)(matrix(1:6, 2))
#' @export
Layer <- function(classname, initialize = NULL, call = NULL, build = NULL, get_config = NULL, ..., public = list(), private = list(),
                  inherit = NULL, parent_env = parent.frame()) {
  force(parent_env)
  methods <- Filter(Negate(is.null), list(initialize = initialize, call = call, build = build, get_config = get_config))
  define_class("layer", classname, c(methods, list(...), public), private, inherit, parent_env, environment())
}

# The layer around an instance, applied to `object`: the end of a constructor.
wrap_layer_instance <- function(instance, class_name, constructor, arguments, object = NULL) {
  self <- instance_layer(instance)
  self$constructor <- constructor
  self$arguments <- arguments
  track_fields(instance)
  if (!is.function(.subset2(instance, "call"))) {
    abort_attentive("argument", sprintf("The class %s has no method `call`.", class_name), arg = "call")
  }
  if (is.null(self$name)) self$name <- unique_name(self$prefix)
  layer <- new_shell(self)
  if (is.null(object)) return(layer)
  if (is_sequential(object)) return(invisible(add_layer(object, layer)))
  layer(object)
}

# A class whose objects do what a built-in layer does.
builtin_layer_class <- function(constructor) {
  makers <- unique(vapply(layer_constructors(), function(known) known$make, ""))
  found <- vapply(makers, function(make) identical(constructor, get(make, envir = topenv())), NA)
  if (!any(found)) return(NULL)
  R6::R6Class("BuiltinLayer", inherit = layer_base, lock_objects = FALSE, public = list(
    builtin = NULL,
    initialize = function(...) {
      super$initialize()
      self$builtin <- constructor(NULL, ...)
    },
    call = function(...) self$builtin(...),
    compute_mask = function(inputs, mask = NULL) self$builtin$compute_mask(inputs, mask)
  ))
}
utils::globalVariables("super")

# `self$call(...)`: see layer_trace.R.
layer_function.custom_layer <- function(self) function(...) call_custom(parent.env(environment()), list(...), environment())

# The layers of the user's classes within a layer or model, itself among them.
custom_layers_in <- function(self) {
  inner <- if (holds_layers(self)) unlist(lapply(self$layers, custom_layers_in), recursive = FALSE)
  c(if (inherits(self, "custom_layer")) list(self), inner)
}

# Changes with every change of a field of a layer of the user's within `self`: what was made from it before is stale.
edition_of <- function(customs) sum(0, vapply(customs, function(inner) inner$edition, 0))

# Fields -------------------------------------------------------------------------

# Methods of the bottom class, which are not fields of a layer.
hidden_members <- c(
  ".layer", ".__enclos_env__", "initialize", "call", "build", "get_config", "compute_output_shape", "compute_mask", "add_weight", "add_loss",
  "clone", "supports_masking", "builtin"
)

layer_property.custom_layer <- function(self, name) {
  members <- ls(self$instance, all.names = TRUE)
  own <- setdiff(members, hidden_members)
  if (is.null(name)) return(c(own, "call", "compute_mask", "add_weight"))
  if (name == ".shape_arguments") return(NULL)
  if (name == ".summary") return("class of the user's")
  if (name %in% members) return(.subset2(self$instance, name))
  if (!is.null(self$instance$builtin)) return(layer_property(layer_self(self$instance$builtin), name))
  unknown_property(self, name, own)
}

# Configuration --------------------------------------------------------------------

#' @export
get_config.attentive_custom_layer <- function(object) {
  self <- layer_self(object)
  config <- self$instance$get_config()
  if (!is.list(config)) abort_argument(config, "get_config()", "a named list", call = environment())
  structure(config, class_name = self$class_name, constructor = self$constructor)
}

# What `super$get_config()` gives: name, trainable and dtype, and the arguments of
# the constructor where the class has no method of its own.
base_layer_config <- function(instance) {
  self <- instance_layer(instance)
  config <- list(name = self$name, trainable = self$trainable, dtype = dtype_config(self$dtype))
  if (has_own_method(instance, "get_config")) return(config)
  remembered <- self$arguments[setdiff(names(self$arguments), c("", common_arguments))]
  c(config, lapply(remembered, function(x) if (is_layer(x)) layer_entry(layer_self(x)) else x))
}

# A layer from the configuration of a class of the user's.
layer_from_class <- function(constructor, config, custom_objects = NULL) {
  generator <- attr(constructor, "generator")
  attributes(config) <- list(names = names(config))
  takes <- names(formals(initialize_method(generator)))
  rest <- list()
  if (!"..." %in% takes) {
    rest <- config[setdiff(names(config), takes)]
    config <- config[intersect(names(config), takes)]
  }
  inner <- vapply(config, function(x) is.list(x) && is.character(x$class_name) && is.list(x$config) && identical(x$module, "keras.layers"), NA)
  config[inner] <- lapply(config[inner], from_config, custom_objects = custom_objects)
  layer <- do.call(constructor, config, quote = TRUE)
  if (is.character(rest$name)) {
    self <- layer_self(layer)
    self$name <- rest$name
  }
  if (isFALSE(rest$trainable)) layer$trainable <- FALSE
  layer
}

node_call.custom_layer <- function(self, inputs, arguments) {
  given <- fill_slots(arguments$given, inputs)
  list(args = unname(given[1L]), kwargs = c(given[-1L], Filter(Negate(is.null), arguments["training"])))
}
