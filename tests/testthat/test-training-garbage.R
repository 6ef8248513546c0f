# Random objects into random arguments of training: each call ends in a result or in one of the package's own errors, and after an error
# the model can be trained as before. The seed is pinned; a failure prints the very call.

calls <- as.integer(Sys.getenv("ATTENTIVE_GARBAGE", "400"))

training_targets <- list(
  compile = list(alist(object = model, optimizer = "sgd", loss = "mse"), c("metrics", "loss_weights", "weighted_metrics", "odd")),
  fit = list(
    alist(object = model, x = x, y = y, verbose = 0, epochs = 1),
    c("batch_size", "callbacks", "validation_split", "validation_data", "shuffle", "class_weight", "sample_weight", "initial_epoch",
      "steps_per_epoch", "validation_steps", "validation_batch_size", "validation_freq", "threads", "odd")
  ),
  evaluate = list(alist(object = model, x = x, y = y, verbose = 0), c("batch_size", "sample_weight", "steps", "callbacks", "threads")),
  predict = list(alist(object = model, x = x), c("batch_size", "steps", "callbacks", "verbose", "threads")),
  train_on_batch = list(alist(object = model, x = x, y = y), c("sample_weight", "class_weight")),
  test_on_batch = list(alist(object = model, x = x, y = y), "sample_weight"),
  predict_on_batch = list(alist(object = model, x = x), character()),
  optimizer_sgd = list(alist(learning_rate = 0.1), c("momentum", "nesterov", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "name", "use_ema")),
  optimizer_rmsprop = list(alist(learning_rate = 0.1), c("rho", "momentum", "epsilon", "centered", "name")),
  optimizer_adam = list(alist(learning_rate = 0.1), c("beta_1", "beta_2", "epsilon", "amsgrad")),
  optimizer_adam_w = list(alist(learning_rate = 0.1), c("weight_decay", "beta_1")),
  loss_mean_squared_error = list(alist(y_true = y, y_pred = y), c("reduction", "name", "odd")),
  loss_sparse_categorical_crossentropy = list(alist(y_true = labels, y_pred = probabilities), c("ignore_class", "from_logits", "axis", "reduction")),
  loss_categorical_crossentropy = list(alist(y_true = probabilities, y_pred = probabilities), c("label_smoothing", "from_logits")),
  loss_huber = list(alist(delta = 1), c("reduction", "name")),
  metric_binary_accuracy = list(alist(y_true = y, y_pred = y), c("threshold", "name")),
  metric_sparse_top_k_categorical_accuracy = list(alist(y_true = labels, y_pred = probabilities), c("k", "name")),
  callback_early_stopping = list(alist(monitor = "loss"), c("min_delta", "patience", "verbose", "mode", "baseline", "restore_best_weights", "start_from_epoch")),
  callback_learning_rate_scheduler = list(alist(schedule = function(epoch) 0.1), "verbose"),
  callback_lambda = list(alist(on_epoch_end = function(epoch, logs) NULL), c("on_train_begin", "on_test_end", "odd"))
)

random_training_call <- function() {
  name <- sample(names(training_targets), 1, prob = c(3, 8, 3, 2, 3, 2, 1, rep(1, length(training_targets) - 7)))
  arguments <- training_targets[[name]][[1]]
  known <- c(names(arguments), training_targets[[name]][[2]])
  for (one in sample(known, min(length(known), sample(c(1, 1, 1, 2, 3), 1)))) arguments[one] <- list(random_garbage(known))
  as.call(c(list(as.name(name)), arguments))
}

test_that("random objects in trainings end in a result or a classed error", {
  withr::local_seed(2025)
  withr::local_options(warn = 1)
  scene <- new.env(parent = environment())
  scene$x <- wave(c(8, 2))
  scene$y <- wave(c(8, 1), 0.5)
  scene$labels <- rep_len(0:2, 8)
  scene$probabilities <- matrix(1 / 3, 8, 3)
  scene$model <- fill_weights(linear_model(2))
  compile(scene$model, "sgd", "mse")
  weights <- get_weights(scene$model)
  # generics has no method for what is no model: an error of R's own
  elsewhere <- "no applicable method|matched by multiple|is missing, with no default|evaluated"
  for (i in seq_len(calls)) {
    code <- random_training_call()
    failure <- NULL
    suppressWarnings(suppressMessages(utils::capture.output(tryCatch(
      eval(code, scene), attentive_error = function(e) NULL, error = function(e) failure <<- e, interrupt = function(e) NULL
    ))))
    if (!is.null(failure) && !grepl(elsewhere, conditionMessage(failure))) {
      # an argument that cannot be evaluated is nobody's fault here
      whole <- tryCatch({ for (argument in as.list(code)[-1]) eval(argument, scene); TRUE }, error = function(e) FALSE)
      if (whole) fail(sprintf("call %d: %s\n  %s", i, paste(deparse(code), collapse = " "), conditionMessage(failure)))
    }
    # back to where it was
    scene$model <- fill_weights(linear_model(2))
    compile(scene$model, "sgd", "mse")
  }
  set_weights(scene$model, weights)
  expect_silent(fit(scene$model, scene$x, scene$y, verbose = 0))
})
