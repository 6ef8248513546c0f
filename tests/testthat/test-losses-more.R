# The other losses and metrics that are means: against formulas in plain R, in
# models with weights, masks and both dtypes, and on arrays.

tiny <- 1e-7
bound <- function(x, low, high) pmin(pmax(x, low), high)
sigmoid <- function(x) 1 / (1 + exp(-x))
softmax <- function(x) exp(x) / rowSums(exp(x))
entropy <- function(y, p) {
  p <- bound(p, tiny, 1 - tiny)
  -(y * log(p) + (1 - y) * log(1 - p))
}
focal <- function(y, p, gamma, alpha = NULL) {
  weight <- if (is.null(alpha)) 1 else y * alpha + (1 - y) * (1 - alpha)
  rowMeans(weight * (1 - (y * p + (1 - y) * (1 - p)))^gamma * entropy(y, p))
}
classes_focal <- function(y, p, gamma, alpha) {
  q <- bound(p / rowSums(p), tiny, 1 - tiny)
  rowSums(-y * log(q) * sweep((1 - q)^gamma, 2, alpha, "*"))
}

# What each loss gives for the rows of two matrices. `range` is that of
# predictions, "simplex" for probabilities that add up to 1.
textbook_losses <- list(
  mape = list(loss_mean_absolute_percentage_error(), function(y, p) rowMeans(100 * abs(y - p) / pmax(abs(y), tiny))),
  msle = list(loss_mean_squared_logarithmic_error(), function(y, p) rowMeans((log(pmax(y, tiny) + 1) - log(pmax(p, tiny) + 1))^2)),
  log_cosh = list(loss_log_cosh(), function(y, p) rowMeans(log(cosh(p - y)))),
  poisson = list(loss_poisson(), function(y, p) rowMeans(p - y * log(p + tiny))),
  kl_divergence = list(loss_kl_divergence(), function(y, p) {
    y <- bound(y, tiny, 1)
    rowSums(y * log(y / bound(p, tiny, 1)))
  }),
  hinge = list(loss_hinge(), function(y, p) rowMeans(pmax(1 - (2 * y - 1) * p, 0)), binary = TRUE),
  squared_hinge = list(loss_squared_hinge(), function(y, p) rowMeans(pmax(1 - (2 * y - 1) * p, 0)^2), binary = TRUE),
  categorical_hinge = list(loss_categorical_hinge(), function(y, p) pmax(apply((1 - y) * p, 1, max) - rowSums(y * p) + 1, 0), binary = TRUE),
  cosine_similarity = list(loss_cosine_similarity(), function(y, p) -rowSums(y * p) / sqrt(rowSums(y^2) * rowSums(p^2))),
  binary_focal = list(loss_binary_focal_crossentropy(), function(y, p) focal(y, p, 2)),
  binary_focal_balanced = list(loss_binary_focal_crossentropy(apply_class_balancing = TRUE, alpha = 0.4, gamma = 1.5), function(y, p) focal(y, p, 1.5, 0.4)),
  binary_focal_smooth = list(loss_binary_focal_crossentropy(label_smoothing = 0.2, gamma = 0), function(y, p) focal(y * 0.8 + 0.1, p, 0)),
  binary_focal_logits = list(loss_binary_focal_crossentropy(from_logits = TRUE, gamma = 3), function(y, p) focal(y, sigmoid(p), 3)),
  categorical_focal = list(loss_categorical_focal_crossentropy(), function(y, p) classes_focal(y, p, 2, rep(0.25, 3))),
  categorical_focal_each = list(loss_categorical_focal_crossentropy(alpha = c(0.2, 0.5, 0.9), gamma = 1, label_smoothing = 0.3), function(y, p) {
    classes_focal(y * 0.7 + 0.1, p, 1, c(0.2, 0.5, 0.9))
  }),
  categorical_focal_logits = list(loss_categorical_focal_crossentropy(from_logits = TRUE), function(y, p) classes_focal(y, softmax(p), 2, rep(0.25, 3)))
)

set.seed(21)
truths <- function(n, binary) if (isTRUE(binary)) matrix(rep_len(c(0, 1, 1, 0, 0), 3 * n), n) else matrix(runif(3 * n, 0.05, 1), n)

test_that("losses give the numbers that Keras gives", {
  y <- rbind(c(0, 1), c(0, 0))
  p <- rbind(c(0.6, 0.4), c(0.4, 0.6))
  expect_close(loss_binary_focal_crossentropy(y, p, gamma = 2), c(0.330, 0.206), 1e-3)
  y <- rbind(c(0, 1, 0), c(0, 0, 1))
  p <- rbind(c(0.05, 0.95, 0), c(0.1, 0.8, 0.1))
  expect_close(loss_categorical_focal_crossentropy(y, p), c(3.2058331e-05, 4.6627346e-01), 1e-7)
  y <- rbind(c(0, 1), c(1, 1))
  p <- rbind(c(1, 0), c(1, 1))
  expect_close(loss_cosine_similarity()(y, p), -0.5, 1e-6)
  expect_close(metric_cosine_similarity()(y, p), 0.5, 1e-6)
  y <- rbind(c(0, 1), c(0, 0))
  p <- rbind(c(0.6, 0.4), c(0.4, 0.6))
  expect_close(loss_hinge()(y, p), 1.3, 1e-6)
  expect_close(loss_squared_hinge()(y, p), 1.86, 1e-6)
  expect_close(loss_categorical_hinge()(y, p), 1.4, 1e-6)
  expect_close(loss_kl_divergence()(y, p), 0.458, 1e-3)
  expect_close(loss_poisson()(rbind(c(0, 1), c(0, 0)), rbind(c(1, 1), c(0, 0))), 0.5, 1e-6)
  expect_close(loss_log_cosh()(c(0, 1, 0, 0), c(1, 1, 0, 0)), 0.108, 1e-3)
})

for (name in names(textbook_losses)) {
  test_that(paste("arrays, reductions and models follow the formula of", name), {
    case <- textbook_losses[[name]]
    loss <- case[[1]]
    value <- case[[2]]
    y <- truths(5, case$binary)
    p <- matrix(runif(15, 0.05, 0.95), 5)
    w <- c(0.5, 0, 2, 1, 1)
    plain <- do.call(loss_constructor(measure_data(loss)$kind), c(list(y, p), measure_data(loss)$options))
    expect_close(plain, value(y, p), 1e-12)
    expect_close(loss(y, p), mean(value(y, p)), 1e-12)
    expect_close(loss(y, p, w), sum(w * value(y, p)) / 5, 1e-12)
    metric <- as_metric(loss)
    expect_close(metric(y, p, w), sum(w * value(y, p)) / sum(w), 1e-12)
    expect_identical(format(do.call(loss_constructor(measure_data(loss)$kind), unclass(get_config(loss)))), format(loss))

    # a step of training, positions being masked and weighted; the update tells the gradient
    for (dtype in c("float64", "float32")) {
      close <- if (dtype == "float64") 1e-6 else 2e-3
      ids <- rbind(c(1, 2, 0), c(3, 0, 0), c(2, 2, 4), c(4, 1, 3))
      input <- keras_input(3, dtype = dtype)
      embedding <- layer_embedding(input_dim = 5, output_dim = 3, mask_zero = TRUE, dtype = dtype)
      model <- keras_model(input, embedding(input))
      table <- matrix(seq(0.11, 0.93, length.out = 15)[c(7, 3, 11, 1, 9, 14, 5, 2, 13, 8, 15, 4, 10, 6, 12)], 5)
      set_weights(model, list(table))
      y <- array(truths(12, case$binary), c(4, 3, 3))
      compile(model, optimizer_sgd(1), loss, metrics = list(loss), weighted_metrics = list(loss))
      w <- c(1, 0.5, 2, 1)
      kept <- which(ids != 0)
      weights <- (w[row(ids)])[kept]
      total <- function(table) {
        v <- value(matrix(y, 12)[kept, ], table[ids[kept] + 1, ])
        c(loss = sum(v * weights) / length(kept), plain = mean(v), weighted = sum(v * weights) / sum(weights))
      }
      logs <- test_on_batch(model, ids, y, sample_weight = w)
      expected <- total(table)
      expect_close(logs$loss, expected[["loss"]], close * 0.05, paste(name, dtype))
      expect_close(logs[[loss$name]], expected[["plain"]], close * 0.05, paste(name, dtype, "metric"))
      expect_close(logs[[paste0("weighted_", loss$name)]], expected[["weighted"]], close * 0.05, paste(name, dtype, "weighted metric"))
      train_on_batch(model, ids, y, sample_weight = w)
      moved <- table - get_weights(model)[[1]]
      for (at in c(2, 5, 8, 13)) {
        shifted <- function(h) {
          t <- table
          t[[at]] <- t[[at]] + h
          total(t)[["loss"]]
        }
        expect_close(moved[[at]], (shifted(1e-5) - shifted(-1e-5)) / 2e-5, close * max(1, abs(moved)), paste(name, dtype, at))
      }
    }
  })
}

test_that("the other losses and metrics are found by all their names", {
  expect_identical(as_loss("KLDivergence")$name, "kl_divergence")
  expect_identical(as_loss("kld")$name, "kl_divergence")
  expect_identical(as_loss("MAPE")$name, "mean_absolute_percentage_error")
  expect_identical(as_loss("logcosh")$name, "log_cosh")
  expect_identical(as_loss("LogCosh")$name, "log_cosh")
  expect_identical(as_loss(loss_squared_hinge)$name, "squared_hinge")
  expect_identical(as_metric("msle")$name, "msle")
  expect_identical(as_metric(metric_log_cosh_error)$name, "logcosh")
  expect_identical(as_metric("cosine_similarity")(rbind(c(1, 0)), rbind(c(2, 0))), 1)
  expect_identical(as_metric(loss_cosine_similarity())(rbind(c(1, 0)), rbind(c(2, 0))), -1)
  expect_identical(attr(get_config(loss_kl_divergence()), "class_name"), "KLDivergence")
  y <- rbind(c(0, 1, 0), c(1, 0, 0))
  p <- rbind(c(0.2, 0.5, 0.3), c(0.3, 0.1, 0.6))
  for (kind in c("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "log_cosh", "poisson", "kl_divergence", "hinge", "squared_hinge",
    "categorical_hinge", "binary_focal_crossentropy", "categorical_focal_crossentropy")) {
    expect_identical(metric_constructor(kind)(y, p), loss_constructor(kind)(y, p), label = kind)
  }
})

test_that("wrong calls of the other losses are said", {
  y <- rbind(c(0, 1, 0), c(1, 0, 0))
  wrong <- list(
    quote(loss_cosine_similarity(axis = 1)), quote(loss_binary_focal_crossentropy(alpha = 2)), quote(loss_binary_focal_crossentropy(alpha = c(0.1, 0.2))),
    quote(loss_binary_focal_crossentropy(gamma = -1)), quote(loss_binary_focal_crossentropy(apply_class_balancing = 1)),
    quote(loss_categorical_focal_crossentropy(alpha = "a")), quote(loss_categorical_focal_crossentropy(label_smoothing = 2)),
    quote(loss_categorical_focal_crossentropy(y, y, alpha = c(0.1, 0.2))), quote(loss_binary_focal_crossentropy(y + 1, y)), quote(loss_hinge(y)),
    quote(metric_cosine_similarity(axis = 2)), quote(loss_poisson(reduction = "all"))
  )
  for (one in wrong) expect_error(eval(one), class = if (grepl("cosine", deparse(one)[[1]])) "attentive_error_not_yet" else "attentive_error_argument", label = deparse(one))
  expect_error(loss_hinge(y, y[, 1:2]), class = "attentive_error_shape")
  expect_error(loss_hinge(lr = 1), class = "attentive_error_name")
})

test_that("no samples have no values, and their mean is no number", {
  none <- matrix(0, 0, 3)
  flat <- array(0, c(2, 0, 4))
  for (name in grep("^(loss|metric)_", getNamespaceExports("attentive"), value = TRUE)) {
    make <- getExportedValue("attentive", name)
    if (names(formals(make))[[1]] != "y_true") next
    sparse <- grepl("sparse", name)
    expect_silent(values <- make(if (sparse) numeric() else none, none))
    expect_identical(values, numeric(), label = name)
    expect_identical(dim(make(if (sparse) matrix(0, 2, 0) else flat, flat)), c(2L, 0L), label = name)
    expect_error(make(if (sparse) numeric(2) else matrix(0, 2, 0), matrix(0, 2, 0)), "at least one column", class = "attentive_error_shape")
    if (startsWith(name, "loss")) {
      expect_identical(make()(if (sparse) numeric() else none, none), NaN, label = name)
      expect_identical(make(reduction = "sum")(if (sparse) numeric() else none, none), 0, label = name)
    }
  }
  expect_identical(loss_mean_squared_error(numeric(), numeric()), NaN)
})

test_that("from_config() makes every loss and every metric again", {
  for (name in grep("^(loss|metric)_", getNamespaceExports("attentive"), value = TRUE)) {
    make <- getExportedValue("attentive", name)
    needed <- intersect(names(formals(make)), c("recall", "precision", "sensitivity", "specificity"))
    given <- as.list(setNames(rep(0.3, length(needed)), needed))
    if ("delta" %in% names(formals(make))) given$delta <- 2
    if ("reduction" %in% names(formals(make))) given$reduction <- "sum"
    object <- do.call(make, c(given, name = "mine"))
    again <- from_config(get_config(object))
    expect_identical(class(again), class(object), label = name)
    expect_identical(measure_data(again), measure_data(object), label = name)
    config <- get_config(object)
    expect_identical(get_config(from_config(list(class_name = attr(config, "class_name"), config = as.list(config)))), config, label = name)
  }
  expect_identical(from_config(get_config(metric_r2_score(class_aggregation = NULL)))$class_aggregation, NULL)
  own <- custom_metric("largest", function(y_true, y_pred) max(abs(y_true - y_pred)))
  expect_identical(measure_data(from_config(get_config(own))), measure_data(own))
  loss <- as_loss(function(y_true, y_pred) (y_true - y_pred)^2)
  expect_identical(from_config(get_config(loss))(1:2, c(1, 4)), 2)
  for (kind in c("accuracy", "crossentropy")) expect_identical(measure_data(from_config(get_config(as_metric(kind)))), measure_data(as_metric(kind)))
  expect_identical(measure_data(from_config(get_config(as_loss("crossentropy")))), measure_data(as_loss("crossentropy")))
  expect_warning(from_config(list(class_name = "Huber", config = list(name = "h", reduction = "sum", delta = 1, odd = 2))), "odd")
  expect_error(from_config(list(class_name = "Hubert", config = list(name = "h"))), class = "attentive_error_config")
})

test_that("losses and metrics survive JSON", {
  skip_if_not_installed("jsonlite")
  for (object in list(loss_huber(delta = 2), metric_auc(thresholds = c(0.2, 0.7), multi_label = TRUE, label_weights = c(1, 2)), metric_fbeta_score(beta = 2),
    loss_categorical_focal_crossentropy(alpha = c(0.1, 0.9)))) {
    config <- get_config(object)
    json <- jsonlite::toJSON(list(class_name = attr(config, "class_name"), config = unclass(config)), auto_unbox = TRUE, null = "null", digits = NA)
    expect_identical(get_config(from_config(jsonlite::fromJSON(json, simplifyVector = FALSE))), config)
  }
})

test_that("hints name losses that there are", {
  p <- matrix(0.5, 2, 2)
  hint <- function(expr) conditionMessage(tryCatch(expr, error = identity))
  expect_match(hint(loss_categorical_crossentropy(c(0, 1), p)), "\"sparse_categorical_crossentropy\", or `to_categorical(y)`.", fixed = TRUE)
  expect_match(hint(metric_top_k_categorical_accuracy(c(0, 1), p)), "\"sparse_top_k_categorical_accuracy\", or", fixed = TRUE)
  for (loss in list(loss_categorical_hinge, loss_categorical_focal_crossentropy)) {
    expect_match(hint(loss(c(0, 1), p)), "For class numbers: `to_categorical(y)`.", fixed = TRUE)
  }
})
