# Operations for the tests: the same call on arrays and inside a model, gradients against differences.

# fun(a, b, ...) on arrays in double precision, and in models of float64 inputs, the batch known or not. All agree; gives the array.
both_ways <- function(fun, ..., info = NULL, open = TRUE) {
  arrays <- list(...)
  eager <- fun(...)
  tensors <- lapply(arrays, function(x) keras_input(batch_shape = c(if (open) NA else dim(x)[[1]], dim(x)[-1]), dtype = "float64"))
  model <- keras_model(tensors, do.call(fun, tensors))
  made <- model(arrays)
  expect_equal(as.vector(made), as.vector(eager) + 0, tolerance = 1e-10, info = info)
  expect_equal(dim(made), if (is.null(dim(eager)) && length(eager) != 1) length(eager) else dim(eager), info = info)
  eager
}

# The gradients of fun(...) with respect to its arrays against central differences.
expect_slopes <- function(fun, ..., info = NULL, step = 1e-6) {
  arrays <- list(...)
  tensors <- lapply(arrays, function(x) keras_input(batch_shape = dim(x), dtype = "float64"))
  case <- list(model = keras_model(tensors, do.call(fun, tensors)), arrays = arrays, names = paste0("x", seq_along(arrays)))
  upstream <- case$model(arrays)
  upstream[] <- cos(seq_along(upstream))
  found <- model_gradients(case, list(upstream))$inputs
  value <- function(arrays) sum(case$model(arrays) * upstream)
  for (i in seq_along(arrays)) {
    expected <- vapply(seq_along(arrays[[i]]), function(j) {
      up <- down <- arrays
      up[[i]][[j]] <- up[[i]][[j]] + step
      down[[i]][[j]] <- down[[i]][[j]] - step
      (value(up) - value(down)) / (2 * step)
    }, 0)
    expect_equal(as.vector(found[[i]]), expected, tolerance = 1e-6, info = paste(info, "input", i))
  }
}

# Whether a model of this tensor is run as a whole batch.
looks_across <- function(inputs, output) {
  attentive:::model_program(attentive:::layer_self(keras_model(inputs, output)))$plan$whole_batch
}

# A random shape of 1 to 4 axes.
random_shape <- function(rank = sample(1:4, 1)) sample(1:4, rank, replace = TRUE)
