# The engine's settings as R knows them.

# How many threads a call uses when it does not say: the option
# `attentive.threads`, else what was decided when the package was loaded.
default_threads <- function() {
  asked <- getOption("attentive.threads")
  if (is.null(asked)) return(session$threads)
  min(check_whole(asked, "options(attentive.threads)"), session$thread_limit)
}

# Two threads unless ATTENTIVE_NUM_THREADS says otherwise; one in a worker of
# the parallel package (a forked child is the engine's own business); never
# more than OMP_THREAD_LIMIT, R CMD check or the machine allow.
read_threads <- function(environment = Sys.getenv(), arguments = commandArgs()) {
  number <- function(name) {
    value <- suppressWarnings(as.integer(environment[name]))
    if (is.na(value) || value < 1L) NULL else value
  }
  cores <- parallel::detectCores()
  checking <- tolower(environment["_R_CHECK_LIMIT_CORES_"])
  limit <- min(
    if (is.na(cores)) 2L else cores, number("OMP_THREAD_LIMIT"),
    if (!is.na(checking) && nzchar(checking) && checking != "false") 2L
  )
  worker <- any(grepl("^MASTER=", arguments)) || any(grepl("workRSOCK", arguments, fixed = TRUE))
  asked <- number("ATTENTIVE_NUM_THREADS")
  list(threads = min(if (!is.null(asked)) asked else if (worker) 1L else 2L, limit), limit = limit)
}

.onLoad <- function(libname, pkgname) {
  threads <- read_threads()
  session$threads <- threads$threads
  session$thread_limit <- threads$limit
}
