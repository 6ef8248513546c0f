test_that("a sequential model applies its layers in order", {
  model <- keras_model_sequential(input_shape = c(4, 6), name = "row") |>
    layer_dense(5, activation = "relu") |>
    layer_flatten() |>
    layer_dense(2)
  x <- wave(c(3, 4, 6))
  w <- get_weights(model)
  expected <- plain_dense(layer_flatten(pmax(plain_dense(x, w[[1]], w[[2]]), 0)), w[[3]], w[[4]])
  expect_equal(model(x), expected, tolerance = 1e-5)
  expect_length(model$layers, 3)
  expect_equal(unlist(model$output_shape), 2L)
  expect_identical(model$name, "row")
  given <- keras_model_sequential(input_shape = c(4, 6), layers = model$layers)
  expect_identical(given(x), model(x))
  piped <- keras_model_sequential(input_shape = 3) %>% layer_dense(2) %>% layer_activation("softmax")
  expect_equal(rowSums(piped(wave(c(5, 3)))), rep(1, 5), tolerance = 1e-5)
})

test_that("adding changes the model in place", {
  model <- keras_model_sequential(input_shape = 3)
  expect_identical(environment(layer_dense(model, 2)), environment(model))
  model$add(layer_dense(units = 4))
  expect_length(model$layers, 2)
  model |> layer_dropout(0.1)
  expect_length(model$layers, 3)
  expect_equal(dim(model(wave(c(2, 3)))), c(2L, 4L))
  last <- pop_layer(model)
  expect_match(last$name, "dropout")
  pop_layer(model)
  expect_equal(dim(model(wave(c(2, 3)))), c(2L, 2L))
})

test_that("a model without a shape takes that of its first input", {
  model <- keras_model_sequential() |> layer_dense(4) |> layer_global_max_pooling_1d()
  expect_false(model$built)
  expect_error(count_params(model), class = "attentive_error_state")
  expect_error(model$output_shape, "input_shape", class = "attentive_error_state")
  expect_output(print(model), "unbuilt")
  expect_equal(dim(model(wave(c(2, 5, 3)))), c(2L, 4L))
  weights <- get_weights(model)
  # another length: the sizes become unknown
  expect_equal(dim(model(wave(c(2, 7, 3)))), c(2L, 4L))
  expect_identical(get_weights(model), weights)
  expect_error(model(wave(c(2, 7, 4))), class = "attentive_error_shape")
  built <- keras_model_sequential() |> layer_dense(4)
  built$build(c(NA, 3))
  expect_equal(count_params(built), 16)
  first <- keras_model_sequential() |> layer_dense(2, input_shape = 3)
  expect_equal(count_params(first), 8)
  flat <- keras_model_sequential() |> layer_flatten() |> layer_dense(1)
  flat(wave(c(2, 4, 3)))
  expect_error(flat(wave(c(2, 5, 3))), class = "attentive_error_shape")
  column <- keras_model_sequential() |> layer_dense(1)
  expect_equal(dim(column(1:6)), c(6L, 1L))
})

test_that("attention in a sequential model is self-attention", {
  model <- keras_model_sequential(input_shape = c(NA, 6)) |>
    layer_multi_head_attention(num_heads = 2, key_dim = 3) |>
    layer_attention() |>
    layer_group_query_attention(head_dim = 4, num_query_heads = 2, num_key_value_heads = 1)
  x <- wave(c(2, 5, 6))
  layers <- model$layers
  a <- layers[[1]](x, x)
  b <- layers[[2]](list(a, a))
  expect_equal(model(x), layers[[3]](b, b), tolerance = 1e-5)
})

test_that("models can be layers of a sequential model", {
  inner <- keras_model_sequential(input_shape = 3) |> layer_dense(4)
  outer <- keras_model_sequential() |> inner() |> layer_dense(1)
  expect_equal(count_params(outer), 16 + 5)
  x <- wave(c(2, 3))
  expect_equal(outer(x), outer$layers[[2]](inner(x)), tolerance = 1e-6)
})

test_that("configurations of sequential models make them again", {
  model <- keras_model_sequential(input_shape = c(NA, 3), name = "s", input_dtype = "float32") |> layer_dense(4) |> layer_dropout(0.2)
  again <- from_config(get_config(model))
  expect_equal(get_config(again), get_config(model))
  set_weights(again, get_weights(model))
  x <- wave(c(2, 5, 3))
  expect_identical(again(x), model(x))
  open <- keras_model_sequential() |> layer_dense(4)
  expect_equal(get_config(from_config(get_config(open))), get_config(open))
})

test_that("what does not fit leaves the model as it was", {
  model <- keras_model_sequential(input_shape = c(4, 6)) |> layer_dense(2, name = "a")
  x <- wave(c(3, 4, 6))
  before <- model(x)
  expect_error(layer_dense(model, 2, name = "a"), "name \"a\"", class = "attentive_error_name")
  expect_error(layer_reshape(model, c(5, 5)), class = "attentive_error_shape")
  expect_error(model$add(3), "a layer", class = "attentive_error_argument")
  expect_error(model$add(layer_add()), "several inputs", class = "attentive_error_argument")
  expect_error(layer_add(model), class = "attentive_error_argument")
  expect_length(model$layers, 1)
  expect_identical(model(x), before)
  expect_error(keras_model_sequential(list(layer_dense(units = 2))), "layers = list", class = "attentive_error_argument")
  expect_error(keras_model_sequential(4, name = "a/b"), class = "attentive_error_argument")
  expect_error(keras_model_sequential(4, nme = "a"), class = "attentive_error_name")
  expect_error(keras_model_sequential()(x), "no layers yet", class = "attentive_error_state")
})
