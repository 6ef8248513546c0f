#' Draw attention scores
#'
#' A heat map for each head: queries from top to bottom, keys from left to right, the darker the more weight. All panels share one scale of colours,
#' given at the right; weights of exactly 0, those of keys that a query may not see, are grey ("none"). Names of the tokens label the
#' rows and columns as long as there is room for them, otherwise positions do.
#'
#' @param x Attention scores.
#' @param batch The batch element: its position or name.
#' @param heads The heads to draw, positions or names; `NULL` draws all.
#' @param queries,keys Positions of the queries and keys to draw, for a part of a long sequence, or to leave padding out; `NULL` draws all.
#'   Several attended axes count as one, in row-major order.
#' @param place Where there are axes that are not attended over: the position on each of them.
#' @param zlim The weights of the lightest and the darkest colour; `NULL` is 0 and the largest weight drawn.
#' @param col The colours, from the smallest to the largest weight. The usual ones, from [grDevices::hcl.colors()], change faster where
#'   weights are small.
#' @param main A title.
#' @param xlab,ylab Titles of the axes.
#' @param ... Ignored, for the generic.
#' @return `x`, invisibly.
#' @section Errors: `attentive_error_argument` for positions that are not there and a bad `zlim`, `attentive_error_name` for unknown names, `attentive_error_shape` where there
#'   is nothing to draw.
#' @details The drawing takes one place on the page, whatever the number of heads, so that it can be part of a page set up by `par(mfrow =)` or
#'   [graphics::layout()]. Graphical parameters are as before afterwards.
#' @seealso [attention_scores]
#' @examples
#' set.seed(1)
#' words <- c("the", "trophy", "shines")
#' x <- array(rnorm(12), c(1, 3, 4), dimnames = list(NULL, words, NULL))
#' layer <- layer_multi_head_attention(num_heads = 4, key_dim = 4)
#' scores <- layer(x, x, return_attention_scores = TRUE)$attention_scores
#' plot(scores)
#' plot(scores, heads = 2, main = "The second head")
#' @export
plot.attentive_scores <- function(x, batch = 1, heads = NULL, queries = NULL, keys = NULL, place = 1, zlim = NULL,
                                  col = weight_colours(), main = NULL, xlab = "key", ylab = "query", ...) {
  panels <- scores_panels(x, batch, heads, queries, keys, place, environment())
  weights <- panels$weights
  if (is.null(zlim)) {
    top <- max(0, weights[is.finite(weights)])
    zlim <- c(0, if (top > 0) top else 1)
  } else if (!is.numeric(zlim) || length(zlim) != 2L || !all(is.finite(zlim)) || zlim[[1L]] >= zlim[[2L]]) {
    abort_argument(zlim, "zlim", "two increasing numbers or NULL")
  }

  before <- graphics::par(mar = c(0, 0, 0, 0), xpd = NA)
  on.exit(graphics::par(before))
  graphics::plot.new()
  page <- graphics::par("pin") # everything below is in inches from the lower left
  graphics::plot.window(c(0, page[[1L]]), c(0, page[[2L]]), xaxs = "i", yaxs = "i")

  plan <- plan_page(panels, page, zlim, main, xlab, ylab)
  for (i in seq_along(panels$titles)) draw_panel(panels, i, plan, zlim, col)
  draw_legend(plan, zlim, col, any(weights == 0, na.rm = TRUE))
  draw_titles(plan, main, xlab, ylab)
  invisible(x)
}

# What is to be drawn: weights [query, key, head], titles, labels.
scores_panels <- function(x, batch, heads, queries, keys, place, call) {
  axes <- scores_axes(x, call)
  flat <- flat_scores(x, axes)
  size <- dim(flat)
  if (any(size == 0L)) abort_attentive("shape", sprintf("There is nothing to draw in scores of dim %s.", format_shape(dim(x))), call = call)
  labels <- lapply(axes, flat_labels, x = x)
  batch <- check_positions(batch, "batch", size[[1L]], labels$batch, one = TRUE, call = call)
  place <- check_place(place, dim(x)[axes$free], call)
  heads <- check_positions(heads, "heads", size[[3L]], labels$head, call = call)
  queries <- check_positions(queries, "queries", size[[4L]], labels$query, call = call)
  keys <- check_positions(keys, "keys", size[[5L]], labels$key, call = call)

  weights <- flat[batch, place, heads, queries, keys, drop = FALSE]
  titles <- if (length(axes$head) == 0L) "" else if (is.null(labels$head)) paste("head", heads) else labels$head[heads]
  list(
    weights = aperm(array(weights, dim(weights)[3:5]), c(2L, 3L, 1L)), titles = titles,
    queries = queries, keys = keys, query_labels = shorten_labels(labels$query[queries]), key_labels = shorten_labels(labels$key[keys])
  )
}

# Positions within 1..size, given as numbers or as names.
check_positions <- function(x, arg, size, labels, one = FALSE, call = NULL) {
  if (is.null(x) && !one) return(seq_len(size))
  if (is.character(x) && !is.null(labels)) {
    unknown <- setdiff(x, labels)
    if (length(unknown) > 0L) {
      abort_attentive("name", sprintf("`%s` has an unknown name, \"%s\".", arg, unknown[[1L]]),
        hint = nearest_hint(unknown[[1L]], unique(labels)), call = call
      )
    }
    x <- match(x, labels)
  }
  whole <- is.numeric(x) && !is.factor(x) && length(x) > 0L && !anyNA(x) && all(x == trunc(x)) && all(x >= 1 & x <= size)
  if (!whole || one && length(x) != 1L) {
    expected <- if (one) "one whole number from 1 to %d" else "whole numbers from 1 to %d, or NULL"
    abort_argument(x, arg, sprintf(expected, size), call = call)
  }
  as.integer(x)
}

# One position on each axis that is not attended over, as one in row-major order.
check_place <- function(place, size, call = NULL) {
  if (length(size) == 0L) return(1L)
  fits <- is.numeric(place) && length(place) %in% c(1L, length(size)) && !anyNA(place) && all(place == trunc(place)) &&
    all(place >= 1 & place <= size)
  if (!fits) abort_argument(place, "place", sprintf("positions within %s", format_shape(size)), call = call)
  place <- rep_len(place, length(size))
  1L + as.integer(sum((place - 1) * rev(cumprod(c(1, rev(size)[-length(size)])))))
}

shorten_labels <- function(labels, width = 24L) {
  if (is.null(labels)) return(NULL)
  labels <- encodeString(labels)
  long <- nchar(labels) > width
  labels[long] <- paste0(substr(labels[long], 1L, width - 2L), "..")
  labels
}

# ---- Where everything goes, in inches ---------------------------------------

# The grid of panels that makes the cells largest. Labels stand at the left and
# at the bottom only; how much room they take depends on the size of the cells,
# so the two are found in turn.
plan_page <- function(panels, page, zlim, main, xlab, ylab) {
  line <- graphics::strheight("Mg", units = "inches")
  size <- dim(panels$weights)
  plan <- list(line = line, legend_ticks = legend_ticks(zlim), gap = 0.6 * line)
  legend <- 1.8 * line + max(graphics::strwidth(c(names(plan$legend_ticks), "none"), units = "inches", cex = 0.8))
  plan$title <- if (any(nzchar(panels$titles))) 1.5 * line else 0
  plan$top <- page[[2L]] - (if (is.null(main)) 0.4 else 2.4) * line
  plan$right <- page[[1L]] - legend - 1.2 * line

  cell <- c(Inf, Inf)
  for (round in 1:6) {
    plan$y_axis <- plan_axis(panels$query_labels, panels$queries, cell[[2L]], across = FALSE)
    plan$x_axis <- plan_axis(panels$key_labels, panels$keys, cell[[1L]], across = TRUE)
    plan$left <- plan$y_axis$room + (if (nzchar(ylab)) 2.1 else 0.6) * line
    plan$bottom <- plan$x_axis$room + (if (nzchar(xlab)) 2.1 else 0.6) * line
    grid <- best_grid(size, plan)
    cell <- grid$cell
  }
  plan <- c(plan, grid)
  # The drawing in the middle of the page, should it not fill it.
  used <- c(plan$columns, plan$rows) * plan$panel + c(plan$columns - 1, plan$rows - 1) * plan$gap + c(0, plan$rows * plan$title)
  plan$left <- plan$left + max(0, plan$right - plan$left - used[[1L]]) / 2
  plan$right <- plan$left + used[[1L]]
  plan$top <- plan$top - max(0, plan$top - plan$bottom - used[[2L]]) / 2
  plan$bottom <- plan$top - used[[2L]]
  plan
}

best_grid <- function(size, plan) {
  n <- size[[3L]]
  stretch <- 1.3 # cells may be that far from square
  best <- NULL
  for (columns in seq_len(n)) {
    rows <- ceiling(n / columns)
    if ((rows - 1) * columns >= n) next
    width <- (plan$right - plan$left - (columns - 1) * plan$gap) / columns / size[[2L]]
    height <- ((plan$top - plan$bottom - (rows - 1) * plan$gap) / rows - plan$title) / size[[1L]]
    if (min(width, height) <= 0) next
    cell <- pmin(c(width, height), stretch * c(height, width))
    if (is.null(best) || prod(cell) > prod(best$cell)) best <- list(columns = columns, rows = rows, cell = cell)
  }
  if (is.null(best)) { # a page too small: draw something rather than fail
    best <- list(columns = ceiling(sqrt(n)), rows = ceiling(n / ceiling(sqrt(n))), cell = c(1, 1) * plan$line / 10)
  }
  best$panel <- best$cell * size[2:1]
  best
}

# Labels of one axis: names where the cells are high enough for letters that can be read, else
# some of the positions.
plan_axis <- function(labels, positions, cell, across) {
  height <- 1.15 * graphics::strheight("M", units = "inches") * 1.35
  cex <- min(0.85, cell / height)
  if (!is.null(labels) && cex >= 0.4) {
    at <- seq_along(labels)
    room <- max(graphics::strwidth(labels, units = "inches", cex = cex))
    return(list(at = at, text = labels, cex = cex, turned = across, room = room))
  }
  cex <- 0.7
  text <- format(positions)
  needed <- if (across) 1.6 * max(graphics::strwidth(text, units = "inches", cex = cex)) else 1.3 * height * cex
  step <- c(1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500) %o% c(1, 1000, 1e6)
  step <- step[step * cell >= needed][1L]
  at <- if (is.na(step)) 1L else which(positions %% step == 0 | positions == 1L & step == 1)
  if (length(at) == 0L) at <- 1L
  text <- as.character(positions[at])
  room <- if (across) height * cex else max(graphics::strwidth(text, units = "inches", cex = cex))
  list(at = at, text = text, cex = cex, turned = FALSE, room = room)
}

legend_ticks <- function(zlim) {
  ticks <- pretty(zlim, 4)
  ticks <- ticks[ticks >= zlim[[1L]] & ticks <= zlim[[2L]]]
  stats::setNames(ticks, format(ticks))
}

# ---- Drawing ----------------------------------------------------------------

# Most weights are small: the differences among them get more of the colours.
weight_colours <- function(n = 256L) {
  share <- seq(0, 1, length.out = n)^0.7
  grDevices::hcl.colors(n, "YlGnBu", rev = TRUE)[1 + round((n - 1) * share)]
}

ink <- function() list(text = "grey20", frame = "grey70", zero = "grey93", missing = "grey50")

draw_panel <- function(panels, i, plan, zlim, col) {
  row <- (i - 1L) %/% plan$columns
  column <- (i - 1L) %% plan$columns
  left <- plan$left + column * (plan$panel[[1L]] + plan$gap)
  top <- plan$top - row * (plan$panel[[2L]] + plan$gap + plan$title) - plan$title
  right <- left + plan$panel[[1L]]
  bottom <- top - plan$panel[[2L]]

  colours <- grDevices::as.raster(paint(matrix(panels$weights[, , i], dim(panels$weights)[[1L]]), zlim, col))
  graphics::rasterImage(colours, left, bottom, right, top, interpolate = FALSE)
  graphics::rect(left, bottom, right, top, border = ink()$frame, lwd = 0.7)
  graphics::text((left + right) / 2, top + 0.35 * plan$line, panels$titles[[i]], adj = c(0.5, 0), cex = 0.85, col = ink()$text)

  gap <- 0.3 * plan$line
  if (column == 0L) {
    y <- top - (plan$y_axis$at - 0.5) * plan$cell[[2L]]
    graphics::text(left - gap, y, plan$y_axis$text, adj = c(1, 0.5), cex = plan$y_axis$cex, col = ink()$text)
  }
  if (i + plan$columns > length(panels$titles)) {
    x <- left + (plan$x_axis$at - 0.5) * plan$cell[[1L]]
    turned <- plan$x_axis$turned
    graphics::text(x, bottom - gap, plan$x_axis$text,
      adj = if (turned) c(1, 0.5) else c(0.5, 1), srt = if (turned) 90 else 0, cex = plan$x_axis$cex, col = ink()$text
    )
  }
}

# Weights as colours; exact zeros and what is no number stand out.
paint <- function(weights, zlim, col) {
  share <- (weights - zlim[[1L]]) / (zlim[[2L]] - zlim[[1L]])
  index <- 1 + round(pmin(1, pmax(0, share)) * (length(col) - 1))
  colours <- col[index]
  colours[weights == 0] <- ink()$zero
  colours[is.na(weights)] <- ink()$missing
  matrix(colours, nrow(weights))
}

draw_legend <- function(plan, zlim, col, zeros) {
  line <- plan$line
  left <- plan$right + 1.2 * line
  right <- left + 0.9 * line
  top <- plan$top - 1.5 * line
  bottom <- top - min(max(top - plan$bottom - (if (zeros) 2 else 0) * line, 2 * line), 14 * line)
  graphics::rasterImage(grDevices::as.raster(matrix(rev(col))), left, bottom, right, top, interpolate = FALSE)
  graphics::rect(left, bottom, right, top, border = ink()$frame, lwd = 0.7)
  y <- bottom + (plan$legend_ticks - zlim[[1L]]) / diff(zlim) * (top - bottom)
  graphics::segments(right, y, right + 0.25 * line, y, col = ink()$frame)
  graphics::text(right + 0.45 * line, y, names(plan$legend_ticks), adj = c(0, 0.5), cex = 0.8, col = ink()$text)
  graphics::text(left, top + 0.5 * line, "weight", adj = c(0, 0), cex = 0.85, col = ink()$text)
  if (zeros) {
    graphics::rect(left, bottom - 1.9 * line, right, bottom - line, col = ink()$zero, border = ink()$frame, lwd = 0.7)
    graphics::text(right + 0.45 * line, bottom - 1.45 * line, "none", adj = c(0, 0.5), cex = 0.8, col = ink()$text)
  }
}

draw_titles <- function(plan, main, xlab, ylab) {
  middle <- c(plan$left + plan$right, plan$top + plan$bottom) / 2
  line <- plan$line
  graphics::text(middle[[1L]], plan$bottom - plan$x_axis$room - 0.8 * line, xlab, adj = c(0.5, 1), cex = 0.85, col = "grey40")
  graphics::text(plan$left - plan$y_axis$room - 0.8 * line, middle[[2L]], ylab, adj = c(0.5, 0), srt = 90, cex = 0.85, col = "grey40")
  if (!is.null(main)) {
    graphics::text(middle[[1L]], plan$top + 0.7 * line, main, adj = c(0.5, 0), cex = 1.1, font = 2, col = ink()$text)
  }
}
