# A model as a table.

#' Show a model
#'
#' `print()` and `summary()` show the layers of a model as a table: what comes out of each and how many weights it has, and in a model that branches what it is applied to.
#' The table is as wide as it needs to be; where the console is narrower, long cells are broken into lines, and nothing is cut.
#'
#' @param x,object A model.
#' @param ... Nothing.
#' @param line_length The widest line; by default that of the console.
#' @param positions Where the columns end, increasing numbers: characters, or shares of `line_length` where none is above 1. `NULL` makes them as wide as what stands in them.
#' @param expand_nested Whether the layers of models within the model are shown too.
#' @param show_trainable Whether to show which layers are trained; `NA`: where some weights are not.
#' @param layer_range The names of the first and of the last layer to show, or regular expressions that names begin with; `NULL` shows all. The totals are those of the
#'   whole model.
#' @param compact Accepted for compatibility with keras3: the table has no empty lines.
#' @return `print()`: the model, invisibly. `summary()`: the lines of the table, invisibly. `format()`: these lines.
#' @section Errors: `attentive_error_argument` for a bad argument, `attentive_error_name` where `layer_range` fits no layer.
#' @family models
#' @examples
#' input <- keras_input(c(4, 6))
#' output <- layer_add(input, layer_dense(input, 6)) |> layer_flatten() |> layer_dense(1)
#' summary(keras_model(input, output))
#' @export
print.attentive_model <- function(x, ..., line_length = NULL, positions = NULL, expand_nested = FALSE, show_trainable = NA, layer_range = NULL, compact = TRUE) {
  check_dots_names(list(...), character(), "`print()` of a model", environment(), table_arguments)
  cat(model_table(layer_self(x), line_length, positions, expand_nested, show_trainable, layer_range, compact), sep = "\n")
  invisible(x)
}

#' @rdname print.attentive_model
#' @export
summary.attentive_model <- function(object, ..., line_length = NULL, positions = NULL, expand_nested = FALSE, show_trainable = NA, layer_range = NULL, compact = TRUE) {
  check_dots_names(list(...), character(), "`summary()` of a model", environment(), table_arguments)
  lines <- model_table(layer_self(object), line_length, positions, expand_nested, show_trainable, layer_range, compact)
  cat(lines, sep = "\n")
  invisible(lines)
}

#' @rdname print.attentive_model
#' @export
format.attentive_model <- function(x, line_length = NULL, positions = NULL, expand_nested = FALSE, show_trainable = NA, ..., layer_range = NULL, compact = TRUE) {
  check_dots_names(list(...), character(), "`format()` of a model", environment(), table_arguments)
  model_table(layer_self(x), line_length, positions, expand_nested, show_trainable, layer_range, compact)
}

table_arguments <- c("line_length", "positions", "expand_nested", "show_trainable", "layer_range", "compact")

model_table <- function(self, line_length, positions, expand_nested, show_trainable, layer_range, compact) {
  width <- if (is.null(line_length)) getOption("width") else check_whole(line_length, "line_length", min = 40L)
  check_flag(expand_nested, "expand_nested")
  check_flag(compact, "compact")
  if (!identical(show_trainable, NA)) check_flag(show_trainable, "show_trainable")
  columns <- summary_columns(self, expand_nested, show_trainable, layer_range)
  c(sprintf("Model: \"%s\"", self$name), boxed(columns, column_widths(columns, width, positions)), summary_totals(self))
}

# The widest columns give way until all fit into `width`.
column_widths <- function(columns, width, positions = NULL) {
  if (!is.null(positions)) return(widths_at(positions, width, length(columns)))
  widths <- mapply(function(column, title) max(nchar(c(column, title), "width")), columns, names(columns))
  room <- width - 3L * length(columns) - 1L
  while (sum(widths) > room && max(widths) > 8L) widths[[which.max(widths)]] <- max(widths) - 1L
  widths
}

widths_at <- function(positions, width, n) {
  ok <- is.numeric(positions) && length(positions) >= n && all(is.finite(positions)) && positions[[1L]] > 0 && all(diff(positions) > 0)
  if (!ok) abort_argument(positions, "positions", sprintf("%d increasing numbers, where the columns end, or NULL", n))
  if (max(positions) <= 1) positions <- positions * width
  # a column has a space at each side and a bar at its end, the first one another at its beginning
  pmax(1L, as.integer(diff(c(1, trunc(positions[seq_len(n)])))) - 3L)
}

# The columns of the table, a named list of strings with one entry a layer.
summary_columns <- function(self, expand_nested, show_trainable, layer_range = NULL) {
  if (is.na(show_trainable)) show_trainable <- length(layer_weights(self, FALSE)) > 0L
  rows <- summary_rows(self, expand_nested, "", self$trainable, layer_range)
  column <- function(text) vapply(rows, text, "")
  columns <- list(
    "Layer (type)" = column(function(row) sprintf("%s%s (%s)", row$indent, row$inner$name, row$inner$class_name)),
    "Output Shape" = column(function(row) output_shape_text(row$inner, row$model)),
    "Param #" = column(function(row) if (row$inner$built) big_number(count_weights(layer_weights(row$inner))) else "0 (unbuilt)")
  )
  branches <- !vapply(rows, function(row) is_sequential_self(row$model), NA)
  if (any(branches)) columns[["Connected to"]] <- column(function(row) connections_text(row$inner, row$model))
  if (show_trainable) columns[["Trainable"]] <- column(function(row) trainable_text(row$inner, row$trainable))
  columns
}

# The layers of a model, each with the model it stands in; those of models within it below them.
summary_rows <- function(self, expand_nested, indent, trainable, layer_range = NULL) {
  layers <- if (is_sequential_self(self)) self$stack else self$layers
  layers <- layers[range_of(vapply(layers, function(inner) inner$name, ""), layer_range)]
  rows <- lapply(layers, function(inner) {
    row <- list(list(inner = inner, model = self, indent = indent, trainable = trainable))
    if (!expand_nested || !inherits(inner, "model")) return(row)
    c(row, summary_rows(inner, TRUE, paste0(indent, "> "), trainable && inner$trainable))
  })
  unlist(rows, recursive = FALSE)
}

nodes_of <- function(self, inner) Filter(function(node) identical(node$self, inner), self$nodes)

output_shape_text <- function(inner, self) {
  nodes <- nodes_of(self, inner)
  if (length(nodes) == 0L) return("?")
  shapes_text(lapply(nodes[[1L]]$outputs, function(tensor) tensor[["shape"]]))
}

connections_text <- function(inner, self) {
  names <- unlist(lapply(nodes_of(self, inner), function(node) {
    vapply(Filter(is_symbolic, node$inputs), function(tensor) tensor[["node"]]$self$name, "")
  }))
  if (length(names) == 0L) "-" else paste(unique(names), collapse = ", ")
}

trainable_text <- function(inner, trainable) {
  if (length(layer_weights(inner)) == 0L) return("-")
  if (trainable && length(layer_weights(inner, TRUE)) > 0L) "Y" else "N"
}

big_number <- function(n) format(n, big.mark = ",", scientific = FALSE, trim = TRUE)

summary_totals <- function(self) {
  line <- function(label, weights) {
    bytes <- sum(0, vapply(weights, function(w) prod(w[["shape"]]) * if (w[["dtype"]] == "float64") 8 else 4, 0))
    sprintf(" %s params: %s (%s)", label, big_number(count_weights(weights)), byte_text(bytes))
  }
  c(
    line("Total", layer_weights(self)), line("Trainable", layer_weights(self, TRUE)), line("Non-trainable", layer_weights(self, FALSE)),
    # once it has been trained: what its optimizer remembers
    if (length(remembered(self)) > 0L) line("Optimizer", c(self$compiled$optimizer$variables[1:2], remembered(self)))
  )
}

# The optimizer's slots of the weights that the model has: layers may have been taken off since it was trained.
remembered <- function(self) {
  optimizer <- self$compiled$optimizer
  own <- vapply(layer_weights(self), rlang::obj_address, "")
  unlist(optimizer[["slots"]][vapply(optimizer[["trained"]], rlang::obj_address, "") %in% own], recursive = FALSE)
}

byte_text <- function(bytes) {
  units <- c("B", "KB", "MB", "GB", "TB")
  step <- if (bytes < 1) 0 else min(floor(log(bytes, 1024)), length(units) - 1L)
  sprintf(if (step == 0) "%.0f %s" else "%.2f %s", bytes / 1024^step, units[[step + 1L]])
}

# A table in a box; what is wider than its column is broken into lines.
boxed <- function(columns, widths) {
  right <- names(columns) == "Param #"
  pieces <- if (isTRUE(l10n_info()[["UTF-8"]])) box_pieces else ascii_pieces
  rule <- function(ends) {
    paste0(ends[[1L]], paste(strrep(pieces$line, widths + 2L), collapse = ends[[2L]]), ends[[3L]])
  }
  row <- function(cells) {
    wrapped <- Map(wrap_cell, cells, widths)
    lines <- max(lengths(wrapped))
    padded <- Map(function(cell, size, right) {
      cell <- c(cell, rep("", lines - length(cell)))
      space <- strrep(" ", size - nchar(cell, "width"))
      if (right) paste0(space, cell) else paste0(cell, space)
    }, wrapped, widths, right)
    vapply(seq_len(lines), function(i) {
      paste0(pieces$bar, " ", paste(vapply(padded, function(cell) cell[[i]], ""), collapse = paste0(" ", pieces$bar, " ")), " ", pieces$bar)
    }, "")
  }
  body <- lapply(seq_along(columns[[1L]]), function(i) row(lapply(columns, function(column) column[[i]])))
  c(rule(pieces$top), row(names(columns)), rule(pieces$middle), unlist(body), rule(pieces$bottom))
}

box_pieces <- list(
  line = "\u2500", bar = "\u2502", top = c("\u250c", "\u252c", "\u2510"), middle = c("\u251c", "\u253c", "\u2524"),
  bottom = c("\u2514", "\u2534", "\u2518")
)
ascii_pieces <- list(line = "-", bar = "|", top = rep("+", 3L), middle = rep("+", 3L), bottom = rep("+", 3L))

# A cell in lines of at most `width`: broken at spaces, and within long words.
wrap_cell <- function(text, width) {
  words <- unlist(lapply(strsplit(text, " ", fixed = TRUE)[[1L]], break_word, width))
  lines <- character()
  for (word in words) {
    last <- length(lines)
    if (last > 0L && nchar(lines[[last]], "width") + 1L + nchar(word, "width") <= width) {
      lines[[last]] <- paste(lines[[last]], word)
    } else {
      lines <- c(lines, word)
    }
  }
  if (length(lines) == 0L) "" else lines
}

break_word <- function(word, width) {
  pieces <- character()
  while (nchar(word, "width") > width) {
    piece <- strtrim(word, width)
    pieces <- c(pieces, piece)
    word <- substring(word, nchar(piece) + 1L)
  }
  c(pieces, word)
}
