# How fast models are trained and predict: see README.md in this folder.
#
#   Rscript bench/fit.R [--threads=2] [--instructions=auto] [--epochs=10] [--step=no] [--peak=yes]
#
# `--step=yes` times the engine's training step alone too, without fit() around it; `--peak=no` does without the
# multiply-add peak, which needs a compiler. ATTENTIVE_BUILD names a folder for objects of the engine, kept.

suppressPackageStartupMessages(library(attentive))

arguments <- commandArgs(trailingOnly = TRUE)
option <- function(name, default) {
  found <- grep(sprintf("^--%s=", name), arguments, value = TRUE)
  if (length(found)) sub("^[^=]*=", "", found[[1L]]) else default
}
bench <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[[1L]])))
source(file.path(bench, "peers.R"))
settings <- list(threads = as.integer(option("threads", "2")), instructions = option("instructions", "auto"))
threads <- settings$threads
epochs <- as.integer(option("epochs", "10"))
options(attentive.threads = threads)
if (settings$instructions != "auto") attentive_instructions(settings$instructions)

seconds <- function(call) {
  start <- as.numeric(Sys.time())
  call()
  as.numeric(Sys.time()) - start
}
best <- function(call, times) min(replicate(times, seconds(call)))

# ---- The models ---------------------------------------------------------------

# 2048 sequences of 32 tokens, one encoder block.
small <- function() {
  set.seed(1)
  tokens <- matrix(sample.int(200L, 2048L * 32L, replace = TRUE) - 1L, 2048L)
  inputs <- keras_input(32L, dtype = "int32")
  x <- inputs |> layer_embedding(200L, 32L)
  x <- layer_layer_normalization(x + layer_multi_head_attention(x, num_heads = 2L, key_dim = 16L))
  x <- layer_layer_normalization(x + (x |> layer_dense(64L, activation = "relu") |> layer_dense(32L)))
  outputs <- x |> layer_global_average_pooling_1d() |> layer_dense(1L, activation = "sigmoid")
  list(
    name = "classifier, 2048 x 32 tokens, width 32, 2 heads, batch 32", model = keras_model(inputs, outputs),
    x = tokens, y = as.numeric(rowSums(tokens > 99L) > 16L), batch = 32L, loss = "binary_crossentropy"
  )
}

# 32 sequences of 512 x 256, attention with dropout.
large <- function() {
  set.seed(2)
  inputs <- keras_input(c(512L, 256L))
  outputs <- inputs |>
    layer_multi_head_attention(num_heads = 8L, key_dim = 32L, dropout = 0.1) |>
    layer_global_average_pooling_1d() |>
    layer_dense(1L)
  list(
    name = "attention, 32 x 512 x 256, 8 heads, dropout 0.1, batch 8", model = keras_model(inputs, outputs),
    x = array(rnorm(32 * 512 * 256), c(32L, 512L, 256L)), y = rnorm(32L), batch = 8L, loss = "mean_squared_error",
    # forward 8 B L E^2 + 4 B L^2 E, the backward pass twice that
    gflop = 3 * 32 * (8 * 512 * 256^2 + 4 * 512^2 * 256) / 1e9
  )
}

# ---- What is timed ---------------------------------------------------------------

# An epoch of the engine's steps alone, with the optimizer's own settings.
time_steps <- function(case) {
  internal <- asNamespace("attentive")
  plan <- internal$build_program(case$self$inputs, case$self$outputs, case$self$nodes)
  program <- internal$program_create(plan, FALSE)
  zeros <- function(v) internal$new_variable(raw(length(v[["value"]])), v[["shape"]], v[["dtype"]], "slot", "slot")
  training <- internal$training_create(list(
    losses = list(list(kind = case$loss)), shapes = lapply(plan$variables, function(v) v[["shape"]]),
    optimizer = list(kind = "adam")
  ), FALSE)
  slots <- lapply(plan$variables, function(v) lapply(internal$training_slots(training), function(name) zeros(v)))
  data <- internal$dataset_create(list(case$x, case$y), FALSE, threads)
  rows <- split(seq_along(case$y), (seq_along(case$y) - 1L) %/% case$batch)
  epoch <- function() {
    for (i in seq_along(rows)) {
      internal$training_step(program, training, data, list(y = 2L), rows[[i]], plan$variables, slots, i, 1e-3, i, threads)
    }
  }
  epoch()
  best(epoch, epochs)
}

with_peak <- option("peak", "yes") == "yes"
if (with_peak) engine <- build_engine(settings)
cat(sprintf("%s, %s, %d threads; best of %d\n", processor(), attentive_info()$instructions, threads, epochs))
for (case in list(small(), large())) {
  case$self <- environment(case$model)
  cat("\n", case$name, "\n", sep = "")
  if (option("step", "no") == "yes") cat(sprintf("  steps alone, an epoch   %8.1f ms\n", 1e3 * time_steps(case)))
  compile(case$model, optimizer = "adam", loss = case$loss)
  fit_epoch <- function() fit(case$model, case$x, case$y, batch_size = case$batch, epochs = 1L, verbose = 0L)
  fit_epoch()
  took <- best(fit_epoch, epochs)
  cat(sprintf("  fit(), one epoch        %8.1f ms\n", 1e3 * took))
  if (!is.null(case$gflop) && with_peak) {
    peak <- engine$peak()
    cat(sprintf("  of the multiply-add peak    %4.2f (%.0f of %.0f GFLOP/s)\n", case$gflop / took / peak, case$gflop / took, peak))
  }
  predicted <- function() predict(case$model, case$x, verbose = 0L)
  predicted()
  cat(sprintf("  predict()               %8.1f ms\n", 1e3 * best(predicted, epochs)))
}
