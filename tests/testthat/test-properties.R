# Relations that hold for any numbers, each over many random shapes. No stored result is needed: the layer is compared with itself,
# or with the plain-R oracle.

bound <- 1e-12

test_that("random configurations agree with the plain-R oracle in both precisions", {
  withr::local_seed(101)
  for (trial in 1:220) {
    case <- random_case()
    label <- describe_case(case)
    key <- if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value, key)
    expected <- oracle_case(case, get_weights(layer))
    both <- run_case(case, layer)
    expect_close(both$attention_output, expected$output, bound, label)
    expect_close(both$attention_scores, expected$scores, bound, label)
    expect_close(run_case(case, layer, scores = FALSE), expected$output, bound, label)
    expect_identical(as.integer(unlist(layer$compute_output_shape(dim(case$inputs$query), dim(case$inputs$value), dim(key)))),
      dim(expected$output), label = label)
    single <- built_layer(case$args, case$inputs$query, case$inputs$value, key, get_weights(layer), "float32")
    both <- run_case(case, single)
    expect_close(both$attention_output, expected$output, 2e-5, label)
    expect_close(both$attention_scores, expected$scores, 2e-5, label)
  }
})

test_that("whole numbers, integer storage and 0/1 masks mean the same as doubles and logicals", {
  withr::local_seed(102)
  for (trial in 1:30) {
    case <- random_case()
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value,
      if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key)
    case$inputs <- lapply(case$inputs, function(x) if (is.null(x)) NULL else array(as.double(round(3 * x)), dim(x)))
    numeric_masks <- integer_masks <- case
    is_mask <- vapply(case$call, is.array, NA)
    numeric_masks$call[is_mask] <- lapply(case$call[is_mask], function(m) array(as.double(m), dim(m)))
    integer_masks$call[is_mask] <- lapply(case$call[is_mask], function(m) array(as.integer(m), dim(m)))
    integer_masks$inputs <- lapply(case$inputs, function(x) if (is.null(x)) NULL else array(as.integer(x), dim(x)))
    expected <- run_case(case, layer)
    expect_identical(run_case(numeric_masks, layer), expected)
    expect_identical(run_case(integer_masks, layer), expected)
  }
})

test_that("permuting the keys with their masks permutes the scores and leaves the output", {
  withr::local_seed(103)
  for (trial in 1:60) {
    case <- random_case(3)
    case$args$sliding_window <- NULL
    case$call$use_causal_mask <- NULL
    if (is.null(case$inputs$key)) case$inputs$key <- case$inputs$value
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value, case$inputs$key)
    length_keys <- dim(case$inputs$value)[2]
    order <- sample.int(length_keys)
    moved <- case
    moved$inputs$value <- case$inputs$value[, order, , drop = FALSE]
    moved$inputs$key <- case$inputs$key[, order, , drop = FALSE]
    for (mask in intersect(c("value_mask", "key_mask"), names(case$call))) {
      moved$call[[mask]] <- case$call[[mask]][, order, drop = FALSE]
    }
    if (!is.null(case$call$attention_mask)) {
      dims <- dim(case$call$attention_mask)
      if (dims[length(dims)] > 1) {
        flat <- matrix(case$call$attention_mask, ncol = length_keys)
        moved$call$attention_mask <- array(flat[, order], dims)
      }
    }
    before <- run_case(case, layer)
    after <- run_case(moved, layer)
    label <- describe_case(case)
    expect_close(after$attention_output, before$attention_output, bound, label)
    expect_close(after$attention_scores, bare(before$attention_scores)[, , , order, drop = FALSE], bound, label)
  }
})

test_that("permuting the queries permutes the rows", {
  withr::local_seed(104)
  for (trial in 1:40) {
    x <- noise(pick(1:3), pick(2:7), 3)
    y <- noise(dim(x)[1], pick(1:7), 2)
    layer <- built_layer(list(num_heads = 2, key_dim = 3, use_gate = chance(0.5)), x, y)
    order <- sample.int(dim(x)[2])
    before <- layer(x, y, return_attention_scores = TRUE)
    after <- layer(x[, order, , drop = FALSE], y, return_attention_scores = TRUE)
    expect_close(after[[1]], bare(before[[1]])[, order, , drop = FALSE], bound)
    expect_close(after[[2]], bare(before[[2]])[, , order, , drop = FALSE], bound)
  }
})

test_that("permuting the heads with their weights leaves the output and permutes the scores", {
  withr::local_seed(105)
  for (trial in 1:30) {
    heads <- pick(2:4)
    x <- noise(2, 4, 3)
    layer <- built_layer(list(num_heads = heads, key_dim = 2, use_gate = TRUE), x)
    before <- layer(x, x, return_attention_scores = TRUE)
    order <- sample.int(heads)
    weights <- get_weights(layer)
    for (i in c(2, 4, 6, 8)) weights[[i]] <- weights[[i]][order, , drop = FALSE]
    for (i in c(1, 3, 5, 7)) weights[[i]] <- weights[[i]][, order, , drop = FALSE]
    weights[[9]] <- weights[[9]][order, , , drop = FALSE]
    set_weights(layer, weights)
    after <- layer(x, x, return_attention_scores = TRUE)
    expect_close(after[[1]], before[[1]], bound)
    expect_close(after[[2]], bare(before[[2]])[, order, , , drop = FALSE], bound)
  }
})

test_that("one element of a batch is the same bits alone, with others, and in another place", {
  withr::local_seed(106)
  for (dtype in c("float64", "float32")) for (trial in 1:25) {
    batch <- pick(2:5)
    x <- noise(batch, pick(1:40), pick(1:9))
    y <- noise(batch, pick(1:40), pick(1:9))
    mask <- random_mask(dim(y)[1:2])
    layer <- built_layer(list(num_heads = pick(1:3), key_dim = pick(1:9)), x, y, dtype = dtype)
    whole <- layer(x, y, value_mask = mask, return_attention_scores = TRUE)
    order <- sample.int(batch, 4, replace = TRUE)
    moved <- layer(x[order, , , drop = FALSE], y[order, , , drop = FALSE], value_mask = mask[order, , drop = FALSE],
      return_attention_scores = TRUE)
    expect_same(moved[[1]], bare(whole[[1]])[order, , , drop = FALSE])
    expect_same(moved[[2]], bare(whole[[2]])[order, , , , drop = FALSE])
    one <- layer(x[1, , , drop = FALSE], y[1, , , drop = FALSE], value_mask = mask[1, , drop = FALSE])
    expect_same(one, bare(layer(x, y, value_mask = mask))[1, , , drop = FALSE])
  }
})

test_that("the same call gives the same bits again", {
  withr::local_seed(107)
  x <- noise(3, 33, 8)
  layer <- built_layer(list(num_heads = 4, key_dim = 5), x, dtype = "float32")
  first <- layer(x, x, use_causal_mask = TRUE)
  for (again in 1:20) expect_identical(layer(x, x, use_causal_mask = TRUE), first)
})

test_that("asking for the scores does not change the output", {
  withr::local_seed(108)
  for (trial in 1:60) {
    case <- random_case()
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value,
      if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key)
    expect_close(run_case(case, layer, scores = FALSE), run_case(case, layer)$attention_output, bound, describe_case(case))
  }
})

test_that("a masked key equals a deleted one", {
  withr::local_seed(109)
  for (trial in 1:60) {
    batch <- pick(1:3)
    x <- noise(batch, pick(1:6), 3)
    y <- noise(batch, pick(2:7), 4)
    kept <- sort(sample.int(dim(y)[2], sample.int(dim(y)[2] - 1, 1)))
    seen <- seq_len(dim(y)[2]) %in% kept
    layer <- built_layer(list(num_heads = pick(1:3), key_dim = 3, value_dim = pick(1:4)), x, y)
    expected <- layer(x, y[, kept, , drop = FALSE], return_attention_scores = TRUE)
    by_value <- layer(x, y, value_mask = matrix(seen, batch, length(seen), byrow = TRUE), return_attention_scores = TRUE)
    by_key <- layer(x, y, key_mask = matrix(seen, batch, length(seen), byrow = TRUE), return_attention_scores = TRUE)
    by_pairs <- layer(x, y, attention_mask = matrix(seen, dim(x)[2], length(seen), byrow = TRUE), return_attention_scores = TRUE)
    for (masked in list(by_value, by_key, by_pairs)) {
      expect_close(masked[[1]], expected[[1]], bound)
      expect_close(bare(masked[[2]])[, , , kept, drop = FALSE], expected[[2]], bound)
      expect_true(all(bare(masked[[2]])[, , , !seen] == 0))
    }
  }
})

test_that("with one key left the output is that key's projected value, and its weight 1", {
  withr::local_seed(110)
  for (trial in 1:20) {
    x <- noise(2, 3, 3)
    y <- noise(2, 5, 3)
    only <- pick(1:5)
    layer <- built_layer(list(num_heads = 2, key_dim = 2), x, y)
    both <- layer(x, y, attention_mask = matrix(1:5 == only, 3, 5, byrow = TRUE), return_attention_scores = TRUE)
    expect_lt(max(abs(bare(both[[2]])[, , , only] - 1)), 1e-15)
    expect_true(all(bare(both[[2]])[, , , -only] == 0))
    alone <- layer(x, y[, only, , drop = FALSE])
    expect_close(both[[1]], alone, bound)
    expect_close(bare(both[[1]])[, 1, , drop = FALSE], bare(both[[1]])[, 3, , drop = FALSE], bound)
  }
})

test_that("rows of scores lie in [0, 1] and sum to 1, or are all 0 where nothing can be seen", {
  withr::local_seed(111)
  empty_rows <- 0
  for (dtype in c("float64", "float32")) for (trial in 1:80) {
    case <- random_case()
    case$call$value_mask <- random_mask(dim(case$inputs$value)[-length(dim(case$inputs$value))], pick(c(0, 0.3, 0.9)))
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value,
      if (is.null(case$inputs$key)) case$inputs$value else case$inputs$key, dtype = dtype)
    scores <- bare(run_case(case, layer)$attention_scores)
    axes <- length(oracle_axes(case$args$attention_axes, length(dim(case$inputs$query))))
    keys <- prod(utils::tail(dim(scores), axes))
    rows <- matrix(scores, ncol = keys)
    eps <- if (dtype == "float64") 2^-52 else 2^-23
    expect_true(all(rows >= 0 & rows <= 1 + 8 * eps), label = describe_case(case))
    sums <- rowSums(rows)
    empty <- rowSums(rows != 0) == 0
    empty_rows <- empty_rows + sum(empty)
    expect_true(all(abs(sums[!empty] - 1) < (16 + 4 * keys) * eps), label = describe_case(case))
  }
  expect_gt(empty_rows, 100)
})

test_that("a query with nothing to attend to gives the output bias, or 0, on every path", {
  withr::local_seed(112)
  for (use_bias in c(TRUE, FALSE)) for (gate in c(TRUE, FALSE)) for (dtype in c("float64", "float32")) {
    x <- noise(2, 4, 3)
    y <- noise(2, 5, 3)
    layer <- built_layer(list(num_heads = 2, key_dim = 2, use_bias = use_bias, use_gate = gate), x, y, dtype = dtype)
    bias <- if (use_bias) utils::tail(get_weights(layer), 1)[[1]] else array(0, 3)
    none <- list(
      all_keys = list(value_mask = matrix(FALSE, 2, 5)), all_pairs = list(attention_mask = matrix(FALSE, 4, 5)),
      all_queries = list(query_mask = matrix(FALSE, 2, 4)), scalar_pairs = list(attention_mask = matrix(0, 1, 1)),
      heads = list(attention_mask = array(0L, c(1, 2, 4, 1))), two = list(value_mask = matrix(rep(1:0, c(4, 6)), 2, 5), key_mask = matrix(rep(0:1, c(4, 6)), 2, 5))
    )
    for (masks in none) {
      output <- do.call(layer, c(list(x, y), masks))
      both <- do.call(layer, c(list(x, y), masks, list(return_attention_scores = TRUE)))
      expect_same(output, aperm(array(bias, c(3, 2, 4)), c(2, 3, 1)))
      expect_same(both$attention_output, output)
      expect_true(all(bare(both$attention_scores) == 0))
    }
    part <- layer(x, y, query_mask = rbind(c(TRUE, FALSE, TRUE, TRUE), TRUE))
    expect_identical(bare(part)[1, 2, ], as.double(bias))
    expect_close(bare(part)[, -2, , drop = FALSE], bare(layer(x, y))[, -2, , drop = FALSE], bound)
  }
})

test_that("queries that only masks together leave with nothing are empty too", {
  withr::local_seed(113)
  x <- noise(1, 4, 3)
  layer <- built_layer(list(num_heads = 1, key_dim = 2), x)
  both <- layer(x, x, use_causal_mask = TRUE, value_mask = matrix(c(FALSE, FALSE, TRUE, TRUE), 1), return_attention_scores = TRUE)
  expect_true(all(bare(both[[2]])[1, 1, 1:2, ] == 0))
  expect_identical(bare(both[[1]])[1, 1, ], as.double(utils::tail(get_weights(layer), 1)[[1]]))
  windowed <- built_layer(list(num_heads = 1, key_dim = 2, sliding_window = 1), x, noise(1, 2, 3))
  both <- windowed(x, noise(1, 2, 3), return_attention_scores = TRUE)
  expect_equal(bare(both[[2]])[1, 1, , ], rbind(c(1, 0), c(0, 1), c(0, 0), c(0, 0)))
})

test_that("attention over several axes equals attention over the flattened axis", {
  withr::local_seed(114)
  flatten <- function(x, first) { # joins two axes, row-major
    dims <- dim(x)
    order <- seq_along(dims)
    order[first + 0:1] <- first + 1:0
    array(aperm(x, order), c(dims[seq_len(first - 1)], prod(dims[first + 0:1]), dims[-seq_len(first + 1)]))
  }
  unflatten <- function(x, first, sizes) {
    dims <- dim(x)
    x <- array(x, c(dims[seq_len(first - 1)], rev(sizes), dims[-seq_len(first)]))
    order <- seq_along(dim(x))
    order[first + 0:1] <- first + 1:0
    aperm(x, order)
  }
  for (trial in 1:40) {
    batch <- pick(1:2)
    x <- noise(batch, pick(1:3), pick(1:3), 3)
    y <- noise(batch, pick(1:3), pick(1:3), 2)
    args <- list(num_heads = 2, key_dim = 2, use_gate = chance(0.3))
    if (chance(0.5)) args$sliding_window <- pick(1:3)
    square <- built_layer(c(args, list(attention_axes = c(1, 2))), x, y)
    flat <- built_layer(args, flatten(x, 2), flatten(y, 2), weights = get_weights(square))
    causal <- chance(0.5)
    mask <- if (chance(0.5)) random_mask(dim(y)[1:3]) else array(TRUE, dim(y)[1:3])
    pairs <- if (chance(0.5)) random_mask(c(batch, dim(x)[2:3], dim(y)[2:3])) else array(TRUE, c(batch, dim(x)[2:3], dim(y)[2:3]))
    two <- square(x, y, use_causal_mask = causal, value_mask = mask, attention_mask = pairs, return_attention_scores = TRUE)
    one <- flat(flatten(x, 2), flatten(y, 2), use_causal_mask = causal, value_mask = flatten(mask, 2),
      attention_mask = flatten(flatten(pairs, 2), 3), return_attention_scores = TRUE)
    expect_close(two[[1]], unflatten(bare(one[[1]]), 2, dim(x)[2:3]), bound)
    expect_close(flatten(flatten(bare(two[[2]]), 3), 4), one[[2]], bound)
  }
})

test_that("attention along one axis equals separate calls for each place on the other", {
  withr::local_seed(115)
  for (trial in 1:20) {
    x <- noise(2, 3, 4, 3)
    y <- noise(2, 3, 2, 3)
    causal <- chance(0.5)
    inner <- built_layer(list(num_heads = 2, key_dim = 2, attention_axes = pick(c(2, -2))), x, y)
    flat <- built_layer(list(num_heads = 2, key_dim = 2), noise(2, 4, 3), weights = get_weights(inner))
    whole <- inner(x, y, use_causal_mask = causal, return_attention_scores = TRUE)
    for (i in 1:3) {
      one <- flat(array(x[, i, , ], c(2, 4, 3)), array(y[, i, , ], c(2, 2, 3)), use_causal_mask = causal, return_attention_scores = TRUE)
      expect_close(array(bare(whole[[1]])[, i, , ], c(2, 4, 3)), one[[1]], bound)
      expect_close(array(bare(whole[[2]])[, i, , , ], c(2, 2, 4, 2)), one[[2]], bound)
    }
    outer <- built_layer(list(num_heads = 2, key_dim = 2, attention_axes = 1), aperm(x, c(1, 3, 2, 4)), weights = get_weights(inner))
    turned <- outer(aperm(x, c(1, 3, 2, 4)), aperm(y, c(1, 3, 2, 4)), use_causal_mask = causal, return_attention_scores = TRUE)
    expect_close(aperm(bare(turned[[1]]), c(1, 3, 2, 4)), whole[[1]], bound)
    expect_close(turned[[2]], whole[[2]], bound)
  }
})

test_that("several axes named in another order turn the scores and nothing else", {
  withr::local_seed(116)
  for (trial in 1:20) {
    x <- noise(2, 3, 4, 3)
    y <- noise(2, 2, 5, 3)
    straight <- built_layer(list(num_heads = 2, key_dim = 2, attention_axes = c(1, 2)), x, y)
    turned <- built_layer(list(num_heads = 2, key_dim = 2, attention_axes = list(-2, 1)), x, y, weights = get_weights(straight))
    mask <- random_mask(dim(y)[1:3])
    a <- straight(x, y, value_mask = mask, return_attention_scores = TRUE)
    b <- turned(x, y, value_mask = mask, return_attention_scores = TRUE)
    expect_close(b[[1]], a[[1]], bound)
    expect_close(b[[2]], aperm(bare(a[[2]]), c(1, 2, 4, 3, 6, 5)), bound)
  }
})

test_that("a window at least as long as the sequences equals none, and a window is what it says", {
  withr::local_seed(117)
  for (trial in 1:40) {
    x <- noise(2, pick(1:7), 3)
    y <- noise(2, pick(1:7), 3)
    longest <- max(dim(x)[2], dim(y)[2])
    none <- built_layer(list(num_heads = 2, key_dim = 2), x, y)
    for (window in c(longest, longest + 1, 1e6, .Machine$integer.max)) {
      wide <- built_layer(list(num_heads = 2, key_dim = 2, sliding_window = window), x, y, weights = get_weights(none))
      expect_close(wide(x, y), none(x, y), bound)
      expect_close(wide(x, y, use_causal_mask = TRUE), none(x, y, use_causal_mask = TRUE), bound)
    }
    window <- pick(1:4)
    narrow <- built_layer(list(num_heads = 2, key_dim = 2, sliding_window = window), x, y, weights = get_weights(none))
    band <- abs(outer(seq_len(dim(x)[2]), seq_len(dim(y)[2]), "-")) < window
    expect_close(narrow(x, y), none(x, y, attention_mask = band), bound)
    triangle <- outer(seq_len(dim(x)[2]), seq_len(dim(y)[2]), ">=")
    expect_close(narrow(x, y, use_causal_mask = TRUE), none(x, y, attention_mask = band & triangle), bound)
  }
})

test_that("the causal mask is the lower triangle counted from the first token", {
  withr::local_seed(118)
  for (trial in 1:40) {
    x <- noise(2, pick(1:9), 3)
    y <- noise(2, pick(1:9), 3)
    layer <- built_layer(list(num_heads = 2, key_dim = 2), x, y)
    triangle <- outer(seq_len(dim(x)[2]), seq_len(dim(y)[2]), ">=")
    a <- layer(x, y, use_causal_mask = TRUE, return_attention_scores = TRUE)
    b <- layer(x, y, attention_mask = triangle, return_attention_scores = TRUE)
    expect_close(a[[1]], b[[1]], bound)
    expect_close(a[[2]], b[[2]], bound)
    expect_close(layer(x, y, use_causal_mask = TRUE), a[[1]], bound)
  }
})

test_that("editing what is masked changes nothing, not even with NaN, NA or Inf", {
  withr::local_seed(119)
  poison <- list(NaN, NA_real_, Inf, -Inf, 1e300, -1e300)
  for (dtype in c("float64", "float32")) for (trial in 1:60) {
    case <- random_case(3)
    case$call$value_mask <- random_mask(dim(case$inputs$value)[1:2], 0.5)
    if (is.null(case$inputs$key)) case$inputs$key <- case$inputs$value
    layer <- built_layer(case$args, case$inputs$query, case$inputs$value, case$inputs$key, dtype = dtype)
    edited <- case
    hidden <- which(!case$call$value_mask, arr.ind = TRUE)
    for (row in seq_len(nrow(hidden))) {
      edited$inputs$value[hidden[row, 1], hidden[row, 2], ] <- pick(poison)
      edited$inputs$key[hidden[row, 1], hidden[row, 2], ] <- pick(poison)
    }
    before <- run_case(case, layer)
    after <- run_case(edited, layer)
    expect_same(after$attention_output, before$attention_output, describe_case(case))
    expect_same(after$attention_scores, before$attention_scores, describe_case(case))
    expect_same(run_case(edited, layer, scores = FALSE), run_case(case, layer, scores = FALSE), describe_case(case))
  }
})

test_that("a place is hidden pair by pair: causal outputs do not see later NaN, others do", {
  withr::local_seed(120)
  for (dtype in c("float64", "float32")) for (trial in 1:20) {
    x <- noise(2, pick(2:9), 3)
    last <- dim(x)[2]
    cut <- sample.int(last - 1, 1) + 1
    layer <- built_layer(list(num_heads = 2, key_dim = 2), x, dtype = dtype)
    spoiled <- x
    spoiled[1, cut, 2] <- pick(list(NaN, NA, Inf))
    clean <- bare(layer(x, x, use_causal_mask = TRUE))
    dirty <- bare(layer(spoiled, spoiled, use_causal_mask = TRUE))
    expect_same(dirty[1, seq_len(cut - 1), , drop = FALSE], clean[1, seq_len(cut - 1), , drop = FALSE])
    expect_same(dirty[2, , , drop = FALSE], clean[2, , , drop = FALSE])
    expect_true(all(is.nan(dirty[1, cut, ]) | is.na(dirty[1, cut, ])))
    open <- bare(layer(spoiled, spoiled))
    expect_true(all(is.na(open[1, , ])))
    expect_same(open[2, , , drop = FALSE], bare(layer(x, x))[2, , , drop = FALSE])
  }
})

test_that("a head that may see a NaN shows it, a head that may not does not", {
  withr::local_seed(121)
  x <- noise(1, 3, 2)
  y <- noise(1, 4, 2)
  layer <- built_layer(list(num_heads = 2, key_dim = 2), x, y)
  mask <- array(TRUE, c(1, 2, 3, 4))
  mask[1, 2, , 3] <- FALSE
  spoiled <- y
  spoiled[1, 3, ] <- NaN
  scores <- bare(layer(x, spoiled, attention_mask = mask, return_attention_scores = TRUE)[[2]])
  clean <- bare(layer(x, y, attention_mask = mask, return_attention_scores = TRUE)[[2]])
  expect_true(all(is.na(scores[1, 1, , ])))
  expect_identical(scores[1, 2, , ], clean[1, 2, , ])
})

test_that("editing a hidden query changes nothing elsewhere and gives the bias there", {
  withr::local_seed(122)
  for (gate in c(FALSE, TRUE)) {
    x <- noise(2, 4, 3)
    y <- noise(2, 3, 3)
    mask <- rbind(c(TRUE, FALSE, TRUE, FALSE), TRUE)
    layer <- built_layer(list(num_heads = 2, key_dim = 2, use_gate = gate), x, y)
    spoiled <- x
    spoiled[1, 2, ] <- c(NaN, Inf, -Inf)
    expect_same(layer(spoiled, y, query_mask = mask), layer(x, y, query_mask = mask))
  }
})

test_that("adding a constant to a query's logits leaves scores and output", {
  withr::local_seed(123)
  for (trial in 1:20) {
    x <- noise(2, 4, 3)
    layer <- built_layer(list(num_heads = 2, key_dim = 3), x)
    before <- layer(x, x, return_attention_scores = TRUE)
    weights <- get_weights(layer)
    weights[[4]] <- weights[[4]] + 3 # the bias of the key: adds the same number to every logit of a row
    set_weights(layer, weights)
    after <- layer(x, x, return_attention_scores = TRUE)
    expect_close(after[[1]], before[[1]], 1e-11)
    expect_close(after[[2]], before[[2]], 1e-11)
  }
})

test_that("the output is linear in the values", {
  withr::local_seed(124)
  for (trial in 1:20) {
    x <- noise(2, 4, 3)
    k <- noise(2, 5, 3)
    layer <- built_layer(list(num_heads = 2, key_dim = 2, use_bias = FALSE), x, k)
    v <- noise(2, 5, 3)
    w <- noise(2, 5, 3)
    expect_close(layer(x, 2 * v - 3 * w, k), 2 * bare(layer(x, v, k)) - 3 * bare(layer(x, w, k)), 1e-11)
  }
})

test_that("a gate that is wide open equals none, and one that is shut leaves the bias", {
  withr::local_seed(125)
  x <- noise(2, 4, 3)
  gated <- built_layer(list(num_heads = 2, key_dim = 2, use_gate = TRUE), x)
  weights <- get_weights(gated)
  plain <- built_layer(list(num_heads = 2, key_dim = 2), x, weights = weights[-(5:6)])
  weights[[5]][] <- 0
  weights[[6]][] <- 50
  set_weights(gated, weights)
  expect_close(gated(x, x), plain(x, x), bound)
  weights[[6]][] <- -800
  set_weights(gated, weights)
  expect_close(gated(x, x), aperm(array(weights[[10]], c(3, 2, 4)), c(2, 3, 1)), bound)
})

test_that("equal keys share the weight equally and one dominant key takes all", {
  withr::local_seed(126)
  x <- noise(1, 3, 2)
  same <- array(rep(noise(2), each = 5), c(1, 5, 2))
  layer <- built_layer(list(num_heads = 2, key_dim = 2), x, same)
  expect_close(layer(x, same, return_attention_scores = TRUE)[[2]], array(1 / 5, c(1, 2, 3, 5)), bound)
  identity <- built_layer(list(num_heads = 1, key_dim = 2, use_bias = FALSE), x)
  set_weights(identity, list(array(diag(2), c(2, 1, 2)), array(diag(2), c(2, 1, 2)), array(diag(2), c(2, 1, 2)), array(diag(2), c(1, 2, 2))))
  for (size in c(1e2, 1e4, 1e100, 1e150)) {
    query <- array(c(size, 0), c(1, 1, 2))
    keys <- array(c(1, 0, -1, 1, 1, 0), c(1, 3, 2)) * if (size > 1e10) size else 1
    both <- identity(query, keys, return_attention_scores = TRUE)
    expect_equal(as.double(both[[2]]), c(1, 0, 0), tolerance = 1e-12)
    expect_equal(as.double(both[[1]]) / max(abs(keys)), c(1, 1), tolerance = 1e-12)
  }
})

test_that("rows sum to 1 and everything stays finite, however large or small the logits", {
  withr::local_seed(127)
  for (dtype in c("float64", "float32")) for (keys in c(1, 2, 6, 70)) {
    x <- noise(1, 6, 4)
    y <- noise(1, keys, 4)
    layer <- built_layer(list(num_heads = 2, key_dim = 2), x, y, dtype = dtype)
    for (scale in c(1e-310, 1e-40, 1e-20, 1, 10, 1e2, 1e3, 1e4, 1e6, 1e9, 1e15)) {
      label <- sprintf("%s, %d keys, inputs times %g", dtype, keys, scale)
      both <- layer(x * scale, y * scale, return_attention_scores = TRUE)
      alone <- layer(x * scale, y * scale)
      expect_true(all(is.finite(bare(both[[1]]))), label = label)
      expect_true(all(is.finite(bare(alone))), label = label)
      # the scores of a row come from its log-sum-exp, in whose rounding they share
      expect_close(apply(bare(both[[2]]), 1:3, sum), array(1, c(1, 2, 6)), (64 + 4 * keys) * if (dtype == "float64") 2^-52 else 2^-23, label)
    }
  }
})

test_that("sequences of every small length pair agree with the oracle, with and without masks", {
  withr::local_seed(128)
  for (t in c(1:4, 8, 17, 33)) for (s in c(1:4, 8, 17, 33)) {
    x <- noise(1, t, 2)
    y <- noise(1, s, 2)
    layer <- built_layer(list(num_heads = 1, key_dim = 2), x, y)
    weights <- get_weights(layer)
    mask <- random_mask(c(1, s))
    expected <- oracle_attention(list(), weights, x, y, value_mask = mask, use_causal_mask = TRUE)
    got <- layer(x, y, value_mask = mask, use_causal_mask = TRUE, return_attention_scores = TRUE)
    expect_close(got[[1]], expected$output, bound, paste(t, s))
    expect_close(got[[2]], expected$scores, bound, paste(t, s))
    expect_close(layer(x, y, value_mask = mask, use_causal_mask = TRUE), expected$output, bound, paste(t, s))
  }
})

test_that("every rank and every broadcast of a mask means what the full mask means", {
  withr::local_seed(129)
  b <- 2
  h <- 3
  t <- 4
  s <- 5
  x <- noise(b, t, 2)
  y <- noise(b, s, 2)
  layer <- built_layer(list(num_heads = h, key_dim = 2), x, y)
  full <- c(b, h, t, s)
  for (rank in 2:4) {
    own <- if (rank == 2) c(t, s) else if (rank == 3) c(b, t, s) else full
    for (ones in 0:(2^rank - 1)) {
      dims <- ifelse(bitwAnd(ones, 2^(seq_len(rank) - 1)) > 0, 1, own)
      mask <- random_mask(dims, 0.6)
      lined <- array(mask, if (rank == 2) c(1, 1, dims) else if (rank == 3) c(dims[1], 1, dims[-1]) else dims)
      at <- function(n, size) if (n == 1) rep(1, size) else seq_len(size)
      spread <- lined[at(dim(lined)[1], b), at(dim(lined)[2], h), at(dim(lined)[3], t), at(dim(lined)[4], s), drop = FALSE]
      a <- layer(x, y, attention_mask = mask, return_attention_scores = TRUE)
      e <- layer(x, y, attention_mask = spread, return_attention_scores = TRUE)
      expect_same(a[[2]], e[[2]], toString(dims))
      expect_same(a[[1]], e[[1]], toString(dims))
      expect_close(layer(x, y, attention_mask = mask), e[[1]], bound, toString(dims))
    }
  }
})

test_that("a per-head mask and a padding mask are lined up batch to batch, also where heads equal batch", {
  withr::local_seed(130)
  for (batch in c(2, 3)) {
    x <- noise(batch, 3, 2)
    y <- noise(batch, 4, 2)
    layer <- built_layer(list(num_heads = 2, key_dim = 2), x, y)
    pairs <- random_mask(c(batch, 2, 3, 4))
    padding <- random_mask(c(batch, 4))
    joined <- pairs
    for (b in seq_len(batch)) for (h in 1:2) for (i in 1:3) joined[b, h, i, ] <- pairs[b, h, i, ] & padding[b, ]
    expect_same(layer(x, y, attention_mask = pairs, value_mask = padding), layer(x, y, attention_mask = joined))
    expect_same(layer(x, y, attention_mask = pairs, key_mask = padding, return_attention_scores = TRUE)[[2]],
      layer(x, y, attention_mask = joined, return_attention_scores = TRUE)[[2]])
  }
})

test_that("splitting the queries into calls gives the same rows", {
  withr::local_seed(131)
  for (trial in 1:20) {
    x <- noise(2, pick(2:20), 3)
    y <- noise(2, pick(1:20), 3)
    layer <- built_layer(list(num_heads = 2, key_dim = 3), x, y)
    cut <- sample.int(dim(x)[2] - 1, 1)
    whole <- bare(layer(x, y))
    expect_close(layer(x[, seq_len(cut), , drop = FALSE], y), whole[, seq_len(cut), , drop = FALSE], bound)
    expect_close(layer(x[, -seq_len(cut), , drop = FALSE], y), whole[, -seq_len(cut), , drop = FALSE], bound)
  }
})
