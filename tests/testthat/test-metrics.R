# Metrics that are no means: against counting in plain R, over random shapes,
# weights and masks, in models of both dtypes.

share <- function(a, b) if (b == 0) 0 else a / b

map2 <- function(...) mapply(..., USE.NAMES = FALSE)

# Yeses and noes at a threshold, counted one by one.
count_at <- function(y, p, w, threshold) {
  w <- w + 0 * y
  yes <- p > threshold
  c(tp = sum(w * (y != 0) * yes), fp = sum(w * (y == 0) * yes), fn = sum(w * (y != 0) * !yes), tn = sum(w * (y == 0) * !yes))
}

textbook_area <- function(y, p, w, thresholds, curve, method) {
  n <- vapply(thresholds, function(t) count_at(y, p, w, t), numeric(4))
  recall <- map2(share, n["tp", ], n["tp", ] + n["fn", ])
  precision <- map2(share, n["tp", ], n["tp", ] + n["fp", ])
  fall_out <- map2(share, n["fp", ], n["fp", ] + n["tn", ])
  area <- 0
  for (i in seq_along(thresholds)[-1]) {
    a <- i - 1
    if (curve == "PR" && method == "interpolation") {
      hits <- n["tp", a] - n["tp", i]
      yes <- n["tp", ] + n["fp", ]
      slope <- share(hits, max(yes[a] - yes[i], 0))
      growth <- if (yes[a] > 0 && yes[i] > 0) yes[a] / yes[i] else 1
      area <- area + share(slope * (hits + (n["tp", i] - slope * yes[i]) * log(growth)), n["tp", i] + n["fn", i])
    } else {
      x <- if (curve == "ROC") fall_out else recall
      y_axis <- if (curve == "ROC") recall else precision
      height <- switch(method, interpolation = (y_axis[a] + y_axis[i]) / 2, minoring = min(y_axis[c(a, i)]), majoring = max(y_axis[c(a, i)]))
      area <- area + (x[a] - x[i]) * height
    }
  }
  area[[1]]
}

steps <- function(n) c(-1e-7, seq_len(n - 2) / (n - 1), 1 + 1e-7)

textbook_fbeta <- function(y, p, w, average, beta, threshold) {
  hit <- if (is.null(threshold)) p == apply(p, 1, max) else p > threshold
  n <- cbind(colSums(w * hit * y), colSums(w * hit * (1 - y)), colSums(w * (1 - hit) * y), colSums(w * y))
  if (identical(average, "micro")) n <- matrix(colSums(n), 1)
  precision <- n[, 1] / (n[, 1] + n[, 2] + 1e-7)
  recall <- n[, 1] / (n[, 1] + n[, 3] + 1e-7)
  score <- (1 + beta^2) * precision * recall / (beta^2 * precision + recall + 1e-7)
  if (is.null(average)) score else if (average == "weighted") sum(score * n[, 4] / (sum(n[, 4]) + 1e-7)) else mean(score)
}

textbook_r2 <- function(y, p, w, aggregation = "uniform_average") {
  mean_of <- colSums(w * y) / sum(w)
  total <- colSums(w * sweep(y, 2, mean_of)^2)
  score <- 1 - colSums(w * (y - p)^2) / total
  if (is.null(aggregation)) score else if (aggregation == "uniform_average") mean(score) else sum(score * total) / sum(total)
}

top <- function(p, k) t(apply(p, 1, function(row) replace(rep(-1e10, length(row)), order(-row)[seq_len(k)], row[order(-row)[seq_len(k)]])))

rates <- function(y, p, w, thresholds) {
  n <- vapply(thresholds, function(t) count_at(y, p, w, t), numeric(4))
  list(recall = map2(share, n["tp", ], n["tp", ] + n["fn", ]), precision = map2(share, n["tp", ], n["tp", ] + n["fp", ]),
    specificity = map2(share, n["tn", ], n["tn", ] + n["fp", ]))
}

# Each metric beside what it gives for matrices y, p and a weight for each row.
textbook_metrics <- list(
  list(metric_auc(), function(y, p, w) textbook_area(y, p, w, steps(200), "ROC", "interpolation")),
  list(metric_auc(num_thresholds = 7, curve = "PR", name = "pr"), function(y, p, w) textbook_area(y, p, w, steps(7), "PR", "interpolation")),
  list(metric_auc(num_thresholds = 9, summation_method = "minoring", name = "minoring"), function(y, p, w) textbook_area(y, p, w, steps(9), "ROC", "minoring")),
  list(metric_auc(num_thresholds = 9, curve = "PR", summation_method = "majoring", name = "majoring"), function(y, p, w) textbook_area(y, p, w, steps(9), "PR", "majoring")),
  list(metric_auc(thresholds = c(0.7, 0.2), name = "uneven"), function(y, p, w) textbook_area(y, p, w, c(-1e-7, 0.2, 0.7, 1 + 1e-7), "ROC", "interpolation")),
  list(metric_auc(num_thresholds = 20, multi_label = TRUE, name = "labels"), function(y, p, w) {
    mean(vapply(1:3, function(j) textbook_area(y[, j], p[, j], w, steps(20), "ROC", "interpolation"), 0))
  }),
  list(metric_auc(num_thresholds = 20, multi_label = TRUE, label_weights = c(1, 2, 0.5), name = "labels_weighted"), function(y, p, w) {
    sum(c(1, 2, 0.5) * vapply(1:3, function(j) textbook_area(y[, j], p[, j], w, steps(20), "ROC", "interpolation"), 0)) / 3.5
  }),
  list(metric_auc(num_thresholds = 20, label_weights = c(1, 2, 0.5), name = "weighted_together"), function(y, p, w) {
    textbook_area(y, p, outer(w, c(1, 2, 0.5)), steps(20), "ROC", "interpolation")
  }),
  list(metric_precision(), function(y, p, w) rates(y, p, w, 0.5)$precision),
  list(metric_precision(thresholds = 0.3, class_id = 1L, name = "of_class"), function(y, p, w) rates(y[, 2], p[, 2], w, 0.3)$precision),
  list(metric_precision(top_k = 2, name = "of_top"), function(y, p, w) rates(y, top(p, 2), w, -1e9)$precision),
  list(metric_recall(), function(y, p, w) rates(y, p, w, 0.5)$recall),
  list(metric_recall(top_k = 1, class_id = 2L, thresholds = 0.4, name = "of_both"), function(y, p, w) rates(y[, 3], top(p, 1)[, 3], w, 0.4)$recall),
  list(metric_true_positives(), function(y, p, w) count_at(y, p, w, 0.5)[["tp"]]),
  list(metric_true_negatives(thresholds = 0.2), function(y, p, w) count_at(y, p, w, 0.2)[["tn"]]),
  list(metric_false_positives(), function(y, p, w) count_at(y, p, w, 0.5)[["fp"]]),
  list(metric_false_negatives(), function(y, p, w) count_at(y, p, w, 0.5)[["fn"]]),
  list(metric_precision_at_recall(recall = 0.6), function(y, p, w) with(rates(y, p, w, c(-1, seq_len(199) / 199)), max(0, precision[recall >= 0.6]))),
  list(metric_recall_at_precision(precision = 0.45, num_thresholds = 11), function(y, p, w) with(rates(y, p, w, c(-1, seq_len(10) / 10)), max(0, recall[precision >= 0.45]))),
  list(metric_sensitivity_at_specificity(specificity = 0.5), function(y, p, w) with(rates(y, p, w, c(-1, seq_len(199) / 199)), max(0, recall[specificity >= 0.5]))),
  list(metric_specificity_at_sensitivity(sensitivity = 0.5, class_id = 0), function(y, p, w) {
    with(rates(y[, 1], p[, 1], w, c(-1, seq_len(199) / 199)), max(0, specificity[recall >= 0.5]))
  }),
  list(metric_f1_score(average = "macro"), function(y, p, w) textbook_fbeta(y, p, w, "macro", 1, NULL)),
  list(metric_f1_score(average = "micro", threshold = 0.4, name = "micro"), function(y, p, w) textbook_fbeta(y, p, w, "micro", 1, 0.4)),
  list(metric_fbeta_score(average = "weighted", beta = 2), function(y, p, w) textbook_fbeta(y, p, w, "weighted", 2, NULL)),
  list(metric_r2_score(), function(y, p, w) textbook_r2(y, p, w)),
  list(metric_r2_score(class_aggregation = "variance_weighted_average", name = "r2_varied"), function(y, p, w) textbook_r2(y, p, w, "variance_weighted_average")),
  list(metric_top_k_categorical_accuracy(k = 2), function(y, p, w) {
    sum(w * vapply(seq_len(nrow(y)), function(i) sum(p[i, ] > p[i, which.max(y[i, ])]) < 2, NA)) / sum(w)
  })
)

set.seed(5)
random_truth <- function(n) matrix(rbinom(3 * n, 1, 0.4), n)

test_that("metrics count as in plain R, batch by batch", {
  for (round in 1:3) {
    sizes <- sample(1:9, 3) + (round == 1) * 10
    batches <- lapply(sizes, function(n) {
      list(y = random_truth(n), p = matrix(round(runif(3 * n), if (round == 2) 1 else 7), n), w = if (round == 3) rep(1, n) else sample(c(0, 0.5, 1, 2), n, TRUE))
    })
    y <- do.call(rbind, lapply(batches, `[[`, "y"))
    p <- do.call(rbind, lapply(batches, `[[`, "p"))
    w <- unlist(lapply(batches, `[[`, "w"))
    for (case in textbook_metrics) {
      metric <- case[[1]]
      metric$reset_state()
      for (b in batches) metric$update_state(b$y, b$p, b$w)
      # the order of sums differs; values on a threshold by rounding do not occur
      expect_equal(metric$result(), case[[2]](y, p, w), tolerance = 1e-9, label = paste("round", round, format(metric)))
      metric$reset_state()
    }
  }
})

test_that("models report them with weights and masks, in both dtypes, for any number of threads and batches", {
  ids <- matrix(sample(0:6, 40 * 3, TRUE), 40)
  ids[, 1] <- pmax(ids[, 1], 1)
  y <- array(random_truth(120), c(40, 3, 3))
  w <- sample(c(0.5, 1, 2), 40, TRUE)
  metrics <- lapply(textbook_metrics, `[[`, 1)
  names <- vapply(metrics, function(metric) metric$name, "")
  expect_identical(anyDuplicated(names), 0L)
  for (dtype in c("float64", "float32")) {
    input <- keras_input(3, dtype = dtype)
    embedding <- layer_embedding(input_dim = 7, output_dim = 3, mask_zero = TRUE, dtype = dtype)
    model <- keras_model(input, embedding(input))
    table <- matrix(round(runif(21), 3), 7)
    set_weights(model, list(table))
    compile(model, optimizer_sgd(0), "mse", metrics = metrics, weighted_metrics = metrics)
    one <- evaluate(model, ids, y, sample_weight = w, verbose = 0, threads = 1)
    kept <- which(ids != 0)
    truth <- matrix(y, 120)[kept, ]
    prediction <- table[ids[kept] + 1, ]
    weights <- w[row(ids)][kept]
    for (i in seq_along(metrics)) {
      value <- textbook_metrics[[i]][[2]]
      expect_equal(one[[names[[i]]]], value(truth, prediction, rep(1, length(kept))), tolerance = if (dtype == "float64") 1e-9 else 1e-5, label = paste(dtype, names[[i]]))
      expect_equal(one[[paste0("weighted_", names[[i]])]], value(truth, prediction, weights), tolerance = if (dtype == "float64") 1e-9 else 1e-5,
        label = paste(dtype, "weighted", names[[i]]))
    }
    expect_identical(evaluate(model, ids, y, sample_weight = w, verbose = 0, threads = 8), one)
    history <- fit(model, ids, y, batch_size = 16, epochs = 1, shuffle = FALSE, verbose = 0)
    expect_equal(history$metrics$auc, one$auc, tolerance = 1e-6)
    expect_equal(evaluate(model, ids, y, sample_weight = w, batch_size = 7, verbose = 0)[names], one[names], tolerance = 1e-12)
  }
})

test_that("several thresholds or classes give several values", {
  y <- random_truth(12)
  p <- matrix(runif(36), 12)
  w <- rep(1, 12)
  expect_equal(metric_precision(thresholds = c(0.8, 0.2, 0.5))(y, p), rates(y, p, w, c(0.8, 0.2, 0.5))$precision)
  expect_equal(metric_false_negatives(thresholds = c(0.9, 0.1))(y, p), vapply(c(0.9, 0.1), function(t) count_at(y, p, w, t)[["fn"]], 0))
  expect_equal(metric_f1_score()(y, p), textbook_fbeta(y, p, w, NULL, 1, NULL))
  expect_equal(metric_r2_score(class_aggregation = NULL)(y, p), textbook_r2(y, p, w, NULL))
  expect_equal(metric_r2_score(num_regressors = 4)(y, p), 1 - (1 - textbook_r2(y, p, w)) * 35 / (36 - 5))
  # truths in parts belong to both sides where thresholds are even
  soft <- y * 0.7 + 0.1
  n <- vapply(c(-1, 0.25, 0.5, 0.75, 1), function(t) c(sum(soft * (p > t)), sum((1 - soft) * (p > t))), numeric(2))
  x <- n[2, ] / n[2, 1]
  h <- n[1, ] / n[1, 1]
  expect_equal(metric_auc(num_thresholds = 5)(soft, p), sum((x[-5] - x[-1]) * (h[-5] + h[-1]) / 2))
  logits <- qlogis(p)
  expect_equal(metric_auc(num_thresholds = 30, from_logits = TRUE)(y, logits), metric_auc(num_thresholds = 30)(y, p))
})

test_that("metrics give the numbers that Keras gives", {
  y <- c(0, 0, 1, 1)
  p <- c(0, 0.5, 0.3, 0.9)
  expect_close(metric_auc(num_thresholds = 3)(y, p), 0.75, 1e-6)
  expect_close(metric_auc(num_thresholds = 3)(y, p, c(1, 0, 0, 1)), 1, 1e-6)
  expect_close(metric_precision()(c(0, 1, 1, 1), c(1, 0, 1, 1)), 2 / 3, 1e-6)
  expect_close(metric_recall()(c(0, 1, 1, 1), c(1, 0, 1, 1)), 2 / 3, 1e-6)
  expect_close(metric_precision(top_k = 2)(rbind(c(0, 0, 1, 1)), rbind(c(1, 1, 1, 1))), 0, 1e-6)
  expect_close(metric_precision(top_k = 4)(rbind(c(0, 0, 1, 1)), rbind(c(1, 1, 1, 1))), 0.5, 1e-6)
  expect_close(metric_f1_score(threshold = 0.5)(rbind(c(1, 1, 1), c(1, 0, 0), c(1, 1, 0)), rbind(c(0.2, 0.6, 0.7), c(0.2, 0.6, 0.6), c(0.6, 0.8, 0))),
    c(0.5, 0.8, 2 / 3), 1e-6)
  expect_close(metric_fbeta_score(beta = 2, threshold = 0.5)(rbind(c(1, 1, 1), c(1, 0, 0), c(1, 1, 0)), rbind(c(0.2, 0.6, 0.7), c(0.2, 0.6, 0.6), c(0.6, 0.8, 0))),
    c(0.3846154, 0.90909094, 0.8333334), 1e-6)
  expect_close(metric_r2_score()(cbind(c(1, 4, 3)), cbind(c(2, 4, 4))), 0.57142854, 1e-6)
  expect_close(metric_sensitivity_at_specificity(specificity = 0.5)(c(0, 0, 0, 1, 1), c(0, 0.3, 0.8, 0.3, 0.8)), 0.5, 1e-6)
  expect_close(metric_specificity_at_sensitivity(sensitivity = 0.5)(c(0, 0, 0, 1, 1), c(0, 0.3, 0.8, 0.3, 0.8)), 0.66666667, 1e-6)
  expect_close(metric_precision_at_recall(recall = 0.5)(c(0, 0, 0, 1, 1), c(0, 0.3, 0.8, 0.3, 0.8)), 0.5, 1e-6)
  expect_close(metric_recall_at_precision(precision = 0.8)(c(0, 0, 1, 1), c(0, 0.5, 0.3, 0.9)), 0.5, 1e-6)
  metric <- metric_mean()
  metric$update_state(c(1, 3, 5, 7))
  expect_identical(metric$result(), 4)
  metric$reset_state()
  metric$update_state(c(1, 3, 5, 7), c(1, 1, 0, 0))
  expect_identical(metric$result(), 2)
  expect_identical(metric_sum()(c(1, 3, 5, 7), sample_weight = c(1, 1, 0, 0)), 4)
  expect_identical(metric_mean()(rbind(c(1, 3), c(5, 7)), c(1, 3)), (2 + 18) / 4)
  expect_identical(metric_sum()(rbind(c(1, 3), c(5, 7))), 16)
})

test_that("metrics are found by their names and show themselves", {
  expect_identical(as_metric("AUC")$name, "AUC")
  expect_identical(as_metric("Precision")$name, "Precision")
  expect_identical(as_metric(metric_recall)$name, "recall")
  expect_identical(as_metric("f1_score")$name, "f1_score")
  expect_identical(metric_auc()$num_thresholds, 200L)
  expect_identical(format(metric_precision(thresholds = c(0.2, 0.5))), "metric_precision(thresholds = c(0.2, 0.5))")
  expect_identical(attr(get_config(metric_auc()), "class_name"), "AUC")
  expect_identical(attr(get_config(metric_f1_score()), "class_name"), "F1Score")
  expect_identical(metric_auc()$result(), 0)
  expect_identical(metric_r2_score()$result(), NaN)
  for (metric in list(metric_auc(), metric_precision_at_recall(recall = 0.5), metric_f1_score(average = "macro"))) {
    kind <- sub("metric_", "", sub("\\(.*", "", format(metric)))
    again <- do.call(metric_constructor(kind), unclass(get_config(metric)))
    expect_identical(get_config(again), get_config(metric))
  }
  expect_true(all(vapply(list(metric_auc(), metric_recall(), metric_f1_score(), metric_cosine_similarity()), function(m) metric_grows(measure_data(m)), NA)))
  expect_false(any(vapply(list(metric_false_positives(), metric_hinge(), as_metric(loss_cosine_similarity())), function(m) metric_grows(measure_data(m)), NA)))
})

test_that("wrong calls of metrics are said", {
  y <- random_truth(4)
  p <- matrix(0.5, 4, 3)
  wrong <- list(
    quote(metric_auc(num_thresholds = 1)), quote(metric_auc(curve = "roc")), quote(metric_auc(summation_method = "mean")), quote(metric_auc(thresholds = 2)),
    quote(metric_auc(multi_label = 1)), quote(metric_auc(label_weights = -1)), quote(metric_auc(num_labels = 2, multi_label = TRUE)(y, p)),
    quote(metric_auc(label_weights = c(1, 2))(y, p)), quote(metric_precision(thresholds = "a")), quote(metric_precision(top_k = 0)),
    quote(metric_recall(class_id = -1)), quote(metric_recall(class_id = 3)(y, p)), quote(metric_precision_at_recall()), quote(metric_recall_at_precision(precision = 2)),
    quote(metric_sensitivity_at_specificity(specificity = 0.5, num_thresholds = 0)), quote(metric_f1_score(average = "mean")), quote(metric_fbeta_score(beta = 0)),
    quote(metric_f1_score(threshold = 2)), quote(metric_r2_score(class_aggregation = "mean")), quote(metric_r2_score(num_regressors = -1)),
    quote(metric_mean()$update_state("a")), quote(metric_sum()$update_state(c(1, NA))), quote(as_metric(metric_mean()))
  )
  for (one in wrong) expect_error(eval(one), class = "attentive_error_argument", label = deparse(one)[[1]])
  expect_error(metric_mean()$update_state(1:3, 1:2), class = "attentive_error_shape")
  expect_error(metric_auc()(y, p[, 1:2]), class = "attentive_error_shape")
  expect_error(metric_auc(number = 3), class = "attentive_error_name")
  metric <- metric_f1_score()
  metric$update_state(y, p)
  expect_error(metric$update_state(y[, 1:2], p[, 1:2]), class = "attentive_error_shape")
  model <- linear_model(2, 3)
  for (metric in list(metric_f1_score(), metric_precision(thresholds = c(0.1, 0.2)), metric_r2_score(class_aggregation = NULL))) {
    compile(model, "sgd", "mse", metrics = list(metric))
    expect_error(evaluate(model, matrix(0, 4, 2), y, verbose = 0), "several values", class = "attentive_error_argument")
  }
})

test_that("metric_huber() is the mean of its formula, and metrics know their names", {
  y <- wave(c(4, 3))
  p <- 3 * wave(c(4, 3), 0.7)
  e <- abs(y - p)
  rows <- rowMeans(ifelse(e <= 0.5, e^2 / 2, 0.5 * e - 0.125))
  expect_equal(as.vector(metric_huber(y, p, delta = 0.5)), rows, tolerance = 1e-6)
  metric <- metric_huber(delta = 0.5)
  metric$update_state(y, p)
  expect_equal(as.numeric(metric$result()), mean(rows), tolerance = 1e-6)
  expect_true(all(c("name", "update_state", "result", "delta", "get_config") %in% names(metric)))
  expect_true(all(c("name", "reduction", "delta") %in% names(loss_huber(delta = 0.5))))
})

test_that("a metric of nothing is what it is before the first sample", {
  none <- matrix(0, 0, 3)
  flat <- array(0, c(2, 0, 4))
  metrics <- list(metric_precision(), metric_recall(), metric_auc(), metric_auc(multi_label = TRUE, curve = "PR"), metric_f1_score(average = "macro"), metric_true_positives(),
    metric_precision_at_recall(recall = 0.5), metric_mean_squared_error(), metric_root_mean_squared_error(), metric_binary_accuracy(), metric_cosine_similarity())
  for (metric in metrics) {
    for (x in list(none, flat)) {
      expect_identical(metric$update_state(x, x)$result(), 0)
      metric$reset_state()
    }
    expect_error(metric$update_state(matrix(0, 2, 0), matrix(0, 2, 0)), "at least one column", class = "attentive_error_shape")
  }
  expect_identical(metric_r2_score()$update_state(none, none)$result(), NaN)
  y <- matrix(c(0, 1, 1, 0, 1, 0), 2)
  metric <- metric_precision()
  metric$update_state(none, none)
  expect_identical(metric(y, y), 1)
})
