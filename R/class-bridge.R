# The bridge between classes that users write, as `Constraint("Name", ...)`, and
# R6. One bridge for all families: a family says what a class inherits from at
# the bottom and what wraps an instance for users.
#
#   base()                                    the R6 generator at the bottom
#   wrap(instance, class_name, constructor, arguments)   what the constructor returns
#   methods                                   the names that must be functions
#   composes                                  whether constructors begin with `object`, see layer_class.R
#   builtin(constructor)                      a class that does what a built-in does, or NULL
class_families <- function(family) {
  switch(family,
    constraint = list(
      what = "Constraint()", base = constraint_base, wrap = new_custom_constraint, methods = c("initialize", "call", "get_config"),
      builtin = function(constructor) builtin_class("constraint", constructor)
    ),
    callback = list(
      what = "Callback()", base = callback_base, wrap = new_class_callback, methods = c("initialize", callback_methods()), builtin = function(constructor) NULL
    ),
    layer = list(
      what = "Layer()", base = layer_base, wrap = wrap_layer_instance, builtin = builtin_layer_class, composes = TRUE,
      methods = c("initialize", "call", "build", "get_config", "compute_mask", "compute_output_shape")
    )
  )
}

# The bottom classes are made when they are first needed, by the R6 that is installed then and not by that of the package's build.
delay_base_classes <- function(namespace) {
  delayedAssign("constraint_base", make_constraint_base(), namespace, namespace)
  delayedAssign("callback_base", make_callback_base(), namespace, namespace)
  delayedAssign("layer_base", make_layer_base(), namespace, namespace)
}
utils::globalVariables(c("constraint_base", "callback_base", "layer_base"))

# The constructor of a class: a function with the arguments of `initialize`.
# Its environment holds data only, as that of all objects here.
define_class <- function(family, classname, members, private, inherit, parent_env, call = NULL) {
  bridge <- class_families(family)
  if (missing(classname)) abort_missing("classname", "the name of the class, a string", call)
  classname <- check_string(classname, "classname", call = call)
  check_members(members, "...", call)
  check_members(private, "private", call)
  for (method in intersect(names(members), bridge$methods)) {
    if (!is.function(members[[method]])) abort_argument(members[[method]], method, "a function", call = call)
  }
  # R6 finds the class to inherit from by a name, when an object is made
  around <- new.env(parent = parent_env)
  around$.inherited <- inherited_generator(bridge, family, inherit, call)
  generator <- R6::R6Class(classname,
    public = members, private = private, inherit = .inherited, parent_env = around, lock_objects = FALSE
  )
  definition <- new.env(parent = topenv(), size = 3L)
  definition$generator <- generator
  constructor <- structure(
    new_constructor(constructor_formals(bridge, generator), definition),
    class = "attentive_class", family = family, classname = classname, generator = generator
  )
  definition$constructor <- constructor
  constructor
}
utils::globalVariables(c(".inherited", "construct", "constructor", "self"))

# A function with these formals, for args() and completion. The call is passed
# on as it was written, so missing arguments stay missing.
new_constructor <- function(formals, definition) {
  definition$construct <- function(...) new_instance(constructor, list(...))
  environment(definition$construct) <- definition
  rlang::new_function(formals, quote({
    call <- sys.call()
    call[[1L]] <- construct
    eval(call, parent.frame())
  }), definition)
}

constructor_formals <- function(bridge, generator) {
  own <- formals(initialize_method(generator))
  if (isTRUE(bridge$composes)) c(alist(object = ), own[names(own) != "object"]) else own
}

new_instance <- function(constructor, arguments) {
  generator <- attr(constructor, "generator")
  bridge <- class_families(attr(constructor, "family"))
  object <- NULL
  if (isTRUE(bridge$composes)) {
    arguments <- named_arguments(constructor, arguments)
    object <- arguments[["object"]]
    arguments <- arguments[setdiff_names(arguments, "object")]
  }
  instance <- do.call(generator$new, arguments, quote = TRUE)
  arguments <- named_arguments(initialize_method(generator), arguments)
  if (is.null(object)) return(bridge$wrap(instance, attr(constructor, "classname"), constructor, arguments))
  bridge$wrap(instance, attr(constructor, "classname"), constructor, arguments, object)
}

check_members <- function(members, arg, call = NULL) {
  if (!is.list(members)) abort_argument(members, arg, "a named list of methods and fields", call = call)
  given <- names(members)
  if (length(members) == 0L || (!is.null(given) && all(given != "") && !anyDuplicated(given))) return(invisible())
  abort_attentive("name",
    if (anyDuplicated(given[given != ""])) {
      sprintf("The method or field `%s` is given twice.", given[duplicated(given)][[1L]])
    } else {
      sprintf("All methods and fields in `%s` must be named.", arg)
    },
    call = call
  )
}

inherited_generator <- function(bridge, family, inherit, call = NULL) {
  if (is.null(inherit)) return(bridge$base)
  if (inherits(inherit, "attentive_class") && identical(attr(inherit, "family"), family)) return(attr(inherit, "generator"))
  builtin <- if (is.function(inherit)) bridge$builtin(inherit)
  if (!is.null(builtin)) return(builtin)
  abort_argument(inherit, "inherit", sprintf("a class made by `%s`%s, or NULL", bridge$what, if (family == "callback") "" else ", a built-in constructor"), call = call)
}

# A class whose objects do what a built-in specification does.
builtin_class <- function(family, constructor) {
  kinds <- names(specification_kinds[[family]])
  found <- vapply(kinds, function(kind) identical(constructor, specification_constructor(family, kind)), NA)
  if (!any(found)) return(NULL)
  R6::R6Class(kinds[found], inherit = constraint_base, lock_objects = FALSE, public = list(
    builtin = NULL,
    initialize = function(...) self$builtin <- constructor(...),
    call = function(w) self$builtin(w)
  ))
}

# `initialize` of the class or of the nearest that it inherits from.
initialize_method <- function(generator) {
  while (!is.null(generator)) {
    if (!is.null(generator$public_methods$initialize)) return(generator$public_methods$initialize)
    generator <- generator$get_inherit()
  }
  function() NULL
}

# Arguments by the names under which `fun` takes them; `...` keeps its own.
named_arguments <- function(fun, arguments) {
  as.list(match.call(fun, as.call(c(quote(fun), arguments)), expand.dots = TRUE))[-1L]
}

# A class that was not called stands for its object without arguments.
resolve_class <- function(family, x, arg, call = NULL, config = list()) {
  if (!identical(attr(x, "family"), family)) {
    abort_attentive("argument", sprintf("`%s` must be %s, not the class %s.", arg, family_article(family), attr(x, "classname")),
      arg = arg, call = call
    )
  }
  rlang::try_fetch(do.call(x, config), error = function(e) {
    abort_attentive("argument", sprintf("`%s`: no object of the class %s can be made.", arg, attr(x, "classname")),
      hint = conditionMessage(e), arg = arg, call = call, parent = NULL
    )
  })
}

#' @export
print.attentive_class <- function(x, ...) {
  cat(sprintf("<class %s (%s)>\n", attr(x, "classname"), attr(x, "family")))
  invisible(x)
}
