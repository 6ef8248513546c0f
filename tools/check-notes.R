# Reads the log of R CMD check and tells which of its notes belong to the
# machine and not to the package. Anything else but OK is a failure.
#
#   Rscript tools/check-notes.R attentive.Rcheck/00check.log

# A note is the machine's if its headline matches and every line below it does.
allowed <- list(
  "not published before" = list(
    head = "^checking CRAN incoming feasibility",
    lines = "^Maintainer: .*maintainers@attentive\\.example|^New submission$"
  ),
  "flags that Debian compiles R with" = list(
    head = "^checking compilation flags used",
    lines = c(
      "^Compilation used the following non-portable flag\\(s\\):$",
      paste0(
        "^[[:space:]]+(.(-Wdate-time|-Werror=format-security|-Wformat|-Wformat-security|-ffile-prefix-map=[^[:space:]]*|",
        "-fdebug-prefix-map=[^[:space:]]*|-fstack-protector-strong|-g|-fstack-clash-protection|-fcf-protection).[[:space:]]*)+$"
      )
    )
  ),
  "debug symbols, which Debian's flags add to the library (the size without them is checked on its own)" = list(
    head = "^checking installed package size",
    lines = c("^installed size is +[0-9.]+Mb$", "^sub-directories of 1Mb or more:$", "^(libs|R) +[0-9.]+Mb$")
  ),
  "no tidy to look at the manual's HTML with" = list(
    head = "^checking HTML version of manual",
    lines = "^Skipping checking (HTML validation: no command 'tidy' found|math rendering: package 'V8' unavailable)$"
  ),
  "no clock on the network" = list(
    head = "^checking for future file timestamps", lines = "^unable to verify current time$"
  )
)

log <- readLines(commandArgs(TRUE)[[1L]], encoding = "UTF-8")
log <- gsub("\u2018|\u2019", "'", log)
starts <- grep("^\\* ", log)
failures <- 0L
counts <- c(OK = 0L, allowed = 0L)
for (i in seq_along(starts)) {
  first <- starts[[i]]
  last <- if (i < length(starts)) starts[[i + 1L]] - 1L else length(log)
  section <- log[first:last]
  if (!grepl("^\\* checking", section[[1L]])) next
  head <- sub("^\\* ", "", section[[1L]])
  # The verdict ends the headline, or stands on a line of its own below.
  verdict <- regmatches(section, regexpr("(^| )(NOTE|WARNING|ERROR)$", section))
  if (length(verdict) == 0L) {
    counts[["OK"]] <- counts[["OK"]] + 1L
    next
  }
  body <- trimws(section[-1L], "right")
  body <- body[nzchar(body) & !grepl("^ *(NOTE|WARNING|ERROR)$", body)]
  reason <- NULL
  if (all(grepl("NOTE$", verdict)) && length(body) > 0L) {
    for (name in names(allowed)) {
      rule <- allowed[[name]]
      fits <- function(line) any(vapply(rule$lines, grepl, NA, x = line) | vapply(rule$lines, grepl, NA, x = trimws(line)))
      if (grepl(rule$head, head) && all(vapply(body, fits, NA))) reason <- name
    }
  }
  if (is.null(reason)) {
    failures <- failures + 1L
    cat("NOT ALLOWED:\n", paste0("  ", section, "\n"), sep = "")
  } else {
    counts[["allowed"]] <- counts[["allowed"]] + 1L
    cat("of this machine (", reason, "):\n", paste0("    ", c(head, body), "\n"), sep = "")
  }
}
# The check's own sum at the end: nothing may have been overlooked above.
status <- grep("^Status: ", log, value = TRUE)
numbers <- as.integer(unlist(regmatches(status, gregexpr("[0-9]+(?= (ERROR|WARNING|NOTE))", status, perl = TRUE))))
complete <- length(status) == 1L && sum(numbers) == failures + counts[["allowed"]]
if (!complete) cat("NOT ALLOWED: the check did not come to its end, or says otherwise: ", status, "\n", sep = "")
cat(sprintf("%d checks OK, %d notes of the machine, %d others\n", counts[["OK"]], counts[["allowed"]], failures))
if (failures > 0L || !complete) quit(status = 1L)
