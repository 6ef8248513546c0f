# Sizes that are not known while a model is put together. `op_shape()` gives
# them as tensors without axes; arithmetic with whole numbers keeps them sizes,
# and wherever a shape is asked for they can stand in it.
#
# A rule computes one size: steps of three numbers for a stack, see
# src/engine/node_sizes.h. Rules of several sizes stand one after the other,
# each closed by c(6, 0, 0).

size_codes <- c(add = 2, subtract = 3, multiply = 4, floor_divide = 5)
close_rule <- c(6, 0, 0)

number_rules <- function(x) unlist(lapply(x, function(n) c(0, n, 0, close_rule)))

# The sizes of these axes, counted from 1, of one operand, counted from 0.
axis_rules <- function(rank, keep = seq_len(rank), input = 0L) unlist(lapply(keep, function(axis) c(1, input, axis - 1, close_rule)))

# Rules as a list of matrices with one step a column, without their ends.
split_rules <- function(rules) {
  if (length(rules) == 0L) return(list())
  steps <- matrix(rules, 3L)
  ends <- which(steps[1L, ] == 6)
  Map(function(from, to) steps[, seq_len(to - from) + from - 1L, drop = FALSE], c(1L, ends[-length(ends)] + 1L)[seq_along(ends)], ends)
}

is_batch_rule <- function(rule) ncol(rule) == 1L && rule[[1L]] == 1 && rule[[3L]] == 0
is_number_rule <- function(rule) ncol(rule) == 1L && rule[[1L]] == 0
uses_batch <- function(rules) {
  if (length(rules) == 0L) return(FALSE)
  steps <- matrix(rules, 3L)
  any(steps[1L, ] == 1 & steps[3L, ] == 0)
}

# The sizes for operands of these shapes, NA where unknown; -1 stays.
evaluate_rules <- function(rules, shapes) {
  vapply(split_rules(rules), function(rule) {
    stack <- integer()
    for (i in seq_len(ncol(rule))) {
      step <- rule[, i]
      top <- length(stack)
      stack <- switch(step[[1L]] + 1L,
        c(stack, as.integer(step[[2L]])), c(stack, shapes[[step[[2L]] + 1L]][[step[[3L]] + 1L]]),
        c(stack[seq_len(top - 2L)], stack[[top - 1L]] + stack[[top]]), c(stack[seq_len(top - 2L)], stack[[top - 1L]] - stack[[top]]),
        c(stack[seq_len(top - 2L)], stack[[top - 1L]] * stack[[top]]), c(stack[seq_len(top - 2L)], stack[[top - 1L]] %/% stack[[top]])
      )
    }
    stack[[1L]]
  }, 0L)
}

is_size <- function(x) is_symbolic(x) && identical(x[["node"]]$self$operation, "size")

new_size <- function(tensors, rule) apply_operation("size", tensors, list(rule = rule, refs = length(tensors)))

# x1 op x2 as a size, NULL where it is none.
size_arithmetic <- function(name, x1, x2) {
  whole <- function(x) is.numeric(x) && is.null(dim(x)) && length(x) == 1L && !is.na(x) && x == trunc(x)
  if (!name %in% names(size_codes) || !(is_size(x1) || whole(x1)) || !(is_size(x2) || whole(x2))) return(NULL)
  both <- collect_sizes(list(x1, x2))
  new_size(both$refs, c(unlist(both$rules), size_codes[[name]], 0, 0))
}

# The rules of sizes and whole numbers, and the tensors that they refer to, after `first` other operands.
collect_sizes <- function(sizes, first = 0L) {
  refs <- list()
  rules <- lapply(sizes, function(size) {
    if (!is_size(size)) return(c(0, size, 0))
    node <- size[["node"]]
    rule <- matrix(node$self$args$rule, 3L)
    places <- vapply(unname(node$inputs), function(tensor) {
      known <- which(vapply(refs, identical, NA, tensor))
      if (length(known) > 0L) return(known[[1L]])
      refs[[length(refs) + 1L]] <<- tensor
      length(refs)
    }, 0L)
    at <- rule[1L, ] == 1
    rule[2L, at] <- places[rule[2L, at] + 1] - 1 + first
    as.vector(rule)
  })
  list(rules = rules, refs = refs)
}

# A shape as users write it: whole numbers, sizes, NA, NULL or -1 where it is open. list(sizes =, refs =).
as_sizes <- function(x, arg, call = NULL, first = 0L) {
  parts <- lapply(shape_parts(x), function(part) {
    if (is_size(part)) return(part)
    if (is.null(part)) return(-1L)
    if (is_symbolic(part) || length(part) != 1L || !(is.numeric(part) || is.logical(part))) {
      abort_argument(part, arg, "a shape: whole numbers, sizes that `op_shape()` gave, NA or -1 where a size is open", call = call, class = "shape")
    }
    if (is.na(part)) -1L else as_shape(if (part == -1) NA else part, arg, call)
  })
  parts <- lapply(parts, function(part) if (!is_size(part) && is.na(part)) -1L else part)
  collected <- collect_sizes(parts, first)
  list(sizes = unlist(lapply(collected$rules, c, close_rule)), refs = collected$refs)
}

shape_parts <- function(x) if (is.atomic(x) || is.list(x)) as.list(unclass(x)) else list(x)

# Whether these sizes hold a tensor: then what they make is symbolic.
any_size <- function(sizes) length(sizes$refs) > 0L

emit_size <- function(builder, values, args, shapes) add_node(builder, "fill", values, list(sizes = numeric(), numbers = c(args$rule, close_rule)))
across_size <- function(shapes, fixed, args) uses_batch(args$rule)

# What has these sizes keeps the batch first, and only there.
across_sizes <- function(shapes, fixed, args) {
  if (!uses_batch(args$sizes)) return(FALSE)
  rules <- split_rules(args$sizes)
  !is_batch_rule(rules[[1L]]) || any(vapply(rules[-1L], function(rule) any(rule[1L, ] == 1 & rule[3L, ] == 0), NA))
}

shape_sizes <- function(shapes, args, call = NULL) {
  if (length(args$sizes) == 0L) return(integer())
  evaluate_rules(args$sizes, shapes)
}

emit_fill <- function(builder, values, args, shapes) {
  add_node(builder, "fill", values, list(sizes = args$sizes, start = args$start, step = args$step))
}

# Reshape, broadcast ------------------------------------------------------------------

emit_reshape_to <- function(builder, value, rules) add_node(builder, "reshape", value, list(sizes = rules))

shape_reshape <- function(shapes, args, call = NULL) {
  shape <- shapes[[1L]]
  target <- shape_sizes(shapes, args, call)
  open <- which(target == -1L)
  total <- prod(shape)
  known <- prod(target[setdiff(seq_along(target), open)])
  fits <- length(open) <= 1L && (is.na(total) || is.na(known) || (if (length(open) == 1L) known > 0 && total %% known == 0 else known == total))
  if (!fits) {
    target[open] <- NA
    abort_attentive("shape", sprintf("What has the shape %s cannot be given the shape %s: the numbers do not fill it.", format_shape(shape), format_shape(target)),
      hint = "At most one size is left open.", call = call
    )
  }
  if (length(open) == 1L) target[[open]] <- if (keeps_batch(shape, args$sizes) && open == 1L) shape[[1L]] else as.integer(total / known)
  target
}

# Whether the first axis stays what it is, whatever its size.
keeps_batch <- function(shape, sizes) {
  if (length(shape) == 0L || length(sizes) == 0L) return(FALSE)
  rules <- split_rules(sizes)
  rest <- rules[-1L]
  if (any(vapply(rest, function(rule) any(rule[1L, ] == 1 & rule[3L, ] == 0), NA))) return(FALSE)
  first <- rules[[1L]]
  if (is_batch_rule(first)) return(TRUE)
  if (!is_number_rule(first) || !(first[[2L]] == -1 || identical(as.integer(first[[2L]]), shape[[1L]]))) return(FALSE)
  numbers <- vapply(rest, is_number_rule, NA)
  own <- vapply(rest, function(rule) ncol(rule) == 1L && rule[[1L]] == 1 && rule[[2L]] == 0, NA)
  sizes <- vapply(rest[numbers], function(rule) rule[[2L]], 0)
  axes <- vapply(rest[own], function(rule) rule[[3L]], 0)
  all(numbers | own) && all(sizes >= 0) && !anyDuplicated(axes) && setequal(axes, which(is.na(shape[-1L]))) &&
    prod(sizes) == prod(shape[-1L], na.rm = TRUE)
}

emit_reshape <- function(builder, values, args, shapes) {
  sizes <- args$sizes
  if (keeps_batch(shapes[[1L]], sizes) && !is_batch_rule(split_rules(sizes)[[1L]])) sizes[1:3] <- c(1, 0, 0)
  add_node(builder, "reshape", values, list(sizes = sizes))
}

across_reshape <- function(shapes, fixed, args) !keeps_batch(shapes[[1L]], args$sizes)

shape_broadcast_to <- function(shapes, args, call = NULL) {
  target <- shape_sizes(shapes, args, call)
  shape <- shapes[[1L]]
  own <- rev(seq_along(target))[seq_along(shape)]
  if (length(shape) > length(target) || any(differ_each(rev(shape), target[own]) & rev(shape) != 1L, na.rm = TRUE)) {
    abort_attentive("shape", sprintf("What has the shape %s does not broadcast to %s.", format_shape(shape), format_shape(target)), call = call)
  }
  target
}

# x plus zeros of the shape: the gradient comes with it.
emit_broadcast_to <- function(builder, values, args, shapes) {
  zeros <- add_node(builder, "fill", values, list(sizes = args$sizes, start = 0, step = 0))
  add_node(builder, "binary", c(values[[1L]], zeros), list(operation = "add"))
}

across_broadcast_to <- function(shapes, fixed, args) {
  rules <- split_rules(args$sizes)
  if (length(rules) == 0L) return(FALSE)
  if (fixed[[1L]]) return(across_sizes(shapes, fixed, args) || (length(shapes[[1L]]) == length(rules) && !one_first(shapes[[1L]])))
  length(rules) != length(shapes[[1L]]) || !is_batch_rule(rules[[1L]]) || across_sizes(shapes, fixed, args)
}
