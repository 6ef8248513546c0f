# Specifications in all forms that a user may give.

# A configuration after a detour through JSON, as a file holds it.
through_json <- function(x) {
  jsonlite::fromJSON(jsonlite::toJSON(x, auto_unbox = TRUE, null = "null", digits = NA), simplifyVector = FALSE)
}

through_rds <- function(x) {
  path <- withr::local_tempfile(fileext = ".rds")
  saveRDS(x, path)
  readRDS(path)
}

# One object of each kind, with arguments that are not the defaults.
some_specifications <- function() {
  list(
    initializer_constant(0.3), initializer_zeros(), initializer_ones(), initializer_identity(2),
    initializer_orthogonal(1.5, seed = 3), initializer_random_normal(1, 0.2, seed = 4), initializer_random_uniform(-1, 2, seed = 5),
    initializer_truncated_normal(1, 0.1, seed = 6), initializer_variance_scaling(2, "fan_avg", "uniform", seed = 7),
    initializer_glorot_normal(1), initializer_glorot_uniform(), initializer_he_normal(2), initializer_he_uniform(-3),
    initializer_lecun_normal(4), initializer_lecun_uniform(2^40),
    regularizer_l1(0.01), regularizer_l2(1 / 3), regularizer_l1_l2(0.1, 0.2), regularizer_orthogonal(0.3, "columns"),
    constraint_maxnorm(0.5, axis = c(1, 2)), constraint_minmaxnorm(0.1, 0.7, 0.9, axis = -1), constraint_nonneg(),
    constraint_unitnorm(axis = 2)
  )
}

family_of <- function(x) sub("_.*", "", format(x))

resolver <- function(family) switch(family, initializer = as_initializer, regularizer = as_regularizer, constraint = as_constraint)

# Two objects are the same thing: class and configuration, not the identity of their environments.
expect_alike <- function(actual, expected, label = format(expected)) {
  testthat::expect(isTRUE(all.equal(actual, expected)), paste0(label, ": ", paste(all.equal(actual, expected), collapse = "; ")))
}
