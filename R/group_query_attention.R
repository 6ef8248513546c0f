# Grouped-query attention: multi-head attention whose query heads share key and
# value heads. What is not said here is inherited from it.

#' Grouped-query attention
#'
#' Multi-head attention in which several query heads share one key and value head (Ainslie et al. 2023): fewer weights, and fewer keys and
#' values to compute. With as many key/value heads as query heads it is [layer_multi_head_attention()], to the bit; with one it is multi-query attention.
#' Arguments, weights and results are those of `layer_group_query_attention()` in keras3.
#'
#' @section The formula:
#' That of [layer_multi_head_attention()] with \eqn{H} `num_query_heads`, where query head \eqn{h}, counted from 0, uses key and value head
#' \eqn{\lfloor h G / H \rfloor} of the \eqn{G} `num_key_value_heads`. Keys and values are shared, not repeated in memory.
#' Source: Ainslie et al. (2023), section 2.2, and the documentation of Keras's `GroupedQueryAttention`.
#'
#' @section Shapes:
#' B batch, T query positions, S value positions, H `num_query_heads`, G `num_key_value_heads`, K `head_dim`, D features of an input.
#'
#' | what | dim |
#' |---|---|
#' | query, value, key | `[B, T, Dq]`, `[B, S, Dv]`, `[B, S, Dk]` |
#' | output | `[B, T, Dq]` |
#' | scores | `[B, H, T, S]` |
#' | query kernel, bias | `[Dq, H, K]`, `[H, K]` |
#' | key kernel, bias | `[Dk, G, K]`, `[G, K]` |
#' | gate kernel, bias (only with `use_gate`) | `[Dq, H, K]`, `[H, K]` |
#' | value kernel, bias | `[Dv, G, K]`, `[G, K]` |
#' | output kernel, bias | `[H, K, Dq]`, `[Dq]` |
#'
#' @inheritSection layer_multi_head_attention Calling the layer
#' @section Differences from Keras:
#' As for [layer_multi_head_attention()], and:
#'
#' * In one step, `layer_group_query_attention(list(query, value), ...)` works; in keras3 the layer has to be made first.
#' * Sizes of 0 are errors that say so. The features of query and value may differ always, in Keras only on arrays.
#' * With an `activity_regularizer` the output counts twice, as in Keras.
#'
#' @param object What to apply the layer to. Missing or `NULL`: nothing, the layer itself is returned. An array: self-attention. A list of query, value and maybe
#'   key, in this order or by name: the layer is called with them; the list may hold further arguments of the call, such as `use_causal_mask = TRUE`.
#' @param head_dim Size of each head.
#' @param num_query_heads Number of query heads, a multiple of `num_key_value_heads`.
#' @param num_key_value_heads Number of key and value heads.
#' @inheritParams layer_multi_head_attention
#' @return Without `object` a layer: a function that is called with arrays. With `object` what that call gives.
#' @inheritSection layer_multi_head_attention Errors
#' @references Ainslie, J. et al. (2023). GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints. \doi{10.48550/arXiv.2305.13245}
#' @family attention layers
#' @examples
#' x <- array(rnorm(2 * 5 * 8), c(2, 5, 8)) # two sequences of five tokens with eight features
#' layer <- layer_group_query_attention(head_dim = 4, num_query_heads = 4, num_key_value_heads = 2)
#' both <- layer(x, x, use_causal_mask = TRUE, return_attention_scores = TRUE)
#' lapply(both, dim)
#' lapply(get_weights(layer), dim)[1:4]
#' @export
layer_group_query_attention <- function(
    object, head_dim, num_query_heads, num_key_value_heads, dropout = 0, use_bias = TRUE,
    kernel_initializer = "glorot_uniform", bias_initializer = "zeros", kernel_regularizer = NULL, bias_regularizer = NULL,
    activity_regularizer = NULL, kernel_constraint = NULL, bias_constraint = NULL, ...) {
  call <- environment()
  # forced first, so that piped layers are numbered from left to right
  object <- if (missing(object)) NULL else object
  dots <- list(...)
  check_dots_names(dots, c(multi_head_dots, common_arguments), "`layer_group_query_attention()`", call)
  if (missing(head_dim)) abort_missing("head_dim", "the size of each head", call)
  if (missing(num_query_heads)) abort_missing("num_query_heads", "the number of query heads", call)
  if (missing(num_key_value_heads)) abort_missing("num_key_value_heads", "the number of key and value heads", call)
  self <- new_self(
    c("group_query_attention", "multi_head_attention"), "GroupQueryAttention", "grouped_query_attention", dots, call
  )
  self$key_dim <- self$value_dim <- check_whole(head_dim, "head_dim", call = call)
  self$num_heads <- check_whole(num_query_heads, "num_query_heads", call = call)
  self$num_key_value_heads <- check_whole(num_key_value_heads, "num_key_value_heads", call = call)
  if (self$num_heads %% self$num_key_value_heads != 0L) {
    abort_attentive("argument",
      sprintf("`num_query_heads` (%d) must be divisible by `num_key_value_heads` (%d).", self$num_heads, self$num_key_value_heads),
      hint = "Each key and value head is shared by the same number of query heads.", arg = "num_key_value_heads", call = call
    )
  }
  self$max_rank <- 3L
  self$regularizes_result <- TRUE # as Keras does here, but not in multi-head attention
  take_projection_arguments(self, dots, call)
  layer <- new_layer(self)
  apply_to_inputs(layer, object, call, "object", "head_dim")
}

layer_config.group_query_attention <- function(self) {
  c(
    list(
      head_dim = self$key_dim, num_query_heads = self$num_heads, num_key_value_heads = self$num_key_value_heads,
      use_bias = self$use_bias, use_gate = self$use_gate, sliding_window = self$sliding_window, dropout = self$dropout
    ),
    projection_specs_config(self), list(seed = self$seed)
  )
}

layer_property.group_query_attention <- function(self, name) {
  own <- c(head_dim = "key_dim", num_query_heads = "num_heads", num_key_value_heads = "num_key_value_heads")
  if (is.null(name)) return(c(names(own), projected_fields))
  if (name %in% names(own)) return(self[[own[[name]]]])
  if (name == ".summary") {
    heads <- sprintf("%d query and %d key/value heads of %d", self$num_heads, self$num_key_value_heads, self$key_dim)
    return(paste(c(heads, projected_options(self)), collapse = ", "))
  }
  if (!name %in% c(projected_fields, ".shape_arguments")) return(unknown_property(self, name, c(names(own), projected_fields)))
  NextMethod()
}
