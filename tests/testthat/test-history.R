# What fit() returns, and how it is shown.

history <- new_history(list(verbose = 0L, epochs = 4L, steps = 3L))
for (logs in list(list(loss = 0.51234567, mae = 1), list(loss = 0.25, mae = 0.5, val_loss = 1234.5678), list(loss = 0.125, mae = 0.25))) {
  history <- add_epoch(history, logs)
}

test_that("a history is a list of params and metrics", {
  expect_identical(names(history), c("params", "metrics"))
  expect_identical(history$metrics$loss, c(0.51234567, 0.25, 0.125))
  expect_identical(history$metrics$val_loss, c(NA, 1234.5678, NA))
  expect_s3_class(history, "keras_training_history")
})

test_that("it prints the final epoch", {
  expect_identical(capture.output(print(history)), c("Final epoch (plot to see history):", "    loss: 0.125", "     mae: 0.25", "val_loss: 1,235"))
  expect_output(print(new_history(list(epochs = 2L))), "No epoch was finished.")
})

test_that("it is a data frame in long form, padded with NA", {
  frame <- as.data.frame(history)
  expect_identical(names(frame), c("epoch", "value", "metric", "data"))
  expect_identical(dim(frame), c(12L, 4L))
  expect_identical(levels(frame$metric), c("loss", "mae"))
  expect_identical(levels(frame$data), c("training", "validation"))
  expect_identical(frame$value[frame$metric == "loss" & frame$data == "training"], c(history$metrics$loss, NA))
  expect_identical(dim(as.data.frame(new_history(list(epochs = 0L)))), c(0L, 4L))
})

test_that("it plots with base graphics and with ggplot2", {
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  before <- graphics::par("mfrow")
  expect_null(plot(history, method = "base"))
  expect_invisible(plot(history, method = "base", metrics = "mae"))
  expect_identical(graphics::par("mfrow"), before)
  long <- new_history(list(epochs = 12L), list(loss = 12:1 / 12, val_loss = c(12:2 / 10, NaN)))
  expect_null(plot(long, method = "base"))
  expect_error(plot(history, metrics = "los"), "loss", class = "attentive_error_name")
  expect_error(plot(history, method = "lattice"), class = "attentive_error_argument")
  expect_error(plot(new_history(list(epochs = 2L))), class = "attentive_error_state")
  skip_if_not_installed("ggplot2")
  expect_invisible(figure <- plot(history))
  expect_s3_class(figure, "ggplot")
  expect_silent(plot(long, theme_bw = TRUE, smooth = FALSE))
  expect_s3_class(plot(history, metrics = "loss"), "ggplot")
  expect_silent(plot(new_history(list(epochs = 1L), list(loss = 0.5, val_loss = 1))))
})

# The number of pages that an expression draws.
pages <- function(expr) {
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  drawn <- 0L
  hooks <- c("before.plot.new", "before.grid.newpage")
  before <- lapply(hooks, getHook)
  for (hook in hooks) setHook(hook, function(...) drawn <<- drawn + 1L)
  withr::defer(Map(setHook, hooks, before, "replace"))
  force(expr)
  drawn
}

test_that("a plot is drawn once, also within a loop; autoplot() only makes it", {
  expect_identical(pages(for (i in 1:3) plot(history, method = "base", metrics = "loss")), 3L)
  skip_if_not_installed("ggplot2")
  expect_identical(pages(for (i in 1:3) plot(history)), 3L)
  expect_identical(pages(lapply(1:2, function(i) plot(history))), 2L)
  expect_identical(pages(figure <- ggplot2::autoplot(history)), 0L)
  expect_s3_class(figure, "ggplot")
  expect_error(ggplot2::autoplot(history, metrics = "los"), class = "attentive_error_name")
})

test_that("the smooth line follows a loss that falls fast at the beginning", {
  value <- exp(-(1:30) / 4) + 0.05
  expect_lt(max(abs(smooth_line(1:30, value)$y - value)), 0.15 * value[[1]])
})
