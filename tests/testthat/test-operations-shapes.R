# Operations that change, join, cut and contract, each against R.

test_that("reshape counts row by row, transpose is aperm()", {
  set.seed(3)
  for (round in 1:15) {
    size <- random_shape(sample(2:4, 1))
    x <- array(rnorm(prod(size)), size)
    order <- sample(length(size))
    expect_equal(both_ways(function(x) op_transpose(x, order), x), aperm(x, order))
    expect_slopes(function(x) op_transpose(x, order), x)
    target <- c(size[[1]], prod(size[-1]))
    expect_equal(both_ways(function(x) op_reshape(x, c(-1, target[[2]])), x), array_reshape(x, target))
    axis <- sample(length(size) + 1, 1)
    expect_equal(both_ways(function(x) op_expand_dims(x, axis), x), array(x, append(size, 1, axis - 1)))
    expect_equal(both_ways(function(x) op_squeeze(op_expand_dims(x, axis), axis), x), x)
  }
  expect_equal(op_transpose(matrix(1:6, 2)), t(matrix(1:6, 2)))
  expect_identical(dim(op_squeeze(array(1, c(1, 2, 1)))), 2L)
  expect_equal(op_broadcast_to(c(1, 2), c(3, 2)), matrix(1:2, 3, 2, byrow = TRUE))
  expect_slopes(function(x) op_broadcast_to(x, c(2, 3, 2)), wave(c(2, 1, 2)))
  expect_equal(dim(op_swapaxes(array(0, 2:4), 1, -1)), c(4L, 3L, 2L))
  expect_equal(op_moveaxis(array(1:24, 2:4), 1, -1), aperm(array(1:24, 2:4), c(2, 3, 1)))
  expect_equal(op_ravel(matrix(1:4, 2)), array(c(1L, 3L, 2L, 4L)))
})

test_that("joining, cutting and repeating", {
  a <- wave(c(2, 3, 2))
  b <- wave(c(2, 1, 2), 0.3)
  joined <- both_ways(function(a, b) op_concatenate(list(a, b), axis = 2), a, b)
  expect_equal(joined[, 4, ], b[, 1, ])
  expect_slopes(function(a, b) op_concatenate(list(a, b), axis = 2), a, b)
  expect_equal(both_ways(function(a, b) op_stack(list(a, b), axis = -1), a, -a)[, , , 2], -a)
  expect_equal(both_ways(function(a) op_split(a, c(1, 2), axis = 2)[[2]], a), a[, 2, , drop = FALSE])
  expect_equal(lapply(op_split(matrix(1:6, 1), 3, axis = 2), as.vector), list(1:2, 3:4, 5:6))
  expect_equal(both_ways(function(a) op_unstack(a, axis = 2)[[3]], a), a[, 3, ])
  expect_equal(both_ways(function(a) op_flip(a, axis = c(2, 3)), a), a[, 3:1, 2:1])
  expect_slopes(function(a) op_flip(a, axis = 2), a)
  expect_equal(both_ways(function(a) op_tile(a, c(1, 2, 1)), a), a[, c(1:3, 1:3), ])
  expect_equal(op_tile(1:2, c(2, 2)), rbind(c(1L, 2L, 1L, 2L), c(1L, 2L, 1L, 2L)))
  expect_equal(both_ways(function(a) op_repeat(a, 2, axis = 2), a), a[, rep(1:3, each = 2), ])
  expect_equal(both_ways(function(a) op_repeat(a, c(2, 0, 1), axis = 2), a), a[, c(1, 1, 3), ])
  expect_slopes(function(a) op_tile(a, c(1, 2, 1)), a)
  padded <- both_ways(function(a) op_pad(a, list(c(0, 0), c(1, 2), c(0, 1)), constant_values = 9), a)
  expect_equal(padded[, 2:4, 1:2], a)
  expect_true(all(padded[, c(1, 5, 6), ] == 9) && all(padded[, , 3] == 9))
  expect_equal(op_pad(1:3, 2, mode = "reflect"), array(c(3L, 2L, 1:3, 2L, 1L)))
  expect_equal(op_pad(1:3, 2, mode = "symmetric"), array(c(2L, 1L, 1:3, 3L, 2L)))
  expect_equal(op_pad(1:3, c(0, 2), mode = "edge"), array(c(1:3, 3L, 3L)))
})

test_that("tensors are indexed as those of keras3 are", {
  a <- wave(c(3, 5, 4))
  n <- 2
  steps <- c(-1, 2)
  # what is written, and what R writes for it
  pairs <- alist(
    x[, 1, ], a[, 1, ], x[, 2:4, ], a[, 2:4, ], x[, -1, ], a[, 5, ], x[, -5, 2], array(a[, 1, 2]), x[, c(3, 1, 1), 4:1], a[, c(3, 1, 1), 4:1], x[, c(-2, -1), ], a[, 4:5, ],
    x[, c(-1, -2), ], a[, 5:4, ], x[, steps, ], a[, c(5, 2), ], x[, 2:4, -1], a[, 2:4, 4], x[, , 2, drop = FALSE], a[, , 2, drop = FALSE], x[, 3:3, ], a[, 3, , drop = FALSE],
    x[, seq(1, 5, 2), n], a[, c(1, 3, 5), 2], x[, TRUE, 4], a[, , 4], x[, c(TRUE, FALSE), ], a[, c(1, 3, 5), ], x[, c(FALSE, FALSE, TRUE, FALSE, FALSE), ], a[, 3, , drop = FALSE],
    x[, 5:2, ], a[, 5:2, ], x[, 1:-2, ], a[, 1:4, ], x[, NA:-2, n:NA], a[, 1:4, 2:4], x[, -3:-1, ], a[, 3:5, ], x[, -1:-3, ], a[, 5:3, ], x[, NA:NA:2, ], a[, c(1, 3, 5), ],
    x[, NA:NA:-1, ], a[, 5:1, ], x[, 5:1:-2, ], a[, c(5, 3, 1), ], x[, (n + 1):-1, ], a[, 3:5, ], x[], a, x[, NA:NA], a, x[.., 1], a[, , 1], x[, .., -1], a[, , 4], x[, 2], a[, 2, ],
    x[, NULL, , 1], array(a[, , 1], c(3, 1, 5)), x[.., NULL], array(a, c(3, 5, 4, 1)), x[, 1, newaxis], array(a[, 1, ], c(3, 1, 4)), x[, 1, 1, NULL], array(a[, 1, 1], c(3, 1))
  )
  for (open in c(FALSE, TRUE)) {
    x <- keras_input(if (open) c(NA, NA) else c(5, 4), dtype = "float64")
    for (i in seq(1, length(pairs), 2)) {
      if (open && any(vapply(as.list(pairs[[i]]), function(e) is.call(e) && any(grepl("FALSE", deparse(e))), NA))) next # needs the size
      info <- paste(deparse(pairs[[i]]), open)
      tensor <- eval(pairs[[i]])
      expected <- eval(pairs[[i + 1]])
      expect_equal(keras_model(x, tensor)(a), expected, tolerance = 1e-12, info = info)
      expect_length(dim(tensor), length(dim(expected)))
      expect_false(looks_across(x, tensor), info = info)
      if (open || "drop" %in% names(pairs[[i]])) next
      on_array <- eval(as.call(c(quote(op_subset), as.list(pairs[[i]])[-1])), list(x = a, n = n, steps = steps))
      expect_equal(drop(on_array), drop(expected), tolerance = 1e-12, info = info)
    }
  }
  expect_identical(dim(keras_input(c(NA, 4))[, 2:4, ]), c(NA, 3L, 4L))
  batch <- keras_input(batch_shape = c(3, 5, 4), dtype = "float64")
  whole <- alist(x[2], a[2, , ], x[-1], a[3, , ], x[2:1, , ], a[2:1, , ], x[, 2, 3] + 0, a[, 2, 3], x[c(3, 1, 1), 2, ], a[c(3, 1, 1), 2, ], x[NULL, 1, , ], a[1, , , drop = FALSE],
    x[1, 2, 3], a[1, 2, 3], x[1:-2, 1, 1], a[1:2, 1, 1])
  for (i in seq(1, length(whole), 2)) {
    expected <- eval(whole[[i + 1]])
    if (length(expected) > 1L && is.null(dim(expected))) dim(expected) <- length(expected)
    expect_equal(keras_model(batch, eval(whole[[i]], list(x = batch)))(a), expected, info = deparse(whole[[i]]))
    written <- if (is.call(whole[[i]][[2]])) whole[[i]][[2]] else whole[[i]]
    expect_equal(eval(as.call(c(quote(op_subset), as.list(written)[-1])), list(x = a)), expected, info = deparse(whole[[i]]))
  }
  expect_slopes(function(x) x[, c(3, 1, -5), 4:2], a)
  expect_slopes(function(x) x[, -2, 1:-2], a)
  open <- keras_input(shape(NA, 4), dtype = "float64")
  expect_equal(keras_model(open, open[, op_shape(open)[[2]], ])(a), a[, 5, ])
  expect_equal(keras_model(open, open[, 2:op_shape(open)[[2]], ])(a), a[, 2:5, ])
  expect_error(keras_model(open, open[, 1:3, ])(a[, 1:2, ]), "beyond", class = "attentive_error_argument")
  expect_error(keras_model(open, open[, -3, ])(a[, 1:2, ]), class = "attentive_error_argument")
  x <- keras_input(c(5, 4), dtype = "float64")
  ids <- array(c(1, 5, -4), 3)
  expect_equal(keras_model(x, x[, op_convert_to_tensor(ids), ])(a), a[, c(1, 5, 2), ])
  expect_equal(op_subset(c(10, 20, 30), -1), 30)
  expect_equal(op_slice(a, c(1, 2, 3), c(3, 2, 2)), a[, 2:3, 3:4])
  expect_equal(both_ways(function(x) op_slice(x, c(1, 2, 3), c(-1, 2, 2)), a), a[, 2:3, 3:4])
})

test_that("places are taken, found and sorted", {
  a <- wave(c(3, 4))
  expect_equal(op_take(c(10, 20, 30), rbind(c(3, 1), c(-1, 2))), rbind(c(30, 10), c(30, 20)))
  expect_equal(both_ways(function(x) op_take(x, c(4, 1), axis = 2), a), a[, c(4, 1)])
  expect_equal(op_take(a, 2), a[1, 2]) # row-major
  expect_slopes(function(x) op_take(x, c(4, 1, 4), axis = 2), a)
  places <- op_argsort(a, axis = 2)
  expect_equal(places, t(apply(a, 1, order)))
  expect_equal(both_ways(function(x) op_sort(x), a), t(apply(a, 1, sort)))
  expect_equal(op_take_along_axis(a, places, axis = 2), t(apply(a, 1, sort)))
  expect_slopes(op_sort, a)
  top <- op_top_k(c(5, 2, 7, 1, 9, 3), k = 3)
  expect_equal(top, list(values = array(c(9, 7, 5)), indices = array(c(5L, 3L, 1L))))
  expect_equal(op_top_k(a, 2, zero_indexed = TRUE)$indices + 1L, t(apply(-a, 1, order))[, 1:2])
  expect_equal(op_one_hot(c(2, 1, 3), 3), diag(3)[c(2, 1, 3), ])
  expect_equal(op_one_hot(c(1, 0), 2, axis = 1, zero_indexed = TRUE), rbind(c(0, 1), c(1, 0)))
  expect_equal(op_one_hot(factor(c("b", "a"))), diag(2)[2:1, ])
  ids <- keras_input(shape(NA), dtype = "int32")
  expect_equal(keras_model(ids, op_one_hot(ids, 4))(rbind(c(1, 4))), array(diag(4)[c(1, 4), ], c(1, 2, 4)))
})

test_that("arrays are made, of known sizes and of sizes to come", {
  expect_equal(op_ones(c(2, 3)), matrix(1, 2, 3))
  expect_identical(op_zeros(2L, dtype = "int32"), array(c(0L, 0L)))
  expect_equal(op_full(c(2, 1), 7), matrix(7, 2, 1))
  expect_identical(op_full(2L, TRUE), array(c(TRUE, TRUE)))
  expect_equal(op_arange(4), array(c(1, 2, 3, 4)))
  expect_identical(op_arange(3L, 7L, 2L), array(c(3L, 5L, 7L)))
  expect_equal(op_arange(0, 3, include_end = FALSE), array(c(0, 1, 2)))
  expect_equal(op_arange(1, 0, -0.5), array(c(1, 0.5, 0)))
  expect_equal(op_eye(2, 3, k = 1), rbind(c(0, 1, 0), c(0, 0, 1)))
  expect_equal(op_ones_like(matrix(2, 1, 2)), matrix(1, 1, 2))
  m <- matrix(1:12, 3) + 0
  expect_equal(op_tril(m, 1), m * (col(m) <= row(m) + 1))
  expect_equal(op_triu(m), m * (col(m) >= row(m)))
  for (none in list(shape(), NULL, numeric(), integer(), list())) {
    expect_identical(op_ones(none), 1)
    expect_identical(op_zeros(none, dtype = "int32"), 0L)
    expect_identical(op_full(none, 3), 3)
    expect_identical(op_reshape(matrix(3, 1, 1), none), 3)
    expect_identical(op_broadcast_to(3, none), 3)
  }
  x <- keras_input(shape(NA, 2), dtype = "float64")
  a <- wave(c(3, 4, 2))
  expect_equal(keras_model(x, op_broadcast_to(op_reshape(op_full(shape(), op_max(x)), shape()), NULL))(a), max(a))
  expect_equal(keras_model(x, x + op_ones(shape()))(a), a + 1)
  sizes <- op_shape(x)
  expect_identical(op_shape(a)[[2]], 4L)
  expect_identical(op_ndim(x), 3L)
  tensors <- list(
    op_arange(sizes[[2]]), op_arange(0L, sizes[[2]] * 2L - 1L, 3L, include_end = FALSE), op_ones(list(sizes[[1]], sizes[[2]], 3)), op_full_like(x, 2), x / op_cast(sizes[[2]], "float64"),
    op_tril(op_matmul(x, op_transpose(x, c(1, 3, 2)))), op_reshape(x, list(sizes[[1]], sizes[[2]] %/% 2L, 4)), op_reshape(x, list(sizes[[1]] * sizes[[2]], 2)),
    op_broadcast_to(op_mean(x, axis = 2, keepdims = TRUE), list(sizes[[1]], sizes[[2]], 2)), x * op_size(x)
  )
  expected <- list(
    array(1:4), array(c(0, 3, 6)), array(1, c(3, 4, 3)), array(2, c(3, 4, 2)), a / 4, op_tril(op_matmul(a, op_transpose(a, c(1, 3, 2)))), array_reshape(a, c(3, 2, 4)),
    array_reshape(a, c(12, 2)), op_broadcast_to(op_mean(a, axis = 2, keepdims = TRUE), c(3, 4, 2)), a * 24
  )
  for (i in seq_along(tensors)) {
    expect_equal(keras_model(x, tensors[[i]])(a), expected[[i]] + 0, tolerance = 1e-12, info = paste("tensor", i))
  }
  expect_false(any(vapply(tensors[c(1, 2, 3, 4, 5, 6, 7, 9)], looks_across, NA, inputs = x)))
  expect_true(all(vapply(tensors[c(8, 10)], looks_across, NA, inputs = x)))
})

test_that("what looks across the batch is run as a whole, the rest in parts", {
  x <- keras_input(c(3, 2), dtype = "float64")
  fixed <- op_convert_to_tensor(wave(c(3, 2)))
  apart <- list(
    x + 1, x * fixed, x + wave(c(1, 3, 2)), op_sum(x, axis = -1), op_reshape(x, c(-1, 6)), op_matmul(x, wave(c(2, 4))), op_matmul(wave(c(4, 3)), x), op_softmax(x),
    op_concatenate(list(x, x), axis = 2), op_stack(list(x, x), axis = 2), op_expand_dims(x, 2), x[, 1, ], op_take(wave(c(5, 2)), op_argmax(x, axis = 2), axis = 1),
    op_cumsum(x, axis = 2), op_einsum("bij,jk->bik", x, wave(c(2, 4))), op_einsum("bij,bkj->bik", x, x), op_normalize(x), op_pad(x, list(c(0, 0), c(1, 1), c(0, 0)))
  )
  across <- list(
    op_sum(x), op_mean(x, axis = 1), op_reshape(x, c(-1, 2)), op_transpose(x), op_softmax(x, axis = 1), op_flip(x, 1), op_concatenate(list(x, x), axis = 1),
    x + op_reshape(x, c(1, -1, 3, 2)), op_expand_dims(x, 1), op_cumsum(x, axis = 1), op_take(x, c(1, 1), axis = 1), x[2, , ]
  )
  for (i in seq_along(apart)) expect_false(looks_across(x, apart[[i]]), info = paste("apart", i))
  for (i in seq_along(across)) expect_true(looks_across(x, across[[i]]), info = paste("across", i))
})

test_that("products, contractions and norms", {
  set.seed(4)
  a <- noise(2, 3, 4)
  b <- noise(2, 4, 5)
  expected <- array(0, c(2, 3, 5))
  for (i in 1:2) expected[i, , ] <- a[i, , ] %*% b[i, , ]
  expect_equal(both_ways(op_matmul, a, b), expected)
  expect_slopes(op_matmul, a, b)
  expect_equal(op_matmul(a, b[1, , ])[2, , ], a[2, , ] %*% b[1, , ])
  expect_equal(op_matmul(1:3, 4:6), 32)
  expect_equal(op_matmul(matrix(1:6, 2), 1:3), array(c(22, 28)))
  expect_equal(op_matmul(1:2, matrix(1:6, 2)), array(c(5, 11, 17)))
  expect_equal(op_dot(a, b), op_einsum("ijk,lkm->ijlm", a, b))
  expect_equal(op_dot(2, a), 2 * a)
  expect_equal(op_tensordot(a, aperm(a, c(3, 2, 1)), axes = list(c(2, 3), c(2, 1))), matrix(a, 2) %*% t(matrix(a, 2)))
  formulas <- list(
    "ij,jk->ik" = function(x, y) x %*% y, "ij,kj->ki" = function(x, y) y %*% t(x), "ij,ij->" = function(x, y) sum(x * y), "ij,k->ijk" = outer,
    "ij,ik->j" = function(x, y) as.vector(colSums(x * rowSums(y))), "ij,ij->ji" = function(x, y) t(x * y)
  )
  shapes <- list(list(c(2, 3), c(3, 4)), list(c(2, 3), c(4, 3)), list(c(2, 3), c(2, 3)), list(c(2, 3), 4), list(c(2, 3), c(2, 4)), list(c(2, 3), c(2, 3)))
  for (i in seq_along(formulas)) {
    x <- noise(shapes[[i]][[1]])
    y <- noise(shapes[[i]][[2]])
    expect_equal(as.vector(op_einsum(names(formulas)[[i]], x, y)), as.vector(formulas[[i]](x, y)), info = names(formulas)[[i]])
  }
  expect_equal(op_einsum("ij,jk", a[1, , ], b[1, , ]), a[1, , ] %*% b[1, , ])
  expect_equal(op_einsum("ijk->kj", a), t(apply(a, c(2, 3), sum)))
  expect_slopes(function(a, b) op_einsum("btk,bks->bst", a, b), a, b)
  expect_equal(op_norm(c(3, -4)), 5)
  expect_equal(op_norm(c(3, -4), ord = 1), 7)
  expect_equal(op_norm(c(3, -4), ord = Inf), 4)
  expect_equal(op_norm(c(3, -4, 0), ord = 0), 2)
  expect_equal(op_norm(a, ord = 3, axis = 2), apply(abs(a)^3, c(1, 3), sum)^(1 / 3))
  expect_equal(both_ways(op_normalize, a), a / c(apply(a, 1:2, function(x) sqrt(sum(x^2)))))
  expect_slopes(op_normalize, a)
  zero <- op_normalize(matrix(0, 1, 2))
  expect_identical(zero, matrix(0, 1, 2))
})

test_that("attention as an operation is that of the formula", {
  set.seed(5)
  q <- noise(2, 3, 4, 5)
  k <- noise(2, 6, 4, 5)
  v <- noise(2, 6, 4, 2)
  plain <- function(q, k, v, mask = array(TRUE, c(2, 4, 3, 6)), bias = 0, scale = 1 / sqrt(5)) {
    made <- array(0, c(2, 3, 4, dim(v)[[4]]))
    for (b in 1:2) for (h in 1:4) {
      s <- exp(scale * q[b, , h, ] %*% t(k[b, , h, ]) + bias) * mask[b, h, , ]
      made[b, , h, ] <- s %*% v[b, , h, ] / pmax(rowSums(s), 1e-300)
    }
    made
  }
  mask <- random_mask(c(2, 4, 3, 6), 0.6)
  mask[1, 1, 1, ] <- FALSE # sees nothing
  causal <- aperm(array(outer(1:3, 1:6, ">="), c(3, 6, 2, 4)), c(3, 4, 1, 2))
  expect_equal(both_ways(op_dot_product_attention, q, k, v), plain(q, k, v))
  expect_equal(op_dot_product_attention(q, k, v, mask = mask, scale = 2), plain(q, k, v, mask, scale = 2))
  expect_equal(op_dot_product_attention(q, k, v, is_causal = TRUE), plain(q, k, v, causal))
  expect_equal(op_dot_product_attention(q, k, v, bias = 0.5, mask = mask, is_causal = TRUE), plain(q, k, v, mask & causal))
  expect_equal(op_dot_product_attention(q, k[, , 1:2, ], v[, , 1:2, ]), plain(q, k[, , c(1, 1, 2, 2), ], v[, , c(1, 1, 2, 2), ]))
  expect_equal(op_dot_product_attention(q, k, v, mask = mask[1, 1, , ]), plain(q, k, v, aperm(array(mask[1, 1, , ], c(3, 6, 2, 4)), c(3, 4, 1, 2))))
  expect_slopes(function(q, k, v) op_dot_product_attention(q, k, v, is_causal = TRUE), q, k, v)
  expect_slopes(function(q, k) op_dot_product_attention(q, k, k, bias = 1, mask = mask), q, k)
})

test_that("a dot layer sums over an axis of each array", {
  a <- wave(c(2, 3, 4))
  b <- wave(c(2, 5, 4), 0.3)
  layer <- function(...) layer_dot(..., dtype = "float64")
  expect_equal(layer(a, b, axes = 3), op_einsum("bij,bkj->bik", a, b))
  expect_equal(layer(list(a, aperm(b, c(1, 3, 2))), axes = c(3, 2)), op_einsum("bij,bkj->bik", a, b))
  expect_equal(layer(a, a, axes = -1, normalize = TRUE)[, 1, 1], c(1, 1))
  expect_equal(layer(a[, 1, ], a[, 2, ], axes = 2), matrix(rowSums(a[, 1, ] * a[, 2, ])))
  expect_equal(layer(a, a[, 1, ], axes = c(3, 2)), op_einsum("bij,bj->bi", a, a[, 1, ]))
  expect_equal(layer(wave(c(2, 3, 2, 4)), b, axes = c(4, 3)), op_einsum("bxyj,bkj->bxyk", wave(c(2, 3, 2, 4)), b))
  expect_slopes(function(a, b) layer(a, b, axes = 3, normalize = TRUE), a, b)
  x <- keras_input(shape(NA, 4))
  model <- keras_model(x, layer_dot(x, x, axes = c(3, -1)))
  expect_equal(model$output_shape, shape(NA, NA, NA))
  expect_equal(from_config(get_config(model))(a), model(a))
  expect_error(layer(a, b, axes = 2), "equal size", class = "attentive_error_shape")
  expect_error(layer(a, b, axes = 1), class = "attentive_error_shape")
  expect_error(layer(a, b), "axes", class = "attentive_error_argument")
  expect_error(layer(a, b, axes = c(2, 2, 2)), class = "attentive_error_argument")
})

test_that("activations are functions on arrays and tensors, and arguments of layers", {
  x <- matrix(seq(-3, 3, length.out = 12), 3)
  for (name in setdiff(attentive:::activation_names, c("swish", "hard_swish"))) {
    fun <- getExportedValue("attentive", paste0("activation_", name))
    expected <- layer_activation(x, name, dtype = "float64")
    expect_equal(fun(x), expected, tolerance = 1e-12, info = name)
    expect_identical(layer_activation(x, fun, dtype = "float64"), expected, info = name)
    expect_identical(get_config(layer_activation(activation = fun))$activation, name, info = name)
    tensor <- keras_input(4, dtype = "float64")
    expect_equal(keras_model(tensor, fun(tensor))(x), expected, tolerance = 1e-12, info = name)
  }
  expect_equal(activation_relu(x, negative_slope = 0.1, max_value = 1, threshold = 0.2), ifelse(x >= 1, 1, ifelse(x > 0.2, x, 0.1 * (x - 0.2))), tolerance = 1e-12)
  expect_equal(activation_softmax(x, axis = 1), op_softmax(x, 1))
  bent <- layer_dense(units = 4, activation = function(x) activation_leaky_relu(x, 0.5), kernel_initializer = "identity", dtype = "float64")
  expect_equal(bent(x), ifelse(x > 0, x, 0.5 * x), tolerance = 1e-12)
  expect_error(activation_relu("a"), class = "attentive_error_argument")
})

test_that("wrong calls end in classed errors", {
  x <- keras_input(c(3, 4))
  m <- matrix(1:6, 2)
  calls <- list(
    shape = quote(op_add(m, 1:2)), argument = quote(op_add(m, "a")), argument = quote(op_add(x, NULL)), argument = quote(op_add(x, NA)), argument = quote(x[1, 2, 3, 4]),
    argument = quote(x[, "a", ]), shape = quote(x[, 4, ]), argument = quote(x[, 1.5, ]), argument = quote(x[, 0, ]), argument = quote(x[, 0:2, ]), shape = quote(x[, -4, ]),
    shape = quote(x[, 1:4, ]), argument = quote(x[, "a":2, ]), argument = quote(x[, matrix(1, 1, 1), ]), not_yet = quote(x[, x[1, , 1] > 0, ]), name = quote(op_subset(m, 1, drop = FALSE)),
    argument = quote(op_subset("a", 1)), argument = quote(x["all"]), argument = quote(x[, NA_integer_, ]), shape = quote(op_sum(m, axis = 3)),
    argument = quote(op_sum(m, axis = 0)), shape = quote(op_sum(m, axis = c(1, 1))), argument = quote(op_sum(m, keepdims = NA)), shape = quote(op_matmul(m, m)),
    shape = quote(op_matmul(m, 2)), shape = quote(op_reshape(m, c(4, 2))), shape = quote(op_reshape(m, c(-1, -1))), argument = quote(op_reshape(m)),
    shape = quote(op_reshape(x, list("a"))), argument = quote(op_transpose(m, c(1, 1))), shape = quote(op_squeeze(m, 1)), shape = quote(op_concatenate(list(m, t(m)))),
    argument = quote(op_concatenate(m)), shape = quote(op_stack(list(1:2, 1:3))), argument = quote(op_cast(m, "text")), argument = quote(op_clip(m, "a", 1)),
    not_yet = quote(op_where(m > 1)), shape = quote(op_broadcast_to(m, c(4, 3))), argument = quote(op_take(1:3, 4)), argument = quote(op_take(1:3, 0)),
    shape = quote(op_top_k(1:3, 4)), shape = quote(op_split(m, 2, axis = 2)), argument = quote(op_unstack(keras_input(shape(NA)), axis = 2)), shape = quote(op_ones(-1)),
    argument = quote(op_arange(1, 5, 0)), argument = quote(op_arange("a")), shape = quote(op_tril(1:3)), argument = quote(op_pad(m, "a")), argument = quote(op_pad(m, 1, mode = "odd")),
    argument = quote(op_tile(m, -1)), not_yet = quote(op_einsum("...i,i->...", m, 1:3)), shape = quote(op_einsum("ij,jk->ik", m, m)), shape = quote(op_einsum("i,j->ij", m, m)),
    not_yet = quote(op_einsum("ii,ij->j", m, m)), argument = quote(op_einsum("ij->k", m)), not_yet = quote(op_norm(m, ord = 1)), state = quote(op_convert_to_numpy(x)),
    shape = quote(op_dot_product_attention(m, m, m)), argument = quote(op_one_hot(1:3)), shape = quote(op_slice(m, c(1, 1), c(3, 1))), shape = quote(op_slice(m, c(0, 1), c(1, 1))),
    shape = quote(op_take_along_axis(m, 1:2, axis = 1)), not_yet = quote(sum(x)), not_yet = quote(cumsum(x))
  )
  for (i in seq_along(calls)) {
    expect_error(eval(calls[[i]]), class = paste0("attentive_error_", names(calls)[[i]]), info = deparse(calls[[i]]))
  }
})

test_that("products and places take the whole of what they are given", {
  a <- wave(c(2, 3, 4))
  b <- wave(c(3, 4, 5), 0.5)
  expect_equal(op_tensordot(a, b), matrix(a, 2) %*% matrix(b, 12), tolerance = 1e-12) # the last two axes and the first two
  expect_equal(op_tensordot(a, wave(c(4, 2)), axes = 1), array(matrix(a, 6) %*% wave(c(4, 2)), c(2, 3, 2)), tolerance = 1e-12)
  expect_error(op_tensordot(a, b, axes = 4), class = "attentive_error_shape")
  m <- matrix(c(5, 2, 7, 1, 9, 3), 2)
  # without an axis places are counted row by row
  expect_equal(as.vector(op_take_along_axis(m, c(2, 6, 1))), as.vector(t(m))[c(2, 6, 1)])
  expect_identical(op_array(m), op_convert_to_tensor(m))
  expect_equal(op_zeros_like(m), 0 * m)
})

test_that("shapes are compared as a whole, cut and multiplied", {
  expect_true(shape(2, 3) == shape(2, 3))
  expect_false(shape(2, 3) != shape(2, 3))
  expect_false(shape(2, 3) == shape(2, NA))
  expect_true(shape(NA, 3) == list(NULL, 3))
  expect_true(c(2, 3) == shape(2, 3))
  expect_true(shape(2, 3) != shape(2, 3, 4))
  expect_false(shape(2) == NULL)
  expect_identical(shape(1, NA, 3)[-1], shape(NA, 3))
  expect_identical(tail(shape(1, NA, 3), 1), shape(3))
  expect_identical(rev(shape(1, NA, 3)), shape(3, NA, 1))
  expect_identical(prod(shape(2, 3)), 6)
  expect_identical(sum(shape(2, NA)), NA_integer_)
  expect_identical(max(shape(2, NA), na.rm = TRUE), 2L)
  expect_identical(range(shape(4, 2)), c(2L, 4L))
  c(batch, length) %<-% op_shape(array(0, c(2, 5, 3)))[1:2]
  expect_identical(c(batch, length), c(2L, 5L))
  layer_scale <- Layer("Scale", build = function(input_shape) {
    stopifnot(input_shape[-1] == shape(4), prod(input_shape[-1]) == 4)
    self$w <- self$add_weight(shape = tail(input_shape, 1), initializer = "ones")
  }, call = function(inputs) inputs * self$w)
  expect_identical(dim(layer_scale()(matrix(1, 2, 4))), c(2L, 4L))
})

test_that("what is no width, shape or order is refused in words", {
  x <- matrix(1:6 / 6, 2)
  for (width in list(NULL, mean, 1e10, "a", NA, list(), c(1, 2, 3), list(c(1, 0), mean), list(1, 2, 3), -1, 0.5)) {
    expect_silent(error <- tryCatch(op_pad(x, width), error = identity))
    expect_s3_class(error, "attentive_error_argument")
    expect_match(conditionMessage(error), "`pad_width` must be", fixed = TRUE)
  }
  expect_identical(op_pad(x, rbind(c(1, 0), c(0, 1))), op_pad(x, list(c(1, 0), c(0, 1))))
  for (order in list(mean, "a", c(1, 2), NA, list(2))) {
    expect_silent(error <- tryCatch(op_normalize(x, order = order), error = identity))
    expect_s3_class(error, "attentive_error_argument")
  }
  expect_equal(op_normalize(x, order = 2), op_normalize(x))
  for (shape in list(function(x) x, mean, quote(a), list(4, mean), "a")) {
    expect_silent(error <- tryCatch(op_broadcast_to(x, shape), error = identity))
    expect_s3_class(error, "attentive_error_shape")
    expect_error(op_reshape(x, shape), class = "attentive_error_shape")
  }
})

test_that("a data frame is reshaped as its numbers", {
  frame <- data.frame(a = 1:2, b = 3:4)
  expect_identical(array_reshape(frame, c(4, 1)), array_reshape(unname(as.matrix(frame)), c(4, 1)))
  expect_identical(as.vector(array_reshape(frame, -1)), c(1L, 3L, 2L, 4L))
  expect_error(array_reshape(data.frame(a = 1:2, b = c("u", "v")), -1), "column \"b\"", class = "attentive_error_argument")
  expect_error(array_reshape(NULL, 2), class = "attentive_error_argument")
})
