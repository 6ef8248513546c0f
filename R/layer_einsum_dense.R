#' A dense layer by an equation
#'
#' Multiplies with a kernel whose axes an equation of letters names, adds a bias and applies an activation: what `layer_einsum_dense()` of keras3 does.
#'
#' @section The formula:
#' \eqn{y = \mathrm{activation}(\mathrm{einsum}(x, W) + b)}: for `"abc,cd->abd"` \eqn{y_{abd} = \sum_c x_{abc} W_{cd}}. A letter that x and the kernel have and the output has not is
#' summed over. Source: the documentation of Keras's `EinsumDense`.
#'
#' @section Shapes:
#' The first axis of x and of the output is the batch. Letters of the kernel take their sizes from x, those that only the output has from `output_shape`. `...` stands for any axes that
#' x and the output share, at the beginning (with the batch) or at the end: `"...x,xy->...y"`. The bias has the sizes of the letters in `bias_axes`, and 1 for other letters that follow
#' the first of them. Masks end here, as in Keras.
#'
#' Variance scaling initializers count the letters of the kernel that the output lacks as inputs and the others as outputs, as Keras does since 3.15.
#'
#' @inheritParams layer_dense
#' @param equation Letters of x, a comma, letters of the kernel, `->`, letters of the output.
#' @param output_shape Sizes of the output without the batch, and without what `...` stands for; `NA` where x tells.
#' @param bias_axes Letters of the output along which there is a bias, as one string; by default none.
#' @param kernel_initializer,bias_initializer How kernel and bias begin.
#' @return A layer, a symbolic tensor, the model, or an array: see `object`.
#' @section Errors: `attentive_error_argument` for an equation that cannot be read, `attentive_error_shape` where it does not fit; else see [attentive_errors].
#' @family layers
#' @examples
#' x <- array(rnorm(24), c(2, 3, 4))
#' layer <- layer_einsum_dense(
#'   equation = "abc,cde->abde", output_shape = c(NA, 2, 5), bias_axes = "de"
#' )
#' dim(layer(x))
#' lapply(get_weights(layer), dim)
#' @export
layer_einsum_dense <- function(
    object, equation, output_shape, activation = NULL, bias_axes = NULL, kernel_initializer = "glorot_uniform", bias_initializer = "zeros",
    kernel_regularizer = NULL, bias_regularizer = NULL, kernel_constraint = NULL, bias_constraint = NULL, ..., activity_regularizer = NULL) {
  call <- environment()
  object <- first_argument(call)
  if (missing(equation)) abort_missing("equation", "a string such as \"abc,cd->abd\"", call)
  if (missing(output_shape)) abort_missing("output_shape", "the sizes that come out, without the batch", call)
  self <- simple_self(call, "einsum_dense", "EinsumDense", list(...), simple_dots)
  self$equation <- check_string(equation, "equation", call = call)
  self$letters <- read_equation(self$equation, call)
  self$output_sizes <- as_shape(output_shape, "output_shape", call)
  self$bias_axes <- check_string(bias_axes, "bias_axes", null = TRUE, call = call)
  unknown <- setdiff(strsplit(paste0("", self$bias_axes), "")[[1L]], self$letters$output)
  if (length(unknown) > 0L) {
    abort_argument(bias_axes, "bias_axes", sprintf("letters of the output of \"%s\"", self$equation), call = call)
  }
  self$activation <- as_activation(activation, "activation", call)
  take_specifications(self, call, list(kernel = "glorot_uniform", bias = "zeros"), c("kernel", "bias"), c("kernel", "bias"))
  check_activity_regularizer(self, call)
  take_seed(self, list(...)$seed, call)
  compose_layer(new_layer(self), object, call)
}

# list(input =, kernel =, output =, dots =): letters, and where "..." stands: "", "left", "right".
read_equation <- function(equation, call = NULL) {
  text <- gsub("[[:space:]]", "", equation)
  forms <- c(
    none = "^([A-Za-z]+),([A-Za-z]+)->([A-Za-z]+)$", left = "^\\.\\.\\.([A-Za-z]+),([A-Za-z]+)->\\.\\.\\.([A-Za-z]+)$",
    right = "^([A-Za-z]+)\\.\\.\\.,([A-Za-z]+)->([A-Za-z]+)\\.\\.\\.$"
  )
  form <- names(forms)[vapply(forms, grepl, NA, x = text)]
  if (length(form) == 0L) {
    abort_argument(equation, "equation", "of the form \"abc,cd->abd\", \"...x,xy->...y\" or \"ab...,bc->ac...\"", call = call)
  }
  parts <- regmatches(text, regexec(forms[[form]], text))[[1L]][-1L]
  letters <- stats::setNames(strsplit(parts, ""), c("input", "kernel", "output"))
  problem <- equation_problem(letters, form)
  if (!is.null(problem)) abort_attentive("argument", sprintf("`equation` \"%s\" %s", equation, problem), arg = "equation", call = call)
  c(letters, dots = form)
}

equation_problem <- function(letters, dots) {
  x <- letters$input
  kernel <- letters$kernel
  y <- letters$output
  if (anyDuplicated(x) || anyDuplicated(kernel) || anyDuplicated(y)) return("names a letter twice in one place.")
  if (length(lost <- setdiff(y, c(x, kernel))) > 0L) return(sprintf("does not say where \"%s\" of the output comes from.", lost[[1L]]))
  if (length(lost <- setdiff(kernel, c(x, y))) > 0L) return(sprintf("has \"%s\" in the kernel alone.", lost[[1L]]))
  if (length(lost <- setdiff(x, c(kernel, y))) > 0L) return(sprintf("has \"%s\" in the input alone.", lost[[1L]]))
  if (dots != "left" && (x[[1L]] != y[[1L]] || x[[1L]] %in% kernel)) return("must begin with the batch in input and output, which the kernel has not.")
}

# The equation for inputs of this shape: letters with names for what "..." stands for, sizes by letter.
einsum_plan <- function(self, shape, call = NULL) {
  letters <- self$letters
  x <- letters$input
  y <- letters$output
  more <- length(shape) - length(x)
  declared <- c(shape[[1L]], self$output_sizes)
  elided <- if (more > 0L) paste0(".", seq_len(more)) # no letter
  fits <- if (letters$dots == "none") more == 0L else more >= 0L
  if (fits && letters$dots == "left") {
    x <- c(elided, x)
    y <- c(elided, y)
    if (more > 0L) declared <- c(shape[seq_len(more)], self$output_sizes)
  } else if (fits && letters$dots == "right") {
    x <- c(x, elided)
    y <- c(y, elided)
    declared <- c(declared, shape[length(letters$input) + seq_len(more)])
  }
  if (!fits || length(declared) != length(y)) {
    abort_attentive("shape", sprintf("The equation \"%s\" of the layer \"%s\" with `output_shape` %s does not fit %s.",
      self$equation, self$name, format_shape(self$output_sizes), format_shape(shape)), call = call)
  }
  sizes <- stats::setNames(shape, x)
  for (i in seq_along(y)) {
    own <- if (y[[i]] %in% x) sizes[[y[[i]]]] else NA
    if (differ_each(own, declared[[i]])) {
      abort_attentive("shape", sprintf("`output_shape` of the layer \"%s\" says %d for \"%s\", the input %d.",
        self$name, declared[[i]], y[[i]], own), call = call)
    }
    sizes[[y[[i]]]] <- if (is.na(own)) declared[[i]] else own
  }
  kernel <- letters$kernel
  unknown <- kernel[is.na(sizes[kernel])]
  if (length(unknown) > 0L) {
    abort_attentive("shape", sprintf("The size of \"%s\" in the kernel of the layer \"%s\" must be known: %s.",
      unknown[[1L]], self$name, format_shape(shape)), call = call)
  }
  list(
    input = x, kernel = kernel, output = y, shape = unname(sizes[y]), kernel_shape = unname(sizes[kernel]),
    bias_shape = if (!is.null(self$bias_axes)) einsum_bias(self, y, sizes)
  )
}

# From the first letter of the bias on; a size of 1 for letters that it has not.
einsum_bias <- function(self, output, sizes) {
  own <- strsplit(self$bias_axes, "")[[1L]]
  output <- output[seq.int(min(match(own, output)), length(output))]
  unname(ifelse(output %in% own, sizes[output], 1L))
}

layer_build.einsum_dense <- function(self, shapes, call = NULL) {
  plan <- einsum_plan(self, shapes[[1L]], call)
  outputs <- plan$kernel %in% plan$output
  kernel <- new_weight(self, "kernel", plan$kernel_shape, 0L, which(!outputs), which(outputs), call = call)
  bias <- if (!is.null(plan$bias_shape)) new_weight(self, "bias", plan$bias_shape, 1L, call = call)
  self$activation <- trace_activation(self$activation, plan$shape, self$dtype, call)
  self$plan <- plan
  self$kernel <- kernel
  self$bias <- bias
  self$weights <- Filter(Negate(is.null), list(kernel, bias))
  self$built <- TRUE
  invisible(self)
}

layer_output_shape.einsum_dense <- function(self, shapes, call = NULL) {
  plan <- einsum_plan(self, shapes[[1L]], call)
  if (self$built && (!identical(plan$kernel_shape, self$plan$kernel_shape) || !identical(plan$input, self$plan$input))) {
    abort_attentive("shape", sprintf("The layer \"%s\" was built for a kernel of shape %s: %s does not fit.",
      self$name, format_shape(self$plan$kernel_shape), format_shape(shapes[[1L]])), call = call)
  }
  activation_shape(self$activation, plan$shape, self$dtype, call)
}

# The factors are brought into the order of the product: letters that all three have, rows, what is summed over, columns.
layer_emit.einsum_dense <- function(self, builder, inputs, arguments) {
  plan <- self$plan
  both <- intersect(plan$kernel, plan$input)
  shared <- intersect(both, plan$output)
  summed <- setdiff(both, plan$output)
  rows <- setdiff(plan$input, plan$kernel)
  columns <- setdiff(plan$kernel, plan$input)
  ordered <- function(value, from, to) {
    if (identical(from, to)) value else add_node(builder, "transpose", value, list(order = match(to, from) - 1L))
  }
  options <- list(shared = length(shared), contracted = length(summed))
  factor <- c(shared, summed, columns)
  x <- ordered(inputs[[1L]]$value, plan$input, c(shared, rows, summed))
  if (identical(factor, plan$kernel)) {
    value <- add_node(builder, "product", x, c(options, list(dims = plan$kernel_shape)), list(self$kernel))
  } else {
    kernel <- add_node(builder, "weight", integer(), list(dims = plan$kernel_shape), list(self$kernel))
    value <- add_node(builder, "product", c(x, ordered(kernel, plan$kernel, factor)), options)
  }
  value <- ordered(value, c(shared, rows, columns), plan$output)
  if (!is.null(self$bias)) {
    bias <- add_node(builder, "weight", integer(), list(dims = plan$bias_shape), list(self$bias))
    value <- add_node(builder, "binary", c(value, bias), list(operation = "add"))
  }
  emit_activity(self, builder, emit_activation(builder, self$activation, handle(value)))
}

layer_config.einsum_dense <- function(self) {
  list(
    output_shape = as_config_shape(self$output_sizes), equation = self$equation, activation = activation_config(self$activation),
    bias_axes = self$bias_axes, kernel_initializer = serialize_spec(self$kernel_initializer),
    bias_initializer = serialize_spec(self$bias_initializer), kernel_regularizer = serialize_spec(self$kernel_regularizer),
    bias_regularizer = serialize_spec(self$bias_regularizer), activity_regularizer = serialize_spec(self$activity_regularizer),
    kernel_constraint = serialize_spec(self$kernel_constraint), bias_constraint = serialize_spec(self$bias_constraint)
  )
}

layer_property.einsum_dense <- function(self, name) {
  if (identical(name, "activation")) return(activation_config(self$activation))
  if (identical(name, "output_shape")) return(new_shape(self$output_sizes))
  simple_property(self, name, c(
    "equation", "output_shape", "activation", "bias_axes", "kernel", "bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
    "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "seed"
  ), paste0(self$equation, activation_label(self$activation)))
}
