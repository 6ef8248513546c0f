# Symbolic tensors and functional models.

test_that("symbolic tensors say what they are", {
  x <- keras_input(shape(NA, 6), name = "memory")
  expect_equal(unlist(x$shape), 6L)
  expect_null(x$shape[[1]])
  expect_identical(x$name, "memory")
  expect_identical(dim(x), c(NA, NA, 6L))
  expect_output(print(x), "<symbolic tensor \"memory\", shape [?, ?, 6], float32>", fixed = TRUE)
  expect_equal(dim(keras_input(3, batch_size = 5)), c(5L, 3L))
  expect_equal(dim(keras_input(batch_shape = c(5, 3))), c(5L, 3L))
  expect_equal(dim(layer_input(shape = 4)), c(NA, 4L))
  expect_error(keras_input(), "`shape` is missing", class = "attentive_error_argument")
  expect_error(keras_input("a"), class = "attentive_error_shape")
  expect_error(keras_input(3, dtype = "string"), class = "attentive_error_argument")
  expect_error(keras_input(3, nam = "a"), class = "attentive_error_name")
  expect_error(as.array(x), class = "attentive_error_state")
  expect_error(x$nothing, class = "attentive_error_name")
})

test_that("a model runs the layers between its inputs and outputs", {
  local_floatx("float64")
  input <- keras_input(c(4, 6))
  hidden <- layer_dense(units = 5, activation = "relu")
  output <- input |> hidden() |> layer_flatten() |> layer_dense(2, name = "answer")
  model <- fill_weights(keras_model(input, output, name = "small"))
  x <- wave(c(3, 4, 6))
  w <- get_weights(model)
  inner <- layer_flatten(pmax(plain_dense(x, w[[1]], w[[2]]), 0))
  expect_equal(model(x), plain_dense(inner, w[[3]], w[[4]]), tolerance = 1e-12)
  expect_identical(model$name, "small")
  expect_equal(vapply(model$layers, function(l) l$name, ""), c(input$name, hidden$name, model$layers[[3]]$name, "answer"))
  expect_equal(count_params(model), 6 * 5 + 5 + 20 * 2 + 2)
  expect_equal(unlist(model$output_shape), 2L)
  expect_equal(unlist(model$input_shape), c(4L, 6L))
  expect_identical(get_layer(model, "answer")$kernel, model$weights[[3]])
  expect_identical(model$output_names, "answer")
  # the layer outside and the one in the model are one
  set_weights(hidden, lapply(get_weights(hidden), function(w) w * 0))
  expect_equal(model(x)[1, ], as.vector(w[[4]]), tolerance = 1e-12)
})

test_that("inputs and outputs are taken by place or by name", {
  a <- keras_input(3, name = "a")
  b <- keras_input(2, name = "b")
  model <- keras_model(list(a, b), list(sum = layer_add(layer_dense(a, 2), b), twice = b * 2))
  x <- list(wave(c(4, 3)), wave(c(4, 2)))
  made <- model(x)
  expect_named(made, c("sum", "twice"))
  expect_equal(made$twice, x[[2]] * 2, tolerance = 1e-6)
  expect_identical(model(list(b = x[[2]], a = x[[1]])), made)
  expect_error(model(x[1]), "takes 2 inputs, 1 came", class = "attentive_error_argument")
  expect_error(model(list(a = x[[1]], c = x[[2]])), "no input \"c\"", class = "attentive_error_name")
  expect_error(model(list(x[[2]], x[[2]])), "The input \"a\"", class = "attentive_error_shape")
  expect_error(model(list(x[[1]], "no")), "`b`", class = "attentive_error_argument")
  named <- keras_model(list(left = a, right = b), layer_concatenate(a, b))
  expect_equal(dim(named(list(right = x[[2]], left = x[[1]]))), c(4L, 5L))
  expect_error(keras_model(a, layer_add(layer_dense(a, 2), b)), "\"b\", which is not among", class = "attentive_error_argument")
  expect_error(keras_model(1, a), class = "attentive_error_argument")
})

test_that("lengths and batches that are not fixed may differ from call to call", {
  model <- keras_model(x <- keras_input(c(NA, 3)), x |> layer_dense(2) |> layer_global_max_pooling_1d())
  for (t in c(4, 9, 2)) expect_equal(dim(model(wave(c(t + 1, t, 3)))), c(t + 1L, 2L))
  expect_error(model(wave(c(2, 4, 5))), "[?, ?, 3], not [2, 4, 5]", fixed = TRUE, class = "attentive_error_shape")
  x <- wave(c(6, 4, 3))
  expect_identical(model(x)[3:4, ], model(x[3:4, , ]))
})

test_that("arithmetic on tensors is arithmetic on arrays", {
  x <- keras_input(c(2, 3), dtype = "float64")
  y <- keras_input(c(2, 3), dtype = "float64")
  a <- wave(c(4, 2, 3)) + 2
  b <- wave(c(4, 2, 3), 0.3) + 2
  row <- array(c(1, 2, 3), c(1, 1, 3))
  expressions <- list(
    quote(x + y), quote(x - y), quote(x * y), quote(x / y), quote(x + 1), quote(2 - x), quote(3 * x), quote(1 / x), quote(-x), quote(+x),
    quote(x^2), quote(abs(-x)), quote(exp(x)), quote(log(x)), quote(sqrt(x)), quote((x + y) * (x - 1) / 2)
  )
  for (e in expressions) {
    model <- keras_model(list(x, y), eval(e))
    expect_equal(model(list(a, b)), eval(e, list(x = a, y = b)), tolerance = 1e-10, info = deparse(e))
  }
  shifted <- keras_model(x, x + row)
  expect_equal(shifted(a), a + rep(1:3, each = 8), tolerance = 1e-10)
  expect_error(x + keras_input(c(2, 4)), "do not fit together", class = "attentive_error_shape")
  expect_error(sum(x), "op_sum", class = "attentive_error_not_yet")
  expect_error(gamma(x), class = "attentive_error_not_yet")
  expect_error(x + "a", class = "attentive_error_argument")
})

test_that("a layer that is used twice has one set of weights", {
  x <- keras_input(3)
  shared <- layer_dense(units = 3)
  model <- keras_model(x, shared(shared(x)))
  expect_length(model$weights, 2)
  expect_length(model$layers, 2)
  a <- wave(c(2, 3))
  expect_equal(model(a), shared(shared(a)), tolerance = 1e-6)
})

test_that("a model is a layer of another model", {
  x <- keras_input(3)
  inner <- keras_model(x, x |> layer_dense(4, activation = "tanh") |> layer_dense(3), name = "inner")
  y <- keras_input(3)
  outer <- keras_model(y, layer_dense(inner(inner(y)), 1))
  expect_length(outer$weights, 6)
  expect_equal(count_params(outer), 12 + 4 + 12 + 3 + 3 + 1)
  a <- wave(c(2, 3))
  last <- outer$layers[[3]]
  expect_equal(outer(a), last(inner(inner(a))), tolerance = 1e-6)
  expect_identical(outer$layers[[2]]$name, "inner")
  expect_output(print(outer), "inner (Functional)", fixed = TRUE)
  # several inputs and outputs
  p <- keras_input(2)
  q <- keras_input(2)
  both <- keras_model(list(p, q), list(p + q, p - q))
  made <- both(list(p, q * 2))
  expect_length(made, 2)
  expect_equal(keras_model(list(p, q), made[[2]])(list(a[, 1:2], a[, 2:3])), a[, 1:2] - 2 * a[, 2:3], tolerance = 1e-6)
})

test_that("a model may begin in the middle of another", {
  x <- keras_input(3)
  middle <- layer_dense(x, 4)
  output <- layer_dense(middle, 2)
  whole <- keras_model(x, output)
  head <- keras_model(x, middle)
  tail <- keras_model(middle, output)
  a <- wave(c(5, 3))
  expect_equal(tail(head(a)), whole(a), tolerance = 1e-6)
  expect_length(tail$weights, 2)
})

test_that("masks travel through a model", {
  local_floatx("float64")
  tokens <- keras_input(NA, dtype = "int32")
  x <- layer_embedding(tokens, input_dim = 9, output_dim = 4, mask_zero = TRUE)
  ids <- rbind(c(3, 5, 0, 0), c(1, 2, 4, 6))
  mean_of <- function(y) keras_model(tokens, layer_global_average_pooling_1d(y))(ids)
  values <- function(y) keras_model(tokens, y)(ids)
  real <- function(v) rbind(colMeans(v[1, 1:2, ]), colMeans(v[2, , ]))
  all <- function(v) apply(v, c(1, 3), mean)
  kept <- list(
    dense = layer_dense(x, 3), dropout = layer_dropout(x, 0.5), norm = layer_layer_normalization(x), activation = layer_activation(x, "relu"),
    add = layer_add(x, layer_dense(x, 4)), concatenate = layer_concatenate(x, layer_dense(x, 2)),
    attention = layer_multi_head_attention(x, num_heads = 1, key_dim = 2)
  )
  for (name in names(kept)) expect_equal(mean_of(kept[[name]]), real(values(kept[[name]])), tolerance = 1e-10, info = name, ignore_attr = TRUE)
  ended <- list(
    reshape = layer_reshape(x, c(NA, 2)), operation = x + 1, lambda = layer_lambda(x, function(x) x * 2),
    half = layer_add(x, layer_reshape(x, c(NA, 4)))
  )
  for (name in names(ended)) expect_equal(mean_of(ended[[name]]), all(values(ended[[name]])), tolerance = 1e-10, info = name, ignore_attr = TRUE)
  # padding changes nothing
  model <- keras_model(tokens, layer_global_average_pooling_1d(kept$attention))
  expect_equal(model(cbind(ids, 0, 0)), model(ids), tolerance = 1e-12)
  # a nested model hands masks on
  inner <- keras_model(t <- keras_input(NA, dtype = "int32"), layer_embedding(t, 9, 2, mask_zero = TRUE))
  expect_equal(mean_of(inner(tokens)), real(values(inner(tokens))), tolerance = 1e-10)
})

test_that("merging layers look at masks as Keras does", {
  local_floatx("float64")
  a <- keras_input(NA, dtype = "int32")
  b <- keras_input(NA, dtype = "int32")
  p <- layer_embedding(a, input_dim = 9, output_dim = 2, mask_zero = TRUE)
  q <- layer_embedding(b, input_dim = 9, output_dim = 2, mask_zero = TRUE)
  ids <- list(rbind(c(3, 5, 0, 0), c(1, 2, 4, 6)), rbind(c(1, 0, 4, 0), c(0, 0, 0, 7)))
  model <- keras_model(list(a, b), list(
    p, q, layer_multiply(p, q), layer_maximum(p, q), layer_minimum(p, q), layer_multiply(p, layer_dense(p, 2)), layer_maximum(p, layer_flatten(q) |> layer_reshape(c(NA, 2)))
  ))
  v <- model(ids)
  m <- lapply(ids, function(x) array(x != 0, c(2, 4, 2)))
  real <- function(i) ifelse(m[[i]], v[[i]], NA)
  none <- !m[[1]] & !m[[2]]
  expect_equal(v[[3]], ifelse(none, 0, ifelse(m[[1]], v[[1]], 1) * ifelse(m[[2]], v[[2]], 1)), tolerance = 1e-12)
  expect_equal(v[[4]][!none], pmax(real(1), real(2), na.rm = TRUE)[!none], tolerance = 1e-12)
  expect_equal(v[[5]][!none], pmin(real(1), real(2), na.rm = TRUE)[!none], tolerance = 1e-12)
  expect_equal(v[[6]] == 0, !m[[1]])
  expect_equal(v[[7]], ifelse(m[[1]], pmax(v[[1]], v[[2]]), v[[2]]), tolerance = 1e-12)
  # along the features a token of a concatenation is real if any part is, along time the masks stand side by side
  mean_of <- function(y) keras_model(list(a, b), list(y, layer_global_average_pooling_1d(y)))(ids)
  side <- mean_of(layer_concatenate(p, q))
  expect_equal(side[[2]][1, ], colMeans(side[[1]][1, 1:3, ]), tolerance = 1e-12)
  time <- mean_of(layer_concatenate(p, q, axis = 2))
  expect_equal(time[[2]][1, ], colMeans(time[[1]][1, c(1, 2, 5, 7), ]), tolerance = 1e-12)
  half <- mean_of(layer_concatenate(p, layer_reshape(q, c(NA, 2))))
  expect_equal(half[[2]][1, ], colMeans(half[[1]][1, , ]), tolerance = 1e-12)
})

test_that("dropout in a model works in training only, and not in a part that stays in inference", {
  x <- keras_input(50)
  model <- keras_model(x, layer_dropout(x, 0.5, seed = 1))
  a <- matrix(1, 4, 50)
  expect_equal(model(a), a)
  first <- model(a, training = TRUE)
  expect_equal(sort(unique(as.vector(first))), c(0, 2))
  expect_false(identical(model(a, training = TRUE), first))
  y <- keras_input(50)
  outer <- keras_model(y, model(y, training = FALSE))
  expect_equal(outer(a, training = TRUE), a)
  twice <- layer_dropout(rate = 0.5, seed = 2)
  pair <- keras_model(y, list(twice(y), twice(y)))(a, training = TRUE)
  expect_false(identical(pair[[1]], pair[[2]]))
  expect_error(model(y, training = TRUE), class = "attentive_error_not_yet")
})

test_that("weights are frozen and unfrozen by layer, place, name and function", {
  model <- keras_model_sequential(input_shape = 3) |>
    layer_dense(4, name = "a") |> layer_dense(4, name = "b") |> layer_dense(1, name = "c")
  frozen <- function() vapply(model$layers, function(l) !l$trainable, NA)
  freeze_weights(model)
  expect_true(all(frozen()))
  expect_length(model$trainable_weights, 0)
  expect_length(model$non_trainable_weights, 6)
  unfreeze_weights(model, from = "b")
  expect_equal(frozen(), c(TRUE, FALSE, FALSE))
  expect_length(model$trainable_weights, 4)
  unfreeze_weights(model)
  freeze_weights(model, to = 2)
  expect_equal(frozen(), c(TRUE, TRUE, FALSE))
  unfreeze_weights(model, which = "a")
  expect_equal(frozen(), c(FALSE, TRUE, FALSE))
  freeze_weights(model, which = c(FALSE, FALSE, TRUE))
  expect_equal(frozen(), c(FALSE, TRUE, TRUE))
  unfreeze_weights(model)
  freeze_weights(model, which = function(layer) layer$units == 1)
  expect_equal(frozen(), c(FALSE, FALSE, TRUE))
  unfreeze_weights(model, from = -1)
  expect_false(any(frozen()))
  expect_length(get_weights(model, trainable = TRUE), 6)
  expect_error(freeze_weights(model, which = "d"), "Its layers", class = "attentive_error_name")
  expect_error(freeze_weights(model, from = 4), "between 1 and 3", class = "attentive_error_argument")
  freeze_weights(get_layer(model, "b"))
  expect_output(print(model), "Trainable")
  # one weight alone
  unfreeze_weights(model)
  last <- get_layer(model, "c")
  last$bias$trainable <- FALSE
  model$layers[[1]]$kernel$trainable <- FALSE
  expect_length(model$trainable_weights, 4)
  expect_error(last$bias <- 3, "cannot be set", class = "attentive_error_name")
})

test_that("a clone has weights of its own", {
  x <- keras_input(c(4, 6))
  y <- layer_multi_head_attention(num_heads = 2, key_dim = 3)(x, x)
  shared <- layer_dense(units = 6)
  model <- keras_model(x, layer_flatten(layer_add(shared(x), shared(y)) * 2), name = "m")
  copy <- clone_model(model)
  expect_identical(vapply(copy$layers, function(l) l$name, ""), vapply(model$layers, function(l) l$name, ""))
  expect_length(copy$weights, length(model$weights))
  a <- wave(c(2, 4, 6))
  expect_false(identical(copy(a), model(a)))
  set_weights(copy, get_weights(model))
  expect_identical(copy(a), model(a))
  before <- get_weights(model)
  set_weights(copy, lapply(before, function(w) w * 0))
  expect_identical(get_weights(model), before)
  wide <- clone_model(model, clone_function = function(layer) {
    if (inherits(layer, "attentive_dense")) layer_dense(units = 6, activation = "relu", name = layer$name) else from_config(get_config(layer))
  })
  expect_identical(get_layer(wide, shared$name)$activation, "relu")
  deferred <- clone_model(keras_model_sequential() |> layer_dense(2))
  expect_equal(dim(deferred(a[, , 1])), c(2L, 2L))
  expect_error(clone_model(shared), class = "attentive_error_argument")
})

test_that("configurations make the same model again", {
  x <- keras_input(c(NA, 6), name = "x")
  m <- keras_input(c(NA, NA), dtype = "bool", name = "m")
  attention <- layer_multi_head_attention(num_heads = 2, key_dim = 3)(x, x, attention_mask = m, use_causal_mask = TRUE, return_attention_scores = TRUE)
  plain <- layer_attention(list(x, x))
  merged <- layer_concatenate(attention$attention_output, plain, 1 - x / 2)
  inner <- keras_model_sequential(input_shape = c(NA, 18), name = "inner") |> layer_dense(5, activation = "gelu") |> layer_dropout(0.1)
  model <- keras_model(list(x = x, m = m), list(y = inner(merged), scores = attention$attention_scores), name = "all")
  again <- from_config(get_config(model))
  expect_equal(get_config(again), get_config(model))
  expect_identical(names(again$inputs), c("x", "m"))
  set_weights(again, get_weights(model))
  arrays <- list(wave(c(2, 4, 6)), array(rep(c(TRUE, TRUE, FALSE), length.out = 32), c(2, 4, 4)))
  expect_identical(again(arrays), model(arrays))
  skip_if_not_installed("jsonlite")
  json <- jsonlite::toJSON(unclass(get_config(model)), auto_unbox = TRUE, null = "null", digits = NA)
  third <- from_config(list(class_name = "Functional", config = jsonlite::fromJSON(json, simplifyVector = FALSE)))
  set_weights(third, get_weights(model))
  expect_identical(third(arrays), model(arrays))
})

test_that("a configuration that Keras wrote makes Keras's model", {
  recorded <- readRDS(test_path("golden", "model_training.rds"))[[1]]
  model <- from_config(recorded$config)
  expect_identical(model$name, recorded$name)
  expect_identical(vapply(model$weights, function(w) w$path, ""), recorded$weight_paths)
  set_weights(model, recorded$weights_before)
  expect_equal(model(recorded$tokens), recorded$prediction_before, tolerance = 1e-12)
})

test_that("configurations that make no model are refused", {
  expect_error(from_config(list(class_name = "Functional", config = list(name = "a"))), "no layers", class = "attentive_error_config")
  x <- keras_input(3)
  config <- get_config(keras_model(x, layer_dense(layer_dense(x, 2), 2)))
  config$layers[[2]]$inbound_nodes[[1]]$args[[1]]$config$keras_history[[1]] <- "nobody"
  expect_error(from_config(config), "what the layer", class = "attentive_error_config")
})

test_that("a model survives saveRDS()", {
  x <- keras_input(c(4, 6))
  model <- keras_model(x, layer_multi_head_attention(x, num_heads = 2, key_dim = 3) |> layer_flatten() |> layer_dense(2))
  a <- wave(c(2, 4, 6))
  before <- model(a)
  file <- withr::local_tempfile()
  saveRDS(model, file)
  expect_identical(readRDS(file)(a), before)
})

test_that("mistakes in building a model are explained", {
  x <- keras_input(3)
  expect_error(keras_model(x, layer_dense(layer_dense(x, 2, name = "a"), 2, name = "a")), "name \"a\"", class = "attentive_error_name")
  expect_error(
    keras_model(x, layer_dense(layer_dense(x, 2), 2, dtype = "float64")), "one dtype", class = "attentive_error_argument"
  )
  model <- keras_model(x, layer_dense(x, 2))
  expect_error(layer_dense(model, 3), "model$output", fixed = TRUE, class = "attentive_error_argument")
  expect_error(model$layer, class = "attentive_error_name")
  expect_error(get_layer(model), class = "attentive_error_argument")
  expect_error(get_layer(model, "densee"), class = "attentive_error_name")
  expect_error(get_layer(model, index = 9), class = "attentive_error_argument")
  expect_error(pop_layer(model), class = "attentive_error_state")
  expect_error(layer_add(x, wave(c(2, 3))), "together", class = "attentive_error_argument")
  expect_error(layer_dense(keras_input(NA), 3), "must be known", class = "attentive_error_shape")
  expect_error(model(), class = "attentive_error_argument")
  expect_error(model(wave(c(2, 3)), mask = TRUE), class = "attentive_error_argument")
})

test_that("the table of a model shows layers, shapes, weights and what is applied to what", {
  clear_session()
  x <- keras_input(c(NA, 6), name = "tokens")
  y <- layer_multi_head_attention(num_heads = 2, key_dim = 3, name = "attend")(x, x)
  model <- keras_model(x, layer_add(x, y) |> layer_global_average_pooling_1d() |> layer_dense(1, name = "answer"), name = "reader")
  freeze_weights(model, which = "attend")
  lines <- capture.output(returned <- summary(model, line_length = 100))
  expect_identical(lines, returned)
  expect_match(lines[[1]], "Model: \"reader\"", fixed = TRUE)
  row <- grep("attend (MultiHeadAttention)", lines, value = TRUE, fixed = TRUE)
  for (part in c("(None, None, 6)", "168", "tokens", " N ")) expect_match(row, part, fixed = TRUE)
  expect_match(grep("add (Add)", lines, value = TRUE, fixed = TRUE), "tokens, attend", fixed = TRUE)
  expect_equal(utils::tail(lines, 3), c(
    " Total params: 175 (700 B)", " Trainable params: 7 (28 B)", " Non-trainable params: 168 (672 B)"
  ))
  narrow <- capture.output(summary(model, line_length = 60))
  expect_true(all(nchar(narrow, "width") <= 60))
  expect_identical(capture.output(print(model)), capture.output(summary(model)))
})

test_that("a model has the same bits for any number of threads", {
  tokens <- keras_input(NA, dtype = "int32")
  x <- layer_embedding(tokens, input_dim = 50, output_dim = 16, mask_zero = TRUE)
  y <- layer_add(x, layer_multi_head_attention(x, num_heads = 2, key_dim = 8, dropout = 0.2)) |> layer_layer_normalization()
  model <- keras_model(tokens, layer_dense(y, 64, activation = "gelu") |> layer_dropout(0.3) |> layer_global_average_pooling_1d())
  ids <- matrix((seq_len(24 * 40) * 7) %% 50, 24)
  copy <- from_config(get_config(model))
  expect_identical(model(ids, threads = 2), model(ids, threads = 1))
  first <- model(ids, training = TRUE, threads = 1)
  self <- environment(model)
  self$calls <- 0
  expect_identical(model(ids, training = TRUE, threads = 8), first)
})

test_that("gradients of a whole model agree with differences", {
  local_floatx("float64")
  tokens <- keras_input(NA, dtype = "int32")
  other <- keras_input(c(NA, 3))
  x <- layer_embedding(tokens, input_dim = 6, output_dim = 4, mask_zero = TRUE)
  shared <- layer_dense(units = 4, activation = "tanh")
  attention <- layer_multi_head_attention(num_heads = 2, key_dim = 2)
  y <- layer_layer_normalization(layer_add(x, attention(x, shared(shared(layer_dense(other, 4))))), epsilon = 0.1)
  z <- layer_concatenate(y, shared(y) * 0.5, layer_multiply(y, x) / 2 + 1) |> layer_dense(3, activation = "softmax")
  model <- keras_model(list(tokens, other), list(layer_global_average_pooling_1d(z), layer_global_max_pooling_1d(y)))
  fill_weights(model, 0.6)
  data <- list(rbind(c(1, 2, 0), c(5, 3, 4)), wave(c(2, 5, 3)))
  upstream <- list(wave(c(2, 3), 0.7), wave(c(2, 4), 0.9))
  loss <- function() sum(mapply(function(a, b) sum(a * b), model(data), upstream))
  program <- attentive:::model_program(environment(model))
  made <- attentive:::program_gradients(program$pointer, data, upstream, program$variables, FALSE, 0, 2L)
  for (k in seq_along(program$variables)) {
    variable <- program$variables[[k]]
    value <- as.array(variable)
    for (i in unique(c(1, length(value), length(value) %/% 2 + 1))) {
      sides <- vapply(c(-1e-5, 1e-5), function(step) {
        variable$assign(replace(value, i, value[[i]] + step))
        loss()
      }, 0)
      expect_equal(made$weights[[k]][[i]], diff(sides) / 2e-5, tolerance = 1e-5, info = paste(variable$path, i))
    }
    variable$assign(value)
  }
  for (i in c(1, 13, 30)) {
    sides <- vapply(c(-1e-5, 1e-5), function(step) {
      data[[2]][[i]] <- data[[2]][[i]] + step
      sum(mapply(function(a, b) sum(a * b), model(data), upstream))
    }, 0)
    expect_equal(made$inputs[[2]][[i]], diff(sides) / 2e-5, tolerance = 1e-5)
  }
})

test_that("a layer knows what it was applied to", {
  x <- keras_input(3, name = "numbers")
  y <- layer_dense(x, 4, name = "d1") |> layer_dense(2, name = "d2")
  model <- keras_model(x, y)
  a <- wave(c(5, 3))
  head <- keras_model(model$inputs, get_layer(model, "d1")$output)
  expect_equal(dim(head(a)), c(5L, 4L))
  expect_identical(model$layers[[3]]$output, y)
  expect_identical(model$layers[[2]]$input, x)
  expect_identical(model$layers[[1]]$output, x)
  expect_identical(model$layers[[1]]$input, x)
  expect_true("output" %in% names(get_layer(model, "d1")))
  # the way out that pop_layer() names
  hint <- tryCatch(pop_layer(model), error = conditionMessage)
  shorter <- eval(parse(text = regmatches(hint, regexpr("keras_model[^`]*", hint))))
  expect_equal(shorter(a), head(a))
  # a model that begins in the middle leaves it alone
  tail <- keras_model(get_layer(model, "d1")$output, y)
  expect_equal(tail(head(a)), model(a), tolerance = 1e-6)
  expect_identical(get_layer(model, "d2")$output, y)
  # saved and read, copied
  file <- withr::local_tempfile()
  saveRDS(model, file)
  again <- readRDS(file)
  expect_equal(keras_model(again$inputs, get_layer(again, "d1")$output)(a), head(a))
  copy <- clone_model(model)
  expect_equal(dim(keras_model(copy$inputs, get_layer(copy, "d1")$output)(a)), c(5L, 4L))
  expect_identical(get_layer(model, "d1")$input, x)
  # never, or several times
  expect_error(layer_dense(units = 2)$output, "not applied", class = "attentive_error_state")
  shared <- layer_dense(units = 2)
  shared(x)
  shared(x)
  expect_error(shared$output, "several times", class = "attentive_error_state")
})

test_that("layers of a sequential model know what they were applied to, however often it was laid", {
  model <- keras_model_sequential(layers = list(layer_dense(units = 4), layer_dense(units = 2)))
  a <- wave(c(5, 3))
  model(a)
  expect_equal(dim(keras_model(model$inputs, get_layer(model, 1)$output)(a)), c(5L, 4L))
  last <- pop_layer(model)
  model |> last()
  expect_identical(last$output, model$output)
  wide <- keras_model_sequential(layers = list(layer_dense(units = 4)))
  wide(wave(c(2, 5, 3)))
  wide(wave(c(2, 6, 3)))
  expect_identical(wide$layers[[1]]$output, wide$output)
})

test_that("plausible mistakes with models say the way out", {
  i <- keras_input(3, name = "numbers")
  expect_error(keras_model(list(a = i, b = i), i * 2), "`inputs\\$a` and `inputs\\$b` are the same tensor, \"numbers\"", class = "attentive_error_argument")
  expect_error(keras_model(list(i, i), i * 2), "inputs[[1]]", fixed = TRUE, class = "attentive_error_argument")
  error <- expect_error(keras_input(3, foo = 2), class = "attentive_error_name")
  expect_match(conditionMessage(error), "Known names: `shape`", fixed = TRUE)
  expect_error(keras_input(-1), class = "attentive_error_shape")
  expect_error(keras_input(c(4, -1)), class = "attentive_error_shape")
  expect_error(keras_input(batch_shape = list(NULL, -1)), class = "attentive_error_shape")
  expect_equal(keras_input(shape(-1, 2))$shape, shape(NA, NA, 2))
  q <- wave(c(2, 4, 3))
  expect_error(layer_multi_head_attention(q, q, num_heads = 2, key_dim = 3), "list(query, value)", fixed = TRUE, class = "attentive_error_argument")
  x <- keras_input(c(4, 3))
  expect_error(layer_multi_head_attention(x, x, num_heads = 2, key_dim = 3), "list(query, value)", fixed = TRUE, class = "attentive_error_argument")
  j <- keras_input(3)
  model <- keras_model(list(i, j), layer_add(i, j))
  a <- wave(c(2, 3))
  expect_error(model(a, a), "model(list(x1, x2))", fixed = TRUE, class = "attentive_error_argument")
  expect_error(model(i, j), "model(list(x1, x2))", fixed = TRUE, class = "attentive_error_argument")
})

test_that("the table takes keras3's options and cuts no name", {
  inner <- keras_model_sequential(input_shape = 3, name = "inner", layers = list(layer_dense(units = 4, name = "within")))
  x <- keras_input(3)
  long <- "a_layer_with_a_name_that_is_longer_than_any_column"
  model <- keras_model(x, inner(x) |> layer_dense(1, name = long))
  table <- function(...) capture.output(summary(model, ...))
  expect_false(any(grepl("within", table())))
  expect_true(any(grepl("> within (Dense)", table(expand_nested = TRUE), fixed = TRUE)))
  expect_false(any(grepl("Trainable ", table()[1:5])))
  expect_true(any(grepl("Trainable ", table(show_trainable = TRUE)[1:5])))
  freeze_weights(model, which = "inner")
  expect_false(any(grepl("Trainable ", table(show_trainable = FALSE)[1:5])))
  expect_match(grep("within", table(expand_nested = TRUE, line_length = 120), value = TRUE), " N ")
  expect_identical(table(compact = FALSE), table())
  narrow <- table(line_length = 60)
  expect_true(all(nchar(narrow, "width") <= 60))
  first <- vapply(strsplit(narrow, "[|\u2502]"), function(cells) if (length(cells) > 1L) trimws(cells[[2L]]) else "", "")
  expect_match(paste(first, collapse = ""), long, fixed = TRUE)
  expect_error(summary(model, wide = TRUE), "Known names", class = "attentive_error_name")
  expect_error(print(model, wide = TRUE), class = "attentive_error_name")
  expect_error(summary(model, expand_nested = 3), class = "attentive_error_argument")
})

test_that("the layer of an input, tensors and variables tell what they have", {
  input <- keras_input(c(NA, 4), name = "tokens")
  model <- keras_model(input, layer_dense(input, units = 2))
  layer <- model$layers[[1]]
  expect_identical(as.integer(layer$batch_shape), c(NA, NA, 4L))
  expect_true("batch_shape" %in% names(layer))
  expect_error(layer$units, class = "attentive_error_name")
  expect_identical(names(input), c("shape", "dtype", "name", "ndim"))
  expect_output(str(input), format(input), fixed = TRUE)
  kernel <- model$weights[[1]]
  expect_true(all(c("name", "shape", "dtype") %in% names(kernel)))
})

test_that("a configuration that JSON has simplified is refused with the way out", {
  skip_if_not_installed("jsonlite")
  input <- keras_input(3)
  stack <- keras_model_sequential(3)
  layer_dense(stack, 2)
  for (model in list(keras_model(input, layer_dense(input, 1)), stack)) {
    config <- get_config(model)
    json <- jsonlite::toJSON(list(class_name = attr(config, "class_name"), config = config), auto_unbox = TRUE, null = "null")
    expect_error(from_config(jsonlite::fromJSON(json)), "simplifyVector = FALSE", class = "attentive_error_config")
    expect_s3_class(from_config(jsonlite::fromJSON(json, simplifyVector = FALSE)), "attentive_model")
  }
})
