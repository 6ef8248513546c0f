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
#' More of them are in [optimizer_adagrad()] and its neighbours.
#'
#' One step does, in this order: clip the gradients, decay the weights (\eqn{w \leftarrow w - \eta \lambda w}, for every optimizer that is given a
#' `weight_decay` \eqn{\lambda}, and for every weight, biases too), update, average the weights (`use_ema`), apply constraints.
#'
#' With `gradient_accumulation_steps` \eqn{n}, \eqn{n - 1} of \eqn{n} batches only add up their gradients, unclipped; the last takes the mean of all \eqn{n} and
#' updates the weights with it. What is left over at the end of a training counts at the beginning of the next.
#'
#' With `use_ema` the optimizer keeps a running mean of the weights after each batch, \eqn{a \leftarrow \alpha a + (1 - \alpha) w} with
#' \eqn{\alpha} the `ema_momentum`, at first \eqn{a = w}. [fit()][fit.attentive_model] ends with the weights set to it; so does every update whose
#' number is a multiple of `ema_overwrite_frequency`.
#'
#' An optimizer has the fields `learning_rate`, which can be set between calls of `fit()` (`model$optimizer$learning_rate <- 1e-4`), and
#' `iterations`, the number of updates so far. It remembers its state in a saved model, so that training goes on as if it had not been interrupted.
#'
#' @param learning_rate The size of a step: a number, a schedule ([learning_rate_schedules]), or a function of the number of batches so far (0 at the first).
#' @param momentum,nesterov How much of the last step is kept, from 0 to 1, and whether to look ahead.
#' @param weight_decay The share of a weight that is taken away in each step, times the learning rate. `NULL` means none.
#' @param clipnorm,clipvalue,global_clipnorm At most one of them: the largest norm of the gradient of each weight; the largest absolute value; the largest
#'   norm of all gradients together.
#' @param use_ema Whether to keep a running mean of the weights.
#' @param ema_momentum How slowly it forgets, from 0 to 1.
#' @param ema_overwrite_frequency After how many updates the weights are set to it, again and again; `NULL` for at the end of `fit()` only.
#' @param gradient_accumulation_steps How many batches share an update, at least 2; `NULL` for one.
#' @param loss_scale_factor A number above 0. It is accepted for compatibility: in Keras it keeps small gradients from vanishing in half precision, and goes out again
#'   before they are used; here gradients are never in half precision.
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
#' `attentive_error_argument` for a value that is out of range or two ways of clipping.
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
      hint = "It may also be a schedule such as `learning_rate_schedule_cosine_decay()`, or a function of the number of steps so far.")
  }
  clips <- c("clipnorm", "clipvalue", "global_clipnorm")
  for (arg in c("weight_decay", clips)) given[arg] <- list(check_number(given[[arg]], arg, 0, null = TRUE, call = call))
  set <- clips[!vapply(given[clips], is.null, NA)]
  if (length(set) > 1L) {
    abort_attentive("argument", sprintf("Gradients can be clipped in one way only; given are %s.", paste0("`", set, "`", collapse = " and ")),
      arg = set[[1L]], call = call
    )
  }
  scale <- given$loss_scale_factor
  if (!is.null(check_number(scale, "loss_scale_factor", 0, null = TRUE, call = call)) && scale == 0) {
    abort_argument(scale, "loss_scale_factor", "a number above 0 or NULL", call = call)
  }
  c(
    list(name = check_string(given$name, "name", call = call), learning_rate = rate), given["weight_decay"], given[clips],
    list(
      use_ema = check_flag(given$use_ema, "use_ema", call = call), ema_momentum = check_number(given$ema_momentum, "ema_momentum", 0, 1, call = call),
      ema_overwrite_frequency = check_whole(given$ema_overwrite_frequency, "ema_overwrite_frequency", null = TRUE, call = call),
      loss_scale_factor = scale,
      gradient_accumulation_steps = check_whole(given$gradient_accumulation_steps, "gradient_accumulation_steps", min = 2L, null = TRUE, call = call)
    )
  )
}

# The kinds: Keras's class name, which numbers are remembered for a weight, and
# what they are at first where that is not 0.
optimizer_kinds <- local({
  adam <- function(config) c("momentum", "velocity", if (config$amsgrad) "velocity_hat")
  always <- function(...) function(config) c(...)
  list(
    sgd = list(class_name = "SGD", slots = function(config) if (config$momentum > 0) "momentum"),
    rmsprop = list(class_name = "RMSprop", slots = function(config) {
      c("velocity", if (config$momentum > 0) "momentum", if (config$centered) "average_gradient")
    }),
    adam = list(class_name = "Adam", slots = adam),
    adam_w = list(class_name = "AdamW", slots = adam),
    adagrad = list(class_name = "Adagrad", slots = always("accumulator"), first = "accumulator"),
    adadelta = list(class_name = "Adadelta", slots = always("accumulated_grad", "accumulated_delta_var")),
    adamax = list(class_name = "Adamax", slots = always("momentum", "norm")),
    nadam = list(class_name = "Nadam", slots = always("momentum", "velocity")),
    lion = list(class_name = "Lion", slots = always("momentum")),
    ftrl = list(class_name = "Ftrl", slots = always("accumulator", "linear"), first = "accumulator"),
    lamb = list(class_name = "Lamb", slots = always("momentum", "velocity"))
  )
})

# In the order of the engine's slot_names().
slot_names <- function(kind, config) {
  c(optimizer_kinds[[kind]]$slots(config), if (config$use_ema) "average", if (!is.null(config$gradient_accumulation_steps)) "gradient_accumulator")
}

# The bytes that a slot begins with: zeros, a number, or for the running mean the weight itself.
first_bytes <- function(optimizer, name, weight) {
  if (name == "average") return(weight[["value"]])
  if (!name %in% optimizer_kinds[[optimizer[["kind"]]]]$first) return(raw(length(weight[["value"]])))
  pack_numbers(rep(optimizer[["config"]]$initial_accumulator_value, prod(weight[["shape"]])), weight[["dtype"]])
}

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

# An optimizer serves one model: another one gets its settings, and begins at step 0.
own_optimizer <- function(optimizer, self) {
  if (is.null(optimizer[["owner"]])) optimizer[["owner"]] <- self
  if (identical(optimizer[["owner"]], self)) return(optimizer)
  config <- unclass(get_config(optimizer))
  attr(config, "class_name") <- NULL
  copy <- new_optimizer(optimizer[["kind"]], list(), config)
  copy[["owner"]] <- self
  copy
}

# An optimizer or a schedule from its configuration; NULL where the class is none.
training_object_of_class <- function(class_name, config) {
  kind <- names(optimizer_kinds)[match(class_name, vapply(optimizer_kinds, function(kind) kind$class_name, ""))]
  if (!is.na(kind)) {
    if (is.list(config$learning_rate)) config$learning_rate <- from_config(config$learning_rate)
    make <- optimizer_constructor(kind)
  } else {
    kind <- names(schedule_kinds)[match(class_name, schedule_kinds)]
    if (is.na(kind)) return(NULL)
    make <- get(paste0("learning_rate_schedule_", kind), envir = topenv(), mode = "function")
  }
  do.call(make, unclass(config[intersect(names(config), names(formals(make)))]))
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

# The weights that were averaged get their running means.
restore_averages <- function(optimizer, weights) {
  if (!optimizer[["config"]]$use_ema) return(invisible())
  at <- match("average", slot_names(optimizer[["kind"]], optimizer[["config"]]))
  slots <- optimizer_slots(optimizer, weights)
  for (i in seq_along(weights)) weights[[i]][["value"]] <- slots[[i]][[at]][["value"]]
}

# The slots of these weights, made where a weight has none yet: a list of lists
# of variables.
optimizer_slots <- function(optimizer, weights) {
  lapply(weights, function(weight) {
    for (i in seq_along(optimizer[["trained"]])) {
      if (identical(optimizer[["trained"]][[i]], weight)) return(optimizer[["slots"]][[i]])
    }
    slots <- lapply(slot_names(optimizer[["kind"]], optimizer[["config"]]), function(name) {
      path <- paste(optimizer[["config"]]$name, gsub("/", "_", weight[["path"]], fixed = TRUE), name, sep = "/")
      new_variable(first_bytes(optimizer, name, weight), weight[["shape"]], weight[["dtype"]], name, path, trainable = FALSE)
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
    iterations = {
      steps <- x[["config"]]$gradient_accumulation_steps
      if (is.null(steps)) x[["iterations"]] else scalar_variable(as.double(x[["iterations"]]) %/% steps, "iteration")
    },
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
  hidden <- c("name", if (!config$use_ema) c("use_ema", "ema_momentum", "ema_overwrite_frequency"))
  shown <- setdiff(names(config)[!vapply(config, is.null, NA)], hidden)
  values <- vapply(config[shown], function(value) if (is.function(value) && !is.object(value)) "<function>" else format(value), "")
  sprintf("optimizer_%s(%s), %s steps", x[["kind"]], paste(shown, values, sep = " = ", collapse = ", "), format(as.double(x$iterations)))
}

#' @export
print.attentive_optimizer <- function(x, ...) {
  cat("<", format(x), ">\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_optimizer <- function(object, ...) cat("<", format(object), ">\n", sep = "")
