# Numbers that Keras itself computed, in double precision; see golden/README.md.

golden <- readRDS(test_path("golden", "multi_head_attention.rds"))

test_that("the golden file holds what these tests are about", {
  expect_length(golden, 90)
  expect_false(anyDuplicated(vapply(golden, function(case) case$name, "")) > 0)
  expect_true(all(vapply(golden, function(case) all(c("gradients", "upstream", "scores", "output") %in% names(case)), NA)))
})

run_golden <- function(case, dtype) {
  inputs <- case$inputs
  layer <- do.call(layer_multi_head_attention, c(case$args, list(dtype = dtype, name = "mha")))
  layer$build(dim(inputs$query), dim(inputs$value), dim(if (is.null(inputs$key)) inputs$value else inputs$key))
  set_weights(layer, case$weights)
  list(
    paths = vapply(layer$weights, function(w) w$path, ""),
    dims = lapply(get_weights(layer), dim),
    both = do.call(layer, c(inputs, case$call, list(return_attention_scores = TRUE))),
    alone = do.call(layer, c(inputs, case$call))
  )
}

check_golden <- function(dtype, bound) {
  for (case in golden) {
    label <- sprintf("%s (%s)", case$name, dtype)
    got <- run_golden(case, dtype)
    expect_identical(got$paths, as.character(case$weight_paths), label = label)
    expect_identical(got$dims, lapply(case$weights, dim), label = label)
    expect_close(got$both$attention_output, case$output, bound, paste(label, "output"))
    expect_close(got$both$attention_scores, case$scores, bound, paste(label, "scores"))
    expect_close(got$alone, case$output, bound, paste(label, "output without scores"))
  }
}

test_that("all golden cases agree in double precision", {
  check_golden("float64", 1e-12)
})

test_that("all golden cases agree in single precision", {
  check_golden("float32", 2e-5)
})

test_that("the plain-R oracle of these tests agrees with Keras too", {
  for (case in Filter(function(case) prod(dim(case$scores)) < 1500, golden)) {
    expected <- oracle_case(case, case$weights)
    expect_close(expected$output, case$output, 1e-12, paste(case$name, "oracle output"))
    expect_close(expected$scores, case$scores, 1e-12, paste(case$name, "oracle scores"))
  }
})
