# Optimizers: how weights move. An optimizer is an environment that holds data
# only: its configuration, the number of steps, the learning rate, and for each
# weight that it has trained the numbers that it remembers (slots). The update
# itself is the engine's.

#' Optimizers
#'
#' An optimizer says how a training step changes the weights. Give one to [compile()][compile.attentive_model], as an object or by its name.
#'
#' @details
#' With the gradient \eqn{g} of a weight \eqn{w}, the learning rate \eqn{\eta} and the step \eqn{t = 1, 2, \ldots}:
#'
#' * *SGD*: \eqn{w \leftarrow w - \eta g}; with momentum \eqn{\mu}: \eqn{m \leftarrow \mu m - \eta g}, \eqn{w \leftarrow w + m}, or with
#'   `nesterov` \eqn{w \leftarrow w + \mu m - \eta g}.
#' * *RMSprop*: \eqn{v \leftarrow \rho v + (1 - \rho) g^2}, \eqn{w \leftarrow w - \eta g / \sqrt{v + \epsilon}}; `centered` subtracts the
#'   square of the running mean of \eqn{g} from \eqn{v}; with momentum the step is accumulated as \eqn{m \leftarrow \mu m + \eta g / \sqrt{v + \epsilon}}.
#' * *Adam*: \eqn{m \leftarrow m + (1 - \beta_1)(g - m)}, \eqn{v \leftarrow v + (1 - \beta_2)(g^2 - v)},
#'   \eqn{w \leftarrow w - \eta \sqrt{1 - \beta_2^t} / (1 - \beta_1^t) \, m / (\sqrt{v} + \epsilon)}; `amsgrad` takes the largest \eqn{v} so far.
#' * *AdamW*: Adam with weight decay.
#'
#' One step does, in this order: clip the gradients, decay the weights (\eqn{w \leftarrow w - \eta \lambda w}, for every optimizer that is given a
#' `weight_decay` \eqn{\lambda}, and for every weight, biases too), update, apply constraints.
#'
#' An optimizer has the fields `learning_rate`, which can be set between calls of `fit()` (`model$optimizer$learning_rate <- 1e-4`), and
#' `iterations`, the number of steps so far. It remembers its state in a saved model, so that training goes on as if it had not been interrupted.
#'
#' @param learning_rate The size of a step: a number, or a function of the number of steps so far (0 at the first).
#' @param momentum,nesterov How much of the last step is kept, from 0 to 1, and whether to look ahead.
#' @param weight_decay The share of a weight that is taken away in each step, times the learning rate. `NULL` means none.
#' @param clipnorm,clipvalue,global_clipnorm At most one of them: the largest norm of the gradient of each weight; the largest absolute value; the largest
#'   norm of all gradients together.
#' @param use_ema,ema_momentum,ema_overwrite_frequency,loss_scale_factor,gradient_accumulation_steps Not available yet; their defaults are accepted.
#' @param name The optimizer's name.
#' @param ... Nothing.
#' @param rho,beta_1,beta_2 How slowly running means forget, from 0 to 1.
#' @param epsilon A small number that keeps a division finite.
#' @param centered Whether RMSprop divides by the standard deviation of the gradient instead of its root mean square.
#' @param amsgrad Whether Adam divides by the largest second moment so far.
#' @return An optimizer.
#' @section Differences from Keras:
#' A whole number such as `1L` is a learning rate too, and `momentum = 0L` is fine. A learning rate read back is the number that was given, not the
#' nearest one in single precision.
#' @section Errors:
#' `attentive_error_argument` for a value that is out of range or two ways of clipping; `attentive_error_not_yet` for what is known to Keras but not available.
#' @source Momentum: I. Sutskever et al. (2013), On the importance of initialization and momentum in deep learning. RMSprop: T. Tieleman and
#'   G. Hinton (2012), Lecture 6.5. Adam: D. Kingma and J. Ba (2014), \doi{10.48550/arXiv.1412.6980}. AMSGrad: S. Reddi et al. (2018),
#'   \doi{10.48550/arXiv.1904.09237}. AdamW: I. Loshchilov and F. Hutter (2017), \doi{10.48550/arXiv.1711.05101}.
#' @family training
#' @examples
#' optimizer_adam(learning_rate = 0.01, clipnorm = 1)
#' optimizer_sgd(0.1, momentum = 0.9, nesterov = TRUE)
#' @export
optimizer_sgd <- function(learning_rate = 0.01, momentum = 0, nesterov = FALSE, weight_decay = NULL, clipnorm = NULL, clipvalue = NULL,
                          global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL, name = "SGD", ...,
                          loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("sgd", list(
    momentum = check_number(momentum, "momentum", 0, 1, call = call), nesterov = check_flag(nesterov, "nesterov", call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_sgd
#' @export
optimizer_rmsprop <- function(learning_rate = 0.001, rho = 0.9, momentum = 0, epsilon = 1e-07, centered = FALSE, weight_decay = NULL,
                              clipnorm = NULL, clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99,
                              ema_overwrite_frequency = NULL, name = "rmsprop", ..., loss_scale_factor = NULL,
                              gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("rmsprop", list(
    rho = check_number(rho, "rho", 0, 1, call = call), momentum = check_number(momentum, "momentum", 0, 1, call = call),
    epsilon = check_number(epsilon, "epsilon", 0, call = call), centered = check_flag(centered, "centered", call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_sgd
#' @export
optimizer_adam <- function(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, amsgrad = FALSE, weight_decay = NULL,
                           clipnorm = NULL, clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99,
                           ema_overwrite_frequency = NULL, name = "adam", ..., loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("adam", adam_options(as.list(call), call), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_sgd
#' @export
optimizer_adam_w <- function(learning_rate = 0.001, weight_decay = 0.004, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, amsgrad = FALSE,
                             clipnorm = NULL, clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99,
                             ema_overwrite_frequency = NULL, name = "adamw", ..., loss_scale_factor = NULL,
                             gradient_accumulation_steps = NULL) {
  call <- environment()
  if (is.null(weight_decay)) {
    abort_argument(weight_decay, "weight_decay", "a number of at least 0", hint = "Without weight decay it is `optimizer_adam()`.", call = call)
  }
  new_optimizer("adam_w", adam_options(as.list(call), call), common_options(as.list(call), list(...), call), call)
}

adam_options <- function(given, call) {
  list(
    beta_1 = check_rate(given$beta_1, "beta_1", call), beta_2 = check_rate(given$beta_2, "beta_2", call),
    epsilon = check_number(given$epsilon, "epsilon", 0, call = call), amsgrad = check_flag(given$amsgrad, "amsgrad", call = call)
  )
}

# A number in [0, 1): 1 would divide by 0.
check_rate <- function(x, arg, call) {
  if (identical(x, 1) || identical(x, 1L)) abort_argument(x, arg, "a number of at least 0 and below 1", call = call)
  check_number(x, arg, 0, 1, call = call)
}

# What all optimizers take.
common_options <- function(given, dots, call) {
  check_dots_names(dots, character(), "the optimizer", call, formals = setdiff(names(given), c("...", "call")))
  rate <- given$learning_rate
  if (!is.function(rate)) {
    rate <- check_number(if (inherits(rate, "attentive_variable")) as.double(rate) else rate, "learning_rate", 0, call = call,
      hint = "It may also be a function of the number of steps so far.")
  }
  clips <- c("clipnorm", "clipvalue", "global_clipnorm")
  for (arg in c("weight_decay", clips)) given[arg] <- list(check_number(given[[arg]], arg, 0, null = TRUE, call = call))
  set <- clips[!vapply(given[clips], is.null, NA)]
  if (length(set) > 1L) {
    abort_attentive("argument", sprintf("Gradients can be clipped in one way only; given are %s.", paste0("`", set, "`", collapse = " and ")),
      arg = set[[1L]], call = call
    )
  }
  later <- c(if (!isFALSE(given$use_ema)) "use_ema", if (!is.null(given$loss_scale_factor)) "loss_scale_factor",
    if (!is.null(given$gradient_accumulation_steps)) "gradient_accumulation_steps")
  if (length(later) > 0L) {
    abort_attentive("not_yet", sprintf("`%s` of optimizers is not available yet.", later[[1L]]), arg = later[[1L]], call = call)
  }
  c(
    list(name = check_string(given$name, "name", call = call), learning_rate = rate), given["weight_decay"], given[clips],
    given[c("use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps")]
  )
}

# The kinds: Keras's class name, and which numbers are remembered for a weight.
optimizer_kinds <- list(
  sgd = list(class_name = "SGD", slots = function(config) if (config$momentum > 0) "momentum"),
  rmsprop = list(class_name = "RMSprop", slots = function(config) {
    c("velocity", if (config$momentum > 0) "momentum", if (config$centered) "average_gradient")
  }),
  adam = list(class_name = "Adam", slots = function(config) c("momentum", "velocity", if (config$amsgrad) "velocity_hat")),
  adam_w = list(class_name = "AdamW", slots = function(config) c("momentum", "velocity", if (config$amsgrad) "velocity_hat"))
)

new_optimizer <- function(kind, own, common, call = NULL) {
  optimizer <- new.env(parent = emptyenv())
  optimizer$kind <- kind
  optimizer$config <- c(common, own)
  rate <- common$learning_rate
  optimizer$learning_rate <- scalar_variable(if (is.function(rate)) rate_of_function(rate, 0, call) else rate, "learning_rate")
  optimizer$iterations <- scalar_variable(0, "iteration")
  optimizer$trained <- list() # the weights that have slots
  optimizer$slots <- list() # for each of them a list of variables
  class(optimizer) <- c(paste0("attentive_optimizer_", kind), "attentive_optimizer")
  optimizer
}

# A number as a variable, in double precision.
scalar_variable <- function(value, name) {
  new_variable(pack_numbers(as.double(value), "float64"), integer(), "float64", name, paste0("optimizer/", name), trainable = FALSE)
}

rate_of_function <- function(fun, step, call = NULL) {
  if (!is.function(args(fun))) abort_argument(fun, "learning_rate", "a number, or a function of the step", call = call) # `if` and its like
  rate <- if (length(formals(args(fun))) == 0L) fun() else fun(step)
  if (is.numeric(rate) && length(rate) == 1L && is.finite(rate) && rate >= 0) return(as.double(rate))
  abort_argument(rate, "learning_rate(step)", "a finite number of at least 0", call = call)
}

# Whatever `optimizer` of compile() may be.
as_optimizer <- function(x, arg = "optimizer", call = NULL) {
  if (inherits(x, "attentive_optimizer") && is.environment(x)) return(x)
  kind <- NULL
  if (is.character(x) && length(x) == 1L && !is.na(x)) {
    known <- stats::setNames(nm = names(optimizer_kinds))
    kind <- names(known)[match(plain_name(x, "optimizer"), plain_name(known, "optimizer"))]
    if (is.na(kind)) {
      abort_attentive("name", sprintf("`%s` must be the name of an optimizer, not %s.", arg, describe(x)),
        hint = c(nearest_hint(x, names(known)), paste0("Known names: ", or_list(names(known)), ".")), arg = arg, call = call
      )
    }
  } else if (is.function(x)) {
    found <- vapply(names(optimizer_kinds), function(kind) identical(x, optimizer_constructor(kind)), NA)
    if (any(found)) kind <- names(optimizer_kinds)[found]
  }
  if (is.null(kind)) {
    abort_argument(x, arg, "an optimizer: a name (\"adam\") or an object (`optimizer_adam()`)", call = call)
  }
  optimizer_constructor(kind)()
}

optimizer_constructor <- function(kind) get(paste0("optimizer_", kind), envir = topenv(), mode = "function")

# The learning rate of the next step.
current_rate <- function(optimizer) {
  rate <- optimizer[["config"]]$learning_rate
  if (!is.function(rate)) return(as.double(optimizer[["learning_rate"]]))
  value <- rate_of_function(rate, as.double(optimizer[["iterations"]]))
  optimizer[["learning_rate"]][["value"]] <- pack_numbers(value, "float64")
  value
}

set_rate <- function(optimizer, value, arg = "learning_rate", call = NULL) {
  if (inherits(value, "attentive_variable")) value <- as.double(value)
  value <- check_number(value, arg, 0, call = call)
  if (is.function(optimizer[["config"]]$learning_rate)) {
    abort_attentive("state", "The learning rate of this optimizer is a function of the step and cannot be set.", call = call)
  }
  optimizer[["learning_rate"]][["value"]] <- pack_numbers(value, "float64")
  invisible(optimizer)
}

# The slots of these weights, made of zeros where a weight has none yet: a list
# of lists of variables.
optimizer_slots <- function(optimizer, weights) {
  lapply(weights, function(weight) {
    for (i in seq_along(optimizer[["trained"]])) {
      if (identical(optimizer[["trained"]][[i]], weight)) return(optimizer[["slots"]][[i]])
    }
    slots <- lapply(optimizer_kinds[[optimizer[["kind"]]]]$slots(optimizer[["config"]]), function(name) {
      path <- paste(optimizer[["config"]]$name, gsub("/", "_", weight[["path"]], fixed = TRUE), name, sep = "/")
      new_variable(raw(length(weight[["value"]])), weight[["shape"]], weight[["dtype"]], name, path, trainable = FALSE)
    })
    optimizer[["trained"]] <- c(optimizer[["trained"]], list(weight))
    optimizer[["slots"]] <- c(optimizer[["slots"]], list(slots))
    slots
  })
}

optimizer_fields <- c("name", "learning_rate", "iterations", "variables", "get_config")

#' @export
`$.attentive_optimizer` <- function(x, name) {
  config <- x[["config"]]
  switch(name,
    learning_rate = {
      if (is.function(config$learning_rate)) current_rate(x)
      x[["learning_rate"]]
    },
    iterations = x[["iterations"]],
    variables = c(list(x[["iterations"]], x[["learning_rate"]]), unlist(x[["slots"]], recursive = FALSE)),
    get_config = function() get_config(x),
    if (name %in% names(config)) config[[name]] else
      abort_attentive("name", sprintf("The optimizer has no field `%s`.", name),
        hint = c(nearest_hint(name, names(x)), paste0("Known fields: ", paste0("`", names(x), "`", collapse = ", "), "."))
      )
  )
}

#' @export
`$<-.attentive_optimizer` <- function(x, name, value) {
  if (name != "learning_rate") {
    abort_attentive("name", sprintf("The field `%s` of an optimizer cannot be set.", name), hint = "`learning_rate` can be set.")
  }
  set_rate(x, value)
}

#' @export
names.attentive_optimizer <- function(x) unique(c(optimizer_fields, names(x[["config"]])))

#' @export
get_config.attentive_optimizer <- function(object) {
  config <- object[["config"]]
  if (!is.function(config$learning_rate)) config$learning_rate <- as.double(object[["learning_rate"]])
  structure(config, class_name = optimizer_kinds[[object[["kind"]]]]$class_name)
}

#' @export
format.attentive_optimizer <- function(x, ...) {
  config <- get_config(x)
  hidden <- c("name", "use_ema", "ema_momentum", "ema_overwrite_frequency")
  shown <- setdiff(names(config)[!vapply(config, is.null, NA)], hidden)
  values <- vapply(config[shown], function(value) if (is.function(value)) "<function>" else format(value), "")
  sprintf("optimizer_%s(%s), %s steps", x[["kind"]], paste(shown, values, sep = " = ", collapse = ", "), format(as.double(x[["iterations"]])))
}

#' @export
print.attentive_optimizer <- function(x, ...) {
  cat("<", format(x), ">\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_optimizer <- function(object, ...) cat("<", format(object), ">\n", sep = "")
