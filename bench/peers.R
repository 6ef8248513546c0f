# What attention.R compares with: the engine's programs without R, and other
# software where it is installed.

root <- dirname(bench)

processor <- function() {
  if (!file.exists("/proc/cpuinfo")) return(Sys.info()[["machine"]])
  line <- grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)
  if (length(line)) trimws(sub("^[^:]*:", "", line[[1L]])) else Sys.info()[["machine"]]
}

# ---- The engine, without R --------------------------------------------------

# The engine's own programs, compiled with R's compiler and plain -O2, as the
# package is. Files that need Eigen are not needed here.
engine_programs <- c("core", "textbook", "backward", "siblings", "matrix_product")
build_engine <- function(settings) {
  build <- Sys.getenv("ATTENTIVE_BUILD", file.path(tempdir(), "engine"))
  dir.create(build, showWarnings = FALSE, recursive = TRUE)
  sources <- list.files(file.path(root, "src/engine"), "[.]cpp$", recursive = TRUE, full.names = TRUE)
  needs_eigen <- vapply(sources, function(file) any(grepl("include *<Eigen", readLines(file))), NA)
  objects <- c(sources[!needs_eigen], file.path(bench, "engine", paste0(c("peak", engine_programs), ".cpp")))
  names(objects) <- file.path(build, sub("cpp$", "o", basename(objects)))
  library <- names(objects)[!basename(objects) %in% paste0(engine_programs, ".cpp")]
  compiler <- system2(file.path(R.home("bin"), "R"), c("CMD", "config", "CXX17"), stdout = TRUE)
  command <- sprintf("%s -std=c++17 -O2 -pthread -I%s", compiler, shQuote(file.path(root, "src/engine")))
  headers <- list.files(file.path(root, "src/engine"), "[.]h$", recursive = TRUE, full.names = TRUE)
  rule <- function(target, needs, recipe) c(sprintf("%s: %s", target, paste(needs, collapse = " ")), paste0("\t", recipe))
  program <- function(name) {
    parts <- c(file.path(build, paste0(name, ".o")), library)
    rule(file.path(build, name), parts, sprintf("%s %s -o $@", command, paste(parts, collapse = " ")))
  }
  makefile <- file.path(build, "Makefile")
  writeLines(c(
    rule("all", file.path(build, engine_programs), "@true"), unlist(lapply(engine_programs, program)),
    unlist(Map(function(object, source) rule(object, c(source, headers), paste(command, "-c", source, "-o $@")), names(objects), objects))
  ), makefile)
  message("compiling the engine's programs")
  log <- suppressWarnings(system2("make", c("-j2", "-f", shQuote(makefile), "all"), stdout = TRUE, stderr = TRUE))
  if (!is.null(attr(log, "status"))) stop("make failed:\n", paste(utils::tail(log, 20L), collapse = "\n"))
  list(
    compiler = system2(strsplit(compiler, " ")[[1L]][[1L]], "--version", stdout = TRUE)[[1L]],
    peak = function() measured_peak(build, settings), core = function(row) core_ms(build, row, settings),
    textbook = function(row) if (settings$textbook && !row$scores) textbook_ms(build, row) else NA_real_,
    lines = function(name) program_lines(build, name, settings)
  )
}

# What a program prints, all of its rows.
program_lines <- function(build, name, settings, words = NULL) {
  chosen <- settings$instructions != "auto"
  options <- if (name == "matrix_product") {
    c(settings$threads, if (chosen) settings$instructions)
  } else {
    c("--threads", settings$threads, if (chosen) c("--level", settings$instructions))
  }
  system2(file.path(build, name), c(options, words), stdout = TRUE)
}
run_core <- function(build, words, settings) program_lines(build, "core", settings, words)
measured_peak <- function(build, settings) {
  line <- grep("peak", run_core(build, c("--seconds", "0.1", "no-such-row"), settings), value = TRUE)[[1L]]
  as.numeric(sub(".*peak ([0-9.]+) GFLOP/s.*", "\\1", line))
}
core_ms <- function(build, row, settings) {
  size <- paste(c(if (row$B > 1L) row$B, row$L, row$H, row$D), collapse = "x")
  name <- paste(size, if (row$causal) "causal" else "dense")
  out <- run_core(build, c("--seconds", settings$seconds, shQuote(name)), settings)
  line <- grep(paste0("^ *", name, " "), out, value = TRUE)
  if (length(line)) as.numeric(sub(paste0("^ *", name, " +([0-9.]+) ms.*"), "\\1", line[[1L]])) else NA_real_
}
textbook_ms <- function(build, row) {
  as.numeric(system2(file.path(build, "textbook"),
    c(row$kind, row$B, row$L, row$H, row$D, if (row$causal) "causal" else "dense"), stdout = TRUE))
}

# ---- Peers ------------------------------------------------------------------

# Row-major float32, as every peer wants it.
write_floats <- function(x, file) writeBin(as.numeric(if (is.null(dim(x)) || length(dim(x)) == 1L) x else aperm(x)), file, size = 4L)
read_floats <- function(file, dim) {
  aperm(array(readBin(file, "numeric", prod(dim), size = 4L), rev(dim)))
}

# Runs `command` on a job file; a list of ms and result, or NA where it failed.
run_peer <- function(command, row, given, settings, more) {
  folder <- tempfile("peer")
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  inputs <- lapply(names(given), function(name) {
    file <- file.path(folder, name)
    write_floats(given[[name]], file)
    list(file = file, dims = as.list(if (is.null(dim(given[[name]]))) length(given[[name]]) else dim(given[[name]])))
  })
  output <- file.path(folder, "output")
  job <- c(list(inputs = stats::setNames(inputs, names(given)), output = output, threads = settings$threads, seconds = settings$seconds), more)
  file <- file.path(folder, "job.json")
  writeLines(jsonlite::toJSON(job, auto_unbox = TRUE), file)
  out <- suppressWarnings(system2(command[[1L]], c(shQuote(command[-1L]), shQuote(file)), stdout = TRUE, stderr = TRUE))
  answer <- grep("^[{].*ms", out, value = TRUE)
  if (!length(answer)) {
    message("  a peer failed: ", paste(utils::tail(out, 3L), collapse = " "))
    return(list(ms = NA_real_, result = NULL))
  }
  answer <- jsonlite::fromJSON(answer[[1L]])
  list(ms = answer$ms, result = read_floats(output, c(row$B, row$L, row$E)))
}

find_onnxruntime <- function() {
  graphs <- Sys.getenv("ATTENTIVE_BENCH_GRAPHS", file.path(root, "../shared/peers"))
  if (!nzchar(Sys.which("node")) || !dir.exists(graphs)) return("onnxruntime: left out, no node or no folder of graphs")
  folder <- Sys.getenv("ATTENTIVE_BENCH_NODE", file.path(tempdir(), "node"))
  module <- file.path(folder, "node_modules", "onnxruntime-node")
  if (!dir.exists(module) && nzchar(Sys.which("npm"))) {
    message("installing onnxruntime-node")
    dir.create(folder, showWarnings = FALSE, recursive = TRUE)
    # its install script only fetches what graphics cards need
    suppressWarnings(system2("npm", c("install", "--prefix", shQuote(folder), "--no-audit", "--no-fund", "--ignore-scripts", "onnxruntime-node"),
      stdout = FALSE, stderr = FALSE))
  }
  if (!dir.exists(module)) return("onnxruntime: left out, npm could not install onnxruntime-node")
  version <- jsonlite::fromJSON(file.path(module, "package.json"))$version
  run <- function(row, given, settings) {
    graph <- file.path(graphs, sprintf("%s_%s_%d_%d.onnx", row$kind, if (row$causal) "causal" else "dense", row$E, row$H))
    if (!file.exists(graph)) return(list(ms = NA_real_, result = NULL))
    run_peer(c("node", file.path(bench, "peers/onnxruntime.js")), row, given, settings,
      list(module = normalizePath(module), graph = normalizePath(graph)))
  }
  structure(run, about = paste("onnxruntime-node", version, "(no R, no conversion of arrays)"))
}

find_pytorch <- function() {
  python <- Sys.getenv("ATTENTIVE_BENCH_PYTHON", "python3")
  version <- suppressWarnings(tryCatch(
    system2(python, c("-c", shQuote("import torch; print(torch.__version__)")), stdout = TRUE, stderr = FALSE),
    error = function(e) character()
  ))
  if (!length(version) || !is.null(attr(version, "status"))) return("PyTorch: left out, no Python with torch")
  run <- function(row, given, settings) {
    run_peer(c(python, file.path(bench, "peers/pytorch.py")), row, given, settings, list(kind = row$kind, heads = row$H, causal = row$causal))
  }
  structure(run, about = paste("PyTorch", version[[length(version)]], "(no R, no conversion of arrays)"))
}

# A list of functions (row, given, settings) -> list(ms, result); what is missing is told.
find_peers <- function() {
  if (!requireNamespace("jsonlite", quietly = TRUE)) return(structure(list(), missing = "peers: left out, they need jsonlite"))
  found <- list(onnxruntime = find_onnxruntime(), PyTorch = find_pytorch())
  missing <- unlist(Filter(is.character, found), use.names = FALSE)
  structure(Filter(is.function, found), missing = missing)
}
