# A model as a table.

#' Show a model
#'
#' `print()` and `summary()` show the layers of a model as a table: what comes out of each and how many weights it has, and in a model that branches what it is applied to.
#'
#' @param x,object A model.
#' @param ... Nothing.
#' @param line_length The widest line; by default that of the console.
#' @return `print()`: the model, invisibly. `summary()`: the lines of the table, invisibly.
#' @family models
#' @examples
#' input <- keras_input(c(4, 6))
#' output <- layer_add(input, layer_dense(input, 6)) |> layer_flatten() |> layer_dense(1)
#' summary(keras_model(input, output))
#' @export
print.attentive_model <- function(x, ...) {
  cat(model_table(layer_self(x), ...), sep = "\n")
  invisible(x)
}

#' @rdname print.attentive_model
#' @export
summary.attentive_model <- function(object, ..., line_length = NULL) {
  lines <- model_table(layer_self(object), line_length)
  cat(lines, sep = "\n")
  invisible(lines)
}

model_table <- function(self, line_length = NULL, ...) {
  width <- if (is.null(line_length)) getOption("width") else check_whole(line_length, "line_length", min = 40L)
  c(sprintf("Model: \"%s\"", self$name), boxed(summary_columns(self), width), summary_totals(self))
}

# The columns of the table, a named list of strings with one entry a layer.
summary_columns <- function(self) {
  branches <- !is_sequential_self(self)
  layers <- if (branches) self$layers else self$stack
  weights <- lapply(layers, layer_weights)
  unbuilt <- !vapply(layers, function(inner) inner$built, NA)
  columns <- list(
    "Layer (type)" = vapply(layers, function(inner) sprintf("%s (%s)", inner$name, inner$class_name), ""),
    "Output Shape" = vapply(layers, output_shape_text, "", self = self),
    "Param #" = ifelse(unbuilt, "0 (unbuilt)", vapply(weights, function(w) big_number(count_weights(w)), ""))
  )
  frozen <- length(layer_weights(self, FALSE)) > 0L
  if (branches) columns[["Connected to"]] <- vapply(layers, connections_text, "", self = self)
  if (frozen) columns[["Trainable"]] <- mapply(trainable_text, layers, weights, MoreArgs = list(model = self))
  columns
}

nodes_of <- function(self, inner) Filter(function(node) identical(node$self, inner), self$nodes)

output_shape_text <- function(inner, self) {
  nodes <- nodes_of(self, inner)
  if (length(nodes) == 0L) return("?")
  paste(vapply(nodes[[1L]]$outputs, function(tensor) format_shape(tensor[["shape"]]), ""), collapse = ", ")
}

connections_text <- function(inner, self) {
  names <- unlist(lapply(nodes_of(self, inner), function(node) {
    vapply(Filter(is_symbolic, node$inputs), function(tensor) tensor[["node"]]$self$name, "")
  }))
  if (length(names) == 0L) "-" else paste(unique(names), collapse = ", ")
}

trainable_text <- function(inner, weights, model) {
  if (length(weights) == 0L) return("-")
  if (model$trainable && length(layer_weights(inner, TRUE)) > 0L) "Y" else "N"
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
    if (length(self$compiled$optimizer[["slots"]]) > 0L) line("Optimizer", self$compiled$optimizer$variables)
  )
}

byte_text <- function(bytes) {
  units <- c("B", "KB", "MB", "GB", "TB")
  step <- if (bytes < 1) 0 else min(floor(log(bytes, 1024)), length(units) - 1L)
  sprintf(if (step == 0) "%.0f %s" else "%.2f %s", bytes / 1024^step, units[[step + 1L]])
}

# A table in a box, no wider than `width`: the widest columns are wrapped.
boxed <- function(columns, width) {
  widths <- mapply(function(column, title) max(nchar(c(column, title), "width")), columns, names(columns))
  room <- width - 3L * length(columns) - 1L
  while (sum(widths) > room && max(widths) > 8L) widths[[which.max(widths)]] <- max(widths) - 1L
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

# A cell in lines of at most `width`: broken at spaces, long words cut.
wrap_cell <- function(text, width) {
  words <- strsplit(text, " ", fixed = TRUE)[[1L]]
  long <- nchar(words, "width") > width
  words[long] <- paste0(strtrim(words[long], width - 3L), "...")
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
