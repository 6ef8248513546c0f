# Layers against a formula in R, their gradients against differences.

# A built layer with weights that are all different, on an array or in a model.
layer_gradients_hold <- function(layer, x, mask = NULL, training = FALSE, bound = 1e-6, label = format(layer)) {
  self <- attentive:::layer_self(layer)
  layer(x, mask = mask)
  program <- attentive:::layer_program(self, 1L, !is.null(mask))
  inputs <- c(list(x), if (!is.null(mask)) list(mask))
  states <- get_weights(layer)
  restore <- function() set_weights(layer, states)
  output <- function(inputs) {
    restore()
    attentive:::program_run(program$pointer, inputs, program$variables, training, 0, 1L)$outputs[[1]]
  }
  upstream <- wave(dim(output(inputs)), 0.7)
  loss <- function(x) sum(upstream * output(c(list(x), inputs[-1])))
  restore()
  made <- attentive:::program_gradients(program$pointer, inputs, list(upstream), program$variables, training, 0, 1L)
  expect_close(made$inputs[[1]], differences(loss, x), bound, paste(label, "by x"))
  trained <- vapply(program$variables, function(v) v$trainable, NA)
  for (i in which(trained)) {
    own <- which(vapply(layer$weights, identical, NA, program$variables[[i]]))
    by_weight <- function(w) {
      changed <- states
      changed[[own]] <- w
      set_weights(layer, changed)
      sum(upstream * attentive:::program_run(program$pointer, inputs, program$variables, training, 0, 1L)$outputs[[1]])
    }
    expect_close(made$weights[[i]], differences(by_weight, states[[own]]), bound, paste(label, "by", program$variables[[i]]$name))
  }
  restore()
  invisible(made)
}

# Central differences of a number by every entry of an array.
differences <- function(f, x, step = 1e-5) {
  made <- x
  for (i in seq_along(x)) {
    made[[i]] <- (f(replace(x, i, x[[i]] + step)) - f(replace(x, i, x[[i]] - step))) / (2 * step)
  }
  made
}

# The same numbers as an array, in a model, in a sequential model and after a detour through the configuration.
expect_everywhere <- function(layer, x, bound = 1e-12) {
  expected <- layer(x)
  input <- keras_input(dim(x)[-1], dtype = layer$dtype)
  expect_close(keras_model(input, layer(input))(x), expected, bound, paste(layer$name, "in a model"))
  stack <- keras_model_sequential(input_shape = dim(x)[-1], input_dtype = layer$dtype)
  layer(stack)
  expect_close(stack(x), expected, bound, paste(layer$name, "in a sequence"))
  expect_equal(unlist(layer$compute_output_shape(dim(x))), dim(expected))
  again <- from_config(get_config(layer))
  again(x)
  set_weights(again, get_weights(layer))
  expect_close(again(x), expected, bound, paste(layer$name, "from its configuration"))
  expect_equal(get_config(again), get_config(layer))
  invisible(expected)
}
