#' Read a safetensors file
#'
#' Model hubs keep weights in safetensors files: a short header that lists the tensors, then their numbers. This reads them into
#' plain R arrays, to be rearranged and given to [set_weights()]. Nothing in the file is trusted: a header that lies about sizes,
#' tensors that overlap, and anything else that does not add up is an error of class `attentive_error_file`, never a crash.
#'
#' Numbers of type `F64`, `F32`, `F16`, `BF16`, `I64`, `I32`, `I16`, `I8` and `U8` become doubles, which hold all of them exactly, but for
#' `I64` values beyond 2^53: those are an error. `BOOL` becomes logical.
#'
#' @param path The file.
#' @param names Names of the tensors to read, in the order wanted; `NULL` reads all, in the order of the file. Others are skipped, not
#'   loaded, so that a few weights of a large file are read quickly.
#' @return A named list of arrays. Their dims are the shapes in the file: element `[i, j]` here is element `[i, j]` there (counted from 1).
#'   A tensor without axes is a single number. If the file has metadata, it is the attribute `"metadata"`, a named character vector.
#' @seealso [set_weights()]
#' @examples
#' # A file with one matrix of float32, written by hand
#' header <- '{"kernel":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
#' path <- tempfile(fileext = ".safetensors")
#' con <- file(path, "wb")
#' writeBin(c(nchar(header), 0L), con, endian = "little")
#' writeBin(charToRaw(header), con)
#' writeBin(as.numeric(1:6), con, size = 4, endian = "little")
#' close(con)
#'
#' read_safetensors(path)
#' @export
read_safetensors <- function(path, names = NULL) {
  call <- environment()
  path <- check_string(path, "path", call = call)
  file <- enc2native(path.expand(path))
  if (!file.exists(file)) {
    abort_attentive("file", sprintf("The file \"%s\" does not exist.", path),
      hint = if (!grepl("^(/|[A-Za-z]:)", file)) sprintf("The working directory is \"%s\".", getwd()), path = path, call = call
    )
  }
  if (dir.exists(file)) {
    abort_attentive("file", sprintf("\"%s\" is a folder, not a file.", path), path = path, call = call)
  }
  tryCatch(
    {
      header <- cpp_safetensors_header(file)
      places <- safetensors_places(names, header$names, path, call)
      arrays <- cpp_safetensors_arrays(file, places)
    },
    # What the engine throws; errors raised above pass by.
    `C++Error` = function(e) {
      abort_attentive("file", sprintf("\"%s\" cannot be read as a safetensors file.", path),
        hint = paste0(capitalize(conditionMessage(e)), "."), path = path, call = call
      )
    }
  )
  names(arrays) <- header$names[places]
  if (length(header$metadata) > 0L) attr(arrays, "metadata") <- header$metadata
  arrays
}

# Where the wanted tensors are in the file, from 1.
safetensors_places <- function(names, known, path, call) {
  if (is.null(names)) return(seq_along(known))
  if (!is.character(names) || anyNA(names) || anyDuplicated(names)) {
    abort_argument(names, "names", "a character vector without NA and duplicates, or NULL", call = call)
  }
  places <- match(enc2utf8(names), known)
  if (anyNA(places)) {
    missing <- names[is.na(places)][[1L]]
    shown <- encodeString(utils::head(known, 5L), quote = "\"")
    abort_attentive("name", sprintf("The file has no tensor \"%s\".", missing),
      hint = c(
        if (length(known) > 0L) nearest_hint(missing, known),
        sprintf(
          "It has %s%s.", if (length(known) == 0L) "none" else paste(shown, collapse = ", "),
          if (length(known) > 5L) sprintf(" and %d more", length(known) - 5L) else ""
        )
      ), path = path, call = call
    )
  }
  places
}

capitalize <- function(x) paste0(toupper(substr(x, 1L, 1L)), substr(x, 2L, nchar(x)))
