# Specifications: initializers, regularizers and constraints as things one can
# hold. This file holds what the three families share: the object, the names
# and the resolver that every layer constructor uses. Configurations are in
# specification_config.R.
#
# A specification is an R function with a class. The environment around it
# holds data only, a list `specification` (family, kind, config); the code is
# in this namespace, so an object saved by an old version runs the new code.

# The three families. `call` is what a user's object looks like; its
# environment is replaced by one that holds the data.
specification_families <- list(
  initializer = list(
    article = "an initializer", module = "keras.initializers", signature = "function(shape, dtype)",
    call = function(shape, dtype = NULL) call_initializer(specification, shape, dtype, environment())
  ),
  regularizer = list(
    article = "a regularizer", module = "keras.regularizers", signature = "function(x)",
    call = function(x) call_regularizer(specification, x, environment())
  ),
  constraint = list(
    article = "a constraint", module = "keras.constraints", signature = "function(w)",
    call = function(w) call_constraint(specification, w, environment())
  )
)
utils::globalVariables("specification")

# `kind` is the suffix of the constructor, `config` the arguments by name,
# `...` what cannot be in a configuration (an R function, an instance).
new_specification <- function(family, kind, config, ..., class = NULL) {
  around <- new.env(parent = topenv(), size = 1L)
  around$specification <- list(family = family, kind = kind, config = config, ...)
  fun <- specification_families[[family]]$call
  environment(fun) <- around
  class(fun) <- c(
    class, paste0("attentive_", family, "_", kind), paste0("attentive_", family), "attentive_specification"
  )
  fun
}

# A class is easily forged.
is_specification <- function(x, class = "attentive_specification") {
  inherits(x, class) && is.function(x) && !is.null(specification_data(x))
}

specification_data <- function(x) environment(x)$specification

# Names ------------------------------------------------------------------------

# Keras's class names, the names it takes besides them, and the entries of its
# configurations, in its order. The first level are our families, the second
# the suffixes of the constructors.
specification_kinds <- local({
  kind <- function(class_name, keys = character(), aliases = character()) {
    list(class_name = class_name, keys = keys, aliases = aliases)
  }
  fans <- c("input_axes", "output_axes")
  list(
    initializer = list(
      constant = kind("Constant", "value"),
      zeros = kind("Zeros", aliases = "zero"),
      ones = kind("Ones", aliases = "one"),
      identity = kind("Identity", "gain", "IdentityInitializer"),
      orthogonal = kind("Orthogonal", c("seed", "gain"), "OrthogonalInitializer"),
      random_normal = kind("RandomNormal", c("seed", "mean", "stddev"), "normal"),
      random_uniform = kind("RandomUniform", c("seed", "minval", "maxval"), "uniform"),
      truncated_normal = kind("TruncatedNormal", c("seed", "mean", "stddev")),
      variance_scaling = kind("VarianceScaling", c("seed", "scale", "mode", "distribution", fans)),
      glorot_normal = kind("GlorotNormal", c("seed", fans)),
      glorot_uniform = kind("GlorotUniform", c("seed", fans)),
      he_normal = kind("HeNormal", c("seed", fans)),
      he_uniform = kind("HeUniform", c("seed", fans)),
      lecun_normal = kind("LecunNormal", c("seed", fans)),
      lecun_uniform = kind("LecunUniform", c("seed", fans))
    ),
    regularizer = list(
      l1 = kind("L1", "l1"),
      l2 = kind("L2", "l2"),
      l1_l2 = kind("L1L2", c("l1", "l2")),
      orthogonal = kind("OrthogonalRegularizer", c("factor", "mode"))
    ),
    constraint = list(
      maxnorm = kind("MaxNorm", c("max_value", "axis"), "max_norm"),
      minmaxnorm = kind("MinMaxNorm", c("min_value", "max_value", "rate", "axis"), "min_max_norm"),
      nonneg = kind("NonNeg", aliases = "non_neg"),
      unitnorm = kind("UnitNorm", "axis", "unit_norm")
    )
  )
})

# "HeNormal", "he_normal" and "initializer_he_normal" -> "henormal"
plain_name <- function(name, family) {
  sub(paste0("^", family), "", gsub("[^a-z0-9]", "", tolower(name)))
}

# The kind that a spelling means, or NULL.
kind_of_name <- function(family, name) kind_names[[family]][[plain_name(name, family)]]

specification_constructor <- function(family, kind) get(paste0(family, "_", kind), envir = topenv(), mode = "function")

# Resolver ---------------------------------------------------------------------

# Whatever a user gave for the argument `arg` of a layer as a specification;
# NULL is the default of the argument. Every layer constructor goes through
# these three. Strings that Keras knows are looked up, nothing is made.
as_initializer <- function(x, arg = "initializer", call = NULL, default = "glorot_uniform", custom_objects = NULL) {
  if (is.null(x)) x <- default
  found <- known_initializers[[name_or_none(x)]]
  if (is.null(found)) resolve_specification("initializer", x, arg, call, custom_objects) else found
}

as_regularizer <- function(x, arg = "regularizer", call = NULL, custom_objects = NULL) {
  if (is.null(x)) return(NULL)
  found <- known_regularizers[[name_or_none(x)]]
  if (is.null(found)) resolve_specification("regularizer", x, arg, call, custom_objects) else found
}

as_constraint <- function(x, arg = "constraint", call = NULL, custom_objects = NULL) {
  if (is.null(x)) return(NULL)
  found <- known_constraints[[name_or_none(x)]]
  if (is.null(found)) resolve_specification("constraint", x, arg, call, custom_objects) else found
}

name_or_none <- function(x) if (is.character(x) && length(x) == 1L && !is.na(x) && x != "") x else "<none>"

resolve_specification <- function(family, x, arg, call = NULL, custom_objects = NULL) {
  if (is_specification(x, paste0("attentive_", family))) return(x)
  if (is_specification(x)) {
    abort_attentive("argument",
      sprintf("`%s` must be %s, not `%s`.", arg, family_article(family), format(x)), arg = arg, call = call
    )
  }
  if (inherits(x, "attentive_class") && is.function(x)) return(resolve_class(family, x, arg, call))
  if (is.character(x) && length(x) == 1L && !is.na(x) && validEnc(x)) return(resolve_name(family, x, arg, call, custom_objects))
  if (inherits(x, "formula")) {
    abort_argument(x, arg, family_article(family),
      hint = sprintf("Write the formula as a function: `%s ...`.", specification_families[[family]]$signature), call = call
    )
  }
  if (is.function(x) && !inherits(x, c("attentive_layer", "attentive_specification"))) return(resolve_function(family, x, arg, call))
  if (is.list(x) && !is.object(x)) return(resolve_config(family, x, arg, call, custom_objects))
  if (family == "initializer" && is.numeric(x) && !is.object(x) && length(x) > 0L) return(initializer_from_numbers(x, arg, call))
  abort_argument(x, arg, accepted_forms(family), hint = number_hint(family, x), call = call)
}

family_article <- function(family) specification_families[[family]]$article

accepted_forms <- function(family) {
  sprintf(
    "%s: a name (\"%s\"), an object (`%s_%s()`), a function, %sor NULL", family_article(family),
    switch(family, initializer = "he_normal", regularizer = "l2", constraint = "nonneg"), family,
    switch(family, initializer = "he_normal", regularizer = "l2", constraint = "nonneg"),
    if (family == "initializer") "an array, a number " else ""
  )
}

number_hint <- function(family, x) {
  if (!is.numeric(x) || length(x) != 1L || is.object(x)) return(NULL)
  switch(family,
    regularizer = sprintf("For a penalty of that size: `regularizer_l2(%s)`.", format(x)),
    constraint = sprintf("For a bound on the norm: `constraint_maxnorm(%s)`.", format(x))
  )
}

resolve_name <- function(family, x, arg, call = NULL, custom_objects = NULL) {
  x <- readable(x)
  custom <- custom_objects[[x]]
  if (!is.null(custom)) return(resolve_specification(family, custom, arg, call))
  kind <- kind_of_name(family, x)
  if (!is.null(kind)) return(known_specifications(family)[[kind]])
  known <- names(specification_kinds[[family]])
  hint <- nearest_hint(plain_spelling(x, family), known)
  abort_attentive("name",
    sprintf("`%s` must be the name of %s, not %s.", arg, family_article(family), describe(x)),
    hint = c(hint, paste0("Known names: ", or_list(known), ".")), arg = arg, call = call
  )
}

# "HeNrmal" -> "he_nrmal", so that the nearest name is measured in one spelling
plain_spelling <- function(name, family) {
  tolower(gsub("([a-z])([A-Z])", "\\1_\\2", sub(paste0("^", family, "_"), "", name)))
}

# A constructor that was not called means its defaults; any other function is
# the user's own.
resolve_function <- function(family, x, arg, call = NULL) {
  for (other in names(specification_kinds)) {
    for (kind in names(specification_kinds[[other]])) {
      if (!identical(x, specification_constructor(other, kind))) next
      if (other == family) return(x())
      abort_attentive("argument",
        sprintf("`%s` must be %s, not the function `%s_%s`.", arg, family_article(family), other, kind), arg = arg, call = call
      )
    }
  }
  specification_from_function(family, x, attr(x, "gradient", exact = TRUE), arg, call)
}

specification_from_function <- function(family, fun, gradient = NULL, arg, call = NULL) {
  check_takes_arguments(fun, family, arg, call)
  if (family == "regularizer" && !is.null(gradient)) check_takes_arguments(gradient, family, paste0("gradient of `", arg, "`"), call)
  new_specification(family, "function", list(), fun = fun, gradient = gradient)
}

check_takes_arguments <- function(fun, family, arg, call = NULL) {
  if (!is.function(fun)) abort_argument(fun, arg, "a function", call = call)
  signature <- args(fun) # NULL for `if` and its like
  if (is.function(signature) && length(formals(signature)) > 0L) return(invisible())
  abort_attentive("argument", sprintf("`%s` is a function without arguments.", arg),
    hint = sprintf("It must be %s: `%s`.", family_article(family), specification_families[[family]]$signature), arg = arg, call = call
  )
}

# Showing ------------------------------------------------------------------------

#' @export
`$.attentive_specification` <- function(x, name) {
  data <- specification_data(x)
  if (name == "get_config") return(function() get_config(x))
  if (data$kind == "custom") return(data$instance[[name]])
  known <- names(x)
  if (name %in% names(data$config)) return(data$config[[name]])
  if (name %in% known) return(data[[name]])
  abort_attentive("name", sprintf("`%s` has no field `%s`.", format(x), name),
    hint = if (length(known) > 0L) paste0("Known fields: ", paste0("`", known, "`", collapse = ", "), ".")
  )
}

#' @export
`$<-.attentive_specification` <- function(x, name, value) {
  data <- specification_data(x)
  if (data$kind == "custom") {
    assign(name, value, envir = data$instance)
    return(x)
  }
  abort_attentive("name", sprintf("The field `%s` of `%s` cannot be set.", name, format(x)), hint = "Make another object.")
}

#' @export
`[[.attentive_specification` <- function(x, i) do.call("$", list(x, i))

#' @export
names.attentive_specification <- function(x) {
  data <- specification_data(x)
  switch(data$kind,
    custom = ls(data$instance),
    "function" = c("fun", if (data$family == "regularizer") "gradient"),
    array = "value",
    names(data$config)
  )
}

# The call that makes the object.
#' @export
format.attentive_specification <- function(x, ...) {
  data <- specification_data(x)
  if (data$kind == "function") return(sprintf("<%s from an R function>", data$family))
  if (data$kind == "array") return(sprintf("<initializer from an array of dim %s>", format_shape(array_shape(data$value))))
  config <- if (data$kind == "custom") keras_config(data) else data$config
  config <- config[!vapply(config, is.null, NA)]
  values <- vapply(config, function(value) {
    if (is.character(value)) return(encodeString(value[[1L]], quote = "\""))
    if (!is.numeric(value)) return(describe(value))
    values <- vapply(value, format, "", digits = 15L)
    if (length(values) == 1L) values else sprintf("c(%s)", paste(values, collapse = ", "))
  }, "")
  labels <- if (is.null(names(values))) character(length(values)) else names(values)
  labels[labels != ""] <- paste(labels[labels != ""], "= ")
  name <- if (data$kind == "custom") data$class_name else paste0(data$family, "_", data$kind)
  sprintf("%s(%s)", name, paste0(labels, values, collapse = ", "))
}

#' @export
print.attentive_specification <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  data <- specification_data(x)
  if (data$kind == "function") print(data$fun)
  invisible(x)
}

#' @export
str.attentive_specification <- function(object, ...) cat(format(object), "\n", sep = "")

#' @export
all.equal.attentive_specification <- function(target, current, ...) {
  if (!inherits(current, "attentive_specification")) return(sprintf("target is %s, current is not", format(target)))
  if (!identical(class(target), class(current))) return(sprintf("target is %s, current is %s", format(target), format(current)))
  all.equal(unclass(serialize_spec(target)), unclass(serialize_spec(current)), ...)
}
