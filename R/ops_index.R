# Parts of tensors: `[`, slices, splits, chosen places, sorting.

#' Parts of tensors
#'
#' Symbolic tensors take `[` as tensors of keras3 do, and `op_subset()` is the same for tensors and arrays; `op_slice()` takes a block, `op_split()` and `op_unstack()`
#' cut along an axis, `op_flip()` turns axes around.
#'
#' @section Differences from R's own `[`:
#' In `x[i, j, ...]` indices stand in the order of the axes, the batch first. On tensors `[` means what it means in keras3:
#'
#' - **Negative places count from the end**, as in Python: nothing is left out. `x[, -1, ]` is the last step, `x[, c(-2, -1), ]` are the last two, `x[, c(1, -1), ]` the first and
#'   the last. All but the last are `x[, 1:-2, ]`, all but the first `x[, 2:NA, ]`.
#' - The axis of a single number goes, every other axis stays, whatever its size: `x[, 2:2, ]` has three axes, `x[, 2, ]` two. With `drop = FALSE` it stays, too.
#' - Axes without an index are taken whole: `x[1]` is the first element of the batch. `..` stands for all axes that have no index: `x[.., 1]`.
#' - `NULL`, or the word `newaxis`, makes a new axis of size 1.
#' - A range that is written with `:` may end at a negative place, be open at an `NA`, and have a step: `x[, NA:NA:2, ]` is every second step. Without a step `4:1`
#'   goes backwards, as in R.
#'
#' On arrays `[` remains R's.
#'
#' @details
#' An index may also be a logical vector with one `TRUE` or `FALSE` a place, repeated as in R; a size that [op_shape()] gave; or one symbolic tensor of places.
#' Indices along the batch make the elements of a batch hang together. In an axis of unknown size places are checked when the model runs. Arrays of more than one axis
#' cannot be indices.
#'
#' Source: the documentation of `op_subset()` of keras3, and of `keras.ops`.
#'
#' @param x,inputs A symbolic tensor, or an array.
#' @param ... Indices, at most one for every axis and any number of `NULL`.
#' @param drop Whether the axes of single numbers go.
#' @param start_indices The first place of every axis, counted from 1.
#' @param shape How many of every axis.
#' @param indices_or_sections In how many equal parts, or after how many places each cut is.
#' @param axis The axis, counted from 1 with the batch as 1; negative ones from the end. `NULL` for `op_flip()`: all.
#' @param num The number of parts, where it is not known.
#' @return A symbolic tensor, or an array; lists of them for `op_split()` and `op_unstack()`.
#' @section Errors: `attentive_error_shape` where an index reaches beyond its axis, `attentive_error_argument` for other indices; else see [attentive_errors].
#' @family operations
#' @name op_slice
#' @aliases [.attentive_tensor
#' @examples
#' x <- keras_input(c(5, 8))
#' x[, -1, ] # the last step
#' x[, 1:-2, ] # all but the last
#' x[, 2:5, c(1, -1)]
#' op_subset(matrix(1:12, 3), -1)
#' op_split(array(1:12, c(2, 6)), 3, axis = 2)[[1]]
NULL

#' @rdname op_slice
#' @export
`[.attentive_tensor` <- function(x, ..., drop = TRUE) {
  call <- environment()
  take_indices(x, rlang::enquos(..., .ignore_empty = "none"), check_flag(drop, "drop", call = call), call)
}

#' @rdname op_slice
#' @export
op_subset <- function(x, ...) {
  call <- environment()
  take_indices(as_operand(x, 1L, 1L, call), rlang::enquos(..., .ignore_empty = "none"), TRUE, call)
}

# `written` are quosures: a range means more than the vector that R would make of it.
take_indices <- function(x, written, drop, call = NULL) {
  rank <- length(operand_shape(x))
  named <- Filter(nzchar, names(written))
  if (length(named) > 0L) abort_attentive("name", sprintf("An index has no name: `%s`.", named[[1L]]), call = call)
  given <- length(written)
  written <- fill_indices(unname(as.list(written)), rank)
  is_new <- vapply(written, is.null, NA)
  if (sum(!is_new) > rank) {
    abort_attentive("argument", sprintf("A tensor of shape %s takes at most %d indices, not %d.", format_shape(operand_shape(x)), rank, sum(!is_new)),
      hint = "One for every axis, the batch first: `x[, 1, ]`; `NULL` makes a new axis.", call = call
    )
  }
  indices <- lapply(seq_len(rank), function(axis) read_index(written[!is_new][[axis]], axis, x, call))
  alone <- vapply(indices, function(index) isTRUE(index$single), NA)
  note_unlike_r(given != rank || any(is_new) || any(vapply(indices, function(index) identical(index$count, 1L) && !isTRUE(index$single), NA)) ||
    any(operand_shape(x)[!alone][-1L] == 1L, na.rm = TRUE))
  single <- drop & alone
  if (any(vapply(indices, function(index) !is.null(index$start), NA))) x <- slice_tensor(x, indices, call)
  for (axis in seq_along(indices)) if (!is.null(indices[[axis]]$places)) x <- take_places(x, indices[[axis]]$places, axis, call)
  if (any(single)) x <- apply_operation("squeeze", list(x), list(axis = which(single) - 1L), call)
  # the new axes among those that stay
  stays <- is_new
  stays[!is_new] <- !single
  new <- which(is_new[stays | is_new])
  if (length(new) == 0L) x else apply_operation("expand_dims", list(x), list(axis = new - 1L), call)
}

# Where `[` on an array would give something else: a function that is traced is then not compared with what it does to arrays.
note_unlike_r <- function(differs) if (isTRUE(differs)) session$unlike_r <- TRUE

# What was written for every axis: values and ranges, TRUE where nothing was; NULL for a new axis.
fill_indices <- function(written, rank) {
  written <- lapply(written, function(quo) {
    expression <- rlang::quo_get_expr(quo)
    if (rlang::quo_is_missing(quo)) return(TRUE)
    if (identical(expression, quote(..))) return(quote(..))
    if (identical(expression, quote(newaxis))) return(NULL)
    if (rlang::is_call(expression, ":")) read_range(expression, rlang::quo_get_env(quo)) else rlang::eval_tidy(quo)
  })
  if (rank == 0L && identical(written, list(TRUE))) return(list()) # x[]
  dots <- vapply(written, identical, NA, quote(..))
  lacking <- max(0L, rank - sum(!dots & !vapply(written, is.null, NA)))
  at <- if (any(dots)) which(dots)[[1L]] else length(written) + 1L
  c(written[seq_len(at - 1L)], rep(list(TRUE), lacking), written[-seq_len(at)])
}

# from:to or from:to:step
read_range <- function(expression, frame) {
  step <- NULL
  if (rlang::is_call(expression[[2L]], ":")) {
    step <- eval(expression[[3L]], frame)
    expression <- expression[[2L]]
  }
  end <- function(i) {
    value <- eval(expression[[i]], frame)
    if (is.null(value)) NA else value
  }
  structure(list(from = end(2L), to = end(3L), step = step), class = "attentive_range")
}

# An index as list(start =, step =, count =) with the start counted from 0, or list(places =), an array or a tensor, or
# list() for all; `single` where the axis goes.
read_index <- function(i, axis, x, call = NULL) {
  size <- operand_shape(x)[[axis]]
  if (is.logical(i) && identical(as.vector(i), TRUE)) return(list())
  if (inherits(i, "attentive_range")) return(range_index(i, axis, x, call))
  if (is_size(i)) return(list(start = i - 1L, step = 1L, count = 1L, single = TRUE))
  if (is_symbolic(i)) return(list(places = i, single = length(i[["shape"]]) == 0L))
  picked <- is.logical(i) && !anyNA(i) && length(dim(i)) < 2L
  if (picked) {
    if (is.na(size) || length(i) > size || length(i) == 0L) abort_index(i, axis, call)
    i <- which(rep_len(i, size))
  }
  if (!is.numeric(i) || is.object(i) || length(dim(i)) > 1L || anyNA(i) || any(i != trunc(i)) || any(i == 0)) abort_index(i, axis, call)
  note_unlike_r(any(i < 0))
  places <- place_index(i, axis, size, call)
  single <- length(i) == 1L && !picked
  step <- if (length(i) > 1L) unique(diff(places)) else 1
  ranged <- length(step) == 1L && step != 0 && (length(i) == 0L || all(places > 0))
  if (ranged) return(list(start = if (length(i) > 0L) places[[1L]] - 1L else 0L, step = step, count = length(i), single = single))
  if (single) return(list(start = op_shape(x)[[axis]] + as.integer(places), step = 1L, count = 1L, single = TRUE))
  list(places = array(as.integer(places), length(places)), single = FALSE)
}

# Negative places as those that they mean, where the size is known.
place_index <- function(i, axis, size, call = NULL) {
  if (is.na(size)) return(as.vector(i))
  wrong <- abs(i) > size
  if (any(wrong)) {
    abort_attentive("shape", sprintf("Axis %d has %d places: there is no place %d.", axis, size, as.integer(i[wrong][[1L]])), call = call)
  }
  as.vector(ifelse(i < 0, size + 1L + i, i))
}

# A range of places; sizes that are not known yet are computed with.
range_index <- function(range, axis, x, call = NULL) {
  size <- operand_shape(x)[[axis]]
  whole <- function(i) is.numeric(i) && !is.object(i) && length(i) == 1L && (is.na(i) || (i == trunc(i) && i != 0))
  for (i in range) if (!is.null(i) && !is_size(i) && !whole(i) && !identical(i, NA)) abort_index(i, axis, call)
  open <- function(i) !is_symbolic(i) && is.na(i)
  note_unlike_r(any(vapply(range, function(i) !is.null(i) && !is_symbolic(i) && (is.na(i) || i < 0), NA)))
  step <- if (is.null(range$step) || open(range$step)) NULL else range$step
  if (is_size(step)) abort_index(step, axis, call)
  backwards <- if (!is.null(step)) step < 0 else runs_down(range$from, range$to)
  step <- if (is.null(step)) if (backwards) -1L else 1L else as.integer(step)
  ends <- if (backwards) c(-1L, 1L) else c(1L, -1L)
  from <- if (open(range$from)) ends[[1L]] else range$from
  to <- if (open(range$to)) ends[[2L]] else range$to
  if (step == 1L && identical(c(from, to), c(1, -1))) return(list())
  place <- function(i) {
    if (is_size(i)) return(i)
    i <- as.integer(place_index(i, axis, size, call))
    if (i > 0L) i else op_shape(x)[[axis]] + (i + 1L)
  }
  from <- place(from)
  to <- place(to)
  count <- (if (backwards) from - to else to - from) %/% abs(step) + 1L
  if (is.numeric(count)) count <- max(count, 0L)
  if (identical(count, 0L)) from <- 1L
  list(start = from - 1L, step = step, count = count)
}

runs_down <- function(from, to) {
  if (is_symbolic(from) || is_symbolic(to) || is.na(from) || is.na(to)) return(FALSE)
  sign(from) == sign(to) && from > to
}

abort_index <- function(i, axis, call = NULL) {
  abort_argument(i, sprintf("index %d", axis), "whole numbers from 1, or negative ones that count from the end, or one TRUE or FALSE a place", call = call)
}

take_places <- function(x, places, axis, call = NULL) {
  if (length(operand_shape(places)) > 1L) abort_argument(places, sprintf("index %d", axis), "a tensor of one axis, or none", call = call)
  if (dtype_of(places) == "bool") {
    abort_attentive("not_yet", sprintf("Index %d is a logical tensor: how many places it picks is not known while a model is put together.", axis),
      hint = "`op_where()` puts other numbers in the places that are not wanted.", call = call
    )
  }
  if (length(operand_shape(places)) == 0L) places <- op_reshape(places, 1L)
  apply_operation("take", list(x, places), list(axis = axis - 1L, base = 1), call)
}

# The ranges among the indices as one slice; the sizes that they hold are operands.
slice_tensor <- function(x, indices, call = NULL) {
  starts <- rep(list(number_rules(0L)), length(indices))
  sizes <- lapply(seq_along(indices), function(axis) axis_rules(keep = axis))
  steps <- rep(1, length(indices))
  refs <- list()
  for (axis in seq_along(indices)) {
    index <- indices[[axis]]
    if (is.null(index$start)) next
    held <- collect_sizes(list(index$start, index$count), 1L + length(refs))
    refs <- c(refs, held$refs)
    starts[[axis]] <- c(held$rules[[1L]], close_rule)
    sizes[[axis]] <- c(held$rules[[2L]], close_rule)
    steps[[axis]] <- index$step
  }
  apply_operation("slice", c(list(x), refs),
    list(starts = unlist(starts), steps = as.double(steps), sizes = unlist(sizes), refs = length(refs)), call)
}

#' @rdname op_slice
#' @export
op_slice <- function(inputs, start_indices, shape) {
  call <- environment()
  inputs <- as_operand(inputs, 1L, 1L, call)
  own <- operand_shape(inputs)
  start <- as_sizes(lapply(as.list(start_indices), function(i) i - 1L), "start_indices", call, first = 1L)
  size <- as_sizes(shape, "shape", call, first = 1L + length(start$refs))
  # a start of 0 has become one that is open
  if (length(split_rules(start$sizes)) != length(own) || any(evaluate_number_rules(start$sizes) < 0)) {
    abort_argument(start_indices, "start_indices", sprintf("%d places, counted from 1", length(own)), call = call, class = "shape")
  }
  rules <- split_rules(size$sizes)
  if (length(rules) != length(own)) abort_argument(shape, "shape", sprintf("%d sizes", length(own)), call = call, class = "shape")
  rules <- lapply(seq_along(rules), function(axis) {
    rule <- rules[[axis]]
    # all of an axis: by reference, so that it holds for every part of a batch
    open <- is_number_rule(rule) && (rule[[2L]] == -1 || (axis == 1L && identical(as.integer(rule[[2L]]), own[[1L]])))
    if (open) axis_rules(keep = axis) else c(rule, close_rule)
  })
  refs <- c(start$refs, size$refs)
  apply_operation("slice", c(list(inputs), refs),
    list(starts = start$sizes, steps = rep(1, length(own)), sizes = unlist(rules), refs = length(refs)), call)
}

# The sizes that are plain numbers; 0 for others.
evaluate_number_rules <- function(rules) vapply(split_rules(rules), function(rule) if (is_number_rule(rule)) rule[[2L]] else 0, 0)

# Part of one axis: `count` places from `start`, counted from 0, `step` apart; NULL as count: what is left of it.
slice_axis <- function(x, axis, start, count, step = 1L, call = NULL) {
  rank <- length(operand_shape(x))
  starts <- rep(list(number_rules(0L)), rank)
  sizes <- lapply(seq_len(rank), function(i) axis_rules(keep = i))
  steps <- rep(1, rank)
  starts[[axis + 1L]] <- if (start < 0) c(1, 0, axis, 0, -start, 0, size_codes[["subtract"]], 0, 0, close_rule) else number_rules(start)
  sizes[[axis + 1L]] <- if (is.null(count)) c(1, 0, axis, 0, start, 0, size_codes[["subtract"]], 0, 0, close_rule) else count
  steps[[axis + 1L]] <- step
  apply_operation("slice", list(x), list(starts = unlist(starts), steps = steps, sizes = unlist(sizes), refs = 0L), call)
}

#' @rdname op_slice
#' @export
op_split <- function(x, indices_or_sections, axis = 1L) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  axis <- place_axes(check_axis(axis, "axis", call = call), shape, call)
  size <- shape[[axis + 1L]]
  several <- is.list(indices_or_sections) || length(indices_or_sections) > 1L
  at <- check_wholes(indices_or_sections, "indices_or_sections", min = if (several) 0L else 1L, call = call)
  if (!several) {
    if (is.na(size) || size %% at != 0L) {
      abort_attentive("shape", sprintf("Axis %d of what has the shape %s cannot be split into %d equal parts.", axis + 1L, format_shape(shape), at),
        hint = "`indices_or_sections` can be the places of the cuts.", arg = "indices_or_sections", call = call
      )
    }
    at <- seq_len(at - 1L) * (size %/% at)
  }
  if (is.unsorted(at)) abort_argument(indices_or_sections, "indices_or_sections", "places in increasing order", call = call)
  starts <- c(0L, at)
  lapply(seq_along(starts), function(i) {
    slice_axis(x, axis, starts[[i]], if (i < length(starts)) number_rules(starts[[i + 1L]] - starts[[i]]), call = call)
  })
}

#' @rdname op_slice
#' @export
op_unstack <- function(x, num = NULL, axis = 1L) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  axis <- place_axes(check_axis(axis, "axis", call = call), shape, call)
  num <- check_whole(num, "num", null = TRUE, call = call)
  size <- shape[[axis + 1L]]
  if (is.na(size) && is.null(num)) abort_missing("num", "how many parts there are, because the size of the axis is not known", call)
  lapply(seq_len(if (is.na(size)) num else size), function(i) {
    apply_operation("squeeze", list(slice_axis(x, axis, i - 1L, number_rules(1L), call = call)), list(axis = axis), call)
  })
}

#' @rdname op_slice
#' @export
op_flip <- function(x, axis = NULL) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  shape <- operand_shape(x)
  axes <- if (is.null(axis)) seq_along(shape) - 1L else place_axes(read_axes(axis, call), shape, call)
  for (axis in axes) x <- slice_axis(x, axis, -1L, axis_rules(keep = axis + 1L), -1L, call)
  x
}

#' Take places
#'
#' `op_take()` takes the same places of an axis everywhere; `op_take_along_axis()` places of their own for every line; `op_top_k()` the largest numbers
#' along the last axis with their places; `op_argsort()` the places in order, `op_sort()` the numbers.
#'
#' @details
#' Places count from 1, as in keras3; `zero_indexed = TRUE` counts from 0 where keras3 has it. Negative ones count from the end. There is a gradient for
#' the numbers, not for the places. Equal numbers stay in their order. Source: the documentation of `keras.ops`.
#'
#' @param x A symbolic tensor, or an array.
#' @param indices Places: whole numbers, an array or a symbolic tensor of any shape; for `op_take_along_axis()` of the shape of `x` but for the axis.
#' @param axis The axis, counted from 1 with the batch as 1; negative ones from the end. `NULL`: `x` as one row.
#' @param k How many.
#' @param sorted Accepted; the result is always in decreasing order.
#' @param zero_indexed Whether places count from 0.
#' @return A symbolic tensor, or an array; `op_top_k()`: `list(values, indices)`.
#' @section Errors: `attentive_error_argument` for a place that there is not, `attentive_error_shape` where shapes do not fit; else see [attentive_errors].
#' @family operations
#' @examples
#' op_take(c(10, 20, 30), c(3, 1))
#' op_top_k(c(5, 2, 7, 1), k = 2)
#' @export
op_take <- function(x, indices, axis = NULL) {
  call <- environment()
  if (is.null(axis)) x <- op_reshape(x, -1L)
  axis <- if (is.null(axis)) 0L else check_axis(axis, "axis", call = call)
  apply_operation("take", list(x, indices), list(axis = axis, base = 1), call)
}

#' @rdname op_take
#' @export
op_take_along_axis <- function(x, indices, axis = NULL) {
  call <- environment()
  if (is.null(axis)) {
    x <- op_reshape(x, -1L)
    indices <- op_reshape(indices, -1L)
  }
  axis <- if (is.null(axis)) 0L else check_axis(axis, "axis", call = call)
  apply_operation("take_along_axis", list(x, indices), list(axis = axis, base = 1), call)
}

#' @rdname op_take
#' @export
op_top_k <- function(x, k, sorted = TRUE, zero_indexed = FALSE) {
  call <- environment()
  k <- check_whole(k, "k", call = call)
  zero_indexed <- check_flag(zero_indexed, "zero_indexed", call = call)
  places <- apply_operation("argsort", list(x), list(axis = -1L, decreasing = TRUE, count = k, base = 1), call)
  values <- apply_operation("take_along_axis", list(x, places), list(axis = -1L, base = 1), call)
  list(values = values, indices = if (zero_indexed) op_subtract(places, 1L) else places)
}

#' @rdname op_take
#' @export
op_argsort <- function(x, axis = -1L, zero_indexed = FALSE) {
  call <- environment()
  zero_indexed <- check_flag(zero_indexed, "zero_indexed", call = call)
  if (is.null(axis)) x <- op_reshape(x, -1L)
  axis <- if (is.null(axis)) 0L else check_axis(axis, "axis", call = call)
  apply_operation("argsort", list(x), list(axis = axis, decreasing = FALSE, base = if (zero_indexed) 0 else 1), call)
}

#' @rdname op_take
#' @export
op_sort <- function(x, axis = -1L) {
  call <- environment()
  axis <- check_axis(axis, "axis", call = call)
  places <- apply_operation("argsort", list(x), list(axis = axis, decreasing = FALSE, base = 1), call)
  apply_operation("take_along_axis", list(x, places), list(axis = axis, base = 1), call)
}

#' Classes as rows of 0 and 1
#'
#' @param x Class ids: whole numbers, an array or a symbolic tensor of any shape; or a factor.
#' @param num_classes The number of classes; that of the levels for a factor.
#' @param axis Where the new axis will stand, counted from 1; -1 is the end.
#' @param dtype The type of what comes out.
#' @param sparse Not available.
#' @param zero_indexed Whether the first class is 0; else it is 1.
#' @return A symbolic tensor or an array with one more axis, of size `num_classes`: 1 at the class, 0 elsewhere; all 0 for an id that is no class. Source:
#'   the documentation of `keras.ops`.
#' @inheritSection op_sum Errors
#' @family operations
#' @seealso [to_categorical()], whose classes count from 0.
#' @examples
#' op_one_hot(c(2, 1, 3), num_classes = 3)
#' @export
op_one_hot <- function(x, num_classes, axis = -1L, dtype = NULL, sparse = FALSE, zero_indexed = FALSE) {
  call <- environment()
  if (is.factor(x)) {
    if (missing(num_classes) || is.null(num_classes)) num_classes <- nlevels(x)
    x <- as.integer(x) - if (isTRUE(zero_indexed)) 1L else 0L
  }
  if (missing(num_classes)) abort_missing("num_classes", "the number of classes", call)
  num_classes <- check_whole(num_classes, "num_classes", call = call)
  zero_indexed <- check_flag(zero_indexed, "zero_indexed", call = call)
  dtype <- full_dtype(dtype, config_floatx(), call)
  x <- as_operand(x, 1L, 1L, call)
  rank <- length(operand_shape(x)) + 1L
  place <- place_axes(check_axis(axis, "axis", call = call), operand_shape(x), call, rank)
  classes <- array(seq_len(num_classes) - if (zero_indexed) 1L else 0L, c(rep(1L, place), num_classes, rep(1L, rank - place - 1L)))
  # what is lined up from the right needs no axes before
  if (place > 0L) classes <- array(classes, dim(classes)[-seq_len(place)])
  op_cast(op_equal(apply_operation("expand_dims", list(x), list(axis = place), call), classes), dtype)
}
