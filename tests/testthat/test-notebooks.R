# Documents and logs: what training, printing and plotting leave in them.

test_that("a bar is drawn on a terminal only", {
  withr::local_envvar(TESTTHAT = "", TERM = "xterm")
  withr::local_options(knitr.in.progress = NULL)
  lines <- utils::capture.output(inside <- can_redraw()) # output is collected
  expect_false(inside)
  withr::with_options(list(knitr.in.progress = TRUE), {
    expect_false(can_redraw())
    expect_identical(check_verbose("auto"), 2L)
    expect_identical(check_verbose(TRUE), 2L)
  })
  withr::with_envvar(c(TERM = "dumb"), expect_false(can_redraw()))
  withr::with_envvar(c(TESTTHAT = "true"), expect_identical(check_verbose("auto"), 0L))
  # who asks for a bar where none can be drawn gets lines
  utils::capture.output(progress <- new_progress(1L, 2L, 10L))
  expect_false(progress$bar)
})

control_codes <- function(lines) grep("[\r\033\b]", lines, value = TRUE, useBytes = TRUE)

test_that("a script's output has a line an epoch", {
  script <- withr::local_tempfile(fileext = ".R", lines = c(
    "library(attentive)", "input <- keras_input(3)", "model <- keras_model(input, layer_dense(input, 1))", "compile(model, 'sgd', 'mse')",
    "x <- matrix(sin(1:60), 20)", "for (verbose in c('auto', '1', '2')) {",
    "  fit(model, x, rowSums(x), epochs = 2, batch_size = 2, verbose = if (verbose == 'auto') verbose else as.integer(verbose))", "}",
    "evaluate(model, x, rowSums(x))", "print(model)", "summary(model)"
  ))
  withr::local_envvar(TESTTHAT = NA)
  output <- run_r(script)
  expect_null(attr(output, "status"))
  expect_identical(control_codes(output), character())
  expect_length(grep("^Epoch [12]/2 - [0-9.]+s - loss: ", output), 6L)
  expect_false(any(grepl("Error", output)))
})

document <- '
```{r setup, include = FALSE}
library(attentive)
knitr::opts_chunk$set(dev = "png", fig.width = 5, fig.height = 4, dpi = 40)
```

```{r train}
set.seed(1)
input <- keras_input(c(4, 6), name = "tokens")
layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
model <- keras_model(input, layer_add(input, layer(input, input)) |> layer_flatten() |> layer_dense(1))
compile(model, "sgd", "mse")
x <- array(sin(1:240), c(10, 4, 6))
history <- fit(model, x, x[, 1, 1], epochs = 3, batch_size = 2, validation_split = 0.2)
history <- fit(model, x, x[, 1, 1], epochs = 3, batch_size = 2, verbose = 1)
```

```{r show}
model
layer
input
history
scores <- layer(x, x, return_attention_scores = TRUE)$attention_scores
scores
fit(model, x, x[, 1:2, 1])
```

```{r one-history}
plot(history)
```

```{r two-histories}
for (metric in c("loss", "loss")) plot(history, metrics = metric)
```

```{r history-base}
plot(history, method = "base")
```

```{r one-scores}
plot(scores)
```

```{r three-scores}
for (batch in 1:3) plot(scores, batch = batch)
```

```{r two-models}
for (shapes in c(TRUE, FALSE)) plot(model, show_shapes = shapes)
```
'

test_that("a document has its tables, lines and pictures, and no control codes", {
  skip_if_not_installed("knitr")
  folder <- withr::local_tempdir()
  writeLines(document, file.path(folder, "document.Rmd"))
  script <- withr::local_tempfile(fileext = ".R", lines = c(
    "setwd(commandArgs(TRUE))", "knitr::opts_chunk$set(error = TRUE)", "invisible(knitr::knit('document.Rmd', quiet = TRUE))"
  ))
  withr::local_envvar(TESTTHAT = NA)
  output <- run_r(script, folder)
  expect_null(attr(output, "status"))
  expect_identical(control_codes(output), character())
  lines <- readLines(file.path(folder, "document.md"), encoding = "UTF-8")
  expect_identical(control_codes(lines), character())
  expect_length(grep("^## Epoch [123]/3 - ", lines), 6L)
  expect_length(grep("val_loss", grep("^## Epoch", lines, value = TRUE)), 3L)
  for (part in c("Model: \"functional", "MultiHeadAttention \"", "symbolic tensor \"tokens\"", "Final epoch", "Attention scores: ")) {
    expect_true(any(grepl(part, lines, fixed = TRUE)), label = part)
  }
  # the one error that was asked for, with its hint
  errors <- grep("^## Error", lines)
  expect_length(errors, 1L)
  pictures <- unlist(regmatches(lines, gregexpr("(?<=figure/)[a-z-]+(?=-[0-9]+[.]png)", lines, perl = TRUE)))
  expect_identical(c(table(factor(pictures, unique(pictures)))), c(
    "one-history" = 1L, "two-histories" = 2L, "history-base" = 1L, "one-scores" = 1L, "three-scores" = 3L, "two-models" = 2L
  ))
  expect_length(list.files(file.path(folder, "figure"), "png$"), 10L)
})
