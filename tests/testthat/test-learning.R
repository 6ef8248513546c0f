# Something that only attention can learn: to say a sequence backwards, for which
# every token has to come from another place.

test_that("reversing sequences is learnt from chance to above 95%, with attention only", {
  set.seed(42)
  length <- 8
  vocabulary <- 10
  sequences <- function(n) matrix(sample.int(vocabulary, n * length, replace = TRUE) - 1L, n)
  inputs <- function(x) list(x, matrix(seq_len(length) - 1L, nrow(x), length, byrow = TRUE))
  model_of <- function(attends) {
    tokens <- keras_input(length, dtype = "int32")
    places <- keras_input(length, dtype = "int32")
    x <- layer_embedding(tokens, vocabulary, 32) + layer_embedding(places, length, 32)
    if (attends) x <- layer_multi_head_attention(num_heads = 2, key_dim = 16)(x, x)
    model <- keras_model(list(tokens, places), layer_dense(x, vocabulary, activation = "softmax"))
    compile(model, optimizer_adam(0.01), "sparse_categorical_crossentropy", metrics = "accuracy")
  }
  train <- sequences(2000)
  test <- sequences(300)
  accuracy <- function(model) evaluate(model, inputs(test), test[, length:1], verbose = 0)$accuracy

  model <- model_of(TRUE)
  expect_lt(accuracy(model), 0.2)
  fit(model, inputs(train), train[, length:1], epochs = 3, verbose = 0)
  expect_gt(accuracy(model), 0.95)
  expect_identical(max.col(predict(model, inputs(test))[1, , ]) - 1L, rev(test[1, ]))

  without <- model_of(FALSE)
  fit(without, inputs(train), train[, length:1], epochs = 3, verbose = 0)
  expect_lt(accuracy(without), 0.2)
})
