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
  "sgd global" = function() optimizer_sgd(0.1, global_clipnorm = 0.3)
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
  expect_error(optimizer_sgd(use_ema = TRUE), class = "attentive_error_not_yet")
  expect_error(optimizer_sgd(gradient_accumulation_steps = 2), class = "attentive_error_not_yet")
  expect_error(optimizer_sgd(lr = 1), class = "attentive_error_name")
  expect_error(as_optimizer("adm"), "adam", class = "attentive_error_name")
  expect_error(as_optimizer(3), class = "attentive_error_argument")
  expect_error(as_optimizer(loss_huber), class = "attentive_error_argument")
})
