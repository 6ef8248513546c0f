# Models for the tests.

# Every number different, none random.
wave <- function(dim, k = 1) array(sin(seq_len(prod(dim)) * k), dim)

# Weights that are all different, so that a mistake in their order shows.
fill_weights <- function(x, k = 0.4) {
  values <- get_weights(x)
  for (i in seq_along(values)) values[[i]][] <- k * cos(seq_along(values[[i]]) * (i + 0.37))
  set_weights(x, values)
  invisible(x)
}

# A dense layer on the last axis, in R.
plain_dense <- function(x, kernel, bias = 0) {
  rows <- matrix(x, ncol = dim(x)[[length(dim(x))]]) %*% kernel
  array(rows + rep(bias, each = nrow(rows)), c(dim(x)[-length(dim(x))], ncol(kernel)))
}

# Sets the session's number type for one test.
local_floatx <- function(value, env = parent.frame()) {
  before <- config_floatx()
  config_set_floatx(value)
  withr::defer(config_set_floatx(before), env)
}
