# What of keras3 is here: its exported names, kept in inst/keras3-names.csv, beside those of this package.

#' Names of keras3 that are here
#'
#' Compares the names that the R package keras3 exports, and their arguments, with those of this package. The table is computed when it is asked for, from what the installed
#' package exports.
#'
#' @details
#' | `status` | meaning |
#' |---|---|
#' | `same` | here, with all its arguments |
#' | `differs` | here; `remark` says what is different, or which arguments are not taken |
#' | `missing` | not here; `remark` may say what to use instead |
#' | `outside` | not here, and outside of what this package is for: images, recurrent and convolutional layers, data sets, Python |
#' | `own` | only here |
#'
#' @param pattern A regular expression that the names must fit, or the name of a family; `NULL` means all.
#' @return A data frame of the class `keras3_compatibility` with a row a name: `name`, `family`, `status`, `remark`. `print()` counts the names of each family if there are more
#'   than 40, and gives it back, invisibly.
#' @section Errors: `attentive_error_argument` where `pattern` is not a regular expression.
#' @examples
#' keras3_compatibility()
#' keras3_compatibility("attention")
#' table <- keras3_compatibility("^layer_")
#' table$name[table$status == "missing"]
#' @export
keras3_compatibility <- function(pattern = NULL) {
  pattern <- check_string(pattern, "pattern", null = TRUE)
  table <- compatibility_table(getNamespaceExports("attentive"))
  if (!is.null(pattern)) {
    fits <- tryCatch(grepl(pattern, table$name), error = function(e) NULL, warning = function(w) NULL)
    if (is.null(fits)) abort_argument(pattern, "pattern", "a regular expression")
    table <- table[fits | table$family == pattern, ]
  }
  rownames(table) <- NULL
  structure(table, class = c("keras3_compatibility", "data.frame"))
}

compatibility_levels <- c("same", "differs", "missing", "outside", "own")

outside_families <- c(
  "pre-trained image models", "images", "image and audio layers", "convolutional layers", "recurrent layers", "data sets", "preprocessing layers", "Python"
)

compatibility_table <- function(here) {
  theirs <- utils::read.csv(keras3_file("keras3-names.csv"), comment.char = "#")
  remarks <- utils::read.csv(keras3_file("keras3-remarks.csv"), comment.char = "#")
  here <- setdiff(grep("^[A-Za-z]", here, value = TRUE), "attentive-package")
  own <- sort(setdiff(here, theirs$name), method = "radix")
  table <- data.frame(
    name = c(theirs$name, own), family = c(theirs$family, rep("only here", length(own))), remark = "", stringsAsFactors = FALSE
  )
  known <- match(table$name, remarks$name)
  table$remark[!is.na(known)] <- remarks$remark[known[!is.na(known)]]
  both <- which(theirs$name %in% here)
  lacking <- vapply(both, function(i) arguments_lacking(theirs$name[[i]], strsplit(theirs$arguments[[i]], " ", fixed = TRUE)[[1L]]), "")
  joint <- ifelse(nzchar(table$remark[both]) & nzchar(lacking), "; ", "")
  table$remark[both] <- paste0(table$remark[both], joint, lacking)
  status <- ifelse(table$name %in% here, ifelse(nzchar(table$remark), "differs", "same"), ifelse(table$family %in% outside_families, "outside", "missing"))
  status[table$name %in% own] <- "own"
  table$status <- factor(status, compatibility_levels)
  table[c("name", "family", "status", "remark")]
}

keras3_file <- function(name) system.file(name, package = "attentive", mustWork = TRUE)

# The arguments of keras3's function that ours does not take, as a remark.
arguments_lacking <- function(name, arguments) {
  fun <- getExportedValue("attentive", name)
  if (!is.function(fun)) return("")
  own <- names(formals(fun))
  if ("..." %in% own) own <- c(own, common_arguments, dots_of(name))
  lacking <- setdiff(arguments, own)
  if (length(lacking) == 0L) "" else paste0("without ", paste0("`", lacking, "`", collapse = ", "))
}

# What the method of a generic takes, and what layers take in `...`.
dots_of <- function(name) {
  method <- utils::getS3method(name, "attentive_model", optional = TRUE, envir = asNamespace("attentive"))
  constructor <- Filter(function(layer) identical(layer$make, name), layer_constructors())
  c(if (is.function(method)) names(formals(method)), unlist(lapply(constructor, function(layer) layer$dots)))
}

#' @rdname keras3_compatibility
#' @param x What `keras3_compatibility()` gave.
#' @param ... Ignored, for the generic.
#' @export
print.keras3_compatibility <- function(x, ...) {
  if (!all(c("name", "family", "status", "remark") %in% names(x))) return(NextMethod()) # a part of the table
  if (nrow(x) > 40L) {
    counts <- unclass(table(x$family, x$status))
    shown <- format(rbind(colnames(counts), ifelse(counts == 0L, ".", counts)), justify = "right")
    lines <- do.call(paste, c(list(format(c("", rownames(counts)))), lapply(seq_len(ncol(shown)), function(i) shown[, i]), sep = "  "))
  } else {
    width <- getOption("width")
    lines <- do.call(paste, c(lapply(x[c("name", "status")], function(column) format(as.character(column))), list(x$remark), sep = "  "))
    lines <- ifelse(nchar(lines) > width, paste0(substr(lines, 1L, width - 3L), "..."), lines)
  }
  cat(trimws(lines, "right"), sep = "\n")
  invisible(x)
}
