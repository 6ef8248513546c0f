# Additive attention (Bahdanau).

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
  layer <- new_layer(self, unprojected_call, "attentive_additive_attention")
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

layer_attend.additive_attention <- function(self, inputs, sizes, masks, threads) {
  score <- list(scale = self$scale[["value"]], inside = NULL, outside = NULL)
  engine_additive_attention(inputs$query, inputs$value, inputs$key, score, sizes, masks, threads)
}

layer_config.additive_attention <- function(self) {
  c(base_config(self), list(use_scale = self$use_scale, dropout = self$dropout, seed = self$seed))
}

layer_property.additive_attention <- function(self, name) {
  unprojected_property(self, name, c("use_scale", "scale"), paste0("additive scores", if (self$use_scale) ", scaled"))
}
