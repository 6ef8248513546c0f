# Layers: what all of them share.
#
# A layer is an R function with a class, around an environment `self` that
# holds data only; the code is in this namespace. So `layer(x)` works as in
# keras3, the object is mutable as in keras3, and an object saved by an old
# version of the package runs the new version's code.
#
# What one kind of layer adds are S3 methods on the class of its `self`:
#   layer_build(self, shapes, call)         create the weights
#   layer_output_shape(self, shapes, call)  integer vector, NA where unknown
#   layer_config(self)                      its part of get_config()
#   layer_property(self, name)              what `layer$name` gives beyond the common fields
#   layer_function(self)                    the call: a function whose environment becomes `self`
#   layer_compute_mask(self, inputs, previous_mask)   where a mask of the inputs does not simply go on
layer_build <- function(self, shapes, call = NULL) UseMethod("layer_build")
layer_output_shape <- function(self, shapes, call = NULL) UseMethod("layer_output_shape")
layer_config <- function(self) UseMethod("layer_config")
layer_property <- function(self, name) UseMethod("layer_property")
layer_function <- function(self) UseMethod("layer_function")
layer_compute_mask <- function(self, inputs, previous_mask) UseMethod("layer_compute_mask")

layer_compute_mask.default <- function(self, inputs, previous_mask) previous_mask

# state that belongs to the session: counters of automatic names, the dtype of new layers
session <- new.env(parent = emptyenv())
session$names <- list()
session$floatx <- "float32"

unique_name <- function(prefix) {
  seen <- session$names[[prefix]]
  session$names[[prefix]] <- if (is.null(seen)) 1L else seen + 1L
  if (is.null(seen)) prefix else paste0(prefix, "_", seen)
}

#' Start anew
#'
#' Automatic layer names (`multi_head_attention`, `multi_head_attention_1`, ...) start from the beginning again.
#'
#' @param free_memory Accepted for compatibility with keras3; memory is R's and needs no freeing.
#' @return Nothing, invisibly.
#' @section Errors: `attentive_error_argument` where `free_memory` is neither `TRUE` nor `FALSE`.
#' @examples
#' clear_session()
#' layer_multi_head_attention(num_heads = 2, key_dim = 3)$name
#' @export
clear_session <- function(free_memory = TRUE) {
  check_flag(free_memory, "free_memory", call = environment())
  session$names <- list()
  invisible()
}

# The arguments that every layer takes in `...`.
common_arguments <- c("name", "trainable", "dtype", "autocast", "input_shape")

# A new `self`; `kind` is the class for the methods above, `prefix` Keras's
# snake-case class name, `class_name` its class name.
new_self <- function(kind, class_name, prefix, common, call = NULL) {
  dtype <- check_dtype(common$dtype, call)
  name <- check_string(common$name, "name", null = TRUE, call = call)
  if (!is.null(name) && grepl("/", name, fixed = TRUE)) {
    abort_argument(name, "name", "a string without \"/\"", call = call)
  }
  trainable <- if (is.null(common$trainable)) TRUE else check_flag(common$trainable, "trainable", call = call)
  self <- new.env(parent = topenv())
  self$class_name <- class_name
  self$prefix <- prefix
  self$name <- name # NULL until the layer is finished, so that a failed call uses up no name
  self$trainable <- trainable
  self$dtype <- dtype
  # what a sequential model begins with, where this is its first layer
  self$input_shape <- if (!is.null(common$input_shape)) as_shape(common$input_shape, "input_shape", call)
  self$built <- FALSE
  self$parts <- list() # projections and their like, by name
  self$weights <- list()
  class(self) <- c(kind, "attentive_self")
  self
}

# Turns a finished `self` into the function that users hold.
new_layer <- function(self) {
  if (is.null(self$name)) self$name <- unique_name(self$prefix)
  new_shell(self)
}

# The function around `self`: there may be several, they are one layer.
new_shell <- function(self) {
  fun <- layer_function(self)
  environment(fun) <- self
  structure(fun, class = c(paste0("attentive_", setdiff(class(self), "attentive_self")), "attentive_layer"))
}

layer_self <- function(layer) if (is.function(layer)) environment(layer) else abort_no_layer(layer, NULL)

check_dtype <- function(dtype, call = NULL) {
  if (is.null(dtype)) return(config_floatx())
  # the form in get_config(): list(module, class_name = "DTypePolicy", config = list(name))
  if (is.list(dtype) && is.list(dtype$config)) dtype <- dtype$config$name
  known <- c("float32", "float64")
  if (is.character(dtype) && length(dtype) == 1L && dtype %in% known) return(as.vector(dtype))
  abort_argument(dtype, "dtype", or_list(known),
    hint = "\"float32\" is fast, \"float64\" exact to about 1e-15.", call = call
  )
}

# The weights of a part (a projection): `kernel` and, maybe, `bias`.
new_part <- function(name, equation, kernel, bias = NULL) {
  part <- new.env(parent = emptyenv(), size = 6L)
  part$name <- name
  part$equation <- equation
  part$kernel <- kernel
  part$bias <- bias
  class(part) <- "attentive_part"
  part
}

#' @export
`$.attentive_part` <- function(x, name) {
  switch(name,
    weights = Filter(Negate(is.null), list(x[["kernel"]], x[["bias"]])),
    name = , equation = , kernel = , bias = x[[name]],
    abort_attentive("name", sprintf("The projection \"%s\" has no field `%s`.", x[["name"]], name),
      hint = "Known fields: `name`, `equation`, `kernel`, `bias`, `weights`."
    )
  )
}

#' @export
names.attentive_part <- function(x) c("name", "equation", "kernel", "bias", "weights")

#' @export
print.attentive_part <- function(x, ...) {
  cat(sprintf("<projection \"%s\", %s>\n", x[["name"]], x[["equation"]]))
  for (weight in x$weights) cat("  ", format(weight), "\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_part <- function(object, ...) print(object)

# Fields and methods of a layer -------------------------------------------

layer_fields <- c(
  "name", "path", "built", "trainable", "dtype", "variable_dtype", "compute_dtype", "weights", "trainable_weights",
  "non_trainable_weights", "variables", "trainable_variables", "non_trainable_variables", "losses", "supports_masking",
  "input_spec", "build", "compute_output_shape", "compute_mask", "count_params", "get_config", "get_weights", "set_weights"
)

#' @export
`$.attentive_layer` <- function(x, name) layer_field(x, layer_self(x), name)

layer_field <- function(x, self, name) {
  if (name %in% c("input", "output") && !inherits(self, "model")) return(layer_ends(self, name))
  switch(name,
    name = , path = self$name,
    built = self$built,
    trainable = self$trainable,
    dtype = , variable_dtype = , compute_dtype = self$dtype,
    weights = , variables = layer_weights(self),
    trainable_weights = , trainable_variables = layer_weights(self, TRUE),
    non_trainable_weights = , non_trainable_variables = layer_weights(self, FALSE),
    losses = layer_losses(self),
    supports_masking = if (inherits(self, "custom_layer")) isTRUE(self$instance$supports_masking) else TRUE,
    compute_mask = function(inputs, previous_mask = NULL) layer_compute_mask(self, inputs, previous_mask),
    input_spec = NULL,
    build = function(...) build_from_shapes(x, ...),
    compute_output_shape = function(...) {
      shapes <- layer_output_shape(self, input_shapes(self, list(...)))
      if (is.list(shapes)) lapply(shapes, new_shape) else new_shape(shapes)
    },
    count_params = function() count_params(x),
    get_config = function() get_config(x),
    get_weights = function() get_weights(x),
    set_weights = function(weights) set_weights(x, weights),
    layer_property(self, name)
  )
}

unknown_property <- function(self, name, known) {
  known <- c(layer_fields, known)
  abort_attentive("name", sprintf("The layer \"%s\" has no field `%s`.", self$name, name),
    hint = c(nearest_hint(name, known), "`names(layer)` lists the fields.")
  )
}

#' @export
`$<-.attentive_layer` <- function(x, name, value) {
  self <- layer_self(x)
  if (name == "trainable") {
    set_trainable(self, check_flag(value, "trainable"))
  } else if (inherits(self, "custom_layer")) {
    `$<-.attentive_layer_instance`(self$instance, name, value)
  } else if (!same_field(x, name, value)) {
    abort_attentive("name", sprintf("The field `%s` of a layer cannot be set.", name),
      hint = "`trainable` can be set; weights change by `set_weights()` or `variable$assign()`."
    )
  }
  invisible(x)
}

# `layer$kernel$trainable <- FALSE` changes the variable and then sets the field to what it is.
same_field <- function(x, name, value) name %in% names(x) && identical(value, x[[name]])

# Freezing a model freezes its layers.
set_trainable <- function(self, value) {
  self$trainable <- value
  for (inner in self$layers) set_trainable(inner, value)
}

#' @export
`[[.attentive_layer` <- function(x, i) {
  if (!is.character(i) || length(i) != 1L) {
    abort_argument(i, "i", "the name of a field", hint = "`names(layer)` lists the fields.")
  }
  do.call("$", list(x, i))
}

#' @export
names.attentive_layer <- function(x) {
  self <- layer_self(x)
  c(layer_fields, if (!is.null(self$node) && !inherits(self, "model")) c("input", "output"), layer_property(self, NULL))
}

# All weights of a layer, or the trainable or other ones. Those of a model or wrapper are those of its layers.
layer_weights <- function(self, trainable = NA) {
  if (holds_layers(self)) return(model_weights(self, trainable))
  if (is.na(trainable)) return(self$weights)
  Filter(function(weight) (self$trainable && weight[["trainable"]]) == trainable, self$weights)
}

# The named shapes that build() and compute_output_shape() take.
input_shapes <- function(self, shapes, call = NULL) {
  known <- layer_property(self, ".shape_arguments")
  if (is.null(known)) return(list_of_shapes(shapes, call))
  # a list of shapes is what Keras gives to layers that are called on a list
  if (length(shapes) == 1L && is.list(shapes[[1L]]) && all(lengths(shapes[[1L]]) > 1L)) {
    shapes <- shapes[[1L]]
    if (!is.null(names(shapes))) names(shapes) <- sub("^(query|value|key)$", "\\1_shape", names(shapes))
  }
  given <- names(shapes)
  if (is.null(given)) given <- character(length(shapes))
  given[given == ""] <- setdiff(known, given)[seq_len(sum(given == ""))]
  unknown <- setdiff(given, known)
  if (length(unknown) > 0L || anyDuplicated(given) || length(shapes) == 0L) {
    abort_attentive("name", sprintf(
      "The shapes of the layer \"%s\" are %s.", self$name, paste0("`", known, "`", collapse = ", ")
    ), call = call)
  }
  names(shapes) <- given
  shapes <- shapes[!vapply(shapes, is.null, NA)]
  for (arg in names(shapes)) shapes[[arg]] <- as_shape(shapes[[arg]], arg, call)
  shapes
}

# The shapes of a layer that takes one list of any number of arrays.
list_of_shapes <- function(shapes, call = NULL) {
  if (length(shapes) == 1L && is.list(shapes[[1L]]) && !is.object(shapes[[1L]])) shapes <- shapes[[1L]]
  if (length(shapes) == 0L) abort_missing("input_shape", "a shape, or a list of them", call)
  lapply(shapes, as_shape, "input_shape", call)
}

build_from_shapes <- function(layer, ...) {
  self <- layer_self(layer)
  shapes <- input_shapes(self, list(...))
  if (!self$built) layer_build(self, shapes)
  invisible(layer)
}

# Weights ------------------------------------------------------------------

#' Weights of a layer
#'
#' `get_weights()` gives the weights as a list of R arrays, `set_weights()` replaces all of them, `count_params()` counts their numbers.
#'
#' @details
#' The order is Keras's: for multi-head attention kernel and bias of query, key, (gate,) value and output; see [layer_multi_head_attention()]
#' for the shapes. Biases and other vectors come as one-dimensional arrays; `set_weights()` takes plain vectors for them too.
#' When one of the weights does not fit, none is changed.
#'
#' @param object A layer or a model.
#' @param trainable `NA` for all weights, `TRUE` or `FALSE` for the trainable or the other ones.
#' @param weights A list of arrays, as `get_weights()` gives it; names are ignored.
#' @return `get_weights()`: a list of arrays, empty before the layer is built. `set_weights()`: the layer, invisibly. `count_params()`: a number.
#' @section Errors:
#' `attentive_error_weights` for a wrong number, shape or type of weights, `attentive_error_state` where the layer is not built.
#' @examples
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
#' layer$build(c(NA, NA, 4), c(NA, NA, 4))
#' w <- get_weights(layer)
#' lapply(w, dim)
#' set_weights(layer, lapply(w, function(x) x * 0))
#' count_params(layer)
#' @export
get_weights <- function(object, trainable = NA) UseMethod("get_weights")

#' @export
get_weights.default <- function(object, trainable = NA) abort_no_layer(object, environment())

#' @export
get_weights.attentive_layer <- function(object, trainable = NA) {
  self <- layer_self(object)
  if (!is.logical(trainable) || length(trainable) != 1L) abort_argument(trainable, "trainable", "TRUE, FALSE or NA", call = environment())
  lapply(layer_weights(self, as.logical(trainable)), variable_array)
}

#' @rdname get_weights
#' @export
set_weights <- function(object, weights) UseMethod("set_weights")

#' @export
set_weights.default <- function(object, weights) abort_no_layer(object, environment())

#' @export
set_weights.attentive_layer <- function(object, weights) {
  call <- environment()
  self <- layer_self(object)
  own <- layer_weights(self)
  if (!is.list(weights) || is.data.frame(weights)) {
    abort_argument(weights, "weights", "a list of arrays",
      hint = "`get_weights(layer)` gives such a list.", call = call, class = "weights"
    )
  }
  if (length(weights) != length(own)) {
    abort_attentive("weights",
      sprintf("The layer \"%s\" has %d weights, `weights` has %d.", self$name, length(own), length(weights)),
      hint = if (!self$built) "It is not built yet: call it once, or use `layer$build()` with the shapes of its inputs." else
        "`lapply(get_weights(layer), dim)` shows what the layer takes.", call = call
    )
  }
  # all are checked and converted before the first is changed
  packed <- Map(function(variable, value, i) {
    pack_value(variable, value, sprintf("weights[[%d]]", i), call)
  }, own, unname(weights), seq_along(weights))
  for (i in seq_along(packed)) own[[i]][["value"]] <- packed[[i]]
  invisible(object)
}

#' @rdname get_weights
#' @export
count_params <- function(object) UseMethod("count_params")

#' @export
count_params.default <- function(object) abort_no_layer(object, environment())

#' @export
count_params.attentive_layer <- function(object) {
  self <- layer_self(object)
  if (!self$built) {
    abort_attentive("state", sprintf("The layer \"%s\" has no weights yet.", self$name),
      hint = "Call it once, or use `layer$build()` with the shapes of its inputs.", call = environment()
    )
  }
  count_weights(layer_weights(self))
}

abort_no_layer <- function(object, call) abort_argument(object, "object", "a layer", call = call)

count_weights <- function(weights) sum(0, vapply(weights, function(w) prod(w[["shape"]]), 0))

# Showing ----------------------------------------------------------------------

#' @export
format.attentive_layer <- function(x, ...) layer_line(x)

layer_line <- function(x) {
  self <- layer_self(x)
  sprintf(
    "<%s \"%s\": %s, %s, %s>", self$class_name, self$name, layer_property(self, ".summary"), self$dtype,
    if (self$built) paste(format(count_weights(layer_weights(self)), big.mark = ","), "parameters") else "not built"
  )
}

#' @export
print.attentive_layer <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  self <- layer_self(x)
  weights <- layer_weights(self)
  if (self$built && length(weights) > 0L) {
    labels <- vapply(weights, function(w) sub(paste0(self$name, "/"), "", w[["path"]], fixed = TRUE), "")
    shapes <- vapply(weights, function(w) format_shape(w[["shape"]]), "")
    address <- function(weights) vapply(weights, rlang::obj_address, "")
    fixed <- !address(weights) %in% address(layer_weights(self, TRUE))
    cat(paste0("  ", format(labels), "  ", format(shapes), ifelse(fixed, "  not trainable", "")), sep = "\n")
  }
  invisible(x)
}

#' @export
summary.attentive_layer <- function(object, ...) print(object)

#' @export
str.attentive_layer <- function(object, ...) cat(layer_line(object), "\n", sep = "")

#' @method all.equal attentive_layer
#' @export
all.equal.attentive_layer <- function(target, current, ...) {
  if (!inherits(current, "attentive_layer")) return("target is a layer, current is not")
  all.equal(
    list(get_config(target), get_weights(target)), list(get_config(current), get_weights(current)), ...
  )
}
