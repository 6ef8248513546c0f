# Specifications and configurations: how they are written and read.

# The form inside the configuration of a layer: as Keras writes it. What Keras
# has no form for (R functions, arrays, classes of the user's) has one of ours:
#   module "attentive", class "InitializerArray", config value (R's order) and shape
#   module "attentive", class "InitializerFunction" (...), config fun, gradient:
#     the R functions themselves, so it survives saveRDS() but not JSON
#   a class of the user's: its name, its get_config(); the constructor is an
#     attribute, which JSON loses: then from_config() needs custom_objects
serialize_spec <- function(object) {
  if (is.null(object)) return(NULL)
  data <- specification_data(object)
  family <- data$family
  own <- data$kind %in% c("function", "array")
  custom <- data$kind == "custom"
  serialized <- list(
    module = if (own) "attentive" else if (!custom) specification_families[[family]]$module,
    class_name = specification_class_name(data), config = keras_config(data),
    registered_name = if (custom) data$class_name
  )
  if (custom) attr(serialized, "constructor") <- data$constructor
  serialized
}

specification_class_name <- function(data) {
  switch(data$kind,
    custom = data$class_name,
    "function" = paste0(capitalized(data$family), "Function"),
    array = "InitializerArray",
    specification_kinds[[data$family]][[data$kind]]$class_name
  )
}

capitalized <- function(x) paste0(toupper(substr(x, 1L, 1L)), substring(x, 2L))

# Keras counts axes from 0.
keras_axes <- function(axes) {
  if (is.null(axes)) return(NULL)
  axes <- ifelse(axes > 0L, axes - 1L, axes)
  if (length(axes) == 1L) axes else as.list(axes)
}

r_axes <- function(axes) {
  axes <- unlist(axes)
  if (is.numeric(axes)) ifelse(axes >= 0, axes + 1, axes) else axes
}

axis_entries <- c("axis", "input_axes", "output_axes")

keras_config <- function(data) {
  if (data$kind == "custom") return(custom_config(data))
  config <- switch(data$kind,
    "function" = if (is.null(data$gradient)) list(fun = data$fun) else list(fun = data$fun, gradient = data$gradient),
    array = list(value = as.vector(data$value), shape = as.list(array_shape(data$value))),
    data$config[specification_kinds[[data$family]][[data$kind]]$keys]
  )
  for (entry in intersect(names(config), axis_entries)) config[entry] <- list(keras_axes(config[[entry]]))
  if (length(config) == 0L) structure(list(), names = character()) else config
}

# A list with class_name and config, or what get_config() gave.
resolve_config <- function(family, x, arg, call = NULL, custom_objects = NULL) {
  constructor <- attr(x, "constructor", exact = TRUE)
  flat <- attr(x, "class_name", exact = TRUE)
  if (!is.null(flat)) x <- list(class_name = flat, config = x)
  class_name <- x$class_name
  config <- if (is.null(x$config)) list() else as.list(x$config)
  attributes(config) <- list(names = names(config))
  if (!is.character(class_name) || length(class_name) != 1L || is.na(class_name)) {
    abort_attentive("config", sprintf("`%s` is a list without `class_name`.", arg),
      hint = sprintf("A list must be like `list(class_name = \"%s\", config = list(...))`.", specification_kinds[[family]][[1L]]$class_name),
      arg = arg, call = call
    )
  }
  if (length(config) > 0L && (!is.list(x$config) || is.null(names(config)) || any(names(config) == ""))) {
    abort_attentive("config", sprintf("`config` in `%s` must be a named list, not %s.", arg, describe(x$config)), arg = arg, call = call)
  }
  made <- rlang::try_fetch(
    specification_from_config(family, class_name, config, custom_objects, constructor),
    attentive_error = function(e) {
      abort_attentive("config", sprintf("`%s` cannot be made from its configuration (class \"%s\").", arg, class_name),
        hint = conditionMessage(e), arg = arg, call = call
      )
    }
  )
  if (!is.null(made)) return(made)
  known <- vapply(specification_kinds[[family]], function(kind) kind$class_name, "", USE.NAMES = FALSE)
  abort_attentive("config", sprintf("`%s` names the class \"%s\", which is not known as %s.", arg, class_name, family_article(family)),
    hint = c(
      nearest_hint(class_name, known), paste0("Known classes: ", or_list(known), "."),
      "A class of your own is given to `from_config()` as `custom_objects = list(Name = Name)`."
    ), arg = arg, call = call
  )
}

# NULL where the class is not known.
specification_from_config <- function(family, class_name, config, custom_objects = NULL, constructor = NULL) {
  if (is.null(constructor)) constructor <- custom_object(class_name, custom_objects)
  if (!is.null(constructor)) {
    if (inherits(constructor, "attentive_class")) return(resolve_class(family, constructor, class_name, NULL, config))
    return(resolve_specification(family, constructor, class_name))
  }
  if (class_name == "InitializerArray") {
    return(initializer_from_numbers(array(unlist(config$value), unlist(config$shape)), "value"))
  }
  if (class_name == paste0(capitalized(family), "Function")) {
    if (!is.function(config$fun)) {
      abort_attentive("config", "An R function does not survive JSON.",
        hint = sprintf("Give it as `custom_objects = list(%s = ...)`.", class_name)
      )
    }
    return(specification_from_function(family, config$fun, config$gradient, "fun"))
  }
  kind <- kind_of_name(family, class_name)
  if (!is.null(kind)) specification_from_keras(family, kind, config)
}

specification_from_keras <- function(family, kind, config) {
  keys <- specification_kinds[[family]][[kind]]$keys
  warn_unknown_entries(setdiff(names(config), keys))
  config <- config[intersect(keys, names(config))]
  config <- config[!vapply(config, is.null, NA)]
  for (entry in intersect(names(config), axis_entries)) config[[entry]] <- r_axes(config[[entry]])
  # a SeedGenerator, which newer versions of Keras write
  if (is.list(config$seed)) config$seed <- config$seed$config$seed
  fans <- config[c("input_axes", "output_axes")]
  made <- do.call(specification_constructor(family, kind), config[setdiff(names(config), names(fans))])
  if (is.null(fans$input_axes) || is.null(fans$output_axes)) return(made)
  data <- specification_data(made)
  data$config$input_axes <- check_wholes(fans$input_axes, "input_axes")
  data$config$output_axes <- check_wholes(fans$output_axes, "output_axes")
  new_specification(family, kind, data$config)
}

# For from_config(): a specification of any family, NULL where the class is none.
specification_of_class <- function(class_name, config, custom_objects = NULL) {
  constructor <- attr(config, "constructor", exact = TRUE)
  custom <- if (is.null(constructor)) custom_object(class_name, custom_objects) else constructor
  for (family in names(specification_kinds)) {
    class_names <- vapply(specification_kinds[[family]], function(kind) kind$class_name, "")
    own <- c(paste0(capitalized(family), "Function"), if (family == "initializer") "InitializerArray")
    if (class_name %in% c(class_names, own) || identical(attr(custom, "family"), family)) {
      whole <- structure(list(class_name = class_name, config = config), constructor = constructor)
      return(resolve_config(family, whole, "config", NULL, custom_objects))
    }
  }
  NULL
}

# For from_config() of a layer: its entries as objects, so that classes of the
# user's are found.
read_specifications <- function(config, custom_objects = NULL) {
  readers <- list(initializer = as_initializer, regularizer = as_regularizer, constraint = as_constraint)
  for (family in names(readers)) {
    for (entry in grep(paste0("_", family, "$"), names(config), value = TRUE)) {
      if (!is.null(config[[entry]])) config[[entry]] <- readers[[family]](config[[entry]], entry, custom_objects = custom_objects)
    }
  }
  config
}

#' @export
get_config.attentive_specification <- function(object) {
  data <- specification_data(object)
  config <- structure(keras_config(data), class_name = specification_class_name(data))
  if (data$kind == "custom") attr(config, "constructor") <- data$constructor
  config
}
