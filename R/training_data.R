# Data for training and evaluation: from what a user gives to the columns of a
# data set, checked, so that the engine finds nothing wrong.

# list(
#   arrays    the inputs, then the truths, then the sample weights
#   columns   list(y =, sample_weight =): for each output the column, 0 for none
#   truths    for each output the sizes of one sample's truth, NULL where there is none
#   shapes    for each output the sizes of one sample's prediction
#   samples   how many there are
#   classes   for each output what its classes are called, NULL where they are numbers
# )
# `classes` are those of an earlier training: factors are matched with them by name.
training_data <- function(self, x, y, sample_weight = NULL, class_weight = NULL, call = NULL, args = c("x", "y", "sample_weight"),
                          classes = self$compiled$classes) {
  check_is_data(x, args[[1L]], call)
  inputs <- model_inputs(self, x, call)
  samples <- count_samples(inputs, input_names(self), call)
  for (i in seq_along(inputs)) check_no_missing(inputs[[i]], input_label(self, i), args[[1L]], call)
  shapes <- layer_output_shape(self, lapply(inputs, dim), call)
  shapes <- lapply(if (is.list(shapes)) shapes else list(shapes), function(shape) shape[-1L])
  check_not_empty(self, shapes, args[[1L]], call)
  resolved <- resolve_outputs(self, self$compiled, call)
  y <- truths_by_output(self, y, call, args[[2L]])
  classes <- class_names(y, classes)
  truths <- read_truths(self, y, classes, resolved, shapes, samples, call, args[[2L]])
  weights <- read_sample_weights(self, sample_weight, shapes, samples, call, args[[3L]])
  if (!is.null(class_weight)) {
    weights[[1L]] <- with_class_weight(self, class_weight, truths[[1L]], shapes[[1L]], weights[[1L]], classes[[1L]], call)
  }
  column <- length(inputs)
  columns <- list(y = integer(length(truths)), sample_weight = integer(length(truths)))
  arrays <- inputs
  for (kind in names(columns)) {
    given <- if (kind == "y") truths else weights
    for (i in which(!vapply(given, is.null, NA))) {
      column <- column + 1L
      columns[[kind]][[i]] <- column
      arrays[[column]] <- given[[i]]
    }
  }
  list(arrays = arrays, columns = columns, shapes = shapes, samples = samples, classes = classes,
    truths = lapply(truths, function(truth) if (!is.null(truth)) dim(truth)[-1L]))
}

# A data frame of numbers as a matrix.
frame_numbers <- function(x, what, arg, call = NULL) {
  wrong <- which(!vapply(x, function(column) is.numeric(column) || is.logical(column), NA))
  if (length(wrong) == 0L) return(as.matrix(x))
  column <- x[[wrong[[1L]]]]
  abort_attentive("argument", sprintf("The column \"%s\" of %s must be numeric, not %s.", names(x)[[wrong[[1L]]]], what, describe(column)),
    hint = if (is.factor(column) || is.character(column)) {
      if (ncol(x) == 1L) "The column alone, as a factor, is taken as classes." else "`model.matrix()` makes a column for each level."
    }, arg = arg, call = call
  )
}

check_is_data <- function(x, arg, call = NULL) {
  if (is.null(x)) abort_missing(arg, "the data of the model's inputs", call)
  if (any_symbolic(x)) abort_argument(x, arg, "an array, or a list of arrays", hint = "Call the model to apply it to symbolic tensors: `model(x)`.", call = call)
  if (is.list(x) && is.object(x) && !is.data.frame(x)) abort_argument(x, arg, "an array, or a list of arrays", call = call)
  if (is.function(x) || inherits(x, "python.builtin.object")) {
    abort_attentive("not_yet", sprintf("`%s` must be arrays; generators and data sets of other packages are not available yet.", arg), arg = arg, call = call)
  }
}

count_samples <- function(arrays, names, call = NULL) {
  counts <- vapply(arrays, function(x) dim(x)[[1L]], 0L)
  if (length(unique(counts)) > 1L) {
    abort_attentive("shape", paste0("The inputs have different numbers of samples: ",
      paste0("\"", names, "\" ", counts, collapse = ", "), "."), call = call)
  }
  if (counts[[1L]] == 0L) abort_attentive("shape", "There are no samples: the first size of the data is 0.", call = call)
  counts[[1L]]
}

# What comes out for a sample must have elements: the mean over none is no number.
check_not_empty <- function(self, shapes, arg, call = NULL) {
  for (i in which(vapply(shapes, prod, 0) == 0)) {
    abort_attentive("shape", sprintf("The output \"%s\" would have no elements: the shape %s.", output_names(self)[[i]], format_shape(c(NA, shapes[[i]]))),
      hint = sprintf("An axis of `%s` has the size 0: leave such data out.", arg), arg = arg, call = call
    )
  }
}

# The rows of an array in which something is not as it should be, in words.
say_rows <- function(wrong, size) {
  say_numbers(sort(unique((which(wrong) - 1L) %% size + 1L)))
}

# "rows 1, 2, 3"
say_numbers <- function(rows) {
  shown <- paste(utils::head(rows, 5L), collapse = ", ")
  sprintf("%s %s%s", if (length(rows) == 1L) "row" else "rows", shown, if (length(rows) > 5L) sprintf(", ... (%d in all)", length(rows)) else "")
}

check_no_missing <- function(x, what, arg, call = NULL) {
  if (!anyNA(x)) return(invisible())
  abort_attentive("argument", sprintf("There are missing values in %s: %s.", what, say_rows(is.na(x), dim(x)[[1L]])),
    hint = "Training needs complete data: drop these rows or fill them in.", arg = arg, call = call
  )
}

input_label <- function(self, i) sprintf("the input \"%s\"", input_names(self)[[i]])

say_values <- function(x) {
  found <- sort(unique(as.vector(x)))
  paste0(paste(format(utils::head(found, 5L), trim = TRUE), collapse = ", "), if (length(found) > 5L) ", ...")
}

# Truths ---------------------------------------------------------------------------

# What was given for each output, NULL for nothing.
truths_by_output <- function(self, y, call = NULL, arg = "y") {
  if (is.data.frame(y) || !is.list(y)) y <- list(y)
  if (length(self$outputs) > 1L && length(y) == 1L && is.null(y[[1L]])) y <- rep(list(NULL), length(self$outputs))
  by_output(self, y, arg, call, "arrays")
}

# What the classes of each output are called: as before, else as in its factor.
class_names <- function(y, known = NULL) {
  lapply(seq_along(y), function(i) if (!is.null(known[[i]])) known[[i]] else if (is.factor(y[[i]])) levels(y[[i]]))
}

# For each output its truth as an array, NULL where nothing looks at it.
read_truths <- function(self, y, classes, resolved, shapes, samples, call = NULL, arg = "y") {
  names <- output_names(self)
  lapply(seq_along(names), function(i) {
    kinds <- c(if (!is.null(resolved$losses[[i]])) list(resolved$losses[[i]]), resolved$metrics[[i]], resolved$weighted[[i]])
    if (length(kinds) == 0L) return(NULL)
    what <- if (length(names) == 1L) sprintf("`%s`", arg) else sprintf("`%s` of the output \"%s\"", arg, names[[i]])
    if (is.null(y[[i]])) abort_attentive("argument", sprintf("%s is missing: the model \"%s\" was compiled with %s for it.", capitalized(what), self$name,
      if (is.null(resolved$losses[[i]])) "metrics" else "a loss"), arg = arg, call = call)
    read_truth(y[[i]], kinds, shapes[[i]], samples, what, arg, call, classes[[i]])
  })
}

read_truth <- function(y, kinds, shape, samples, what, arg, call = NULL, classes = levels(y)) {
  if (is.factor(y)) y <- class_numbers(y, classes, shape, what, arg, call)
  if (is.data.frame(y)) y <- frame_numbers(y, what, arg, call)
  if (!(is.numeric(y) || is.logical(y)) || (is.object(y) && !inherits(y, c("attentive_scores", "table")))) {
    abort_attentive("argument", sprintf("%s must be a numeric array or a factor, not %s.", what, describe(y)),
      hint = if (is.character(y)) "`factor(y)` makes classes of strings.", arg = arg, call = call
    )
  }
  if (is.null(dim(y))) dim(y) <- length(y)
  if (dim(y)[[1L]] != samples) {
    abort_attentive("shape", sprintf("%s has %d samples, the inputs have %d.", what, dim(y)[[1L]], samples), arg = arg, call = call)
  }
  check_no_missing(y, what, arg, call)
  for (data in kinds) {
    if (data$kind == "function") next # it takes whatever it takes
    kind <- resolve_kind(data$kind, dim(y)[-1L], shape)
    check_truth_shape(dim(y)[-1L], kind, data$family, shape, what, arg, call)
    if (is_sparse_kind(kind)) check_labels(y, shape[[length(shape)]], data$options$ignore_class, what, arg, call)
    if (!is.null(data$counts)) check_class_id(data, if (length(shape) == 0L) 1L else shape[[length(shape)]], call)
    if (kind == "categorical_focal_crossentropy") check_alpha(data$options$alpha, shape[[length(shape)]], call)
    if (kind %in% c("binary_crossentropy", "binary_focal_crossentropy")) check_probabilities(y, what, arg, call)
  }
  y
}

# A factor as class numbers from 0: the places of its levels among `classes`.
class_numbers <- function(y, classes, shape, what, arg, call = NULL) {
  place <- match(levels(y), classes)
  unknown <- levels(y)[is.na(place) & tabulate(y, nlevels(y)) > 0L]
  if (length(unknown) > 0L) {
    abort_attentive("argument",
      sprintf("%s has the class \"%s\", which was not among those of the training: %s.", capitalized(what), unknown[[1L]], say_classes(classes)),
      hint = "`compile()` makes the model forget the classes.", arg = arg, call = call
    )
  }
  units <- if (length(shape) == 0L) 1L else shape[[length(shape)]]
  if (units == 1L && length(classes) > 2L) {
    abort_attentive("argument", sprintf("%s is a factor of %d levels, but the output has one unit, for two classes.", capitalized(what), length(classes)),
      hint = c(
        sprintf("For all of them: an output of %d units with the loss \"sparse_categorical_crossentropy\".", length(classes)),
        "`droplevels(y)` leaves out the levels that do not occur."
      ), arg = arg, call = call
    )
  }
  array(place[as.integer(y)] - 1L, length(y))
}

say_classes <- function(classes) {
  paste0(paste0("\"", utils::head(classes, 8L), "\"", collapse = ", "), if (length(classes) > 8L) sprintf(", ... (%d in all)", length(classes)) else "")
}

# Whether the sizes of a sample's truth go with those of its prediction: the
# same, a last size of 1 may be missing on either side; for labels without the
# axis of classes.
check_truth_shape <- function(truth, kind, family, shape, what, arg, call = NULL) {
  squeezed <- function(x) if (length(x) > 0L && x[[length(x)]] == 1L) x[-length(x)] else x
  sparse <- is_sparse_kind(kind)
  expected <- if (sparse) shape[-length(shape)] else shape
  if (identical(as.integer(truth), as.integer(expected)) || identical(as.integer(squeezed(truth)), as.integer(if (sparse) expected else squeezed(expected)))) {
    return(invisible())
  }
  labels <- !sparse && length(shape) > 0L && grepl("categorical", kind) && length(squeezed(truth)) == length(shape) - 1L
  sparse_name <- paste0("sparse_", kind)
  one_hot <- sparse && identical(as.integer(truth), as.integer(shape))
  abort_attentive("shape",
    sprintf("%s has the shape %s, but the %s \"%s\" needs %s for a prediction of shape %s.", what, format_shape(c(NA, truth)), family, kind,
      format_shape(c(NA, expected)), format_shape(c(NA, shape))),
    hint = c(
      "The first size is the number of samples.",
      if (labels) paste0("For class numbers: ", if (sparse_name %in% c(loss_names, metric_names)) sprintf("\"%s\", or ", sparse_name), "`to_categorical(y)`."),
      if (one_hot) sprintf("For one column per class: \"%s\".", sub("^sparse_", "", kind))
    ), arg = arg, call = call
  )
}

check_labels <- function(y, classes, ignore_class, what, arg, call = NULL) {
  wrong <- y < 0 | y >= classes
  if (is.double(y)) wrong <- wrong | y != trunc(y)
  if (!is.null(ignore_class)) wrong <- wrong & y != ignore_class
  if (!any(wrong)) return(invisible())
  abort_attentive("argument",
    sprintf("%s must hold class numbers from 0 to %d, as the model has %d %s; %s.", what, classes - 1L, classes,
      if (classes == 1L) "class" else "classes", say_wrong(y, wrong)),
    hint = if (max(y) == classes && min(y) >= 1) "These seem to count from 1: give `y - 1`, or a factor.", arg = arg, call = call
  )
}

check_alpha <- function(alpha, classes, call = NULL) {
  if (length(alpha) %in% c(1L, classes)) return(invisible())
  abort_attentive("argument", sprintf("`alpha` must be one number, or one for each of the %d classes, not %d.", classes, length(alpha)),
    arg = "alpha", call = call)
}

# For two classes: 0, 1, or a probability between them.
check_probabilities <- function(y, what, arg, call = NULL) {
  if (length(y) == 0L) return(invisible())
  range <- range(y)
  if (range[[1L]] >= 0 && range[[2L]] <= 1) return(invisible())
  abort_attentive("argument",
    sprintf("%s must hold 0, 1 or numbers between them for the binary cross-entropy; %s.", what, say_wrong(y, y < 0 | y > 1)),
    hint = c(
      if (range[[1L]] >= 1 && range[[2L]] == 2) "These seem to count from 1: give `y - 1`, or a factor.",
      if (all(y == -1 | y == 1)) "For -1 and 1: `(y + 1) / 2`."
    ), arg = arg, call = call
  )
}

# "row 3 has 7"
say_wrong <- function(y, wrong) {
  rows <- say_rows(wrong, dim(y)[[1L]])
  paste(rows, if (startsWith(rows, "rows")) "have" else "has", say_values(y[wrong]))
}

# Weights of samples ---------------------------------------------------------------

read_sample_weights <- function(self, weights, shapes, samples, call = NULL, arg = "sample_weight") {
  count <- length(shapes)
  if (is.null(weights)) return(rep(list(NULL), count))
  # one array serves all outputs
  if (!is.list(weights) || is.data.frame(weights)) weights <- rep(list(weights), count) else weights <- by_output(self, weights, arg, call, "arrays")
  Map(function(w, shape) {
    if (is.null(w)) return(NULL)
    if (is.data.frame(w)) w <- as.matrix(w)
    if (!(is.numeric(w) || is.logical(w)) || is.factor(w)) abort_argument(w, arg, "a numeric array", call = call)
    if (is.null(dim(w))) dim(w) <- length(w)
    allowed <- c(samples, shape[-length(shape)])
    if (length(dim(w)) == length(allowed) + 1L && dim(w)[[length(dim(w))]] == 1L) dim(w) <- dim(w)[-length(dim(w))]
    if (length(dim(w)) > length(allowed) || !identical(as.integer(dim(w)), as.integer(allowed[seq_along(dim(w))]))) {
      abort_attentive("shape", sprintf("`%s` must have one number for each sample, %d, not the shape %s.", arg, samples, format_shape(dim(w))),
        hint = if (length(allowed) > 1L) sprintf("Or one for each position of the output: %s.", format_shape(allowed)), arg = arg, call = call
      )
    }
    check_no_missing(w, sprintf("`%s`", arg), arg, call)
    w
  }, weights, shapes)
}

# The weights of samples from those of their classes, times `weights`.
with_class_weight <- function(self, class_weight, truth, shape, weights, names = NULL, call = NULL) {
  if (length(self$outputs) > 1L) {
    abort_attentive("argument", "`class_weight` is for models with one output.", hint = "Give `sample_weight`, a list with an array for each output.",
      arg = "class_weight", call = call)
  }
  class_weight <- check_class_weight(class_weight, names, call)
  sizes <- dim(truth)
  if (length(sizes) > 2L || (length(shape) > 1L && prod(sizes[-1L]) > 1)) {
    abort_attentive("argument", sprintf("`class_weight` needs one class for each sample; `y` has the shape %s.", format_shape(sizes)),
      hint = "Give `sample_weight`, an array with a number for each position.", arg = "class_weight", call = call)
  }
  classes <- if (length(sizes) == 2L && sizes[[2L]] > 1L) max.col(truth, ties.method = "first") - 1L else round(as.vector(truth))
  known <- if (length(shape) > 0L && shape[[length(shape)]] > 1L) seq_len(shape[[length(shape)]]) - 1L else unique(c(0:1, classes))
  unknown <- setdiff(names(class_weight), known)
  if (length(unknown) > 0L) {
    abort_attentive("name", sprintf("`class_weight` has an entry \"%s\", which is no class.", unknown[order(unknown %in% names)][[1L]]),
      hint = paste0("The classes: ", if (is.null(names)) say_values(known) else paste0(say_classes(names), ", or their numbers from 0"), "."),
      arg = "class_weight", call = call
    )
  }
  found <- class_weight[as.character(classes)]
  own <- array(ifelse(is.na(found), 1, found), sizes[[1L]])
  if (is.null(weights)) own else weights * as.vector(own)
}

# Numbers named by the numbers of the classes; `classes` are the names that they have, too.
check_class_weight <- function(x, classes = NULL, call = NULL) {
  numbers <- if (typeof(x) == "list" && all(lengths(x) == 1L)) unlist(x) else x
  given <- names(numbers)
  fits <- is.numeric(numbers) && !is.null(given) && all(is.finite(numbers)) && !anyDuplicated(given)
  if (fits && length(given) > 0L && all(given %in% classes)) {
    names(numbers) <- match(given, classes) - 1L
    return(numbers)
  }
  if (fits && (!is.null(classes) || all(grepl("^[0-9]+$", given)))) return(numbers)
  abort_argument(x, "class_weight", "a list of numbers named by the classes, which count from 0",
    hint = "For example `list(\"0\" = 1, \"1\" = 5)`, or the levels of a factor. Classes that are not named have the weight 1.", call = call
  )
}

# Rows -----------------------------------------------------------------------------

# Which rows are trained on and which validated with.
split_rows <- function(samples, split, call = NULL) {
  split <- check_number(split, "validation_split", 0, 1, call = call)
  if (split == 0) return(list(train = seq_len(samples), validate = integer()))
  kept <- floor(samples * (1 - split))
  if (kept < 1 || kept >= samples) {
    abort_attentive("argument",
      sprintf("`validation_split = %s` of %d samples leaves none for %s.", format(split), samples, if (kept < 1) "training" else "validation"),
      arg = "validation_split", call = call
    )
  }
  list(train = seq_len(kept), validate = seq.int(kept + 1, samples))
}

# validation_data: list(x, y) or list(x, y, sample_weight), maybe named.
read_validation <- function(self, data, classes, call = NULL) {
  known <- c("x", "y", "sample_weight")
  fits <- is.list(data) && !is.data.frame(data) && length(data) %in% 2:3 &&
    (is.null(names(data)) || all(names(data) == "") || all(names(data) %in% c(known, "x_val", "y_val", "val_sample_weights")))
  if (!fits) {
    abort_argument(data, "validation_data", "a list of `x`, `y` and maybe `sample_weight`", call = call)
  }
  if (!is.null(names(data)) && all(names(data) != "")) {
    place <- match(sub("_val$", "", sub("val_sample_weights", "sample_weight", names(data))), known)
    data <- data[order(place)]
  }
  training_data(self, data[[1L]], data[[2L]], if (length(data) == 3L) data[[3L]], NULL, call,
    c("validation_data[[1]]", "validation_data[[2]]", "validation_data[[3]]"), classes)
}

new_dataset <- function(self, arrays, threads) {
  dataset_create(lapply(arrays, function(x) if (is.object(x)) array(as.vector(x), dim(x)) else x), model_program(self)$float64, threads)
}
