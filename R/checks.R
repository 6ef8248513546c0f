# Checks of single arguments. Each returns the value in its canonical form or
# raises a classed error that names the argument. They run at every
# construction, so the path without an error is plain base R.

# A whole number as an integer; 2 and 2L are both fine, 2.7 is not.
check_whole <- function(x, arg, min = 1L, null = FALSE, call = NULL) {
  if (is.null(x) && null) return(NULL)
  if (is.numeric(x) && length(x) == 1L && !is.object(x) && !is.na(x) && x >= min &&
    x <= .Machine$integer.max && x == trunc(x)) {
    return(as.integer(x))
  }
  abort_argument(x, arg, whole_number(min, null), call = call)
}

whole_number <- function(min, null = FALSE) {
  paste0(
    if (min == 1L) "a positive whole number" else sprintf("a whole number of at least %d", min),
    if (null) " or NULL"
  )
}

# One or several whole numbers (a vector or a list of them) as an integer vector.
check_wholes <- function(x, arg, min = 1L, null = FALSE, call = NULL, hint = NULL) {
  if (is.null(x) && null) return(NULL)
  values <- if (typeof(x) == "list" && (!is.object(x) || inherits(x, "keras_shape")) && all(lengths(x) == 1L)) unlist(x) else x
  if (is.numeric(values) && length(values) >= 1L && !is.factor(values) && !anyNA(values) &&
    all(values >= min) && all(values <= .Machine$integer.max) && all(values == trunc(values))) {
    return(as.integer(values))
  }
  expected <- if (min == 1L) "positive whole numbers" else sprintf("whole numbers of at least %d", min)
  abort_argument(x, arg, paste0(expected, if (null) " or NULL"), hint = hint, call = call)
}

# A finite number in [min, max].
check_number <- function(x, arg, min = -Inf, max = Inf, null = FALSE, call = NULL, hint = NULL) {
  if (is.null(x) && null) return(NULL)
  if (is.numeric(x) && length(x) == 1L && !is.factor(x) && is.finite(x) && x >= min && x <= max) {
    return(as.double(x))
  }
  range <- if (is.finite(min) && is.finite(max)) {
    sprintf(" between %s and %s", format(min), format(max))
  } else if (is.finite(min)) {
    sprintf(" of at least %s", format(min))
  } else if (is.finite(max)) {
    sprintf(" of at most %s", format(max))
  }
  abort_argument(x, arg, paste0("a finite number", range, if (null) " or NULL"), hint = hint, call = call)
}

check_flag <- function(x, arg, null = FALSE, call = NULL) {
  if (is.null(x) && null) return(NULL)
  if (is.logical(x) && length(x) == 1L && !is.na(x)) return(as.vector(x))
  abort_argument(x, arg, if (null) "TRUE, FALSE or NULL" else "TRUE or FALSE", call = call)
}

check_string <- function(x, arg, null = FALSE, call = NULL) {
  if (is.null(x) && null) return(NULL)
  if (is.character(x) && length(x) == 1L && !is.na(x) && nzchar(x) && identical(x, readable(x))) return(as.vector(x))
  abort_argument(x, arg, paste0("a string", if (null) " or NULL"), call = call)
}

check_choice <- function(x, arg, choices, call = NULL) {
  if (is.character(x) && length(x) == 1L && x %in% choices) return(as.vector(x))
  hint <- if (is.character(x) && length(x) == 1L && !is.na(x)) nearest_hint(x, choices)
  abort_argument(x, arg, or_list(choices), hint = hint, call = call)
}

# A seed: a whole number that a double holds exactly.
check_seed <- function(x, arg = "seed", call = NULL) {
  if (is.null(x)) return(NULL)
  if (is.numeric(x) && length(x) == 1L && !is.factor(x) && is.finite(x) && x == trunc(x) && abs(x) <= 2^53) {
    return(as.double(x))
  }
  abort_argument(x, arg, "a whole number or NULL", call = call)
}

# Names given in `...`: all must be there, known and unique. `formals` are the arguments before the dots, where a message is to list them.
check_dots_names <- function(dots, known, what, call = NULL, formals = NULL) {
  if (length(dots) == 0L) return(invisible())
  known <- c(formals, known)
  listed <- if (length(known) > 0L) {
    paste0(if (is.null(formals)) "Known names in `...`: " else "Known names: ", paste0("`", known, "`", collapse = ", "), ".")
  }
  given <- names(dots)
  if (is.null(given) || anyNA(given) || any(given == "")) {
    abort_attentive("name", sprintf("All arguments in `...` of %s must be named.", what), hint = listed, call = call)
  }
  if (anyDuplicated(given)) {
    abort_attentive("name", sprintf("`%s` is given twice.", given[[anyDuplicated(given)]]), call = call)
  }
  unknown <- setdiff(given, known)
  if (length(unknown) > 0L) {
    abort_attentive("name", sprintf("%s has no argument `%s`.", capitalized(what), unknown[[1L]]),
      hint = c(nearest_hint(unknown[[1L]], known), listed), call = call
    )
  }
  invisible()
}
