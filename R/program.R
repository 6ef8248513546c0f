# Programs of the engine, kept beside what they were made from. A pointer into
# the engine is dead after readRDS() or in another process: then the program is
# made anew from R data.

# The program of a model: list(pointer, variables, float64, plan), the weights in its order.
# Layers of the user's classes may be other nodes when the model is trained, or where nobody said whether it is (`NULL`).
model_program <- function(self, training = FALSE) {
  signature <- if (length(self$customs) == 0L || isFALSE(training)) "model" else if (is.null(training)) "unsaid" else "training"
  cached_program(self, signature, function() build_program(self$inputs, self$outputs, self$nodes, training))
}

# The program of one layer for arrays, with a mask of the first one or without.
layer_program <- function(self, inputs, masked) {
  cached_program(self, paste(inputs, masked), function() {
    builder <- new_builder()
    values <- lapply(seq_len(inputs), function(i) new_value(builder))
    handles <- lapply(values, handle)
    if (masked) {
      values <- c(values, new_value(builder))
      handles[[1L]]$mask <- emit_token_mask(builder, values[[length(values)]])
    }
    made <- layer_emit(self, builder, handles, list())
    finish_program(builder, values, if (is.null(made$value)) made else list(made))
  })
}

cached_program <- function(self, signature, make) {
  program <- self$programs[[signature]]
  customs <- if (inherits(self, "custom_layer")) custom_layers_in(self) else self$customs
  edition <- if (length(customs) > 0L) edition_of(customs) else 0
  if (is.null(program) || !pointer_alive(program$pointer) || program$edition != edition || !is_current(program$plan)) {
    float64 <- layer_dtype(self) == "float64"
    plan <- make()
    program <- list(pointer = program_create(plan, float64), variables = plan$variables, float64 = float64, plan = plan, edition = edition)
    if (is.null(self$programs)) self$programs <- list()
    self$programs[[signature]] <- program
  }
  program
}

# Whether all layers that nodes depend on are frozen, or not, as they were.
is_current <- function(plan) {
  for (watched in plan$watched) {
    if (watched$self$trainable != watched$trainable) return(FALSE)
  }
  TRUE
}

forget_programs <- function(self) self$programs <- NULL

# Runs a model on arrays that are checked; a list of arrays, one an output.
run_program <- function(self, inputs, training, threads, run = run_on_arrays) {
  run(self, model_program(self, training), inputs, isTRUE(training), threads)
}

# Runs a layer alone; `mask` is that of its first input.
run_layer <- function(self, inputs, mask, training, threads, run = run_on_arrays) {
  program <- layer_program(self, length(inputs), !is.null(mask))
  outputs <- run(self, program, c(inputs, if (!is.null(mask)) list(mask)), training, threads)
  if (length(outputs) == 1L) outputs[[1L]] else outputs
}

# A call in training counts: dropout draws by the number of the call.
run_on_arrays <- function(self, program, inputs, training, threads) {
  calls <- if (is.null(self$calls)) 0 else self$calls
  result <- tryCatch(
    program_run(program$pointer, inputs, program$variables, training, calls, threads),
    `std::invalid_argument` = function(e) abort_attentive("argument", capitalized(conditionMessage(e)))
  )
  if (training) self$calls <- calls + 1
  self$activity_losses <- if (any(is.na(result$penalties) | result$penalties != 0)) as.list(result$penalties)
  result$outputs
}

# The dtype in which a layer computes: a model computes in that of its weights,
# one without weights in the more exact one of its layers and inputs.
layer_dtype <- function(self) {
  if (inherits(self, "input_layer")) return(self$input_dtype)
  if (!holds_layers(self)) return(self$dtype)
  weights <- layer_weights(self)
  dtypes <- if (length(weights) > 0L) vapply(weights, function(w) w[["dtype"]], "") else vapply(self$layers, layer_dtype, "")
  if (length(weights) == 0L && inherits(self, "custom_layer")) dtypes <- c(dtypes, self$dtype)
  if (length(dtypes) == 0L) self$dtype else if ("float64" %in% dtypes) "float64" else "float32"
}

check_one_dtype <- function(selves, call = NULL) {
  dtypes <- unlist(lapply(selves, function(inner) vapply(layer_weights(inner), function(w) w[["dtype"]], "")))
  if (length(unique(dtypes)) > 1L) {
    abort_attentive("argument", "The layers of a model must have one dtype; these mix float32 and float64.",
      hint = "`config_set_floatx(\"float64\")` before the first layer makes all of them float64.", call = call
    )
  }
}
