# compile(): what a model is trained with, and how that becomes the engine's
# plan of a training.

#' @importFrom generics compile
#' @export
generics::compile

#' @importFrom generics fit
#' @export
generics::fit

#' Say how a model is trained
#'
#' Sets the optimizer, the loss and the metrics of a model. Then [fit()][fit.attentive_model] trains it and [evaluate()] measures it.
#'
#' @details
#' A model with several outputs takes one loss for all of them, or a list of losses, in the order of the outputs or named by them; an output whose loss is `NULL` is not trained.
#' The total loss is the sum of the losses of the outputs, times `loss_weights`, and the penalties of regularizers. Metrics are then a list with
#' one entry per output, each a name, a metric or a list of them; their values are reported as `<output>_<metric>`, and the loss of each output as `<output>_loss`.
#'
#' Compiling again sets everything anew; a new optimizer starts at step 0. An optimizer belongs to the first model that is compiled with it; another model gets a new one
#' with the same settings, so that no training changes that of another model: `model$optimizer` is the one that counts. Weights stay as they are.
#' Which weights are frozen is looked at in each call of `fit()`.
#'
#' @param object A model.
#' @param optimizer An optimizer ([optimizer_adam()]) or its name: "sgd", "rmsprop", "adam", "adam_w", "adagrad" and so on.
#' @param loss A loss ([loss_mean_squared_error()]), its name, or a function of your own ([custom_metric()]); or a list of them, one for each output.
#' @param metrics Names of metrics, metrics ([metric_binary_accuracy()], [metric_auc()]) or functions of your own ([custom_metric()]), as a vector or a list.
#' @param ... Nothing.
#' @param loss_weights Numbers by which the losses of the outputs are multiplied, in their order or named.
#' @param weighted_metrics The same as `metrics`; these take `sample_weight` and `class_weight` into account.
#' @param run_eagerly,steps_per_execution,jit_compile,auto_scale_loss Accepted for compatibility with keras3; they change nothing here.
#' @return The model, invisibly: it is changed in place.
#' @section Errors:
#' `attentive_error_name` for a name that is not known, `attentive_error_argument` where the number of losses or metrics does not fit the outputs.
#' @family training
#' @examples
#' input <- keras_input(3)
#' model <- keras_model(input, layer_dense(input, 1))
#' compile(model, optimizer = optimizer_adam(0.01), loss = "mse", metrics = c("mae", "rmse"))
#' @export
compile.attentive_model <- function(object, optimizer = "rmsprop", loss = NULL, metrics = NULL, ..., loss_weights = NULL,
                                    weighted_metrics = NULL, run_eagerly = FALSE, steps_per_execution = 1L, jit_compile = "auto",
                                    auto_scale_loss = TRUE) {
  call <- environment()
  check_dots_names(list(...), character(), "`compile()`", call, formals = setdiff(names(formals(compile.attentive_model)), c("object", "...")))
  compiled <- list(
    optimizer = as_optimizer(optimizer, call = call), loss = read_losses(loss, call), metrics = read_metrics(metrics, "metrics", call),
    weighted_metrics = read_metrics(weighted_metrics, "weighted_metrics", call), loss_weights = read_loss_weights(loss_weights, call)
  )
  self <- layer_self(object)
  if (self$built) resolve_outputs(self, compiled, call) # tells what does not fit as early as can be
  compiled$optimizer <- own_optimizer(compiled$optimizer, self)
  self$compiled <- compiled
  self$trainers <- list()
  invisible(object)
}

#' @export
compile.attentive_layer <- function(object, ...) abort_no_model(object, "compiled", environment())

abort_no_model <- function(object, done, call) {
  abort_attentive("argument", sprintf("Only models can be %s; this is the layer \"%s\".", done, layer_self(object)$name),
    hint = "`keras_model()` and `keras_model_sequential()` make models of layers.", call = call
  )
}

# A loss, or a list of losses and NULLs.
read_losses <- function(loss, call = NULL) {
  if (is.character(loss) && length(loss) > 1L) loss <- as.list(loss)
  if (!is.list(loss) || is.object(loss)) return(as_loss(loss, "loss", call))
  arg <- entry_labels(loss, "loss")
  structure(lapply(seq_along(loss), function(i) as_loss(loss[[i]], arg[[i]], call)), names = names(loss))
}

entry_labels <- function(x, arg) {
  if (is.null(names(x))) sprintf("%s[[%d]]", arg, seq_along(x)) else sprintf("%s$%s", arg, names(x))
}

# A list whose entries are metrics or lists of metrics.
read_metrics <- function(metrics, arg, call = NULL) {
  if (is.null(metrics)) return(NULL)
  if (is.character(metrics)) metrics <- as.list(metrics)
  if (!is.list(metrics) || is.object(metrics)) metrics <- list(metrics)
  labels <- entry_labels(metrics, arg)
  structure(lapply(seq_along(metrics), function(i) {
    entry <- metrics[[i]]
    if (is.null(entry)) return(list())
    several <- (is.list(entry) && !is.object(entry)) || (is.character(entry) && length(entry) > 1L)
    if (several) lapply(entry, as_metric, arg = labels[[i]], call = call) else as_metric(entry, labels[[i]], call)
  }), names = names(metrics))
}

read_loss_weights <- function(weights, call = NULL) {
  if (is.null(weights)) return(NULL)
  numbers <- if (typeof(weights) == "list" && all(lengths(weights) == 1L)) unlist(weights) else weights
  if (is.numeric(numbers) && length(numbers) > 0L && all(is.finite(numbers))) return(numbers)
  abort_argument(weights, "loss_weights", "numbers, one for each output", call = call)
}

# `x` given once, in the order of the outputs or named by them, as a list with
# an entry for each output.
by_output <- function(self, x, arg, call = NULL, what = "entries") {
  known <- output_names(self)
  if (!is.null(names(x)) && all(names(x) != "")) {
    unknown <- setdiff(names(x), known)
    if (length(unknown) > 0L) {
      abort_attentive("name", sprintf("`%s` has an entry \"%s\", which is no output of the model \"%s\".", arg, unknown[[1L]], self$name),
        hint = paste0("Its outputs: ", or_list(known), "."), arg = arg, call = call
      )
    }
    return(lapply(known, function(name) x[[name, exact = TRUE]]))
  }
  if (length(x) != length(known)) {
    abort_attentive("argument",
      sprintf("`%s` has %d %s, the model \"%s\" has %d %s: %s.", arg, length(x), what, self$name, length(known),
        if (length(known) == 1L) "output" else "outputs", paste0("\"", known, "\"", collapse = ", ")),
      hint = "Name the entries by the outputs, or give one for each of them, in their order.", arg = arg, call = call
    )
  }
  unname(as.list(x))
}

# Loss, weight and metrics of each output.
resolve_outputs <- function(self, compiled, call = NULL) {
  count <- length(self$outputs)
  losses <- compiled$loss
  losses <- if (is.null(losses) || is.function(losses)) rep(list(losses), count) else by_output(self, losses, "loss", call, "losses")
  weights <- if (is.null(compiled$loss_weights)) {
    rep(1, count)
  } else {
    vapply(by_output(self, as.list(compiled$loss_weights), "loss_weights", call, "weights"), function(w) if (is.null(w)) 1 else as.double(w), 0)
  }
  for (loss in losses) {
    if (!is.null(loss) && loss$reduction == "none") {
      abort_attentive("argument", "A loss without reduction cannot be trained: it is not one number.", arg = "loss", call = call)
    }
  }
  metrics <- metrics_by_output(self, compiled$metrics, "metrics", call)
  weighted <- metrics_by_output(self, compiled$weighted_metrics, "weighted_metrics", call)
  list(losses = lapply(losses, function(loss) if (!is.null(loss)) measure_data(loss)), weights = weights,
    metrics = lapply(metrics, lapply, measure_data), weighted = lapply(weighted, lapply, measure_data))
}

metrics_by_output <- function(self, metrics, arg, call = NULL) {
  count <- length(self$outputs)
  if (is.null(metrics)) return(rep(list(list()), count))
  named <- !is.null(names(metrics)) && all(names(metrics) %in% output_names(self))
  flat <- function(entry) if (is.null(entry)) list() else if (is.function(entry)) list(entry) else entry
  if (count == 1L && !named) {
    if (!is.null(names(metrics))) by_output(self, metrics, arg, call)
    return(list(unlist(lapply(metrics, flat), recursive = FALSE)))
  }
  lapply(by_output(self, metrics, arg, call), flat)
}

# The engine's plan of a training ------------------------------------------------

# What each output contributes: kinds are settled by the sizes of a sample's truth.
engine_losses <- function(resolved, truths, shapes, dtype, trains, call = NULL) {
  Map(function(loss, weight, truth, shape) {
    if (is.null(loss)) return(NULL)
    c(engine_loss(loss, resolve_kind(loss$kind, truth, shape), truth, shape, dtype, trains, call), list(weight = weight))
  }, resolved$losses, resolved$weights, truths, shapes)
}

engine_loss <- function(data, kind, truth, shape, dtype, trains = FALSE, call = NULL) {
  own <- if (kind == "function") engine_function(data, truth, shape, dtype, trains, call) else c(list(kind = kind), data$options)
  c(own, list(reduction = data$reduction))
}

# All metrics with the name under which each is reported.
engine_metrics <- function(self, resolved, truths, shapes, dtype) {
  several <- length(self$outputs) > 1L
  outputs <- output_names(self)
  metrics <- list()
  taken <- character()
  for (weighted in c(FALSE, TRUE)) {
    for (i in seq_along(outputs)) {
      for (metric in resolved[[if (weighted) "weighted" else "metrics"]][[i]]) {
        prefix <- if (several) paste0(outputs[[i]], "_") else ""
        name <- paste0(prefix, metric$name)
        if (weighted && name %in% taken) name <- paste0(prefix, "weighted_", metric$name)
        times <- sum(taken == name)
        taken <- c(taken, name)
        metric$kind <- resolve_kind(metric$kind, truths[[i]], shapes[[i]])
        width <- if (length(shapes[[i]]) == 0L) 1L else shapes[[i]][[length(shapes[[i]])]]
        check_one_number(metric, width)
        metrics[[length(metrics) + 1L]] <- list(
          name = if (times == 0L) name else paste0(name, "_", times), data = metric, size = metric_size(metric, width),
          engine = c(list(output = i, weighted = weighted), engine_metric(metric, metric$kind, truths[[i]], shapes[[i]], dtype))
        )
      }
    }
  }
  metrics
}

# A penalty for the engine: numbers where it knows the regularizer, else functions of the bytes.
engine_regularizer <- function(variable, trained) {
  regularizer <- variable[["regularizer"]]
  if (is.null(regularizer)) return(NULL)
  data <- specification_data(regularizer)
  arg <- paste0(variable[["name"]], "_regularizer")
  shape <- variable[["shape"]]
  dtype <- variable[["dtype"]]
  check_matrix_penalty(data, shape, arg)
  if (data$kind != "function") return(engine_penalty(data))
  if (trained && is.null(data$gradient)) regularizer <- regularizer_custom(data$fun, traced_gradient(data$fun, shape, arg))
  list(
    value = function(raw) regularizer_value(regularizer, raw, shape, dtype, arg = arg),
    gradient = function(raw) regularizer_gradient(regularizer, raw, shape, dtype, arg = arg)
  )
}

engine_restriction <- function(variable) {
  constraint <- variable[["constraint"]]
  if (is.null(constraint)) return(NULL)
  data <- specification_data(constraint)
  arg <- paste0(variable[["name"]], "_constraint")
  if (!data$kind %in% c("function", "custom")) return(engine_constraint(data, length(variable[["shape"]]), arg))
  function(raw) constrained(constraint, raw, variable[["shape"]], variable[["dtype"]], arg = arg)
}

# A trainer: everything that a step needs beside the data. It is kept between
# calls as long as nothing that it was made from has changed.
#
# `data` is what training_data() gives. `update` is FALSE for evaluation.
model_trainer <- function(self, data, update, call = NULL) {
  program <- model_program(self, update)
  address <- function(variables) vapply(variables, rlang::obj_address, "")
  trained <- address(program$variables) %in% address(model_weights(self, TRUE))
  made_from <- list(trained, data$truths, data$shapes, data$columns)
  use <- if (update) "training" else "evaluation"
  trainer <- self$trainers[[use]]
  fresh <- identical(trainer$made_from, made_from) && identical(trainer$program, program$pointer) && pointer_alive(trainer$pointer)
  if (!fresh) {
    if (update) check_gradients(self, program$plan, trained, call)
    trainer <- new_trainer(self, program, trained, data, update, call)
    trainer$made_from <- made_from
    self$trainers[[use]] <- trainer
  }
  trainer
}

# A function without a gradient between a trained weight and a loss is found
# before the training begins.
check_gradients <- function(self, plan, trained, call = NULL) {
  if (all(vapply(plan$nodes, function(node) is.null(node$functions), NA))) return(invisible())
  lost <- !vapply(resolve_outputs(self, self$compiled, call)$losses, is.null, NA)
  moved <- counted <- logical(plan$values) # depends on a trained weight; a loss depends on it
  counted[plan$outputs[lost] + 1L] <- TRUE
  for (node in plan$nodes) {
    moved[node$outputs + 1L] <- any(moved[node$inputs + 1L], trained[node$weights[node$weights >= 0L] + 1L])
  }
  for (node in rev(plan$nodes)) {
    if (!any(counted[node$outputs + 1L])) next
    counted[node$inputs + 1L] <- TRUE
    if (!is.null(node$functions) && any(moved[node$inputs + 1L])) node$functions$gradient(list(), NULL) # says that there is none
  }
}

new_trainer <- function(self, program, trained, data, update, call = NULL) {
  optimizer <- self$compiled$optimizer
  resolved <- resolve_outputs(self, self$compiled, call)
  if (update && all(vapply(resolved$losses, is.null, NA))) {
    abort_attentive("state", sprintf("The model \"%s\" was compiled without a loss.", self$name), hint = "`compile(model, loss = )` gives it one.", call = call)
  }
  variables <- program$variables
  dtype <- if (program$float64) "float64" else "float32"
  metrics <- engine_metrics(self, resolved, data$truths, data$shapes, dtype)
  slots <- rep(list(NULL), length(variables))
  if (update) slots[trained] <- optimizer_slots(optimizer, variables[trained])
  config <- optimizer[["config"]]
  options <- Filter(Negate(is.null), config[setdiff(names(config), c("name", "learning_rate", "loss_scale_factor"))])
  plan <- list(
    losses = engine_losses(resolved, data$truths, data$shapes, dtype, update, call), metrics = lapply(metrics, function(metric) metric$engine),
    shapes = lapply(variables, function(variable) variable[["shape"]]), trainable = trained,
    penalties = Map(engine_regularizer, variables, update & trained), constraints = lapply(variables, engine_restriction),
    optimizer = if (update) c(list(kind = optimizer[["kind"]]), options),
    stop_on_nan = TRUE
  )
  list(
    pointer = training_create(plan, program$float64), program = program$pointer, variables = variables, slots = slots,
    columns = data$columns, measures = measure_table(self, resolved, metrics)
  )
}

# The reported numbers, and where the state of each is among all, in the order in
# which they are reported (alphabetical, as Keras does it).
measure_table <- function(self, resolved, metrics) {
  count <- length(self$outputs)
  with_loss <- which(!vapply(resolved$losses, is.null, NA))
  own <- if (length(with_loss) > 1L) with_loss
  names <- c("loss", if (length(own) > 0L) paste0(output_names(self)[own], "_loss"), vapply(metrics, function(metric) metric$name, ""))
  sizes <- c(rep(2L, 1L + count), vapply(metrics, function(metric) as.integer(metric$size), 0L))
  places <- Map(function(end, size) seq.int(end - size + 1L, end), cumsum(sizes), sizes)
  data <- c(rep(list(list(family = "loss", kind = "loss")), 1L + length(own)), lapply(metrics, function(metric) metric$data))
  order <- order(names, method = "radix")
  list(names = names[order], data = data[order], at = places[c(1L, 1L + own, 1L + count + seq_along(metrics))][order], size = sum(sizes))
}

# The reported numbers from the sums of a run, as a named list.
logs_of <- function(measures, total) {
  values <- Map(function(data, at) metric_value(data, total[at]), measures$data, measures$at)
  names(values) <- measures$names
  values
}

# All states of a step as one vector: the loss, those of the outputs, the metrics.
step_states <- function(result) unlist(result[c("loss", "losses", "metrics")], use.names = FALSE)

check_compiled <- function(self, what, call = NULL) {
  if (is.null(self$compiled)) {
    abort_attentive("state", sprintf("The model \"%s\" has not been compiled: it has no optimizer and no loss.", self$name),
      hint = sprintf("Before `%s`: `compile(model, optimizer = \"adam\", loss = \"mse\")`.", what), call = call
    )
  }
  self$compiled
}

# What a model has beyond a layer ----------------------------------------------------

training_fields <- c("optimizer", "loss", "metrics_names", "stop_training")

training_property <- function(self, name) {
  switch(name,
    optimizer = self$compiled$optimizer,
    loss = self$compiled$loss,
    metrics_names = if (is.null(self$trainers$training)) "loss" else self$trainers$training$measures$names,
    stop_training = isTRUE(self$stop_training)
  )
}

#' @export
`$<-.attentive_model` <- function(x, name, value) {
  self <- layer_self(x)
  if (name == "stop_training") {
    self$stop_training <- check_flag(value, "stop_training")
  } else if (name == "optimizer" && !is.null(self$compiled)) {
    optimizer <- own_optimizer(as_optimizer(value), self)
    if (!identical(optimizer, self$compiled$optimizer)) self$trainers <- list()
    self$compiled$optimizer <- optimizer
  } else {
    return(NextMethod())
  }
  invisible(x)
}
