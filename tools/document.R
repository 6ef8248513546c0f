# Writes the generated files anew: R/RcppExports.R, src/RcppExports.cpp,
# NAMESPACE, man/. Needs roxygen2 and everything that the package needs.
#
#   Rscript tools/document.R [--check]
#
# --check changes nothing and tells whether they are as committed.

local({
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  sys.source(file.path(if (length(file) == 1L) dirname(file) else "tools", "setup.R"), envir = globalenv())
})
root <- package_root()
check <- "--check" %in% commandArgs(TRUE)

generated <- function(folder) {
  c("NAMESPACE", "R/RcppExports.R", "src/RcppExports.cpp", file.path("man", list.files(file.path(folder, "man"), "\\.Rd$")))
}

# In a copy. roxygen2 asks the loaded package about its methods, so the copy is
# installed, unless the user's library has just these sources already.
work <- tempfile("source")
dir.create(work)
entries <- c("DESCRIPTION", "NAMESPACE", "LICENSE", "R", "src", "man", "inst")
entries <- file.path(root, entries)[file.exists(file.path(root, entries))]
invisible(file.copy(entries, work, recursive = TRUE, copy.date = TRUE))

home <- use_library()
Rcpp::compileAttributes(work)
install_package(work, home)
unlink(file.path(work, "man", "*.Rd"))
version <- read.dcf(file.path(work, "DESCRIPTION"), "RoxygenNote")
roxygen2::roxygenise(work, load_code = roxygen2::load_installed)

differ <- function(files) {
  before <- file.path(root, files)
  after <- file.path(work, files)
  same <- file.exists(before) & file.exists(after) & unname(tools::md5sum(before)) == unname(tools::md5sum(after))
  files[is.na(same) | !same]
}
changed <- differ(union(generated(root), generated(work)))
if (check) {
  if (length(changed) > 0L) {
    cat("Not current, run Rscript tools/document.R:\n", paste0("  ", changed, "\n"), sep = "")
    quit(status = 1L)
  }
} else {
  gone <- setdiff(generated(root), generated(work))
  unlink(file.path(root, gone))
  written <- setdiff(changed, gone)
  dir.create(file.path(root, "man"), showWarnings = FALSE)
  file.copy(file.path(work, written), file.path(root, written), overwrite = TRUE)
  cat(if (length(changed) == 0L) "Everything was current.\n" else paste0("  ", changed, "\n"), sep = "")
}
