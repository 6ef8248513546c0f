# Products: matrices, sums over chosen axes, norms, attention.

#' Products of matrices
#'
#' `op_matmul()` multiplies the matrices in the last two axes; axes before these broadcast. With R of at least 4.3 `%*%` does the same with symbolic
#' tensors. `op_dot()` and `op_tensordot()` sum over chosen axes, `op_einsum()` over what a formula says.
#'
#' @details
#' `op_dot()` sums over the last axis of `x1` and the last but one of `x2`, with all pairs of the other axes:
#' \eqn{y_{i..., j...} = \sum_k x_{i..., k} z_{..., k, j}}.
#' `op_einsum("bthd,bshd->bhts", q, k)` names the axes of both operands and of the result by letters: letters that are not in the
#' result are summed over. It takes one or two operands, each letter once an operand, and no ellipsis. All are transpositions, shapes and `op_matmul()`.
#' Source: the documentation of `keras.ops`; NumPy's for the formula.
#'
#' @section Shapes:
#' For `op_matmul()` `[..., M, K]` and `[..., K, N]` give `[..., M, N]`. A vector is a row of the first, or a column of the second matrix.
#'
#' @inheritParams op_add
#' @param axes How many axes are summed over, the last of `x1` and the first of `x2`; or a list of two vectors: which axes of `x1`, which of `x2`, counted
#'   from 1.
#' @param subscripts The formula.
#' @param ... One or two operands.
#' @return A symbolic tensor, or an array.
#' @section Errors: `attentive_error_shape` where there is no such product; else see [attentive_errors].
#' @family operations
#' @examples
#' op_matmul(matrix(1:6, 2), matrix(1:6, 3))
#' op_einsum("ij,ik->jk", matrix(1:6, 2), matrix(1:4, 2))
#'
#' x <- keras_input(shape(NA, 4))
#' op_matmul(x, op_transpose(x, c(1, 3, 2)))
#' @export
op_matmul <- function(x1, x2) apply_operation("matmul", list(x1, x2), call = environment())

#' @rdname op_matmul
#' @export
op_dot <- function(x1, x2) {
  call <- environment()
  x1 <- as_operand(x1, 1L, 2L, call)
  x2 <- as_operand(x2, 2L, 2L, call)
  ranks <- c(length(operand_shape(x1)), length(operand_shape(x2)))
  if (any(ranks == 0L)) return(op_multiply(x1, x2))
  if (ranks[[2L]] <= 2L) return(op_matmul(x1, x2))
  contract(x1, x2, ranks[[1L]], ranks[[2L]] - 1L, call)
}

#' @rdname op_matmul
#' @export
op_tensordot <- function(x1, x2, axes = 2L) {
  call <- environment()
  x1 <- as_operand(x1, 1L, 2L, call)
  x2 <- as_operand(x2, 2L, 2L, call)
  shapes <- list(operand_shape(x1), operand_shape(x2))
  if (is.list(axes) && length(axes) == 2L) {
    pair <- Map(function(axis, shape) place_axes(check_axis(axis, "axes", several = TRUE, call = call), shape, call) + 1L, axes, shapes)
  } else {
    n <- check_whole(axes, "axes", min = 0L, call = call)
    if (n > min(lengths(shapes))) abort_argument(axes, "axes", "at most the number of axes of both", call = call, class = "shape")
    pair <- list(length(shapes[[1L]]) - n + seq_len(n), seq_len(n))
  }
  if (length(pair[[1L]]) != length(pair[[2L]])) abort_argument(axes, "axes", "as many axes of `x1` as of `x2`", call = call, class = "shape")
  contract(x1, x2, pair[[1L]], pair[[2L]], call)
}

# The sum over axes of x1 and x2, counted from 1, with letters for axes.
contract <- function(x1, x2, axes1, axes2, call = NULL) {
  own <- seq_along(operand_shape(x1))
  other <- seq_along(operand_shape(x2)) + length(own)
  other[axes2] <- own[axes1]
  sum_products(x1, x2, own, other, c(own[setdiff(own, axes1)], other[setdiff(seq_along(other), axes2)]), call)
}

#' @rdname op_matmul
#' @export
op_einsum <- function(subscripts, ...) {
  call <- environment()
  operands <- unname(list(...))
  subscripts <- gsub(" ", "", check_string(subscripts, "subscripts", call = call), fixed = TRUE)
  n <- length(operands)
  if (!grepl("^[A-Za-z]*(,[A-Za-z]*)?(->[A-Za-z]*)?$", subscripts) || n < 1L) {
    abort_attentive("not_yet", sprintf("`op_einsum()` takes a formula of letters for one or two operands, not \"%s\" for %d.", shorten(subscripts), n),
      hint = "Write every axis as a letter: \"bij,bjk->bik\". Products of more operands are made one after the other.", arg = "subscripts", call = call
    )
  }
  sides <- strsplit(paste0(subscripts, if (!grepl("->", subscripts, fixed = TRUE)) "->?"), "->", fixed = TRUE)[[1L]]
  labels <- strsplit(strsplit(paste0(sides[[1L]], ",!"), ",", fixed = TRUE)[[1L]], "")
  labels <- labels[-length(labels)]
  result <- if (length(sides) < 2L) character() else if (sides[[2L]] == "?") once(unlist(labels)) else strsplit(sides[[2L]], "")[[1L]]
  operands <- lapply(seq_along(operands), function(i) as_operand(operands[[i]], i, n, call))
  check_einsum(subscripts, labels, result, operands, call)
  if (n == 1L) return(order_axes(drop_axes(operands[[1L]], labels[[1L]], result, call), intersect(labels[[1L]], result), result))
  # what is in one operand alone and not in the result is summed first
  kept <- list(c(labels[[2L]], result), c(labels[[1L]], result))
  operands <- Map(function(x, own, others) drop_axes(x, own, others, call), operands, labels, kept)
  labels <- Map(intersect, labels, kept)
  sum_products(operands[[1L]], operands[[2L]], labels[[1L]], labels[[2L]], result, call)
}

once <- function(letters) sort(setdiff(letters, letters[duplicated(letters)]), method = "radix")

check_einsum <- function(subscripts, labels, result, operands, call = NULL) {
  ranks <- vapply(operands, function(x) length(operand_shape(x)), 0L)
  if (!identical(lengths(labels), ranks)) {
    abort_attentive("shape", sprintf("The formula \"%s\" does not fit operands of %s axes.", subscripts, paste(ranks, collapse = " and ")), arg = "subscripts", call = call)
  }
  if (any(vapply(labels, anyDuplicated, 0L) > 0L)) {
    abort_attentive("not_yet", sprintf("A letter twice in one operand is not available: \"%s\".", subscripts), arg = "subscripts", call = call)
  }
  if (anyDuplicated(result) || !all(result %in% unlist(labels))) {
    abort_argument(subscripts, "subscripts", "a formula whose result has letters of the operands, each once", call = call)
  }
}

# Sums over the axes whose letters are not among `kept`.
drop_axes <- function(x, labels, kept, call = NULL) {
  gone <- which(!labels %in% kept)
  if (length(gone) == 0L) x else apply_operation("sum", list(x), list(axis = gone - 1L, keepdims = FALSE), call)
}

order_axes <- function(x, labels, wanted) if (identical(as.character(labels), as.character(wanted))) x else op_transpose(x, match(wanted, labels))

# sum over letters in both and not in the result; every letter of one operand is in the other or in the result.
sum_products <- function(x1, x2, labels1, labels2, result, call = NULL) {
  sizes <- c(stats::setNames(unclass(op_shape(x2)), labels2), stats::setNames(unclass(op_shape(x1)), labels1))
  shared <- intersect(labels1, labels2)
  fits <- vapply(as.character(shared), function(label) {
    !differ(operand_shape(x1)[[match(label, labels1)]], operand_shape(x2)[[match(label, labels2)]])
  }, NA)
  if (!all(fits)) {
    abort_attentive("shape", sprintf("Arrays of the shapes %s and %s have other sizes on axes that belong together.",
      format_shape(operand_shape(x1)), format_shape(operand_shape(x2))), call = call)
  }
  batch <- intersect(shared, result)
  summed <- setdiff(shared, result)
  free1 <- setdiff(labels1, shared)
  free2 <- setdiff(labels2, shared)
  size <- function(labels) unname(sizes[as.character(labels)])
  one <- function(labels) Reduce(function(a, b) a * b, size(labels), 1L)
  # without axes in common those of the first stay what they are: the product takes any number of them
  rows <- if (length(batch) == 0L && length(free1) > 0L) size(free1) else list(one(free1))
  left <- op_reshape(order_axes(x1, labels1, c(batch, free1, summed)), c(size(batch), rows, list(one(summed))))
  right <- op_reshape(order_axes(x2, labels2, c(batch, summed, free2)), c(size(batch), list(one(summed), one(free2))))
  made <- op_reshape(op_matmul(left, right), c(size(batch), size(free1), size(free2)))
  order_axes(made, c(batch, free1, free2), result)
}

#' Norms
#'
#' `op_norm()` is the length of vectors along an axis, or of all numbers; `op_normalize()` divides by it.
#'
#' @details
#' Of order `p` it is \eqn{(\sum |x|^p)^{1/p}};
#' `Inf` and `-Inf` are the largest and the smallest absolute value, 0 counts what is not 0, and `NULL` or `"fro"` stands for 2.
#' Of matrices there is the Frobenius norm only. `op_normalize()` divides by `epsilon` where the norm is smaller. Source:
#' the documentation of `keras.ops`.
#'
#' @inheritParams op_sum
#' @param ord,order The order p.
#' @param axis The axis, counted from 1 with the batch as 1; for `op_norm()` `NULL` means all, and two axes a matrix.
#' @param epsilon The least norm, 1e-7 by default.
#' @return A symbolic tensor, or an array.
#' @inheritSection op_sum Errors
#' @family operations
#' @examples
#' op_norm(c(3, 4))
#' op_normalize(matrix(1:4, 2))
#' @export
op_norm <- function(x, ord = NULL, axis = NULL, keepdims = FALSE) {
  call <- environment()
  x <- as_operand(x, 1L, 1L, call)
  axes <- if (is.null(axis)) seq_along(operand_shape(x)) else axis
  if (!is.null(ord) && !identical(ord, "fro") && length(axes) != 1L) {
    abort_attentive("not_yet", "Of matrices `op_norm()` has the Frobenius norm only: `ord` must be NULL or \"fro\".", arg = "ord", call = call)
  }
  p <- if (is.null(ord) || identical(ord, "fro")) 2 else ord
  if (!is.numeric(p) || length(p) != 1L || is.na(p)) abort_argument(ord, "ord", "a number, \"fro\" or NULL", call = call)
  size <- op_abs(x)
  if (is.infinite(p)) return(apply_reduction(if (p > 0) "max" else "min", size, axis, keepdims, call))
  if (p == 0) return(apply_reduction("sum", op_cast(op_not_equal(x, 0), config_floatx()), axis, keepdims, call))
  if (p == 1) return(apply_reduction("sum", size, axis, keepdims, call))
  if (p == 2) return(op_sqrt(apply_reduction("sum", op_square(x), axis, keepdims, call)))
  op_power(apply_reduction("sum", op_power(size, p), axis, keepdims, call), 1 / p)
}

#' @rdname op_norm
#' @export
op_normalize <- function(x, axis = -1L, order = 2L, epsilon = NULL) {
  call <- environment()
  epsilon <- if (is.null(epsilon)) 1e-7 else check_number(epsilon, "epsilon", min = 0, call = call)
  axis <- check_axis(axis, "axis", several = TRUE, call = call)
  if (!is.null(order) && !identical(order, "fro") && (!is.numeric(order) || length(order) != 1L || is.na(order))) {
    abort_argument(order, "order", "a number, \"fro\" or NULL", call = call)
  }
  if (!identical(order, 2) && !identical(order, 2L)) return(op_divide(x, op_maximum(op_norm(x, order, r_axes(axis), TRUE), epsilon)))
  squares <- apply_operation("sum", list(op_square(x)), list(axis = axis, keepdims = TRUE), call)
  op_multiply(x, op_rsqrt(op_maximum(squares, epsilon^2)))
}

#' Attention as an operation
#'
#' Softmax attention of queries over keys, with heads and without weights: what [layer_multi_head_attention()] does between its projections.
#'
#' @details
#' \deqn{Y = softmax(s Q K^T + bias) V}{Y = softmax(s Q K' + bias) V} for every head, with the scale \eqn{s = 1 / \sqrt{D}}.
#' A mask, or `is_causal`, takes pairs out; a query that sees nothing gives 0.
#' Without `bias` the engine's tiled core does it, whose memory does not grow with the square of the
#' length. `key` and `value` may have fewer heads than `query`: each serves several. Source: the documentation of `keras.ops.dot_product_attention`;
#' Vaswani et al. (2017). \doi{10.48550/arXiv.1706.03762}
#'
#' @section Shapes: `query` `[B, T, H, D]`, `key` and `value` `[B, S, K, D]` with H a multiple of K; what comes out has the shape of `query`. `bias` and
#'   `mask` broadcast to `[B, H, T, S]`.
#'
#' @param query,key,value Symbolic tensors or arrays: batch, length, heads, depth.
#' @param bias What is added to the scores before softmax.
#' @param mask Logical or 0/1: TRUE where a query may see a key.
#' @param scale The factor s.
#' @param is_causal Whether a query sees only the keys up to its own place.
#' @param flash_attention Accepted: the result is the same.
#' @return A symbolic tensor, or an array.
#' @section Errors: `attentive_error_shape` and `attentive_error_mask` where shapes do not fit; else see [attentive_errors].
#' @family operations
#' @examples
#' x <- array(rnorm(2 * 5 * 2 * 4), c(2, 5, 2, 4))
#' dim(op_dot_product_attention(x, x, x, is_causal = TRUE))
#' @export
op_dot_product_attention <- function(query, key, value, bias = NULL, mask = NULL, scale = NULL, is_causal = FALSE, flash_attention = NULL) {
  call <- environment()
  is_causal <- check_flag(is_causal, "is_causal", call = call)
  parts <- lapply(list(query, key, value), function(x) as_operand(x, 1L, 1L, call))
  shapes <- lapply(parts, operand_shape)
  if (all(lengths(shapes) == 4L)) {
    heads <- vapply(shapes, function(shape) shape[[3L]], 0L)
    if (!anyNA(heads) && heads[[2L]] == heads[[3L]] && heads[[2L]] > 0L && heads[[1L]] %% heads[[2L]] == 0L && heads[[1L]] != heads[[2L]]) {
      parts[2:3] <- lapply(parts[2:3], op_repeat, heads[[1L]] %/% heads[[2L]], axis = 3L)
    }
  }
  depth <- if (length(shapes[[1L]]) == 4L) shapes[[1L]][[4L]] else 1L
  if (is.null(scale) && is.na(depth)) abort_missing("scale", "the factor of the scores, because the depth is not known", call)
  scale <- if (is.null(scale)) 1 / sqrt(depth) else check_number(scale, "scale", call = call)
  if (!is.null(mask)) mask <- four_axes(as_operand(mask, 4L, 4L, call), call)
  if (!is.null(bias)) return(biased_attention(parts, bias, mask, scale, is_causal, call))
  apply_operation("dot_product_attention", c(parts, if (!is.null(mask)) list(mask)), list(scale = scale, is_causal = is_causal), call)
}

four_axes <- function(x, call = NULL) {
  lacking <- 4L - length(operand_shape(x))
  if (lacking > 0L) apply_operation("expand_dims", list(x), list(axis = seq_len(lacking) - 1L), call) else x
}

# With a bias the scores are written down.
biased_attention <- function(parts, bias, mask, scale, is_causal, call = NULL) {
  apply_shapes <- lapply(c(parts, if (!is.null(mask)) list(mask)), operand_shape)
  shape_attention(apply_shapes, list(), call)
  scores <- op_add(op_multiply(op_einsum("bthd,bshd->bhts", parts[[1L]], parts[[2L]]), scale), bias)
  if (is_causal) {
    seen <- op_triangle(op_ones_like(scores), 0L, op_greater_equal, call)
    mask <- if (is.null(mask)) seen else op_logical_and(seen, mask)
  }
  if (!is.null(mask)) scores <- op_where(mask, scores, -Inf)
  largest <- op_max(scores, axis = -1L, keepdims = TRUE)
  weights <- op_exp(op_subtract(scores, op_stop_gradient(op_where(op_isfinite(largest), largest, 0))))
  sums <- op_sum(weights, axis = -1L, keepdims = TRUE)
  op_einsum("bhts,bshd->bthd", op_divide(weights, op_where(op_equal(sums, 0), 1, sums)), parts[[3L]])
}
