# Grouped-query attention: multi-head attention whose query heads share key and
# value heads. What is not said here is inherited from it.

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
  take_projection_arguments(self, dots, call)
  layer <- new_layer(self, multi_head_call, "attentive_group_query_attention")
  apply_to_inputs(layer, object, call, "object", "head_dim")
}

layer_config.group_query_attention <- function(self) {
  c(
    list(
      head_dim = self$key_dim, num_query_heads = self$num_heads, num_key_value_heads = self$num_key_value_heads,
      use_bias = self$use_bias, use_gate = self$use_gate, sliding_window = self$sliding_window, dropout = self$dropout
    ),
    specification_config(self), list(seed = self$seed)
  )
}

layer_property.group_query_attention <- function(self, name) {
  own <- c(head_dim = "key_dim", num_query_heads = "num_heads", num_key_value_heads = "num_key_value_heads")
  if (is.null(name)) return(c(names(own), projected_fields))
  if (name %in% names(own)) return(self[[own[[name]]]])
  if (name == ".summary") {
    return(sprintf("%d query and %d key/value heads of %d", self$num_heads, self$num_key_value_heads, self$key_dim))
  }
  if (!name %in% c(projected_fields, ".shape_arguments")) return(unknown_property(self, name, c(names(own), projected_fields)))
  NextMethod()
}
