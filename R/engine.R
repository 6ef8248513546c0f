# The engine's settings as R knows them.

#' What the engine uses
#'
#' `attentive_info()` tells which instruction set and how many threads the engine uses, and what it found on this machine;
#' `attentive_instructions()` chooses an instruction set.
#'
#' @details
#' *Threads*: two by default. The option `attentive.threads` or, when the package is loaded, the environment variable
#' `ATTENTIVE_NUM_THREADS` says otherwise, and the argument `threads` of a call overrides both: `layer(x, x, threads = 1)`.
#' `OMP_THREAD_LIMIT` and the limits of `R CMD check` are obeyed. A worker process of the parallel package uses one thread.
#' Results have the same bits for any number of threads.
#'
#' *Instruction sets*: the engine's hot loops are compiled for several and the best that processor and system have is chosen when the
#' package is loaded; the option `attentive.instructions` or the environment variable `ATTENTIVE_INSTRUCTIONS`, set before, force another.
#' Results of two instruction sets differ by rounding.
#'
#' @param instructions "auto", the best one, or one of `attentive_info()$available`.
#' @return `attentive_info()`: a list of class `attentive_info` with `instructions` (in use), `available`, `threads`,
#'   `thread_limit`, `cores` and `version`. `attentive_instructions()`: the instruction set used before, invisibly.
#' @section Errors:
#' `attentive_error_argument` where the instruction set is unknown or cannot run here.
#' @examples
#' attentive_info()
#' @export
attentive_info <- function() {
  settings <- engine_settings()
  structure(
    list(
      instructions = settings$instructions, available = settings$available, threads = default_threads(),
      thread_limit = session$thread_limit, cores = parallel::detectCores(),
      version = utils::packageVersion("attentive")
    ),
    class = "attentive_info"
  )
}

#' @export
print.attentive_info <- function(x, ...) {
  cat(sprintf(
    "attentive %s\n  instructions  %s (available: %s)\n  threads       %d (limit %d, %s cores)\n",
    format(x$version), x$instructions, paste(x$available, collapse = ", "), x$threads, x$thread_limit, format(x$cores)
  ))
  invisible(x)
}

#' @rdname attentive_info
#' @export
attentive_instructions <- function(instructions = "auto") {
  call <- environment()
  settings <- engine_settings()
  known <- c("auto", settings$available)
  if (!is.character(instructions) || length(instructions) != 1L || is.na(instructions) ||
    !engine_set_instructions(instructions)) {
    abort_argument(instructions, "instructions", or_list(known),
      hint = "Other instruction sets cannot run on this machine.", call = call
    )
  }
  invisible(settings$instructions)
}

# How many threads a call uses when it does not say: the option
# `attentive.threads`, else what was decided when the package was loaded.
default_threads <- function() {
  asked <- getOption("attentive.threads")
  if (is.null(asked)) return(session$threads)
  min(check_whole(asked, "options(attentive.threads)"), session$thread_limit)
}

# Two threads unless ATTENTIVE_NUM_THREADS says otherwise; one in a worker of
# the parallel package (a forked child is the engine's own business); never
# more than OMP_THREAD_LIMIT or R CMD check allow.
read_threads <- function(environment = Sys.getenv(), arguments = commandArgs()) {
  number <- function(name) {
    value <- suppressWarnings(as.integer(environment[name]))
    if (is.na(value) || value < 1L) NULL else value
  }
  checking <- tolower(environment["_R_CHECK_LIMIT_CORES_"])
  limit <- min(
    256L, number("OMP_THREAD_LIMIT"), if (!is.na(checking) && nzchar(checking) && checking != "false") 2L
  )
  worker <- any(grepl("^MASTER=", arguments)) || any(grepl("workRSOCK", arguments, fixed = TRUE))
  asked <- number("ATTENTIVE_NUM_THREADS")
  list(threads = min(if (!is.null(asked)) asked else if (worker) 1L else 2L, limit), limit = limit)
}

.onLoad <- function(libname, pkgname) {
  delay_base_classes(topenv())
  threads <- read_threads()
  session$threads <- threads$threads
  session$thread_limit <- threads$limit
  asked <- getOption("attentive.instructions", Sys.getenv("ATTENTIVE_INSTRUCTIONS", "auto"))
  if (!identical(asked, "auto") && !engine_set_instructions(as.character(asked)[[1L]])) {
    rlang::warn(sprintf("attentive: the instruction set \"%s\" is not available; the best one is used.", asked))
  }
}

.onUnload <- function(libpath) {
  gc() # finalizes what nobody holds any more
  # The finalizers of other models are code of the library: it has to stay for them. It is used again when the package is loaded again.
  if (engine_close()) library.dynam.unload("attentive", libpath)
}
