# Additive attention (Bahdanau).

#' Additive attention
#'
#' Each position of the query takes a weighted average of the values; the weights are the softmax of a sum over features of
#' \eqn{\tanh(q + k)} (Bahdanau et al. 2015). There are no projections: the inputs are used as they are. Arguments, weights and results
#' are those of `layer_additive_attention()` in keras3. The memory that a call needs grows with the length of the value, not with query times value.
#'
#' @section The formula:
#' \deqn{s_{ts} = \sum_i w_i \tanh(q_{ti} + k_{si}), \qquad A = \mathrm{softmax}(s), \qquad \mathrm{output} = A V}
#' where \eqn{w} is the weight `scale`, one number for each feature (all 1 without `use_scale`). It begins as "glorot_uniform".
#' Source: Bahdanau et al. (2015), appendix A.1.2, and the documentation of Keras's `AdditiveAttention`. In single precision each
#' \eqn{\tanh} has an absolute error of at most 2.5e-7, in double precision of 6e-16.
#'
#' @inheritSection layer_attention Shapes
#' @inheritSection layer_attention Calling the layer
#' @inheritSection layer_attention Differences from Keras
#' @param use_scale Whether the features have weights that are trained.
#' @param ... By name: `seed`, a whole number that fixes the random numbers of this layer; `activity_regularizer`, a penalty on the output; `name`; `trainable`;
#'   `dtype`, "float32" (default) or "float64"; `autocast` and `score_mode`, accepted.
#' @inheritParams layer_attention
#' @inherit layer_attention return
#' @inheritSection layer_multi_head_attention Errors
#' @references Bahdanau, D., Cho, K., Bengio, Y. (2015). Neural Machine Translation by Jointly Learning to Align and Translate. \doi{10.48550/arXiv.1409.0473}
#' @family attention layers
#' @examples
#' query <- array(rnorm(2 * 3 * 4), c(2, 3, 4))
#' value <- array(rnorm(2 * 5 * 4), c(2, 5, 4))
#' layer <- layer_additive_attention()
#' both <- layer(list(query, value), return_attention_scores = TRUE)
#' lapply(both, dim)
#' layer$scale
#' @export
layer_additive_attention <- function(object, use_scale = TRUE, dropout = 0, ...) {
  call <- environment()
  # forced first, so that piped layers are numbered from left to right
  object <- if (missing(object)) NULL else object
  dots <- list(...)
  check_dots_names(dots, c("seed", "score_mode", unprojected_dots, common_arguments), "`layer_additive_attention()`", call)
  self <- new_self(c("additive_attention", "unprojected_attention"), "AdditiveAttention", "additive_attention", dots, call)
  self$use_scale <- check_flag(use_scale, "use_scale", call = call)
  if (!is.null(dots$score_mode)) check_choice(dots$score_mode, "score_mode", c("dot", "concat"), call)
  take_unprojected_arguments(self, dropout, dots$seed, dots, call)
  layer <- new_layer(self)
  apply_to_inputs(layer, object, call, "object", "use_scale")
}

layer_build.additive_attention <- function(self, shapes, call = NULL) {
  sizes <- unprojected_shapes(self, shapes, call)
  features <- sizes$query[[length(sizes$query)]]
  if (self$use_scale) {
    # the fans of a vector are its length, both of them
    value <- initial_values(as_initializer("glorot_uniform", "scale", call), features, self$dtype, self$key, 0L, 1L, 1L,
      arg = "scale", call = call)
    add_weight(self, "scale", value, features)
    self$features <- features
  }
  self$built <- TRUE
  invisible(self)
}

layer_score.additive_attention <- function(self) new_score(FALSE, scale = "scale")

layer_config.additive_attention <- function(self) {
  c(base_config(self), list(use_scale = self$use_scale, dropout = self$dropout, seed = self$seed))
}

layer_property.additive_attention <- function(self, name) {
  unprojected_property(self, name, c("use_scale", "scale"), paste0("additive scores", if (self$use_scale) ", scaled"))
}
