# Names of classes and functions of the user's, for configurations.

#' Names for classes of one's own
#'
#' A configuration says the name of a class only. Which class that is, [from_config()] finds in its argument `custom_objects`, in those of
#' `with_custom_object_scope()` around it, and in what `register_keras_serializable()` was told, in this order.
#'
#' @param object A class made by [Layer()] or [Constraint()], or a function.
#' @param name The name; by default that of the class.
#' @param package What stands before the name, as `"package>name"`, so that packages do not get in each other's way; "Custom" by default.
#' @param objects A named list of classes and functions; classes made by [Layer()] or [Constraint()] need no name.
#' @param expr What is to be evaluated.
#' @return `register_keras_serializable()`: `object`, which knows its name from now on. `with_custom_object_scope()`: the value of `expr`.
#' @section Errors: `attentive_error_argument` where something has no name.
#' @family layers
#' @examples
#' layer_twice <- Layer("Twice", call = function(inputs) inputs * 2)
#' config <- list(class_name = "Twice", config = list(name = "twice"))
#' with_custom_object_scope(list(layer_twice), from_config(config))
#' @export
register_keras_serializable <- function(object, name = NULL, package = NULL) {
  call <- environment()
  name <- check_string(if (is.null(name)) attr(object, "classname", exact = TRUE) else name, "name", call = call)
  package <- if (is.null(package)) "Custom" else check_string(package, "package", call = call)
  if (!is.function(object)) abort_argument(object, "object", "a class or a function", call = call)
  attr(object, "registered") <- paste0(package, ">", name)
  # layers that are made from now on know it
  if (inherits(object, "attentive_class")) environment(object)$constructor <- object
  session$registered[[attr(object, "registered")]] <- object
  object
}

#' @rdname register_keras_serializable
#' @export
with_custom_object_scope <- function(objects, expr) {
  objects <- name_objects(objects, "objects", environment())
  before <- session$scope
  session$scope <- c(objects, before)
  on.exit(session$scope <- before)
  expr
}

# A named list of what a user gave: classes know their names.
name_objects <- function(objects, arg, call = NULL) {
  if (is.null(objects)) return(list())
  if (inherits(objects, "attentive_class")) objects <- list(objects)
  if (!is.list(objects) || is.object(objects)) abort_argument(objects, arg, "a named list of classes", call = call)
  given <- if (is.null(names(objects))) character(length(objects)) else names(objects)
  own <- vapply(objects, function(object) {
    name <- attr(object, "classname", exact = TRUE)
    if (is.character(name)) name else ""
  }, "")
  names(objects) <- ifelse(given == "", own, given)
  if (all(names(objects) != "")) return(objects)
  abort_argument(objects, arg, "a list with a name for every entry", call = call)
}

# What a name stands for, or NULL.
custom_object <- function(name, custom_objects = NULL, call = NULL) {
  known <- c(name_objects(custom_objects, "custom_objects", call), session$scope, session$registered)
  found <- known[[name, exact = TRUE]]
  if (!is.null(found)) return(found)
  # "package>name" is found by the name alone, too
  short <- match(sub("^.*>", "", name), sub("^.*>", "", names(known)))
  if (!is.na(short)) known[[short]]
}

# The class of layers that a configuration means: what it was made with, where it was not written down since.
custom_layer_class <- function(class_name, config, custom_objects = NULL, call = NULL) {
  found <- name_objects(custom_objects, "custom_objects", call)[[class_name, exact = TRUE]]
  if (is.null(found)) found <- attr(config, "constructor", exact = TRUE)
  if (is.null(found)) found <- custom_object(class_name, custom_objects, call)
  if (inherits(found, "attentive_class") && identical(attr(found, "family"), "layer")) found
}

registered_name <- function(inner) {
  name <- attr(inner$constructor, "registered", exact = TRUE)
  if (is.null(name)) inner$class_name else name
}
