# Scripts that a keras3 user would write: run with only the library() line changed, each in a process of its own, and compared with
# what keras3 answered (scripts/NAME.rds, single precision).

scripts <- c(
  "layer-call", "scores", "masks", "sizes", "specifications", "siblings", "list-inputs", "functional-model", "embedding-mask",
  "train-history", "train-callbacks", "transformer-block", "custom-layer"
)

# Evaluates a script in a fresh process that loads the very package under test; gives its `result`.
run_script <- function(name) {
  lines <- readLines(test_path("scripts", paste0(name, ".R")))
  is_library <- lines == "library(keras3)"
  stopifnot(sum(is_library) == 1)
  lines[is_library] <- "library(attentive)"
  script <- withr::local_tempfile(fileext = ".R")
  answer <- withr::local_tempfile(fileext = ".rds")
  writeLines(c(lines, sprintf("saveRDS(result, %s)", deparse(answer))), script)
  log <- run_r(script)
  if (!file.exists(answer)) stop("script ", name, " failed:\n", paste(log, collapse = "\n"))
  readRDS(answer)
}

# Same names in the same order, same dims, same kind of value, numbers within the tolerance.
expect_answer <- function(actual, expected, label) {
  if (is.list(expected)) {
    expect_identical(names(actual), names(expected), label = label)
    expect_identical(length(actual), length(expected), label = label)
    for (i in seq_along(expected)) {
      expect_answer(actual[[i]], expected[[i]], paste0(label, "$", if (is.null(names(expected))) i else names(expected)[i]))
    }
  } else if (is.numeric(expected)) {
    expect_true(is.numeric(actual), label = label)
    if (is.null(dim(expected))) expect_null(dim(actual), label = label)
    expect_close(actual, expected, 1e-4, label)
  } else {
    expect_identical(actual, expected, label = label)
  }
}

for (name in scripts) {
  test_that(paste0("the script '", name, "' gives keras3's answer"), {
    expect_answer(run_script(name), readRDS(test_path("scripts", paste0(name, ".rds"))), name)
  })
}
