# Shapes: sizes of axes, some of them unknown.

#' Shapes of arrays and tensors
#'
#' `shape()` writes down the sizes of axes; `NA`, `NULL` and -1 stand for a size that is not known yet, such as the batch.
#'
#' @param ... Sizes: whole numbers, `NA` or `NULL` for unknown ones, or arrays and other shapes, whose sizes are spliced in.
#' @return A list of integers, `NULL` where unknown, with the class `keras_shape`. `==` and `!=` compare two shapes as a whole, `[` gives a shape, and `prod()`, `max()` and
#'   their like compute with the sizes: `NA` where one is unknown.
#' @section Errors: `attentive_error_shape` for anything else than whole numbers and `NA`.
#' @examples
#' shape(NA, 4, 6)
#' unlist(shape(2, 3))
#' shape(NA, 4) == shape(NA, 4)
#' prod(shape(5, 4, 6)[-1])
#' @export
shape <- function(...) {
  new_shape(unlist(lapply(list(...), function(part) {
    if (is.null(part)) return(NA_integer_)
    if (is.list(part) || !is.null(dim(part))) return(as_shape(if (is.list(part)) part else dim(part), "..."))
    as_shape(part, "...")
  })))
}

# From an integer vector with NA to the list that users see.
new_shape <- function(sizes) {
  sizes <- as.integer(sizes)
  structure(lapply(sizes, function(size) if (is.na(size)) NULL else size), class = "keras_shape")
}

# From whatever a user gives to an integer vector with NA.
as_shape <- function(x, arg, call = NULL) {
  sizes <- if (!is.atomic(x) && typeof(x) != "list") {
    list() # not even a vector
  } else if (is.list(x)) {
    lapply(unclass(x), function(size) if (is.null(size)) NA_integer_ else size)
  } else {
    as.list(x)
  }
  whole <- vapply(sizes, function(size) {
    length(size) == 1L && (is.numeric(size) || is.logical(size)) &&
      (is.na(size) || (is.numeric(size) && size == trunc(size) && size >= -1 && size <= .Machine$integer.max))
  }, NA)
  if (is.null(x) || length(sizes) == 0L || is.character(x) || !all(whole)) {
    abort_argument(x, arg, "a shape: whole numbers, NA where a size is unknown", call = call, class = "shape")
  }
  sizes <- vapply(sizes, as.integer, 0L)
  sizes[!is.na(sizes) & sizes == -1L] <- NA_integer_
  sizes
}

#' @export
format.keras_shape <- function(x, ...) {
  sizes <- vapply(unclass(x), function(size) if (is.null(size)) "NA" else format(size), "")
  paste0("shape(", paste(sizes, collapse = ", "), ")")
}

#' @export
print.keras_shape <- function(x, ...) {
  cat(format(x), "\n", sep = "")
  invisible(x)
}

#' @export
as.integer.keras_shape <- function(x, ...) {
  vapply(unclass(x), function(size) if (is.null(size)) NA_integer_ else as.integer(size), 0L)
}

#' @export
`[.keras_shape` <- function(x, i) structure(unclass(x)[i], class = "keras_shape")

# Of two shapes, or of a shape and what can be read as one: one answer.
#' @export
`==.keras_shape` <- function(e1, e2) {
  sizes <- function(x) if (inherits(x, "keras_shape")) unname(unclass(x)) else if (length(x) == 0L) list() else unclass(shape(x))
  identical(sizes(e1), sizes(e2))
}

#' @export
`!=.keras_shape` <- function(e1, e2) !`==.keras_shape`(e1, e2)

#' @export
Summary.keras_shape <- function(..., na.rm = FALSE) {
  parts <- lapply(list(...), function(part) if (inherits(part, "keras_shape")) as.integer(part) else part)
  do.call(.Generic, c(parts, na.rm = na.rm))
}

# For `c(batch, length) %<-% op_shape(x)[1:2]`.
#' @importFrom zeallot destructure
#' @export
destructure.keras_shape <- function(x) unclass(x)
