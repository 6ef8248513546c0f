# The layers around attention, each against its formula in R.

plain_einsum <- function(x, kernel, letters) {
  sizes <- c(stats::setNames(dim(x), letters[[1]]), stats::setNames(dim(kernel), letters[[2]]))
  all <- unique(unlist(letters))
  grid <- as.matrix(expand.grid(lapply(sizes[all], seq_len)))
  colnames(grid) <- all
  terms <- x[grid[, letters[[1]], drop = FALSE]] * kernel[grid[, letters[[2]], drop = FALSE]]
  out <- array(0, unname(sizes[letters[[3]]]))
  places <- grid[, letters[[3]], drop = FALSE]
  for (i in seq_along(terms)) out[places[i, , drop = FALSE]] <- out[places[i, , drop = FALSE]] + terms[[i]]
  out
}

test_that("einsum dense is the sum that its equation says", {
  set.seed(11)
  # equation, dim of x, output_shape, bias_axes
  cases <- list(
    list("abc,cd->abd", c(2, 3, 4), c(NA, 5), "d"), list("abc,dc->abd", c(2, 3, 4), c(3, 5), NULL),
    list("abc,cde->abde", c(2, 3, 4), c(NA, 2, 5), "de"), list("abc,dce->aebd", c(2, 3, 4), c(5, 3, 2), "e"),
    list("abcd,cde->abe", c(2, 3, 2, 4), c(NA, 5), "e"), list("abcd,dec->abe", c(2, 3, 2, 4), c(3, 5), "be"),
    list("ab,bc->ac", c(3, 4), 2, "c"), list("abc,bcd->abd", c(2, 3, 4), c(3, 5), "bd"), list("abc,cbd->adb", c(2, 3, 4), c(5, 3), "d"),
    list("abc,c->abc", c(2, 3, 4), c(NA, NA), "c"), list("abc,bd->adc", c(2, 3, 4), c(5, NA), "d")
  )
  for (case in cases) {
    x <- noise(case[[2]])
    layer <- layer_einsum_dense(equation = case[[1]], output_shape = case[[3]], bias_axes = case[[4]], dtype = "float64")
    layer(x)
    set_weights(layer, random_weights(layer))
    weights <- get_weights(layer)
    letters <- strsplit(strsplit(case[[1]], ",|->")[[1]], "")
    expected <- plain_einsum(x, weights[[1]], letters)
    if (length(weights) > 1) {
      from <- min(match(strsplit(case[[4]], "")[[1]], letters[[3]]))
      axes <- seq.int(from, length(letters[[3]]))
      index <- as.matrix(expand.grid(lapply(dim(expected), seq_len)))
      place <- index[, axes, drop = FALSE]
      place <- pmin(place, rep(dim(weights[[2]]), each = nrow(place)))
      expected <- expected + array(weights[[2]][place], dim(expected))
    }
    expect_close(expect_everywhere(layer, x), expected, 1e-12, case[[1]])
    layer_gradients_hold(layer, x)
  }
  dots <- layer_einsum_dense(equation = "...x,xy->...y", output_shape = 3, activation = "tanh", bias_axes = "y", dtype = "float64")
  x <- noise(2, 3, 2, 4)
  dots(x)
  set_weights(dots, random_weights(dots))
  expect_close(expect_everywhere(dots, x), tanh(plain_dense(x, get_weights(dots)[[1]], get_weights(dots)[[2]])), 1e-12)
  right <- layer_einsum_dense(equation = "ab...,bc->ac...", output_shape = 3, bias_axes = "c", dtype = "float64")
  right(x)
  expect_equal(dim(get_weights(right)[[2]]), c(3L, 1L, 1L))
  expect_close(expect_everywhere(right, x), aperm(plain_dense(aperm(x, c(1, 3, 4, 2)), get_weights(right)[[1]]), c(1, 4, 2, 3)), 1e-12)
  # a kernel that counts its inputs as Keras does: 6 in, 8 out
  wide <- layer_einsum_dense(equation = "abc,dce->abde", output_shape = c(NA, 2, 4), seed = 1)
  wide(noise(1, 2, 6))
  expect_lte(max(abs(get_weights(wide)[[1]])), sqrt(6 / (6 + 8)))
  expect_gt(max(abs(get_weights(wide)[[1]])), 0.9 * sqrt(6 / (6 + 8)))
})

plain_conv <- function(x, kernel, bias, strides, padding, dilation, groups) {
  size <- dim(kernel)[[1]]
  steps <- dim(x)[[2]]
  span <- (size - 1) * dilation + 1
  made <- if (padding == "same") ceiling(steps / strides) else if (padding == "causal") (steps - 1) %/% strides + 1 else (steps - span) %/% strides + 1
  before <- switch(padding, valid = 0, causal = span - 1, same = max(0, (made - 1) * strides + span - steps) %/% 2)
  filters <- dim(kernel)[[3]]
  width <- dim(kernel)[[2]]
  y <- array(rep(bias, each = dim(x)[[1]] * made), c(dim(x)[[1]], made, filters))
  for (b in seq_len(dim(x)[[1]])) for (t in seq_len(made)) for (k in seq_len(size)) {
    at <- (t - 1) * strides + (k - 1) * dilation - before + 1
    if (at < 1 || at > steps) next
    for (f in seq_len(filters)) {
      group <- (f - 1) %/% (filters / groups)
      y[b, t, f] <- y[b, t, f] + sum(x[b, at, group * width + seq_len(width)] * kernel[k, , f])
    }
  }
  y
}

test_that("a convolution is what its formula says", {
  set.seed(12)
  for (i in 1:14) {
    groups <- pick(c(1, 1, 2))
    filters <- groups * pick(1:3)
    x <- noise(pick(1:3), pick(5:8), groups * pick(1:2))
    padding <- pick(c("valid", "same", "causal"))
    strides <- pick(c(1, 1, 2, 3))
    dilation <- if (strides == 1) pick(1:2) else 1
    use_bias <- chance(0.7)
    layer <- layer_conv_1d(
      filters = filters, kernel_size = pick(1:3), strides = strides, padding = padding, dilation_rate = dilation, groups = groups,
      use_bias = use_bias, activation = pick(c("linear", "tanh")), dtype = "float64"
    )
    layer(x)
    set_weights(layer, random_weights(layer))
    w <- get_weights(layer)
    expected <- plain_conv(x, w[[1]], if (use_bias) w[[2]] else 0, strides, padding, dilation, groups)
    if (layer$activation == "tanh") expected <- tanh(expected)
    expect_close(expect_everywhere(layer, x), expected, 1e-12, format(layer))
    layer_gradients_hold(layer, x)
    narrow <- layer_conv_1d(filters = filters, kernel_size = layer$kernel_size, strides = strides, padding = padding,
      dilation_rate = dilation, groups = groups, use_bias = use_bias, activation = layer$activation)
    narrow(x)
    set_weights(narrow, w)
    expect_close(narrow(x), expected, 1e-5)
    expect_same(narrow(x, threads = 3), narrow(x, threads = 1))
  }
  first <- layer_conv_1d(filters = 2, kernel_size = 3, data_format = "channels_first", dtype = "float64")
  y <- first(aperm(x, c(1, 3, 2)))
  last <- layer_conv_1d(filters = 2, kernel_size = 3, dtype = "float64")
  last(x)
  set_weights(last, get_weights(first))
  expect_close(aperm(y, c(1, 3, 2)), last(x), 1e-12)
  open <- keras_input(c(NA, 2), dtype = "float64")
  model <- keras_model(open, layer_conv_1d(open, 3, 2, padding = "same", strides = 2, dtype = "float64"))
  expect_equal(dim(model(noise(2, 7, 2))), c(2L, 4L, 3L))
})

test_that("pooling in windows takes what is there", {
  set.seed(13)
  for (i in 1:10) {
    x <- noise(pick(1:3), pick(4:8), pick(1:3))
    size <- pick(1:3)
    strides <- pick(list(NULL, 1, 2, 3))
    padding <- pick(c("valid", "same"))
    step <- if (is.null(strides)) size else strides
    steps <- dim(x)[[2]]
    made <- if (padding == "same") ceiling(steps / step) else (steps - size) %/% step + 1
    before <- if (padding == "same") max(0, (made - 1) * step + size - steps) %/% 2 else 0
    window <- function(t) intersect((t - 1) * step - before + seq_len(size), seq_len(steps))
    plain <- function(f) {
      y <- array(0, c(dim(x)[[1]], made, dim(x)[[3]]))
      for (t in seq_len(made)) y[, t, ] <- apply(x[, window(t), , drop = FALSE], c(1, 3), f)
      y
    }
    mean_layer <- layer_average_pooling_1d(pool_size = size, strides = strides, padding = padding, dtype = "float64")
    expect_close(expect_everywhere(mean_layer, x), plain(mean), 1e-12)
    layer_gradients_hold(mean_layer, x)
    max_layer <- layer_max_pooling_1d(pool_size = size, strides = strides, padding = padding, dtype = "float64")
    expect_close(expect_everywhere(max_layer, x), plain(max), 0)
    layer_gradients_hold(max_layer, x)
  }
  expect_close(layer_max_pooling_1d(aperm(x, c(1, 3, 2)), data_format = "channels_first", dtype = "float64"),
    aperm(layer_max_pooling_1d(x, dtype = "float64"), c(1, 3, 2)), 0)
})

test_that("steps are moved, repeated, added and cut", {
  set.seed(14)
  x <- noise(2, 5, 3)
  plain <- list(
    list(layer_permute(dims = c(2, 1), dtype = "float64"), aperm(x, c(1, 3, 2))),
    list(layer_upsampling_1d(size = 3, dtype = "float64"), x[, rep(1:5, each = 3), ]),
    list(layer_zero_padding_1d(padding = c(1, 2), dtype = "float64"), {p <- array(0, c(2, 8, 3)); p[, 2:6, ] <- x; p}),
    list(layer_cropping_1d(cropping = c(1, 2), dtype = "float64"), x[, 2:3, ]),
    list(layer_cropping_1d(cropping = list(0L, 1L), dtype = "float64"), x[, 1:4, ]),
    list(layer_identity(dtype = "float64"), x),
    list(layer_rescaling(scale = 2, offset = c(1, 2, 3), dtype = "float64"), sweep(x * 2, 3, 1:3, "+")),
    list(layer_activation_relu(max_value = 1, negative_slope = 0.1, threshold = 0.2, dtype = "float64"),
      ifelse(x >= 1, 1, ifelse(x >= 0.2, x, 0.1 * (x - 0.2)))),
    list(layer_activation_leaky_relu(dtype = "float64"), ifelse(x > 0, x, 0.3 * x)),
    list(layer_activation_elu(alpha = 0.5, dtype = "float64"), ifelse(x > 0, x, 0.5 * (exp(x) - 1))),
    list(layer_activation_softmax(axis = 2, dtype = "float64"), exp(x) / array(apply(exp(x), c(1, 3), sum)[, rep(1:3, each = 5)], dim(x))),
    list(layer_unit_normalization(dtype = "float64"), x / array(sqrt(apply(x^2, 1:2, sum)), dim(x))),
    list(layer_unit_normalization(axis = c(2, 3), dtype = "float64"), x / array(sqrt(apply(x^2, 1, sum)), dim(x))),
    list(layer_masking(dtype = "float64"), x), list(layer_activity_regularization(l1 = 0.1, l2 = 0.2, dtype = "float64"), x)
  )
  for (case in plain) {
    layer <- case[[1]]
    expect_close(expect_everywhere(layer, x), case[[2]], 1e-12, format(layer))
    if (!inherits(layer, "attentive_activity_regularization")) layer_gradients_hold(layer, x)
    expect_output(print(layer), layer$name, fixed = TRUE)
  }
  v <- noise(2, 3)
  expect_close(expect_everywhere(layer_repeat_vector(n = 4, dtype = "float64"), v), aperm(array(v, c(2, 3, 4)), c(1, 3, 2)), 0)
  expect_close(layer_zero_padding_1d(aperm(x, c(1, 3, 2)), 1, data_format = "channels_first", dtype = "float64"),
    aperm(layer_zero_padding_1d(x, dtype = "float64"), c(1, 3, 2)), 0)
  expect_equal(layer_unit_normalization(matrix(0, 1, 3)), matrix(0, 1, 3))
  penalty <- layer_activity_regularization(l1 = 0.1, l2 = 0.2, dtype = "float64")
  penalty(x)
  expect_equal(unlist(penalty$losses), (0.1 * sum(abs(x)) + 0.2 * sum(x^2)) / 2, tolerance = 1e-12)
  rms <- layer_rms_normalization(dtype = "float64")
  rms(x)
  fill_weights(rms)
  expected <- x / array(sqrt(apply(x^2, 1:2, mean) + 1e-6), dim(x)) * rep(c(get_weights(rms)[[1]]), each = 10)
  expect_close(expect_everywhere(rms, x), expected, 1e-12)
  layer_gradients_hold(rms, x)
  for (shared in list(NULL, 2, c(2, 3))) {
    bent <- layer_activation_parametric_relu(shared_axes = shared, dtype = "float64")
    bent(x)
    fill_weights(bent)
    alpha <- get_weights(bent)[[1]]
    expect_equal(dim(alpha), as.integer(replace(c(5, 3), shared - 1, 1)))
    wide <- alpha[rep_len(seq_len(nrow(alpha)), 5), rep_len(seq_len(ncol(alpha)), 3)]
    expect_close(expect_everywhere(bent, x), ifelse(x > 0, x, x * rep(wide, each = 2)), 1e-12)
    layer_gradients_hold(bent, x)
  }
})

test_that("a softmax takes a mask of all numbers", {
  set.seed(15)
  x <- noise(2, 3, 4)
  mask <- random_mask(c(2, 3, 4), 0.7)
  mask[, , 1] <- TRUE
  layer <- layer_activation_softmax(dtype = "float64")
  e <- exp(x) * mask
  expect_close(layer(x, mask = mask), e / array(apply(e, 1:2, sum), dim(x)), 1e-12)
  expect_close(layer(x, mask = mask[, , 2]), layer(x), 0)
  layer_gradients_hold(layer, x, mask)
})

test_that("masking makes a mask, other layers pass it on or end it", {
  x <- noise(3, 4, 2)
  x[2, 3:4, ] <- 0
  x[3, , 1] <- 0
  expect_equal(layer_masking()$compute_mask(x), apply(x != 0, 1:2, any))
  input <- keras_input(c(4, 2), dtype = "float64")
  real <- apply(x != 0, 1:2, any)
  pooled <- function(through) {
    model <- keras_model(input, layer_global_average_pooling_1d(through(layer_masking(input, dtype = "float64")), dtype = "float64"))
    list(model(x), keras_model(input, through(layer_masking(input, dtype = "float64")))(x))
  }
  mean_of <- function(y, mask) apply(y * c(mask), c(1, 3), sum) / rowSums(mask)
  for (through in list(layer_identity(dtype = "float64"), layer_rescaling(scale = 2, offset = 1, dtype = "float64"), layer_activation_relu(dtype = "float64"),
    layer_unit_normalization(dtype = "float64"), layer_batch_normalization(dtype = "float64"), layer_gaussian_noise(stddev = 1, dtype = "float64"),
    layer_spatial_dropout_1d(rate = 0.5, dtype = "float64"), layer_activation_softmax(dtype = "float64"),
    layer_time_distributed(layer = layer_dense(units = 2, dtype = "float64")))) {
    made <- pooled(through)
    expect_close(made[[1]], mean_of(made[[2]], real), 1e-10, format(through))
  }
  for (through in list(layer_rms_normalization(dtype = "float64"), layer_conv_1d(filters = 2, kernel_size = 1, dtype = "float64"),
    layer_einsum_dense(equation = "abc,cd->abd", output_shape = c(NA, 2), dtype = "float64"), layer_max_pooling_1d(pool_size = 1, dtype = "float64"))) {
    made <- pooled(through)
    expect_close(made[[1]], mean_of(made[[2]], real | TRUE), 1e-10, format(through))
  }
  seven <- layer_masking(mask_value = 7, dtype = "float64")
  expect_equal(seven(array(7, c(1, 2, 2))), array(0, c(1, 2, 2)))
})

test_that("noise comes in training only, and repeats", {
  x <- array(1, c(20, 30, 5))
  for (make in list(function(seed) layer_gaussian_noise(stddev = 0.5, seed = seed), function(seed) layer_gaussian_dropout(rate = 0.2, seed = seed))) {
    layer <- make(3)
    expect_equal(layer(x), x)
    first <- layer(x, training = TRUE)
    expect_equal(mean(first), 1, tolerance = 0.05)
    expect_equal(stats::sd(first), 0.5, tolerance = 0.05)
    expect_false(identical(layer(x, training = TRUE), first))
    expect_identical(make(3)(x, training = TRUE), first)
    expect_false(identical(make(4)(x, training = TRUE), first))
    # an element of the batch draws by its place
    expect_identical(make(3)(x[1:7, , ], training = TRUE), first[1:7, , ])
    expect_same(make(3)(x, training = TRUE, threads = 4), first)
  }
  layer_gradients_hold(layer_gaussian_dropout(rate = 0.3, seed = 1, dtype = "float64"), noise(3, 4), training = TRUE)
  rows <- layer_spatial_dropout_1d(rate = 0.5, seed = 1)(x, training = TRUE)
  expect_true(all(apply(rows, c(1, 3), function(v) length(unique(v)) == 1)))
  expect_equal(mean(rows == 0), 0.5, tolerance = 0.3)
})

test_that("a layer is applied to every step", {
  set.seed(16)
  x <- noise(2, 3, 4, 2)
  dense <- layer_dense(units = 3, activation = "tanh", dtype = "float64")
  layer <- layer_time_distributed(layer = dense)
  expect_close(expect_everywhere(layer, x), dense(x), 1e-12)
  layer_gradients_hold(layer, x)
  expect_equal(get_weights(layer), get_weights(dense))
  expect_identical(layer$layer$name, dense$name)
  pooling <- time_distributed(layer = layer_global_average_pooling_1d(dtype = "float64"))
  mask <- random_mask(c(2, 3, 4), 0.6)
  plain <- array(0, c(2, 3, 2))
  for (t in 1:3) plain[, t, ] <- layer_global_average_pooling_1d(dtype = "float64")(x[, t, , ], mask = array(mask[, t, ], c(2, 4)))
  expect_close(pooling(x, mask = mask), plain, 1e-12)
  # a model as the inner layer, trained, frozen, cloned
  input <- keras_input(c(4, 2), dtype = "float64")
  inner <- keras_model(input, layer_dense(layer_flatten(input, dtype = "float64"), 2, dtype = "float64"))
  outer <- keras_input(c(3, 4, 2), dtype = "float64")
  wrapped <- layer_time_distributed(layer = inner)
  model <- keras_model(outer, wrapped(outer))
  for (t in 1:3) expect_close(model(x)[, t, ], inner(array(x[, t, , ], c(2, 4, 2))), 1e-12)
  expect_length(model$trainable_weights, 2)
  model %>% compile(optimizer = optimizer_sgd(learning_rate = 0.1), loss = "mse")
  before <- get_weights(inner)
  fit(model, x, noise(2, 3, 2), epochs = 1, verbose = 0)
  expect_false(identical(get_weights(inner), before))
  copy <- clone_model(model)
  expect_equal(lapply(get_weights(copy), dim), lapply(before, dim))
  set_weights(copy, get_weights(model))
  expect_close(copy(x), model(x), 1e-12)
  expect_false(identical(get_weights(copy)[[1]], before[[1]]))
  wrapped$trainable <- FALSE
  expect_length(model$trainable_weights, 0)
  expect_close(from_config(get_config(model))(x) * 0, model(x) * 0, 0)
  # dropout draws for every step anew, whatever the parts of a batch are
  drop <- layer_time_distributed(layer = layer_dropout(rate = 0.5, seed = 1))(array(1, c(50, 4, 8)), training = TRUE)
  expect_gt(length(unique(apply(drop, 1:2, paste, collapse = " "))), 100)
  expect_error(layer_time_distributed(layer = layer_add()), class = "attentive_error_argument")
  expect_error(layer_time_distributed(layer = layer_multi_head_attention(num_heads = 1, key_dim = 1)), class = "attentive_error_argument")
  expect_error(layer_time_distributed(layer = 3), class = "attentive_error_argument")
  expect_error(layer(noise(2, 3)), "at least three", class = "attentive_error_shape")
})

test_that("Keras's own configurations are read", {
  read <- function(class_name, ...) from_config(list(class_name = class_name, config = list(...)))
  expect_identical(get_config(read("Conv1D", filters = 2L, kernel_size = list(3L), strides = list(1L), dilation_rate = list(2L)))$dilation_rate, list(2L))
  expect_identical(get_config(read("PReLU", shared_axes = list(1L)))$shared_axes, list(1L))
  expect_identical(get_config(read("BatchNormalization", axis = 2L))$axis, 2L)
  expect_identical(get_config(read("Softmax", axis = -1L))$axis, -1L)
  expect_identical(get_config(read("MaxPooling1D", pool_size = list(2L), strides = list(2L)))$pool_size, list(2L))
  expect_identical(get_config(read("Permute", dims = list(2L, 1L)))$dims, list(2L, 1L))
  expect_identical(get_config(read("EinsumDense", output_shape = list(NULL, 3L), equation = "abc,cd->abd"))$output_shape, list(NULL, 3L))
  inner <- list(module = "keras.layers", class_name = "Dense", config = list(units = 2L), registered_name = NULL)
  expect_identical(get_config(read("TimeDistributed", layer = inner))$layer$config$units, 2L)
})

test_that("wrong calls are named", {
  x <- noise(2, 5, 3)
  argument <- function(...) for (e in list(...)) expect_error(e(), class = "attentive_error_argument")
  shaped <- function(...) for (e in list(...)) expect_error(e(), class = "attentive_error_shape")
  argument(
    function() layer_einsum_dense(equation = "abc,cd", output_shape = 2), function() layer_einsum_dense(equation = "abc,cd->abe", output_shape = 2),
    function() layer_einsum_dense(equation = "aab,bc->ac", output_shape = 2), function() layer_einsum_dense(equation = "abc,cd->bad", output_shape = c(2, 2)),
    function() layer_einsum_dense(equation = "abc,cd->ad", output_shape = 2), function() layer_einsum_dense(equation = "abc,cde->abd", output_shape = 2),
    function() layer_einsum_dense(equation = "abc,cd->abd", output_shape = 2, bias_axes = "c"), function() layer_einsum_dense(equation = "abc,cd->abd"),
    function() layer_conv_1d(filters = 2), function() layer_conv_1d(filters = 2, kernel_size = 0), function() layer_conv_1d(filters = 2, kernel_size = c(2, 3)),
    function() layer_conv_1d(filters = 2, kernel_size = 2, strides = 2, dilation_rate = 2), function() layer_conv_1d(filters = 3, kernel_size = 2, groups = 2),
    function() layer_conv_1d(filters = 2, kernel_size = 2, padding = "full"), function() layer_max_pooling_1d(pool_size = 2, padding = "causal"),
    function() layer_average_pooling_1d(), function() layer_permute(dims = c(1, 3)), function() layer_permute(), function() layer_repeat_vector(n = 0),
    function() layer_cropping_1d(cropping = c(1, 2, 3)), function() layer_zero_padding_1d(padding = -1), function() layer_upsampling_1d(size = 0.5),
    function() layer_rescaling(), function() layer_rescaling(scale = NA), function() layer_gaussian_noise(stddev = -1),
    function() layer_gaussian_dropout(rate = 1), function() layer_spatial_dropout_1d(rate = 2), function() layer_activation_relu(max_value = -1),
    function() layer_activation_softmax(axis = 0), function() layer_masking(mask_value = "a"), function() layer_activity_regularization(l1 = NA)
  )
  shaped(
    function() layer_einsum_dense(x, "ab,bc->ac", 2), function() layer_einsum_dense(x, "abc,cd->abd", c(4, 2)), function() layer_einsum_dense(x, "abc,cd->abd", 2),
    function() layer_einsum_dense(x, "abc,cd->abd", c(NA, NA)), function() layer_conv_1d(x, 2, 6), function() layer_conv_1d(x[, 1, ], 2, 2),
    function() layer_conv_1d(x, 2, 2, groups = 2), function() layer_max_pooling_1d(x, 6), function() layer_permute(x, 1), function() layer_repeat_vector(x, 2),
    function() layer_cropping_1d(x, c(2, 3)), function() layer_rescaling(x, 1:2), function() layer_spatial_dropout_1d(x[, 1, ], 0.5),
    function() layer_unit_normalization(x, axis = 4), function() layer_rms_normalization(x, axis = 1), function() layer_activation_parametric_relu(x, shared_axes = 5)
  )
  expect_error(layer_conv_1d(x, 2, 2, wide = 3), class = "attentive_error_name")
  expect_error(layer_identity(x, 3), class = "attentive_error_name")
  expect_error(layer_activation_softmax(axis = c(2, 3)), class = "attentive_error_not_yet")
  layer <- layer_conv_1d(filters = 2, kernel_size = 2)
  layer(x)
  expect_error(layer(noise(2, 5, 2)), "built for 3 features", class = "attentive_error_shape")
})
