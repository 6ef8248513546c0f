#' Embedding: a vector for every token
#'
#' Looks the row of a table up for every id; the table is trained.
#'
#' @section Shapes:
#' | what | dim |
#' |---|---|
#' | ids | `[B, T]`, or any other shape: whole numbers from 0 to `input_dim - 1` |
#' | output | that of the ids and `output_dim` |
#' | embeddings | `[input_dim, output_dim]` |
#'
#' With `mask_zero` the id 0 is padding: the result carries a mask that attention layers, averages and losses take into account. Row 0 of the table exists all the same.
#' Source: the documentation of Keras's `Embedding`.
#'
#' @inheritParams layer_dense
#' @param input_dim Size of the vocabulary: one more than the largest id.
#' @param output_dim Number of features of a token.
#' @param embeddings_initializer How the table begins; by default uniform between -0.05 and 0.05.
#' @param embeddings_regularizer Penalty on the table.
#' @param embeddings_constraint What the table must obey after each training step.
#' @param mask_zero Whether the id 0 is padding.
#' @param weights The table to begin with, a matrix `[input_dim, output_dim]`, or a list that holds it.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` for ids that are not in the table, `_weights` for a table of a wrong shape; else see [attentive_errors].
#' @family layers
#' @examples
#' ids <- rbind(c(3, 5, 0), c(1, 2, 4))
#' layer <- layer_embedding(input_dim = 6, output_dim = 2, mask_zero = TRUE)
#' dim(layer(ids))
#' layer$compute_mask(ids)
#' @export
layer_embedding <- function(
    object, input_dim, output_dim, embeddings_initializer = "uniform", embeddings_regularizer = NULL, embeddings_constraint = NULL,
    mask_zero = FALSE, weights = NULL, ...) {
  call <- environment()
  object <- first_argument(call)
  dots <- list(...)
  check_dots_names(dots, c(simple_dots, "input_length"), "`layer_embedding()`", call)
  if (missing(input_dim)) abort_missing("input_dim", "the size of the vocabulary", call)
  if (missing(output_dim)) abort_missing("output_dim", "the number of features of a token", call)
  self <- new_self(c("embedding", "simple_layer"), "Embedding", "embedding", dots, call)
  self$input_dim <- check_whole(input_dim, "input_dim", call = call)
  self$output_dim <- check_whole(output_dim, "output_dim", call = call)
  if (self$dtype == "float32" && self$input_dim > 2^24) {
    abort_argument(input_dim, "input_dim", "at most 16777216 for float32", hint = "`dtype = \"float64\"` takes larger ids.", call = call)
  }
  self$mask_zero <- check_flag(mask_zero, "mask_zero", call = call)
  take_specifications(self, call, list(embeddings = "uniform"), "embeddings", "embeddings")
  take_seed(self, dots$seed, call)
  if (!is.null(weights)) {
    layer_build(self, list(), call)
    if (is.list(weights) && length(weights) == 1L) weights <- weights[[1L]]
    variable_assign(self$embeddings, weights, "weights", call)
  }
  layer <- new_layer(self)
  # a table that is there already was made before the layer had its name
  table <- self$embeddings
  if (self$built) table[["path"]] <- paste0(self$name, "/embeddings")
  compose_layer(layer, object, call)
}

layer_build.embedding <- function(self, shapes, call = NULL) {
  if (self$built) return(invisible(self))
  self$embeddings <- new_weight(self, "embeddings", c(self$input_dim, self$output_dim), call = call)
  self$weights <- list(self$embeddings)
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.embedding <- function(self, shapes, call = NULL) c(shapes[[1L]], self$output_dim)

# A logical array, or a symbolic tensor of dtype "bool".
layer_compute_mask.embedding <- function(self, inputs, previous_mask) {
  if (!self$mask_zero) return(NULL)
  as_input(inputs, "inputs") != 0
}

layer_emit.embedding <- function(self, builder, inputs, arguments) {
  ids <- inputs[[1L]]$value
  handle(
    add_node(builder, "embedding", ids, list(width = self$output_dim), variables = list(self$embeddings)),
    if (self$mask_zero) emit_token_mask(builder, ids) else -1L
  )
}

check_numbers.embedding <- function(self, inputs, call = NULL) check_ids(inputs[[1L]], self$input_dim, self$name, call)

# Ids must be whole numbers from 0; the message says where the first wrong one stands.
# `of` names the array where it is an input of a model.
check_ids <- function(ids, size, name, call = NULL, of = "") {
  if (length(ids) == 0L || (!anyNA(ids) && min(ids) >= 0 && max(ids) < size && (!is.double(ids) || all(ids == trunc(ids))))) return(invisible())
  wrong <- which(is.na(ids) | ids < 0 | ids >= size | ids != trunc(ids))
  at <- arrayInd(wrong[[1L]], dim(ids))
  abort_attentive("argument",
    sprintf("The layer \"%s\" takes ids from 0 to %d; %s stands at [%s]%s.", name, size - 1L, format(ids[[wrong[[1L]]]]), paste(at, collapse = ", "), of),
    hint = if (isTRUE(ids[[wrong[[1L]]]] == size)) "Ids count from 0: `input_dim` must be one more than the largest.", call = call
  )
}

layer_config.embedding <- function(self) {
  list(
    input_dim = self$input_dim, output_dim = self$output_dim, embeddings_initializer = serialize_spec(self$embeddings_initializer),
    embeddings_regularizer = serialize_spec(self$embeddings_regularizer), activity_regularizer = NULL,
    embeddings_constraint = serialize_spec(self$embeddings_constraint), mask_zero = self$mask_zero
  )
}

layer_property.embedding <- function(self, name) {
  simple_property(self, name, c(
    "input_dim", "output_dim", "mask_zero", "embeddings", "embeddings_initializer", "embeddings_regularizer",
    "embeddings_constraint", "seed"
  ), sprintf("%d tokens, %d features%s", self$input_dim, self$output_dim, if (self$mask_zero) ", 0 is padding" else ""))
}
