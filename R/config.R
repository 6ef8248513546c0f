# What holds for the session: the dtype of new layers, the seed.

#' The number type of new layers
#'
#' Layers that are made without `dtype` compute in this type. "float32" is fast; "float64" is exact to about 1e-15.
#'
#' @param value "float32" or "float64".
#' @return `config_floatx()`: a string. `config_set_floatx()`: nothing, invisibly.
#' @section Errors: `attentive_error_argument` for another type.
#' @family models
#' @examples
#' config_floatx()
#' config_set_floatx("float64")
#' layer_dense(units = 2)$dtype
#' config_set_floatx("float32")
#' @export
config_floatx <- function() session$floatx

#' @rdname config_floatx
#' @export
config_set_floatx <- function(value) {
  session$floatx <- check_choice(value, "value", c("float32", "float64"), call = environment())
  invisible()
}

#' Make random numbers repeat
#'
#' Sets R's seed, which governs all random numbers here: initial weights, dropout and shuffling. [set.seed()] does the same.
#'
#' A layer draws one key from R's stream when it is made (one of a class of your own when its weights are), from which its initial weights and its dropout follow: what is to
#' repeat has its seed set before the first layer is made. A seed
#' that is set later governs what is drawn from then on: the layers made after it, and the order of the samples in [fit()][fit.attentive_model].
#'
#' @param seed A whole number.
#' @return Nothing, invisibly.
#' @section Errors: `attentive_error_argument` where `seed` is no whole number.
#' @family models
#' @examples
#' set_random_seed(1)
#' a <- initializer_glorot_uniform()(c(2, 3))
#' set_random_seed(1)
#' identical(a, initializer_glorot_uniform()(c(2, 3)))
#' @export
set_random_seed <- function(seed) {
  seed <- check_whole(seed, "seed", min = -.Machine$integer.max, call = environment())
  set.seed(seed)
  invisible()
}
