# A real, pre-trained attention layer looks at real sentences.
#
#   Rscript tools/demo.R [WORD]
#
# Installs what is missing and the package itself, into the user's library. Prints which words each head looks at from WORD
# ("it" unless given), compares outputs and scores with recorded ones, and draws the heat maps of all heads into
# attentive-demo.png in the current folder. Ends with a status other than 0 where the numbers are not the recorded ones.

local({
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  sys.source(file.path(if (length(file) == 1L) dirname(file) else "tools", "setup.R"), envir = globalenv())
})
root <- package_root()
home <- use_library()
install_missing(root)
install_package(root, home)
suppressPackageStartupMessages(library(attentive, lib.loc = home))

data_file <- function(name) file.path(root, "tools", "demo-data", name)
weights <- read_safetensors(data_file("minilm-layer-0-attention.safetensors"))
data <- readRDS(data_file("sentences.rds"))
heads <- 12
size <- 32

# The hub stores a dense layer as [out, in], the heads side by side; here a kernel is [in, head, size], and the one of the output [head, size, out].
weight <- function(part, what) weights[[paste0("encoder.layer.0.attention.", part, ".", what)]]
kernel <- function(part) aperm(array(t(weight(part, "weight")), c(384, size, heads)), c(1, 3, 2))
bias <- function(part) t(array(weight(part, "bias"), c(size, heads)))
output_kernel <- aperm(array(t(weight("output.dense", "weight")), c(size, heads, 384)), c(2, 1, 3))

pretrained <- function(dtype) {
  layer <- layer_multi_head_attention(num_heads = heads, key_dim = size, dtype = dtype)
  layer$build(c(NA, NA, 384), c(NA, NA, 384))
  set_weights(layer, list(
    kernel("self.query"), bias("self.query"), kernel("self.key"), bias("self.key"),
    kernel("self.value"), bias("self.value"), output_kernel, weight("output.dense", "bias")
  ))
  layer
}

# ---- Where does a word look? -------------------------------------------------

arguments <- commandArgs(TRUE)
word <- if (length(arguments) > 0L) arguments[[1L]] else "it"
layer <- pretrained("float64")
sentence <- grep("trophy", data$sentences)[[1L]]
tokens <- data$tokens[sentence, ]
if (!word %in% tokens) stop("The words of the sentence are: ", paste(tokens, collapse = " "), call. = FALSE)

# Names of the tokens travel with the array and label everything that comes out.
x <- data$hidden_in[sentence, , , drop = FALSE]
dimnames(x) <- list(NULL, tokens, NULL)
scores <- layer(x, x, return_attention_scores = TRUE)$attention_scores

cat("\nThe first attention layer of a sentence encoder (all-MiniLM-L6-v2): 12 heads of 32, width 384.\n")
cat("\"", data$sentences[[sentence]], "\"\n\n", sep = "")
cat("What \"", word, "\" looks at, the four largest weights of each head:\n\n", sep = "")
from <- match(word, tokens)
for (head in seq_len(heads)) {
  row <- scores[1, head, from, ]
  top <- order(row, decreasing = TRUE)[1:4]
  cat(sprintf("  head %2d   %s\n", head, paste(sprintf("%-9s %.2f", tokens[top], row[top]), collapse = "   ")))
}

# ---- Are the numbers right? ----------------------------------------------------

scaled_error <- function(got, want) max(abs(as.array(got) - want)) / max(1, abs(want))
cat("\nAll sentences against the recorded outputs and scores, largest scaled error:\n\n")
bounds <- c(float64 = 1e-11, float32 = 1e-4)
right <- TRUE
for (dtype in names(bounds)) {
  layer <- pretrained(dtype)
  seconds <- system.time(
    result <- layer(data$hidden_in, data$hidden_in, value_mask = data$attention_mask, return_attention_scores = TRUE)
  )[["elapsed"]]
  errors <- c(
    scaled_error(result$attention_output, data$attention_out), scaled_error(result$attention_scores, data$scores)
  )
  good <- all(errors < bounds[[dtype]])
  right <- right && good
  cat(sprintf(
    "  %s   outputs %.1e   scores %.1e   %s (bound %.0e)   %.0f ms\n",
    dtype, errors[[1L]], errors[[2L]], if (good) "equal" else "DIFFERENT", bounds[[dtype]], 1000 * seconds
  ))
}

# ---- A picture -------------------------------------------------------------------

picture <- file.path(getwd(), "attentive-demo.png")
grDevices::png(picture, width = 1500, height = 1080, res = 135)
plot(scores, main = data$sentences[[sentence]])
invisible(grDevices::dev.off())
cat("\nHeat maps of the 12 heads: ", picture, "\n", sep = "")
if (!right) quit(status = 1L)
