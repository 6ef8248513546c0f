# The call of a layer of the user's: traced on symbolic tensors once per signature,
# then nodes like any others.
#
# The arguments of a call are taken apart into tensors (or arrays), in order, and
# what is left: the same nested list with slots in their places.
#
# A trace is list(
#   inputs   the tensors that stood for the arguments, then for their masks
#   masks    for which of the arguments there is a mask among the inputs
#   result   what came out, with slots
#   outputs  the tensors in these slots, then the masks that compute_mask() gave
#   mask_of  for each tensor of the result: which output is its mask, 0 for none, NA where the layer says nothing
#   nodes    in order
# )

new_slot <- function(i) structure(list(i = i), class = "attentive_slot")
is_slot <- function(x) inherits(x, "attentive_slot")

# list(given = with slots, leaves = what was in them); `is_leaf` says what is taken out.
take_slots <- function(x, is_leaf) {
  leaves <- list()
  walk <- function(x) {
    if (is_leaf(x)) {
      leaves[[length(leaves) + 1L]] <<- x
      return(new_slot(length(leaves)))
    }
    if (is.list(x) && !is.object(x)) x[] <- lapply(x, walk)
    x
  }
  given <- walk(x)
  list(given = given, leaves = leaves)
}

fill_slots <- function(x, leaves) {
  if (is_slot(x)) return(leaves[[x$i]])
  if (is.list(x) && !is.object(x)) x[] <- lapply(x, fill_slots, leaves)
  x
}

slots_in <- function(x) {
  if (is_slot(x)) return(x$i)
  if (is.list(x) && !is.object(x)) as.integer(unlist(lapply(x, slots_in))) else integer()
}

# The call -------------------------------------------------------------------------

call_custom <- function(self, arguments, call = NULL, run = run_on_arrays) {
  threads <- call_threads(arguments["threads"], call)
  method <- .subset2(self$instance, "call")
  given <- match_custom_call(self, method, arguments[setdiff_names(arguments, "threads")], call)
  first <- if (length(given) > 0L) given[[1L]]
  if ((is.function(first) || is.environment(first)) && is_sequential(first)) return(invisible(add_layer(first, new_shell(self), call)))
  training <- check_flag(given$training, "training", null = TRUE, call = call)
  given$training <- NULL
  symbolic <- take_slots(given, is_symbolic)
  if (length(symbolic$leaves) > 0L) return(call_custom_symbolically(self, symbolic, training, call))
  given[[1L]] <- as_first_input(first, call)
  run_custom(self, take_slots(given, is_array), training, threads, call, run)
}

setdiff_names <- function(x, names) if (is.null(names(x))) seq_along(x) else which(!names(x) %in% names)

# The arguments by the names that `call` has for them; `object` is keras3's name of the first.
match_custom_call <- function(self, method, arguments, call = NULL) {
  takes <- names(formals(method))
  if (length(takes) == 0L) {
    abort_attentive("argument", sprintf("The method `call` of the class %s has no argument.", self$class_name), call = call)
  }
  if (!is.null(names(arguments)) && !"object" %in% takes) names(arguments)[names(arguments) == "object"] <- takes[[1L]]
  # as in Keras, everyone may say `training`
  training <- arguments["training"][[1L]]
  if (!"training" %in% takes) arguments <- arguments[setdiff_names(arguments, "training")]
  given <- tryCatch(named_arguments(method, arguments), error = function(e) {
    abort_attentive("name", sprintf("These are not the arguments of `call()` of the layer \"%s\": %s.", self$name, conditionMessage(e)),
      hint = paste0("It takes ", paste0("`", takes, "`", collapse = ", "), "."), call = call
    )
  })
  if (is.null(given[[takes[[1L]]]])) abort_missing(takes[[1L]], "an array or a symbolic tensor, or a list of them", call)
  given <- c(given[takes[[1L]]], given[setdiff(names(given), takes[[1L]])])
  given["training"] <- list(training)
  given
}

# Arrays by their dim; the first argument may be a vector or a data frame as well.
is_array <- function(x) !is.null(dim(x)) && (is.numeric(x) || is.logical(x))

as_first_input <- function(x, call = NULL) {
  if (is.list(x) && !is.data.frame(x)) lapply(x, as_first_input, call) else as_input(x, "inputs", call)
}

call_custom_symbolically <- function(self, parts, training, call = NULL) {
  check_training_option(training, call)
  arguments <- list(given = parts$given, training = training, dtypes = vapply(parts$leaves, function(tensor) tensor[["dtype"]], ""))
  if (asks_for_masks(self)) arguments$masked <- vapply(parts$leaves, tensor_masked, NA)
  made <- apply_symbolically(self, parts$leaves, arguments, call)
  if (is_symbolic(made)) made <- list(made)
  trace <- shape_trace(self, lapply(parts$leaves, function(tensor) tensor[["shape"]]), arguments, call)
  for (i in seq_along(made)) made[[i]]$dtype <- trace$outputs[[i]][["dtype"]]
  fill_slots(trace$result, made)
}

asks_for_masks <- function(self) any(grepl("(^|_)mask$", names(formals(.subset2(self$instance, "call")))))

# Whether a mask comes with a tensor: what its layer says when it becomes nodes of a program that nobody keeps.
tensor_masked <- function(tensor) {
  if (is.null(tensor[["masked"]])) {
    node <- tensor[["node"]]
    masked <- rep(FALSE, length(node$outputs))
    if (!inherits(node$self, "input_layer")) {
      builder <- new_builder()
      given <- lapply(node$inputs, function(input) {
        if (!is.null(input)) handle_of(handle(new_value(builder), if (tensor_masked(input)) new_mask(builder) else -1L), input)
      })
      made <- layer_emit(node$self, builder, given, node$arguments)
      masked <- handle_masks(if (is.null(made$value)) made else list(made)) >= 0L
    }
    for (i in seq_along(masked)) node$outputs[[i]]$masked <- masked[[i]]
  }
  tensor[["masked"]]
}

# Within a trace for training, layers may be told so.
allows_training <- function(training) is_tracing() && isTRUE(training) && isTRUE(session$trace_training)

# On arrays: a program of this layer alone.
run_custom <- function(self, parts, training, threads, call = NULL, run = run_on_arrays) {
  training <- resolve_training(self, training, call)
  arrays <- parts$leaves
  shapes <- lapply(arrays, function(x) c(NA_integer_, dim(x)[-1L]))
  dtypes <- vapply(arrays, array_dtype, "", self$dtype)
  arguments <- list(given = parts$given, training = training, dtypes = dtypes)
  trace <- custom_trace(self, parts$given, shapes, dtypes, logical(length(arrays)), method_training(self, training), call)
  # the last few programs are kept
  if (length(self$programs) > 15L) self$programs <- utils::tail(self$programs, 8L)
  program <- cached_program(self, paste(trace$key, isTRUE(training)), function() {
    builder <- new_builder()
    builder$training <- training
    handles <- lapply(arrays, function(x) handle(new_value(builder)))
    made <- emit_custom(self, builder, handles, trace, call)
    finish_program(builder, vapply(handles, function(h) h$value, 0L), made)
  })
  names(arrays) <- rep(names(parts$given), lengths(lapply(parts$given, slots_in)))
  fill_slots(trace$result, run(self, program, arrays, isTRUE(training), threads))
}

array_dtype <- function(x, dtype) switch(typeof(x), logical = "bool", integer = "int32", dtype)

# As in Keras: what was said comes before the default in the signature of `call`.
resolve_training <- function(self, training, call = NULL) {
  method <- .subset2(self$instance, "call")
  defaults <- formals(method)
  if (!is.null(training) || identical(defaults$training, quote(expr = ))) return(training)
  check_flag(eval(defaults$training, environment(method)), "training", null = TRUE, call = call)
}

# What `call` is told of `training`, if it asks.
method_training <- function(self, training) {
  if ("training" %in% names(formals(.subset2(self$instance, "call")))) resolve_training(self, training)
}

# Tracing ------------------------------------------------------------------------

# The trace for arguments of these shapes; `masked` says which of them have a mask.
custom_trace <- function(self, given, shapes, dtypes, masked, training, call = NULL) {
  key <- rlang::hash(list(given, lapply(shapes, as.integer), dtypes, masked, training))
  found <- self$traces[[key]]
  if (!is.null(found)) return(found)
  build_custom(self, given, shapes, call)
  trace <- trace_custom(self, given, shapes, dtypes, masked, training, call)
  check_trace_weights(self, trace, call)
  self$built <- TRUE
  trace$key <- key
  if (length(self$traces) > 31L) self$traces <- utils::tail(self$traces, 16L)
  self$traces[[key]] <- trace
  trace
}

trace_custom <- function(self, given, shapes, dtypes, masked, training, call = NULL) {
  leaves <- Map(function(shape, dtype, i) new_input_tensor(shape, dtype, paste0("input_", i)), shapes, dtypes, seq_along(shapes))
  for (i in seq_along(leaves)) leaves[[i]]$masked <- masked[[i]]
  masks <- vector("list", length(leaves))
  for (i in which(masked)) masks[[i]] <- new_input_tensor(mask_shape(shapes[[i]]), "bool", paste0("mask_", i))
  filled <- fill_slots(given, leaves)
  told <- told_masks(self, given, masks)
  method <- .subset2(self$instance, "call")
  asked <- if ("training" %in% names(formals(method))) list(training = training)
  result <- within_trace(self, "call", training, call, function() do.call(method, c(filled, told, asked), quote = TRUE))
  result <- take_slots(lift_variables(result), is_symbolic)
  if (length(result$leaves) == 0L || length(slots_in(result$given)) == 0L || has_arrays(result$given)) abort_no_tensor(self, result, call)
  computed <- output_masks(self, given, leaves, masks, told, length(result$leaves), call)
  inputs <- c(leaves, Filter(Negate(is.null), masks))
  outputs <- c(result$leaves, computed$tensors)
  list(
    inputs = inputs, masks = masked, result = result$given, outputs = outputs, results = length(result$leaves), mask_of = computed$mask_of,
    nodes = order_nodes(inputs, outputs, call)
  )
}

# A mask covers all axes but the features.
mask_shape <- function(shape) if (length(shape) > 1L) shape[-length(shape)] else shape

# The mask arguments that `call` asks for, as Keras fills them.
told_masks <- function(self, given, masks) {
  takes <- names(formals(.subset2(self$instance, "call")))
  holders <- names(given)[vapply(given, function(x) length(slots_in(x)) > 0L, NA)]
  asked <- if (length(holders) == 1L) stats::setNames(holders, "mask") else stats::setNames(holders, paste0(holders, "_mask"))
  asked <- asked[names(asked) %in% takes & vapply(names(asked), function(name) is.null(given[[name, exact = TRUE]]), NA)]
  told <- lapply(asked, function(holder) masks_of(given[[holder]], masks))
  Filter(Negate(is.null), told)
}

# The masks in the structure of an argument, NULL where there is none at all.
masks_of <- function(given, masks) {
  if (all(vapply(masks[slots_in(given)], is.null, NA))) return(NULL)
  fill_slots(given, masks)
}

within_trace <- function(self, what, training, call, run) {
  before <- list(session$tracing, session$trace_training, self$tracing)
  session$tracing <- TRUE
  session$trace_training <- training
  self$tracing <- TRUE
  on.exit({
    session$tracing <- before[[1L]]
    session$trace_training <- before[[2L]]
    self$tracing <- before[[3L]]
  })
  rlang::try_fetch(run(), error = function(e) {
    if (inherits(e, "attentive_error")) rlang::cnd_signal(e)
    abort_attentive("argument", sprintf("`%s()` of the layer \"%s\" failed on symbolic tensors: %s", what, self$name, conditionMessage(e)),
      hint = c(
        "It is applied to tensors without numbers, to see what it does with them: `+ - * / ^`, layers and operations work on them.",
        "A condition may ask for shapes, for `training` and for `is.null()`, not for the numbers of a tensor."
      ), parent = e, call = call
    )
  })
}

# A weight may be what comes out, alone.
lift_variables <- function(x) {
  if (inherits(x, "attentive_variable")) return(weight_tensor(x))
  if (is.list(x) && !is.object(x)) lapply(x, lift_variables) else x
}

has_arrays <- function(x) {
  if (is_slot(x)) return(FALSE)
  if (is.list(x) && !is.object(x)) any(vapply(x, has_arrays, NA)) else TRUE
}

abort_no_tensor <- function(self, result, call = NULL) {
  came <- if (is_slot(result$given)) "a symbolic tensor" else describe(result$given)
  abort_attentive("argument", sprintf("`call()` of the layer \"%s\" must give a symbolic tensor or a list of them, not %s.", self$name, came),
    hint = "What depends on its inputs is a tensor; numbers of R are none.", arg = "call", call = call
  )
}

# What compute_mask() says, or the mask of the first argument where the layer supports masking.
output_masks <- function(self, given, leaves, masks, told, results, call = NULL) {
  instance <- self$instance
  none <- list(tensors = list(), mask_of = rep(NA_integer_, results))
  if (!isTRUE(instance$supports_masking)) return(none)
  previous <- if (!is.null(told$mask)) told$mask else if (!is.null(given$mask)) fill_slots(given$mask, leaves) else masks_of(given[[1L]], masks)
  first <- fill_slots(given[[1L]], leaves)
  made <- within_trace(self, "compute_mask", NULL, call, function() instance$compute_mask(first, previous))
  made <- if (is.null(made) || is_symbolic(made)) list(made) else if (is.list(made)) made else abort_argument(made, "compute_mask()", "a symbolic mask, a list of them or NULL", call = call)
  made <- made[seq_len(min(length(made), results))]
  length(made) <- results
  given_masks <- vapply(made, is_symbolic, NA)
  at <- rep(0L, results)
  at[given_masks] <- results + seq_len(sum(given_masks))
  list(tensors = made[given_masks], mask_of = at)
}

# A weight that the call uses but the layer does not have would stay as it is.
check_trace_weights <- function(self, trace, call = NULL) {
  own <- vapply(layer_weights(self), rlang::obj_address, "")
  for (node in trace$nodes) {
    used <- c(layer_weights(node$self), if (!is.null(node$self$variable)) list(node$self$variable))
    foreign <- Filter(function(weight) !rlang::obj_address(weight) %in% own, used)
    if (length(foreign) == 0L) next
    abort_attentive("state",
      sprintf("`call()` of the layer \"%s\" uses the weight \"%s\", which is not the layer's own.", self$name, foreign[[1L]][["path"]]),
      hint = "Assign the layer that it belongs to to `self` in `initialize()`: `self$inner <- layer_dense(units = 4)`.", call = call
    )
  }
}

# Building -------------------------------------------------------------------------

# The method `build`, once, with the shapes that it asks for.
build_custom <- function(self, given, shapes, call = NULL) {
  if (isTRUE(self$has_built)) return(invisible())
  build <- .subset2(self$instance, "build")
  if (is.function(build)) {
    around <- session$tracing # a layer within a layer is built while that is traced
    session$tracing <- FALSE
    on.exit(session$tracing <- around)
    sizes <- lapply(shapes, new_shape)
    takes <- setdiff(names(formals(build)), "...")
    by_argument <- lapply(stats::setNames(given, paste0(names(given), "_shape")), fill_slots, sizes)
    by_argument <- by_argument[vapply(given, function(x) length(slots_in(x)) > 0L, NA)]
    asked <- if (length(takes) > 1L) by_argument[intersect(takes, names(by_argument))] else if (length(takes) == 1L) unname(by_argument[1L]) else list()
    do.call(build, asked, quote = TRUE)
  }
  self$has_built <- TRUE
}

# `layer$build(shape)`: also the layers within are built, by following the call.
layer_build.custom_layer <- function(self, shapes, call = NULL) {
  if (self$built) return(invisible(self))
  given <- given_shapes(self, shapes)
  custom_trace(self, given, unname(shapes), rep(self$dtype, length(shapes)), logical(length(shapes)), method_training(self, NULL), call)
  invisible(self)
}

# The arguments of a call of which the shapes alone are known: one shape an argument.
given_shapes <- function(self, shapes) {
  takes <- setdiff(names(formals(.subset2(self$instance, "call"))), c("training", "mask", "..."))
  given <- lapply(seq_along(shapes), new_slot)
  if (length(shapes) > length(takes)) given <- list(given) # one argument, a list
  stats::setNames(given, takes[seq_along(given)])
}

layer_output_shape.custom_layer <- function(self, shapes, call = NULL) {
  own <- .subset2(self$instance, "compute_output_shape")
  if (is.function(own)) {
    sizes <- lapply(unname(shapes), new_shape)
    made <- own(if (length(sizes) == 1L) sizes[[1L]] else sizes)
    several <- is.list(made) && !inherits(made, "keras_shape") && any(lengths(made) > 1L)
    return(if (several) lapply(made, as_shape, "compute_output_shape()", call) else as_shape(made, "compute_output_shape()", call))
  }
  arguments <- list(given = given_shapes(self, shapes), dtypes = rep(self$dtype, length(shapes)))
  made <- layer_call_shapes.custom_layer(self, unname(shapes), arguments, call)
  if (length(made) == 1L) made[[1L]] else made
}

layer_call_shapes.custom_layer <- function(self, shapes, arguments, call = NULL) {
  trace <- shape_trace(self, shapes, arguments, call)
  lapply(trace$outputs[seq_len(trace$results)], function(tensor) tensor[["shape"]])
}

# The trace that tells shapes.
shape_trace <- function(self, shapes, arguments, call = NULL) {
  training <- method_training(self, arguments$training)
  masked <- if (is.null(arguments$masked)) logical(length(shapes)) else arguments$masked
  custom_trace(self, arguments$given, shapes, arguments$dtypes, masked, training, call)
}

layer_compute_mask.custom_layer <- function(self, inputs, previous_mask) self$instance$compute_mask(inputs, previous_mask)

# The engine's nodes -----------------------------------------------------------------

layer_emit.custom_layer <- function(self, builder, inputs, arguments) {
  training <- if (!is.null(arguments$training)) arguments$training else if (builder$inference) FALSE else builder$training
  training <- resolve_training(self, training)
  around <- mget(c("inference", "training"), builder)
  on.exit(list2env(around, builder))
  builder$inference <- !may_train(builder, arguments)
  builder$training <- training # the layers within are told the same
  shapes <- lapply(inputs, function(h) h$tensor[["shape"]])
  dtypes <- vapply(inputs, function(h) h$tensor[["dtype"]], "")
  masked <- handle_masks(inputs) >= 0L
  trace <- custom_trace(self, arguments$given, shapes, dtypes, masked, method_training(self, training))
  emit_custom(self, builder, inputs, trace)
}

emit_custom <- function(self, builder, inputs, trace, call = NULL) {
  inputs <- unname(inputs)
  masked <- inputs[trace$masks]
  masks <- lapply(masked, function(h) handle(add_node(builder, "mask_value", integer(), masks = h$mask)))
  made <- emit_nodes(builder, trace$inputs, c(inputs, masks), trace$outputs, trace$nodes)
  results <- made[seq_len(trace$results)]
  for (i in seq_along(results)) {
    # as in Keras, a mask that came out with a tensor stays
    at <- trace$mask_of[[i]]
    if (is.na(at) || at == 0L || results[[i]]$mask >= 0L) next
    same <- match(made[[at]]$value, handle_values(masks))
    results[[i]]$mask <- if (is.na(same)) emit_token_mask(builder, made[[at]]$value) else masked[[same]]$mask
  }
  lapply(results, function(h) handle(h$value, h$mask))
}
