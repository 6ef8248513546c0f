# Runs an R script in a fresh process that finds the package under test first; gives what it printed.
run_r <- function(script, args = character()) {
  home <- system.file(package = "attentive")
  if (!file.exists(file.path(home, "Meta", "package.rds"))) {
    testthat::skip("the package is loaded from its sources, not installed: a new process could not find it")
  }
  libraries <- paste(unique(c(dirname(home), .libPaths())), collapse = .Platform$path.sep)
  withr::local_envvar(R_LIBS = libraries, R_TESTS = "", R_PROFILE_USER = "", R_ENVIRON_USER = "")
  rscript <- file.path(R.home("bin"), "Rscript")
  suppressWarnings(system2(rscript, shQuote(c("--no-init-file", script, args)), stdout = TRUE, stderr = TRUE))
}
