# A model as a picture: boxes and arrows, with base graphics.

#' Draw a model
#'
#' A box for each application of a layer, an arrow for each tensor that goes from one to another. Edges that skip layers run beside the boxes. A picture with many
#' layers is folded into columns where that makes the text larger; in a file it gets the size it needs.
#'
#' @details
#' A layer that is applied several times has a box for each: Keras draws one, with arrows in and out. Graphical parameters are as before afterwards; `plot()` takes one place on
#' the page, so that it can be part of one set up by `par(mfrow =)`.
#'
#' @param x A model.
#' @param show_shapes,show_dtype,show_layer_names,show_layer_activations Whether to write shapes of the inputs and the output, the number type, names, and activations
#'   into the boxes; the class stands there always.
#' @param ... Nothing.
#' @param rankdir The direction of the arrows: "TB" from top to bottom, "LR" from left to right, "BT" or "RL".
#' @param expand_nested Whether models within the model are drawn as frames around their layers.
#' @param dpi Pixels per inch of a file.
#' @param layer_range The names of the first and of the last layer to draw, or regular expressions that names begin with; `NULL` draws all.
#' @param show_trainable Whether to write down which layers are trained; `NA`: where some weights are not.
#' @param to_file The name of a file to draw into; it ends in `.png`, `.pdf`, `.svg`, `.jpg` or `.tiff`. `NULL` draws on the current device.
#' @return The model, invisibly.
#' @section Errors: `attentive_error_argument` for a bad argument, `attentive_error_name` where `layer_range` fits no layer, `attentive_error_state` for a model without layers,
#'   `attentive_error_file` where the folder of `to_file` does not exist.
#' @family models
#' @examples
#' input <- keras_input(c(4, 6))
#' attended <- layer_multi_head_attention(input, num_heads = 2, key_dim = 3)
#' output <- layer_add(input, attended) |> layer_flatten() |> layer_dense(1)
#' model <- keras_model(input, output)
#' plot(model, show_shapes = TRUE)
#' @export
plot.attentive_model <- function(x, show_shapes = FALSE, show_dtype = FALSE, show_layer_names = FALSE, ..., rankdir = "TB", expand_nested = FALSE, dpi = 200,
                                 layer_range = NULL, show_layer_activations = FALSE, show_trainable = NA, to_file = NULL) {
  call <- environment()
  check_dots_names(list(...), character(), "`plot()` of a model", call, setdiff(names(formals()), c("x", "...")))
  self <- layer_self(x)
  if (!identical(show_trainable, NA)) check_flag(show_trainable, "show_trainable", call = call)
  options <- list(
    shapes = check_flag(show_shapes, "show_shapes", call = call), dtype = check_flag(show_dtype, "show_dtype", call = call),
    names = check_flag(show_layer_names, "show_layer_names", call = call), expand = check_flag(expand_nested, "expand_nested", call = call),
    activations = check_flag(show_layer_activations, "show_layer_activations", call = call), around = TRUE,
    trainable = if (is.na(show_trainable)) length(layer_weights(self, FALSE)) > 0L else show_trainable
  )
  rankdir <- check_choice(rankdir, "rankdir", c("TB", "LR", "BT", "RL"), call)
  dpi <- check_number(dpi, "dpi", min = 1, call = call)
  graph <- model_graph(self, options)
  if (length(graph$boxes) == 0L) abort_attentive("state", sprintf("The model \"%s\" has no layers to draw.", self$name), call = call)
  graph <- part_of_graph(graph, range_of(vapply(graph$boxes, function(box) box$name, ""), layer_range, call))
  if (is.null(to_file)) draw_graph(graph, rankdir) else draw_to_file(graph, rankdir, check_picture(to_file, call), dpi)
  invisible(x)
}

check_picture <- function(file, call = NULL) {
  file <- path.expand(check_string(file, "to_file", call = call))
  if (!tolower(extension_of(file)) %in% c("png", "pdf", "svg", "jpg", "jpeg", "tiff")) {
    abort_argument(file, "to_file", "a file name that ends in .png, .pdf, .svg, .jpg or .tiff", call = call)
  }
  if (!dir.exists(dirname(file))) {
    abort_attentive("file", sprintf("The folder of `to_file`, \"%s\", does not exist.", dirname(file)), arg = "to_file", call = call)
  }
  file
}

extension_of <- function(file) if (grepl(".", basename(file), fixed = TRUE)) sub(".*[.]", "", basename(file)) else ""

# A file is as large as the drawing; how large that is, a device that draws nowhere tells.
draw_to_file <- function(graph, rankdir, file, dpi) {
  current <- grDevices::dev.cur()
  if (current > 1L) on.exit(grDevices::dev.set(current))
  grDevices::pdf(NULL)
  size <- tryCatch(suppressWarnings(page_size(graph, rankdir)), finally = grDevices::dev.off())
  dpi <- min(dpi, 32000 / max(size)) # what picture files can hold
  raster <- function(device) device(file, width = size[[1L]], height = size[[2L]], units = "in", res = dpi)
  switch(tolower(extension_of(file)),
    png = raster(grDevices::png), tiff = raster(grDevices::tiff),
    pdf = grDevices::pdf(file, width = size[[1L]], height = size[[2L]]), svg = grDevices::svg(file, width = size[[1L]], height = size[[2L]]),
    raster(grDevices::jpeg)
  )
  tryCatch(draw_graph(graph, rankdir), finally = grDevices::dev.off())
}

# In inches, with a margin.
page_size <- function(graph, rankdir) {
  graphics::plot.new()
  line <- box_line()
  # letters differ between devices: a little more room than measured here
  1.04 * plan_graph(graph, rankdir, line, c(Inf, Inf))$size + 2 * line
}

draw_graph <- function(graph, rankdir) {
  before <- graphics::par(mar = c(0, 0, 0, 0), xpd = NA)
  on.exit(graphics::par(before))
  graphics::plot.new()
  page <- graphics::par("pin") # from here on in inches, from the upper left
  graphics::plot.window(c(0, page[[1L]]), c(page[[2L]], 0), xaxs = "i", yaxs = "i")
  line <- box_line()
  plan <- plan_graph(graph, rankdir, line, page - 1.5 * line)
  pen <- list(scale = plan$scale, line = line, rankdir = rankdir, origin = (page - plan$scale * plan$size) / 2, size = plan$size)
  for (path in plan$links) draw_route(path, pen, head = FALSE)
  for (strip in plan$strips) draw_plan(strip, pen, strip$shift)
}

is_across <- function(rankdir) rankdir %in% c("LR", "RL")

# Planning: what goes where ---------------------------------------------------------------

box_cex <- 0.9
box_line <- function() graphics::strheight("Mg", units = "inches", cex = box_cex)

# The width and height of each box, in inches at full size; those of nested models with a plan of their own.
measure_boxes <- function(graph, rankdir, line) {
  lapply(graph$boxes, function(box) {
    title <- graphics::strwidth(box$title, units = "inches", cex = box_cex, font = 2)
    rows <- graphics::strwidth(box$rows, units = "inches", cex = 0.85 * box_cex)
    size <- c(max(title, rows, 3 * line), (1.8 + 1.45 * length(box$rows)) * line) + c(1.4, 0.45) * line
    if (is.null(box$inner)) return(c(box, list(size = size)))
    inside <- plan_part(box$inner, rankdir, line)
    heading <- (1.9 + 1.45 * length(box$rows)) * line
    inner_size <- if (is_across(rankdir)) rev(inside$size) else inside$size
    c(box, list(plan = inside, size = c(max(size[[1L]], inner_size[[1L]] + 2 * line), inner_size[[2L]] + heading + 1.6 * line), heading = heading))
  })
}

plan_part <- function(graph, rankdir, line) {
  boxes <- measure_boxes(graph, rankdir, line)
  plan_boxes(boxes, graph$edges, rankdir, line)
}

plan_boxes <- function(boxes, edges, rankdir, line) {
  sizes <- t(vapply(boxes, function(box) if (is_across(rankdir)) rev(box$size) else box$size, numeric(2L)))
  layout <- lay_out(sizes, edges, line)
  list(boxes = boxes, places = layout$boxes, edges = layout$edges, size = layout$size)
}

# The graph in one strip, or in as many as make it largest on the page.
plan_graph <- function(graph, rankdir, line, page) {
  if (is_across(rankdir)) page <- rev(page)
  boxes <- measure_boxes(graph, rankdir, line)
  best <- join_strips(list(plan_boxes(boxes, graph$edges, rankdir, line)), line, page)
  for (strips in 2:8) {
    if (best$scale >= 0.7) break # small, but it can be read
    cuts <- choose_cuts(best$whole, graph$edges, strips)
    if (length(cuts) < strips - 1L) break
    parts <- lapply(fold_graph(boxes, graph$edges, best$whole$places$rank, cuts), function(part) plan_boxes(part$boxes, part$edges, rankdir, line))
    plan <- join_strips(parts, line, page)
    plan$whole <- best$whole
    if (plan$scale > 1.1 * best$scale) best <- plan
  }
  if (is_across(rankdir)) best$size <- rev(best$size)
  best
}

# Where a graph may be cut: below a rank whose only result that is used later is that of a box of this rank.
choose_cuts <- function(plan, edges, strips) {
  rank <- plan$places$rank
  possible <- Filter(function(r) {
    from <- unique(edges[rank[edges[, 1L]] <= r & rank[edges[, 2L]] > r, 1L])
    length(from) == 1L && rank[[from]] == r
  }, seq_len(max(rank) - 1L))
  if (length(possible) == 0L) return(integer())
  ends <- vapply(possible, function(r) max((plan$places$along + plan$places$height / 2)[rank == r]), 0)
  unique(vapply(seq_len(strips - 1L) / strips * plan$size[[2L]], function(at) possible[[which.min(abs(ends - at))]], 0L))
}

# The parts between cuts. What goes on in the next part leaves by a joint, a box without height, and comes in by another.
fold_graph <- function(boxes, edges, rank, cuts) {
  joint <- list(kind = "joint", size = c(0, 0))
  first <- c(0L, cuts)
  last <- c(cuts, max(rank))
  lapply(seq_along(first), function(k) {
    members <- which(rank > first[[k]] & rank <= last[[k]])
    comes <- edges[rank[edges[, 1L]] <= first[[k]] & edges[, 2L] %in% members, , drop = FALSE]
    goes <- edges[edges[, 1L] %in% members & rank[edges[, 2L]] > last[[k]], , drop = FALSE]
    begins <- nrow(comes) > 0L
    ends <- nrow(goes) > 0L
    within <- edges[edges[, 1L] %in% members & edges[, 2L] %in% members, , drop = FALSE]
    at <- function(box) match(box, members) + begins
    list(
      boxes = c(if (begins) list(joint), boxes[members], if (ends) list(joint)),
      edges = rbind(
        if (begins) cbind(1L, at(comes[, 2L])), cbind(at(within[, 1L]), at(within[, 2L])),
        if (ends) cbind(at(goes[1L, 1L]), length(members) + begins + 1L)
      )
    )
  })
}

# Strips side by side, with lines that lead from the end of one to the beginning of the next.
join_strips <- function(parts, line, page) {
  gutter <- 2.4 * line
  margin <- if (length(parts) > 1L) line else 0
  widths <- vapply(parts, function(part) part$size[[1L]], 0)
  left <- cumsum(c(0, widths + gutter))[seq_along(parts)]
  height <- max(vapply(parts, function(part) part$size[[2L]], 0))
  for (k in seq_along(parts)) parts[[k]]$shift <- c(left[[k]], margin)
  links <- lapply(seq_along(parts)[-1L], function(k) {
    from <- utils::tail(parts[[k - 1L]]$places, 1L)
    to <- parts[[k]]$places[1L, ]
    x <- c(from$across + left[[k - 1L]], left[[k]] - gutter / 2, to$across + left[[k]])
    cbind(x[c(1L, 1L, 2L, 2L, 3L, 3L)], c(from$along + margin, height + 2 * margin, height + 2 * margin, 0, 0, margin))
  })
  size <- c(sum(widths) + (length(parts) - 1L) * gutter, height + 2 * margin)
  list(strips = parts, links = links, size = size, scale = min(1, page / size), whole = parts[[1L]])
}

# Drawing -----------------------------------------------------------------------------------

# From a plan's places to inches on the page.
to_page <- function(points, pen) {
  points <- matrix(points, ncol = 2L)
  if (is_across(pen$rankdir)) points <- points[, 2:1, drop = FALSE]
  if (pen$rankdir == "RL") points[, 1L] <- pen$size[[1L]] - points[, 1L]
  if (pen$rankdir == "BT") points[, 2L] <- pen$size[[2L]] - points[, 2L]
  cbind(points[, 1L] * pen$scale + pen$origin[[1L]], points[, 2L] * pen$scale + pen$origin[[2L]])
}

box_fill <- c(layer = "#d9e6f2", input = "#dcebd9", operation = "#eceaf4", model = "#f6e6cf")

# `shift` is where the plan's 0, 0 lies in that of the whole picture.
draw_plan <- function(plan, pen, shift = c(0, 0)) {
  for (i in seq_along(plan$boxes)) {
    box <- plan$boxes[[i]]
    if (box$kind == "joint") next
    place <- c(plan$places$across[[i]], plan$places$along[[i]]) + shift
    draw_box(box, to_page(place, pen), pen)
    if (!is.null(box$plan)) draw_plan(box$plan, pen, place - box$plan$size / 2 + frame_offset(box, pen))
  }
  for (edge in plan$edges) {
    draw_route(sweep(edge$path, 2L, shift, "+"), pen, head = plan$boxes[[edge$to]]$kind != "joint")
  }
}

# Within a frame, the picture of a nested model stands under the heading.
frame_offset <- function(box, pen) {
  down <- box$heading / 2
  if (is_across(pen$rankdir)) c(down, 0) else c(0, if (pen$rankdir == "BT") -down else down)
}

draw_box <- function(box, middle, pen) {
  half <- box$size * pen$scale / 2
  line <- pen$line * pen$scale
  cex <- box_cex * pen$scale
  left <- middle[[1L]] - half[[1L]]
  top <- middle[[2L]] - half[[2L]]
  right <- middle[[1L]] + half[[1L]]
  bottom <- middle[[2L]] + half[[2L]]
  fill <- box_fill[[box$kind]]
  framed <- !is.null(box$plan)
  graphics::rect(left, bottom, right, top, col = if (framed) "#fdf8ef" else "white", border = NA)
  heading <- if (length(box$rows) == 0L && !framed) bottom else top + 2.05 * line
  graphics::rect(left, heading, right, top, col = fill, border = NA)
  graphics::rect(left, bottom, right, top, border = "grey45", lwd = if (box$kind == "model") 1.6 else 1)
  graphics::text(middle[[1L]], (top + heading) / 2, box$title, cex = cex, font = 2, col = ink()$text)
  y <- heading + (0.85 + 1.45 * (seq_along(box$rows) - 1)) * line
  if (length(y) > 0L) graphics::text(middle[[1L]], y, box$rows, cex = 0.85 * cex, col = ink()$text)
}

draw_route <- function(path, pen, head = TRUE) {
  points <- to_page(path, pen)
  last <- nrow(points)
  line <- pen$line * pen$scale
  tip <- points[last, ]
  if (head) {
    along <- tip - points[last - 1L, ]
    # a last piece without length has the direction of the edges
    if (sqrt(sum(along^2)) < 1e-9) along <- tip - points[max(1L, last - 3L), ]
    along <- along / sqrt(sum(along^2))
    aside <- c(-along[[2L]], along[[1L]])
    foot <- tip - 0.7 * line * along
    points[last, ] <- tip - 0.5 * line * along
  }
  graphics::lines(points, col = "grey35", lwd = max(0.5, 1.2 * pen$scale))
  if (head) graphics::polygon(rbind(tip, foot + 0.32 * line * aside, foot - 0.32 * line * aside), col = "grey35", border = NA)
}
