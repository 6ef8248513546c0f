# The program of a model: what the engine runs. It is an external pointer, made
# from the graph when it is missing or dead (after readRDS(), in another
# session), and kept in `self$program` with the variables that it reads.

model_program <- function(self) {
  if (pointer_alive(self$program$pointer)) return(self$program)
  plan <- build_program(self$inputs, self$outputs, self$nodes)
  self$program <- list(pointer = program_create(plan, self$dtype == "float64"), variables = plan$variables)
  self$program
}

# Runs a model on arrays that are checked; a list of arrays, one an output.
run_program <- function(self, inputs, training, threads) {
  program <- model_program(self)
  calls <- if (is.null(self$calls)) 0 else self$calls
  result <- program_run(program$pointer, inputs, program$variables, training, calls, threads)
  if (training) self$calls <- calls + 1
  result$outputs
}
