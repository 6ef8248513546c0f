# Between R and the engine: memory, sizes and jumps that the one does not know of the other.

test_that("R's memory that runs out while the engine computes is an error of the package", {
  skip_if_not("mem.maxVSize" %in% ls(baseenv()), "R cannot be given less memory")
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(
    "suppressPackageStartupMessages(library(attentive))",
    "x <- numeric(3e6)", # 24 MB
    "mask <- array(0, c(1e6, 3))",
    "if (mem.maxVSize(64) != 64) { cat('skip'); quit() }", # R's first limit
    "filler <- numeric((60 - gc()[2, 2]) * 2^17)", # leaves 4 MB
    "what <- function(expr) tryCatch({ expr; 'nothing' }, error = function(e) class(e)[[1]])",
    "cat(what(attentive:::pack_numbers(x, 'float64')), what(attentive:::mask_bytes(mask, 0:1)))"
  ), script)
  printed <- run_r(script)
  skip_if(identical(printed, "skip"), "R has taken more memory already")
  expect_identical(printed, "attentive_error_memory attentive_error_memory")
})

test_that("an axis longer than R's arrays can have is an error before anything is written", {
  plan <- list(
    values = 2L, masks = 0L, variables = list(), inputs = 0L, outputs = 1L, output_masks = -1L,
    nodes = list(list(op = "reshape", inputs = 0L, outputs = 1L, numbers = list(target = -1)))
  )
  flat <- function(x) program_run(program_create(plan, TRUE), list(x), list(), FALSE, 0, 1L)$outputs[[1]]
  expect_identical(dim(flat(array(1, c(2, 3, 4)))), c(2L, 12L))
  expect_error(flat(array(0, c(0, 65536, 65536))), "more than 2\\^31 - 1", class = "attentive_error_shape")
  expect_error(layer_flatten()(array(0, c(0, 65536, 65536))), "more than 2\\^31 - 1", class = "attentive_error_shape")
  expect_error(layer_flatten(keras_input(c(65536, 65536))), "more than 2\\^31 - 1", class = "attentive_error_shape")
})

test_that("a time limit that is reached within a call is the error that R makes of it", {
  withr::defer(setTimeLimit())
  layer <- layer_attention()
  small <- array(sin(1:24), c(2, 3, 4))
  long <- array(0, c(16, 6000, 64)) # seconds
  alone <- layer(list(small, small))
  limited <- function(...) {
    setTimeLimit(elapsed = 0.1, transient = TRUE)
    withCallingHandlers(layer(list(long, long)), ...)
  }
  expect_error(limited(), "reached elapsed time limit")
  inner <- NULL
  expect_error(limited(error = function(e) inner <<- layer(list(small, small), threads = 2)), "reached elapsed time limit")
  expect_identical(inner, alone)
  expect_identical(layer(list(small, small)), alone)
})

test_that("the library is unloaded with the package, but not while a model is alive", {
  script <- withr::local_tempfile(fileext = ".R")
  writeLines(c(
    "loaded <- function() 'attentive' %in% names(getLoadedDLLs())",
    "gone <- function() { unloadNamespace('attentive'); invisible(gc()); loaded() }",
    "made <- function() {",
    "  input <- attentive::keras_input(3)",
    "  attentive::keras_model(input, attentive::layer_dense(input, 2))",
    "}",
    "x <- matrix(sin(1:12), 4)",
    "invisible(predict(made(), x))",
    "cat(gone(), '')", # FALSE
    "model <- made()",
    "before <- predict(model, x)",
    "cat(gone(), '')", # TRUE
    "invisible(loadNamespace('attentive'))",
    "cat(identical(predict(model, x), before), '')", # TRUE
    "unloadNamespace('attentive')",
    "rm(model)",
    "invisible(gc())", # finalizes the program, by code that must be there
    "cat(loaded(), '')", # TRUE
    "invisible(loadNamespace('attentive'))",
    "cat(gone())" # FALSE
  ), script)
  expect_identical(utils::tail(run_r(script), 1), "FALSE TRUE TRUE TRUE FALSE")
})

test_that("numbers of every kind are read, and shared ones are left alone", {
  twice <- function(x) op_multiply(x, 2)
  x <- array(sin(1:4000), c(20, 200))
  expect_identical(as.vector(twice(1:100)), 2 * 1:100) # a sequence that R has not made yet
  whole <- array(1:4000, c(20, 200))
  expect_identical(twice(whole), whole * 2)
  expect_identical(twice(x > 0), (x > 0) * 2)
  flat <- sin(1:4000)
  dims <- flat
  dim(dims) <- c(20, 200) # the same numbers behind another dim
  expect_identical(twice(dims), x * 2)
  expect_identical(flat, as.vector(x))
  model <- linear_model(4)
  rows <- matrix(sin(1:40), 10)
  expect_identical(predict(model, rows, steps = 2, batch_size = 3), predict(model, rows)[1:6, , drop = FALSE])
})
