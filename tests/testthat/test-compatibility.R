# The table of keras3's names: it says what is exported, and nothing else.

table <- keras3_compatibility()
exported <- grep("^[A-Za-z]", getNamespaceExports("attentive"), value = TRUE)

test_that("the table agrees with the namespace", {
  here <- table$name[table$status %in% c("same", "differs", "own")]
  expect_setequal(here, setdiff(exported, "attentive-package"))
  expect_identical(anyDuplicated(table$name), 0L)
  expect_false(any(table$name[table$status %in% c("missing", "outside")] %in% exported))
})

test_that("every name has a family, and what differs has a remark", {
  expect_false(any(is.na(table$family) | table$family == ""))
  expect_identical(sum(table$family == "other"), 0L)
  expect_true(all(nzchar(table$remark[table$status == "differs"])))
  expect_true(all(!nzchar(table$remark[table$status == "same"])))
  expect_true(all(outside_families %in% table$family))
})

test_that("only here are no names that look like keras3's", {
  # a misspelt name would land there
  own <- table$name[table$status == "own"]
  distance <- utils::adist(own, table$name[table$status != "own"])
  near <- own[apply(distance, 1L, min) <= 1L]
  expect_identical(near, character())
})

test_that("remarks are about names of keras3", {
  remarks <- utils::read.csv(keras3_file("keras3-remarks.csv"), comment.char = "#")
  expect_identical(anyDuplicated(remarks$name), 0L)
  expect_identical(setdiff(remarks$name, table$name[table$status != "own"]), character())
})

test_that("arguments are compared, those in the dots as well", {
  row <- function(name) table[table$name == name, ]
  expect_identical(arguments_lacking("layer_dense", c("object", "units", "no_such", "name", "nor_this")), "without `no_such`, `nor_this`")
  expect_identical(arguments_lacking("layer_multi_head_attention", c("inputs", "num_heads", "flash_attention", "seed", "dtype")), "")
  expect_identical(as.character(row("layer_multi_head_attention")$status), "same")
  expect_identical(as.character(row("get_gradients")$status), "own")
  expect_identical(as.character(row("application_resnet50")$status), "outside")
})

test_that("a part can be asked for", {
  expect_setequal(keras3_compatibility("^initializer_")$name, grep("^initializer_", table$name, value = TRUE))
  expect_true(all(keras3_compatibility("losses")$family == "losses"))
  expect_identical(nrow(keras3_compatibility("no such name")), 0L)
  expect_error(keras3_compatibility("("), "pattern", class = "attentive_error_argument")
  expect_error(keras3_compatibility(3), "pattern", class = "attentive_error_argument")
})

test_that("it prints counts, or names if they are few", {
  lines <- capture.output(returned <- print(table))
  expect_identical(returned, table)
  expect_match(lines[[1L]], "same.*differs.*missing.*outside.*own")
  expect_length(lines, length(unique(table$family)) + 1L)
  withr::local_options(width = 60)
  lines <- capture.output(print(keras3_compatibility("^layer_(dense|embedding)$")))
  expect_length(lines, 2L)
  expect_true(all(nchar(lines) <= 60))
})

test_that("a part of its columns prints as any data frame, and what is missing may say what to use instead", {
  expect_output(print(table[1:2, c("name", "remark")]), "name")
  expect_match(table$remark[table$name == "save_model"], "saveRDS")
})

test_that("arguments that go by place have keras3's order", {
  theirs <- utils::read.csv(keras3_file("keras3-names.csv"), comment.char = "#")
  until_dots <- function(arguments) head(arguments, match("...", arguments, nomatch = length(arguments) + 1L) - 1L)
  for (i in which(theirs$family %in% c("losses", "metrics", "optimizers") & theirs$name %in% exported)) {
    ours <- until_dots(names(formals(getExportedValue("attentive", theirs$name[[i]]))))
    expected <- until_dots(strsplit(theirs$arguments[[i]], " ", fixed = TRUE)[[1L]])
    if (theirs$name[[i]] == "metric_sparse_categorical_crossentropy") expected <- setdiff(expected, "ignore_class")
    expect_identical(ours, head(expected, length(ours)), label = theirs$name[[i]])
  }
  einsum <- names(formals(layer_einsum_dense))
  expect_lt(match("bias_constraint", einsum), match("...", einsum))
  expect_gt(match("activity_regularizer", einsum), match("...", einsum))
  p <- rbind(c(0.2, 0.5, 0.3), c(0.1, 0.1, 0.8))
  expect_identical(loss_sparse_categorical_crossentropy(c(1, 0), p, TRUE, 0), loss_sparse_categorical_crossentropy(c(1, 0), p, from_logits = TRUE, ignore_class = 0))
  expect_error(loss_sparse_categorical_crossentropy(c(1, 0), p, -1, TRUE), "from_logits", class = "attentive_error_argument")
})
