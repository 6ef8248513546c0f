# The graph of a model as boxes with text, before anything is known of a page.
#
# A graph is list(boxes, edges): edges is a matrix of the columns from and to, in the order of the
# boxes. A box is list(name, kind, title, rows, inner): `kind` is "layer", "input",
# "operation" or "model", `inner` the graph of a nested model that is to be shown.

model_graph <- function(self, options) {
  if (!self$built) return(stack_graph(self, options))
  nodes <- self$nodes
  if (is_sequential_self(self)) nodes <- nodes[-1L]
  key <- rlang::obj_address
  ids <- vapply(nodes, key, "")
  edges <- lapply(seq_along(nodes), function(i) {
    from <- match(vapply(Filter(is_symbolic, nodes[[i]]$inputs), function(tensor) key(tensor[["node"]]), ""), ids)
    cbind(from[!is.na(from)], rep(i, sum(!is.na(from))))
  })
  boxes <- lapply(nodes, function(node) {
    new_box(node$self, Filter(is_symbolic, node$inputs), node$outputs, options, self$trainable && options$around)
  })
  list(boxes = boxes, edges = unique(rbind(matrix(0L, 0L, 2L), do.call(rbind, edges))))
}

# A sequential model that does not know its shapes yet.
stack_graph <- function(self, options) {
  n <- length(self$stack)
  boxes <- lapply(self$stack, new_box, NULL, NULL, options, self$trainable && options$around)
  list(boxes = boxes, edges = cbind(seq_len(max(0L, n - 1L)), seq_len(n)[-1L]))
}

# `trainable`: whether what is around the layer is trained.
new_box <- function(inner, inputs, outputs, options, trainable) {
  kind <- if (inherits(inner, "input_layer")) "input" else if (inherits(inner, "operation")) "operation" else if (inherits(inner, "model")) "model" else "layer"
  shown <- function(tensors) if (is.null(tensors)) "?" else shapes_text(lapply(tensors, function(tensor) tensor[["shape"]]))
  own <- if (options$activations) activation_text(inner$activation)
  rows <- c(
    if (options$names) inner$name,
    if (!is.null(own)) paste("activation:", own),
    if (options$dtype) paste("dtype:", if (length(outputs) > 0L) outputs[[1L]][["dtype"]] else inner$dtype),
    if (options$shapes && kind != "input") paste("input:", shown(inputs)),
    if (options$shapes) paste("output:", shown(outputs)),
    if (isTRUE(options$trainable) && length(layer_weights(inner)) > 0L) paste("trainable:", if (trainable_text(inner, trainable) == "Y") "yes" else "no")
  )
  nested <- if (kind == "model" && options$expand && length(inner$layers) > 0L) {
    options$around <- trainable && inner$trainable
    model_graph(inner, options)
  }
  list(name = inner$name, kind = kind, title = inner$class_name, rows = shorten_labels(rows, 48L), inner = nested)
}

# Of a layer that has one: its name.
activation_text <- function(activation) {
  if (is.null(activation)) return(NULL)
  if (is.character(activation)) return(activation[[1L]])
  named <- if (is.list(activation)) activation$name
  if (is.null(named)) "a function" else named
}

# As Keras writes shapes in tables: "(None, 4)", and "[(None, 4), (None, 2)]" of several tensors.
shapes_text <- function(shapes) {
  text <- vapply(shapes, function(shape) {
    sizes <- ifelse(is.na(shape), "None", format(shape, scientific = FALSE, trim = TRUE))
    sprintf("(%s%s)", paste(sizes, collapse = ", "), if (length(shape) == 1L) "," else "")
  }, "")
  if (length(text) == 1L) text else sprintf("[%s]", paste(text, collapse = ", "))
}

# The positions of layers from the first to the last one that `range` names: two names or patterns.
range_of <- function(names, range, call = NULL) {
  if (is.null(range)) return(seq_along(names))
  range <- unlist(range)
  if (!is.character(range) || length(range) != 2L || anyNA(range)) {
    abort_argument(range, "layer_range", "the names of the first and the last layer, or patterns of them", call = call)
  }
  found <- lapply(range, function(pattern) {
    exact <- which(names == pattern)
    if (length(exact) > 0L) return(exact)
    places <- tryCatch(grep(paste0("^(", pattern, ")"), names, perl = TRUE), error = function(e) integer(), warning = function(w) integer())
    if (length(places) > 0L) return(places)
    abort_attentive("name", sprintf("`layer_range` names \"%s\", which no layer of the model fits.", pattern),
      hint = c(nearest_hint(pattern, names), paste0("Its layers: ", or_list(utils::head(unique(names), 20L)), ".")), call = call
    )
  })
  seq.int(min(found[[1L]], found[[2L]]), max(found[[1L]], found[[2L]]))
}

part_of_graph <- function(graph, keep) {
  edges <- matrix(match(graph$edges, keep), ncol = 2L)
  list(boxes = graph$boxes[keep], edges = edges[rowSums(is.na(edges)) == 0L, , drop = FALSE])
}
