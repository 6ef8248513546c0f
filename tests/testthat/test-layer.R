# The layer as an object: what it is called, what it holds, how it is saved, copied and shown.

wave <- function(dim, k = 1) array(sin(seq_len(prod(dim)) * k), dim)
small <- function(...) layer_multi_head_attention(num_heads = 2, key_dim = 3, ...)
x <- wave(c(2, 4, 6))
y <- wave(c(2, 5, 3), 0.7)

# ---- construction --------------------------------------------------------------------------------------------------------------

test_that("the first 16 formals are keras3 1.0.0's, in its order", {
  expect_identical(names(formals(layer_multi_head_attention)), c(
    "inputs", "num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes",
    "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
    "kernel_constraint", "bias_constraint", "..."
  ))
  defaults <- formals(layer_multi_head_attention)
  expect_identical(defaults$dropout, 0)
  expect_identical(defaults$use_bias, TRUE)
  expect_identical(defaults$kernel_initializer, "glorot_uniform")
  expect_identical(defaults$bias_initializer, "zeros")
  for (name in c("value_dim", "output_shape", "attention_axes", "kernel_regularizer", "bias_constraint")) {
    expect_null(defaults[[name]], label = name)
  }
})

test_that("without inputs, with NULL or an empty slot the value is a layer, not built", {
  for (layer in list(small(), small(inputs = NULL), layer_multi_head_attention(, 2, 3), layer_multi_head_attention(NULL, 2, 3))) {
    expect_true(is.function(layer))
    expect_s3_class(layer, "attentive_layer")
    expect_false(layer$built)
    expect_identical(layer$weights, list())
    expect_identical(get_weights(layer), list())
    expect_identical(layer$num_heads, 2L)
  }
})

test_that("constructor values can be read back", {
  layer <- layer_multi_head_attention(
    num_heads = 2, key_dim = 3, value_dim = 5, dropout = 0.25, use_bias = FALSE, output_shape = c(2, 3),
    use_gate = TRUE, sliding_window = 4, seed = 7, name = "mine", trainable = FALSE, dtype = "float64", flash_attention = TRUE && FALSE
  )
  expect_identical(layer$num_heads, 2L)
  expect_identical(layer$key_dim, 3L)
  expect_identical(layer$value_dim, 5L)
  expect_equal(layer$dropout, 0.25)
  expect_false(layer$use_bias)
  expect_true(layer$use_gate)
  expect_identical(as.integer(layer$sliding_window), 4L)
  expect_equal(layer$seed, 7)
  expect_identical(layer$name, "mine")
  expect_identical(layer$path, "mine")
  expect_false(layer$trainable)
  expect_identical(layer$dtype, "float64")
  expect_true(layer$supports_masking)
  plain <- small()
  expect_identical(plain$value_dim, 3L)
  expect_true(plain$trainable)
  expect_identical(plain$dtype, "float32")
  expect_null(plain$seed)
  expect_null(plain$sliding_window)
})

test_that("whole doubles, lists and shapes are fine for sizes; partial names of arguments match as in any R function", {
  expect_identical(small(value_dim = 4)$value_dim, 4L)
  for (sizes in list(c(2, 3), 2:3, list(2, 3), list(2L, 3L), shape(2, 3))) {
    expect_identical(dim(small(output_shape = sizes)(x, y)), c(2L, 4L, 2L, 3L))
  }
  for (one in list(7, 7L, list(7), shape(7))) expect_identical(dim(small(output_shape = one)(x, y)), c(2L, 4L, 7L))
  for (axes in list(c(1, 2), 1:2, list(1, 2), list(1L, 2L), c(-3, -2))) {
    expect_identical(dim(small(attention_axes = axes)(wave(c(1, 2, 3, 4)))), c(1L, 2L, 3L, 4L))
  }
  expect_identical(layer_multi_head_attention(num = 2, key_d = 3)$key_dim, 3L)
})

test_that("new arguments are accepted after the dots, NULL included", {
  layer <- small(seed = NULL, sliding_window = NULL, use_gate = FALSE, name = NULL, trainable = TRUE, dtype = NULL, flash_attention = NULL)
  expect_identical(layer$dtype, "float32")
  for (flash in list(TRUE, FALSE, NULL)) expect_false(small(flash_attention = flash)$built)
})

# ---- names ---------------------------------------------------------------------------------------------------------------------

test_that("automatic names count up as Keras's do and start anew with clear_session()", {
  clear_session()
  expect_identical(small()$name, "multi_head_attention")
  expect_identical(small()$name, "multi_head_attention_1")
  expect_identical(small(name = "own")$name, "own")
  expect_identical(small()$name, "multi_head_attention_2")
  clear_session()
  expect_identical(small()$name, "multi_head_attention")
})

test_that("a failed construction does not use up a name", {
  clear_session()
  expect_error(small(sliding_window = -1), class = "attentive_error")
  expect_error(small(unknown = 1), class = "attentive_error")
  expect_identical(small()$name, "multi_head_attention")
})

# ---- building ------------------------------------------------------------------------------------------------------------------

test_that("weights come in Keras's order with its names, paths and shapes", {
  layer <- small(name = "mha", value_dim = 4, output_shape = c(7, 2), use_gate = TRUE)
  layer$build(c(NA, NA, 6), c(NA, NA, 5), c(NA, NA, 8))
  expect_true(layer$built)
  parts <- c("query", "key", "gate", "value", "attention_output")
  expect_identical(vapply(layer$weights, function(w) w$path, ""), paste0("mha/", rep(parts, each = 2), c("/kernel", "/bias")))
  expect_identical(vapply(layer$weights, function(w) w$name, ""), rep(c("kernel", "bias"), 5))
  expect_identical(lapply(get_weights(layer), dim), list(
    c(6L, 2L, 3L), c(2L, 3L), c(8L, 2L, 3L), c(2L, 3L), c(6L, 2L, 4L), c(2L, 4L), c(5L, 2L, 4L), c(2L, 4L), c(2L, 4L, 7L, 2L), c(7L, 2L)
  ))
  expect_identical(lapply(layer$weights, function(w) as.integer(unlist(w$shape))), lapply(get_weights(layer), dim))
  expect_length(built_layer(list(num_heads = 1, key_dim = 1, use_bias = FALSE), x)$weights, 4)
  expect_length(built_layer(list(num_heads = 1, key_dim = 1, use_bias = FALSE, use_gate = TRUE), x)$weights, 5)
})

test_that("a bias is a one-dimensional array", {
  layer <- small()
  layer(x, y)
  bias <- get_weights(layer)[[8]]
  expect_true(is.array(bias))
  expect_identical(dim(bias), 6L)
})

test_that("build() takes shapes with unknown sizes in every form", {
  forms <- list(
    list(c(NA, NA, 6), c(NA, NA, 3)), list(shape(NA, 4, 6), shape(NA, 5, 3)), list(list(NULL, 4L, 6L), list(NULL, 5L, 3L)),
    list(c(2, 4, 6), c(2, 5, 3)), list(c(2L, 4L, 6L), c(2L, 5L, 3L)), list(c(NA, 4, 6), c(-1, 5, 3)), list(shape(NULL, NA, 6), shape(NA, NULL, 3))
  )
  for (form in forms) {
    layer <- small()
    layer$build(form[[1]], form[[2]])
    expect_true(layer$built)
    expect_identical(lapply(get_weights(layer)[c(1, 3, 5, 7)], dim), list(c(6L, 2L, 3L), c(3L, 2L, 3L), c(3L, 2L, 3L), c(2L, 3L, 6L)))
    expect_identical(dim(layer(x, y)), dim(x))
  }
  named <- small()
  named$build(value_shape = c(NA, NA, 3), query_shape = c(NA, NA, 6), key_shape = c(NA, NA, 9))
  expect_identical(dim(get_weights(named)[[3]]), c(9L, 2L, 3L))
})

test_that("the first call builds, later calls take other lengths and batches", {
  layer <- small()
  first <- layer(x, y)
  expect_true(layer$built)
  weights <- get_weights(layer)
  expect_identical(dim(layer(wave(c(1, 9, 6)), wave(c(1, 2, 3)))), c(1L, 9L, 6L))
  expect_identical(get_weights(layer), weights)
  expect_identical(layer(x, y), first)
})

test_that("building twice keeps the weights", {
  layer <- small()
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  weights <- get_weights(layer)
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  expect_identical(get_weights(layer), weights)
})

test_that("compute_output_shape() tells the shape without building", {
  for (shapes in list(
    list(c(7, 4, 8), c(7, 2, 8), NULL, NULL, c(7L, 4L, 8L)), list(c(7, 4, 8), c(7, 2, 8), c(7, 2, 3), NULL, c(7L, 4L, 8L)),
    list(c(7, 4, 8), c(7, 2, 8), NULL, c(3, 4), c(7L, 4L, 3L, 4L)), list(c(7, 4, 8), c(7, 2, 8), c(7, 2, 3), c(1, 5), c(7L, 4L, 1L, 5L)),
    list(c(7, 4, 2, 3, 8), c(7, 1, 1, 5, 8), c(7, 1, 1, 5, 2), NULL, c(7L, 4L, 2L, 3L, 8L)),
    list(c(7, 4, 2, 3, 8), c(7, 1, 1, 5, 8), c(7, 1, 1, 5, 2), c(3, 2), c(7L, 4L, 2L, 3L, 3L, 2L)),
    list(c(7, 4, 2, 3, 8), c(7, 4, 2, 3, 7), c(7, 4, 2, 3, 8), NULL, c(7L, 4L, 2L, 3L, 8L))
  )) {
    layer <- layer_multi_head_attention(num_heads = 2, key_dim = 2, value_dim = 2, output_shape = shapes[[4]])
    args <- shapes[1:3][!vapply(shapes[1:3], is.null, NA)]
    expect_identical(as.integer(unlist(do.call(layer$compute_output_shape, args))), shapes[[5]])
    expect_identical(as.integer(unlist(do.call(layer$compute_output_shape, lapply(args, as.list)))), shapes[[5]])
    expect_false(layer$built)
    expect_identical(dim(do.call(layer, lapply(args, wave))), shapes[[5]])
  }
  expect_identical(as.list(unclass(small()$compute_output_shape(shape(NA, NA, 6), shape(NA, 4, 3)))), list(NULL, NULL, 6L))
})

# ---- weights and variables -----------------------------------------------------------------------------------------------------

test_that("set_weights() and get_weights() are inverse, exactly", {
  withr::local_seed(11)
  for (dtype in c("float64", "float32")) {
    layer <- small(dtype = dtype)
    layer$build(c(NA, NA, 6), c(NA, NA, 3))
    weights <- random_weights(layer)
    value <- withVisible(set_weights(layer, weights))
    expect_false(value$visible)
    expect_identical(value$value, layer)
    if (dtype == "float64") expect_identical(get_weights(layer), weights)
    expect_equal(get_weights(layer), weights, tolerance = 1e-7)
    again <- get_weights(layer)
    set_weights(layer, again)
    expect_identical(get_weights(layer), again)
  }
})

test_that("set_weights() takes plain vectors for biases, integers, named lists and other storage", {
  layer <- small(dtype = "float64")
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  weights <- lapply(get_weights(layer), function(w) array(seq_along(w) %% 5, dim(w)))
  plain <- weights
  plain[[8]] <- as.integer(plain[[8]])
  plain[[1]] <- array(as.integer(plain[[1]]), dim(plain[[1]]))
  names(plain) <- letters[1:8]
  dimnames(plain[[1]]) <- list(letters[1:6], NULL, NULL)
  set_weights(layer, plain)
  expect_identical(get_weights(layer), weights)
})

test_that("NaN, infinite and denormal weights are kept as they are", {
  layer <- small(dtype = "float64")
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  weights <- get_weights(layer)
  weights[[1]][1:5] <- c(NaN, Inf, -Inf, 5e-324, -0)
  set_weights(layer, weights)
  expect_identical(get_weights(layer)[[1]][1:4], c(NaN, Inf, -Inf, 5e-324))
  expect_identical(1 / get_weights(layer)[[1]][5], -Inf)
})

test_that("what get_weights() gave is a copy: changing it changes no layer, and the other way round", {
  layer <- small(dtype = "float64")
  layer(x, y)
  before <- get_weights(layer)
  changed <- before
  changed[[1]][1] <- 99
  expect_identical(get_weights(layer), before)
  given <- lapply(before, function(w) w + 1)
  kept <- lapply(given, function(w) w + 0)
  set_weights(layer, given)
  layer$weights[[1]]$assign(before[[1]])
  expect_identical(given, kept)
})

test_that("a variable tells name, path, shape, dtype and gives its numbers as an array", {
  layer <- small(name = "mha", dtype = "float64")
  layer(x, y)
  kernel <- layer$weights[[1]]
  expect_identical(kernel$name, "kernel")
  expect_identical(kernel$path, "mha/query/kernel")
  expect_identical(as.integer(unlist(kernel$shape)), c(6L, 2L, 3L))
  expect_identical(kernel$dtype, "float64")
  expect_true(kernel$trainable)
  expect_identical(as.array(kernel), get_weights(layer)[[1]])
  expect_identical(kernel$numpy(), get_weights(layer)[[1]])
  expect_identical(as.numeric(kernel), as.numeric(get_weights(layer)[[1]]))
  expect_identical(dim(kernel), c(6L, 2L, 3L))
})

test_that("$assign() changes the layer that the variable belongs to", {
  layer <- small(dtype = "float64")
  before <- layer(x, y)
  new <- array(0.5, c(6, 2, 3))
  layer$weights[[1]]$assign(new)
  expect_identical(get_weights(layer)[[1]], new)
  expect_identical(layer$query_dense$kernel$numpy(), new)
  expect_false(identical(layer(x, y), before))
  bias <- layer$query_dense$bias
  bias$assign(matrix(1:6, 2, 3))
  expect_identical(get_weights(layer)[[2]], matrix(as.double(1:6), 2, 3))
  layer$output_dense$bias$assign(1:6)
  expect_identical(get_weights(layer)[[8]], array(as.double(1:6), 6))
})

test_that("the parts give kernel and bias", {
  layer <- small(dtype = "float64", use_gate = TRUE)
  layer(x, y)
  parts <- list(layer$query_dense, layer$key_dense, layer$gate_dense, layer$value_dense, layer$output_dense)
  for (i in seq_along(parts)) {
    expect_identical(as.array(parts[[i]]$kernel), get_weights(layer)[[2 * i - 1]])
    expect_identical(as.array(parts[[i]]$bias), get_weights(layer)[[2 * i]])
  }
  bare_layer <- small(use_bias = FALSE)
  bare_layer(x, y)
  expect_null(bare_layer$query_dense$bias)
})

test_that("trainable moves all weights between the lists and back", {
  layer <- small()
  layer(x, y)
  expect_length(layer$trainable_weights, 8)
  expect_length(layer$non_trainable_weights, 0)
  layer$trainable <- FALSE
  expect_false(layer$trainable)
  expect_length(layer$trainable_weights, 0)
  expect_length(layer$non_trainable_weights, 8)
  expect_length(layer$weights, 8)
  expect_length(get_weights(layer, trainable = TRUE), 0)
  expect_length(get_weights(layer, trainable = FALSE), 8)
  layer$trainable <- TRUE
  expect_length(layer$trainable_weights, 8)
  expect_identical(get_weights(layer, trainable = TRUE), get_weights(layer))
  early <- small(trainable = FALSE)
  early(x, y)
  expect_length(early$trainable_weights, 0)
  expect_true(length(layer$variables) >= 8)
})

test_that("a layer is one object: another name for it is the same layer", {
  layer <- small()
  other <- layer
  other$trainable <- FALSE
  expect_false(layer$trainable)
  layer(x, y)
  expect_true(other$built)
})

test_that("count_params() counts", {
  layer <- small(value_dim = 4, use_gate = TRUE)
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  expect_equal(count_params(layer), 6 * 6 + 6 + 3 * 6 + 6 + 6 * 8 + 8 + 3 * 8 + 8 + 8 * 6 + 6)
  expect_equal(layer$count_params(), count_params(layer))
  expect_equal(count_params(layer), sum(lengths(get_weights(layer))))
})

test_that("one seed, or one set.seed(), gives one layer; without, layers differ", {
  with_seed <- function(seed) {
    set.seed(seed)
    layer <- small()
    layer(x, y)
    get_weights(layer)
  }
  withr::local_preserve_seed()
  expect_identical(with_seed(1), with_seed(1))
  expect_false(identical(with_seed(1), with_seed(2)))
  own <- function(seed) {
    layer <- small(seed = seed)
    layer(x, y)
    get_weights(layer)
  }
  expect_identical(own(5), own(5))
  expect_false(identical(own(5), own(6)))
  set.seed(1)
  first <- own(5)
  set.seed(2)
  expect_identical(own(5), first)
  a <- small()
  b <- small()
  a(x, y)
  b(x, y)
  expect_false(identical(get_weights(a), get_weights(b)))
})

test_that("query, key, value and output kernels differ although the seed is one", {
  layer <- small(seed = 1)
  layer(x, x)
  kernels <- lapply(get_weights(layer)[c(1, 3, 5, 7)], as.vector)
  expect_identical(anyDuplicated(kernels), 0L)
})

test_that("the key is drawn once, at construction, by a fixed amount; building and calling draw nothing", {
  withr::local_preserve_seed()
  state <- function() get(".Random.seed", globalenv())
  set.seed(3)
  layer <- small()
  after_construction <- state()
  set.seed(3)
  other <- layer_multi_head_attention(num_heads = 7, key_dim = 50, value_dim = 9, use_gate = TRUE, dropout = 0.5)
  expect_identical(state(), after_construction)
  layer(x, y)
  layer(x, y, training = FALSE)
  layer(x, y, use_causal_mask = TRUE, return_attention_scores = TRUE)
  layer$build(c(NA, NA, 6), c(NA, NA, 3))
  get_config(layer)
  utils::capture.output(print(layer))
  expect_identical(state(), after_construction)
  set.seed(3)
  before <- state()
  seeded <- small(seed = 4)
  seeded(x, y)
  expect_identical(state(), before)
})

test_that("fresh weights are glorot uniform and zeros, within the limits of true fans", {
  layer <- layer_multi_head_attention(num_heads = 4, key_dim = 16, seed = 1, dtype = "float64")
  layer$build(c(NA, NA, 32), c(NA, NA, 32))
  weights <- get_weights(layer)
  limits <- c(sqrt(6 / (32 + 64)), NA, sqrt(6 / 96), NA, sqrt(6 / 96), NA, sqrt(6 / 96))
  for (i in c(1, 3, 5, 7)) {
    expect_lte(max(abs(weights[[i]])), limits[i])
    expect_gt(max(abs(weights[[i]])), 0.98 * limits[i])
    expect_lt(abs(mean(weights[[i]])), 0.1 * limits[i])
    expect_equal(stats::sd(weights[[i]]), limits[i] / sqrt(3), tolerance = 0.05)
  }
  for (i in c(2, 4, 6, 8)) expect_true(all(weights[[i]] == 0))
})

# ---- configuration -------------------------------------------------------------------------------------------------------------

config_keys <- c(
  "name", "trainable", "dtype", "num_heads", "key_dim", "value_dim", "dropout", "use_bias", "use_gate", "output_shape",
  "attention_axes", "sliding_window", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
  "activity_regularizer", "kernel_constraint", "bias_constraint", "seed"
)

test_that("get_config() has Keras's 20 keys in its order, with its forms", {
  config <- get_config(small(name = "mha"))
  expect_identical(names(config), config_keys)
  expect_identical(config$name, "mha")
  expect_identical(config$dtype$class_name, "DTypePolicy")
  expect_identical(config$dtype$config$name, "float32")
  expect_identical(config$value_dim, 3L)
  expect_null(config$output_shape)
  expect_null(config$attention_axes)
  expect_null(config$seed)
  full <- get_config(small(output_shape = c(2, 3), attention_axes = 1, sliding_window = 2, seed = 9, dropout = 0.1, use_bias = FALSE, use_gate = TRUE))
  expect_identical(as.integer(unlist(full$output_shape)), 2:3)
  expect_identical(as.integer(unlist(full$attention_axes)), 1L)
  expect_equal(full$sliding_window, 2)
  expect_equal(full$seed, 9)
  expect_equal(full$dropout, 0.1)
  expect_false(full$use_bias)
  expect_true(full$use_gate)
})

test_that("attention_axes in the configuration is resolved once the layer is built", {
  layer <- small()
  layer(wave(c(1, 2, 3, 4)))
  expect_identical(as.integer(unlist(get_config(layer)$attention_axes)), 1:2)
  expect_identical(as.integer(unlist(layer$attention_axes)), 1:2)
  negative <- small(attention_axes = -2)
  negative(wave(c(1, 2, 3, 4)))
  expect_identical(as.integer(unlist(negative$attention_axes)), 2L)
})

test_that("a layer made from a configuration has the same configuration, is not built and computes the same with the same weights", {
  withr::local_seed(12)
  for (trial in 1:25) {
    case <- random_case()
    key <- if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key
    layer <- built_layer(c(case$args, list(name = "first")), case$inputs$query, case$inputs$value, key)
    config <- get_config(layer)
    again <- from_config(config)
    expect_false(again$built)
    expect_identical(get_config(again), config)
    expect_identical(again$name, "first")
    again$build(dim(case$inputs$query), dim(case$inputs$value), dim(key))
    set_weights(again, get_weights(layer))
    expect_identical(run_case(case, again), run_case(case, layer))
  }
})

test_that("a configuration survives saveRDS() and a list made of it", {
  config <- get_config(small(name = "mha", seed = 3))
  file <- withr::local_tempfile()
  saveRDS(config, file)
  expect_identical(get_config(from_config(readRDS(file))), config)
  wrapped <- list(module = "keras.layers", class_name = "MultiHeadAttention", config = config[config_keys], registered_name = NULL)
  expect_identical(get_config(from_config(wrapped)), config)
})

test_that("unknown entries of a configuration are ignored with a warning, missing ones take their defaults", {
  config <- get_config(small())
  config$of_the_future <- 1
  expect_warning(layer <- from_config(config), "of_the_future")
  expect_identical(layer$num_heads, 2L)
  expect_identical(from_config(list(class_name = "MultiHeadAttention", config = list(num_heads = 2, key_dim = 3)))$value_dim, 3L)
})

# ---- saving, other processes ---------------------------------------------------------------------------------------------------

test_that("a layer survives saveRDS() in this process", {
  layer <- small(name = "mha")
  expected <- layer(x, y)
  file <- withr::local_tempfile()
  saveRDS(layer, file)
  again <- readRDS(file)
  expect_identical(again(x, y), expected)
  expect_identical(get_weights(again), get_weights(layer))
  expect_identical(again$name, "mha")
  set_weights(again, lapply(get_weights(again), function(w) w * 0))
  expect_identical(layer(x, y), expected)
  unbuilt <- unserialize(serialize(small(), NULL))
  expect_false(unbuilt$built)
  expect_identical(dim(unbuilt(x, y)), dim(x))
})

test_that("a layer saved here computes the same bits in a new process", {
  layer <- small(name = "mha")
  folder <- withr::local_tempdir()
  saveRDS(list(layer = layer, x = x, y = y, expected = layer(x, y)), file.path(folder, "in.rds"))
  script <- file.path(folder, "script.R")
  writeLines(c(
    "folder <- commandArgs(TRUE)",
    "it <- readRDS(file.path(folder, 'in.rds'))",
    "loaded <- 'attentive' %in% loadedNamespaces()", # reading may load the namespace; attaching is not needed to call
    "got <- it$layer(it$x, it$y)",
    "library(attentive)",
    "print(it$layer)",
    "set_weights(it$layer, get_weights(it$layer))",
    "saveRDS(list(got = got, weights = get_weights(it$layer), shown = capture.output(print(it$layer))), file.path(folder, 'out.rds'))"
  ), script)
  log <- run_r(script, folder)
  expect_true(file.exists(file.path(folder, "out.rds")), label = paste(log, collapse = "\n"))
  out <- readRDS(file.path(folder, "out.rds"))
  expect_identical(out$got, layer(x, y))
  expect_identical(out$weights, get_weights(layer))
  expect_identical(out$shown, utils::capture.output(print(layer)))
})

test_that("a float32 layer takes 4 bytes for a weight on disk", {
  skip_on_covr() # functions whose lines are counted bring the package's source along
  layer <- layer_multi_head_attention(num_heads = 8, key_dim = 16)
  layer$build(c(NA, NA, 128), c(NA, NA, 128))
  expect_lt(length(serialize(layer, NULL)), 4 * count_params(layer) * 1.1)
})

test_that("a layer computes the same in a fork, also after threads have run here", {
  skip_on_os("windows")
  layer <- small()
  expected <- layer(x, y)
  got <- parallel::mclapply(1:2, function(i) layer(x, y), mc.cores = 2)
  expect_identical(got, list(expected, expected))
  expect_identical(layer(x, y), expected)
  built_in_fork <- parallel::mclapply(1, function(i) {
    fresh <- small(seed = 1)
    fresh(x, y)
  }, mc.cores = 2)[[1]]
  here <- small(seed = 1)
  expect_identical(built_in_fork, here(x, y))
})

test_that("a layer computes the same in a worker process of the parallel package", {
  layer <- small()
  expected <- layer(x, y)
  home <- dirname(system.file(package = "attentive"))
  withr::local_envvar(R_LIBS = paste(unique(c(home, .libPaths())), collapse = .Platform$path.sep), R_TESTS = "")
  cluster <- parallel::makePSOCKcluster(1)
  on.exit(parallel::stopCluster(cluster))
  got <- parallel::clusterCall(cluster, function(layer, x, y) layer(x, y), layer, x, y)
  expect_identical(got[[1]], expected)
})

# ---- calling -------------------------------------------------------------------------------------------------------------------

test_that("call arguments have Keras's names in Keras's order", {
  expect_identical(names(formals(small()))[1:10], c(
    "query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores", "training", "use_causal_mask"
  ))
})

test_that("every way of calling gives the same", {
  k <- wave(c(2, 5, 7), 0.3)
  layer <- small()
  expected <- layer(x, y, k)
  expect_identical(layer(query = x, value = y, key = k), expected)
  expect_identical(layer(key = k, value = y, query = x), expected)
  expect_identical(layer(object = x, y, k), expected)
  expect_identical(do.call(layer, list(x, y, k)), expected)
  expect_identical(do.call(layer, list(key = k, x, y)), expected)
  expect_identical(x %>% layer(y, k), expected)
  expect_identical(layer(x, y, k, NULL, NULL, NULL, NULL, FALSE, NULL, FALSE), expected)
  mask <- matrix(c(TRUE, FALSE), 2, 5)
  expect_identical(layer(x, y, k, NULL, mask), layer(x, y, k, value_mask = mask))
  expect_identical(layer(x, y, k, NULL, NULL, mask), layer(x, y, k, key_mask = mask))
  expect_identical(layer(x, y, k, matrix(TRUE, 2, 4), NULL, NULL, matrix(TRUE, 4, 5)), expected)
})

test_that("with `object` by name the others fall where they belong, by place and by name", {
  k <- wave(c(2, 5, 7), 0.3)
  layer <- small()
  expected <- layer(x, y, k)
  mask <- matrix(c(TRUE, FALSE), 2, 5)
  expect_identical(layer(object = x, value = y, key = k), expected)
  expect_identical(layer(object = x, y, key = k), expected)
  expect_identical(layer(y, object = x, k), expected)
  expect_identical(layer(key = k, y, object = x), expected)
  expect_identical(layer(object = x, y, k, NULL, mask), layer(x, y, k, value_mask = mask))
  expect_identical(layer(object = x, y, k, value_mask = mask), layer(x, y, k, value_mask = mask))
  expect_identical(do.call(layer, list(object = x, y, k)), expected)
  forward <- function(...) layer(...)
  expect_identical(forward(object = x, y, key = k), expected)
  self <- small()
  expect_identical(self(object = x), self(x))
  expect_error(layer(object = x, query = x, value = y), class = "attentive_error_name")
})

test_that("one array means self-attention", {
  layer <- small()
  expect_identical(layer(x), layer(x, x))
  expect_identical(layer(x), layer(x, x, x))
  expect_identical(layer(x, return_attention_scores = TRUE)$attention_output, layer(x))
})

test_that("a key that is left out is the value", {
  layer <- small()
  expect_identical(layer(x, y), layer(x, y, y))
  expect_identical(layer(x, y, NULL), layer(x, y, y))
})

test_that("the constructor called with arrays gives the result of the layer it makes", {
  k <- wave(c(2, 5, 7), 0.3)
  direct <- function(inputs, ...) layer_multi_head_attention(inputs, 2, 3, seed = 1, ...)
  layer <- small(seed = 1)
  expected <- layer(x, y, k)
  expect_identical(direct(list(x, y, k)), expected)
  expect_identical(direct(list(query = x, value = y, key = k)), expected)
  expect_identical(direct(list(key = k, query = x, value = y)), expected)
  expect_identical(direct(list(key = k, x, y)), expected)
  expect_identical(direct(list(x, y, NULL)), direct(list(x, y)))
  expect_identical(direct(x), direct(list(x, x)))
  expect_identical(direct(list(x)), direct(x))
  expect_true(withVisible(direct(x))$visible)
  expect_identical(x %>% layer_multi_head_attention(2, 3, seed = 1), direct(x))
})

test_that("call options may stand inside the list", {
  direct <- function(inputs, ...) layer_multi_head_attention(inputs, 2, 3, seed = 1, ...)
  layer <- small(seed = 1)
  expected <- layer(x, x, use_causal_mask = TRUE, return_attention_scores = TRUE)
  expect_identical(direct(list(x, x, use_causal_mask = TRUE, return_attention_scores = TRUE)), expected)
  mask <- matrix(c(TRUE, FALSE, TRUE, TRUE), 2, 4, byrow = TRUE)
  expect_identical(direct(list(x, x, value_mask = mask)), layer(x, x, value_mask = mask))
  expect_identical(direct(list(query = x, value = x, attention_mask = matrix(1, 4, 4), training = FALSE)), layer(x, x))
  expect_identical(direct(list(x, x, x, matrix(TRUE, 2, 4))), layer(x, x, x, matrix(TRUE, 2, 4)))
})

test_that("scores come as a list with names, and %<-% takes it apart", {
  layer <- small()
  both <- layer(x, y, return_attention_scores = TRUE)
  expect_type(both, "list")
  expect_named(both, c("attention_output", "attention_scores"))
  expect_length(both, 2)
  expect_identical(dim(as.array(both[[2]])), c(2L, 2L, 4L, 5L))
  expect_true(is.array(as.array(both[[2]])))
  c(output, scores) %<-% layer(x, y, return_attention_scores = TRUE)
  expect_identical(output, both$attention_output)
  expect_identical(scores, both$attention_scores)
})

test_that("training = FALSE, NULL and dropout 0 in training are one result", {
  layer <- small(dropout = 0.5)
  expect_identical(layer(x, y, training = FALSE), layer(x, y))
  plain <- small()
  expect_identical(plain(x, y, training = TRUE), plain(x, y))
})

test_that("inputs and masks are never changed, nor their attributes", {
  copy <- function(object) unserialize(serialize(object, NULL))
  query <- x
  dimnames(query) <- list(NULL, letters[1:4], NULL)
  attr(query, "note") <- "mine"
  value <- array(1:30, c(2, 5, 3))
  mask <- matrix(c(TRUE, FALSE, TRUE, TRUE, TRUE), 2, 5, byrow = TRUE)
  pairs <- matrix(1, 4, 5)
  originals <- copy(list(query, value, mask, pairs))
  for (dtype in c("float32", "float64")) {
    layer <- small(dtype = dtype, use_gate = TRUE)
    result <- layer(query, value, value_mask = mask, attention_mask = pairs, use_causal_mask = TRUE, return_attention_scores = TRUE)
    result$attention_output[] <- 0
  }
  expect_identical(list(query, value, mask, pairs), originals)
})

test_that("query, value and key may be one object, and integer or logical arrays count as numbers", {
  layer <- small(dtype = "float64")
  whole <- array(as.integer(round(3 * x)), dim(x))
  expect_identical(layer(whole, whole, whole), layer(whole + 0))
  truth <- x > 0
  expect_identical(layer(truth), layer(truth + 0))
  ramp <- 1:48
  dim(ramp) <- c(2, 4, 6)
  expect_identical(layer(ramp), layer(array(as.double(1:48), c(2, 4, 6))))
})

test_that("NA and NaN in plain sight reach the results of their batch element only", {
  layer <- small(dtype = "float64")
  clean <- layer(x, x)
  for (bad in c(NA, NaN)) {
    spoiled <- x
    spoiled[2, 3, 1] <- bad
    got <- layer(spoiled, spoiled)
    expect_true(all(is.na(got[2, , ])))
    expect_identical(got[1, , ], clean[1, , ])
  }
  whole <- array(1:48, c(2, 4, 6))
  whole[1, 1, 1] <- NA
  expect_true(all(is.na(layer(whole)[1, , ])))
  expect_false(anyNA(layer(whole)[2, , ]))
  truth <- x > 0
  truth[1, 1, 1] <- NA
  expect_true(all(is.na(layer(truth)[1, , ])))
})

test_that("empty batches and sequences give results of the right shape", {
  for (dtype in c("float32", "float64")) {
    layer <- small(dtype = dtype)
    layer(x, y)
    both <- layer(array(0, c(0, 4, 6)), array(0, c(0, 5, 3)), return_attention_scores = TRUE)
    expect_identical(dim(both[[1]]), c(0L, 4L, 6L))
    expect_identical(dim(as.array(both[[2]])), c(0L, 2L, 4L, 5L))
    both <- layer(array(0, c(2, 0, 6)), y, return_attention_scores = TRUE)
    expect_identical(dim(both[[1]]), c(2L, 0L, 6L))
    expect_identical(dim(as.array(both[[2]])), c(2L, 2L, 0L, 5L))
    set_weights(layer, lapply(get_weights(layer), function(w) w + 1))
    both <- layer(x, array(0, c(2, 0, 3)), return_attention_scores = TRUE)
    expect_equal(both[[1]], aperm(array(get_weights(layer)[[8]], c(6, 2, 4)), c(2, 3, 1)))
    expect_identical(dim(as.array(both[[2]])), c(2L, 2L, 4L, 0L))
    expect_identical(dim(layer(array(0, c(0, 0, 6)), array(0, c(0, 0, 3)), use_causal_mask = TRUE)), c(0L, 0L, 6L))
    expect_identical(dim(layer(x, array(0, c(2, 0, 3)), value_mask = matrix(TRUE, 2, 0))), dim(x))
  }
})

test_that("one token, one head, one number each", {
  layer <- layer_multi_head_attention(num_heads = 1, key_dim = 1, dtype = "float64")
  one <- array(2, c(1, 1, 1))
  both <- layer(one, one, return_attention_scores = TRUE)
  weights <- get_weights(layer)
  expect_equal(as.double(both[[1]]), 2 * as.double(weights[[5]]) * as.double(weights[[7]]))
  expect_equal(as.double(both[[2]]), 1, tolerance = 1e-15)
})

test_that("token names of the inputs carry over into the scores and, of the query, into the output", {
  q <- x
  dimnames(q) <- list(NULL, c("the", "cat", "sat", "down"), NULL)
  v <- y
  dimnames(v) <- list(c("first", "second"), c("a", "b", "c", "d", "e"), NULL)
  layer <- small()
  scores <- layer(q, v, return_attention_scores = TRUE)$attention_scores
  names <- dimnames(as.array(scores))
  expect_identical(names[[3]], c("the", "cat", "sat", "down"))
  expect_identical(names[[4]], c("a", "b", "c", "d", "e"))
  expect_null(dimnames(as.array(layer(x, y, return_attention_scores = TRUE)$attention_scores)))
  half <- dimnames(as.array(layer(x, v, return_attention_scores = TRUE)$attention_scores))
  expect_null(half[[3]])
  expect_identical(half[[4]], c("a", "b", "c", "d", "e"))
  expect_identical(bare(layer(q, v)), bare(layer(x, y)))
})

# ---- showing -------------------------------------------------------------------------------------------------------------------

test_that("a layer shows itself in one line before it is built and with its weights after", {
  expect_snapshot({
    clear_session()
    layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
    layer
    str(layer)
    layer$build(c(NA, NA, 6), c(NA, NA, 3))
    layer
    summary(layer)
    format(layer)
    str(layer)
    str(list(a = layer))
    layer$query_dense
    layer$output_dense$bias
    set_weights(layer, lapply(get_weights(layer), function(w) w * 0 + 0.5))
    layer$weights[[2]]
    str(layer$weights[[1]])
    layer$compute_output_shape(c(NA, 4, 6), c(NA, 5, 3))
  })
})

test_that("options show in the line of a layer", {
  expect_snapshot({
    layer_multi_head_attention(
      num_heads = 8, key_dim = 64, value_dim = 32, dropout = 0.1, use_bias = FALSE, output_shape = c(4, 5), attention_axes = c(1, 2),
      use_gate = TRUE, sliding_window = 16, seed = 1, name = "wide", trainable = FALSE, dtype = "float64"
    )
  })
})

test_that("names() lists what $ knows, and an unknown name is an error that helps", {
  layer <- small()
  layer(x, y)
  for (name in names(layer)) expect_no_error(eval(call("$", layer, name)))
  expect_true(all(c("name", "built", "weights", "num_heads", "query_dense", "count_params") %in% names(layer)))
  expect_error(layer$num_head, class = "attentive_error_name")
  expect_error(layer[["nonsense"]], class = "attentive_error")
})

test_that("all.equal() and identical() tell layers apart", {
  a <- small(seed = 1, name = "a")
  b <- small(seed = 1, name = "a")
  a(x, y)
  b(x, y)
  expect_true(isTRUE(all.equal(a, b)))
  b$weights[[1]]$assign(array(0, c(6, 2, 3)))
  expect_false(isTRUE(all.equal(a, b)))
  expect_true(identical(a, a))
})

# ---- surroundings --------------------------------------------------------------------------------------------------------------

test_that("options and locale change no number", {
  layer <- small()
  expected <- layer(x, y, return_attention_scores = TRUE)
  withr::local_options(OutDec = ",", digits = 3, scipen = -5, width = 40, warn = 2, stringsAsFactors = FALSE)
  expect_identical(layer(x, y, return_attention_scores = TRUE), expected)
  expect_identical(get_config(from_config(get_config(layer))), get_config(layer))
})

test_that("a call under warn = 2 raises nothing", {
  withr::local_options(warn = 2)
  expect_no_condition(layer_multi_head_attention(list(x, y, return_attention_scores = TRUE), 2, 3, seed = 1))
})
