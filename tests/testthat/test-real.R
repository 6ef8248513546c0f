# A real pre-trained transformer on real sentences: layers 0 and 5 of all-MiniLM-L6-v2, recorded in double precision. Model and
# record are too large for the package: they are looked for in `shared/real` beside the sources, or where ATTENTIVE_SHARED says.

find_shared <- function() {
  given <- Sys.getenv("ATTENTIVE_SHARED")
  if (nzchar(given)) return(given)
  folder <- normalizePath(test_path("."))
  repeat {
    candidate <- file.path(folder, "shared")
    if (file.exists(file.path(candidate, "real", "minilm_public.rds"))) return(candidate)
    if (dirname(folder) == folder) return(NULL)
    folder <- dirname(folder)
  }
}

shared <- find_shared()

# The hub keeps a dense weight as [out, in] with the heads side by side.
hub_weights <- function(tensors, layer, heads = 12) {
  tensor <- function(name) tensors[[sprintf("encoder.layer.%d.attention.%s", layer, name)]]
  into <- function(name) {
    w <- tensor(paste0("self.", name, ".weight"))
    b <- tensor(paste0("self.", name, ".bias"))
    list(aperm(array(t(w), c(ncol(w), nrow(w) / heads, heads)), c(1, 3, 2)), t(array(b, c(length(b) / heads, heads))))
  }
  out <- tensor("output.dense.weight")
  c(
    into("query"), into("key"), into("value"),
    list(aperm(array(t(out), c(ncol(out) / heads, heads, nrow(out))), c(2, 1, 3)), tensor("output.dense.bias"))
  )
}

check_real <- function(dtype, bound) {
  skip_if(is.null(shared), "shared/real (the model and the record of its layers, 90 MB) is not there")
  record <- readRDS(file.path(shared, "real", "minilm_public.rds"))[[1]]
  model <- file.path(shared, "real", "all-MiniLM-L6-v2", "model.safetensors")
  parts <- c("self.query", "self.key", "self.value", "output.dense")
  for (i in seq_along(record$layers)) {
    number <- c(0, 5)[i]
    names <- paste0("encoder.layer.", number, ".attention.", rep(parts, each = 2), c(".weight", ".bias"))
    it <- record$layers[[i]]
    layer <- layer_multi_head_attention(num_heads = 12, key_dim = 32, dtype = dtype)
    layer$build(dim(it$hidden_in), dim(it$hidden_in))
    set_weights(layer, hub_weights(read_safetensors(model, names), number))
    both <- layer(it$hidden_in, it$hidden_in, value_mask = record$attention_mask, return_attention_scores = TRUE)
    expect_close(both$attention_output, it$attention_out, bound, sprintf("layer %d output (%s)", number, dtype))
    expect_close(both$attention_scores, it$scores, bound, sprintf("layer %d scores (%s)", number, dtype))
    expect_close(layer(it$hidden_in, value_mask = record$attention_mask), it$attention_out, bound, sprintf("layer %d output alone (%s)", number, dtype))
  }
}

test_that("layers 0 and 5 of a real model agree with the record in double precision", {
  check_real("float64", 1e-11)
})

test_that("layers 0 and 5 of a real model agree with the record in single precision", {
  check_real("float32", 1e-4)
})
