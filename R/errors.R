# Errors: one way to raise them, one way to say what came.

# Every error of the package has the class "attentive_error" and one of these
# more specific ones, documented in ?attentive_errors:
#   argument  type or value of an argument      name     an unknown name
#   shape     sizes that do not fit together    mask     a mask that cannot be read
#   weights   weights of a wrong number/shape   state    an object not ready for this
#   file      a file that cannot be read        config   a configuration that cannot be used
#   not_yet   known to Keras, not here yet
abort_attentive <- function(class, message, hint = NULL, ..., call = NULL) {
  bullets <- c(message, if (length(hint) > 0L) stats::setNames(hint, rep("i", length(hint))))
  rlang::abort(
    bullets,
    class = c(paste0("attentive_error_", class), "attentive_error"),
    call = call, ...
  )
}

# "must be ..., not ...": the usual sentence about one argument.
abort_argument <- function(x, arg, expected, hint = NULL, call = NULL, class = "argument") {
  abort_attentive(
    class, sprintf("`%s` must be %s, not %s.", arg, expected, describe(x)),
    hint = hint, arg = arg, call = call
  )
}

abort_missing <- function(arg, what, call = NULL) {
  abort_attentive("argument", sprintf("`%s` is missing: it must be %s.", arg, what), arg = arg, call = call)
}

# What came, in a few words.
describe <- function(x) {
  if (is.null(x)) return("NULL")
  if (is_symbolic(x)) return("a symbolic tensor")
  if (inherits(x, "attentive_layer")) return(sprintf("the layer \"%s\"", x$name))
  if (!is.null(dim(x)) && !is.data.frame(x)) {
    kind <- switch(typeof(x), double = "numeric", list = "list", typeof(x))
    article <- if (substr(kind, 1, 1) %in% c("a", "e", "i", "o", "u")) "an" else "a"
    return(sprintf("%s %s array of dim %s", article, kind, format_shape(dim(x))))
  }
  if (is.function(x)) return("a function")
  if (inherits(x, "formula")) return("a formula")
  if (is.data.frame(x)) return("a data frame")
  if (is.factor(x)) return("a factor")
  if (is.list(x)) return(sprintf("a list of length %d", length(x)))
  if (is.atomic(x) && length(x) == 1L) {
    if (is.character(x) && !is.na(x)) return(encodeString(shorten(x), quote = "\""))
    return(format(as.vector(x), digits = 7))
  }
  if (is.atomic(x)) return(sprintf("a %s vector of length %d", typeof(x), length(x)))
  sprintf("an object of class \"%s\"", class(x)[[1]])
}

shorten <- function(x, width = 40L) {
  if (nchar(x, "chars", allowNA = TRUE) %in% 0:width) x else paste0(substr(x, 1L, width - 3L), "...")
}

# c(2, NA, 3) -> "[2, ?, 3]"
format_shape <- function(shape) {
  shape <- vapply(as.list(shape), function(d) {
    if (is.null(d) || is.na(d)) "?" else format(d, scientific = FALSE, trim = TRUE)
  }, "")
  paste0("[", paste(shape, collapse = ", "), "]")
}

# "a", "b" or "c"
or_list <- function(x) {
  x <- encodeString(x, quote = "\"")
  n <- length(x)
  if (n < 2L) return(x)
  paste(paste(x[-n], collapse = ", "), "or", x[[n]])
}

# The known name that is nearest to a mistyped one, as a hint; NULL if none is near.
nearest_hint <- function(name, known) {
  distance <- utils::adist(name, known, ignore.case = TRUE)[1L, ]
  best <- which.min(distance)
  if (length(best) == 0L || distance[[best]] > max(2, nchar(name) / 3)) return(NULL)
  sprintf("Did you mean \"%s\"?", known[[best]])
}

#' Errors of attentive
#'
#' Every error that attentive raises has the class `attentive_error` and one more that says what kind it is, so that a program can
#' catch just that kind with [tryCatch()].
#'
#' | class | when |
#' |---|---|
#' | `attentive_error_argument` | an argument has a wrong type or value |
#' | `attentive_error_name` | a name in `...`, a string or a list is not known; the message lists the known ones |
#' | `attentive_error_shape` | the sizes of arrays do not fit each other or the layer |
#' | `attentive_error_mask` | a mask is not logical or 0/1, has missing values, or a shape that fits nothing |
#' | `attentive_error_weights` | weights of a wrong number or shape |
#' | `attentive_error_state` | an object is not ready for this, for example not built |
#' | `attentive_error_file` | a file is missing, damaged or not of the expected kind |
#' | `attentive_error_config` | a configuration that no layer can be made from |
#' | `attentive_error_not_yet` | known to Keras, not available here yet |
#'
#' An object is unchanged after an error.
#'
#' @name attentive_errors
#' @examples
#' tryCatch(
#'   layer_multi_head_attention(num_heads = 2.7, key_dim = 3),
#'   attentive_error_argument = function(e) cat(conditionMessage(e), "\n")
#' )
NULL
