# What fit() returns.

#' The history of a training
#'
#' [fit()][fit.attentive_model] returns what was measured in each epoch: a list of `params` (`verbose`, `epochs`, `steps`) and `metrics`, a list of one vector
#' per metric; those of the validation data begin with `val_`.
#'
#' @param x A history.
#' @param y Not used.
#' @param ... For `plot()` passed on to the base plot; else nothing.
#' @param metrics The names of the metrics to show; `NULL` means all.
#' @param method "ggplot2", "base", or "auto": ggplot2 where it is installed.
#' @param smooth Whether to draw a smooth line through ten epochs or more.
#' @param theme_bw Whether to use ggplot2's black and white theme.
#' @return `print()`: the history, invisibly. `as.data.frame()`: a data frame of the columns `epoch`, `value` (`NA` for epochs that early stopping saved),
#'   `metric` and `data` ("training" or "validation"). `plot()` draws, also within loops and functions, and gives the plot of ggplot2, invisibly; with base graphics
#'   `NULL`. `ggplot2::autoplot()` gives the plot without drawing it, to add to: `autoplot(history) + ggplot2::theme_minimal()`.
#' @section Errors: `attentive_error_name` for a metric that was not measured, `attentive_error_argument` for an unknown `method`, `attentive_error_state` where no epoch was
#'   finished or ggplot2 is not installed.
#' @family training
#' @examples
#' input <- keras_input(3)
#' model <- keras_model(input, layer_dense(input, 1))
#' compile(model, "sgd", "mse")
#' x <- matrix(rnorm(60), 20)
#' history <- fit(model, x, rowSums(x), epochs = 5, verbose = 0)
#' history
#' as.data.frame(history)
#' plot(history, method = "base")
#' @name keras_training_history
NULL

new_history <- function(params, metrics = list()) structure(list(params = params, metrics = metrics), class = "keras_training_history")

# `logs` of one more epoch; a metric that was not there before starts with NA.
add_epoch <- function(history, logs) {
  before <- if (length(history$metrics) == 0L) 0L else max(lengths(history$metrics))
  for (name in union(names(history$metrics), names(logs))) {
    old <- history$metrics[[name]]
    value <- if (is.null(logs[[name]])) NA_real_ else logs[[name]]
    history$metrics[[name]] <- c(old, rep(NA_real_, before - length(old)), value)
  }
  history
}

#' @rdname keras_training_history
#' @export
print.keras_training_history <- function(x, ...) {
  if (length(x$metrics) == 0L) {
    cat("No epoch was finished.\n")
    return(invisible(x))
  }
  # metrics that are measured in some epochs only show their last value
  values <- vapply(x$metrics, function(metric) utils::tail(c(NA, metric[!is.na(metric)]), 1L), 0)
  cat("Final epoch (plot to see history):\n")
  cat(sprintf("%s: %s\n", formatC(names(values), width = max(nchar(names(values)))), vapply(values, format, "", digits = 4L, big.mark = ",")), sep = "")
  invisible(x)
}

#' @rdname keras_training_history
#' @export
as.data.frame.keras_training_history <- function(x, ...) {
  metrics <- x$metrics
  epochs <- max(0L, as.integer(x$params$epochs), lengths(metrics))
  names <- as.character(names(metrics))
  base <- sub("^val_", "", names)
  data.frame(
    epoch = rep(seq_len(epochs), length(metrics)),
    value = as.double(unlist(lapply(metrics, function(metric) c(metric, rep(NA_real_, epochs - length(metric)))), use.names = FALSE)),
    metric = factor(rep(base, each = epochs), unique(base)),
    data = factor(rep(ifelse(startsWith(names, "val_"), "validation", "training"), each = epochs), c("training", "validation"))
  )
}

#' @rdname keras_training_history
#' @export
plot.keras_training_history <- function(x, y, metrics = NULL, method = c("auto", "ggplot2", "base"),
                                        smooth = getOption("keras.plot.history.smooth", TRUE),
                                        theme_bw = getOption("keras.plot.history.theme_bw", FALSE), ...) {
  call <- environment()
  method <- check_choice(method[[1L]], "method", c("auto", "ggplot2", "base"), call = call)
  table <- history_table(x, metrics, call)
  if (method == "auto") method <- if (requireNamespace("ggplot2", quietly = TRUE)) "ggplot2" else "base"
  if (method == "base") return(plot_history_base(table, isTRUE(smooth), ...))
  if (!requireNamespace("ggplot2", quietly = TRUE)) {
    abort_attentive("state", "The package ggplot2 is not installed.", hint = "`method = \"base\"` needs nothing else.", call = call)
  }
  figure <- plot_history_ggplot(table, isTRUE(smooth), isTRUE(theme_bw))
  # not left to the console: it prints nothing within a loop or a function
  print(figure)
  invisible(figure)
}

#' @exportS3Method ggplot2::autoplot
autoplot.keras_training_history <- function(object, metrics = NULL, smooth = getOption("keras.plot.history.smooth", TRUE),
                                            theme_bw = getOption("keras.plot.history.theme_bw", FALSE), ...) {
  plot_history_ggplot(history_table(object, metrics, environment()), isTRUE(smooth), isTRUE(theme_bw))
}

# The values to draw.
history_table <- function(x, metrics = NULL, call = NULL) {
  table <- as.data.frame(x)
  known <- levels(table$metric)
  if (!is.null(metrics)) {
    unknown <- setdiff(metrics, known)
    if (length(unknown) > 0L) {
      abort_attentive("name", sprintf("The history has no metric \"%s\".", unknown[[1L]]), hint = paste0("Its metrics: ", or_list(known), "."), call = call)
    }
    table <- table[table$metric %in% metrics, ]
    table$metric <- factor(table$metric, intersect(known, metrics))
  }
  table <- table[!is.na(table$value), ]
  if (nrow(table) == 0L) abort_attentive("state", "There is nothing to plot: no epoch was finished.", call = call)
  table
}

plot_history_ggplot <- function(table, smooth, theme_bw) {
  validated <- any(table$data == "validation")
  aes <- if (validated) {
    ggplot2::aes(x = .data$epoch, y = .data$value, color = .data$data, fill = .data$data)
  } else {
    ggplot2::aes(x = .data$epoch, y = .data$value)
  }
  epochs <- length(unique(table$epoch))
  whole <- function(limits) unique(floor(pretty(limits)))
  figure <- ggplot2::ggplot(table, aes) + ggplot2::geom_point(shape = 21, color = 1, na.rm = TRUE) +
    ggplot2::facet_grid(metric ~ ., switch = "y", scales = "free_y") + ggplot2::scale_x_continuous(breaks = whole) +
    ggplot2::labs(x = "epoch", y = NULL, color = NULL, fill = NULL)
  if (smooth && epochs >= 10L) {
    figure <- figure + ggplot2::geom_smooth(se = FALSE, method = "loess", formula = y ~ x, na.rm = TRUE)
  } else if (epochs > 1L) {
    figure <- figure + ggplot2::geom_line(na.rm = TRUE)
  }
  if (theme_bw) figure <- figure + ggplot2::theme_bw()
  figure + ggplot2::theme(axis.title.y = ggplot2::element_blank(), strip.placement = "outside", strip.background = ggplot2::element_blank())
}

utils::globalVariables(".data")

# Near ggplot2's line. The robust default takes the first epochs, where a loss falls fast, for outliers.
smooth_line <- function(epoch, value) stats::lowess(epoch, value, f = 0.4, iter = 0L)

plot_history_base <- function(table, smooth, ...) {
  panels <- levels(droplevels(table$metric))
  old <- graphics::par(mfrow = c(length(panels), 1L), mar = c(if (length(panels) > 3L) 2 else 4, 4, 1, 1))
  on.exit(graphics::par(old))
  colors <- c(training = "#1b6ca8", validation = "#d1495b")
  for (panel in panels) {
    part <- table[table$metric == panel, ]
    graphics::plot(range(table$epoch), range(part$value[is.finite(part$value)]), type = "n", xlab = "epoch", ylab = panel, xaxt = "n", ...)
    graphics::axis(1, unique(floor(pretty(table$epoch))))
    for (data in unique(as.character(part$data))) {
      of <- part[part$data == data, ]
      graphics::points(of$epoch, of$value, col = colors[[data]], pch = 19L)
      line <- if (smooth && nrow(of) >= 10L) smooth_line(of$epoch, of$value) else list(x = of$epoch, y = of$value)
      graphics::lines(line$x, line$y, col = colors[[data]])
    }
    if (any(table$data == "validation")) graphics::legend("topright", names(colors), col = colors, pch = 19L, bty = "n")
  }
  invisible()
}
