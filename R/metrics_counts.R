# Metrics that are no means: what they report is computed from sums over all
# batches. `counts` of such a metric says which sums: "histogram" (how many
# predictions of what is true, and of what is not, lie between thresholds),
# "classes" (hits and misses of each class), "columns" (squares and their like).

#' Metrics of hits and misses
#'
#' Metrics that are no means of values of samples: they are computed from sums over all batches. Give them to [compile()][compile.attentive_model], as objects or by
#' their names.
#'
#' @details
#' A prediction above a threshold says "yes", a truth that is not 0 is one. Let \eqn{TP}, \eqn{FP}, \eqn{TN}, \eqn{FN} be the weighted numbers of true and false yeses and noes.
#'
#' | function | names | value |
#' |---|---|---|
#' | `metric_true_positives()` and the like | | \eqn{TP}, \eqn{TN}, \eqn{FP}, \eqn{FN} |
#' | `metric_precision()` | "precision" | \eqn{TP / (TP + FP)} |
#' | `metric_recall()` | "recall" | \eqn{TP / (TP + FN)} |
#' | `metric_auc()` | "auc" | the area under the curve of \eqn{TP / (TP + FN)} over \eqn{FP / (FP + TN)} ("ROC"), or of precision over recall ("PR"), from `num_thresholds` points of it |
#' | `metric_precision_at_recall()`, `metric_recall_at_precision()` | | the best one at a threshold where the other is at least so much |
#' | `metric_sensitivity_at_specificity()`, `metric_specificity_at_sensitivity()` | | the same with \eqn{TP / (TP + FN)} and \eqn{TN / (TN + FP)} |
#' | `metric_fbeta_score()`, `metric_f1_score()` | "f1_score" | \eqn{(1 + \beta^2) P R / (\beta^2 P + R)} for each class; a sample says "yes" to the largest prediction, or to all above `threshold` |
#' | `metric_r2_score()` | "r2_score" | \eqn{1 - \sum (y - p)^2 / \sum (y - \bar y)^2} for each column |
#'
#' What would be divided by 0 is 0.
#'
#' Between two points of a ROC curve, "interpolation" takes the mean of their heights, "minoring" the smaller, "majoring" the larger; for a PR curve "interpolation" is that
#' of Davis and Goadrich. For labels that exclude each other not, `multi_label` computes an area for each column and takes their mean, weighted with `label_weights`.
#'
#' A metric that has several values, one for each threshold or class, can be called with data, but not be reported by [fit()][fit.attentive_model]: choose one threshold, or an
#' `average`.
#'
#' @param ... Nothing.
#' @param thresholds A number or several; `NULL` is 0.5. For `metric_auc()` the thresholds in place of `num_thresholds` equal steps.
#' @param top_k Only the so many largest predictions of a sample can be a yes.
#' @param class_id Only this column counts; the first is 0.
#' @param name A name; `NULL` is the function's.
#' @param dtype Accepted for compatibility.
#' @param num_thresholds How many points of the curve are computed.
#' @param curve "ROC" or "PR".
#' @param summation_method "interpolation", "minoring" or "majoring".
#' @param multi_label,num_labels,label_weights Whether columns are labels of their own, how many there are (it is seen in the data), and what each counts.
#' @param from_logits Whether predictions are logits: then they go through a sigmoid.
#' @param precision,recall,specificity,sensitivity What must be reached, from 0 to 1.
#' @param average "micro" (all classes counted together), "macro" (the mean over classes), "weighted" (weighted with how often a class is true) or `NULL` for one value for each class.
#' @param beta How much more recall counts than precision.
#' @param threshold `NULL` or a number, see above.
#' @param class_aggregation "uniform_average", "variance_weighted_average" or `NULL` for one value for each column.
#' @param num_regressors How many independent variables the model has; with a number above 0 the score is adjusted for it.
#' @return A metric, see [metric_binary_accuracy()].
#' @section Errors:
#' `attentive_error_argument` for a value that is out of range, and where `fit()` would have to report several numbers.
#' @section Differences from Keras:
#' Positions that the mask of the prediction hides do not count. Keras lets them count in these metrics.
#' @source J. Davis and M. Goadrich (2006), The relationship between Precision-Recall and ROC curves. \doi{10.1145/1143844.1143874}
#' @family training
#' @examples
#' metric <- metric_auc()
#' metric$update_state(c(0, 0, 1, 1), c(0, 0.5, 0.3, 0.9))
#' metric$result()
#' metric_precision()(c(0, 1, 1, 1), c(1, 0, 1, 1))
#' metric_f1_score(average = "macro")(rbind(c(1, 0), c(0, 1)), rbind(c(0.9, 0.1), c(0.6, 0.4)))
#' @export
metric_auc <- function(..., num_thresholds = 200L, curve = "ROC", summation_method = "interpolation", name = NULL, dtype = NULL,
                       thresholds = NULL, multi_label = FALSE, num_labels = NULL, label_weights = NULL, from_logits = FALSE) {
  call <- environment()
  options <- list(
    num_thresholds = check_whole(num_thresholds, "num_thresholds", min = 2L, call = call), curve = check_choice(curve, "curve", c("ROC", "PR"), call = call),
    summation_method = check_choice(summation_method, "summation_method", c("interpolation", "minoring", "majoring"), call = call),
    thresholds = check_thresholds(thresholds, call), multi_label = check_flag(multi_label, "multi_label", call = call),
    num_labels = check_whole(num_labels, "num_labels", null = TRUE, call = call), label_weights = check_label_weights(label_weights, call),
    from_logits = check_flag(from_logits, "from_logits", call = call)
  )
  inner <- options$thresholds
  even <- is.null(inner)
  if (even) {
    inner <- seq_len(options$num_thresholds - 2L) / (options$num_thresholds - 1)
  } else {
    inner <- sort(inner)
    even <- all(abs(diff(diff(c(0, inner, 1)))) < 1e-7)
  }
  counts <- list(sums = "histogram", thresholds = c(-1e-7, inner, 1 + 1e-7), soft = even, by_label = options$multi_label || !is.null(options$label_weights))
  new_counting("auc", options, name, list(...), call, counts)
}

check_thresholds <- function(x, call) {
  if (is.null(x)) return(NULL)
  numbers <- if (is.list(x) && !is.object(x)) unlist(x) else x
  if (is.numeric(numbers) && !is.object(numbers) && length(numbers) > 0L && !anyNA(numbers) && all(numbers >= 0 & numbers <= 1)) return(as.double(numbers))
  abort_argument(x, "thresholds", "numbers between 0 and 1, or NULL", call = call)
}

check_label_weights <- function(x, call) {
  if (is.null(x)) return(NULL)
  numbers <- if (is.list(x) && !is.object(x)) unlist(x) else x
  if (is.numeric(numbers) && !is.object(numbers) && length(numbers) > 0L && all(is.finite(numbers)) && all(numbers >= 0)) return(as.double(numbers))
  abort_argument(x, "label_weights", "numbers of at least 0, one for each label", call = call)
}

# `counts` is list(sums =, and what the engine must know of them).
new_counting <- function(kind, options, name, dots, call, counts) {
  new_metric(kind, options, if (is.null(name)) kind else name, dots, call, list(counts = counts))
}

threshold_counts <- function(thresholds, top_k = NULL, class_id = NULL) {
  if (is.null(thresholds)) thresholds <- if (is.null(top_k)) 0.5 else -1e10
  list(sums = "histogram", thresholds = sort(thresholds), order = match(thresholds, sort(thresholds)), top_k = top_k, class_id = class_id)
}

threshold_metric <- function(kind, given, dots, call) {
  options <- list(thresholds = check_thresholds(given$thresholds, call))
  if ("top_k" %in% names(given)) {
    options["top_k"] <- list(check_whole(given$top_k, "top_k", null = TRUE, call = call))
    options["class_id"] <- list(check_whole(given$class_id, "class_id", min = 0L, null = TRUE, call = call))
  }
  new_counting(kind, options, given$name, dots, call, threshold_counts(options$thresholds, options$top_k, options$class_id))
}

#' @rdname metric_auc
#' @export
metric_precision <- function(..., thresholds = NULL, top_k = NULL, class_id = NULL, name = NULL, dtype = NULL) {
  threshold_metric("precision", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_recall <- function(..., thresholds = NULL, top_k = NULL, class_id = NULL, name = NULL, dtype = NULL) {
  threshold_metric("recall", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_true_positives <- function(..., thresholds = NULL, name = NULL, dtype = NULL) {
  threshold_metric("true_positives", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_true_negatives <- function(..., thresholds = NULL, name = NULL, dtype = NULL) {
  threshold_metric("true_negatives", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_false_positives <- function(..., thresholds = NULL, name = NULL, dtype = NULL) {
  threshold_metric("false_positives", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_false_negatives <- function(..., thresholds = NULL, name = NULL, dtype = NULL) {
  threshold_metric("false_negatives", as.list(environment()), list(...), environment())
}

# One of two shares at the best threshold where the other is at least `limit`.
constrained_metric <- function(kind, limit, arg, given, dots, call) {
  if (missing(limit)) abort_missing(arg, "a number between 0 and 1", call)
  count <- check_whole(given$num_thresholds, "num_thresholds", call = call)
  options <- stats::setNames(list(check_number(limit, arg, 0, 1, call = call)), arg)
  options$num_thresholds <- count
  options["class_id"] <- list(check_whole(given$class_id, "class_id", min = 0L, null = TRUE, call = call))
  thresholds <- if (count == 1L) 0.5 else c(-1e-7, (seq_len(count)[-1L] - 1) / (count - 1))
  new_counting(kind, options, given$name, dots, call,
    list(sums = "histogram", thresholds = thresholds, soft = TRUE, class_id = options$class_id, limit = options[[1L]]))
}

#' @rdname metric_auc
#' @export
metric_precision_at_recall <- function(..., recall, num_thresholds = 200L, class_id = NULL, name = NULL, dtype = NULL) {
  constrained_metric("precision_at_recall", recall, "recall", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_recall_at_precision <- function(..., precision, num_thresholds = 200L, class_id = NULL, name = NULL, dtype = NULL) {
  constrained_metric("recall_at_precision", precision, "precision", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_sensitivity_at_specificity <- function(..., specificity, num_thresholds = 200L, class_id = NULL, name = NULL, dtype = NULL) {
  constrained_metric("sensitivity_at_specificity", specificity, "specificity", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_specificity_at_sensitivity <- function(..., sensitivity, num_thresholds = 200L, class_id = NULL, name = NULL, dtype = NULL) {
  constrained_metric("specificity_at_sensitivity", sensitivity, "sensitivity", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_fbeta_score <- function(..., average = NULL, beta = 1, threshold = NULL, name = "fbeta_score", dtype = NULL) {
  class_metric("fbeta_score", as.list(environment()), list(...), environment())
}

#' @rdname metric_auc
#' @export
metric_f1_score <- function(..., average = NULL, threshold = NULL, name = "f1_score", dtype = NULL) {
  class_metric("f1_score", as.list(environment()), list(...), environment())
}

class_metric <- function(kind, given, dots, call) {
  options <- list()
  options["average"] <- list(if (!is.null(given$average)) check_choice(given$average, "average", c("micro", "macro", "weighted"), call = call))
  if (kind == "fbeta_score") {
    options$beta <- check_number(given$beta, "beta", 0, call = call)
    if (options$beta == 0) abort_argument(given$beta, "beta", "a number above 0", call = call)
  }
  options["threshold"] <- list(check_number(given$threshold, "threshold", 0, 1, null = TRUE, call = call))
  new_counting(kind, options, given$name, dots, call, list(sums = "classes", thresholds = options$threshold))
}

#' @rdname metric_auc
#' @export
metric_r2_score <- function(..., class_aggregation = "uniform_average", num_regressors = 0L, name = "r2_score", dtype = NULL) {
  call <- environment()
  if (!is.null(class_aggregation)) {
    class_aggregation <- check_choice(class_aggregation, "class_aggregation", c("uniform_average", "variance_weighted_average"), call = call)
  }
  options <- list()
  options["class_aggregation"] <- list(class_aggregation)
  options$num_regressors <- check_whole(num_regressors, "num_regressors", min = 0L, call = call)
  new_counting("r2_score", options, name, list(...), call, list(sums = "columns"))
}

# Sums -----------------------------------------------------------------------------

# What the engine adds up.
engine_counts <- function(data) {
  counts <- data$counts
  kind <- c(histogram = "histogram", classes = "class_counts", columns = "regression")[[counts$sums]]
  thresholds <- if (isTRUE(data$options$from_logits)) stats::qlogis(pmin(pmax(counts$thresholds, 0), 1)) else counts$thresholds
  Filter(Negate(is.null), list(kind = kind, thresholds = thresholds, soft = counts$soft, by_label = counts$by_label, top_k = counts$top_k, class_id = counts$class_id))
}

counts_size <- function(data, width) {
  counts <- data$counts
  switch(counts$sums,
    histogram = 2L * (length(counts$thresholds) + 1L) * (if (isTRUE(counts$by_label)) width else 1L),
    classes = 4L * width, columns = 4L * width + 1L
  )
}

# How many numbers the metric reports for a prediction of so many columns.
check_one_number <- function(data, width, call = NULL) {
  several <- switch(data$kind,
    precision = , recall = , true_positives = , true_negatives = , false_positives = , false_negatives = length(data$counts$thresholds) > 1L,
    fbeta_score = , f1_score = is.null(data$options$average) && width > 1L,
    r2_score = is.null(data$options$class_aggregation) && width > 1L, FALSE
  )
  if (!several) return(invisible())
  abort_attentive("argument", sprintf("The metric \"%s\" has several values; one that is reported must have one.", data$name),
    hint = switch(data$kind,
      fbeta_score = , f1_score = "Choose an `average`, for example \"macro\".", r2_score = "Choose a `class_aggregation`.", "Give one of the `thresholds`."
    ), arg = "metrics", call = call
  )
}

# A column of a prediction that a metric looks at must be there.
check_class_id <- function(data, width, call = NULL) {
  id <- data$counts$class_id
  weights <- data$options$label_weights
  labels <- data$options$num_labels
  if (!is.null(id) && id >= width) {
    abort_attentive("argument", sprintf("`class_id` of the metric \"%s\" is %d, but the prediction has %d columns, from 0.", data$name, id, width), arg = "class_id", call = call)
  }
  for (arg in c("label_weights", "num_labels")) {
    count <- if (arg == "label_weights") (if (is.null(weights)) width else length(weights)) else if (is.null(labels)) width else labels
    if (count != width) {
      abort_attentive("argument", sprintf("`%s` of the metric \"%s\" is for %d labels, but the prediction has %d columns.", arg, data$name, count, width), arg = arg, call = call)
    }
  }
}

ratio <- function(a, b) ifelse(b == 0, 0, a / b)

# The numbers of true and false yeses and noes at each threshold, in columns of labels.
threshold_table <- function(data, state) {
  bins <- length(data$counts$thresholds) + 1L
  if (is.null(state)) state <- numeric(2L * bins)
  sums <- array(state, c(bins, 2L, length(state) / (2L * bins)))
  above <- function(k) {
    x <- array(sums[, k, ], dim(sums)[-2L])
    array(apply(x, 2L, function(column) rev(cumsum(rev(column)))), dim(x))[-1L, , drop = FALSE]
  }
  all <- function(k) matrix(colSums(array(sums[, k, ], dim(sums)[-2L])), bins - 1L, dim(sums)[[3L]], byrow = TRUE)
  table <- list(tp = above(1L), fp = above(2L))
  c(table, list(fn = all(1L) - table$tp, tn = all(2L) - table$fp))
}

counts_value <- function(data, state) {
  switch(data$counts$sums, histogram = threshold_value(data, threshold_table(data, state)), classes = class_value(data, state), columns = column_value(data, state))
}

threshold_value <- function(data, n) {
  if (data$kind == "auc") return(area(data$options, n))
  recall <- ratio(n$tp, n$tp + n$fn)
  precision <- ratio(n$tp, n$tp + n$fp)
  specificity <- ratio(n$tn, n$tn + n$fp)
  best <- function(wanted, held) max(0, wanted[held >= data$counts$limit])
  value <- switch(data$kind,
    precision = precision, recall = recall, true_positives = n$tp, true_negatives = n$tn, false_positives = n$fp, false_negatives = n$fn,
    precision_at_recall = best(precision, recall), recall_at_precision = best(recall, precision),
    sensitivity_at_specificity = best(recall, specificity), specificity_at_sensitivity = best(specificity, recall)
  )
  if (is.null(data$counts$order)) value else value[data$counts$order]
}

# The area under a curve whose points are rows, from the lowest threshold to the highest.
area <- function(options, n) {
  weights <- options$label_weights
  if (!options$multi_label) { # all labels together
    if (!is.null(weights) && ncol(n$tp) == length(weights)) n <- lapply(n, function(x) x %*% weights)
    weights <- 1
  } else if (is.null(weights)) {
    weights <- rep(1, ncol(n$tp))
  }
  upper <- function(x) x[-nrow(x), , drop = FALSE]
  lower <- function(x) x[-1L, , drop = FALSE]
  if (options$curve == "PR" && options$summation_method == "interpolation") {
    yes <- n$tp + n$fp
    hits <- upper(n$tp) - lower(n$tp)
    slope <- ratio(hits, pmax(upper(yes) - lower(yes), 0))
    intercept <- lower(n$tp) - slope * lower(yes)
    growth <- ifelse(upper(yes) > 0 & lower(yes) > 0, ratio(upper(yes), lower(yes)), 1)
    parts <- ratio(slope * (hits + intercept * log(growth)), lower(n$tp) + lower(n$fn))
  } else {
    recall <- ratio(n$tp, n$tp + n$fn)
    x <- if (options$curve == "ROC") ratio(n$fp, n$fp + n$tn) else recall
    y <- if (options$curve == "ROC") recall else ratio(n$tp, n$tp + n$fp)
    heights <- switch(options$summation_method,
      interpolation = (upper(y) + lower(y)) / 2, minoring = pmin(upper(y), lower(y)), majoring = pmax(upper(y), lower(y))
    )
    parts <- (upper(x) - lower(x)) * heights
  }
  areas <- colSums(matrix(parts, nrow(n$tp) - 1L))
  if (length(weights) == length(areas)) ratio(sum(areas * weights), sum(weights)) else mean(areas)
}

class_value <- function(data, state) {
  options <- data$options
  if (is.null(state)) return(0)
  n <- matrix(state, ncol = 4L)
  if (identical(options$average, "micro")) n <- matrix(colSums(n), 1L)
  tiny <- 1e-7
  precision <- n[, 1L] / (n[, 1L] + n[, 2L] + tiny)
  recall <- n[, 1L] / (n[, 1L] + n[, 3L] + tiny)
  squared <- if (is.null(options$beta)) 1 else options$beta^2
  score <- precision * recall * (1 + squared) / (squared * precision + recall + tiny)
  if (is.null(options$average)) return(score)
  if (options$average == "weighted") sum(score * n[, 4L] / (sum(n[, 4L]) + tiny)) else mean(score)
}

column_value <- function(data, state) {
  options <- data$options
  if (is.null(state)) return(NaN)
  samples <- state[[length(state)]]
  n <- matrix(state[-length(state)], ncol = 4L)
  total <- n[, 2L] - n[, 1L]^2 / n[, 4L]
  score <- 1 - n[, 3L] / total
  score[is.infinite(score)] <- 0
  kind <- if (is.null(options$class_aggregation)) "none" else options$class_aggregation
  score <- switch(kind, uniform_average = mean(score), variance_weighted_average = sum(total * score) / sum(total), score)
  # Keras counts every column of a sample; without freedom left nothing is adjusted
  if (options$num_regressors == 0L || options$num_regressors >= samples - 1) return(score)
  1 - (1 - score) * (samples - 1) / (samples - options$num_regressors - 1)
}

# Numbers of one's own ---------------------------------------------------------------

#' Metrics of numbers
#'
#' The running weighted mean, or sum, of numbers that are given to it: for training loops of one's own.
#'
#' @param ... Nothing.
#' @param name A name.
#' @param dtype Accepted for compatibility.
#' @return A function `metric(values, sample_weight = NULL)` that takes numbers into account and gives the value so far, with the methods
#'   `$update_state(values, sample_weight)`, `$result()` and `$reset_state()`. Of an array the first axis is samples: what belongs to one is averaged, or added up, before it
#'   is weighted.
#' @section Errors: `attentive_error_argument` for what is no number, `attentive_error_shape` for weights that do not fit.
#' @family training
#' @examples
#' metric <- metric_mean()
#' metric$update_state(c(1, 3, 5, 7))
#' metric$update_state(9)
#' metric$result()
#' @export
metric_mean <- function(..., name = "mean", dtype = NULL) values_metric("mean", name, list(...), environment())

#' @rdname metric_mean
#' @export
metric_sum <- function(..., name = "sum", dtype = NULL) values_metric("sum", name, list(...), environment())

values_metric <- function(kind, name, dots, call) {
  metric <- new_metric(kind, list(), name, dots, call, list(of_values = TRUE))
  fun <- function(values, sample_weight = NULL) {
    around <- parent.env(environment())
    update_values(around, values, sample_weight, environment())
    metric_value(around$measure, around$state)
  }
  environment(fun) <- environment(metric)
  attributes(fun) <- attributes(metric)
  fun
}

# The state is c(sum, weight), as of all means; a sum is divided by 1.
update_values <- function(around, values, sample_weight, call = NULL) {
  if (missing(values)) abort_missing("values", "numbers", call)
  if (inherits(values, "attentive_variable")) values <- as.array(values)
  if (!(is.numeric(values) || is.logical(values)) || is.factor(values)) abort_argument(values, "values", "numbers", call = call)
  if (anyNA(values)) abort_attentive("argument", "There are missing values in `values`.", arg = "values", call = call)
  samples <- if (is.null(dim(values))) length(values) else dim(values)[[1L]]
  adds <- around$measure$kind == "sum"
  each <- array(as.double(values), c(samples, length(values) / max(samples, 1L)))
  each <- if (adds) rowSums(each) else rowMeans(each)
  weight <- if (is.null(sample_weight)) rep(1, samples) else sample_weight
  if (!is.numeric(weight) || !length(weight) %in% c(1L, samples)) {
    abort_attentive("shape", sprintf("`sample_weight` must have one number for each of the %d samples.", samples), arg = "sample_weight", call = call)
  }
  weight <- rep_len(as.double(weight), samples)
  state <- c(sum(each * weight), if (adds) 0 else sum(weight))
  around$state <- (if (is.null(around$state)) c(0, if (adds) 1 else 0) else around$state) + state
}
