# Looks at the code with other people's tools: lintr, clang-tidy, covr and gcov.
#
#   Rscript tools/quality.R [lint] [help] [tidy] [coverage] [engine] [--all] [--since=REF] [--keep=FOLDER]
#
#   lint       lintr over R/, tests/ and tools/; .lintr says what is left out. Fails with any finding.
#   help       renders the pages of man/, and asks that each exported function has a value, errors and an example. Fails with any finding.
#   tidy       clang-tidy over the sources of src/engine that differ from REF (HEAD), or --all of them; .clang-tidy says which checks. Fails with any finding.
#   coverage   the lines of R/ that R's tests run. Fails under 90 %, and with any test that fails. Takes minutes.
#   engine     the lines of src/engine that tests/engine runs. Fails under 95 %, and with any test that fails. Takes minutes.
#
# --keep=FOLDER keeps there what the last two made: the library and the objects, which another run uses again, coverage.csv, engine.csv (every line that
# can be run, and whether it was) and the logs.
#
# Without a name all of them. What a tool that is not here would have told is said to be skipped. The status is 0 only where nothing failed.

local({
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  sys.source(file.path(if (length(file) == 1L) dirname(file) else "tools", "setup.R"), envir = globalenv())
})
root <- package_root()
setwd(root)

# Limits in percent of the lines.
limits <- c(coverage = 90, engine = 95)

say <- function(...) cat(sprintf(...), "\n", sep = "")
# What each part gives: TRUE, FALSE, or NA where it could not be done.
not_here <- function(what, needs) {
  say("skipped   %s: %s is not here", what, needs)
  NA
}

lint <- function() {
  if (!requireNamespace("lintr", quietly = TRUE)) return(not_here("lint", "the R package lintr"))
  found <- unlist(lapply(c("R", "tests", "tools"), function(folder) {
    # excluded files count from the folder that is looked at
    excluded <- c("RcppExports.R", file.path("testthat", "scripts"))
    lints <- unclass(lintr::lint_dir(folder, exclusions = as.list(excluded[file.exists(file.path(folder, excluded))]), parse_settings = TRUE))
    lapply(lints, function(one) c(list(path = file.path(folder, one$filename)), one))
  }), recursive = FALSE)
  for (one in found) say("%s:%d: %s [%s]", one$path, one$line_number, one$message, one$linter)
  say("lint: %d findings", length(found))
  length(found) == 0L
}

help <- function() {
  pages <- list.files("man", "[.]Rd$", full.names = TRUE)
  # as R CMD check does: pages are in the encoding of the package
  found <- unlist(lapply(pages, function(page) format(tools::checkRd(page, encoding = "UTF-8", def_enc = TRUE))))
  found <- c(found, unlist(lapply(pages, function(page) {
    tryCatch(
      {
        tools::Rd2HTML(page, tempfile())
        tools::Rd2latex(page, tempfile())
        NULL
      },
      warning = function(w) paste0(page, ": ", conditionMessage(w)), error = function(e) paste0(page, ": ", conditionMessage(e))
    )
  })))
  for (page in setdiff(pages, "man/reexports.Rd")) {
    text <- readLines(page, encoding = "UTF-8")
    if (!any(startsWith(text, "\\usage{")) || any(text == "\\keyword{internal}")) next
    parts <- c(value = "^\\\\value\\{", errors = "attentive_error", example = "^\\\\examples\\{")
    lacking <- names(parts)[!vapply(parts, function(pattern) any(grepl(pattern, text)), NA)]
    if (length(lacking) > 0L) found <- c(found, sprintf("%s: no %s", page, toString(lacking)))
  }
  for (one in found) say("%s", one)
  say("help: %d findings in %d pages", length(found), length(pages))
  length(found) == 0L
}

changed_since <- function(reference) {
  ask <- function(...) suppressWarnings(system2("git", c(...), stdout = TRUE, stderr = FALSE))
  c(ask("diff", "--name-only", reference, "--", "src/engine"), ask("ls-files", "--others", "--exclude-standard", "src/engine"))
}

tidy <- function(all, reference) {
  if (!nzchar(Sys.which("clang-tidy"))) return(not_here("tidy", "clang-tidy"))
  sources <- list.files("src/engine", "[.]cpp$", recursive = TRUE, full.names = TRUE)
  if (!all) sources <- intersect(sources, changed_since(reference))
  if (length(sources) == 0L) {
    say("tidy: no source of the engine differs from %s; --all looks at every one", reference)
    return(TRUE)
  }
  flags <- c("-std=c++17", "-pthread", "-Isrc/engine", "-isystem", shQuote(system.file("include", package = "RcppEigen")))
  found <- character()
  for (source in sources) {
    lines <- suppressWarnings(system2("clang-tidy", c("--quiet", source, "--", flags), stdout = TRUE, stderr = FALSE, timeout = 900))
    status <- attr(lines, "status")
    new <- grep("(warning|error): .*\\[[a-z]", lines, value = TRUE)
    # a status without a finding: it was stopped, or could not read the source
    if (length(new) == 0L && !is.null(status)) new <- sprintf("%s: not looked at, %s", source, if (status == 124L) "it took 15 minutes" else paste("status", status))
    found <- union(found, new)
  }
  found <- sub(paste0(root, "/"), "", found, fixed = TRUE)
  if (length(found) > 0L) cat(found, sep = "\n")
  say("tidy: %d findings in %d sources", length(found), length(sources))
  length(found) == 0L
}

# A folder for what a part makes, and whether it is to go afterwards.
work_folder <- function(part, keep) {
  folder <- if (is.null(keep)) tempfile(part) else file.path(keep, part)
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  normalizePath(folder)
}

# A line is run where any of what stands on it is: `counts` has the columns file, line and run, with a row for each expression or object.
unite_lines <- function(counts) {
  if (NROW(counts) == 0L) return(data.frame(file = character(), line = integer(), run = logical()))
  lines <- stats::aggregate(list(run = counts$run), counts[c("file", "line")], any)
  lines[order(lines$file, lines$line), ]
}

# Prints the shares of the files that are too low, the lowest first, and that of all.
report <- function(part, lines, keep) {
  limit <- limits[[part]]
  if (!is.null(keep)) utils::write.csv(lines, file.path(keep, paste0(part, ".csv")), row.names = FALSE)
  if (nrow(lines) == 0L) {
    say("%s: nothing was counted", part)
    return(FALSE)
  }
  share <- sort(100 * tapply(lines$run, lines$file, mean))
  low <- share[share < limit]
  if (length(low) > 0L) cat(sprintf("  %5.1f %%  %s\n", low, names(low)), sep = "")
  all <- 100 * mean(lines$run)
  say("%s: %.1f %% of %d lines run, at least %d %% must", part, all, nrow(lines), limit)
  all >= limit
}

# Counts in place, in the functions of an installed copy: the C++ has its own part and need not be compiled for it in another way. What R keeps twice, a
# function of the package and its copy in a table of the package (operation_rules.R), and what runs while the package is loaded, counts as not run: the
# share is a bit too low, never too high.
coverage <- function(keep) {
  if (!requireNamespace("covr", quietly = TRUE)) return(not_here("coverage", "the R package covr"))
  use_library()
  work <- work_folder("coverage", keep)
  if (is.null(keep)) on.exit(unlink(work, recursive = TRUE))
  unlink(file.path(work, c("tests", "results.rds")), recursive = TRUE)
  for (folder in file.path(work, c("library", "tests"))) dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  invisible(file.copy(file.path("tests", "testthat"), file.path(work, "tests"), recursive = TRUE, copy.date = TRUE))
  shared <- file.path(dirname(root), "shared")
  if (dir.exists(shared) && !nzchar(Sys.getenv("ATTENTIVE_SHARED"))) Sys.setenv(ATTENTIVE_SHARED = shared)
  Sys.setenv(NOT_CRAN = "true", R_KEEP_PKG_SOURCE = "yes")
  install_package(root, file.path(work, "library"))
  .libPaths(c(file.path(work, "library"), .libPaths()))
  # sessions that tests start use this copy, too
  Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep))
  script <- file.path(work, "tests.R")
  folder <- encodeString(file.path(work, "tests", "testthat"), quote = "'")
  writeLines(c(
    sprintf("results <- testthat::test_dir(%s, package = 'attentive', load_package = 'installed', stop_on_failure = FALSE,", folder),
    "  reporter = testthat::SummaryReporter$new(show_praise = FALSE, omit_dots = TRUE))",
    sprintf("saveRDS(as.data.frame(results), %s)", encodeString(file.path(work, "results.rds"), quote = "'"))
  ), script)
  counts <- tryCatch(as.data.frame(covr::environment_coverage(asNamespace("attentive"), script)), error = function(e) {
    say("coverage: the tests did not come to their end: %s", conditionMessage(e))
    NULL
  })
  if (is.null(counts)) return(FALSE)
  results <- readRDS(file.path(work, "results.rds"))
  failed <- sum(results$failed) + sum(results$error)
  say("coverage: tests: %d passed, %d failed, %d skipped", sum(results$passed), failed, sum(results$skipped))
  counts <- data.frame(file = basename(counts$filename), line = counts$first_line, run = counts$value > 0, fun = counts$functions)
  counts <- counts[counts$file != "RcppExports.R", ]
  never <- setdiff(sprintf("%s (%s)", counts$fun, counts$file), sprintf("%s (%s)", counts$fun, counts$file)[counts$run])
  if (length(never) > 0L) cat(sprintf("  never called: %s\n", never), sep = "")
  report("coverage", unite_lines(counts), keep) && failed == 0L
}

engine <- function(keep) {
  if (!nzchar(Sys.which("gcov"))) return(not_here("engine", "gcov"))
  build <- work_folder("engine", keep)
  if (is.null(keep)) on.exit(unlink(build, recursive = TRUE))
  unlink(list.files(build, "[.]gcda$", recursive = TRUE, full.names = TRUE))
  Sys.setenv(CXXFLAGS = "-O1 --coverage", ATTENTIVE_BUILD = build)
  if (!nzchar(Sys.getenv("ATTENTIVE_CONFIGS"))) Sys.setenv(ATTENTIVE_CONFIGS = "300") # enough to meet every line
  log <- file.path(build, "log")
  # test_bits waits until many threads are at work together, which takes long while lines are counted; those that it runs other tests run, too
  programs <- setdiff(sub("[.]cpp$", "", list.files("tests/engine", "^test_.*[.]cpp$")), "test_bits")
  status <- system2("bash", c("tests/engine/run", programs), stdout = log, stderr = log)
  said <- readLines(log, warn = FALSE)
  if (status != 0L) writeLines(utils::tail(said, 60L))
  say("engine: tests: %s", utils::tail(c("no log", said), 1L))
  notes <- list.files(build, "[.]gcno$", recursive = TRUE, full.names = TRUE)
  counts <- do.call(rbind, lapply(notes, gcov_lines))
  # Headers are counted in whichever object the linker took their functions from, but which of them are the engine's its own objects say: the naive
  # transcriptions are only there to be compared with.
  own <- unique(counts$file[startsWith(counts$object, "src_")])
  report("engine", unite_lines(counts[counts$file %in% own, ]), keep) && status == 0L
}

# The lines of src/engine that one object has, and whether they were run. What no program links has no counts: its notes alone say which lines it has.
gcov_lines <- function(notes) {
  text <- suppressWarnings(system2("gcov", c("--stdout", "--relative-only", shQuote(notes)), stdout = TRUE, stderr = FALSE))
  fields <- regmatches(text, regexec("^ *([^:]+): *([0-9]+):(.*)$", text))
  fields <- fields[lengths(fields) == 4L]
  count <- vapply(fields, `[[`, "", 2L)
  line <- as.integer(vapply(fields, `[[`, "", 3L))
  rest <- vapply(fields, `[[`, "", 4L)
  begins <- line == 0L & startsWith(rest, "Source:")
  file <- c("", substring(rest[begins], 8L))[cumsum(begins) + 1L]
  keep <- line > 0L & count != "-" & grepl("(^|/)src/engine/", file)
  data.frame(object = rep(basename(notes), sum(keep)), file = sub("^.*src/engine/", "", file[keep]), line = line[keep], run = grepl("^[1-9]", count[keep]))
}

arguments <- commandArgs(TRUE)
parts <- c("lint", "help", "tidy", "coverage", "engine")
reference <- c(sub("^--since=", "", grep("^--since=", arguments, value = TRUE)), "HEAD")[[1L]]
keep <- if (any(startsWith(arguments, "--keep="))) sub("^--keep=", "", grep("^--keep=", arguments, value = TRUE)[[1L]])
wanted <- grep("^--", arguments, value = TRUE, invert = TRUE)
if (length(setdiff(wanted, parts)) > 0L) stop("There is no part \"", setdiff(wanted, parts)[[1L]], "\": ", toString(parts), call. = FALSE)
if (length(wanted) == 0L) wanted <- parts
results <- vapply(wanted, function(part) {
  switch(part, lint = lint(), help = help(), tidy = tidy("--all" %in% arguments, reference), coverage = coverage(keep), engine = engine(keep))
}, NA)
say("%d passed, %d failed, %d skipped", sum(results, na.rm = TRUE), sum(!results, na.rm = TRUE), sum(is.na(results)))
if (any(!results, na.rm = TRUE)) quit(status = 1L)
