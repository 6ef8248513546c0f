# How two results are compared: by the largest difference, scaled by the largest value expected (at least 1).

# Drops the class of scores, keeps dims, drops dimnames: the numbers and nothing else.
bare <- function(x) {
  x <- as.array(x)
  array(as.double(x), dim(x))
}

scaled_error <- function(actual, expected) {
  actual <- as.double(as.array(actual))
  expected <- as.double(as.array(expected))
  if (length(actual) != length(expected)) return(Inf)
  if (length(expected) == 0) return(0)
  if (!identical(is.na(actual), is.na(expected))) return(Inf)
  seen <- !is.na(expected)
  if (!any(seen)) return(0)
  same <- actual[seen] == expected[seen]
  difference <- ifelse(same, 0, abs(actual[seen] - expected[seen]))
  scale <- expected[seen][is.finite(expected[seen])]
  max(difference) / max(1, abs(scale))
}

# Dims agree exactly, numbers within `bound`.
expect_close <- function(actual, expected, bound, label = "result") {
  act_dim <- dim(as.array(actual))
  exp_dim <- dim(as.array(expected))
  testthat::expect(
    identical(as.integer(act_dim), as.integer(exp_dim)),
    sprintf("%s has dims [%s], not [%s].", label, toString(act_dim), toString(exp_dim))
  )
  error <- if (identical(as.integer(act_dim), as.integer(exp_dim))) scaled_error(actual, expected) else 0
  testthat::expect(error <= bound, sprintf("%s is off by %.3g (bound %.3g).", label, error, bound))
  invisible(error)
}

# The same bits: dims and every number, also the sign of zero and NA.
expect_same <- function(actual, expected, label = "result") {
  testthat::expect(
    identical(bare(actual), bare(expected)),
    sprintf("%s is not exactly the same (off by %.3g).", label, scaled_error(actual, expected))
  )
}
