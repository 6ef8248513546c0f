# Gradients of a layer or model: the door to training loops of one's own.

#' Gradients of a layer
#'
#' Calls a layer and gives the gradients of a loss with respect to its inputs and weights, when the gradient of that loss with respect to the
#' output is known. Everything that a training loop of one's own needs from a layer.
#'
#' @details
#' With \eqn{Y} the output of the call and \eqn{U} `upstream`, the gradients are those of \eqn{\sum U \circ Y}, plus
#' \eqn{\sum U_A \circ A} with the scores \eqn{A} that the layer returns (before dropout, but after it for
#' [layer_attention()] and [layer_additive_attention()]) where `scores_upstream` is given. They are exact derivatives of what the layer computes, with every
#' mask; pairs that a mask forbids contribute exactly 0. The backward pass recomputes the scores tile by tile, so memory grows with the length, not with its square.
#'
#' Each input has a gradient of its own, even where the same array was given twice: in self-attention add them up. Without a `key` the value was the key too, and its
#' gradient holds both parts.
#'
#' With `training = TRUE` and dropout, each call draws a new mask, forward and backward the same; moving statistics take their step.
#'
#' @param object A layer or a model.
#' @param ... The arguments of the call, as in `layer(query, value, use_causal_mask = TRUE)`.
#' @param upstream The gradient that arrives at the output: an array of its dim, for several outputs a list of arrays in their order. `NULL` means ones.
#' @param scores_upstream The gradient that arrives at the scores: an array of their dim, `[B, H, T, S]` for inputs of three dimensions (without heads `[B, T, S]`). `NULL` means none.
#'   Attention layers have scores, other layers and models have none here.
#' @param losses Whether the penalties of regularizers are part of the loss.
#' @return A list: `output`; `inputs`, a list of arrays named `query`, `value` and, where one was given, `key`, for other layers like the arguments of the call, for models
#'   like their inputs; `weights`, a list of arrays in the order of [get_weights()]. What the output does not depend on smoothly, such as ids, has the gradient 0.
#' @section Errors:
#' Those of the call, and `attentive_error_shape` where `upstream` or `scores_upstream` does not fit; see [attentive_errors].
#' @seealso [layer_multi_head_attention()]
#' @references The chain rule through softmax attention: Dao et al. (2022), FlashAttention, appendix B. \doi{10.48550/arXiv.2205.14135}
#' @examples
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 4)
#' x <- array(rnorm(2 * 5 * 8), c(2, 5, 8))
#' y <- array(rnorm(2 * 5 * 8), c(2, 5, 8)) # what the output should be
#'
#' for (step in 1:20) { # plain gradient descent on the squared error
#'   error <- layer(x, x) - y
#'   g <- get_gradients(layer, x, x, upstream = 2 * error)
#'   set_weights(layer, Map(function(w, d) w - 0.01 * d, get_weights(layer), g$weights))
#' }
#' mean(error^2)
#'
#' # where a model looks: how much each number of the input moves the output
#' model <- keras_model_sequential(input_shape = 3) |>
#'   layer_dense(4, activation = "tanh") |>
#'   layer_dense(1)
#' get_gradients(model, matrix(rnorm(6), 2))$inputs[[1]]
#' @export
get_gradients <- function(object, ..., upstream = NULL, scores_upstream = NULL, losses = FALSE) UseMethod("get_gradients")

#' @export
get_gradients.default <- function(object, ..., upstream = NULL, scores_upstream = NULL, losses = FALSE) abort_no_layer(object, environment())

#' @export
get_gradients.attentive_layer <- function(object, ..., upstream = NULL, scores_upstream = NULL, losses = FALSE) {
  call <- environment()
  losses <- check_flag(losses, "losses", call = call)
  layer_gradients(layer_self(object), list(...), upstream, scores_upstream, losses, call)
}

# A further method that layers have: see layer.R.
layer_gradients <- function(self, arguments, upstream, scores_upstream, losses, call = NULL) UseMethod("layer_gradients")

# Of what is a program of the engine: the usual call, but for what it runs at its end.
layer_gradients.default <- function(self, arguments, upstream, scores_upstream, losses, call = NULL) {
  if (!is.null(scores_upstream)) {
    abort_argument(scores_upstream, "scores_upstream", sprintf("NULL: the layer \"%s\" gives no scores here", self$name), call = call)
  }
  for (x in arguments) if (is_layer(x) || any_symbolic(x)) abort_argument(x, "inputs", "an array, or a list of arrays", call = call)
  found <- NULL
  run <- function(self, program, inputs, training, threads) {
    found <<- program_slopes(self, program, inputs, upstream, losses, training, threads, call)
    found$outputs
  }
  if (inherits(self, "custom_layer")) {
    output <- call_custom(self, arguments, call, run)
  } else {
    if (!is.null(names(arguments))) names(arguments)[names(arguments) == "object"] <- "inputs"
    given <- match_call_arguments(simple_call, arguments, call)
    output <- (if (inherits(self, "model")) call_model else call_layer)(self, given$inputs, given$training, given$mask, given$extra, call, run)
    if (!is.null(given$mask)) found$inputs <- found$inputs[-length(found$inputs)]
    names(found$inputs) <- if (inherits(self, "model")) input_names(self) else if (length(found$inputs) == 1L) "inputs" else names(given$inputs)
  }
  list(output = output, inputs = found$inputs, weights = found$weights)
}

# Outputs of a program and gradients, those of the weights in the order of the layer.
program_slopes <- function(self, program, inputs, upstream, losses, training, threads, call = NULL) {
  outputs <- with_engine_errors(program_run(program$pointer, inputs, program$variables, FALSE, 0, threads)$outputs, call)
  if (is.null(upstream)) upstream <- lapply(outputs, function(x) x * 0 + 1)
  if (length(outputs) == 1L && !is.list(upstream)) upstream <- list(upstream)
  if (!is.list(upstream) || length(upstream) != length(outputs)) {
    abort_argument(upstream, "upstream", sprintf("a list of %d arrays, one an output", length(outputs)), call = call)
  }
  for (i in seq_along(outputs)) check_upstream(upstream[[i]], "upstream", dim(outputs[[i]]), call)
  pointer <- if (losses) program$pointer else without_penalties(program)
  calls <- if (is.null(self$calls)) 0 else self$calls
  made <- with_engine_errors(program_gradients(pointer, unname(inputs), unname(upstream), program$variables, training, calls, threads), call)
  if (training) self$calls <- calls + 1
  made$inputs <- stats::setNames(Map(function(gradient, x) if (is.null(gradient)) x * 0 else gradient, made$inputs, unname(inputs)), names(inputs))
  address <- function(weights) vapply(weights, rlang::obj_address, "")
  own <- layer_weights(self)
  penalized <- losses & address(own) %in% address(layer_weights(self, TRUE))
  made$weights <- Map(function(weight, place, penalized) {
    gradient <- if (!is.na(place)) made$weights[[place]]
    if (is.null(gradient)) gradient <- variable_array(weight) * 0
    if (penalized) add_weight_penalty(gradient, weight, call) else gradient
  }, own, match(address(own), address(program$variables)), penalized)
  made
}

# The program without its penalties on activities.
without_penalties <- function(program) {
  plan <- program$plan
  penalizes <- vapply(plan$nodes, function(node) any(unlist(node$numbers[c("l1", "l2")]) != 0), NA)
  if (!any(penalizes)) return(program$pointer)
  plan$nodes[penalizes] <- lapply(plan$nodes[penalizes], function(node) {
    node$numbers[c("l1", "l2")] <- list(0, 0)
    node
  })
  program_create(plan, program$float64)
}

layer_gradients.multi_head_attention <- function(self, arguments, upstream, scores_upstream, losses, call = NULL) {
  arguments <- match_call_arguments(multi_head_call, arguments, call)
  prepared <- do.call(prepare_multi_head_call, c(list(self), arguments, list(call = call)), quote = TRUE)
  engine <- prepared$engine
  query_dim <- dim(engine$query)
  check_upstream(upstream, "upstream", c(query_dim[-length(query_dim)], self$output_size), call)
  check_upstream(scores_upstream, "scores_upstream", prepared$plan$scores, call)
  result <- engine_multi_head_gradients(
    engine$query, engine$value, engine$key, engine$parts, engine$call, engine$masks, engine$threads, upstream, scores_upstream,
    if (losses) activity_penalty(self, query_dim[[1L]])
  )
  count_dropout(self, engine$call)
  result$weights <- Map(function(gradient, weight) row_major_array(gradient, weight[["shape"]]), result$weights, self$weights)
  if (losses) result$weights <- Map(add_weight_penalty, result$weights, self$weights, list(call))
  result
}

# What the engine needs for the gradient of the penalties on activities.
activity_penalty <- function(self, batch) {
  regularizer <- self$activity_regularizer
  if (is.null(regularizer) || batch == 0L) return(NULL)
  list(
    weight = 1 / batch, output_times = if (isTRUE(self$regularizes_result)) 2 else 1, penalty = activity_request(regularizer),
    fun = function(x) regularizer_gradient(regularizer, x, arg = "activity_regularizer")
  )
}

add_weight_penalty <- function(gradient, weight, call = NULL) {
  if (is.null(weight[["regularizer"]])) return(gradient)
  gradient + regularizer_gradient(weight[["regularizer"]], variable_array(weight), arg = paste0(weight[["name"]], "_regularizer"), call = call)
}

# Arguments of a layer's call, by position or name, as the full list of its
# formals; what goes into its `...` comes as `extra`.
match_call_arguments <- function(fun, arguments, call = NULL) {
  defaults <- formals(fun)
  known <- setdiff(names(defaults), "...")
  given <- if (is.null(names(arguments))) character(length(arguments)) else names(arguments)
  free <- setdiff(known, given)
  unnamed <- which(given == "")
  if (length(unnamed) > length(free)) {
    abort_attentive("argument", sprintf("The call has %d arguments, the layer takes %d.", length(arguments), length(known)), call = call)
  }
  given[unnamed] <- free[seq_along(unnamed)]
  names(arguments) <- given
  if (anyDuplicated(given)) {
    abort_attentive("name", sprintf("`%s` is given twice.", given[[anyDuplicated(given)]]), call = call)
  }
  full <- lapply(stats::setNames(known, known), function(arg) {
    if (arg %in% given) arguments[[arg]] else if (identical(defaults[[arg]], quote(expr = ))) NULL else eval(defaults[[arg]])
  })
  if (is.null(full[[1L]]) && is.null(arguments$object)) abort_missing(known[[1L]], if (known[[1L]] == "inputs") "an array, or a list of arrays" else "an array [batch, tokens, features]", call)
  c(full, list(extra = arguments[setdiff(given, known)]))
}

check_upstream <- function(x, arg, size, call = NULL) {
  if (is.null(x)) return(invisible())
  if (!(is.numeric(x) || is.logical(x)) || is.factor(x) || !identical(as.integer(dim(x)), as.integer(size))) {
    abort_argument(x, arg, sprintf("a numeric array of dim %s or NULL", format_shape(size)), call = call, class = "shape")
  }
}

# Flat row-major numbers as an array of this shape.
row_major_array <- function(numbers, shape) {
  if (length(shape) <= 1L) return(array(numbers, if (length(shape) == 0L) 1L else shape))
  aperm(array(numbers, rev(shape)), rev(seq_along(shape)))
}
