# Drawn models: where boxes and edges go, and what stands in the boxes.

random_graph <- function(n, seed) {
  set.seed(seed)
  edges <- do.call(rbind, lapply(seq_len(n)[-1L], function(to) cbind(sample.int(to - 1L, sample.int(min(3L, to - 1L), 1L)), to)))
  list(sizes = cbind(runif(n, 0.3, 3), runif(n, 0.2, 1)), edges = unname(edges))
}

overlaps <- function(boxes) {
  apart <- function(x, size) outer(x, x, function(a, b) abs(a - b)) - outer(size, size, "+") / 2
  close <- apart(boxes$across, boxes$width) < -1e-9 & apart(boxes$along, boxes$height) < -1e-9
  any(close[upper.tri(close)])
}

# Whether a point of a path lies within a box other than its ends.
runs_through <- function(layout) {
  any(vapply(layout$edges, function(edge) {
    boxes <- layout$boxes[-c(edge$from, edge$to), ]
    # points between those of the path too
    path <- apply(edge$path, 2L, function(x) stats::approx(seq_along(x), x, n = 20L * length(x))$y)
    any(abs(outer(path[, 1L], boxes$across, "-")) < rep(boxes$width / 2, each = nrow(path)) - 1e-9 &
      abs(outer(path[, 2L], boxes$along, "-")) < rep(boxes$height / 2, each = nrow(path)) - 1e-9)
  }, NA))
}

test_that("boxes do not overlap, edges go forward and around boxes, all lies on the page", {
  for (seed in 1:25) {
    graph <- random_graph(2L + seed, seed)
    layout <- lay_out(graph$sizes, graph$edges, line = 0.1)
    boxes <- layout$boxes
    expect_false(overlaps(boxes))
    expect_false(runs_through(layout))
    for (edge in layout$edges) {
      expect_gt(boxes$rank[[edge$to]], boxes$rank[[edge$from]])
      expect_true(all(diff(edge$path[, "along"]) >= -1e-9))
      ends <- edge$path[c(1L, nrow(edge$path)), ]
      expect_equal(ends[, "along"], c(
        boxes$along[[edge$from]] + boxes$height[[edge$from]] / 2, boxes$along[[edge$to]] - boxes$height[[edge$to]] / 2
      ))
      expect_true(all(abs(ends[, "across"] - boxes$across[c(edge$from, edge$to)]) <= boxes$width[c(edge$from, edge$to)] / 2))
    }
    expect_setequal(vapply(layout$edges, function(edge) paste(edge$from, edge$to), ""), unique(paste(graph$edges[, 1L], graph$edges[, 2L])))
    inside <- function(x, size, end) all(x - size / 2 >= -1e-9 & x + size / 2 <= end + 1e-9)
    expect_true(inside(boxes$across, boxes$width, layout$size[[1L]]))
    expect_true(inside(boxes$along, boxes$height, layout$size[[2L]]))
    expect_identical(lay_out(graph$sizes, graph$edges, line = 0.1), layout)
  }
})

test_that("a layout depends on sizes and edges only", {
  graph <- random_graph(12L, 3L)
  layout <- lay_out(graph$sizes, graph$edges, 0.1)
  set.seed(99)
  expect_identical(lay_out(graph$sizes, graph$edges, 0.1), layout)
  expect_identical(lay_out(graph$sizes, graph$edges[rev(seq_len(nrow(graph$edges))), ], 0.1)$boxes, layout$boxes)
  one <- lay_out(cbind(2, 1), matrix(0L, 0L, 2L), 0.1)
  expect_equal(one$size, c(2, 1))
  expect_identical(one$edges, list())
})

test_that("a column of boxes stays straight beside the edge that skips it", {
  edges <- rbind(c(1L, 2L), c(2L, 3L), c(3L, 4L), c(1L, 4L))
  layout <- lay_out(cbind(c(1, 3, 2, 1), 0.3), edges, 0.1)
  expect_lt(diff(range(layout$boxes$across)), 0.001)
  skip <- layout$edges[[4L]]$path
  expect_gt(max(abs(skip[, "across"] - layout$boxes$across[[2L]])), 1.5)
})

test_that("ranks: the longest path counts, what is needed late stands late", {
  edges <- rbind(c(1L, 3L), c(3L, 4L), c(4L, 5L), c(2L, 5L), c(1L, 5L))
  expect_identical(rank_boxes(5L, edges), c(1L, 3L, 2L, 3L, 4L))
  expect_identical(rank_boxes(5L, edges, c(TRUE, FALSE, TRUE, TRUE, TRUE))[[2L]], 1L)
})

test_that("crossings that can be avoided are", {
  # two parallel chains, given in the order that crosses
  edges <- rbind(c(1L, 4L), c(2L, 3L), c(3L, 6L), c(4L, 5L))
  rank <- rank_boxes(6L, edges)
  graph <- bend_edges(rank, edges)
  ranks <- split(seq_along(graph$rank), graph$rank)
  expect_gt(count_crossings(graph, c(1L, 2L, 1L, 2L, 1L, 2L)), 0L)
  expect_identical(count_crossings(graph, order_ranks(ranks, graph)), 0L)
})

test_that("places keep their order and distance and are the nearest to the wishes", {
  set.seed(4)
  for (trial in 1:20) {
    n <- sample.int(6L, 1L)
    wishes <- rnorm(n)
    space <- runif(n - 1L)
    weight <- runif(n, 0.5, 2)
    x <- keep_apart(wishes, space, weight)
    expect_true(all(diff(x) >= space - 1e-9))
    cost <- function(x) sum(weight * (x - wishes)^2)
    for (other in 1:20) { # no other order that keeps the distance is better
      y <- x + rnorm(n, sd = 0.1)
      y <- cumsum(c(y[[1L]], pmax(diff(y), space)))
      expect_gte(cost(y), cost(x) - 1e-9)
    }
  }
  expect_identical(keep_apart(5, numeric(), 1), 5)
  expect_equal(weighted_median(c(3, 1, 2), c(1, 1, 1)), 2)
  expect_equal(weighted_median(c(1, 2), c(1, 1)), 1.5)
  expect_equal(weighted_median(c(1, 2, 9), c(1, 1, 4)), 9)
})

# Models -----------------------------------------------------------------------------

residual_model <- function() {
  clear_session()
  x <- keras_input(c(5, 6), name = "tokens")
  memory <- keras_input(c(3, 6), name = "memory")
  y <- layer_add(x, layer_multi_head_attention(num_heads = 2, key_dim = 3)(x, memory))
  inner <- keras_model_sequential(input_shape = c(5, 6), name = "inner", layers = list(layer_dense(units = 6, activation = "relu"), layer_dense(units = 6)))
  z <- layer_flatten(inner(y) + y)
  keras_model(list(x, memory), list(layer_dense(z, 1, name = "price"), layer_dense(z, 2, name = "kind")))
}

box_options <- function(...) {
  utils::modifyList(list(shapes = FALSE, dtype = FALSE, names = FALSE, expand = FALSE, activations = FALSE, trainable = FALSE, around = TRUE), list(...))
}

test_that("the boxes of a model are its nodes, the edges its tensors", {
  graph <- model_graph(layer_self(residual_model()), box_options(names = TRUE))
  names <- vapply(graph$boxes, function(box) box$name, "")
  edge <- function(from, to) any(graph$edges[, 1L] == match(from, names) & graph$edges[, 2L] == match(to, names))
  expect_true(edge("tokens", "multi_head_attention"))
  expect_true(edge("memory", "multi_head_attention"))
  expect_true(edge("tokens", "add"))
  expect_true(edge("flatten", "price") && edge("flatten", "kind"))
  expect_false(edge("tokens", "price"))
  expect_true(all(graph$edges[, 1L] < graph$edges[, 2L]))
  kinds <- vapply(graph$boxes, function(box) box$kind, "")
  expect_identical(sum(kinds == "input"), 2L)
  expect_identical(names[kinds == "model"], "inner")
  expect_identical(sum(kinds == "operation"), 1L)
})

test_that("a layer that is used twice has two boxes", {
  x <- keras_input(4)
  dense <- layer_dense(units = 4, name = "shared")
  graph <- model_graph(layer_self(keras_model(x, dense(dense(x)))), box_options())
  expect_identical(vapply(graph$boxes, function(box) box$name, "")[2:3], c("shared", "shared"))
  expect_identical(unname(graph$edges), rbind(1:2, 2:3))
})

test_that("boxes tell what was asked for", {
  model <- residual_model()
  freeze_weights(model, which = "inner")
  box_of <- function(name, ...) {
    graph <- model_graph(layer_self(model), box_options(...))
    Filter(function(box) box$name == name, graph$boxes)[[1L]]
  }
  expect_identical(box_of("price")$rows, NULL)
  expect_identical(box_of("price")$title, "Dense")
  expect_identical(box_of("price", shapes = TRUE)$rows, c("input: (None, 30)", "output: (None, 1)"))
  expect_identical(box_of("multi_head_attention", shapes = TRUE)$rows[[1L]], "input: [(None, 5, 6), (None, 3, 6)]")
  expect_identical(box_of("tokens", shapes = TRUE, dtype = TRUE)$rows, c("dtype: float32", "output: (None, 5, 6)"))
  expect_identical(box_of("price", names = TRUE, activations = TRUE)$rows[[1L]], "price")
  expect_identical(box_of("price", trainable = TRUE)$rows, "trainable: yes")
  inner <- box_of("inner", expand = TRUE, trainable = TRUE, activations = TRUE)
  expect_identical(inner$rows, "trainable: no")
  expect_identical(inner$inner$boxes[[1L]]$rows, c("activation: relu", "trainable: no"))
  expect_null(box_of("inner")$inner)
})

test_that("models that are not built are a chain", {
  model <- keras_model_sequential(layers = list(layer_dense(units = 4), layer_dense(units = 2)))
  graph <- model_graph(layer_self(model), box_options(shapes = TRUE))
  expect_identical(unname(graph$edges), rbind(1:2))
  expect_identical(graph$boxes[[2L]]$rows, c("input: ?", "output: ?"))
})

test_that("layer_range takes names and patterns", {
  names <- c("a", "dense", "dense_1", "dense_2", "out")
  expect_identical(range_of(names, NULL), 1:5)
  expect_identical(range_of(names, c("dense", "dense_1")), 2:3)
  expect_identical(range_of(names, c("dense_1", "dense")), 2:3)
  expect_identical(range_of(names, list("dense_.*", "out")), 3:5)
  expect_error(range_of(names, c("dens_9", "out")), "Its layers", class = "attentive_error_name")
  expect_error(range_of(names, "out"), class = "attentive_error_argument")
  expect_error(range_of(names, c("(", "out")), class = "attentive_error_name")
})

# Pictures ---------------------------------------------------------------------------

# The letters that a drawing writes: as text of an uncompressed PDF.
texts_of <- function(draw) {
  file <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(file, compress = FALSE, useKerning = FALSE)
  draw()
  grDevices::dev.off()
  lines <- readLines(file, warn = FALSE, encoding = "latin1")
  shown <- regmatches(lines, regexpr("(?<=Tm \\()[^)]*|(?<=Tm \\[\\()[^)]*", lines, perl = TRUE, useBytes = TRUE))
  shown
}

test_that("a picture has every box, in each direction, nested or not", {
  model <- residual_model()
  for (rankdir in c("TB", "LR", "BT", "RL")) {
    shown <- texts_of(function() plot(model, show_layer_names = TRUE, rankdir = rankdir))
    expect_setequal(intersect(shown, c("tokens", "memory", "inner", "price", "kind")), c("tokens", "memory", "inner", "price", "kind"))
    expect_identical(sum(shown == "Dense"), 2L)
    expect_identical(sum(texts_of(function() plot(model, expand_nested = TRUE, rankdir = rankdir)) == "Dense"), 4L)
  }
  expect_identical(texts_of(function() plot(model, layer_range = c("price", "kind"), show_layer_names = TRUE)), c("Dense", "price", "Dense", "kind"))
})

test_that("a long model is folded, with nothing lost", {
  model <- keras_model_sequential(input_shape = 8)
  for (i in 1:30) layer_dense(model, 8)
  expect_identical(sum(texts_of(function() plot(model, show_shapes = TRUE)) == "Dense"), 30L)
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  graphics::plot.new()
  graph <- model_graph(layer_self(model), box_options())
  plan <- plan_graph(graph, "TB", 0.12, c(7, 7))
  expect_gt(length(plan$strips), 1L)
  expect_true(all(plan$scale * plan$size <= 7 + 1e-9))
  expect_length(plan_graph(graph, "TB", 0.12, c(Inf, Inf))$strips, 1L)
})

test_that("plot() gives the model, leaves parameters alone and takes one place of a page", {
  model <- residual_model()
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  graphics::par(mfrow = c(1L, 2L), mar = c(1, 2, 3, 4))
  expect_invisible(plot(model))
  expect_identical(plot(model, show_shapes = TRUE), model)
  expect_identical(graphics::par("mar"), c(1, 2, 3, 4))
  expect_identical(graphics::par("mfrow"), c(1L, 2L))
})

test_that("to_file writes what its name says, and leaves the current device alone", {
  model <- residual_model()
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  current <- grDevices::dev.cur()
  first <- list(pdf = "25504446", png = "89504e47")
  for (type in names(first)) {
    file <- withr::local_tempfile(fileext = paste0(".", type))
    if (type == "png" && !capabilities("png")) next
    expect_invisible(plot(model, to_file = file, dpi = 40))
    expect_identical(paste(readBin(file, "raw", 4L), collapse = ""), first[[type]])
    expect_identical(grDevices::dev.cur(), current)
  }
})

test_that("bad arguments of plot() are named", {
  model <- residual_model()
  expect_error(plot(model, show_shapes = 2), "show_shapes", class = "attentive_error_argument")
  expect_error(plot(model, show_trainable = "no"), "show_trainable", class = "attentive_error_argument")
  expect_error(plot(model, rankdir = "UP"), "rankdir", class = "attentive_error_argument")
  expect_error(plot(model, dpi = 0), "dpi", class = "attentive_error_argument")
  expect_error(plot(model, shapes = TRUE), "Known names", class = "attentive_error_name")
  expect_error(plot(model, to_file = "picture"), "to_file", class = "attentive_error_argument")
  expect_error(plot(model, to_file = "picture.docx"), "to_file", class = "attentive_error_argument")
  expect_error(plot(model, to_file = file.path(tempdir(), "no-such-folder", "a.png")), class = "attentive_error_file")
  expect_error(plot(model, layer_range = c("nothing", "price")), class = "attentive_error_name")
  expect_error(plot(keras_model_sequential()), class = "attentive_error_state")
})
