# Errors: one way to raise them, one way to say what came.

# Every error of the package has the class "attentive_error" and one of these
# more specific ones, documented in ?attentive_errors:
#   argument  type or value of an argument      name     an unknown name
#   shape     sizes that do not fit together    mask     a mask that cannot be read
#   weights   weights of a wrong number/shape   state    an object not ready for this
#   file      a file that cannot be read        config   a configuration that cannot be used
#   loss      a loss that is not finite     callback a callback that failed
#   memory    more memory than there is
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

abort_missing <- function(arg, what, call = NULL, hint = NULL) {
  abort_attentive("argument", sprintf("`%s` is missing: it must be %s.", arg, what), hint = hint, arg = arg, call = call)
}

# Called by the doorway where memory runs out, or where a size is beyond all memory.
abort_memory <- function() {
  abort_attentive("memory", "There is not enough memory for this call.",
    hint = "Smaller batches, layers or sequences need less; scores grow with the product of both lengths."
  )
}

# Called by the doorway, too, where a result would have an axis that R's arrays cannot have.
abort_long_axis <- function(call = NULL) {
  abort_attentive("shape", "The result would have an axis of more than 2^31 - 1, which an array of R cannot have.",
    hint = "Leave the axes apart, or compute it in parts.", call = call
  )
}

# Called by the doorway where a function of R that runs within a step, or another call of the model, begins one.
abort_nested_step <- function() {
  abort_attentive("state", "A step of training cannot begin while the same model computes.",
    hint = "Functions that the model calls may use it as it is; callbacks come between two steps and may train it."
  )
}

# What came, in a few words.
describe <- function(x) {
  if (is.null(x)) return("NULL")
  if (is_symbolic(x)) return("a symbolic tensor")
  if (is.function(x) && inherits(x, "attentive_layer")) return(sprintf("the layer \"%s\"", x$name))
  if (is.data.frame(x)) return("a data frame")
  if (is.factor(x)) return("a factor")
  if (inherits(x, "formula")) return("a formula")
  if (is.function(x)) return("a function")
  if (is.object(x) && !inherits(x, "keras_shape")) return(sprintf("an object of class \"%s\"", shorten(class(x)[[1L]])))
  if (!is.null(dim(x))) {
    return(if (is.list(x)) sprintf("a list with dim %s", format_shape(dim(x))) else sprintf("%s array of dim %s", kind_of(x), format_shape(dim(x))))
  }
  if (is.list(x)) return(if (length(x) == 0L) "an empty list" else sprintf("a list of length %d", length(x)))
  if (!is.atomic(x)) return(sprintf("an object of type \"%s\"", typeof(x)))
  if (length(x) == 0L) return(sprintf("%s vector of length 0", kind_of(x)))
  if (length(x) == 1L) return(describe_value(x))
  shown <- paste(vapply(utils::head(as.list(as.vector(x)), 3L), describe_value, ""), collapse = ", ")
  sprintf("%s vector of length %d (%s%s)", kind_of(x), length(x), shown, if (length(x) > 3L) ", ..." else "")
}

describe_value <- function(x) {
  if (is.character(x) && !is.na(x)) encodeString(shorten(x), quote = "\"") else format(as.vector(x), digits = 7)
}

# "a numeric", "an integer"
kind_of <- function(x) {
  kind <- if (is.double(x)) "numeric" else typeof(x)
  paste(if (substr(kind, 1L, 1L) %in% c("a", "e", "i", "o", "u")) "an" else "a", kind)
}

shorten <- function(x, width = 40L) {
  x <- readable(x)
  if (nchar(x, "chars") <= width) x else paste0(substr(x, 1L, width - 3L), "...")
}

# Strings that can be measured and printed: bytes that are no text in their encoding become "<ff>".
readable <- function(x) {
  odd <- !is.na(x) & (!validEnc(x) | Encoding(x) == "bytes")
  x[odd] <- iconv(x[odd], "latin1", "ASCII", sub = "byte")
  x
}

# c(2, NA, 3) -> "[2, ?, 3]"
format_shape <- function(shape) {
  if (length(shape) > 10L) return(sub("]", ", ...]", format_shape(as.list(shape)[1:8]), fixed = TRUE))
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

# The known name that is nearest to a mistyped one, as a hint; NULL if none is near. The one name that begins like it comes first.
nearest_hint <- function(name, known) {
  name <- readable(name)
  begun <- if (nchar(name) > 2L) unique(known[startsWith(tolower(known), tolower(name))])
  if (length(begun) == 1L) return(sprintf("Did you mean \"%s\"?", begun))
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
#' | `attentive_error_loss` | a loss is not finite any more while a model is trained |
#' | `attentive_error_callback` | a callback failed; the error that it raised is the `parent` |
#' | `attentive_error_memory` | sizes that are right, for which the memory does not suffice |
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
