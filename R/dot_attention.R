# Dot-product attention (Luong), with dot or concat scores.

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
  layer <- new_layer(self, unprojected_call, "attentive_attention")
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

layer_attend.dot_attention <- function(self, inputs, sizes, masks, threads) {
  scale <- self$scale[["value"]]
  if (self$score_mode == "dot") {
    return(engine_dot_attention(inputs$query, inputs$value, inputs$key, scale, sizes, masks, threads))
  }
  score <- list(scale = NULL, inside = scale, outside = self$concat_score_weight[["value"]])
  engine_additive_attention(inputs$query, inputs$value, inputs$key, score, sizes, masks, threads)
}

layer_config.dot_attention <- function(self) {
  c(base_config(self), list(use_scale = self$use_scale, score_mode = self$score_mode, dropout = self$dropout, seed = self$seed))
}

layer_property.dot_attention <- function(self, name) {
  unprojected_property(self, name, c("use_scale", "score_mode", "scale", "concat_score_weight"),
    paste0(self$score_mode, " scores", if (self$use_scale) ", scaled"))
}
