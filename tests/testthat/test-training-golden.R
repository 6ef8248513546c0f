# Trainings that Keras itself ran, in double precision; see golden/README.md.

specify <- function(x) {
  lapply(x, function(one) {
    if (is.list(one)) return(do.call(regularizer_l1_l2, one))
    if (grepl("^max_norm-", one)) return(constraint_maxnorm(as.numeric(sub("max_norm-", "", one)), axis = 1))
    one
  })
}

layer_cases <- readRDS(test_path("golden", "layer_training.rds"))

for (case in layer_cases) {
  test_that(paste("eight steps agree with Keras:", case$name), {
    query <- keras_input(dim(case$query)[-1], dtype = "float64")
    value <- keras_input(dim(case$value)[-1], dtype = "float64")
    layer <- do.call(layer_multi_head_attention, c(case$args, specify(case$specification), list(dtype = "float64", name = "mha")))
    model <- keras_model(list(query, value), layer(query, value))
    expect_identical(vapply(model$weights, function(w) w$path, ""), as.character(case$weight_paths))
    set_weights(model, case$weights_before)
    optimizer <- switch(case$optimizer, sgd = optimizer_sgd, adam = optimizer_adam, adamw = optimizer_adam_w, rmsprop = optimizer_rmsprop)
    compile(model, do.call(optimizer, case$optimizer_args), "mse")
    losses <- c()
    for (step in 1:8) {
      losses <- c(losses, train_on_batch(model, list(case$query, case$value), case$y)$loss)
      if (step %in% c(1, 8)) {
        expected <- case$weights_after[[if (step == 1) 1 else 2]]
        for (i in seq_along(expected)) expect_close(get_weights(model)[[i]], expected[[i]], 1e-9, paste(case$name, "step", step, case$weight_paths[[i]]))
      }
    }
    expect_close(losses, as.vector(case$losses), 1e-9, paste(case$name, "losses"))
    expect_close(evaluate(model, list(case$query, case$value), case$y, verbose = 0)$loss, as.vector(case$loss_at_end), 1e-9, paste(case$name, "loss at the end"))
  })
}

test_that("a transformer classifier on padded tokens trains as in Keras", {
  case <- readRDS(test_path("golden", "model_training.rds"))[[1]]
  config <- lapply(case$config$config$layers, function(layer) layer$config)
  names(config) <- vapply(config, function(one) one$name, "")
  old <- config_floatx()
  config_set_floatx("float64")
  withr::defer(config_set_floatx(old))

  tokens <- keras_input(9, dtype = "int32", name = "tokens")
  x <- layer_embedding(tokens, 30, 8, mask_zero = TRUE, name = "embedding")
  a <- layer_multi_head_attention(num_heads = 2, key_dim = 4, name = "self_attention")(x, x)
  x <- layer_layer_normalization(layer_add(list(x, a)), epsilon = 1e-6, name = "norm_1")
  f <- x |> layer_dense(16, activation = config$feed_forward_1$activation) |> layer_dense(8)
  x <- layer_layer_normalization(layer_add(list(x, f)), epsilon = 1e-6, name = "norm_2")
  output <- layer_global_average_pooling_1d(x) |> layer_dense(3, activation = config[[length(config)]]$activation)
  model <- keras_model(tokens, output)
  set_weights(model, case$weights_before)
  expect_close(predict(model, case$tokens), case$prediction_before, 1e-8, "prediction before")
  settings <- case$config$compile_config
  compile(model, do.call(optimizer_adam, list(learning_rate = settings$optimizer$config$learning_rate)), settings$loss, metrics = "accuracy")
  history <- fit(model, case$tokens, as.vector(case$y), epochs = length(case$history$loss), batch_size = 8, shuffle = FALSE, verbose = 0)
  for (name in names(case$history)) expect_close(history$metrics[[name]], as.vector(case$history[[name]]), 1e-8, name)
  for (i in seq_along(case$weights_after)) expect_close(get_weights(model)[[i]], case$weights_after[[i]], 1e-8, case$weight_paths[[i]])
  expect_close(predict(model, case$tokens), case$prediction_after, 1e-8, "prediction after")
  values <- evaluate(model, case$tokens, as.vector(case$y), verbose = 0)
  expect_close(c(values$loss, values$accuracy), as.vector(case$evaluate_after), 1e-8, "evaluation")
})
