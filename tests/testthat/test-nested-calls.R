# A function of R that runs within a call of a model may use that model.

# The numbers that a training reports and leaves behind; `inner(model)` is called within each step, `seen` is what it gave.
nested_fit <- function(inner, compiling = function(model, metric) compile(model, optimizer_adam(0.01), "mse", metrics = list(metric)), ...) {
  set.seed(1)
  input <- keras_input(3)
  model <- keras_model(input, layer_dense(layer_dense(input, 8, activation = "tanh", ...), 1))
  x <- matrix(cos(1:96), 32)
  seen <- list()
  metric <- custom_metric("largest", function(y_true, y_pred) {
    values <- y_pred + 0
    if (!is.numeric(values)) stop("this metric works on arrays") # a metric of tensors is not called in a step
    seen[[length(seen) + 1L]] <<- inner(model)
    max(abs(values))
  })
  compiling(model, metric)
  history <- fit(model, x, rowSums(x), epochs = 2, batch_size = 8, verbose = 0)
  list(weights = get_weights(model), metrics = history$metrics, seen = seen, model = model)
}

new_rows <- function() matrix(sin(1:30), 10)

test_that("a metric may call the model that is trained, and the training does not notice", {
  alone <- nested_fit(function(model) NULL)
  predicted <- nested_fit(function(model) predict(model, new_rows()))
  called <- nested_fit(function(model) as.array(model(new_rows())))
  measured <- nested_fit(function(model) predict(model, new_rows(), batch_size = 3, threads = 1))
  for (nested in list(predicted, called, measured)) {
    expect_identical(nested$weights, alone$weights)
    expect_identical(nested$metrics, alone$metrics)
    expect_length(nested$seen, 8)
  }
  expect_identical(called$seen, predicted$seen)
  expect_identical(measured$seen, predicted$seen)
})

test_that("the numbers within a step are those of the weights before it", {
  nested <- nested_fit(function(model) list(weights = get_weights(model), values = predict(model, new_rows())))
  for (seen in nested$seen) {
    set_weights(nested$model, seen$weights)
    expect_identical(predict(nested$model, new_rows()), seen$values)
  }
})

test_that("a regularizer and a constraint of one's own may call the model", {
  made <- function(inner) {
    model <- NULL
    use <- function() if (!is.null(model)) inner(model)
    penalty <- regularizer_custom(function(x) {
      use()
      sum(x^2)
    }, gradient = function(x) {
      use()
      2 * x
    })
    smaller <- function(w) {
      use()
      w * 0.99
    }
    set.seed(2)
    input <- keras_input(3)
    model <- keras_model(input, layer_dense(input, 2, kernel_regularizer = penalty, kernel_constraint = smaller))
    x <- matrix(cos(1:48), 16)
    compile(model, "adam", "mse")
    fit(model, x, x[, 1:2], epochs = 2, batch_size = 8, verbose = 0)
    get_weights(model)
  }
  expect_identical(made(function(model) predict(model, new_rows())), made(function(model) NULL))
})

test_that("a layer's function may call the model it is in, once", {
  used <- inner <- NULL
  input <- keras_input(3)
  twice <- layer_lambda(layer_dense(input, 3), f = function(x) {
    if (!is.numeric(x)) stop("this function works on arrays") # so that it is called by the model
    model <- used
    used <<- NULL
    if (!is.null(model)) inner <<- predict(model, new_rows())
    x * 2
  })
  model <- keras_model(input, twice)
  x <- matrix(sin(1:12), 4)
  alone <- predict(model, x)
  used <- model
  expect_identical(predict(model, x), alone)
  expect_identical(inner, predict(model, new_rows()))
})

test_that("a step within a step is an error that says where it belongs", {
  step <- function(model) train_on_batch(model, new_rows(), rowSums(new_rows()))
  expect_error(nested_fit(step), "cannot begin while the same model computes", class = "attentive_error_state")
  caught <- nested_fit(function(model) tryCatch(step(model), attentive_error_state = function(e) "refused"))
  expect_identical(unique(caught$seen), list("refused"))
  expect_identical(caught$weights, nested_fit(function(model) NULL)$weights)
})

test_that("an error within a step leaves a model that can be used", {
  expect_error(nested_fit(function(model) predict(model, matrix(0, 2, 7))), class = "attentive_error_shape")
  model <- NULL
  failing <- function(it) {
    model <<- it
    predict(it, new_rows())
    stop("no more")
  }
  expect_error(nested_fit(failing), "no more")
  expect_identical(predict(model, new_rows()), as.array(model(new_rows())))
  expect_silent(train_on_batch(compile(model, "sgd", "mse"), new_rows(), rowSums(new_rows())))
})

test_that("callbacks may predict between two steps", {
  trained <- function(used) {
    set.seed(3)
    input <- keras_input(3)
    model <- keras_model(input, layer_dense(layer_dense(input, 8, activation = "tanh"), 1))
    compile(model, "adam", "mse")
    x <- matrix(cos(1:96), 32)
    last <- NULL
    look <- function(...) if (used) last <<- predict(model, new_rows())
    watch <- callback_lambda(on_train_batch_begin = look, on_train_batch_end = look, on_epoch_end = look, on_train_end = look)
    fit(model, x, rowSums(x), epochs = 2, batch_size = 8, validation_split = 0.25, callbacks = list(watch), verbose = 0)
    list(weights = get_weights(model), last = last, now = predict(model, new_rows()))
  }
  with <- trained(TRUE)
  expect_identical(with$weights, trained(FALSE)$weights)
  expect_identical(with$last, with$now)
})
