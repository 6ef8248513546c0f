# How fast attention is, next to what else a user could take: see README.md in
# this folder.
#
#   Rscript bench/attention.R [--threads=2] [--instructions=auto] [--seconds=1] [--textbook=yes] [--save=FILE] [row ...]
#
# `row` picks rows whose name contains it; the textbook takes most of the time. From the environment:
#   ATTENTIVE_BENCH_GRAPHS  folder of the ONNX graphs, ../shared/peers by default
#   ATTENTIVE_BENCH_NODE    folder for npm's onnxruntime-node, kept; else a temporary one
#   ATTENTIVE_BENCH_PYTHON  a Python with PyTorch, python3 by default
#   ATTENTIVE_BUILD         folder for objects of the engine, kept; else a temporary one

suppressPackageStartupMessages(library(attentive))

arguments <- commandArgs(trailingOnly = TRUE)
option <- function(name, default) {
  found <- grep(sprintf("^--%s=", name), arguments, value = TRUE)
  if (length(found)) sub("^[^=]*=", "", found[[1L]]) else default
}
this_file <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[[1L]]))
bench <- dirname(this_file)
source(file.path(bench, "peers.R"))

settings <- list(
  threads = as.integer(option("threads", "2")), instructions = option("instructions", "auto"),
  seconds = as.numeric(option("seconds", "1")), textbook = option("textbook", "yes") == "yes", save = option("save", NULL),
  rows = grep("^--", arguments, value = TRUE, invert = TRUE)
)

# ---- Rows -------------------------------------------------------------------

# B batch, L length, H heads, D head size; the features of a layer are H * D.
row <- function(kind, B, L, H, D, causal = FALSE, scores = FALSE) {
  list(
    kind = kind, B = B, L = L, H = H, D = D, E = H * D, causal = causal, scores = scores,
    name = sprintf("%s %dx%dx%dx%d %s%s", kind, B, L, H, D, if (causal) "causal" else "dense", if (scores) " scores" else "")
  )
}
rows <- list(
  row("core", 1L, 2048L, 8L, 64L), row("core", 1L, 2048L, 8L, 64L, causal = TRUE),
  row("core", 1L, 512L, 8L, 64L), row("core", 1L, 512L, 8L, 64L, causal = TRUE),
  row("core", 1L, 128L, 8L, 64L), row("core", 16L, 64L, 12L, 32L),
  row("layer", 1L, 2048L, 8L, 64L), row("layer", 1L, 2048L, 8L, 64L, causal = TRUE),
  row("layer", 4L, 512L, 8L, 64L), row("layer", 8L, 128L, 8L, 64L), row("layer", 8L, 128L, 12L, 32L),
  row("layer", 32L, 16L, 2L, 16L), row("layer", 1L, 16L, 2L, 16L), row("layer", 1L, 2048L, 8L, 64L, scores = TRUE)
)

# Multiplications and additions that the result needs; causal counts half.
useful_flops <- function(row) {
  pairs <- row$B * row$L^2 * if (row$causal) 0.5 else 1
  projections <- if (row$kind == "layer") 8 * row$B * row$L * row$E^2 else 0
  4 * pairs * row$E + projections
}

# ---- What is timed ----------------------------------------------------------

# Milliseconds of one call, the best of many: short calls are timed in groups of
# at least 5 ms, as R's clock is coarse.
best_ms <- function(call, seconds = settings$seconds, least = 3L) {
  now <- function() as.numeric(Sys.time())
  start <- now()
  call()
  group <- max(1L, as.integer(ceiling(0.005 / max(now() - start, 1e-6))))
  best <- Inf
  end <- now() + seconds
  runs <- 0L
  while (runs < least || now() < end) {
    start <- now()
    for (i in seq_len(group)) call()
    best <- min(best, (now() - start) / group)
    runs <- runs + 1L
  }
  1000 * best
}

# x or q, k, v, and for a layer its weights, as the peers get them.
problem <- function(row) {
  set.seed(1)
  numbers <- function(...) array(stats::rnorm(prod(...)) / 2, c(...))
  if (row$kind == "core") {
    return(list(q = numbers(row$B, row$L, row$E), k = numbers(row$B, row$L, row$E), v = numbers(row$B, row$L, row$E)))
  }
  weight <- function() numbers(row$E, row$E) / sqrt(row$E)
  list(
    x = numbers(row$B, row$L, row$E), wq = weight(), bq = numbers(row$E), wk = weight(), bk = numbers(row$E),
    wv = weight(), bv = numbers(row$E), wo = weight(), bo = numbers(row$E)
  )
}

# The same as a call of the package's layer.
our_call <- function(row, given) {
  layer <- layer_multi_head_attention(num_heads = row$H, key_dim = row$D)
  x <- given$x
  layer(x[1L, 1L, , drop = FALSE], x[1L, 1L, , drop = FALSE]) # builds it
  # row-major [E, H * D] is [E, H, D]
  heads_last <- function(w) aperm(array(t(w), c(row$D, row$H, row$E)), 3:1)
  heads <- function(b) t(array(b, c(row$D, row$H)))
  set_weights(layer, list(
    heads_last(given$wq), heads(given$bq), heads_last(given$wk), heads(given$bk), heads_last(given$wv), heads(given$bv),
    aperm(array(t(given$wo), c(row$E, row$D, row$H)), 3:1), given$bo
  ))
  if (row$scores) {
    return(function() layer(x, x, return_attention_scores = TRUE, threads = settings$threads))
  }
  function() layer(x, x, use_causal_mask = row$causal, threads = settings$threads)
}

# Plain R, with %*% of whatever BLAS this R has.
plain_r_core <- function(q, k, v, row) {
  out <- array(0, dim(q))
  for (b in seq_len(row$B)) {
    for (h in seq_len(row$H)) {
      columns <- (h - 1L) * row$D + seq_len(row$D)
      scores <- tcrossprod(matrix(q[b, , columns], row$L), matrix(k[b, , columns], row$L)) / sqrt(row$D)
      if (row$causal) scores[upper.tri(scores)] <- -Inf
      scores <- exp(scores - scores[cbind(seq_len(row$L), max.col(scores, "first"))])
      out[b, , columns] <- (scores / rowSums(scores)) %*% matrix(v[b, , columns], row$L)
    }
  }
  out
}
plain_r_call <- function(row, given) {
  dense <- function(x, w, b) array(sweep(matrix(x, row$B * row$L) %*% w, 2L, b, "+"), dim(x))
  if (row$kind == "core") {
    return(function() plain_r_core(given$q, given$k, given$v, row))
  }
  function() {
    q <- dense(given$x, given$wq, given$bq)
    k <- dense(given$x, given$wk, given$bk)
    v <- dense(given$x, given$wv, given$bv)
    dense(plain_r_core(q, k, v, row), given$wo, given$bo)
  }
}

# ---- Memory -----------------------------------------------------------------

# MB that one call needs above what the session holds already, its result
# included: the growth of the process's peak, in a process of its own.
memory_status <- function(field) {
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}
measure_memory <- function(row) {
  call <- our_call(row, problem(row))
  invisible(gc())
  cat("5", file = "/proc/self/clear_refs")
  before <- memory_status("VmRSS")
  call()
  cat(memory_status("VmHWM") - before, "\n")
}
memory_mb <- function(row) {
  if (row$kind == "core" || !file.exists("/proc/self/clear_refs")) return(NA_real_)
  paths <- paste(.libPaths(), collapse = .Platform$path.sep)
  out <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"),
    c(shQuote(this_file), shQuote(paste0("--memory=", row$name)), paste0("--threads=", settings$threads)),
    stdout = TRUE, stderr = FALSE, env = paste0("R_LIBS=", shQuote(paths))
  ))
  if (length(out)) as.numeric(out[[length(out)]]) else NA_real_
}
asked_memory <- option("memory", NULL)
if (!is.null(asked_memory)) {
  measure_memory(Filter(function(row) row$name == asked_memory, rows)[[1L]])
  quit("no")
}

# ---- One row of the table ---------------------------------------------------

largest_difference <- function(a, b) if (is.null(a) || is.null(b)) NA_real_ else max(abs(a - b))

run_row <- function(row, engine, peers) {
  message(row$name)
  given <- problem(row)
  flops <- useful_flops(row)
  ours <- result <- NULL
  if (row$kind == "core") {
    ours <- engine$core(row)
  } else {
    call <- our_call(row, given)
    result <- call()
    if (row$scores) result <- result[[1L]]
    ours <- best_ms(call)
  }
  plain <- plain_r_call(row, given)
  reference <- plain()
  plain_ms <- best_ms(plain, seconds = 0, least = if (flops > 1e9) 1L else 3L)
  timed <- if (row$scores) list() else lapply(peers, function(peer) peer(row, given, settings))
  differences <- c(largest_difference(result, reference), vapply(timed, function(t) largest_difference(t$result, reference), 0))
  if (any(differences > 1e-3, na.rm = TRUE)) stop("results differ by ", max(differences, na.rm = TRUE), ": not the same work")
  list(
    row = row, ms = ours, gflops = flops / ours / 1e6, memory = memory_mb(row), textbook = engine$textbook(row), plain = plain_ms,
    peers = vapply(timed, function(t) t$ms, 0), difference = max(c(0, differences), na.rm = TRUE)
  )
}

number <- function(x, digits = 3L) if (length(x) == 0L || is.na(x)) "-" else formatC(signif(x, digits), format = "fg", big.mark = "")

table_lines <- function(results, peak, peer_names) {
  titles <- c("work (B x L x heads x size)", "ms", "GFLOP/s", "share of peak", "memory MB", "textbook", "plain R", peer_names)
  cells <- vapply(results, function(r) {
    peers <- vapply(peer_names, function(name) number(if (name %in% names(r$peers)) r$peers[[name]] else NA), "")
    c(r$row$name, number(r$ms), number(r$gflops), sprintf("%.2f", r$gflops / peak), number(r$memory), number(r$textbook), number(r$plain), peers)
  }, character(length(titles)))
  cells <- rbind(titles, c(":--", rep("--:", length(titles) - 1L)), t(cells))
  widths <- apply(nchar(cells), 2L, max)
  cells[2L, ] <- c(strrep("-", widths[[1L]]), paste0(strrep("-", widths[-1L] - 1L), ":"))
  for (j in seq_along(widths)) cells[, j] <- formatC(cells[, j], width = if (j == 1L) -widths[[j]] else widths[[j]])
  apply(cells, 1L, function(line) paste0("| ", paste(line, collapse = " | "), " |"))
}

# Additive attention of one sequence of 512, one head of 64: the layer from R,
# and the same in plain R.
additive_lines <- function() {
  set.seed(1)
  q <- array(stats::rnorm(512 * 64), c(1, 512, 64))
  v <- array(stats::rnorm(512 * 64), c(1, 512, 64))
  layer <- layer_additive_attention()
  layer(list(q, v))
  scale <- get_weights(layer)[[1L]]
  plain <- function() {
    q <- q[1L, , ]
    v <- v[1L, , ]
    scores <- t(apply(q, 1L, function(row) colSums(tanh(t(v) + row) * c(scale))))
    scores <- exp(scores - apply(scores, 1L, max))
    (scores / rowSums(scores)) %*% v
  }
  result <- layer(list(q, v))[1L, , ]
  reference <- plain()
  sprintf("layer_additive_attention() from R, 1 x 512 x 64: %.2f ms; plain R: %.0f ms; results differ by at most %.1e", best_ms(function() {
    layer(list(q, v), threads = settings$threads)
  }), best_ms(plain, seconds = 0), largest_difference(result, reference))
}

main <- function() {
  if (settings$instructions != "auto") attentive_instructions(settings$instructions)
  wanted <- Filter(function(row) !length(settings$rows) || any(vapply(settings$rows, grepl, NA, row$name, fixed = TRUE)), rows)
  engine <- build_engine(settings)
  peers <- find_peers()
  before <- engine$peak()
  results <- lapply(wanted, run_row, engine = engine, peers = peers)
  peak <- max(before, engine$peak())
  info <- attentive_info()
  lines <- c(
    sprintf("%s, %s; %s", processor(), R.version.string, engine$compiler),
    sprintf("attentive %s, %s, %d threads, float32; multiply-add peak %.0f GFLOP/s in this run",
      format(info$version), info$instructions, settings$threads, peak),
    sprintf("plain R: %%*%% of %s", basename(extSoftVersion()[["BLAS"]])),
    vapply(names(peers), function(name) sprintf("%s: %s", name, attr(peers[[name]], "about")), ""), attr(peers, "missing"), "",
    table_lines(results, peak, names(peers)), "",
    sprintf("Times in ms. Results differ by at most %.1e.", max(vapply(results, function(r) r$difference, 0)))
  )
  if (!length(settings$rows)) {
    for (name in c("core", "backward", "siblings", "matrix_product")) {
      message(name)
      lines <- c(lines, "", sprintf("The engine's program `%s`:", name), "", "```", engine$lines(name), "```")
    }
    lines <- c(lines, "", additive_lines())
  }
  writeLines(lines)
  if (!is.null(settings$save)) writeLines(lines, settings$save)
}
main()
