# Learning rates that change with the steps. A schedule is an R function of the
# number of steps so far, with a class around data (kind, config).

#' Learning rate schedules
#'
#' A schedule is a learning rate that changes with the steps: give it as `learning_rate` to an optimizer. It is a function of the number \eqn{s} of steps so
#' far, 0 at the first, which can be called and plotted.
#'
#' @details
#' With the initial rate \eqn{\eta_0} and \eqn{S} the `decay_steps`:
#'
#' * *exponential decay*: \eqn{\eta_0 r^{s / S}}, \eqn{r} the `decay_rate`; with `staircase` \eqn{s / S} is rounded down.
#' * *inverse time decay*: \eqn{\eta_0 / (1 + r s / S)}, likewise.
#' * *polynomial decay*: \eqn{(\eta_0 - \eta_e) (1 - \min(s, S) / S)^p + \eta_e}, \eqn{\eta_e} the `end_learning_rate` and \eqn{p} the `power`; with `cycle` \eqn{S} grows to the
#'   next multiple of itself whenever it is passed.
#' * *piecewise constant decay*: `values[1]` as long as \eqn{s \le} `boundaries[1]`, then `values[2]`, and so on.
#' * *cosine decay*: \eqn{\eta_0 ((1 - \alpha) (1 + \cos(\pi \min(s, S) / S)) / 2 + \alpha)}. With a `warmup_target` the rate first goes in a straight line from
#'   \eqn{\eta_0} to it, over `warmup_steps`, then down from there over `decay_steps`.
#' * *cosine decay with restarts*: the same over `first_decay_steps`, then again over `t_mul` times as many steps from `m_mul` times the rate, and so on.
#'
#' Each step of training asks for the rate anew. With gradient accumulation every batch is a step.
#'
#' @param initial_learning_rate The rate at step 0.
#' @param decay_steps,first_decay_steps How many steps a decay takes.
#' @param decay_rate By what the rate is multiplied (exponential) or how fast it falls (inverse time).
#' @param staircase Whether the rate changes at multiples of `decay_steps` only.
#' @param boundaries Steps in increasing order.
#' @param values Rates, one more than `boundaries`.
#' @param end_learning_rate The rate at the end.
#' @param power The power of the polynomial; 1 is a straight line.
#' @param cycle Whether a new decay begins when the last one is over.
#' @param alpha The share of the initial rate that is left at the end.
#' @param warmup_target,warmup_steps The rate at the end of the warm-up, `NULL` for none, and how many steps it takes.
#' @param t_mul,m_mul How much longer, and how much higher, a period is than the one before.
#' @param name A name.
#' @return A schedule: a function of the step, or of several.
#' @section Errors:
#' `attentive_error_argument` for a value that is out of range.
#' @source Cosine decay: I. Loshchilov and F. Hutter (2016), SGDR: Stochastic Gradient Descent with Warm Restarts, \doi{10.48550/arXiv.1608.03983}.
#' @family training
#' @examples
#' schedule <- learning_rate_schedule_cosine_decay(0, decay_steps = 900, warmup_target = 0.001,
#'   warmup_steps = 100)
#' schedule(c(0, 50, 100, 550, 1000))
#' optimizer_adam(learning_rate = schedule)
#' @name learning_rate_schedules
NULL

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_exponential_decay <- function(initial_learning_rate, decay_steps, decay_rate, staircase = FALSE, name = "ExponentialDecay") {
  new_schedule("exponential_decay", decay_config(as.list(environment()), environment()))
}

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_inverse_time_decay <- function(initial_learning_rate, decay_steps, decay_rate, staircase = FALSE, name = "InverseTimeDecay") {
  new_schedule("inverse_time_decay", decay_config(as.list(environment()), environment()))
}

decay_config <- function(given, call) {
  list(
    initial_learning_rate = check_rate_value(given, "initial_learning_rate", call), decay_steps = check_steps(given, "decay_steps", call),
    decay_rate = check_rate_value(given, "decay_rate", call), staircase = check_flag(given$staircase, "staircase", call = call),
    name = check_string(given$name, "name", call = call)
  )
}

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_polynomial_decay <- function(initial_learning_rate, decay_steps, end_learning_rate = 1e-04, power = 1, cycle = FALSE,
                                                    name = "PolynomialDecay") {
  call <- environment()
  given <- as.list(call)
  new_schedule("polynomial_decay", list(
    initial_learning_rate = check_rate_value(given, "initial_learning_rate", call), decay_steps = check_steps(given, "decay_steps", call),
    end_learning_rate = check_rate_value(given, "end_learning_rate", call), power = check_number(power, "power", 0, call = call),
    cycle = check_flag(cycle, "cycle", call = call), name = check_string(name, "name", call = call)
  ))
}

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_piecewise_constant_decay <- function(boundaries, values, name = "PiecewiseConstant") {
  call <- environment()
  numbers <- function(x, arg, what) {
    x <- if (is.list(x) && !is.object(x)) unlist(x) else x
    if (is.numeric(x) && !is.object(x) && length(x) > 0L && all(is.finite(x)) && all(x >= 0)) return(as.double(x))
    abort_argument(x, arg, what, call = call)
  }
  if (missing(boundaries)) abort_missing("boundaries", "steps in increasing order", call)
  if (missing(values)) abort_missing("values", "rates, one more than `boundaries`", call)
  boundaries <- numbers(boundaries, "boundaries", "steps in increasing order")
  values <- numbers(values, "values", "rates of at least 0, one more than `boundaries`")
  if (is.unsorted(boundaries)) abort_argument(boundaries, "boundaries", "steps in increasing order", call = call)
  if (length(values) != length(boundaries) + 1L) {
    abort_attentive("argument", sprintf("`values` must have one number more than `boundaries`: %d, not %d.", length(boundaries) + 1L, length(values)),
      arg = "values", call = call)
  }
  new_schedule("piecewise_constant_decay", list(boundaries = boundaries, values = values, name = check_string(name, "name", call = call)))
}

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_cosine_decay <- function(initial_learning_rate, decay_steps, alpha = 0, name = "CosineDecay", warmup_target = NULL,
                                                warmup_steps = 0L) {
  call <- environment()
  given <- as.list(call)
  target <- check_number(warmup_target, "warmup_target", 0, null = TRUE, call = call)
  rate <- check_rate_value(given, "initial_learning_rate", call)
  new_schedule("cosine_decay", list(
    initial_learning_rate = rate, decay_steps = check_steps(given, "decay_steps", call), alpha = check_number(alpha, "alpha", 0, call = call),
    name = check_string(name, "name", call = call), warmup_target = target, warmup_steps = check_number(warmup_steps, "warmup_steps", 0, call = call)
  ))
}

#' @rdname learning_rate_schedules
#' @export
learning_rate_schedule_cosine_decay_restarts <- function(initial_learning_rate, first_decay_steps, t_mul = 2, m_mul = 1, alpha = 0, name = "SGDRDecay") {
  call <- environment()
  given <- as.list(call)
  new_schedule("cosine_decay_restarts", list(
    initial_learning_rate = check_rate_value(given, "initial_learning_rate", call), first_decay_steps = check_steps(given, "first_decay_steps", call),
    t_mul = check_number(t_mul, "t_mul", 1, call = call), m_mul = check_number(m_mul, "m_mul", 0, call = call),
    alpha = check_number(alpha, "alpha", 0, call = call), name = check_string(name, "name", call = call)
  ))
}

check_rate_value <- function(given, arg, call) {
  if (identical(given[[arg]], quote(expr = ))) abort_missing(arg, "a number of at least 0", call)
  check_number(given[[arg]], arg, 0, call = call)
}

check_steps <- function(given, arg, call) {
  if (identical(given[[arg]], quote(expr = ))) abort_missing(arg, "a number of steps", call)
  steps <- check_number(given[[arg]], arg, 0, call = call)
  if (steps == 0) abort_argument(given[[arg]], arg, "a number above 0", call = call)
  steps
}

# Objects --------------------------------------------------------------------------

new_schedule <- function(kind, config) {
  around <- new.env(parent = topenv(), size = 1L)
  around$schedule <- list(kind = kind, config = config)
  fun <- function(step) schedule_rate(schedule, step, environment())
  environment(fun) <- around
  structure(fun, class = "attentive_learning_rate_schedule")
}
utils::globalVariables("schedule")

schedule_kinds <- c(
  exponential_decay = "ExponentialDecay", inverse_time_decay = "InverseTimeDecay", polynomial_decay = "PolynomialDecay",
  piecewise_constant_decay = "PiecewiseConstantDecay", cosine_decay = "CosineDecay", cosine_decay_restarts = "CosineDecayRestarts"
)

schedule_rate <- function(schedule, step, call = NULL) {
  if (missing(step)) abort_missing("step", "the number of steps so far", call)
  if (inherits(step, "attentive_variable")) step <- as.double(step)
  if (!is.numeric(step) || is.object(step) || anyNA(step) || any(step < 0)) abort_argument(step, "step", "numbers of at least 0", call = call)
  config <- schedule$config
  switch(schedule$kind,
    exponential_decay = config$initial_learning_rate * config$decay_rate^decay_progress(config, step),
    inverse_time_decay = config$initial_learning_rate / (1 + config$decay_rate * decay_progress(config, step)),
    polynomial_decay = polynomial_rate(config, step),
    piecewise_constant_decay = config$values[findInterval(step, config$boundaries, left.open = TRUE) + 1L],
    cosine_decay = cosine_rate(config, step),
    cosine_decay_restarts = restarting_rate(config, step)
  )
}

decay_progress <- function(config, step) {
  progress <- step / config$decay_steps
  if (config$staircase) floor(progress) else progress
}

polynomial_rate <- function(config, step) {
  steps <- config$decay_steps
  if (config$cycle) steps <- steps * pmax(1, ceiling(step / steps))
  (config$initial_learning_rate - config$end_learning_rate) * (1 - pmin(step, steps) / steps)^config$power + config$end_learning_rate
}

cosine_share <- function(config, progress, peak = 1) (1 - config$alpha) * 0.5 * peak * (1 + cos(pi * progress)) + config$alpha

cosine_rate <- function(config, step) {
  target <- config$warmup_target
  warmup <- if (is.null(target)) 0 else config$warmup_steps
  rate <- (if (is.null(target)) config$initial_learning_rate else target) *
    cosine_share(config, pmin(pmax(step - warmup, 0), config$decay_steps) / config$decay_steps)
  if (warmup == 0) return(rate)
  ifelse(step < warmup, (target - config$initial_learning_rate) * step / warmup + config$initial_learning_rate, rate)
}

restarting_rate <- function(config, step) {
  progress <- step / config$first_decay_steps
  grows <- config$t_mul
  # when period i begins, and how long it is, in first periods
  begin <- function(i) if (grows == 1) i else (1 - grows^i) / (1 - grows)
  period <- if (grows == 1) floor(progress) else floor(log(1 - progress * (1 - grows)) / log(grows))
  period <- period + (progress >= begin(period + 1)) # where the logarithm is just below a whole number
  config$initial_learning_rate * cosine_share(config, (progress - begin(period)) / grows^period, config$m_mul^period)
}

schedule_data <- function(x) environment(x)$schedule

#' @export
`$.attentive_learning_rate_schedule` <- function(x, name) {
  config <- schedule_data(x)$config
  if (name == "get_config") return(function() get_config(x))
  if (name %in% names(config)) return(config[[name]])
  abort_attentive("name", sprintf("The schedule has no field `%s`.", name),
    hint = c(nearest_hint(name, names(x)), paste0("Known fields: ", paste0("`", names(x), "`", collapse = ", "), "."))
  )
}

#' @export
names.attentive_learning_rate_schedule <- function(x) c(names(schedule_data(x)$config), "get_config")

#' @export
get_config.attentive_learning_rate_schedule <- function(object) {
  data <- schedule_data(object)
  structure(data$config, class_name = schedule_kinds[[data$kind]])
}

#' @export
format.attentive_learning_rate_schedule <- function(x, ...) {
  data <- schedule_data(x)
  config <- Filter(Negate(is.null), data$config[names(data$config) != "name"])
  shown <- vapply(config, function(value) if (length(value) > 1L) paste0("c(", paste(format(value), collapse = ", "), ")") else format(value), "")
  sprintf("learning_rate_schedule_%s(%s)", data$kind, paste(names(shown), shown, sep = " = ", collapse = ", "))
}

#' @export
print.attentive_learning_rate_schedule <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

#' @export
str.attentive_learning_rate_schedule <- function(object, ...) cat(format(object), "\n", sep = "")
