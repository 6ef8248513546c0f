# Something that only attention can learn.

# Sequences of random tokens in which the tokens 1 and 2 stand once each: which came first?
which_first <- function(n, length, vocabulary) {
  tokens <- matrix(sample(3:vocabulary, n * length, replace = TRUE), n)
  places <- t(vapply(seq_len(n), function(i) sample.int(length, 2), integer(2)))
  tokens[cbind(seq_len(n), places[, 1])] <- 1
  tokens[cbind(seq_len(n), places[, 2])] <- 2
  list(x = tokens, y = as.integer(places[, 1] < places[, 2]))
}

test_that("which of two marked tokens came first is learnt from chance to above 95%", {
  skip_on_cran()
  set.seed(42)
  length <- 10
  train <- which_first(2000, length, 20)
  test <- which_first(500, length, 20)
  tokens <- keras_input(length, dtype = "int32")
  places <- keras_input(length, dtype = "int32")
  x <- layer_embedding(tokens, 20, 16) + layer_embedding(places, length, 16)
  a <- layer_multi_head_attention(num_heads = 2, key_dim = 8)(x, x)
  x <- layer_layer_normalization(layer_add(list(x, a)))
  f <- x |> layer_dense(32, activation = "relu") |> layer_dense(16)
  x <- layer_layer_normalization(layer_add(list(x, f)))
  model <- keras_model(list(tokens, places), x |> layer_global_max_pooling_1d() |> layer_dense(1, activation = "sigmoid"))
  compile(model, optimizer_adam(0.005), "binary_crossentropy", metrics = "accuracy")
  with_places <- function(x) list(x, matrix(seq_len(length) - 1, nrow(x), length, byrow = TRUE))
  before <- evaluate(model, with_places(test$x), test$y, verbose = 0)$accuracy
  expect_lt(abs(before - 0.5), 0.15)
  time <- system.time(fit(model, with_places(train$x), train$y, epochs = 20, verbose = 0,
    validation_data = list(with_places(test$x), test$y),
    callbacks = callback_lambda(on_epoch_end = function(epoch, logs) if (logs$val_accuracy > 0.98) model$stop_training <- TRUE)))
  after <- evaluate(model, with_places(test$x), test$y, verbose = 0)$accuracy
  expect_gt(after, 0.95)
})
