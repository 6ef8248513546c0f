# Multi-head attention: constructor, weights, call.

multi_head_dots <- c("flash_attention", "seed", "sliding_window", "use_gate")

#' Multi-head attention
#'
#' Every position of the query looks at all positions of the value, in several ways at once, and takes a weighted average of what it finds
#' (Vaswani et al. 2017). With query and value the same this is self-attention, else cross-attention. Arguments, weights and results are
#' those of `layer_multi_head_attention()` in keras3; everything is computed by the package's own engine.
#'
#' @section The formula:
#' For each head \eqn{h} with \eqn{Q_h = Q W^Q_h + b^Q_h}, \eqn{K_h = K W^K_h + b^K_h}, \eqn{V_h = V W^V_h + b^V_h}:
#' \deqn{A_h = \mathrm{softmax}(Q_h K_h^\top / \sqrt{d}), \qquad C_h = A_h V_h, \qquad \mathrm{output} = \sum_h C_h W^O_h + b^O}
#' where \eqn{d} is `key_dim` and the softmax runs over the keys that the query may see. A query that may see nothing has the weights
#' 0 and so the output \eqn{b^O}. With `use_gate`, \eqn{C_h} is multiplied by the sigmoid of a fifth projection of the query.
#' Source: Vaswani et al. (2017), equations 1 and section 3.2.2, and the documentation of Keras's `MultiHeadAttention`.
#'
#' @section Shapes:
#' B batch, T query positions, S value positions, H `num_heads`, K `key_dim`, V `value_dim`, D features of an input, E features of the output.
#'
#' | what | dim |
#' |---|---|
#' | query, value, key | `[B, T, Dq]`, `[B, S, Dv]`, `[B, S, Dk]`; more axes between batch and features are welcome |
#' | output | `[B, T, E]`, E being that of the query unless `output_shape` says otherwise |
#' | scores | `[B, H, T, S]`; in general batch, axes that are not attended over, heads, query axes, value axes |
#' | query kernel, bias | `[Dq, H, K]`, `[H, K]` |
#' | key kernel, bias | `[Dk, H, K]`, `[H, K]` |
#' | gate kernel, bias (only with `use_gate`) | `[Dq, H, V]`, `[H, V]` |
#' | value kernel, bias | `[Dv, H, V]`, `[H, V]` |
#' | output kernel, bias | `[H, V, E]`, `[E]` |
#'
#' The weights stand in this order in [get_weights()]. They are created at the first call, or by `layer$build(query_shape, value_shape, key_shape)`.
#'
#' @section Calling the layer:
#' `layer(query, value, key = NULL, query_mask = NULL, value_mask = NULL, key_mask = NULL, attention_mask = NULL,
#' return_attention_scores = FALSE, training = NULL, use_causal_mask = FALSE, ...)`
#'
#' * `query`, `value`, `key`: numeric arrays. Without `key` the value is the key too; without `value` the query is everything.
#' * `query_mask`, `value_mask`, `key_mask`: logical or 0/1, `[B, T]` or `[B, S]`: which positions are real, `TRUE` for real.
#' * `attention_mask`: logical or 0/1, `TRUE` where a query (row) may see a key (column): `[T, S]`, `[B, T, S]` or `[B, H, T, S]`, a size of 1 broadcasts.
#' * `return_attention_scores`: `TRUE` gives a list of `attention_output` and `attention_scores` (see [attention_scores]);
#'   `"mean"` averages the scores over the heads without ever holding all of them.
#' * `training`: `TRUE` switches dropout on.
#' * `use_causal_mask`: position i sees the positions up to i only, both counted from the start.
#' * `threads`, in `...`: how many threads this call may use; see [attentive_info()].
#'
#' All masks are combined: a pair of query and key counts only where every mask allows it. What nobody may see has no influence at all, not even when it is `NaN`.
#'
#' `layer$name`, `$built`, `$trainable`, `$weights`, `$num_heads`, `$query_dense$kernel` and so on give what the layer is made of; `names(layer)` lists them.
#' `layer$trainable <- FALSE` freezes it.
#'
#' @section Axes:
#' `attention_axes` counts as Keras does: axis k is the k-th axis after the batch, which is dimension k + 1 of the R array; -2 is the last one before the features.
#' With `NULL`, attention runs over all axes between batch and features at once. Several axes are attended over as if they were one, flattened in row-major order.
#'
#' @section Differences from Keras:
#' The numbers are those of Keras 3.15 and later (they are compared with recorded ones in the tests). Where Keras has two answers, or an accident:
#'
#' * A bare array as `inputs`, and `layer(x)`, mean self-attention; Keras raises an error.
#' * Sizes may be whole doubles anywhere; fractional ones are errors, not truncated.
#' * `attention_axes` that name the batch, the features or one axis twice are errors; Keras accepts some of them.
#' * A query that may see nothing gets weights 0 and the output bias, always. Keras gives the mean of all values when scores are not asked for.
#' * `query_mask` given by hand is honoured; Keras overwrites it.
#' * Masks must be logical or 0/1. Keras casts an additive mask (0 and -1e9) to logical, which inverts it.
#' * A `[B, H, T, S]` mask can be combined with padding masks; masks and `use_causal_mask` follow the attended axes, whichever they are.
#' * `NaN` and `Inf` in places that nobody may see do not spread.
#' * The query, key and value kernels of a seeded initializer differ; the same seed still gives the same layer. `set.seed()`
#'   before the layer is made governs initial weights and dropout: they follow from a key that is drawn then.
#' * Initializers may be functions and arrays; regularizers and constraints are known by all their spellings. Coefficients are never truncated.
#' * The result with scores is a named list.
#' * `flash_attention` is accepted and has no effect: there is one way to compute, and it is the fast one, with dropout and scores too.
#'
#' @param inputs What to apply the layer to. Missing or `NULL`: nothing, the layer itself is returned. An array: self-attention. A list of query, value and maybe
#'   key, in this order or by name: the layer is called with them; the list may hold further arguments of the call, such as `use_causal_mask = TRUE`.
#' @param num_heads Number of attention heads.
#' @param key_dim Size of each head for query and key.
#' @param value_dim Size of each head for value; `key_dim` by default.
#' @param dropout Share of the attention weights that is dropped while training, from 0 to 1.
#' @param use_bias Whether the projections have a bias.
#' @param output_shape Sizes of the output's last axes, one or several; by default the features of the query.
#' @param attention_axes Axes over which attention runs, see below; by default all between batch and features.
#' @param kernel_initializer,bias_initializer How kernels and biases begin.
#' @param kernel_regularizer,bias_regularizer Penalties on kernels and biases.
#' @param activity_regularizer Penalty on the outputs of the projections.
#' @param kernel_constraint,bias_constraint What kernels and biases must obey after each training step.
#' @param ... By name: `seed`, a whole number that fixes initial weights and dropout of this layer; `sliding_window`, a whole number w: a query sees keys
#'   less than w positions away; `use_gate`, see the formula; `flash_attention`, accepted; `name`; `trainable`; `dtype`, "float32" (default) or "float64"; `autocast`, accepted.
#'
#' @return Without `inputs` a layer: a function that is called with arrays. With `inputs` what that call gives.
#' @section Errors:
#' `attentive_error_argument`, `_name`, `_shape`, `_mask` or `_not_yet`, see [attentive_errors]; the layer is unchanged after an error.
#' @references Vaswani, A. et al. (2017). Attention Is All You Need. \doi{10.48550/arXiv.1706.03762}
#' @family attention layers
#' @examples
#' x <- array(rnorm(2 * 5 * 8), c(2, 5, 8)) # two sequences of five tokens with eight features
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 4)
#' dim(layer(x, x))
#'
#' # where does each token look?
#' c(output, scores) %<-% layer(x, x, use_causal_mask = TRUE, return_attention_scores = TRUE)
#' round(scores[1, 1, , ], 2)
#' plot(scores)
#'
#' # the second sequence has only three real tokens
#' real <- rbind(rep(TRUE, 5), c(TRUE, TRUE, TRUE, FALSE, FALSE))
#' dim(layer(x, x, value_mask = real))
#'
#' # in one step, on arrays
#' dim(layer_multi_head_attention(list(x, x), num_heads = 2, key_dim = 4))
#' @export
layer_multi_head_attention <- function(
    inputs, num_heads, key_dim, value_dim = NULL, dropout = 0, use_bias = TRUE, output_shape = NULL, attention_axes = NULL,
    kernel_initializer = "glorot_uniform", bias_initializer = "zeros", kernel_regularizer = NULL, bias_regularizer = NULL,
    activity_regularizer = NULL, kernel_constraint = NULL, bias_constraint = NULL, ...) {
  call <- environment()
  # forced first, so that piped layers are numbered from left to right
  inputs <- if (missing(inputs)) NULL else inputs
  dots <- list(...)
  check_dots_names(dots, c(multi_head_dots, common_arguments), "`layer_multi_head_attention()`", call)
  if (missing(num_heads)) abort_missing("num_heads", "the number of attention heads", call)
  if (missing(key_dim)) {
    hint <- if (is.numeric(inputs) && is.null(dim(inputs))) "The first argument is `inputs`: name the others, as in `num_heads = 2, key_dim = 3`."
    abort_missing("key_dim", "the size of each head for query and key", call, hint)
  }
  self <- new_self("multi_head_attention", "MultiHeadAttention", "multi_head_attention", dots, call)
  self$num_heads <- check_whole(num_heads, "num_heads", call = call)
  self$key_dim <- check_whole(key_dim, "key_dim", call = call)
  if (is_symbolic(value_dim) || !is.null(dim(value_dim))) {
    abort_argument(value_dim, "value_dim", whole_number(1L, TRUE),
      hint = "Query and value go in one list: `layer_multi_head_attention(list(query, value), num_heads = , key_dim = )`.", call = call
    )
  }
  self$value_dim <- check_whole(value_dim, "value_dim", null = TRUE, call = call)
  if (is.null(self$value_dim)) self$value_dim <- self$key_dim
  self$num_key_value_heads <- self$num_heads
  self$max_rank <- Inf
  self$output_shape <- check_wholes(output_shape, "output_shape", null = TRUE, call = call)
  self$attention_axes <- check_axes(attention_axes, call)
  take_projection_arguments(self, dots, call)
  layer <- new_layer(self)
  apply_to_inputs(layer, inputs, call)
}

# The arguments that multi-head and grouped-query attention share, from the
# frame of the constructor. Called last: only when everything is checked is the
# random stream touched.
take_projection_arguments <- function(self, dots, frame) {
  self$dropout <- check_number(frame$dropout, "dropout", 0, 1, call = frame)
  self$use_bias <- check_flag(frame$use_bias, "use_bias", call = frame)
  self$sliding_window <- check_whole(dots$sliding_window, "sliding_window", null = TRUE, call = frame)
  self$use_gate <- if (is.null(dots$use_gate)) FALSE else check_flag(dots$use_gate, "use_gate", call = frame)
  check_flag(dots$flash_attention, "flash_attention", null = TRUE, call = frame)
  self$kernel_initializer <- as_initializer(frame$kernel_initializer, "kernel_initializer", frame)
  self$bias_initializer <- as_initializer(frame$bias_initializer, "bias_initializer", frame, default = "zeros")
  for (arg in c("kernel_regularizer", "bias_regularizer", "activity_regularizer")) {
    self[[arg]] <- as_regularizer(frame[[arg]], arg, frame)
  }
  for (arg in c("kernel_constraint", "bias_constraint")) self[[arg]] <- as_constraint(frame[[arg]], arg, frame)
  check_matrix_only(self, c("kernel_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer"), frame)
  take_seed(self, dots$seed, frame)
}

# The seed that was asked for, and the key of this layer's random numbers.
take_seed <- function(self, seed, call = NULL) {
  self$seed <- check_seed(seed, call = call)
  self$key <- if (is.null(self$seed)) draw_key() else seed_key(self$seed)
}

# What a user calls. The formals are Keras's, in its order; `...` takes
# `object`, keras3's name of the first argument, and `threads`.
multi_head_call <- function(query, value = NULL, key = NULL, query_mask = NULL, value_mask = NULL, key_mask = NULL,
                            attention_mask = NULL, return_attention_scores = FALSE, training = NULL,
                            use_causal_mask = FALSE, ...) {
  if (...length() > 0L && "object" %in% ...names()) return(call_by_object(sys.call(), "query", parent.frame()))
  call_multi_head_attention(
    parent.env(environment()), query, value, key, query_mask, value_mask, key_mask, attention_mask,
    return_attention_scores, training, use_causal_mask, extra = list(...), call = environment()
  )
}
layer_function.multi_head_attention <- function(self) multi_head_call

# attention_axes as Keras numbers them: 0 is the batch, the feature axis is
# refused when the rank is known.
check_axes <- function(axes, call = NULL) {
  if (is.null(axes)) return(NULL)
  how <- "Axis k is the k-th axis after the batch: 1 is the second dimension of the R array; negative axes count from the end, -2 is the last before the features."
  values <- if (typeof(axes) == "list" && all(lengths(axes) == 1L)) unlist(axes) else axes
  if (!is.numeric(values) || is.factor(values) || length(values) == 0L || anyNA(values) ||
    any(values != trunc(values)) || any(abs(values) > 1000)) {
    abort_argument(axes, "attention_axes", "whole numbers or NULL", hint = how, call = call)
  }
  if (any(values == 0)) {
    abort_attentive("argument", "`attention_axes` must not contain 0, the batch.", hint = how, call = call)
  }
  if (anyDuplicated(values)) {
    abort_attentive("argument", "`attention_axes` must not name an axis twice.", hint = how, call = call)
  }
  as.integer(values)
}

# The axes that a layer attends over in inputs of this rank.
attended_axes <- function(self, rank, call = NULL) {
  if (rank > self$max_rank) {
    abort_attentive("shape",
      sprintf("The layer \"%s\" takes inputs of three dimensions (batch, tokens, features), not %d.", self$name, rank),
      hint = "`layer_multi_head_attention()` attends over further axes.", call = call
    )
  }
  resolve_axes(self$attention_axes, rank, call)
}

# Axes 1 ... rank - 2 that are attended over, in the order given.
resolve_axes <- function(axes, rank, call = NULL) {
  if (is.null(axes)) return(seq_len(rank - 2L))
  resolved <- ifelse(axes < 0L, axes + rank, axes)
  wrong <- resolved < 1L | resolved > rank - 2L
  if (any(wrong) || anyDuplicated(resolved)) {
    abort_attentive("argument",
      if (any(wrong)) {
        sprintf(
          "`attention_axes` contains %d, but inputs of rank %d can be attended over %s only.",
          axes[wrong][[1L]], rank, if (rank == 3L) "axis 1" else sprintf("the axes 1 to %d", rank - 2L)
        )
      } else {
        "`attention_axes` must not name an axis twice."
      },
      hint = sprintf("Axis 0 is the batch and axis %d (or -1) holds the features; axis k is dimension k + 1 of the R array.", rank - 1L),
      call = call
    )
  }
  resolved
}

# Weights --------------------------------------------------------------------

layer_build.multi_head_attention <- function(self, shapes, call = NULL) {
  sizes <- check_input_shapes(shapes, call)
  rank <- length(sizes$query)
  axes <- attended_axes(self, rank, call)
  heads <- self$num_heads
  groups <- self$num_key_value_heads
  features <- function(shape) shape[[rank]]
  output <- if (is.null(self$output_shape)) features(sizes$query) else self$output_shape
  into <- einsum_in(rank)
  project <- function(name, stream, shape, heads, size) {
    new_projection(self, name, stream, into, c(features(shape), heads, size), 1L, call)
  }
  parts <- list(
    query = project("query", 0L, sizes$query, heads, self$key_dim),
    key = project("key", 1L, sizes$key, groups, self$key_dim),
    gate = if (self$use_gate) project("gate", 4L, sizes$query, heads, self$value_dim),
    value = project("value", 2L, sizes$value, groups, self$value_dim),
    output = new_projection(
      self, "attention_output", 3L, einsum_out(rank, length(output)), c(heads, self$value_dim, output), 1:2, call
    )
  )
  parts <- Filter(Negate(is.null), parts)
  # nothing above changed the layer
  self$rank <- rank
  self$axes <- axes
  self$features <- vapply(sizes, features, 0L)
  self$output_size <- output
  self$parts <- parts
  self$weights <- unlist(lapply(parts, function(part) part$weights), recursive = FALSE, use.names = FALSE)
  self$built <- TRUE
  invisible(self)
}

# One projection; `inputs` are the axes of the kernel that are summed over,
# `stream` numbers its random numbers within the layer.
new_projection <- function(self, name, stream, equation, shape, inputs, call = NULL) {
  outputs <- seq_along(shape)[-inputs]
  path <- paste0(self$name, "/", name)
  kernel <- new_variable(
    initial_values(self$kernel_initializer, shape, self$dtype, self$key, 2L * stream, inputs, outputs, arg = "kernel_initializer", call = call),
    shape, self$dtype, "kernel", paste0(path, "/kernel"), TRUE, self$kernel_regularizer, self$kernel_constraint
  )
  bias <- if (self$use_bias) {
    size <- if (name == "attention_output") shape[outputs] else shape[-1L]
    new_variable(
      initial_values(self$bias_initializer, size, self$dtype, self$key, 2L * stream + 1L, arg = "bias_initializer", call = call),
      size, self$dtype, "bias", paste0(path, "/bias"), TRUE, self$bias_regularizer, self$bias_constraint
    )
  }
  new_part(name, equation, kernel, bias)
}

# "abc,cde->abde" for rank 3: the last axis of the input becomes heads and size.
einsum_in <- function(rank) {
  free <- paste(letters[seq_len(rank - 1L)], collapse = "")
  new <- paste(letters[rank + 1:2], collapse = "")
  paste0(free, letters[[rank]], ",", letters[[rank]], new, "->", free, new)
}

# "abcd,cde->abe" for rank 3: heads and size become the axes of the output.
einsum_out <- function(rank, n_output) {
  free <- paste(letters[seq_len(rank - 1L)], collapse = "")
  heads <- paste(letters[rank + 0:1], collapse = "")
  new <- paste(letters[rank + 1L + seq_len(n_output)], collapse = "")
  paste0(free, heads, ",", heads, new, "->", free, new)
}

# Ranks and features of query, value and key; `key` is the value where it is left out.
check_input_shapes <- function(shapes, call = NULL) {
  shapes <- list(query = shapes$query_shape, value = shapes$value_shape, key = shapes$key_shape)
  if (is.null(shapes$query)) {
    abort_attentive("shape", "`query_shape` is missing.", hint = "Give the shapes of query and value, NA for unknown sizes.", call = call)
  }
  if (is.null(shapes$value)) shapes$value <- shapes$query
  if (is.null(shapes$key)) shapes$key <- shapes$value
  for (arg in names(shapes)) {
    if (length(shapes[[arg]]) < 3L) abort_rank(shapes[[arg]], paste0(arg, "_shape"), call)
    size <- shapes[[arg]][[length(shapes[[arg]])]]
    if (is.na(size) || size < 1L) {
      abort_attentive("shape", sprintf("The last size of `%s_shape`, the features, must be known and positive: %s.",
        arg, format_shape(shapes[[arg]])), call = call)
    }
  }
  check_related_shapes(shapes$query, shapes$value, shapes$key, NULL, call)
  shapes
}

abort_rank <- function(shape, arg, call = NULL) {
  abort_attentive("shape",
    sprintf("`%s` must have at least three dimensions (batch, tokens, features), not %s.", arg, format_shape(shape)),
    hint = c(
      if (grepl("_shape$", arg)) "Write NA for sizes that are not known: `c(NA, NA, features)`." else
        if (length(shape) == 2L) "For one sequence as a matrix, add the batch: `array(x, c(1, dim(x)))`." else
        if (length(shape) < 2L) "For one sequence of single numbers: `array(x, c(1, length(x), 1))`."
    ), call = call
  )
}

# NA matches everything: the sizes of build() may be unknown.
differ <- function(a, b) !identical(a, b) && any(a != b, na.rm = TRUE)

check_related_shapes <- function(query, value, key, axes, call = NULL) {
  rank <- length(query)
  said <- function() {
    sprintf("They are: query %s, value %s, key %s.", format_shape(query), format_shape(value), format_shape(key))
  }
  if (length(value) != rank || length(key) != rank) {
    abort_attentive("shape", "query, value and key must have the same number of dimensions.", hint = said(), call = call)
  }
  if (differ(value[-rank], key[-rank])) {
    abort_attentive("shape", "All sizes of key and value but the last must be equal.", hint = said(), call = call)
  }
  if (differ(query[[1L]], value[[1L]])) {
    abort_attentive("shape", "query and value must have the same batch size, the first dimension.", hint = said(), call = call)
  }
  free <- if (is.null(axes)) integer() else seq_len(rank - 2L)[-axes]
  if (length(free) > 0L && differ(query[free + 1L], value[free + 1L])) {
    abort_attentive("shape",
      sprintf("query and value must agree in the axes that are not attended over (%s).", paste(free, collapse = ", ")),
      hint = said(), call = call
    )
  }
}

layer_output_shape.multi_head_attention <- function(self, shapes, call = NULL) {
  sizes <- check_input_shapes(shapes, call)
  rank <- length(sizes$query)
  attended_axes(self, rank, call)
  c(sizes$query[-rank], if (is.null(self$output_shape)) sizes$query[[rank]] else self$output_shape)
}

layer_config.multi_head_attention <- function(self) {
  c(list(
    num_heads = self$num_heads, key_dim = self$key_dim, value_dim = self$value_dim, dropout = self$dropout,
    use_bias = self$use_bias, use_gate = self$use_gate, output_shape = as_list_or_null(self$output_shape),
    attention_axes = as_list_or_null(if (self$built) self$axes else self$attention_axes),
    sliding_window = self$sliding_window
  ), projection_specs_config(self), list(seed = self$seed))
}

# The specifications of the projections, as multi-head and grouped-query attention write them.
projection_specs_config <- function(self) {
  list(
    kernel_initializer = serialize_spec(self$kernel_initializer), bias_initializer = serialize_spec(self$bias_initializer),
    kernel_regularizer = serialize_spec(self$kernel_regularizer), bias_regularizer = serialize_spec(self$bias_regularizer),
    activity_regularizer = serialize_spec(self$activity_regularizer),
    kernel_constraint = serialize_spec(self$kernel_constraint), bias_constraint = serialize_spec(self$bias_constraint)
  )
}

as_list_or_null <- function(x) if (is.null(x)) NULL else as.list(x)

# What layers with projections have in common.
projected_fields <- c(
  "dropout", "use_bias", "use_gate", "sliding_window", "seed", "kernel_initializer", "bias_initializer",
  "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint",
  "query_dense", "key_dense", "value_dense", "gate_dense", "output_dense"
)

layer_property.multi_head_attention <- function(self, name) {
  fields <- c("num_heads", "key_dim", "value_dim", "attention_axes", projected_fields)
  if (is.null(name)) return(fields)
  if (name == ".shape_arguments") return(c("query_shape", "value_shape", "key_shape"))
  if (name == ".summary") {
    heads <- sprintf("%d %s of %d", self$num_heads, if (self$num_heads == 1L) "head" else "heads", self$key_dim)
    return(paste(c(heads, projected_options(self)), collapse = ", "))
  }
  if (!name %in% fields) return(unknown_property(self, name, fields))
  if (name == "attention_axes") return(if (self$built) self$axes else self$attention_axes)
  if (grepl("_dense$", name)) return(self$parts[[sub("_dense$", "", name)]])
  self[[name]]
}

# What else is special about a layer with projections, for its one line.
projected_options <- function(self) {
  c(
    if (self$value_dim != self$key_dim) sprintf("values of %d", self$value_dim),
    if (length(self$attention_axes) > 0L) paste(if (length(self$attention_axes) == 1L) "axis" else "axes", paste(self$attention_axes, collapse = " and ")),
    if (!is.null(self$sliding_window)) sprintf("window %d", self$sliding_window),
    if (isTRUE(self$use_gate)) "gated", if (!self$use_bias) "no bias", if (self$dropout > 0) sprintf("dropout %s", format(self$dropout))
  )
}
