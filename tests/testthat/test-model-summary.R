# The table of a model: keras3's options, and consoles of any width.

reader <- function() {
  clear_session()
  x <- keras_input(c(NA, 6), name = "tokens")
  attended <- layer_multi_head_attention(num_heads = 2, key_dim = 3, name = "attend")(x, x)
  inner <- keras_model_sequential(input_shape = c(NA, 6), name = "inner", layers = list(layer_dense(units = 6, name = "within")))
  keras_model(x, inner(layer_add(x, attended)) |> layer_global_average_pooling_1d(name = "pool") |> layer_dense(1, name = "answer"), name = "reader")
}

table_of <- function(...) utils::capture.output(summary(...))
cells <- function(lines) lapply(strsplit(grep("[|\u2502]", lines, value = TRUE), "[|\u2502]"), function(row) trimws(row[-1L]))

test_that("shapes stand as Keras writes them", {
  rows <- cells(table_of(reader(), line_length = 120))
  shapes <- vapply(rows, function(row) row[[2L]], "")
  expect_identical(shapes, c("Output Shape", "(None, None, 6)", "(None, None, 6)", "(None, None, 6)", "(None, None, 6)", "(None, 6)", "(None, 1)"))
  expect_identical(shapes_text(list(c(NA, 4L), c(2L, 3L))), "[(None, 4), (2, 3)]")
  expect_identical(shapes_text(list(NA_integer_)), "(None,)")
  expect_identical(shapes_text(list(c(NA, 1000000L))), "(None, 1000000)")
})

test_that("the table fits any console and loses nothing", {
  model <- reader()
  whole <- cells(table_of(model, line_length = 200))
  for (width in c(30L, 40L, 60L, 80L, 200L)) {
    withr::local_options(width = width)
    lines <- utils::capture.output(print(model))
    box <- grep("[|+\u2502\u250c\u251c\u2514]", lines, value = TRUE)
    expect_true(all(nchar(box, "width") <= max(width, 4L * 8L + 13L)))
    expect_length(unique(nchar(box, "width")), 1L)
    squeeze <- function(rows) gsub(" ", "", paste(unlist(lapply(seq_along(rows[[1L]]), function(k) vapply(rows, function(row) row[[k]], ""))), collapse = ""))
    expect_identical(squeeze(cells(lines)), squeeze(whole))
  }
})

test_that("format() gives the lines, print() and summary() show them", {
  model <- reader()
  lines <- format(model, line_length = 70)
  expect_identical(table_of(model, line_length = 70), lines)
  expect_identical(utils::capture.output(print(model, line_length = 70)), lines)
  expect_identical(utils::capture.output(utils::str(model)), "<Functional \"reader\": 6 layers, float32, 217 parameters>")
  expect_error(format(model, wide = 3), "Known names", class = "attentive_error_name")
})

test_that("positions set the columns", {
  model <- reader()
  ends <- function(lines) which(strsplit(grep("[|\u2502]", lines, value = TRUE)[[1L]], "")[[1L]] %in% c("|", "\u2502"))
  expect_identical(ends(table_of(model, positions = c(30, 50, 62, 90)))[-1L], c(30L, 50L, 62L, 90L))
  expect_identical(ends(table_of(model, positions = c(0.3, 0.6, 0.7, 1), line_length = 100))[-1L], c(30L, 60L, 70L, 100L))
  expect_identical(ends(table_of(model, positions = c(0.3, 0.6, 0.7, 1), line_length = 60))[-1L], c(18L, 36L, 42L, 60L))
  for (bad in list(c(30, 20, 40, 50), c(30, 40), "wide", c(1, NA, 3, 4))) {
    expect_error(summary(model, positions = bad), "positions", class = "attentive_error_argument")
  }
})

test_that("layer_range shows a part, the totals are those of the model", {
  model <- reader()
  whole <- table_of(model)
  lines <- table_of(model, layer_range = c("attend", "add"))
  names <- vapply(cells(lines), function(row) row[[1L]], "")
  expect_length(grep("attend", names), 1L)
  expect_false(any(grepl("pool|answer", names)))
  expect_identical(utils::tail(lines, 3L), utils::tail(whole, 3L))
  expect_true(any(grepl("> within", table_of(model, layer_range = c("inner", "inner"), expand_nested = TRUE))))
  expect_error(summary(model, layer_range = c("attend", "nothing")), "Its layers", class = "attentive_error_name")
  expect_error(summary(model, layer_range = "attend"), class = "attentive_error_argument")
})
