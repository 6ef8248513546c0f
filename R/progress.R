# What one sees while a model is trained: a bar on a terminal, else one line an
# epoch.

# 0 silent, 1 bar, 2 one line per epoch.
check_verbose <- function(verbose, call = NULL) {
  if (identical(verbose, "auto")) return(automatic_verbosity())
  if (is.logical(verbose) && length(verbose) == 1L && !is.na(verbose)) verbose <- if (verbose) automatic_verbosity(quiet = 1L) else 0L
  if (is.numeric(verbose) && length(verbose) == 1L && verbose %in% 0:2) return(as.integer(verbose))
  abort_argument(verbose, "verbose", "\"auto\", 0 (silent), 1 (a progress bar) or 2 (one line per epoch)", call = call)
}

automatic_verbosity <- function(quiet = 0L) {
  if (identical(Sys.getenv("TESTTHAT"), "true")) return(quiet)
  if (isTRUE(getOption("knitr.in.progress"))) return(2L)
  if (can_redraw()) 1L else 2L
}

# Whether a line can be drawn over: on a terminal, in the console of a graphical front end. Not in a file, a pipe, a document or a
# background job, nor where output is collected.
can_redraw <- function() {
  if (sink.number() > 0L || isTRUE(getOption("knitr.in.progress")) || identical(Sys.getenv("TERM"), "dumb")) return(FALSE)
  isatty(stdout()) || (interactive() && has_console())
}

has_console <- function() {
  .Platform$GUI %in% c("RStudio", "Rgui", "AQUA") || nzchar(Sys.getenv("RSTUDIO")) || nzchar(Sys.getenv("POSITRON"))
}

new_progress <- function(verbose, epochs, steps, interval = 0.1) {
  progress <- new.env(parent = emptyenv())
  progress$verbose <- verbose
  progress$bar <- verbose == 1L && can_redraw()
  progress$epochs <- epochs
  progress$steps <- steps
  progress$interval <- interval
  progress$width <- 0L
  progress
}

seconds <- function() proc.time()[[3L]]

progress_begin <- function(progress, epoch) {
  progress$epoch <- epoch
  progress$begin <- seconds()
  progress$next_time <- progress$begin + progress$interval
}

# After each step: cheap where there is nothing to draw. `logs` is a function.
progress_step <- function(progress, step, logs) {
  if (!progress$bar) return(invisible())
  now <- seconds()
  if (now < progress$next_time) return(invisible())
  progress$next_time <- now + progress$interval
  left <- (now - progress$begin) / step * (progress$steps - step)
  redraw(progress, sprintf("%s %s %d/%d  %s left%s", epoch_label(progress), bar_of(step / progress$steps), step, progress$steps,
    format_seconds(left), format_logs(logs(), "  ")))
}

progress_end <- function(progress, logs) {
  if (progress$verbose == 0L) return(invisible())
  line <- sprintf("%s - %s%s", epoch_label(progress), format_seconds(seconds() - progress$begin), format_logs(logs, " - "))
  if (progress$bar) redraw(progress, line) else cat(line)
  cat("\n")
  progress$width <- 0L
}

# Leaves a line that is drawn half.
progress_leave <- function(progress) {
  if (progress$bar && progress$width > 0L) cat("\n")
  progress$width <- 0L
}

redraw <- function(progress, line) {
  line <- substr(line, 1L, max(20L, getOption("width") - 1L))
  cat("\r", line, strrep(" ", max(0L, progress$width - nchar(line))), sep = "")
  progress$width <- nchar(line)
  utils::flush.console()
}

epoch_label <- function(progress) sprintf("Epoch %s/%d", formatC(progress$epoch, width = nchar(progress$epochs)), progress$epochs)

bar_of <- function(share, width = 20L) {
  full <- floor(share * width)
  if (isTRUE(l10n_info()$`UTF-8`)) paste0(strrep("\u2501", full), strrep("\u2500", width - full)) else paste0(strrep("=", full), strrep(".", width - full))
}

format_seconds <- function(s) {
  if (s < 10) return(sprintf("%.1fs", s))
  s <- round(s)
  if (s < 60) sprintf("%ds", s) else if (s < 3600) sprintf("%dm %02ds", s %/% 60, s %% 60) else sprintf("%dh %02dm", s %/% 3600, s %% 3600 %/% 60)
}

format_logs <- function(logs, separator) {
  if (length(logs) == 0L) return("")
  paste0(separator, names(logs), ": ", vapply(logs, format, "", digits = 4L), collapse = "")
}
