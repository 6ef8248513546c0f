# The first argument of a layer function decides what comes back: without it
# the layer, with an array or a list of arrays the result, with symbolic tensors
# one of those; to a sequential model the layer is appended. `arg` is its name,
# `after` that of the argument which follows it.
apply_to_inputs <- function(layer, inputs, call = NULL, arg = "inputs", after = "num_heads") {
  if (is.null(inputs)) return(layer)
  if (is_sequential(inputs)) return(invisible(add_layer(inputs, layer, call)))
  if (is.data.frame(inputs) || (!is.list(inputs) && is.null(dim(inputs)))) {
    abort_argument(inputs, arg, "an array, or a list of query, value and maybe key",
      hint = c(
        sprintf("Leave `%s` out to get the layer itself.", arg),
        if (is.numeric(inputs) || is.logical(inputs)) {
          sprintf("Was this meant to be `%s`? It comes after `%s`: name the arguments.", after, arg)
        }
      ), call = call
    )
  }
  if (!is.list(inputs)) inputs <- list(inputs)
  known <- setdiff(names(formals(layer)), "...")
  # a layer whose call takes one list gets the arrays in it, the rest beside it
  takes_list <- known[[1L]] == "inputs"
  if (takes_list) known <- c(array_arguments, known[-1L])
  given <- if (is.null(names(inputs))) character(length(inputs)) else names(inputs)
  unknown <- setdiff(given, c(known, "", "threads"))
  if (length(unknown) > 0L) {
    abort_attentive("name", sprintf("The list `%s` has an element `%s` that is not known.", arg, unknown[[1L]]),
      hint = c(nearest_hint(unknown[[1L]], known), paste0("Known names: ", paste0("`", known, "`", collapse = ", "), ".")), call = call
    )
  }
  twice <- anyDuplicated(given[given != ""])
  if (twice > 0L) {
    abort_attentive("name", sprintf("The list `%s` has two elements `%s`.", arg, given[given != ""][[twice]]), call = call)
  }
  if (length(inputs) == 0L || length(inputs) > length(known) + 1L) {
    abort_argument(inputs, arg, "a list of query, value and maybe key", call = call)
  }
  if (takes_list) {
    arrays <- given %in% c("", array_arguments)
    inputs <- c(list(inputs[arrays]), inputs[!arrays])
  }
  do.call("layer", inputs, quote = TRUE) # by name: that is what an error shows
}

# The arrays that an attention layer works on, in Keras's order.
array_arguments <- c("query", "value", "key")

# `x`, a list of up to three in this order or by name, as a list with these
# names; NULL where nothing is given. `what` says what they are.
by_array_argument <- function(x, arg, what, call = NULL) {
  given <- if (is.null(names(x))) character(length(x)) else names(x)
  unknown <- setdiff(given, c(array_arguments, ""))
  if (length(unknown) > 0L) {
    abort_attentive("name", sprintf("The list `%s` has an element `%s`; it holds %s.", arg, unknown[[1L]], what),
      hint = c(nearest_hint(unknown[[1L]], array_arguments), "Known names: `query`, `value`, `key`."), call = call
    )
  }
  twice <- anyDuplicated(given[given != ""])
  if (twice > 0L) {
    abort_attentive("name", sprintf("The list `%s` has two elements `%s`.", arg, given[given != ""][[twice]]), call = call)
  }
  given[given == ""] <- setdiff(array_arguments, given)[seq_len(sum(given == ""))]
  names(x) <- given
  stats::setNames(lapply(array_arguments, function(name) x[[name]]), array_arguments)
}
