# Attention scores: the weights that each query gives to each key, as an array
# that can print, tabulate and draw itself.
#
# Dims: batch, axes that are not attended over, [head], query axes, key axes.
# `heads_axis` is NULL where there is no axis of heads: scores averaged over the
# heads, or of a layer without heads. `n_axes` counts the axes of queries, of
# which keys have as many. Labels of tokens are dimnames.
new_scores <- function(x, heads_axis = NULL, n_axes = 1L) {
  structure(x,
    heads_axis = if (is.null(heads_axis)) 0L else as.integer(heads_axis),
    n_axes = as.integer(n_axes), class = c("attentive_scores", "array")
  )
}

# The axes by what they mean. Assigning other dims to scores breaks this.
scores_axes <- function(x, call = NULL) {
  rank <- length(dim(x))
  n <- attr(x, "n_axes")
  heads <- attr(x, "heads_axis")
  free <- rank - 1L - (heads > 0L) - 2L * n
  if (length(free) != 1L || free < 0L || heads > 0L && heads != free + 2L) {
    abort_attentive("shape", sprintf("The dims %s are not those of attention scores.", format_shape(dim(x))),
      hint = "Make a plain array with `as.array()` before changing dims.", call = call
    )
  }
  query <- rank - 2L * n + seq_len(n)
  list(batch = 1L, free = 1L + seq_len(free), head = heads[heads > 0L], query = query, key = query + n)
}

# Plain [batch, free, head, query, key], several axes flattened in row-major
# order, as everywhere in Keras.
flat_scores <- function(x, axes = scores_axes(x)) {
  size <- vapply(axes, function(a) as.integer(prod(dim(x)[a])), 1L, USE.NAMES = FALSE)
  plain <- as.array(x)
  if (any(lengths(axes) > 1L)) plain <- aperm(plain, unlist(lapply(axes, rev)))
  array(plain, size)
}

# Labels of the flattened axes, NULL where positions say as much.
flat_labels <- function(x, axes) {
  names_of <- function(a) if (is.null(dimnames(x))) NULL else dimnames(x)[[a]]
  labels <- lapply(axes, names_of)
  if (length(axes) < 2L) return(unlist(labels))
  labels <- Map(function(l, a) if (is.null(l)) seq_len(dim(x)[[a]]) else l, labels, axes)
  combined <- rev(expand.grid(rev(labels), stringsAsFactors = FALSE))
  do.call(paste, c(combined, sep = ","))
}

#' Attention scores
#'
#' What a layer returns as `attention_scores`: the weights with which each query looks at each key, between 0 and 1. It is a numeric
#' array with Keras's dims, `[batch, head, query, key]`; where several axes are attended over, or some are not, the dims are
#' `[batch, other axes, head, query axes, key axes]`, and scores averaged over the heads have no axis of heads. Names of the
#' inputs' token axis (`dimnames`) become the names of queries and keys, and label tables and plots.
#'
#' Arithmetic and indexing work as for any array and give plain arrays; `as.array()` just drops the class.
#'
#' @param x Attention scores.
#' @param object Attention scores.
#' @param row.names,optional Ignored, for the generic.
#' @param ... Ignored, for the generic.
#' @return
#' * `print()` shows the sizes and a line a head, and returns `x` invisibly.
#' * `summary()` gives a data frame with a row a head: `entropy` of a query's weights (in nats, averaged over the queries) and `keys`,
#'   the number of keys that it effectively looks at (the exponential of the entropy, averaged); `self`, the mean weight of the
#'   query's own position, where there are as many queries as keys; the largest `weight`, and the `batch` element, `query` and `key`
#'   where it is; `empty`, the number of queries that may look at nothing (they count nowhere else).
#' * `as.data.frame()` gives one row a weight, keys varying fastest: `batch`, `head`, `query`, `key`, `weight`. Other axes
#'   are `axis_1`, `axis_2`, ...; several query axes are `query_1`, `query_2`, ... Where an axis has names its column is a factor in the order of
#'   the positions, a repeated name numbered as in "the (2)"; otherwise it holds whole numbers from 1.
#' * `as.array()` gives the plain array.
#' @section Errors: `attentive_error_shape` where the dims were changed, so that it is not known any more which axis is what.
#' @seealso [plot.attentive_scores()] to look at them.
#' @examples
#' set.seed(1)
#' words <- c("the", "trophy", "shines")
#' x <- array(rnorm(12), c(1, 3, 4), dimnames = list(NULL, words, NULL))
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 4)
#' scores <- layer(x, x, return_attention_scores = TRUE)$attention_scores
#' scores
#' as.data.frame(scores)
#' plot(scores)
#' @name attention_scores
NULL

#' @rdname attention_scores
#' @export
as.array.attentive_scores <- function(x, ...) {
  attr(x, "heads_axis") <- NULL
  attr(x, "n_axes") <- NULL
  unclass(x)
}

# What is computed from scores is not scores any more.
#' @export
Ops.attentive_scores <- function(e1, e2) {
  if (inherits(e1, "attentive_scores")) e1 <- as.array(e1)
  if (missing(e2)) return(get(.Generic, mode = "function")(e1))
  if (inherits(e2, "attentive_scores")) e2 <- as.array(e2)
  get(.Generic, mode = "function")(e1, e2)
}

#' @export
Math.attentive_scores <- function(x, ...) get(.Generic, mode = "function")(as.array(x), ...)

#' @export
`[.attentive_scores` <- function(x, ...) {
  x <- as.array(x)
  NextMethod()
}

#' @export
aperm.attentive_scores <- function(a, perm = NULL, ...) aperm(as.array(a), perm, ...)

#' @rdname attention_scores
#' @export
summary.attentive_scores <- function(object, ...) {
  axes <- scores_axes(object)
  flat <- flat_scores(object, axes)
  size <- dim(flat)
  labels <- list(
    query = flat_labels(object, axes$query), key = flat_labels(object, axes$key), head = flat_labels(object, axes$head)
  )
  named <- function(i, labels) if (is.null(labels)) i else labels[i]
  own <- size[[4L]] == size[[5L]] && identical(labels$query, labels$key)

  heads <- lapply(seq_len(size[[3L]]), function(h) {
    rows <- matrix(flat[, , h, , ], ncol = size[[5L]]) # batch, free and query down, key across
    seen <- which(rowSums(rows) > 0)
    terms <- rows * log(rows)
    terms[rows == 0] <- 0
    entropy <- -rowSums(terms)[seen]
    best <- if (length(seen) > 0L) arrayInd(which.max(rows), dim(rows)) else matrix(NA_integer_, 1L, 2L)
    place <- arrayInd(best[[1L]], size[c(1L, 2L, 4L)])
    position <- (seq_len(nrow(rows)) - 1L) %/% (size[[1L]] * size[[2L]]) + 1L
    data.frame(
      entropy = mean(entropy), keys = mean(exp(entropy)),
      self = if (own) mean(rows[cbind(seen, position[seen])]) else NA_real_,
      weight = rows[best], batch = place[[1L]], query = named(place[[3L]], labels$query),
      key = named(best[[2L]], labels$key), empty = sum(rowSums(rows) == 0)
    )
  })
  table <- do.call(rbind, heads)
  if (is.null(table)) return(data.frame())
  if (length(axes$head) > 0L) table <- cbind(head = named(seq_len(size[[3L]]), labels$head), table)
  table
}

#' @rdname attention_scores
#' @export
format.attentive_scores <- function(x, ...) {
  axes <- scores_axes(x)
  part <- function(a, one, many) {
    if (length(a) == 0L) return(NULL)
    size <- dim(x)[a]
    sprintf("%s %s", paste(size, collapse = "x"), if (identical(size, 1L)) one else many)
  }
  paste(c(
    part(axes$batch, "batch element", "batch elements"), part(axes$free, "place", "places"), part(axes$head, "head", "heads"),
    part(axes$query, "query", "queries"), part(axes$key, "key", "keys")
  ), collapse = ", ")
}

#' @rdname attention_scores
#' @export
print.attentive_scores <- function(x, ...) {
  cat("Attention scores: ", format(x), "\n", sep = "")
  axes <- scores_axes(x)
  if (length(x) == 0L) return(invisible(x))
  table <- summary(x)
  empty <- sum(table$empty)
  most <- 16L
  shown <- utils::head(table, most)
  number <- function(x) formatC(x, digits = 2L, format = "f")
  columns <- list(
    head = if (length(axes$head) > 0L) c("head", format(shown$head)),
    keys = c("keys seen", ifelse(is.nan(shown$keys), "-", formatC(shown$keys, digits = 1L, format = "f"))),
    self = if (!anyNA(shown$self)) c("own place", number(shown$self)),
    strongest = c("strongest", ifelse(is.na(shown$weight), "-", number(shown$weight)))
  )
  columns <- lapply(columns[lengths(columns) > 0L], format, justify = "right")
  pair <- paste(encodeString(as.character(shown$query)), "->", encodeString(as.character(shown$key)))
  if (dim(x)[[1L]] > 1L) pair <- sprintf("%s (batch %d)", pair, shown$batch)
  pair[is.na(shown$weight)] <- ""
  lines <- do.call(paste, c(unname(columns), list(c("", pair)), sep = "  "))
  cat(trimws(lines, "right"), sep = "\n")
  if (nrow(table) > most) cat(sprintf("... and %d more heads\n", nrow(table) - most))
  if (empty > 0L) {
    cat(sprintf(ngettext(empty, "%d row of weights is all 0: a query", "%d rows of weights are all 0: queries"), empty), "with nothing to look at\n")
  }
  invisible(x)
}

#' @rdname attention_scores
#' @export
as.data.frame.attentive_scores <- function(x, row.names = NULL, optional = FALSE, ...) {
  axes <- scores_axes(x)
  numbered <- function(name, a) if (length(a) == 1L) name else sprintf("%s_%d", name, seq_along(a))
  columns <- c(
    "batch", sprintf("axis_%d", seq_along(axes$free)), if (length(axes$head) > 0L) "head",
    numbered("query", axes$query), numbered("key", axes$key)
  )
  size <- dim(x)
  rank <- length(size)
  table <- lapply(seq_len(rank), function(a) {
    each <- prod(size[seq_len(rank) > a])
    place <- rep(rep(seq_len(size[[a]]), each = each), prod(size[seq_len(a - 1L)]))
    labels <- if (!is.null(dimnames(x))) dimnames(x)[[a]]
    if (is.null(labels)) return(place)
    structure(place, levels = unique_labels(labels), class = "factor")
  })
  names(table) <- columns
  table$weight <- as.vector(aperm(as.array(x), rev(seq_len(rank))))
  structure(table, row.names = .set_row_names(length(table$weight)), class = "data.frame")
}

# "the", "cat", "the" -> "the", "cat", "the (2)": every position keeps its own label.
unique_labels <- function(labels) {
  repeat {
    nth <- stats::ave(seq_along(labels), labels, FUN = seq_along)
    if (all(nth == 1L)) return(labels)
    labels <- ifelse(nth == 1L, labels, sprintf("%s (%d)", labels, nth))
  }
}
