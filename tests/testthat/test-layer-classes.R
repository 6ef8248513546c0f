# Classes of layers that users write: the call is traced and becomes nodes.

layer_encoder <- Layer("Encoder",
  initialize = function(heads, width, ...) {
    super$initialize(...)
    self$heads <- heads
    self$width <- width
    self$attention <- layer_multi_head_attention(num_heads = heads, key_dim = width)
    self$dense <- layer_dense(units = width, activation = "relu")
    self$norms <- list(layer_layer_normalization(), layer_layer_normalization())
    self$supports_masking <- TRUE
  },
  call = function(inputs, training = NULL) {
    x <- self$norms[[1]](inputs + self$attention(inputs, inputs, training = training))
    self$norms[[2]](x + self$dense(x))
  }
)

# The same put together by hand from the same layers.
plain_encoder <- function(layer, x) {
  y <- layer$norms[[1]](layer_add(x, layer$attention(x, x)))
  layer$norms[[2]](layer_add(y, layer$dense(y)))
}

test_that("the first argument decides what comes back", {
  layer <- layer_encoder(heads = 2, width = 6)
  expect_s3_class(layer, "attentive_layer")
  expect_false(layer$built)
  x <- wave(c(2, 5, 6))
  expect_equal(dim(layer(x)), c(2, 5, 6))
  expect_true(layer$built)
  expect_equal(dim(layer_encoder(x, heads = 2, width = 6)), c(2, 5, 6))
  tensor <- keras_input(c(5, 6)) |> layer_encoder(2, 6)
  expect_s3_class(tensor, "attentive_tensor")
  expect_identical(dim(tensor), c(NA, 5L, 6L))
  model <- keras_model_sequential(input_shape = c(5, 6)) |> layer_encoder(2, 6, name = "mine")
  expect_identical(model$layers[[1]]$name, "mine")
  expect_identical(names(formals(layer_encoder)), c("object", "heads", "width", "..."))
  expect_identical(dim(layer(object = x)), dim(x))
})

test_that("arrays, a model and the same layers by hand give the same numbers", {
  for (dtype in c("float32", "float64")) {
    local_floatx(dtype)
    layer <- layer_encoder(heads = 2, width = 6)
    x <- wave(c(3, 5, 6))
    layer$build(c(NA, NA, 6))
    fill_weights(layer)
    input <- keras_input(c(NA, 6))
    expected <- plain_encoder(layer, x)
    expect_close(layer(x), expected, if (dtype == "float64") 1e-12 else 1e-5)
    expect_same(keras_model(input, layer(input))(x), layer(x))
    expect_close(layer(x[, 1:2, , drop = FALSE]), plain_encoder(layer, x[, 1:2, , drop = FALSE]), 1e-5)
  }
})

test_that("weights are found in order, counted, frozen and penalized", {
  layer_own <- Layer("Own",
    initialize = function(...) {
      super$initialize(...)
      self$inner <- list(a = layer_dense(units = 2, kernel_regularizer = regularizer_l2(0.1)), b = list(layer_dense(units = 3)))
    },
    build = function(input_shape) {
      self$still <- self$add_weight(shape = 1, initializer = "zeros", trainable = FALSE, name = "still")
      self$scale <- self$add_weight(shape = c(input_shape[[2]]), initializer = "ones", regularizer = "l2", name = "scale")
    },
    call = function(inputs) self$inner$b[[1]](self$inner$a(inputs * self$scale + self$still))
  )
  input <- keras_input(4)
  layer <- layer_own()
  model <- keras_model(input, layer(input))
  expect_identical(lapply(get_weights(layer), dim), list(4L, 1L, c(4L, 2L), 2L, c(2L, 3L), 3L))
  expect_identical(vapply(layer$weights[1:2], function(w) w$path, ""), c("own/scale", "own/still"))
  expect_identical(count_params(model), 4 + 1 + 8 + 2 + 6 + 3)
  expect_length(model$trainable_weights, 5)
  expect_length(layer$losses, 2)
  expect_match(summary(model) |> capture.output() |> paste(collapse = " "), "own \\(Own\\)")
  freeze_weights(model)
  expect_length(model$trainable_weights, 0)
  expect_false(layer$inner$a$trainable)
  unfreeze_weights(model)
  # the penalties are part of the loss
  compile(model, optimizer_sgd(0.1), "mse")
  x <- wave(c(5, 4))
  y <- model(x)
  expect_close(evaluate(model, x, y, verbose = 0)$loss, sum(unlist(layer$losses)), 1e-6)
  # own weights are trained, those that are not stay
  before <- get_weights(layer)
  fit(model, x, wave(c(5, 3), 2), epochs = 2, verbose = 0)
  moved <- mapply(function(a, b) !identical(a, b), before, get_weights(layer))
  expect_identical(moved, c(TRUE, FALSE, TRUE, TRUE, TRUE, TRUE))
})

test_that("gradients reach a layer's own weights", {
  local_floatx("float64")
  layer_scaled <- Layer("Scaled",
    build = function(input_shape) self$w <- self$add_weight(shape = c(2, 3), initializer = wave(c(2, 3)), name = "w"),
    call = function(inputs) exp(self$w * inputs) / (1 + self$w^2)
  )
  layer <- layer_scaled()
  input <- keras_input(c(2, 3))
  case <- list(model = keras_model(input, layer(input)), arrays = list(wave(c(4, 2, 3))), names = "x")
  upstream <- wave(c(4, 2, 3), 3)
  gradient <- model_gradients(case, list(upstream))
  loss <- function() sum(run_model(case) * upstream)
  at <- get_weights(layer)[[1]]
  numeric <- at
  for (i in seq_along(at)) {
    numeric[i] <- (function(h) {
      value <- function(d) { set_weights(layer, list(replace(at, i, at[i] + d))); loss() }
      (value(h) - value(-h)) / (2 * h)
    })(1e-6)
  }
  expect_close(gradient$weights[[1]], numeric, 1e-8)
})

test_that("`training` is known: two traces", {
  layer_both <- Layer("Both", call = function(inputs, training = NULL) if (isTRUE(training)) inputs * 2 else if (isFALSE(training)) inputs * 3 else inputs)
  layer <- layer_both()
  x <- wave(c(3, 2))
  expect_close(layer(x), x, 1e-6)
  expect_close(layer(x, training = TRUE), 2 * x, 1e-6)
  expect_close(layer(x, training = FALSE), 3 * x, 1e-6)
  input <- keras_input(2)
  model <- keras_model(input, layer(input))
  expect_close(predict(model, x, verbose = 0), 3 * x, 1e-6)
  expect_close(model(x, training = TRUE), 2 * x, 1e-6)
  compile(model, "sgd", "mse")
  expect_close(fit(model, x, 2 * x, verbose = 0)$metrics$loss, 0, 1e-10)
  expect_close(evaluate(model, x, 3 * x, verbose = 0)$loss, 0, 1e-10)
  # within another layer, and told to a layer of the package
  layer_around <- Layer("Around",
    initialize = function(...) {
      super$initialize(...)
      self$inner <- layer_both()
      self$dropout <- layer_dropout(rate = 0.5, seed = 1)
    },
    call = function(inputs, training = NULL) self$dropout(self$inner(inputs, training = training), training = training)
  )
  around <- keras_model(input, layer_around(input))
  expect_close(predict(around, x, verbose = 0), 3 * x, 1e-6)
  dropped <- around(x, training = TRUE)
  expect_true(all(dropped == 0 | abs(dropped - 4 * x) < 1e-5) && any(dropped == 0) && any(dropped != 0))
})

test_that("the default of `training` counts where nobody said it", {
  x <- wave(c(3, 2))
  input <- keras_input(2)
  models <- lapply(list(FALSE, TRUE), function(default) {
    method <- function(x, training) if (training) x * 2 else x * 3
    formals(method)$training <- default
    Layer("Default", call = method)
  })
  for (i in 1:2) {
    usual <- if (i == 1L) 3 else 2
    layer <- models[[i]]()
    expect_close(layer(x), usual * x, 1e-6)
    expect_close(layer(x, training = TRUE), 2 * x, 1e-6)
    expect_close(layer(x, training = FALSE), 3 * x, 1e-6)
    layer_around <- Layer("Around", initialize = function(...) {
      super$initialize(...)
      self$inner <- models[[i]]()
    }, call = function(x) self$inner(x))
    for (model in list(keras_model(input, models[[i]]()(input)), keras_model(input, layer_around(input)))) {
      expect_close(model(x), usual * x, 1e-6)
      expect_close(model(x, training = TRUE), 2 * x, 1e-6)
      expect_close(predict(model, x, verbose = 0), 3 * x, 1e-6)
      outer <- keras_model(input, model(input, training = FALSE))
      expect_close(outer(x), 3 * x, 1e-6)
    }
  }
  # the default of an outer layer is told to those within
  layer_told <- Layer("Told", call = function(x, training = NULL) if (isTRUE(training)) x * 2 else x)
  layer_telling <- Layer("Telling", initialize = function(...) {
    super$initialize(...)
    self$inner <- layer_told()
    self$dropout <- layer_dropout(rate = 1)
  }, call = function(x, training = TRUE) list(self$inner(x), self$dropout(x)))
  told <- layer_telling()(x)
  expect_close(told[[1]], 2 * x, 1e-6)
  expect_close(told[[2]], 0 * x, 1e-6)
  expect_close(keras_model(input, layer_telling()(input)[[1]])(x), 2 * x, 1e-6)
  expect_error(Layer("Odd", call = function(x, training = "yes") x)()(x), class = "attentive_error_argument")
  # without a default it is NULL
  expect_close(Layer("Bare", call = function(x, training) if (is.null(training)) x else x * 2)()(x), x, 1e-6)
})

test_that("state that changes in the call is refused in so many words", {
  layer_counting <- Layer("Counting",
    build = function(input_shape) self$total <- self$add_weight(shape = c(), initializer = "zeros", trainable = FALSE, name = "total"),
    call = function(x) {
      self$total$assign(self$total + op_sum(x))
      x
    }
  )
  layer <- layer_counting()
  expect_error(layer(wave(c(2, 3))), "\"counting/total\" cannot be assigned to within", class = "attentive_error_not_yet")
  expect_error(layer(keras_input(3)), "state", class = "attentive_error_not_yet")
  layer$total$assign(2)
  expect_equal(layer$total$value[[1]], 2)
})

# An encoder-decoder in three classes ----------------------------------------------

layer_tokens <- Layer("TokenAndPosition",
  initialize = function(length, words, width, ...) {
    super$initialize(...)
    self$tokens <- layer_embedding(input_dim = words, output_dim = width, mask_zero = TRUE)
    self$length <- length
    self$width <- width
  },
  build = function(input_shape) {
    self$places <- self$add_weight(shape = c(self$length, self$width), initializer = "uniform", name = "places")
  },
  call = function(inputs) self$tokens(inputs) + self$places,
  compute_mask = function(inputs, mask = NULL) self$tokens$compute_mask(inputs)
)

layer_block <- Layer("DecoderBlock",
  initialize = function(heads, width, ...) {
    super$initialize(...)
    self$supports_masking <- TRUE
    self$attend <- list(layer_multi_head_attention(num_heads = heads, key_dim = width), layer_multi_head_attention(num_heads = heads, key_dim = width))
    self$norms <- list(layer_layer_normalization(), layer_layer_normalization(), layer_layer_normalization())
    self$dense <- layer_dense(units = width, activation = "gelu")
  },
  call = function(inputs, context, inputs_mask = NULL, context_mask = NULL) {
    self$seen <- c(inputs = is.null(inputs_mask), context = is.null(context_mask))
    x <- self$norms[[1]](inputs + self$attend[[1]](inputs, inputs, query_mask = inputs_mask, value_mask = inputs_mask, use_causal_mask = TRUE))
    x <- self$norms[[2]](x + self$attend[[2]](x, context, query_mask = inputs_mask, value_mask = context_mask))
    self$norms[[3]](x + self$dense(x))
  }
)

new_translator <- function() {
  source <- keras_input(5, dtype = "int32")
  target <- keras_input(4, dtype = "int32")
  encoded <- source |> layer_tokens(5, 11, 6) |> layer_encoder(heads = 2, width = 6)
  layers <- list(tokens = layer_tokens(length = 4, words = 9, width = 6), block = layer_block(heads = 2, width = 6))
  decoded <- layers$block(layers$tokens(target), context = encoded)
  list(model = keras_model(list(source, target), layer_dense(decoded, 9, activation = "softmax")), layers = layers)
}

source_ids <- matrix(c(3, 5, 0, 0, 0, 1, 2, 4, 10, 0, 7, 7, 1, 2, 3, 9, 0, 0, 0, 0), 4, byrow = TRUE)
target_ids <- matrix(c(1, 2, 0, 0, 5, 6, 7, 8, 3, 3, 3, 0, 8, 1, 1, 0), 4, byrow = TRUE)

test_that("an encoder-decoder of three classes is masked, trained and saved", {
  set.seed(1)
  made <- new_translator()
  model <- made$model
  block <- made$layers$block
  x <- list(source_ids, target_ids)
  before <- predict(model, x, verbose = 0)
  expect_identical(block$seen, c(inputs = FALSE, context = FALSE)) # both masks were told
  # padding is not seen: what stands in it does not matter to the others
  other <- x
  weights <- get_weights(model)
  at <- which(vapply(model$weights, function(w) identical(dim(w$value), c(11L, 6L)), NA))
  moved <- weights
  moved[[at]][1, ] <- 100 # the vector of the padding
  set_weights(model, moved)
  expect_close(predict(model, x, verbose = 0), before, 1e-5)
  set_weights(model, weights)
  # nor does what comes later
  later <- x
  later[[2]][2, 4] <- 1
  expect_same(predict(model, later, verbose = 0)[2, 1:3, ], before[2, 1:3, ])
  compile(model, optimizer_adam(0.02), "sparse_categorical_crossentropy")
  y <- cbind(target_ids[, -1], 0)
  history <- fit(model, x, y, epochs = 6, batch_size = 2, shuffle = FALSE, verbose = 0)
  expect_lt(history$metrics$loss[[6]], history$metrics$loss[[1]])
  # in a new process it goes on as it would here
  file <- withr::local_tempfile(fileext = ".rds")
  answer <- withr::local_tempfile(fileext = ".rds")
  saveRDS(list(model = model, x = x, y = y), file)
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(
    "library(attentive)", sprintf("saved <- readRDS(%s)", deparse(file)), "first <- predict(saved$model, saved$x, verbose = 0)",
    "h <- fit(saved$model, saved$x, saved$y, epochs = 2, batch_size = 2, shuffle = FALSE, verbose = 0)",
    sprintf("saveRDS(list(first = first, loss = h$metrics$loss, weights = get_weights(saved$model)), %s)", deparse(answer))
  ), script)
  first <- predict(model, x, verbose = 0)
  log <- run_r(script)
  history <- fit(model, x, y, epochs = 2, batch_size = 2, shuffle = FALSE, verbose = 0)
  if (!file.exists(answer)) stop(paste(log, collapse = "\n"))
  answer <- readRDS(answer)
  expect_same(answer$first, first)
  expect_identical(answer$loss, history$metrics$loss)
  expect_identical(answer$weights, get_weights(model))
})

test_that("layers called one by one on arrays give what the model gives", {
  local_floatx("float64")
  set.seed(2)
  made <- new_translator()
  model <- made$model
  find <- function(class) Filter(function(layer) attentive:::layer_self(layer)$class_name == class, model$layers)
  tokens <- find("TokenAndPosition")
  encoder <- find("Encoder")[[1]]
  first <- Filter(function(layer) layer$length == 5, tokens)[[1]]
  mask <- first$compute_mask(source_ids)
  expect_identical(mask, source_ids != 0)
  # the encoder has no argument for a mask: its parts do
  x <- first(source_ids)
  y <- encoder$norms[[1]](x + encoder$attention(x, x, query_mask = mask, value_mask = mask))
  encoded <- encoder$norms[[2]](y + encoder$dense(y))
  target_mask <- made$layers$tokens$compute_mask(target_ids)
  decoded <- made$layers$block(made$layers$tokens(target_ids), encoded, inputs_mask = target_mask, context_mask = mask)
  expect_close(model$layers[[length(model$layers)]](decoded), model(list(source_ids, target_ids)), 1e-12)
})

test_that("configurations make the same layers again, and clones have weights of their own", {
  input <- keras_input(c(5, 6))
  model <- keras_model(input, input |> layer_encoder(heads = 2, width = 6, name = "first") |> layer_dense(1))
  config <- get_config(model)
  copy <- from_config(config, custom_objects = list(Encoder = layer_encoder))
  set_weights(copy, get_weights(model))
  x <- wave(c(2, 5, 6))
  expect_same(copy(x), model(x))
  expect_identical(copy$layers[[2]]$name, "first")
  expect_identical(copy$layers[[2]]$heads, 2)
  twin <- clone_model(model)
  expect_false(identical(twin$layers[[2]]$attention, model$layers[[2]]$attention))
  set_weights(twin, get_weights(model))
  expect_same(twin(x), model(x))
  bare <- list(class_name = "Encoder", config = list(name = "e", heads = 2, width = 6))
  expect_error(from_config(bare), class = "attentive_error_config")
  expect_identical(with_custom_object_scope(list(layer_encoder), from_config(bare))$width, 6)
  registered <- register_keras_serializable(layer_encoder, package = "tests")
  expect_identical(from_config(bare)$name, "e")
  session <- attentive:::session
  session$registered <- NULL
  own <- Layer("Own", initialize = function(k, ...) { super$initialize(...); self$k <- k },
    call = function(inputs) inputs * self$k, get_config = function() c(super$get_config(), list(k = self$k)))
  expect_identical(get_config(own(k = 3, name = "o"))[c("name", "k")], list(name = "o", k = 3), ignore_attr = TRUE)
})

test_that("one layer in two places, layers in layers, several outputs, inheritance", {
  x <- wave(c(3, 2, 4))
  input <- keras_input(c(2, 4))
  shared <- layer_encoder(heads = 2, width = 4)
  model <- keras_model(input, shared(shared(input)))
  expect_identical(count_params(model), count_params(shared))
  expect_same(model(x), shared(shared(x)))
  layer_stack <- Layer("Stack",
    initialize = function(n, ...) {
      super$initialize(...)
      self$blocks <- list()
      for (i in seq_len(n)) self$blocks[[i]] <- layer_encoder(heads = 1, width = 4)
    },
    call = function(inputs) {
      all <- list()
      for (i in seq_along(self$blocks)) all[[i]] <- inputs <- self$blocks[[i]](inputs)
      list(last = inputs, first = all[[1]])
    }
  )
  stack <- layer_stack(n = 3)
  made <- stack(input)
  expect_named(made, c("last", "first"))
  whole <- keras_model(input, made)
  answers <- stack(x)
  expect_identical(whole(x), answers)
  expect_same(answers$first, stack$blocks[[1]](x))
  expect_same(answers$last, stack$blocks[[3]](stack$blocks[[2]](answers$first)))
  expect_length(stack$weights, 3 * length(shared$weights))
  # of a class of one's own, and of a layer of the package
  layer_twice <- Layer("Twice", inherit = layer_encoder, call = function(inputs, training = NULL) super$call(inputs) * 2)
  twice <- layer_twice(heads = 2, width = 4)
  twice$build(c(NA, 2, 4))
  set_weights(twice, get_weights(shared))
  expect_close(twice(x), 2 * shared(x), 1e-6)
  layer_half <- Layer("Half", inherit = layer_dense, call = function(inputs) super$call(inputs) / 2)
  half <- layer_half(units = 3)
  y <- half(x)
  expect_identical(lapply(get_weights(half), dim), list(c(4L, 3L), 3L))
  expect_identical(half$units, 3L)
  expect_close(y, plain_dense(x, get_weights(half)[[1]]) / 2, 1e-6)
})

test_that("a field that changes is traced anew", {
  layer_times <- Layer("Times", initialize = function(k, ...) { super$initialize(...); self$k <- k }, call = function(inputs) inputs * self$k)
  layer <- layer_times(k = 2)
  input <- keras_input(2)
  model <- keras_model(input, layer(input))
  x <- wave(c(3, 2))
  expect_close(model(x), 2 * x, 1e-6)
  layer$k <- 5
  expect_close(model(x), 5 * x, 1e-6)
  expect_close(layer(x), 5 * x, 1e-6)
})

test_that("what cannot be is said", {
  make <- function(...) Layer("Wrong", ...)
  x <- wave(c(2, 3))
  outside <- layer_dense(units = 2)
  cases <- list(
    argument = list(quote(make(call = function(inputs) if (inputs > 0) inputs else -inputs)(x)), "failed on symbolic tensors"),
    argument = list(quote(make(call = function(inputs) matrix(1, 2, 2))(x)), "must give a symbolic tensor"),
    argument = list(quote(make(call = function(inputs) stop("oh no"))(x)), "oh no"),
    argument = list(quote(make(call = 3)), "`call` must be a function"),
    argument = list(quote(make()()), "no method `call`"),
    argument = list(quote(make(call = function(inputs) inputs, inherit = mean)), "`inherit`"),
    state = list(quote(make(call = function(inputs) outside(inputs))(x)), "not the layer's own"),
    state = list(quote(make(call = function(inputs) { self$d <- layer_dense(units = 1); self$d(inputs) })(x)), "makes the layer"),
    state = list(quote(make(call = function(inputs) inputs * self$add_weight(1))(x)), "makes a weight"),
    name = list(quote(make(call = function(inputs) inputs)()(x, other = 1)), "It takes `inputs`"),
    name = list(quote(make(call = function(inputs) inputs)(nme = "a")), "nme"),
    name = list(quote(make(initialize = function(...) { super$initialize(...); self$weights <- 1 }, call = function(inputs) inputs)()), "cannot be set"),
    shape = list(quote(make(build = function(input_shape) self$add_weight(c(NA, 2)), call = function(inputs) inputs)(x)), "`shape`"),
    not_yet = list(quote(make(call = function(inputs) { self$add_loss(inputs); inputs })(x)), "add_loss")
  )
  for (i in seq_along(cases)) {
    expect_error(eval(cases[[i]][[1]]), cases[[i]][[2]], class = paste0("attentive_error_", names(cases)[[i]]))
  }
})

test_that("a call is told the masks as Keras tells them", {
  ids <- keras_input(3, dtype = "int32")
  x <- matrix(c(1, 2, 0, 3, 0, 0), 2, byrow = TRUE)
  embedded <- layer_embedding(ids, 5, 2, mask_zero = TRUE)
  # a mask in its numbers; the call needs one
  layer_masked <- Layer("Masked", call = function(inputs, mask = NULL) inputs * op_expand_dims(op_cast(mask, "float32"), -1))
  model <- keras_model(ids, list(layer_masked(embedded), embedded))
  answers <- model(x)
  expect_same(answers[[1]], answers[[2]] * as.vector(x != 0))
  ones <- array(1, c(2, 3, 2))
  expect_same(layer_masked()(ones, mask = x != 0), ones * as.vector(x != 0))
  # a list of masks for a list; none where there is none
  layer_two <- Layer("Two", call = function(inputs, mask = NULL) if (is.null(mask)) inputs[[1]] else if (is.null(mask[[2]])) inputs[[1]] * 2 else inputs[[1]] * 3)
  plain <- layer_embedding(ids, 5, 2)
  told <- function(tensors) keras_model(ids, list(layer_two(tensors), tensors[[1]]))(x)
  for (case in list(list(list(plain, plain), 1), list(list(embedded, plain), 2), list(list(embedded, embedded), 3))) {
    answers <- told(case[[1]])
    expect_close(answers[[1]], case[[2]] * answers[[2]], 1e-6)
  }
  # a mask goes on where the layer supports it: the average leaves the padding out
  for (supports in c(FALSE, TRUE)) {
    layer_through <- Layer("Through",
      initialize = function(...) { super$initialize(...); self$supports_masking <- supports }, call = function(inputs) inputs + 0
    )
    answers <- keras_model(ids, list(layer_global_average_pooling_1d(layer_through(embedded)), embedded))(x)
    keep <- if (supports) x != 0 else x == x
    expected <- vapply(1:2, function(j) rowSums(answers[[2]][, , j] * keep) / rowSums(keep), numeric(2))
    expect_close(answers[[1]], expected, 1e-6)
  }
  # as a mask of pairs
  layer_pairs <- Layer("Pairs",
    initialize = function(...) { super$initialize(...); self$attend <- layer_multi_head_attention(num_heads = 1, key_dim = 2) },
    call = function(inputs, mask = NULL) self$attend(inputs, inputs, attention_mask = op_expand_dims(mask, 2))
  )
  pairs <- layer_pairs()
  model <- keras_model(ids, list(pairs(embedded), embedded))
  answers <- model(x)
  by_hand <- pairs$attend(answers[[2]], answers[[2]], attention_mask = array(x != 0, c(2, 1, 3)))
  # the mask of the tensors themselves acts, too: rows of padding see nothing
  expect_close(answers[[1]][1, 1:2, ], by_hand[1, 1:2, ], 1e-6)
  copy <- from_config(get_config(model))
  set_weights(copy, get_weights(model))
  expect_same(copy(x)[[1]], answers[[1]])
})

test_that("a class may say its own shapes", {
  layer_halves <- Layer("Halves",
    call = function(inputs) list(inputs[, 1:2], inputs[, 3:4]),
    compute_output_shape = function(input_shape) {
      half <- shape(input_shape[[1]], input_shape[[2]] / 2)
      list(half, half)
    }
  )
  expect_equal(lapply(layer_halves()$compute_output_shape(c(NA, 4)), as.integer), list(c(NA, 2L), c(NA, 2L)))
  layer_sum <- Layer("Sum", call = function(inputs) op_sum(inputs, axis = -1), compute_output_shape = function(input_shape) input_shape[[1]])
  layer <- layer_sum()
  expect_equal(as.integer(layer$compute_output_shape(c(7, 4))), 7L)
  expect_equal(as.vector(layer(wave(c(7, 4)))), rowSums(wave(c(7, 4))), tolerance = 1e-6)
})

test_that("a method sees the fields of its layer", {
  seen <- NULL
  layer_watched <- Layer("Watched",
    build = function(input_shape) {
      self$w <- self$add_weight(shape = list(input_shape[[2]]), initializer = "ones")
      self$trainable <- FALSE
      self$name <- "renamed"
    },
    call = function(inputs) {
      seen <<- list(name = self$name, trainable = self[["trainable"]], weights = length(self$weights), nothing = self$nothing)
      inputs * self$w
    }
  )
  layer <- layer_watched()
  expect_equal(layer(wave(c(2, 3))), wave(c(2, 3)), tolerance = 1e-6)
  expect_identical(seen, list(name = "renamed", trainable = FALSE, weights = 1L, nothing = NULL))
  expect_identical(layer$name, "renamed")
  expect_length(layer$trainable_weights, 0)
})
