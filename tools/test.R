# Runs all R tests on an installed copy of the package.
#
#   Rscript tools/test.R [FILTER]
#
# Installs what is missing and the package itself, into the user's library. FILTER, a regular expression, selects test
# files: Rscript tools/test.R scores. The last line is "N passed, N failed, N skipped"; the status is 0 only without failures.

local({
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  sys.source(file.path(if (length(file) == 1L) dirname(file) else "tools", "setup.R"), envir = globalenv())
})
root <- package_root()
home <- use_library()
# What only documents are made with is not needed here.
install_missing(root, c("Depends", "Imports", "LinkingTo", "Suggests"), except = c("knitr", "rmarkdown"))
package <- install_package(root, home)

# Tests run in a copy, so that what they leave behind is not in the package's folder.
folder <- tempfile("tests")
dir.create(folder)
invisible(file.copy(file.path(root, "tests", "testthat"), folder, recursive = TRUE, copy.date = TRUE))
filter <- commandArgs(TRUE)
# Recordings that are too large for the package may lie in a folder beside it.
shared <- file.path(dirname(root), "shared")
if (dir.exists(shared) && !nzchar(Sys.getenv("ATTENTIVE_SHARED"))) Sys.setenv(ATTENTIVE_SHARED = shared)
Sys.setenv(NOT_CRAN = "true")

library(testthat)
results <- test_dir(file.path(folder, "testthat"),
  package = package, load_package = "installed", reporter = SummaryReporter$new(show_praise = FALSE, omit_dots = TRUE),
  filter = if (length(filter) > 0L) filter[[1L]], stop_on_failure = FALSE
)
results <- as.data.frame(results)
failed <- sum(results$failed) + sum(results$error)
skipped <- sum(results$skipped)
passed <- sum(results$passed)
cat(sprintf("%d passed, %d failed, %d skipped\n", passed, failed, skipped))
if (failed > 0L || passed == 0L) quit(status = 1L)
