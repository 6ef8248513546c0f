# Random objects into random arguments of models and simple layers: each call ends in a result or in one of the package's own errors, and a
# failed call leaves the model as it was. ATTENTIVE_GARBAGE sets another number of calls.

calls <- as.integer(Sys.getenv("ATTENTIVE_GARBAGE", "1500"))

# Calls that are right, and the names of further arguments.
right_calls <- alist(
  layer_dense(object = x, units = 2), layer_dense(units = 3, activation = "relu"), layer_embedding(object = ids, input_dim = 7, output_dim = 2),
  layer_embedding(input_dim = 7, output_dim = 2, mask_zero = TRUE), layer_dropout(object = x, rate = 0.5), layer_layer_normalization(object = x),
  layer_activation(object = x, activation = "gelu"), layer_add(inputs = list(x, x)), layer_multiply(tensor, tensor), layer_concatenate(inputs = list(x, x), axis = 2),
  layer_flatten(object = x), layer_reshape(object = x, target_shape = c(8, 3)), layer_global_average_pooling_1d(object = x),
  layer_global_max_pooling_1d(object = tensor), layer_lambda(object = x, f = function(x) x * 2),
  keras_input(shape = c(4, 6)), keras_model(inputs = tensor, outputs = output), keras_model_sequential(input_shape = c(4, 6)),
  model(inputs = x), model(inputs = tensor), dense(inputs = x), dense(inputs = tensor), pool(inputs = x, mask = mask), embed(inputs = ids),
  get_layer(object = model, index = 2), freeze_weights(object = copy(), which = 1), unfreeze_weights(object = copy(), from = 1, to = 2),
  clone_model(model = model), set_weights(object = copy(), weights = get_weights(model)), from_config(config = get_config(model)),
  to_categorical(x = 0:2), pad_sequences(sequences = list(1, 1:2)), array_reshape(x = 1:6, dim = c(2, 3)), stack()$add(layer = layer_dense(units = 2)),
  stack()$build(c(NA, 4, 6)), pop_layer(object = stack()), config_set_floatx(value = "float32"), tensor + 1, 2 / tensor, count_params(object = model),
  tensor * x[1, , ]
)
further <- list(
  layer_dense = c("use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer", "activity_regularizer", "kernel_constraint", "name", "dtype", "input_shape", "seed"),
  layer_embedding = c("embeddings_initializer", "embeddings_regularizer", "weights", "mask_zero", "trainable"), layer_dropout = c("noise_shape", "seed"),
  layer_layer_normalization = c("axis", "epsilon", "center", "scale", "rms_scaling", "gamma_initializer", "beta_regularizer"),
  layer_flatten = "data_format", layer_global_average_pooling_1d = c("keepdims", "data_format"), layer_lambda = c("output_shape", "arguments", "mask"),
  keras_input = c("batch_size", "dtype", "name", "batch_shape"), keras_model = c("name", "trainable"), keras_model_sequential = c("name", "layers", "input_dtype", "trainable"),
  model = c("training", "mask", "threads", "odd"), dense = c("training", "mask", "threads", "object"), get_layer = "name", clone_model = c("input_tensors", "clone_function"),
  to_categorical = "num_classes", pad_sequences = c("maxlen", "dtype", "padding", "truncating", "value"), array_reshape = "order"
)

# One of them with garbage in one or two of its arguments.
spoiled_call <- function() {
  code <- right_calls[[sample.int(length(right_calls), 1)]]
  name <- if (is.name(code[[1]])) as.character(code[[1]]) else ""
  # arithmetic is ours only where a tensor takes part
  operation <- name %in% c("+", "*", "/")
  places <- if (operation) setdiff(seq_along(code)[-1], which(vapply(as.list(code), identical, NA, quote(tensor)))) else c(seq_along(code)[-1], further[[name]])
  for (place in sample(as.list(places), min(length(places), sample(c(1, 1, 2), 1)))) code[place] <- list(random_garbage(names(code)))
  code
}

# Was the error R's own, before the package was reached, or that of a garbage function that was called as asked?
garbage_made_elsewhere <- function(condition, code, scene) {
  evaluated <- tryCatch(
    {
      for (argument in as.list(code)[-1]) eval(argument, scene)
      TRUE
    },
    error = function(e) FALSE
  )
  !evaluated || grepl(paste(
    "matched by multiple actual arguments", "matches multiple formal arguments", "is missing, with no default", "unused argument",
    "non-numeric argument to binary", "^called$", sep = "|"
  ), conditionMessage(condition))
}

test_that("random objects in models and layers end in a result or a classed error", {
  withr::local_seed(2025)
  withr::local_options(warn = 1)
  scene <- new.env(parent = environment())
  scene$x <- array(sin(1:48), c(2, 4, 6))
  scene$mask <- matrix(TRUE, 2, 4)
  scene$ids <- matrix(0:5, 2)
  scene$tensor <- keras_input(c(4, 6))
  scene$dense <- layer_dense(units = 5, activation = "tanh")
  scene$pool <- layer_global_average_pooling_1d()
  scene$embed <- layer_embedding(input_dim = 7, output_dim = 2)
  scene$output <- layer_dense(scene$pool(scene$dense(scene$tensor)), 2)
  scene$model <- keras_model(scene$tensor, scene$output)
  scene$copy <- function() clone_model(scene$model)
  scene$stack <- function() keras_model_sequential() |> layer_dense(3)
  expected <- scene$model(scene$x)
  i <- results <- errors <- 0
  while (results + errors < calls) {
    i <- i + 1
    code <- spoiled_call()
    warned <- character()
    condition <- tryCatch(
      withCallingHandlers(
        {
          eval(code, scene)
          NULL
        },
        warning = function(w) {
          warned <<- c(warned, conditionMessage(w))
          invokeRestart("muffleWarning")
        }
      ),
      error = identity
    )
    classed <- inherits(condition, "attentive_error")
    if (!is.null(condition) && !classed && garbage_made_elsewhere(condition, code, scene)) next
    if (is.null(condition)) results <- results + 1 else errors <- errors + 1
    shown <- substr(paste(deparse(code), collapse = " "), 1, 300)
    expect(is.null(condition) || classed, sprintf(
      "call %d: `%s` gave %s: %s", i, shown, class(condition)[1], if (is.null(condition)) "" else conditionMessage(condition)
    ))
    if (classed) expect(validUTF8(conditionMessage(condition)) && nchar(conditionMessage(condition)) < 2000, sprintf("call %d: `%s` gave a message that cannot be read.", i, shown))
    usual <- "not known here are ignored|Incompatible methods|argument is not numeric or logical"
    expect(length(warned) == 0 || all(grepl(usual, warned)), sprintf("call %d: `%s` warned: %s", i, shown, toString(warned)))
  }
  expect_identical(scene$model(scene$x), expected)
  expect_gt(errors, 0.5 * calls)
  expect_gt(results, 0.02 * calls)
})
