# Dot-product attention (Luong), with dot or concat scores.

#' Dot-product attention
#'
#' Each position of the query takes a weighted average of the values; the weights are the softmax of its dot products with the keys
#' (Luong et al. 2015). There are no projections: the inputs are used as they are, with one head and without the factor \eqn{1/\sqrt{d}}.
#' With `score_mode = "concat"` the scores are those of additive attention instead. Arguments, weights and results are those of
#' `layer_attention()` in keras3.
#'
#' @section The formula:
#' \deqn{A = \mathrm{softmax}(s), \qquad \mathrm{output} = A V}
#' with \eqn{s_{ts} = \alpha \, q_t \cdot k_s} for "dot" and \eqn{s_{ts} = w \sum_i \tanh(\alpha (q_{ti} + k_{si}))} for "concat".
#' \eqn{\alpha} is the weight `scale` (1 without `use_scale`), \eqn{w} the weight `concat_score_weight`; both are single numbers that begin
#' as 1. Source: Luong et al. (2015), section 3.1, and the documentation of Keras's `Attention`.
#'
#' @section Shapes:
#' B batch, T query positions, S value positions, D features of query and key, V features of the value.
#'
#' | what | dim |
#' |---|---|
#' | query, key, value | `[B, T, D]`, `[B, S, D]`, `[B, S, V]`; further axes between batch and positions are treated like the batch |
#' | output | `[B, T, V]` |
#' | scores | `[B, T, S]` |
#'
#' @section Calling the layer:
#' `layer(inputs, mask = NULL, training = NULL, return_attention_scores = FALSE, use_causal_mask = FALSE, ...)`
#'
#' * `inputs`: a list of query, value and maybe key, in this order or by name. Without a key the value is the key too; a bare array is everything.
#' * `mask`: a list of the masks of query and value, `NULL` for none: logical or 0/1, `[B, T]` and `[B, S]`, `TRUE` for positions that are real.
#'   A masked value is not attended to; the output of a masked query is 0, its scores are not touched. A third element, for the key, has no effect, as in Keras.
#' * `training`: `TRUE` switches dropout on.
#' * `return_attention_scores`: `TRUE` gives a list of `attention_output` and `attention_scores` (see [attention_scores]); the scores are those
#'   after dropout, unlike multi-head attention's.
#' * `use_causal_mask`: position i sees the positions up to i only, both counted from the start.
#' * `threads`, in `...`: how many threads this call may use; see [attentive_info()].
#'
#' What nobody may see has no influence at all, not even when it is `NaN`.
#'
#' @section Differences from Keras:
#' The numbers are those of Keras 3.15 and later (they are compared with recorded ones in the tests). Where Keras has an accident:
#'
#' * A query that may see nothing has the weights 0 and the output 0. Keras subtracts 1e9 from masked scores, which leaves weights that depend on rounding.
#' * A bare array means self-attention, and `inputs` may be named; Keras raises an error.
#' * Masks must be logical or 0/1; with further axes they have all axes of the input but the last. `dropout` must lie between 0 and 1.
#' * `NaN` and `Inf` in places that nobody may see do not spread.
#' * The result with scores is a named list.
#'
#' @param object What to apply the layer to. Missing or `NULL`: nothing, the layer itself is returned. An array: self-attention. A list of query, value and maybe
#'   key, in this order or by name: the layer is called with them; the list may hold further arguments of the call, such as `use_causal_mask = TRUE`.
#' @param use_scale Whether the scores have a scale that is trained.
#' @param score_mode "dot" or "concat", see the formula.
#' @param seed A whole number that fixes the random numbers of this layer; by default they follow [set.seed()].
#' @param ... By name: `activity_regularizer`, a penalty on the output; `name`; `trainable`; `dtype`, "float32" (default) or "float64"; `autocast`, accepted.
#' @inheritParams layer_multi_head_attention
#' @return Without `object` a layer: a function that is called with a list of arrays. With `object` what that call gives.
#' @inheritSection layer_multi_head_attention Errors
#' @references Luong, M.-T., Pham, H., Manning, C. D. (2015). Effective Approaches to Attention-based Neural Machine Translation. \doi{10.48550/arXiv.1508.04025}
#' @family attention layers
#' @examples
#' query <- array(rnorm(2 * 3 * 4), c(2, 3, 4)) # two sequences of three tokens
#' value <- array(rnorm(2 * 5 * 4), c(2, 5, 4)) # looked up among five
#' layer <- layer_attention()
#' dim(layer(list(query, value)))
#'
#' # the second sequence of values has only two real tokens
#' real <- rbind(rep(TRUE, 5), c(TRUE, TRUE, FALSE, FALSE, FALSE))
#' both <- layer(list(query, value), mask = list(NULL, real), return_attention_scores = TRUE)
#' round(both$attention_scores[2, , ], 2)
#'
#' # in one step, on arrays
#' dim(layer_attention(list(query, value), use_scale = TRUE))
#' @export
layer_attention <- function(object, use_scale = FALSE, score_mode = "dot", dropout = 0, seed = NULL, ...) {
  call <- environment()
  # forced first, so that piped layers are numbered from left to right
  object <- if (missing(object)) NULL else object
  dots <- list(...)
  check_dots_names(dots, c(unprojected_dots, common_arguments), "`layer_attention()`", call)
  self <- new_self(c("dot_attention", "unprojected_attention"), "Attention", "attention", dots, call)
  self$use_scale <- check_flag(use_scale, "use_scale", call = call)
  self$score_mode <- check_choice(score_mode, "score_mode", c("dot", "concat"), call)
  take_unprojected_arguments(self, dropout, seed, dots, call)
  layer <- new_layer(self)
  apply_to_inputs(layer, object, call, "object", "use_scale")
}

layer_build.dot_attention <- function(self, shapes, call = NULL) {
  unprojected_shapes(self, shapes, call)
  one <- pack_numbers(1, self$dtype)
  if (self$use_scale) add_weight(self, "scale", one, integer())
  if (self$score_mode == "concat") add_weight(self, "concat_score_weight", one, integer())
  self$built <- TRUE
  invisible(self)
}

layer_score.dot_attention <- function(self) {
  if (self$score_mode == "dot") return(new_score(TRUE, outside = "scale"))
  new_score(FALSE, inside = "scale", outside = "concat_score_weight")
}

layer_config.dot_attention <- function(self) {
  c(base_config(self), list(use_scale = self$use_scale, score_mode = self$score_mode, dropout = self$dropout, seed = self$seed))
}

layer_property.dot_attention <- function(self, name) {
  unprojected_property(self, name, c("use_scale", "score_mode", "scale", "concat_score_weight"),
    paste0(self$score_mode, " scores", if (self$use_scale) ", scaled"))
}
