# Layers inside models: the same call on symbolic tensors, run and differentiated.

# `arrays` by argument; those named in `constant` stay arrays in the call, others become inputs of a model with `layer`.
# A layer that takes lists gets query, value and key as one, masks as another. Returns list(model, arrays).
model_of_call <- function(layer, arrays, options = list(), constant = character(), open = FALSE) {
  arrays <- Filter(Negate(is.null), arrays)
  fed <- arrays[setdiff(names(arrays), constant)]
  tensors <- lapply(fed, function(x) {
    size <- dim(x)
    if (open) size[-length(size)] <- NA # any batch, any length
    keras_input(batch_shape = size, dtype = "float64")
  })
  call <- c(tensors, arrays[constant], options)
  if (names(formals(layer))[[1]] == "inputs") {
    parts <- names(call) %in% c("query", "value", "key")
    masks <- grepl("_mask$", names(call)) & names(call) != "use_causal_mask"
    mask <- if (any(masks)) list(call$query_mask, call$value_mask)
    call <- c(list(inputs = call[parts], mask = mask), call[!parts & !masks])
  }
  list(model = keras_model(unname(tensors), do.call(layer, call)), arrays = unname(fed), names = names(fed))
}

run_model <- function(case, ...) case$model(case$arrays, ...)

# The engine's gradients of a model: inputs by name, weights in the model's order.
model_gradients <- function(case, upstream, training = FALSE, calls = 0) {
  self <- attentive:::layer_self(case$model)
  program <- attentive:::model_program(self)
  result <- attentive:::program_gradients(program$pointer, case$arrays, upstream, program$variables, training, calls, 2L)
  names(result$inputs) <- case$names
  places <- vapply(case$model$weights, function(w) which(vapply(program$variables, identical, NA, w)), 0L)
  result$weights <- result$weights[places]
  result
}
