# A table of wrong calls: what each must raise, that its message stays as it is (a snapshot), and that the layers are as before.

wave <- function(dim, k = 1) array(sin(seq_len(prod(dim)) * k), dim)

# The expressions see: `layer` (built for [., ., 6] and [., ., 3] in double precision), `fresh` (not built), `deep` (built for rank 4,
# axis 2), `dropping` (with dropout), arrays x [2, 4, 6] and y [2, 5, 3], `weights` of `layer`, `mha` (the constructor).
scene <- function() {
  scene <- new.env()
  with(scene, {
    mha <- layer_multi_head_attention
    x <- wave(c(2, 4, 6))
    y <- wave(c(2, 5, 3), 0.7)
    layer <- mha(num_heads = 2, key_dim = 3, name = "built", dtype = "float64", seed = 1)
    layer(x, y)
    weights <- get_weights(layer)
    fresh <- mha(num_heads = 2, key_dim = 3, name = "fresh", seed = 2)
    deep <- mha(num_heads = 2, key_dim = 3, attention_axes = 2, name = "deep", seed = 3)
    deep(wave(c(2, 3, 4, 6)))
    dropping <- mha(num_heads = 2, key_dim = 3, dropout = 0.5, name = "dropping", seed = 4)
    dropping(x, y)
  })
  scene
}

state_of <- function(scene) {
  lapply(mget(c("layer", "fresh", "deep", "dropping"), scene), function(layer) {
    list(layer$name, layer$built, layer$trainable, get_weights(layer), get_config(layer))
  })
}

wrong_calls <- alist(
  # -- constructor: sizes
  argument = mha(),
  argument = mha(key_dim = 3),
  argument = mha(num_heads = 2),
  argument = mha(num_heads = 0, key_dim = 3),
  argument = mha(num_heads = -2, key_dim = 3),
  argument = mha(num_heads = 2.7, key_dim = 3),
  argument = mha(num_heads = "2", key_dim = 3),
  argument = mha(num_heads = NA, key_dim = 3),
  argument = mha(num_heads = NA_real_, key_dim = 3),
  argument = mha(num_heads = NaN, key_dim = 3),
  argument = mha(num_heads = Inf, key_dim = 3),
  argument = mha(num_heads = c(2, 3), key_dim = 3),
  argument = mha(num_heads = NULL, key_dim = 3),
  argument = mha(num_heads = TRUE, key_dim = 3),
  argument = mha(num_heads = list(2), key_dim = 3),
  argument = mha(num_heads = factor(2), key_dim = 3),
  argument = mha(num_heads = 3e9, key_dim = 3),
  argument = mha(num_heads = numeric(), key_dim = 3),
  argument = mha(num_heads = 2i, key_dim = 3),
  argument = mha(num_heads = mean, key_dim = 3),
  argument = mha(num_heads = 2, key_dim = 0),
  argument = mha(num_heads = 2, key_dim = 1.5),
  argument = mha(num_heads = 2, key_dim = "a"),
  argument = mha(num_heads = 2, key_dim = as.Date("2020-01-01")),
  argument = mha(num_heads = 2, key_dim = 3, value_dim = 0),
  argument = mha(num_heads = 2, key_dim = 3, value_dim = -1),
  argument = mha(num_heads = 2, key_dim = 3, value_dim = FALSE),
  argument = mha(num_heads = 2, key_dim = 3, dropout = 1.5),
  argument = mha(num_heads = 2, key_dim = 3, dropout = -0.1),
  argument = mha(num_heads = 2, key_dim = 3, dropout = NULL),
  argument = mha(num_heads = 2, key_dim = 3, dropout = NA_real_),
  argument = mha(num_heads = 2, key_dim = 3, dropout = "0.1"),
  argument = mha(num_heads = 2, key_dim = 3, dropout = c(0.1, 0.2)),
  argument = mha(num_heads = 2, key_dim = 3, use_bias = NA),
  argument = mha(num_heads = 2, key_dim = 3, use_bias = 1),
  argument = mha(num_heads = 2, key_dim = 3, use_bias = "yes"),
  argument = mha(num_heads = 2, key_dim = 3, use_bias = c(TRUE, FALSE)),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = 0),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = 8.5),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = c(2, NA)),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = "8"),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = integer()),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = list(2, "3")),
  argument = mha(num_heads = 2, key_dim = 3, output_shape = shape(NA, 3)),
  # -- constructor: axes
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = 0),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = c(1, 1)),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = integer()),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = 1.5),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = "1"),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = NA),
  argument = mha(num_heads = 2, key_dim = 3, attention_axes = list(1, c(2, 3))),
  argument = mha(list(x, x), num_heads = 2, key_dim = 3, attention_axes = 2),
  argument = mha(list(x, x), num_heads = 2, key_dim = 3, attention_axes = -1),
  argument = mha(list(x, x), num_heads = 2, key_dim = 3, attention_axes = -3),
  argument = mha(wave(c(1, 2, 3, 4)), num_heads = 2, key_dim = 3, attention_axes = c(1, -3)),
  # -- constructor: the dots
  name = mha(num_heads = 2, key_dim = 3, nonsense = 1),
  name = mha(num_heads = 2, key_dim = 3, use_gates = TRUE),
  name = mha(num_heads = 2, key_dim = 3, weights = list()),
  name = mha(num_heads = 2, key_dim = 3, input_dim = 4),
  name = mha(NULL, 2, 3, 3, 0, TRUE, NULL, NULL, "zeros", "zeros", NULL, NULL, NULL, NULL, NULL, 5),
  argument = mha(num_heads = 2, key_dim = 3, sliding_window = 0),
  argument = mha(num_heads = 2, key_dim = 3, sliding_window = 2.5),
  argument = mha(num_heads = 2, key_dim = 3, sliding_window = TRUE),
  argument = mha(num_heads = 2, key_dim = 3, use_gate = "yes"),
  argument = mha(num_heads = 2, key_dim = 3, flash_attention = "auto"),
  argument = mha(num_heads = 2, key_dim = 3, seed = 1.5),
  argument = mha(num_heads = 2, key_dim = 3, seed = "a"),
  argument = mha(num_heads = 2, key_dim = 3, seed = c(1, 2)),
  argument = mha(num_heads = 2, key_dim = 3, name = 7),
  argument = mha(num_heads = 2, key_dim = 3, name = ""),
  argument = mha(num_heads = 2, key_dim = 3, name = "a/b"),
  argument = mha(num_heads = 2, key_dim = 3, trainable = NA),
  argument = mha(num_heads = 2, key_dim = 3, trainable = "no"),
  argument = mha(num_heads = 2, key_dim = 3, dtype = "float16"),
  argument = mha(num_heads = 2, key_dim = 3, dtype = 32),
  argument = mha(num_heads = 2, key_dim = 3, dtype = c("float32", "float64")),
  # -- constructor: specifications
  name = mha(num_heads = 2, key_dim = 3, kernel_initializer = "glorot"),
  name = mha(num_heads = 2, key_dim = 3, kernel_regularizer = "l3"),
  name = mha(num_heads = 2, key_dim = 3, kernel_constraint = "positive"),
  argument = mha(num_heads = 2, key_dim = 3, kernel_initializer = NA),
  argument = mha(num_heads = 2, key_dim = 3, bias_initializer = c("zeros", "ones")),
  argument = mha(num_heads = 2, key_dim = 3, kernel_initializer = ~ x),
  argument = mha(num_heads = 2, key_dim = 3, bias_constraint = TRUE),
  # -- first argument
  argument = mha(1, 2, 3),
  argument = mha(2, 3),
  argument = mha("x", 2, 3),
  argument = mha(list(), 2, 3),
  argument = mha(data.frame(a = 1), 2, 3),
  argument = mha(mean, 2, 3),
  argument = mha(list(x, "y"), 2, 3),
  argument = mha(list(list(x, x)), 2, 3),
  shape = mha(matrix(0, 4, 6), 2, 3),
  name = mha(list(q = x, v = x), 2, 3),
  name = mha(list(query = x, mask = matrix(TRUE, 4, 4)), 2, 3),
  name = mha(list(query = x, query = x), 2, 3),
  # -- call: arrays
  argument = layer(),
  argument = layer(NULL),
  argument = layer(1:5),
  argument = layer("text"),
  argument = layer(list(x, y)),
  argument = layer(data.frame(a = 1:3)),
  argument = layer(x, 1),
  argument = layer(x, y, TRUE),
  argument = layer(array("a", c(2, 4, 6))),
  argument = layer(array(1i, c(2, 4, 6))),
  argument = layer(array(list(1), c(2, 4, 6))),
  argument = layer(mean, y),
  shape = layer(matrix(0, 4, 6)),
  shape = layer(x, matrix(0, 5, 3)),
  shape = layer(array(0, 6)),
  shape = layer(wave(c(2, 4, 7)), y),
  shape = layer(x, wave(c(2, 5, 4))),
  shape = layer(x, y, wave(c(2, 5, 9))),
  shape = layer(x, y, wave(c(2, 6, 3))),
  shape = layer(x, wave(c(3, 5, 3))),
  shape = layer(x, wave(c(1, 5, 3))),
  shape = layer(x, wave(c(2, 5, 1, 3))),
  shape = layer(wave(c(2, 3, 4, 6)), wave(c(2, 3, 5, 3))),
  shape = fresh(x, wave(c(2, 4, 1, 6))),
  shape = fresh(x, y, wave(c(2, 4, 3))),
  shape = fresh(array(0, c(2, 4, 0))),
  shape = deep(wave(c(2, 3, 4, 6)), wave(c(2, 2, 4, 6))),
  shape = deep(x),
  name = layer(x, y, mask = matrix(TRUE, 4, 5)),
  name = layer(x, values = y),
  name = layer(x, y, y, NULL, NULL, NULL, NULL, FALSE, NULL, FALSE, 1),
  name = layer(object = x, query = x),
  # -- call: masks
  mask = layer(x, y, attention_mask = matrix(TRUE, 5, 4)),
  mask = layer(x, y, attention_mask = matrix(TRUE, 2, 5)),
  mask = layer(x, y, attention_mask = matrix(TRUE, 4, 6)),
  mask = layer(x, y, attention_mask = rep(TRUE, 5)),
  mask = layer(x, y, attention_mask = TRUE),
  mask = layer(x, y, attention_mask = array(TRUE, c(3, 4, 5))),
  mask = layer(x, y, attention_mask = array(TRUE, c(2, 3, 4, 5))),
  mask = layer(x, y, attention_mask = array(TRUE, c(1, 2, 2, 4, 5))),
  mask = layer(x, y, attention_mask = matrix(c(0, -1e9), 4, 5)),
  mask = layer(x, y, attention_mask = matrix(c(0, -Inf), 4, 5)),
  mask = layer(x, y, attention_mask = matrix(0.5, 4, 5)),
  mask = layer(x, y, attention_mask = matrix(2L, 4, 5)),
  mask = layer(x, y, attention_mask = matrix(NA, 4, 5)),
  mask = layer(x, y, attention_mask = matrix(c(1, NaN), 4, 5)),
  mask = layer(x, y, attention_mask = matrix("TRUE", 4, 5)),
  mask = layer(x, y, attention_mask = list(TRUE)),
  mask = layer(x, y, attention_mask = mean),
  mask = layer(x, y, value_mask = matrix(TRUE, 5, 2)),
  mask = layer(x, y, value_mask = matrix(TRUE, 2, 4)),
  mask = layer(x, y, value_mask = rep(TRUE, 5)),
  mask = layer(x, y, value_mask = matrix(c(1, NA), 2, 5)),
  mask = layer(x, y, value_mask = matrix(3, 2, 5)),
  mask = layer(x, y, value_mask = array(TRUE, c(2, 4, 5))),
  mask = layer(x, y, value_mask = "padding"),
  mask = layer(x, y, query_mask = matrix(TRUE, 2, 5)),
  mask = layer(x, y, query_mask = matrix(-1, 2, 4)),
  mask = layer(x, y, key_mask = matrix(TRUE, 3, 5)),
  mask = layer(x, y, key_mask = factor(c("a", "b"))),
  mask = fresh(x, y, attention_mask = matrix(TRUE, 5, 4)),
  mask = deep(wave(c(2, 3, 4, 6)), value_mask = matrix(TRUE, 2, 3)),
  # -- call: options
  argument = layer(x, y, return_attention_scores = NA),
  argument = layer(x, y, return_attention_scores = 1),
  argument = layer(x, y, return_attention_scores = "yes"),
  argument = layer(x, y, use_causal_mask = NULL),
  argument = layer(x, y, use_causal_mask = "TRUE"),
  argument = layer(x, y, training = "yes"),
  argument = layer(x, y, training = NA),
  argument = layer(x, y, threads = 0),
  # -- building
  name = fresh$build(),
  shape = fresh$build("a"),
  shape = fresh$build(c(NA, NA, NA)),
  shape = fresh$build(c(2, 4)),
  shape = fresh$build(c(2, 4, 6), c(2, 5)),
  shape = fresh$build(c(2, 4, 6.5)),
  shape = fresh$build(c(2, 4, 0)),
  shape = fresh$build(c(2, 4, 6), c(2, 5, 3), c(2, 6, 3)),
  shape = fresh$build(c(2, 4, 6), c(3, 5, 3)),
  shape = fresh$build(list("a", 4, 6)),
  name = fresh$build(shape = c(2, 4, 6)),
  name = fresh$build(c(2, 4, 6), c(2, 5, 3), c(2, 5, 3), c(2, 5, 3)),
  shape = fresh$compute_output_shape(c(2, 4, 8), c(2, 2, 7), c(2, 3, 7)),
  shape = fresh$compute_output_shape(c(2, 4)),
  # -- weights
  weights = set_weights(layer, list()),
  weights = set_weights(layer, weights[-1]),
  weights = set_weights(layer, c(weights, list(1))),
  weights = set_weights(layer, rev(weights)),
  weights = set_weights(layer, replace(weights, 8, list(array(0, 7)))),
  weights = set_weights(layer, replace(weights, 2, list(as.vector(weights[[2]])))),
  weights = set_weights(layer, replace(weights, 1, list(aperm(weights[[1]])))),
  weights = set_weights(layer, replace(weights, 1, list("a"))),
  weights = set_weights(layer, replace(weights, 1, list(NULL))),
  weights = set_weights(layer, replace(weights, 5, list(weights[[5]] * 1i))),
  weights = set_weights(layer, unlist(weights)),
  weights = set_weights(layer, "weights"),
  weights = set_weights(layer, as.data.frame(1:8)),
  weights = set_weights(fresh, weights),
  weights = layer$weights[[1]]$assign(1),
  weights = layer$weights[[1]]$assign(array(0, c(2, 6, 3))),
  weights = layer$weights[[8]]$assign(1:5),
  weights = layer$weights[[8]]$assign("a"),
  argument = get_weights(layer, trainable = "yes"),
  state = count_params(fresh),
  # -- fields
  name = layer$nonsense,
  name = layer$num_head,
  name = (layer$name <- "other"),
  name = (layer$weights <- weights),
  argument = (layer$trainable <- NA),
  argument = (layer$trainable <- 1),
  argument = layer[[1]],
  name = layer$query_dense$weight,
  name = layer$weights[[1]]$nonsense,
  name = {
    kernel <- layer$weights[[1]]
    kernel$shape <- c(1, 2)
  },
  # -- objects that are no layer
  argument = get_weights(1),
  argument = set_weights("layer", list()),
  argument = count_params(mean),
  argument = get_config(list()),
  # -- configurations
  config = from_config(NULL),
  config = from_config(1),
  config = from_config(list()),
  config = from_config(list(num_heads = 2, key_dim = 3)),
  config = from_config(list(class_name = "MultiHeadAttention")),
  config = from_config(list(class_name = "Dence", config = list())),
  config = from_config(list(class_name = "MultiHeadAttentions", config = list())),
  argument = from_config(list(class_name = "MultiHeadAttention", config = list(num_heads = 2))),
  argument = from_config(list(class_name = "MultiHeadAttention", config = list(num_heads = 2.5, key_dim = 3))),
  argument = from_config(list(class_name = "MultiHeadAttention", config = list(num_heads = 2, key_dim = 3, dtype = "int8"))),
  # -- session and shapes
  argument = clear_session("all"),
  shape = shape("a"),
  shape = shape(1.5)
)

# What a user reads: the head of the call that is blamed, and the message.
raise <- function(code, scene) {
  condition <- tryCatch(
    {
      eval(code, scene)
      NULL
    },
    error = identity, warning = identity
  )
  if (is.null(condition)) return(list(text = "no error"))
  blamed <- if (is.null(conditionCall(condition))) "" else paste0(" in `", deparse(conditionCall(condition)[[1]], nlines = 1), "()`")
  list(condition = condition, text = paste0("Error", blamed, ":\n", rlang::cnd_message(condition)))
}

test_that("every wrong call raises an error of its class and leaves the layers as they were", {
  expect_gt(length(wrong_calls), 80)
  scene <- scene()
  before <- state_of(scene)
  for (i in seq_along(wrong_calls)) {
    code <- paste(deparse(wrong_calls[[i]]), collapse = " ")
    condition <- raise(wrong_calls[[i]], scene)$condition
    expected <- paste0("attentive_error_", names(wrong_calls)[i])
    expect(inherits(condition, expected) && inherits(condition, "attentive_error"), sprintf(
      "`%s` gave %s, not %s.", code, if (is.null(condition)) "no error" else paste(class(condition)[1], conditionMessage(condition)), expected
    ))
    expect(identical(state_of(scene), before), sprintf("`%s` changed a layer.", code))
  }
})

test_that("every message is as it was", {
  scene <- scene()
  report <- unlist(lapply(wrong_calls, function(code) {
    c(paste(">", paste(deparse(code, width.cutoff = 120), collapse = "\n> ")), raise(code, scene)$text, "")
  }), use.names = FALSE)
  expect_snapshot(writeLines(report))
})

test_that("no message names the package's inner workings, and every one ends as a sentence", {
  scene <- scene()
  for (code in wrong_calls) {
    condition <- raise(code, scene)$condition
    lines <- strsplit(rlang::cnd_message(condition), "\n")[[1]]
    expect_match(paste(lines, collapse = " "), "[.?)`]$", label = paste(deparse(code), collapse = ""))
    expect_false(any(grepl("attentive:::|self\\$|<environment>|function \\(", lines)), label = paste(deparse(code), collapse = ""))
  }
})

test_that("an error in the middle of set_weights() changes none of the weights", {
  scene <- scene()
  mixed <- lapply(scene$weights, function(w) w + 1)
  mixed[[7]] <- "not numbers"
  expect_error(set_weights(scene$layer, mixed), class = "attentive_error_weights")
  expect_identical(get_weights(scene$layer), scene$weights)
})

test_that("a first call that fails leaves the layer not built", {
  scene <- scene()
  with(scene, {
    for (call in list(
      quote(fresh(x, y, attention_mask = matrix(TRUE, 9, 9))), quote(fresh(x, y, value_mask = matrix(2, 2, 5))),
      quote(fresh(x, wave(c(2, 5, 3)), wave(c(2, 4, 3)))), quote(fresh(x, y, use_causal_mask = NA))
    )) {
      expect_error(eval(call), class = "attentive_error")
      expect_false(fresh$built)
    }
  })
})

test_that("errors can be caught by their kind", {
  for (kind in c("attentive_error_argument", "attentive_error", "rlang_error", "error")) {
    expect_identical(tryCatch(layer_multi_head_attention(num_heads = 2.7, key_dim = 3), error = function(e) inherits(e, kind)), TRUE)
  }
})

test_that("sizes that are right but beyond all memory are a classed error, and leave the layer as it was", {
  tokens <- array(0, c(1, 3e6, 1))
  long <- layer_multi_head_attention(num_heads = 2, key_dim = 1)
  long$build(dim(tokens), dim(tokens))
  expect_error(long(tokens, return_attention_scores = TRUE), "not enough memory", class = "attentive_error_memory") # 144 TB
  expect_error(long(tokens, return_attention_scores = "mean"), class = "attentive_error_memory")
  heads <- layer_multi_head_attention(num_heads = 2e9, key_dim = 2e9) # beyond the address space
  expect_error(heads$build(c(2, 4, 6), c(2, 4, 6)), class = "attentive_error_memory")
  expect_false(heads$built)
  expect_error(initializer_he_normal()(c(1e7, 1e7)), class = "attentive_error_memory")
  expect_error(layer_dense(keras_input(1e7), 1e9), class = "attentive_error_memory")
  expect_error(layer_embedding(keras_input(3, dtype = "int32"), 1e7, 1e9), class = "attentive_error_memory")
})

test_that("a hint names the one that begins alike", {
  expect_error(layer_attention(score_mode = "con"), "Did you mean \"concat\"", class = "attentive_error_argument")
  expect_error(callback_lambda(on_batch_end = identity), "Did you mean \"on_epoch_end\"", class = "attentive_error_name")
})

test_that("an argument that is missing is named", {
  missing_ones <- list(
    shape = quote(initializer_zeros()()), x = quote(regularizer_l1()()), w = quote(constraint_nonneg()()), classname = quote(Layer(call = function(x) x)),
    classname = quote(Constraint(call = function(w) w)), classname = quote(Callback(on_epoch_end = function(...) 1)), y_true = quote(loss_huber()()),
    y_pred = quote(metric_auc()(1)), y_true = quote(metric_auc()$update_state()), values = quote(metric_mean()())
  )
  for (i in seq_along(missing_ones)) {
    error <- expect_error(eval(missing_ones[[i]]), class = "attentive_error_argument")
    expect_match(conditionMessage(error), sprintf("`%s` is missing", names(missing_ones)[[i]]), fixed = TRUE)
  }
})
