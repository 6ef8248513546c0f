# Shapes: sizes of axes, some of them unknown.

#' Shapes of arrays and tensors
#'
#' `shape()` writes down the sizes of axes; `NA`, `NULL` and -1 stand for a size that is not known yet, such as the batch.
#'
#' @param ... Sizes: whole numbers, `NA` or `NULL` for unknown ones, or arrays and other shapes, whose sizes are spliced in.
#' @return A list of integers, `NULL` where unknown, with the class `keras_shape`.
#' @section Errors: `attentive_error_shape` for anything else than whole numbers and `NA`.
#' @examples
#' shape(NA, 4, 6)
#' unlist(shape(2, 3))
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
