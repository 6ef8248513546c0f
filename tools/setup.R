# What the scripts in this folder share: find the package's folder, install the
# packages that it needs and that are missing, install the package itself.
# Nothing is downloaded where nothing is missing.

# The folder of DESCRIPTION, seen from the script that Rscript runs.
package_root <- function() {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  start <- if (length(file) == 1L) dirname(normalizePath(gsub("~+~", " ", file, fixed = TRUE))) else getwd()
  for (folder in c(dirname(start), start)) {
    if (file.exists(file.path(folder, "DESCRIPTION"))) return(normalizePath(folder))
  }
  stop("Run this script from the folder of the package: Rscript tools/demo.R", call. = FALSE)
}

# Where packages go: the user's library, which is created if need be, else the
# first library that can be written to.
use_library <- function() {
  user <- strsplit(Sys.getenv("R_LIBS_USER"), .Platform$path.sep, fixed = TRUE)[[1L]]
  user <- path.expand(utils::head(user[nzchar(user) & user != "NULL"], 1L))
  for (folder in unique(c(user, .libPaths()))) {
    if (!dir.exists(folder)) dir.create(folder, recursive = TRUE, showWarnings = FALSE)
    if (file.access(folder, 2L) == 0L) {
      .libPaths(c(folder, .libPaths()))
      Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep)) # for R CMD INSTALL
      return(normalizePath(folder))
    }
  }
  stop("No R library can be written to. Set R_LIBS_USER to a folder of yours.", call. = FALSE)
}

# The packages in these fields of DESCRIPTION: a data frame of name and least version.
declared_packages <- function(root, fields) {
  entries <- read.dcf(file.path(root, "DESCRIPTION"), fields = fields)
  entries <- trimws(unlist(strsplit(entries[!is.na(entries)], ",", fixed = TRUE)))
  name <- sub("[[:space:]]*\\(.*$", "", entries)
  least <- ifelse(grepl(">=", entries), gsub("^.*>=[[:space:]]*|\\).*$", "", entries), "0.0")
  keep <- nzchar(name) & name != "R" & !duplicated(name)
  data.frame(name = name[keep], least = least[keep], stringsAsFactors = FALSE)
}

missing_packages <- function(wanted) {
  there <- vapply(seq_len(nrow(wanted)), function(i) {
    nzchar(system.file(package = wanted$name[[i]])) &&
      utils::packageVersion(wanted$name[[i]]) >= package_version(wanted$least[[i]])
  }, NA)
  wanted$name[!there]
}

# Installs what is missing of `fields` without `except`.
install_missing <- function(root, fields = c("Depends", "Imports", "LinkingTo"), except = character()) {
  wanted <- declared_packages(root, fields)
  wanted <- wanted[!wanted$name %in% except, ]
  lacking <- missing_packages(wanted)
  if (length(lacking) == 0L) return(invisible())
  if (can_use_apt()) {
    install_with_apt(lacking)
    lacking <- missing_packages(wanted)
  }
  if (length(lacking) > 0L) install_from_repositories(lacking)
  lacking <- missing_packages(wanted)
  if (length(lacking) > 0L) {
    stop("Could not install: ", paste(lacking, collapse = ", "), ". Install by hand, then run this again.", call. = FALSE)
  }
}

# Debian's and Ubuntu's ready-built packages are for their own R only.
can_use_apt <- function() {
  nzchar(Sys.which("apt-get")) && R.home() == "/usr/lib/R" && Sys.info()[["effective_user"]] == "root"
}

install_with_apt <- function(packages) {
  debs <- paste0("r-cran-", tolower(packages))
  message("Installing with apt: ", paste(debs, collapse = ", "))
  apt <- function(...) {
    log <- tempfile()
    options <- c("-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30")
    system2("apt-get", c("-y", "-qq", options, ...), stdout = log, stderr = log, stdin = "", env = "DEBIAN_FRONTEND=noninteractive") == 0L
  }
  install <- function(debs) apt("install", "--no-install-recommends", debs)
  if (install(debs)) return(invisible())
  apt("update")
  # One that Debian does not have must not stand in the way of the others.
  if (!install(debs)) for (deb in debs) install(deb)
}

install_from_repositories <- function(packages) {
  repos <- getOption("repos")
  repos[repos == "@CRAN@"] <- "https://cloud.r-project.org"
  if (length(repos) == 0L) repos <- "https://cloud.r-project.org"
  message("Installing from ", paste(repos, collapse = ", "), ": ", paste(packages, collapse = ", "))
  options(timeout = max(300, getOption("timeout")))
  utils::install.packages(packages, lib = .libPaths()[[1L]], repos = repos, Ncpus = jobs(), quiet = TRUE)
}

jobs <- function() {
  cores <- parallel::detectCores()
  if (is.na(cores)) 1L else min(4L, cores)
}

# The sources of the package, as paths from `root`.
source_files <- function(root) {
  folders <- c("R", "src", "man", "inst")
  files <- list.files(file.path(root, folders), recursive = TRUE, full.names = TRUE)
  files <- files[!grepl("\\.(o|so|dll|a)$", files)]
  files <- c(file.path(root, c("DESCRIPTION", "NAMESPACE", "LICENSE")), files)
  sort(substring(files, nchar(root) + 2L), method = "radix")
}

fingerprint <- function(root, files = source_files(root)) {
  list <- tempfile()
  on.exit(unlink(list))
  writeLines(paste(tools::md5sum(file.path(root, files)), files), list)
  unname(tools::md5sum(list))
}

# Installs the package from a copy, so that nothing is left in its folder. The
# installed copy carries a fingerprint of its sources: it is installed again only
# when they changed.
install_package <- function(root, library = use_library()) {
  name <- read.dcf(file.path(root, "DESCRIPTION"), "Package")[[1L]]
  files <- source_files(root)
  print_of <- fingerprint(root, files)
  field <- "Config/sources"
  description <- file.path(library, name, "DESCRIPTION")
  if (file.exists(description) && identical(unname(read.dcf(description, field)[1L, 1L]), print_of)) {
    return(invisible(name))
  }
  copy <- tempfile("source")
  on.exit(unlink(copy, recursive = TRUE))
  for (folder in unique(dirname(files))) dir.create(file.path(copy, folder), recursive = TRUE, showWarnings = FALSE)
  file.copy(file.path(root, files), file.path(copy, files), copy.date = TRUE)
  cat(field, ": ", print_of, "\n", file = file.path(copy, "DESCRIPTION"), sep = "", append = TRUE)

  if (!nzchar(Sys.getenv("MAKEFLAGS"))) Sys.setenv(MAKEFLAGS = paste0("-j", jobs()))
  message("Compiling ", name, " into ", library, " ... ", appendLF = FALSE)
  seconds <- system.time({
    log <- tempfile(fileext = ".log")
    status <- system2(file.path(R.home("bin"), "R"),
      c("CMD", "INSTALL", "--no-multiarch", paste0("--library=", shQuote(library)), shQuote(copy)),
      stdout = log, stderr = log
    )
  })[["elapsed"]]
  if (status != 0L) {
    message("failed")
    lines <- readLines(log)
    lines <- lines[!grepl("warning: |required from|note: |In instantiation of|^ +(from|[0-9]* *\\|) |In file included", lines)]
    writeLines(c(grep("error: ", lines, value = TRUE), utils::tail(lines, 20L)), stderr())
    stop("The package did not compile; its log ends above.", call. = FALSE)
  }
  message(sprintf("%.0f s", seconds))
  invisible(name)
}
