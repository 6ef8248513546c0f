random_scores <- function(dim, n = 1L, names = NULL) {
  keys <- utils::tail(seq_along(dim), n)
  weights <- array(stats::runif(prod(dim)), dim)
  rest <- setdiff(seq_along(dim), keys)
  array(sweep(weights, rest, apply(weights, rest, sum), "/"), dim, dimnames = names)
}

words <- c("the", "cat", "saw", "the", "dog")

standard <- function() {
  new_scores(random_scores(c(2, 3, 5, 5), names = list(NULL, NULL, words, words)), 2L, 1L)
}

with_png <- function(code, width = 700, height = 600) {
  path <- tempfile(fileext = ".png")
  grDevices::png(path, width, height)
  tryCatch(force(code), finally = grDevices::dev.off())
  path
}

test_that("scores are an array with a class, and as.array() drops it", {
  plain <- random_scores(c(2, 3, 5, 4), names = list(NULL, NULL, words, letters[1:4]))
  x <- new_scores(plain, 2L, 1L)
  expect_true(is.array(x))
  expect_s3_class(x, c("attentive_scores", "array"), exact = TRUE)
  expect_identical(dim(x), dim(plain))
  expect_identical(dimnames(x), dimnames(plain))
  expect_identical(as.array(x), plain)
  expect_identical(as.vector(x), as.vector(plain))
})

test_that("what is computed from scores is a plain array", {
  x <- standard()
  plain <- as.array(x)
  expect_identical(x[1, 2, , ], plain[1, 2, , ])
  expect_identical(x[1, 2, "cat", "dog"], plain[1, 2, "cat", "dog"])
  expect_identical(x[x > 0.2], plain[plain > 0.2])
  expect_identical(x[1:7], plain[1:7])
  expect_identical(x[, , 1, , drop = FALSE], plain[, , 1, , drop = FALSE])
  expect_identical(x[], plain)
  expect_identical(x * 2, plain * 2)
  expect_identical(1 - x, 1 - plain)
  expect_identical(-x, -plain)
  expect_identical(x - x, plain - plain)
  expect_identical(round(x, 2), round(plain, 2))
  expect_identical(sum(x), sum(plain))
  expect_identical(aperm(x), aperm(plain))
  expect_identical(apply(x, c(1, 2), sum), apply(plain, c(1, 2), sum))
  expect_equal(apply(x, 1:3, sum), array(1, c(2, 3, 5), list(NULL, NULL, words)))
})

test_that("as.data.frame() has one row a weight, in the order in which one reads", {
  x <- standard()
  table <- as.data.frame(x)
  expect_named(table, c("batch", "head", "query", "key", "weight"))
  expect_identical(nrow(table), length(x))
  expect_identical(table$batch, rep(1:2, each = 75))
  expect_identical(as.character(table$key[1:6]), c("the", "cat", "saw", "the (2)", "dog", "the"))
  expect_identical(levels(table$query), c("the", "cat", "saw", "the (2)", "dog"))
  for (row in sample(nrow(table), 50)) {
    at <- vapply(table[row, 1:4], as.integer, 1L)
    expect_identical(table$weight[[row]], as.array(x)[matrix(at, 1)])
  }
  plain <- as.data.frame(new_scores(random_scores(c(1, 2, 3, 2)), 2L, 1L))
  expect_type(plain$query, "integer")
})

test_that("as.data.frame() gives each axis its column", {
  x <- new_scores(random_scores(c(2, 4, 3, 2, 3, 2, 2), 2L), 3L, 2L)
  table <- as.data.frame(x)
  expect_named(table, c("batch", "axis_1", "head", "query_1", "query_2", "key_1", "key_2", "weight"))
  for (row in sample(nrow(table), 50)) {
    expect_identical(table$weight[[row]], as.array(x)[as.matrix(table[row, 1:7])])
  }
  mean_table <- as.data.frame(new_scores(random_scores(c(2, 3, 3)), NULL, 1L))
  expect_named(mean_table, c("batch", "query", "key", "weight"))
  expect_identical(nrow(as.data.frame(new_scores(array(0, c(0, 2, 3, 3)), 2L, 1L))), 0L)
})

test_that("labels that repeat stay apart", {
  expect_identical(unique_labels(c("a", "b", "a", "a")), c("a", "b", "a (2)", "a (3)"))
  expect_identical(anyDuplicated(unique_labels(c("a", "a", "a (2)", "a"))), 0L)
})

test_that("summary() computes what it says", {
  x <- standard()
  table <- summary(x)
  expect_identical(table$head, 1:3)
  head2 <- apply(as.array(x)[, 2, , ], 1:2, function(w) -sum(w * log(w)))
  expect_equal(table$entropy[[2]], mean(head2))
  expect_equal(table$keys[[2]], mean(exp(head2)))
  expect_equal(table$self[[2]], mean(apply(as.array(x)[, 2, , ], 1, diag)))
  expect_identical(table$weight[[2]], max(x[, 2, , ]))
  best <- arrayInd(which.max(x[, 2, , ]), c(2, 5, 5))
  expect_identical(table$batch[[2]], best[[1]])
  expect_identical(table$query[[2]], words[[best[[2]]]])
  expect_identical(table$key[[2]], words[[best[[3]]]])
  expect_identical(table$empty, c(0L, 0L, 0L))
})

test_that("summary() of uniform, one-hot and empty rows is exact", {
  weights <- array(0, c(1, 3, 4, 4))
  weights[1, 1, , ] <- 1 / 4
  weights[1, 2, , ] <- diag(4)
  weights[1, 2, 4, ] <- 0
  table <- summary(new_scores(weights, 2L, 1L))
  expect_equal(table$keys, c(4, 1, NaN))
  expect_equal(table$self, c(0.25, 1, NaN))
  expect_identical(table$empty, c(0L, 1L, 4L))
  expect_null(summary(new_scores(array(weights[, 1, , ], c(1, 4, 4)), NULL, 1L))$head)
  expect_true(is.na(summary(new_scores(random_scores(c(1, 2, 3, 4)), 2L, 1L))$self[[1]]))
})

test_that("several axes are flattened in row-major order", {
  x <- new_scores(random_scores(c(1, 2, 2, 3, 2, 3), 2L), 2L, 2L)
  flat <- flat_scores(x)
  expect_identical(dim(flat), c(1L, 1L, 2L, 6L, 6L))
  expect_identical(flat[1, 1, 2, 2, 4], as.array(x)[1, 2, 1, 2, 2, 1])
  expect_identical(flat_labels(x, 3:4), c("1,1", "1,2", "1,3", "2,1", "2,2", "2,3"))
})

test_that("print() is short and says what there is", {
  set.seed(1)
  withr::local_options(width = 80)
  weights <- round(random_scores(c(2, 2, 5, 5), names = list(NULL, NULL, words, words)), 2)
  x <- new_scores(weights, 2L, 1L)
  expect_identical(format(x), "2 batch elements, 2 heads, 5 queries, 5 keys")
  out <- capture.output(returned <- print(x))
  expect_identical(returned, x)
  expect_length(out, 4L)
  expect_match(out[[3]], "^ +1 .* -> .*\\(batch [12]\\)$")
  expect_identical(
    capture.output(print(new_scores(array(c(1, 0, 0, 0), c(1, 2, 2)), NULL, 1L))),
    c(
      "Attention scores: 1 batch element, 2 queries, 2 keys", "keys seen  own place  strongest",
      "      1.0       1.00       1.00  1 -> 1", "1 row of weights is all 0: a query with nothing to look at"
    )
  )
  many <- capture.output(print(new_scores(random_scores(c(1, 40, 2, 3)), 2L, 1L)))
  expect_identical(many[[19]], "... and 24 more heads")
  expect_length(capture.output(print(new_scores(array(0, c(2, 2, 0, 3)), 2L, 1L))), 1L)
  expect_identical(format(new_scores(array(1, c(1, 2, 1, 1, 1)), 3L, 1L)), "1 batch element, 2 places, 1 head, 1 query, 1 key")
})

test_that("plot() draws every shape and restores the page", {
  shapes <- list(
    list(c(1, 1, 1, 1), 2L, 1L), list(c(2, 12, 16, 16), 2L, 1L), list(c(1, 64, 20, 20), 2L, 1L),
    list(c(1, 2, 300, 400), 2L, 1L), list(c(2, 5, 7), NULL, 1L), list(c(1, 3, 2, 4, 5), 3L, 1L), list(c(1, 2, 2, 3, 3, 2), 2L, 2L)
  )
  for (shape in shapes) {
    x <- new_scores(random_scores(shape[[1]], shape[[3]]), shape[[2]], shape[[3]])
    path <- with_png({
      before <- graphics::par(no.readonly = TRUE)
      shown <- withVisible(plot(x))
      after <- graphics::par(no.readonly = TRUE)
    })
    expect_identical(shown, list(value = x, visible = FALSE))
    same <- c("mar", "oma", "mfrow", "xpd", "cex", "las", "mgp")
    expect_identical(after[same], before[same])
    expect_gt(file.size(path), 1000)
  }
})

test_that("plot() keeps to its place on a page and works on a tiny one", {
  x <- standard()
  with_png({
    graphics::par(mfrow = c(1, 2))
    plot(x)
    expect_identical(graphics::par("mfg"), c(1L, 1L, 1L, 2L))
    plot(x, heads = 2, main = "title")
    expect_identical(graphics::par("mfg"), c(1L, 2L, 1L, 2L))
  })
  expect_true(file.exists(with_png(plot(x), 40, 40)))
  special <- as.array(x)
  special[1, 1, 1, ] <- c(NaN, Inf, 0, 0, 1)
  expect_true(file.exists(with_png(plot(new_scores(special, 2L, 1L)))))
  expect_true(file.exists(with_png(plot(new_scores(special * 0, 2L, 1L), heads = 2))))
})

test_that("the panels show the chosen weights, queries down and keys across", {
  x <- standard()
  panels <- scores_panels(x, 2, c(3, 1), 2:4, c(1, 5), 1, NULL)
  expect_identical(panels$weights[, , 1], array(as.array(x)[2, 3, 2:4, c(1, 5)], c(3, 2)))
  expect_identical(panels$weights[, , 2], array(as.array(x)[2, 1, 2:4, c(1, 5)], c(3, 2)))
  expect_identical(panels$titles, c("head 3", "head 1"))
  expect_identical(panels$query_labels, c("cat", "saw", "the"))
  axes5 <- new_scores(random_scores(c(1, 2, 3, 4, 5, 5)), 4L, 1L)
  expect_identical(scores_panels(axes5, 1, 1, NULL, NULL, c(2, 3), NULL)$weights[, , 1], as.array(axes5)[1, 2, 3, 1, , ])
  colours <- paint(matrix(c(0, 0.5, 1, NaN), 2), c(0, 1), c("red", "green", "blue"))
  expect_identical(colours, matrix(c("grey93", "green", "blue", "grey50"), 2))
})

test_that("wrong choices are classed errors and leave no mark on the page", {
  x <- standard()
  with_png({
    before <- graphics::par("mar")
    for (batch in list(0, 3, 1.5, NA, NULL, "a", c(1, 2), TRUE)) expect_error(plot(x, batch = batch), class = "attentive_error_argument")
    expect_error(plot(x, heads = 4), "from 1 to 3", class = "attentive_error_argument")
    expect_error(plot(x, heads = integer()), class = "attentive_error_argument")
    expect_error(plot(x, queries = 6), class = "attentive_error_argument")
    expect_error(plot(x, keys = "horse"), class = "attentive_error_name")
    expect_error(plot(x, zlim = c(1, 0)), class = "attentive_error_argument")
    expect_error(plot(new_scores(random_scores(c(1, 2, 3, 4, 4)), 3L, 1L), place = 3), class = "attentive_error_argument")
    expect_error(plot(new_scores(array(0, c(1, 0, 2, 2)), 2L, 1L)), class = "attentive_error_shape")
    expect_identical(graphics::par("mar"), before)
  })
  bent <- x
  dim(bent) <- c(6, 25)
  expect_error(summary(bent), class = "attentive_error_shape")
})
