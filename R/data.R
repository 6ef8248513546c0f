# Helpers that bring data into the form that models take.

#' Classes as rows of 0 and 1
#'
#' @param x Class ids: whole numbers from 0, an array of any dim; or a factor, whose levels are the classes.
#' @param num_classes The number of classes; by default one more than the largest id.
#' @return An array with one more dimension, of size `num_classes`: 1 at the class, 0 elsewhere. A last dimension of size 1 is dropped before.
#' @section Errors: `attentive_error_argument` for ids that are no class.
#' @family models
#' @examples
#' to_categorical(c(0, 2, 1))
#' to_categorical(factor(c("yes", "no")))
#' @export
to_categorical <- function(x, num_classes = NULL) {
  call <- environment()
  num_classes <- check_whole(num_classes, "num_classes", null = TRUE, call = call)
  labels <- NULL
  if (is.factor(x)) {
    labels <- levels(x)
    if (is.null(num_classes)) num_classes <- length(labels)
    x <- as.integer(x) - 1L
  }
  if (!(is.numeric(x) || is.logical(x)) || is.object(x) || length(x) == 0L) {
    abort_argument(x, "x", "class ids: whole numbers from 0, or a factor", call = call)
  }
  if (is.null(num_classes)) num_classes <- as.integer(max(x, 0, na.rm = TRUE)) + 1L
  wrong <- which(is.na(x) | x < 0 | x != trunc(x) | x >= num_classes)
  if (length(wrong) > 0L) {
    at <- wrong[[1L]]
    abort_attentive("argument", sprintf("`x` must hold class ids from 0 to %d; %s stands at place %d.", num_classes - 1L, format(x[[at]]), at),
      hint = if (is.na(x[[at]])) "A missing value has no class: leave such elements out, or give them a class of their own." else
        "Classes count from 0: subtract 1, or give a factor.", arg = "x", call = call
    )
  }
  shape <- array_dim(x)
  if (length(shape) > 1L && shape[[length(shape)]] == 1L) shape <- shape[-length(shape)]
  made <- array(0, c(length(x), num_classes))
  made[cbind(seq_along(x), as.vector(x) + 1L)] <- 1
  made <- array(made, c(shape, num_classes))
  if (length(labels) == num_classes && length(shape) == 1L) colnames(made) <- labels
  made
}

#' Sequences of one length
#'
#' Makes a matrix of sequences of different lengths: short ones are filled up, long ones are cut.
#'
#' @param sequences A list of vectors, for example of token ids.
#' @param maxlen The length of all; by default that of the longest.
#' @param dtype `"int32"`, `"float32"` or `"float64"`.
#' @param padding,truncating `"pre"` or `"post"`: whether to fill up or cut at the beginning or at the end.
#' @param value What to fill up with.
#' @return A matrix, one sequence a row; integer for `"int32"`.
#' @section Errors: `attentive_error_argument` where `sequences` is no list of numbers.
#' @family models
#' @examples
#' pad_sequences(list(c(3, 5), 7, c(1, 2, 4)), padding = "post")
#' @export
pad_sequences <- function(sequences, maxlen = NULL, dtype = "int32", padding = "pre", truncating = "pre", value = 0) {
  call <- environment()
  maxlen <- check_whole(maxlen, "maxlen", null = TRUE, call = call)
  dtype <- check_choice(dtype, "dtype", c("int32", "int64", "float32", "float64"), call = call)
  padding <- check_choice(padding, "padding", c("pre", "post"), call = call)
  truncating <- check_choice(truncating, "truncating", c("pre", "post"), call = call)
  value <- check_number(value, "value", call = call)
  if (!is.list(sequences) || is.data.frame(sequences) || length(sequences) == 0L) {
    abort_argument(sequences, "sequences", "a list of vectors", hint = if (is.numeric(sequences)) "One sequence: `list(x)`.", call = call)
  }
  numbers <- vapply(sequences, function(x) is.numeric(x) || is.logical(x) || is.null(x), NA)
  if (!all(numbers)) {
    wrong <- which(!numbers)[[1L]]
    abort_argument(sequences[[wrong]], sprintf("sequences[[%d]]", wrong), "a vector of numbers", call = call)
  }
  if (is.null(maxlen)) maxlen <- max(lengths(sequences), 1L)
  rows <- vapply(sequences, function(x) {
    x <- as.double(x)
    if (length(x) > maxlen) x <- if (truncating == "pre") x[seq(length(x) - maxlen + 1L, length(x))] else x[seq_len(maxlen)]
    fill <- rep(value, maxlen - length(x))
    if (padding == "pre") c(fill, x) else c(x, fill)
  }, numeric(maxlen))
  made <- if (maxlen == 1L) matrix(rows, ncol = 1L) else t(rows)
  if (startsWith(dtype, "int")) storage.mode(made) <- "integer"
  dimnames(made) <- if (!is.null(names(sequences))) list(names(sequences), NULL)
  made
}
