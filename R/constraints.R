# Constraints: what weights are allowed to be, restored after each step of training.

#' Constraints on weights
#'
#' A constraint brings weights back to what they are allowed to be after each step of an optimizer. The initial weights are not touched.
#'
#' @details
#' With \eqn{n} the norm \eqn{\sqrt{\sum w^2}} over `axis` and \eqn{\epsilon = 10^{-7}}:
#'
#' * `constraint_maxnorm()`: \eqn{w \cdot clip(n, 0, max) / (\epsilon + n)}
#' * `constraint_unitnorm()`: \eqn{w / (\epsilon + n)}
#' * `constraint_minmaxnorm()`: \eqn{w \cdot (rate \cdot clip(n, min, max) + (1 - rate) n) / (\epsilon + n)}
#' * `constraint_nonneg()`: \eqn{max(w, 0)}
#'
#' # Axes
#' `axis` counts the axes of the weight from 1, negative numbers count from the end; several axes are given as a vector. For the query, key and value
#' kernels `[D, heads, size]` of an attention layer axis 1 is the inputs of each unit; for the output kernel `[heads, size, E]` it is the
#' heads only. The same constraint acts on all kernels (or biases) of a layer. `get_config()` gives axes as Keras writes them, from 0.
#'
#' A constraint can be given to a layer by name (`"maxnorm"`, `"max_norm"`, `"MaxNorm"`), as an object, as the function itself without a call
#' (`constraint_unitnorm`), as an R function of the array that returns an array, as an instance of a class made with [Constraint()], as a list with
#' `class_name` and `config`, or as `NULL` for none. Numbers stay as they are: `constraint_maxnorm(0.5)` is 0.5, where keras3 truncates to 0.
#'
#' @param max_value,min_value Numbers that are not negative: the longest and the shortest norm that is allowed.
#' @param rate A number between 0 and 1: how far a norm outside is moved towards what is allowed.
#' @param axis One or more axes, counted from 1.
#' @return A constraint: a function of an array that returns an array of the same dim.
#' @source The maximum norm is from N. Srebro and A. Shraibman (2005). Rank, trace-norm and max-norm. \doi{10.1007/11503415_37}
#' @family regularizers and constraints
#' @section Errors: `attentive_error_argument` for a bad argument. Called: `attentive_error_shape` where the array has no such axis.
#' @examples
#' w <- matrix(c(3, 4, 0.3, 0.4), 2)
#' constraint_maxnorm(1)(w)
#' constraint_nonneg()(c(-1, 2))
#' layer <- layer_multi_head_attention(
#'   num_heads = 2, key_dim = 3, kernel_constraint = constraint_maxnorm(2, axis = 1)
#' )
#' @export
constraint_maxnorm <- function(max_value = 2, axis = 1) {
  call <- environment()
  new_specification("constraint", "maxnorm", list(
    max_value = check_number(max_value, "max_value", 0, call = call), axis = check_constraint_axes(axis, call)
  ))
}

#' @rdname constraint_maxnorm
#' @export
constraint_minmaxnorm <- function(min_value = 0, max_value = 1, rate = 1, axis = 1) {
  call <- environment()
  min_value <- check_number(min_value, "min_value", 0, call = call)
  max_value <- check_number(max_value, "max_value", 0, call = call)
  check_order(min_value, max_value, "min_value", "max_value", call)
  new_specification("constraint", "minmaxnorm", list(
    min_value = min_value, max_value = max_value, rate = check_number(rate, "rate", 0, 1, call = call),
    axis = check_constraint_axes(axis, call)
  ))
}

#' @rdname constraint_maxnorm
#' @export
constraint_nonneg <- function() new_specification("constraint", "nonneg", list())

#' @rdname constraint_maxnorm
#' @export
constraint_unitnorm <- function(axis = 1) {
  new_specification("constraint", "unitnorm", list(axis = check_constraint_axes(axis, environment())))
}

check_constraint_axes <- function(axis, call = NULL) {
  how <- "Axes of the weight count from 1; negative ones count from the end. Several are given as a vector."
  values <- if (is.list(axis) && !is.object(axis) && all(lengths(axis) == 1L)) unlist(axis) else axis
  fits <- is.numeric(values) && !is.object(values) && length(values) > 0L && !anyNA(values) &&
    all(values == trunc(values)) && all(values != 0) && all(abs(values) < 1000) && !anyDuplicated(values)
  if (fits) return(as.integer(values))
  abort_argument(axis, "axis", "one or more whole numbers other than 0, each once", hint = how, call = call)
}

#' A class of constraints of one's own
#'
#' `Constraint()` makes a class; its value is the function that makes objects of it, to be given to layers like the built-in constraints.
#'
#' @details
#' Methods see `self`, `private` and, where the class inherits from another, `super`, as in [R6::R6Class()], on which classes stand. `call` is a function of
#' the array of weights that returns an array of the same dim. `get_config`, a function without arguments, returns the arguments that make the same
#' object again; without it those that the object was made with are remembered.
#'
#' [from_config()] of a layer in the same session finds the class by itself; for a configuration that has been through JSON give it
#' as `custom_objects = list(Name = Name)`.
#'
#' @param classname The name of the class.
#' @param call,get_config Methods; see details.
#' @param ...,public More methods and fields, by name.
#' @param private Private methods and fields: a named list.
#' @param inherit `NULL`, or what an earlier call of `Constraint()` gave, or one of the built-in functions ([constraint_maxnorm], without a call).
#' @param parent_env The environment around the methods.
#' @return A function with the arguments of the method `initialize`, if there is one, that makes an object.
#' @family regularizers and constraints
#' @section Errors: `attentive_error_argument` where a method is no function. Called: `attentive_error_shape` where it gives no array of the same dim.
#' @examples
#' SumToOne <- Constraint("SumToOne",
#'   initialize = function(total = 1) self$total <- total,
#'   call = function(w) self$total * w / sum(w)
#' )
#' SumToOne(2)(c(1, 2, 5))
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_constraint = SumToOne())
#' @export
Constraint <- function(classname, call = NULL, get_config = NULL, ..., public = list(), private = list(), inherit = NULL,
                       parent_env = parent.frame()) {
  force(parent_env)
  methods <- Filter(Negate(is.null), list(call = call, get_config = get_config))
  define_class("constraint", classname, c(methods, list(...), public), private, inherit, parent_env, environment())
}

# What a class inherits from at the bottom; see class-bridge.R.
make_constraint_base <- function() {
  R6::R6Class("Constraint", lock_objects = FALSE, public = list(
    call = function(w) w
  ))
}

# An instance of a class of the user's, as the function that it is to users.
new_custom_constraint <- function(instance, class_name, constructor, arguments) {
  new_specification("constraint", "custom", list(),
    class_name = class_name, instance = instance, constructor = constructor, arguments = arguments, class = class_name
  )
}

# The class's own get_config(), or the arguments that the object was made with.
custom_config <- function(data) {
  config <- if (is.function(data$instance$get_config)) data$instance$get_config() else data$arguments
  if (length(config) == 0L) structure(list(), names = character()) else as.list(config)
}

# Values -------------------------------------------------------------------------

# The numbers of a weight as they are allowed to be: an R array, or the bytes of
# a variable with its shape and dtype, in the form in which they came.
constrained <- function(constraint, w, shape = array_shape(w), dtype = "float64", arg = "constraint", call = NULL) {
  data <- specification_data(constraint)
  if (data$kind %in% c("function", "custom")) {
    fun <- if (data$kind == "custom") data$instance$call else data$fun
    value <- check_constrained(fun(if (is.raw(w)) unpack_numbers(w, shape, dtype) else w), shape, arg, call)
    if (is.raw(w)) return(pack_numbers(array(value, shape), dtype))
    w[] <- value
    return(w)
  }
  constrain_values(engine_constraint(data, length(shape), arg, call), w, as.double(shape), dtype == "float64")
}

# All norms are cases of the one with minimum, maximum and rate.
engine_constraint <- function(data, rank, arg, call = NULL) {
  config <- data$config
  axes <- resolve_constraint_axes(config$axis, rank, arg, call)
  switch(data$kind,
    nonneg = list(nonneg = TRUE),
    maxnorm = list(nonneg = FALSE, min = 0, max = config$max_value, rate = 1, axes = axes),
    unitnorm = list(nonneg = FALSE, min = 1, max = 1, rate = 1, axes = axes),
    minmaxnorm = list(nonneg = FALSE, min = config$min_value, max = config$max_value, rate = config$rate, axes = axes)
  )
}

resolve_constraint_axes <- function(axes, rank, arg, call = NULL) {
  resolved <- ifelse(axes < 0L, axes + rank + 1L, axes)
  if (all(resolved >= 1L & resolved <= rank) && !anyDuplicated(resolved)) return(resolved)
  abort_attentive("shape", sprintf("`%s` acts along axis %s, but the weight has %d %s.", arg, paste(axes, collapse = " and "), rank,
    if (rank == 1L) "axis" else "axes"), arg = arg, call = call)
}

check_constrained <- function(value, shape, arg, call = NULL) {
  if (is.numeric(value) && !is.factor(value) && length(value) == prod(shape) && (is.null(dim(value)) || all(dim(value) == shape))) {
    return(as.double(value))
  }
  abort_attentive("shape",
    sprintf("`%s` must return an array of the dim that it is given, %s, not %s.", arg, format_shape(shape), describe(value)),
    arg = arg, call = call
  )
}

call_constraint <- function(specification, w, call = NULL) {
  if (missing(w)) abort_missing("w", "a numeric array", call)
  constrained(restored(specification), as_numbers(w, "w", call), call = call)
}
