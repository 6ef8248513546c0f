# More optimizers; optimizers.R says what they have in common.

#' Optimizers of the adaptive family, and Lion
#'
#' Further ways of changing the weights in a step. See [optimizer_sgd()] for those that are used most, and for what all of them do: clipping, weight decay, gradient
#' accumulation, running means.
#'
#' @details
#' With the gradient \eqn{g} of a weight \eqn{w}, the learning rate \eqn{\eta} and the update \eqn{t = 1, 2, \ldots}, element by element:
#'
#' * *Adagrad*: \eqn{a \leftarrow a + g^2}, \eqn{w \leftarrow w - \eta g / \sqrt{a + \epsilon}}; \eqn{a} begins with `initial_accumulator_value`.
#' * *Adadelta*: \eqn{a \leftarrow \rho a + (1 - \rho) g^2}, \eqn{d = - g \sqrt{b + \epsilon} / \sqrt{a + \epsilon}},
#'   \eqn{b \leftarrow \rho b + (1 - \rho) d^2}, \eqn{w \leftarrow w + \eta d}.
#' * *Adamax*: \eqn{m \leftarrow m + (1 - \beta_1)(g - m)}, \eqn{u \leftarrow \max(\beta_2 u, |g|)},
#'   \eqn{w \leftarrow w - \eta m / ((1 - \beta_1^t) (u + \epsilon))}.
#' * *Nadam*: \eqn{m} and \eqn{v} as in Adam; with \eqn{\mu_t = \beta_1 (1 - 0.96^t / 2)} and \eqn{M_t = \mu_1 \cdots \mu_t},
#'   \eqn{\hat m = \mu_{t+1} m / (1 - M_{t+1}) + (1 - \mu_t) g / (1 - M_t)}, \eqn{\hat v = v / (1 - \beta_2^t)},
#'   \eqn{w \leftarrow w - \eta \hat m / (\sqrt{\hat v} + \epsilon)}.
#' * *Lion*: \eqn{w \leftarrow w - \eta \, \mathrm{sign}(\beta_1 m + (1 - \beta_1) g)}, then \eqn{m \leftarrow \beta_2 m + (1 - \beta_2) g}.
#' * *Ftrl*: \eqn{a' = a + g^2}, \eqn{z \leftarrow z + g + 2 \lambda_s w - (a'^{-p} - a^{-p}) w / \eta}, \eqn{a \leftarrow a'},
#'   \eqn{w \leftarrow (\mathrm{clip}(z, -\lambda_1, \lambda_1) - z) / (2 (\lambda_2 + \beta / 2 \eta) + a^{-p} / \eta)}; \eqn{p} is
#'   `learning_rate_power`, \eqn{\lambda_1}, \eqn{\lambda_2}, \eqn{\lambda_s} the strengths of regularization in their order.
#' * *Lamb*: \eqn{m} and \eqn{v} as in Adam, \eqn{d = \hat m / (\sqrt{\hat v} + \epsilon)} with \eqn{\hat m = m / (1 - \beta_1^t)}, \eqn{\hat v = v / (1 - \beta_2^t)},
#'   \eqn{w \leftarrow w - \eta d \, \|w\| / \|d\|}, the norms being those of the whole weight; where one of them is 0, \eqn{w \leftarrow w - \eta d}.
#'
#' @inheritParams optimizer_sgd
#' @param initial_accumulator_value What the sum of squares begins with.
#' @param beta Ftrl: a number that is divided by twice the learning rate and added to the second strength.
#' @param learning_rate_power How the learning rate falls with the sum of squares, at most 0.
#' @param l1_regularization_strength,l2_regularization_strength,l2_shrinkage_regularization_strength Ftrl's own penalties: of absolute values, of squares, and of
#'   squares as part of the gradient.
#' @return An optimizer.
#' @inheritSection optimizer_sgd Errors
#' @source Adagrad: J. Duchi, E. Hazan and Y. Singer (2011), Adaptive Subgradient Methods. Adadelta: M. Zeiler (2012), \doi{10.48550/arXiv.1212.5701}. Adamax: D. Kingma and
#'   J. Ba (2014), \doi{10.48550/arXiv.1412.6980}. Nadam: T. Dozat (2016), Incorporating Nesterov Momentum into Adam. Lion: X. Chen et al. (2023),
#'   \doi{10.48550/arXiv.2302.06675}. Ftrl: H. B. McMahan et al. (2013), \doi{10.1145/2487575.2488200}. Lamb: Y. You et al. (2019), \doi{10.48550/arXiv.1904.00962}.
#' @family training
#' @examples
#' optimizer_nadam(learning_rate = 0.01, use_ema = TRUE)
#' optimizer_lion(1e-4, weight_decay = 0.01, gradient_accumulation_steps = 4)
#' @export
optimizer_adagrad <- function(learning_rate = 0.001, initial_accumulator_value = 0.1, epsilon = 1e-07, weight_decay = NULL, clipnorm = NULL,
                              clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL,
                              name = "adagrad", ..., loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("adagrad", list(
    initial_accumulator_value = check_number(initial_accumulator_value, "initial_accumulator_value", 0, call = call),
    epsilon = check_number(epsilon, "epsilon", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_adadelta <- function(learning_rate = 0.001, rho = 0.95, epsilon = 1e-07, weight_decay = NULL, clipnorm = NULL, clipvalue = NULL,
                               global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL, name = "adadelta", ...,
                               loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("adadelta", list(
    rho = check_number(rho, "rho", 0, 1, call = call), epsilon = check_number(epsilon, "epsilon", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_adamax <- function(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, weight_decay = NULL, clipnorm = NULL,
                             clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL,
                             name = "adamax", ..., loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("adamax", list(
    beta_1 = check_rate(beta_1, "beta_1", call), beta_2 = check_rate(beta_2, "beta_2", call),
    epsilon = check_number(epsilon, "epsilon", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_nadam <- function(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, weight_decay = NULL, clipnorm = NULL,
                            clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL,
                            name = "nadam", ..., loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("nadam", list(
    beta_1 = check_rate(beta_1, "beta_1", call), beta_2 = check_rate(beta_2, "beta_2", call),
    epsilon = check_number(epsilon, "epsilon", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_lion <- function(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.99, weight_decay = NULL, clipnorm = NULL, clipvalue = NULL,
                           global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL, name = "lion", ...,
                           loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("lion", list(
    beta_1 = check_number(beta_1, "beta_1", 0, 1, call = call), beta_2 = check_number(beta_2, "beta_2", 0, 1, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_ftrl <- function(learning_rate = 0.001, learning_rate_power = -0.5, initial_accumulator_value = 0.1, l1_regularization_strength = 0,
                           l2_regularization_strength = 0, l2_shrinkage_regularization_strength = 0, beta = 0, weight_decay = NULL, clipnorm = NULL,
                           clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL,
                           name = "ftrl", ..., loss_scale_factor = NULL, gradient_accumulation_steps = NULL) {
  call <- environment()
  new_optimizer("ftrl", list(
    learning_rate_power = check_number(learning_rate_power, "learning_rate_power", max = 0, call = call),
    initial_accumulator_value = check_number(initial_accumulator_value, "initial_accumulator_value", 0, call = call),
    l1_regularization_strength = check_number(l1_regularization_strength, "l1_regularization_strength", 0, call = call),
    l2_regularization_strength = check_number(l2_regularization_strength, "l2_regularization_strength", 0, call = call),
    l2_shrinkage_regularization_strength = check_number(l2_shrinkage_regularization_strength, "l2_shrinkage_regularization_strength", 0, call = call), beta = check_number(beta, "beta", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}

#' @rdname optimizer_adagrad
#' @export
optimizer_lamb <- function(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-07, weight_decay = NULL, clipnorm = NULL,
                           clipvalue = NULL, global_clipnorm = NULL, use_ema = FALSE, ema_momentum = 0.99, ema_overwrite_frequency = NULL,
                           loss_scale_factor = NULL, gradient_accumulation_steps = NULL, name = "lamb", ...) {
  call <- environment()
  new_optimizer("lamb", list(
    beta_1 = check_rate(beta_1, "beta_1", call), beta_2 = check_rate(beta_2, "beta_2", call),
    epsilon = check_number(epsilon, "epsilon", 0, call = call)
  ), common_options(as.list(call), list(...), call), call)
}
