# Optimizers: objects, and the update against the textbook over 20 steps.

optimizers <- list(
  sgd = function() optimizer_sgd(0.1),
  "sgd momentum" = function() optimizer_sgd(0.05, momentum = 0.9),
  "sgd nesterov" = function() optimizer_sgd(0.05, momentum = 0.8, nesterov = TRUE),
  "sgd decay" = function() optimizer_sgd(0.1, weight_decay = 0.02),
  rmsprop = function() optimizer_rmsprop(0.01),
  "rmsprop momentum" = function() optimizer_rmsprop(0.01, rho = 0.8, momentum = 0.7),
  "rmsprop centered" = function() optimizer_rmsprop(0.01, centered = TRUE),
  "rmsprop both" = function() optimizer_rmsprop(0.01, momentum = 0.5, centered = TRUE),
  adam = function() optimizer_adam(0.05),
  "adam amsgrad" = function() optimizer_adam(0.05, beta_1 = 0.5, beta_2 = 0.6, amsgrad = TRUE),
  "adam decay" = function() optimizer_adam(0.05, weight_decay = 0.01),
  adam_w = function() optimizer_adam_w(0.05),
  "adam clipnorm" = function() optimizer_adam(0.05, clipnorm = 0.05),
  "sgd clipnorm" = function() optimizer_sgd(0.1, clipnorm = 0.2),
  "sgd clipvalue" = function() optimizer_sgd(0.1, clipvalue = 0.1),
  "sgd global" = function() optimizer_sgd(0.1, global_clipnorm = 0.3),
  adagrad = function() optimizer_adagrad(0.1, initial_accumulator_value = 0.3),
  "adagrad clipnorm" = function() optimizer_adagrad(0.1, clipnorm = 0.1, weight_decay = 0.05),
  adadelta = function() optimizer_adadelta(1, rho = 0.8),
  "adadelta clipvalue" = function() optimizer_adadelta(1, epsilon = 1e-3, clipvalue = 0.1),
  adamax = function() optimizer_adamax(0.05),
  "adamax decay" = function() optimizer_adamax(0.05, beta_1 = 0.5, beta_2 = 0.6, weight_decay = 0.1),
  nadam = function() optimizer_nadam(0.05),
  "nadam global" = function() optimizer_nadam(0.05, beta_1 = 0.99, beta_2 = 0.5, global_clipnorm = 0.1),
  lion = function() optimizer_lion(0.01),
  "lion decay" = function() optimizer_lion(0.02, beta_1 = 0.5, beta_2 = 0.6, weight_decay = 0.1),
  ftrl = function() optimizer_ftrl(0.1),
  "ftrl penalties" = function() optimizer_ftrl(0.1, -0.7, 0.2, 0.02, 0.03, 0.04, 0.1),
  "ftrl l1" = function() optimizer_ftrl(0.1, l1_regularization_strength = 0.2),
  lamb = function() optimizer_lamb(0.05),
  "lamb decay" = function() optimizer_lamb(0.05, beta_1 = 0.5, epsilon = 0.1, weight_decay = 0.1)
)

for (name in names(optimizers)) {
  test_that(paste("twenty steps of", name, "follow its formula"), {
    optimizer <- optimizers[[name]]()
    model <- fill_weights(linear_model(3, 2))
    start <- get_weights(model)
    x <- wave(c(12, 3))
    y <- wave(c(12, 2), 0.7)
    compile(model, optimizer, "mse")
    fit(model, x, y, batch_size = 12, epochs = 20, shuffle = FALSE, verbose = 0)
    expected <- textbook_training(optimizers[[name]](), start[[1]], as.vector(start[[2]]), x, y, 20)
    expect_close(get_weights(model)[[1]], expected[[1]], 1e-12, "kernel")
    expect_close(as.vector(get_weights(model)[[2]]), expected[[2]], 1e-12, "bias")
    expect_identical(as.double(optimizer$iterations), 20)
  })
}

test_that("three steps give the numbers that Keras gives", {
  # the gradient of sum(w * g) is g: one sample whose truth makes it so
  check <- function(optimizer, expected) {
    model <- linear_model(1, 2, use_bias = FALSE)
    set_weights(model, list(matrix(c(1, -2), 1)))
    compile(model, optimizer, "mse")
    for (k in 1:3) {
      prediction <- predict(model, matrix(1))
      train_on_batch(model, matrix(1), prediction - matrix(c(0.5, -k), 1)) # 2 * e / 2
    }
    expect_close(as.vector(get_weights(model)[[1]]), expected, 5e-5, format(optimizer))
  }
  check(optimizer_sgd(0.1), c(0.85, -1.4))
  check(optimizer_sgd(0.1, momentum = 0.9), c(0.7195, -1.0490))
  check(optimizer_sgd(0.1, momentum = 0.9, nesterov = TRUE), c(0.59755, -0.5441))
  check(optimizer_adam(0.1), c(0.70000, -1.70768))
  check(optimizer_adam_w(0.1, weight_decay = 0.01), c(0.69731, -1.70199))
  check(optimizer_rmsprop(0.1), c(0.26226, -1.13899))
})

test_that("an optimizer shows what it is and lets its learning rate be set", {
  optimizer <- optimizer_adam(0.01, clipnorm = 1)
  expect_output(print(optimizer), "optimizer_adam(learning_rate = 0.01, clipnorm = 1", fixed = TRUE)
  expect_equal(as.double(optimizer$learning_rate), 0.01)
  optimizer$learning_rate <- 0.5
  expect_identical(as.double(optimizer$learning_rate), 0.5)
  expect_identical(optimizer$get_config()$learning_rate, 0.5)
  expect_identical(attr(get_config(optimizer), "class_name"), "Adam")
  expect_equal(as.numeric(as.array(optimizer$iterations)), 0)
  expect_identical(optimizer$beta_2, 0.999)
  expect_error(optimizer$beta, class = "attentive_error_name")
  expect_error(optimizer$beta_1 <- 3, class = "attentive_error_name")
  model <- linear_model()
  compile(model, "adam", "mse")
  model$optimizer$learning_rate <- 0.25
  expect_identical(as.double(model$optimizer$learning_rate), 0.25)
})

test_that("defaults and names are Keras's", {
  expect_identical(unlist(get_config(optimizer_sgd())[c("learning_rate", "momentum")]), c(learning_rate = 0.01, momentum = 0))
  expect_identical(unlist(get_config(optimizer_rmsprop())[c("learning_rate", "rho", "epsilon")]), c(learning_rate = 0.001, rho = 0.9, epsilon = 1e-7))
  expect_identical(
    unlist(get_config(optimizer_adam())[c("learning_rate", "beta_1", "beta_2", "epsilon")]),
    c(learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7)
  )
  expect_identical(optimizer_adam_w()$weight_decay, 0.004)
  for (spelling in list("adamw", "AdamW", "adam_w", optimizer_adam_w)) {
    expect_s3_class(as_optimizer(spelling), "attentive_optimizer_adam_w")
  }
  expect_s3_class(as_optimizer("SGD"), "attentive_optimizer_sgd")
  expect_s3_class(as_optimizer("RMSprop"), "attentive_optimizer_rmsprop")
})

test_that("a learning rate may be a function of the step", {
  model <- linear_model(1, 1, use_bias = FALSE)
  set_weights(model, list(matrix(0)))
  seen <- c()
  compile(model, optimizer_sgd(function(step) {
    seen <<- c(seen, step)
    1 / (step + 1)
  }), "mse")
  fit(model, matrix(1, 4), matrix(1, 4), batch_size = 2, epochs = 2, verbose = 0)
  expect_identical(unique(seen), c(0, 1, 2, 3))
  expect_error(model$optimizer$learning_rate <- 1, class = "attentive_error_state")
  expect_equal(as.double(optimizer_adam(function() 0.3)$learning_rate), 0.3)
  expect_error(optimizer_sgd(function(step) "a"), class = "attentive_error_argument")
})

test_that("what cannot be is said", {
  expect_error(optimizer_adam(clipnorm = 1, clipvalue = 2), "one way only", class = "attentive_error_argument")
  expect_error(optimizer_adam("0.1"), class = "attentive_error_argument")
  expect_error(optimizer_adam(-1), class = "attentive_error_argument")
  expect_error(optimizer_adam(beta_1 = 1), class = "attentive_error_argument")
  expect_error(optimizer_sgd(momentum = 2), class = "attentive_error_argument")
  expect_error(optimizer_adam_w(weight_decay = NULL), class = "attentive_error_argument")
  wrong <- list(
    quote(optimizer_sgd(use_ema = 1)), quote(optimizer_sgd(ema_momentum = 1.5)), quote(optimizer_sgd(ema_overwrite_frequency = 0)),
    quote(optimizer_adam(gradient_accumulation_steps = 1)), quote(optimizer_adam(gradient_accumulation_steps = 2.5)),
    quote(optimizer_adam(loss_scale_factor = 0)), quote(optimizer_adagrad(initial_accumulator_value = -1)), quote(optimizer_adadelta(rho = 2)),
    quote(optimizer_adamax(beta_2 = 1)), quote(optimizer_nadam(beta_1 = 1)), quote(optimizer_lion(beta_1 = -1)), quote(optimizer_ftrl(learning_rate_power = 1)),
    quote(optimizer_ftrl(l1_regularization_strength = -1)), quote(optimizer_lamb(epsilon = -1)), quote(optimizer_lamb(learning_rate = "a"))
  )
  for (one in wrong) expect_error(eval(one), class = "attentive_error_argument", label = deparse(one))
  expect_error(optimizer_sgd(lr = 1), class = "attentive_error_name")
  expect_error(as_optimizer("adm"), "adam", class = "attentive_error_name")
  expect_error(as_optimizer(3), class = "attentive_error_argument")
  expect_error(as_optimizer(loss_huber), class = "attentive_error_argument")
})

test_that("optimizers follow their formulas in single precision too", {
  x <- wave(c(12, 3))
  y <- wave(c(12, 2), 0.7)
  for (name in names(optimizers)) {
    input <- keras_input(3, dtype = "float32")
    model <- fill_weights(keras_model(input, layer_dense(input, 2, dtype = "float32")))
    start <- get_weights(model)
    compile(model, optimizers[[name]](), "mse")
    fit(model, x, y, batch_size = 12, epochs = 5, shuffle = FALSE, verbose = 0)
    expected <- textbook_training(optimizers[[name]](), start[[1]], as.vector(start[[2]]), x, y, 5)
    expect_close(get_weights(model)[[1]], expected[[1]], 2e-5, name)
  }
})

# Accumulation, running means, schedules ---------------------------------------------

combinations <- list(
  "accumulated sgd" = function() optimizer_sgd(0.1, gradient_accumulation_steps = 3),
  "accumulated adam, clipped" = function() optimizer_adam(0.05, clipnorm = 0.05, weight_decay = 0.1, gradient_accumulation_steps = 2),
  "accumulated nadam, clipped together" = function() optimizer_nadam(0.05, global_clipnorm = 0.1, gradient_accumulation_steps = 4),
  "averaged sgd" = function() optimizer_sgd(0.1, momentum = 0.5, use_ema = TRUE, ema_momentum = 0.8),
  "averaged adam, overwritten" = function() optimizer_adam(0.05, use_ema = TRUE, ema_momentum = 0.5, ema_overwrite_frequency = 3),
  "averaged and accumulated" = function() optimizer_adagrad(0.1, use_ema = TRUE, ema_momentum = 0.9, ema_overwrite_frequency = 2, gradient_accumulation_steps = 3),
  "all of it" = function() {
    optimizer_rmsprop(learning_rate_schedule_exponential_decay(0.05, 4, 0.5), weight_decay = 0.02, clipvalue = 0.2, use_ema = TRUE, ema_momentum = 0.7,
      gradient_accumulation_steps = 2, loss_scale_factor = 8)
  },
  "adam by a schedule" = function() optimizer_adam(learning_rate_schedule_cosine_decay(0, 10, 0.1, warmup_target = 0.1, warmup_steps = 5))
)

test_that("an optimizer comes back from its configuration", {
  for (make in c(optimizers, combinations)) {
    optimizer <- make()
    expect_identical(format(from_config(get_config(optimizer))), format(optimizer))
  }
  config <- get_config(combinations[["all of it"]]())
  config$learning_rate <- list(class_name = "ExponentialDecay", config = unclass(get_config(config$learning_rate)))
  expect_identical(format(from_config(config)), format(combinations[["all of it"]]()))
})

for (name in names(combinations)) {
  test_that(paste(name, "follows the formulas over batches"), {
    optimizer <- combinations[[name]]()
    model <- fill_weights(linear_model(3, 2))
    start <- get_weights(model)
    x <- wave(c(14, 3))
    y <- wave(c(14, 2), 0.7)
    compile(model, optimizer, "mse")
    fit(model, x, y, batch_size = 4, epochs = 5, shuffle = FALSE, verbose = 0)
    expected <- textbook_batches(combinations[[name]](), start[[1]], as.vector(start[[2]]), x, y, 4, 5)
    expect_close(get_weights(model)[[1]], expected[[1]], 1e-12, "kernel")
    expect_close(as.vector(get_weights(model)[[2]]), expected[[2]], 1e-12, "bias")
    every <- optimizer$gradient_accumulation_steps
    expect_identical(as.double(optimizer$iterations), if (is.null(every)) 20 else 20 %/% every)
  })
}

test_that("weights that no gradient reaches keep their numbers under a running mean", {
  input <- keras_input(2, dtype = "float64")
  side <- layer_dense(input, 1, dtype = "float64")
  model <- keras_model(input, list(layer_dense(input, 1, dtype = "float64"), side))
  compile(model, optimizer_sgd(0.1, use_ema = TRUE), list("mse", NULL))
  before <- get_weights(model)
  fit(model, wave(c(8, 2)), list(wave(c(8, 1)), NULL), batch_size = 2, epochs = 2, verbose = 0)
  after <- get_weights(model)
  expect_identical(vapply(seq_along(before), function(i) identical(before[[i]], after[[i]]), NA), c(FALSE, FALSE, TRUE, TRUE))
})

test_that("single batches train without ending on the running mean", {
  model <- fill_weights(linear_model(3, 2))
  start <- get_weights(model)
  x <- wave(c(6, 3))
  y <- wave(c(6, 2), 0.7)
  compile(model, optimizer_sgd(0.1, use_ema = TRUE), "mse")
  for (i in 1:3) train_on_batch(model, x, y)
  expected <- textbook_batches(optimizer_sgd(0.1, use_ema = TRUE), start[[1]], as.vector(start[[2]]), x, y, 6, 3, finish = FALSE)
  expect_close(get_weights(model)[[1]], expected[[1]], 1e-12)
})

test_that("schedules are what their formulas say", {
  s <- c(0:40, 2.5, 1000)
  check <- function(schedule, expected, label = format(schedule)) {
    expect_close(schedule(s), vapply(s, expected, 0), 1e-14, label)
    expect_identical(schedule(s[[7]]), schedule(s)[[7]])
    again <- do.call(paste0("learning_rate_", sub("\\(.*", "", sub("learning_rate_", "", format(schedule)))), unclass(get_config(schedule)))
    expect_identical(get_config(again), get_config(schedule))
    expect_identical(again(s), schedule(s))
    expect_output(print(schedule), "learning_rate_schedule_")
  }
  check(learning_rate_schedule_exponential_decay(0.1, 10, 0.9), function(s) 0.1 * 0.9^(s / 10))
  check(learning_rate_schedule_exponential_decay(0.1, 10, 0.9, staircase = TRUE), function(s) 0.1 * 0.9^(s %/% 10))
  check(learning_rate_schedule_inverse_time_decay(0.1, 10, 0.5), function(s) 0.1 / (1 + 0.5 * s / 10))
  check(learning_rate_schedule_inverse_time_decay(0.1, 10, 0.5, TRUE), function(s) 0.1 / (1 + 0.5 * s %/% 10))
  check(learning_rate_schedule_polynomial_decay(0.1, 8), function(s) (0.1 - 1e-4) * (1 - min(s, 8) / 8) + 1e-4)
  check(learning_rate_schedule_polynomial_decay(0.1, 8, 0.01, 2, cycle = TRUE), function(s) {
    steps <- 8 * (if (s == 0) 1 else ceiling(s / 8))
    (0.1 - 0.01) * (1 - s / steps)^2 + 0.01
  })
  check(learning_rate_schedule_piecewise_constant_decay(c(5, 12), c(1, 0.5, 0.1)), function(s) if (s <= 5) 1 else if (s <= 12) 0.5 else 0.1)
  cosine <- function(s, S, alpha) (1 - alpha) * 0.5 * (1 + cos(pi * min(s, S) / S)) + alpha
  check(learning_rate_schedule_cosine_decay(0.1, 20), function(s) 0.1 * cosine(s, 20, 0))
  check(learning_rate_schedule_cosine_decay(0.1, 20, alpha = 0.2), function(s) 0.1 * cosine(s, 20, 0.2))
  check(learning_rate_schedule_cosine_decay(0.01, 20, 0.2, warmup_target = 0.1, warmup_steps = 5), function(s) {
    if (s < 5) 0.01 + 0.09 * s / 5 else 0.1 * cosine(s - 5, 20, 0.2)
  })
  restarts <- function(t_mul, m_mul) {
    function(s) {
      length <- 6
      peak <- 1
      while (s >= length) {
        s <- s - length
        length <- length * t_mul
        peak <- peak * m_mul
      }
      0.1 * (0.9 * 0.5 * peak * (1 + cos(pi * s / length)) + 0.1)
    }
  }
  for (t_mul in c(1, 2, 3, 1.5)) {
    check(learning_rate_schedule_cosine_decay_restarts(0.1, 6, t_mul, 0.8, 0.1), restarts(t_mul, 0.8), paste("restarts", t_mul))
  }
})

test_that("a schedule belongs to an optimizer, a saved one too", {
  schedule <- learning_rate_schedule_exponential_decay(0.1, 10, 0.9)
  optimizer <- optimizer_sgd(schedule)
  expect_identical(as.double(optimizer$learning_rate), 0.1)
  expect_output(print(optimizer), "learning_rate_schedule_exponential_decay(initial_learning_rate = 0.1", fixed = TRUE)
  expect_identical(get_config(get_config(optimizer)$learning_rate), get_config(schedule))
  expect_identical(schedule$decay_rate, 0.9)
  expect_identical(attr(get_config(schedule), "class_name"), "ExponentialDecay")
  expect_error(schedule$rate, class = "attentive_error_name")
  model <- linear_model()
  compile(model, optimizer, "mse")
  fit(model, wave(c(8, 3)), wave(c(8, 1)), batch_size = 4, verbose = 0)
  expect_close(as.double(model$optimizer$learning_rate), schedule(2), 1e-15)
  expect_error(model$optimizer$learning_rate <- 1, class = "attentive_error_state")
  file <- withr::local_tempfile()
  saveRDS(model, file)
  expect_close(as.double(readRDS(file)$optimizer$learning_rate), schedule(2), 1e-15)
  wrong <- list(
    quote(learning_rate_schedule_exponential_decay(0.1, 0, 0.9)), quote(learning_rate_schedule_exponential_decay(0.1, 10)),
    quote(learning_rate_schedule_exponential_decay(-1, 10, 0.9)), quote(learning_rate_schedule_inverse_time_decay("a", 10, 0.9)),
    quote(learning_rate_schedule_polynomial_decay(0.1)), quote(learning_rate_schedule_polynomial_decay(0.1, 5, cycle = NA)),
    quote(learning_rate_schedule_piecewise_constant_decay(c(5, 1), c(1, 2, 3))), quote(learning_rate_schedule_piecewise_constant_decay(1, 1)),
    quote(learning_rate_schedule_piecewise_constant_decay(1)), quote(learning_rate_schedule_cosine_decay(0.1, 10, alpha = -1)),
    quote(learning_rate_schedule_cosine_decay_restarts(0.1, 10, t_mul = 0.5)), quote(schedule(-1)), quote(schedule("a")), quote(schedule())
  )
  for (one in wrong) expect_error(eval(one), class = "attentive_error_argument", label = deparse(one))
})

test_that("an optimizer of two models trains each as if it were alone", {
  x <- matrix(sin(1:24), 8)
  make <- function(optimizer) {
    set_random_seed(1)
    model <- keras_model_sequential(3)
    layer_dense(model, 2)
    compile(model, optimizer, "mse")
    model
  }
  train <- function(model, steps) for (i in seq_len(steps)) train_on_batch(model, x, x[, 1:2])
  for (optimizer in list(optimizer_adam(0.05, use_ema = TRUE), optimizer_sgd(learning_rate_schedule_exponential_decay(0.1, 2, 0.5), momentum = 0.9))) {
    alone <- make(from_config(get_config(optimizer)))
    train(alone, 6)
    first <- make(optimizer)
    expect_identical(first$optimizer, optimizer)
    train(first, 3)
    second <- make(optimizer)
    expect_identical(format(second$optimizer), sub("3 steps", "0 steps", format(optimizer)))
    train(second, 6)
    train(first, 3)
    expect_identical(get_weights(first), get_weights(alone))
    expect_identical(get_weights(second), get_weights(alone))
    expect_identical(as.double(optimizer$iterations), 6)
    again <- second$optimizer
    compile(second, again, "mae")
    expect_identical(second$optimizer, again)
    second$optimizer <- optimizer
    expect_false(identical(second$optimizer, optimizer))
    kept <- unserialize(serialize(first, NULL))
    train(kept, 2)
    train(first, 2)
    expect_identical(get_weights(kept), get_weights(first))
  }
  rated <- optimizer_sgd(0.1)
  make(rated)
  rated$learning_rate <- 0.025
  expect_identical(as.double(make(rated)$optimizer$learning_rate), 0.025)
})

test_that("what is remembered of layers that were taken off is not shown", {
  model <- keras_model_sequential(3)
  layer_dense(model, 4)
  layer_dense(model, 2)
  compile(model, "adam", "mse")
  x <- matrix(sin(1:24), 8)
  train_on_batch(model, x, x[, 1:2])
  expect_output(print(model), "Optimizer params: 54 ") # 2 + 2 * (16 + 10)
  pop_layer(model)
  expect_output(print(model), "Optimizer params: 34 ")
  layer_dense(model, 1)
  expect_output(print(model), "Optimizer params: 34 ")
  train_on_batch(model, x, x[, 1])
  expect_output(print(model), "Optimizer params: 44 ")
  pop_layer(model)
  pop_layer(model)
  expect_false(any(grepl("Optimizer", capture.output(print(model)))))
})
