# Initializers: how the values of a variable begin.

#' Initial values: constants
#'
#' Initializers that need no random numbers.
#'
#' @details
#' An initializer can be given to a layer in many forms: by name (`"zeros"`, `"Zeros"`), as the object that these functions make, as the
#' function itself without a call (`initializer_zeros`), as an R function of `shape` and `dtype`, as an array of the right dim or a
#' number, as a list with `class_name` and `config`, or as `NULL` for the argument's default.
#'
#' The object is itself a function: `initializer_ones()(c(2, 3))` is an array. It has its arguments as fields (`$value`) and can be
#' saved with [saveRDS()].
#'
#' `initializer_identity()` is for matrices only, not for the three-dimensional kernels of attention layers.
#'
#' @param value A number.
#' @param gain A number that the matrix is multiplied with.
#' @return An initializer: a function of `shape` (whole numbers) and `dtype` (`"float64"` by default, or `"float32"`, which rounds)
#'   that returns an array.
#' @family initializers
#' @seealso [get_config()]
#' @section Errors: `attentive_error_argument` where a number is none. Called: `attentive_error_shape` for a shape that is unknown, and where the identity is not a matrix.
#' @examples
#' initializer_constant(0.5)(c(2, 3))
#' initializer_identity()(c(2, 3))
#' layer <- layer_multi_head_attention(
#'   num_heads = 2, key_dim = 3, bias_initializer = initializer_constant(0.1)
#' )
#' @export
initializer_constant <- function(value = 0) {
  new_specification("initializer", "constant", list(value = check_number(value, "value", call = environment())))
}

#' @rdname initializer_constant
#' @export
initializer_zeros <- function() new_specification("initializer", "zeros", list())

#' @rdname initializer_constant
#' @export
initializer_ones <- function() new_specification("initializer", "ones", list())

#' @rdname initializer_constant
#' @export
initializer_identity <- function(gain = 1) {
  new_specification("initializer", "identity", list(gain = check_number(gain, "gain", call = environment())))
}

#' Initial values: random numbers
#'
#' Values are drawn independently from a uniform, a normal or a truncated normal distribution.
#'
#' @details
#' * uniform: between `minval` and `maxval`;
#' * normal: mean `mean`, standard deviation `stddev`;
#' * truncated normal: the same normal, drawn again where a value is further than `2 * stddev` from the mean; what is left has a
#'   standard deviation of `0.8796 * stddev`.
#'
#' # Random numbers
#' [set.seed()] governs all draws, `seed` overrides it. With a seed the same values come at each call, and every layer that
#' is made with the object has the same weights; but the query, key and value kernels of one layer differ, unlike in Keras, where a seeded
#' initializer makes them equal. Without a seed each call gives new values. Values are computed in double precision and rounded to the
#' dtype, so that a layer in single precision has the rounded values of the one in double precision. R's own stream advances by two
#' draws, however many values are made. The numbers cannot be those that Keras draws for the same seed.
#'
#' @param mean,stddev Mean and standard deviation of the normal distribution.
#' @param minval,maxval The ends of the uniform distribution.
#' @param seed A whole number, or `NULL` for numbers that [set.seed()] governs.
#' @inherit initializer_constant return
#' @references J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw (2011). Parallel random numbers: as easy as 1, 2, 3.
#'   \doi{10.1145/2063384.2063405}
#' @family initializers
#' @section Errors: `attentive_error_argument` for a bad number or seed, and where the limits are not in order. Called: `attentive_error_shape` for a shape that is unknown.
#' @examples
#' initializer_random_normal(stddev = 0.1, seed = 1)(c(2, 3))
#' range(initializer_truncated_normal(seed = 1)(c(100, 10)))
#' @export
initializer_random_normal <- function(mean = 0, stddev = 0.05, seed = NULL) {
  random_initializer("random_normal", mean, stddev, seed, environment())
}

#' @rdname initializer_random_normal
#' @export
initializer_truncated_normal <- function(mean = 0, stddev = 0.05, seed = NULL) {
  random_initializer("truncated_normal", mean, stddev, seed, environment())
}

random_initializer <- function(kind, mean, stddev, seed, call) {
  new_specification("initializer", kind, list(
    mean = check_number(mean, "mean", call = call), stddev = check_number(stddev, "stddev", 0, call = call),
    seed = check_seed(seed, call = call)
  ))
}

#' @rdname initializer_random_normal
#' @export
initializer_random_uniform <- function(minval = -0.05, maxval = 0.05, seed = NULL) {
  call <- environment()
  minval <- check_number(minval, "minval", call = call)
  maxval <- check_number(maxval, "maxval", call = call)
  check_order(minval, maxval, "minval", "maxval", call)
  new_specification("initializer", "random_uniform", list(minval = minval, maxval = maxval, seed = check_seed(seed, call = call)))
}

check_order <- function(low, high, low_arg, high_arg, call = NULL) {
  if (low <= high) return(invisible())
  abort_attentive("argument",
    sprintf("`%s` must not be above `%s`: %s is above %s.", low_arg, high_arg, format(low, digits = 15), format(high, digits = 15)),
    arg = low_arg, call = call
  )
}

#' Initial values: scaled to the size of the layer
#'
#' Random values whose variance is chosen so that signals neither grow nor shrink on their way through many layers.
#'
#' @details
#' With \eqn{n} inputs or outputs of one unit, the variance of the values is \eqn{v = scale / n}:
#'
#' | function | \eqn{v} | distribution | source |
#' |---|---|---|---|
#' | `initializer_glorot_uniform()`, `_glorot_normal()` | \eqn{2 / (fan_{in} + fan_{out})} | uniform, truncated normal | Glorot and Bengio (2010) |
#' | `initializer_he_uniform()`, `_he_normal()` | \eqn{2 / fan_{in}} | uniform, truncated normal | He et al. (2015) |
#' | `initializer_lecun_uniform()`, `_lecun_normal()` | \eqn{1 / fan_{in}} | uniform, truncated normal | LeCun et al. (1998) |
#'
#' Uniform values lie within \eqn{\pm\sqrt{3v}}. A truncated normal is cut at twice its standard deviation \eqn{\sqrt{v} / 0.87962566}, so
#' that the standard deviation of what is left is \eqn{\sqrt{v}}; `"untruncated_normal"` has the standard deviation \eqn{\sqrt{v}} as it is.
#'
#' # Fans
#' Layers say which axes of a kernel are inputs and which are outputs. For the query kernel `[D, heads, size]` of an attention layer
#' \eqn{fan_{in}} is D and \eqn{fan_{out}} is heads times size; for the output kernel `[heads, size, E]` they are heads times size and
#' E. This is Keras's rule since 3.15. Where the object is called on its own, a matrix is `[in, out]`, a vector counts as both, and the leading axes of
#' a higher rank multiply both, as in a convolution.
#'
#' @param scale A positive number.
#' @param mode What \eqn{n} is: `"fan_in"`, `"fan_out"` or `"fan_avg"`, their mean; never taken smaller than 1.
#' @param distribution `"truncated_normal"` (or `"normal"`), `"untruncated_normal"` or `"uniform"`.
#' @inheritParams initializer_random_normal
#' @inherit initializer_constant return
#' @inheritSection initializer_random_normal Random numbers
#' @references
#' X. Glorot and Y. Bengio (2010). Understanding the difficulty of training deep feedforward neural networks. AISTATS.
#'
#' K. He, X. Zhang, S. Ren and J. Sun (2015). Delving deep into rectifiers. \doi{10.48550/arXiv.1502.01852}
#'
#' Y. LeCun, L. Bottou, G. Orr and K.-R. Müller (1998). Efficient BackProp. \doi{10.1007/3-540-49430-8_2}
#' @family initializers
#' @section Errors: `attentive_error_argument` for a bad argument. Called: `attentive_error_shape` for a shape that is unknown.
#' @examples
#' w <- initializer_glorot_uniform(seed = 1)(c(64, 32))
#' max(abs(w)) <= sqrt(6 / (64 + 32))
#' layer <- layer_multi_head_attention(
#'   num_heads = 2, key_dim = 3, kernel_initializer = initializer_he_normal(seed = 1)
#' )
#' @export
initializer_variance_scaling <- function(scale = 1, mode = "fan_in", distribution = "truncated_normal", seed = NULL) {
  call <- environment()
  scale <- check_number(scale, "scale", 0, call = call)
  if (scale == 0) abort_argument(scale, "scale", "a positive number", call = call)
  if (is.character(distribution)) distribution <- tolower(distribution)
  if (identical(distribution, "normal")) distribution <- "truncated_normal"
  new_specification("initializer", "variance_scaling", list(
    scale = scale, mode = check_choice(mode, "mode", c("fan_in", "fan_out", "fan_avg"), call),
    distribution = check_choice(distribution, "distribution", c("truncated_normal", "untruncated_normal", "uniform"), call),
    seed = check_seed(seed, call = call), input_axes = NULL, output_axes = NULL
  ))
}

scaled_initializer <- function(kind, seed, call) {
  new_specification("initializer", kind, list(seed = check_seed(seed, call = call), input_axes = NULL, output_axes = NULL))
}

#' @rdname initializer_variance_scaling
#' @export
initializer_glorot_normal <- function(seed = NULL) scaled_initializer("glorot_normal", seed, environment())

#' @rdname initializer_variance_scaling
#' @export
initializer_glorot_uniform <- function(seed = NULL) scaled_initializer("glorot_uniform", seed, environment())

#' @rdname initializer_variance_scaling
#' @export
initializer_he_normal <- function(seed = NULL) scaled_initializer("he_normal", seed, environment())

#' @rdname initializer_variance_scaling
#' @export
initializer_he_uniform <- function(seed = NULL) scaled_initializer("he_uniform", seed, environment())

#' @rdname initializer_variance_scaling
#' @export
initializer_lecun_normal <- function(seed = NULL) scaled_initializer("lecun_normal", seed, environment())

#' @rdname initializer_variance_scaling
#' @export
initializer_lecun_uniform <- function(seed = NULL) scaled_initializer("lecun_uniform", seed, environment())

#' Initial values: orthogonal matrices
#'
#' A random matrix whose columns, or rows where there are fewer of them, are orthogonal and have the length `gain`.
#'
#' @details
#' A kernel of more than two axes is seen as a matrix with the last axis as its columns. The matrix is the orthonormal factor \eqn{Q} of the
#' QR decomposition of a matrix of normals, with its columns multiplied by the signs of the diagonal of \eqn{R}; so it is uniformly distributed over
#' all orthonormal matrices (Mezzadri 2007).
#'
#' @param gain The length of the columns or rows.
#' @inheritParams initializer_random_normal
#' @inherit initializer_constant return
#' @inheritSection initializer_random_normal Random numbers
#' @references
#' A. M. Saxe, J. L. McClelland and S. Ganguli (2014). Exact solutions to the nonlinear dynamics of learning in deep linear neural
#' networks. \doi{10.48550/arXiv.1312.6120}
#'
#' F. Mezzadri (2007). How to generate random matrices from the classical compact groups. Notices of the AMS 54.
#' @family initializers
#' @section Errors: `attentive_error_argument` for a bad number or seed. Called: `attentive_error_shape` for fewer than two dimensions.
#' @examples
#' w <- initializer_orthogonal(seed = 1)(c(4, 3))
#' round(crossprod(w), 12)
#' @export
initializer_orthogonal <- function(gain = 1, seed = NULL) {
  call <- environment()
  new_specification("initializer", "orthogonal", list(gain = check_number(gain, "gain", call = call), seed = check_seed(seed, call = call)))
}

# An array is the values themselves, a single number without dim is a constant.
initializer_from_numbers <- function(x, arg, call = NULL) {
  if (anyNA(x)) abort_attentive("argument", sprintf("`%s` has missing values.", arg), arg = arg, call = call)
  if (length(x) == 1L && is.null(dim(x))) return(initializer_constant(check_number(x, arg, call = call)))
  value <- x
  attributes(value) <- list(dim = dim(x))
  new_specification("initializer", "array", list(), value = value)
}

array_shape <- function(x) if (is.null(dim(x))) length(x) else dim(x)

# Values -------------------------------------------------------------------------

# The numbers of a variable of this shape (R's order of axes) as bytes, row-major
# and in `dtype`. `key` belongs to the layer, `stream` is the number of the
# variable in it; an initializer with a seed of its own replaces the key, and
# `stream` still keeps its kernels apart. `input_axes` and `output_axes` count from 1.
initial_values <- function(initializer, shape, dtype, key, stream, input_axes = NULL, output_axes = NULL,
                           arg = "initializer", call = NULL) {
  data <- specification_data(initializer)
  if (data$kind == "function") return(pack_numbers(values_of_function(data$fun, shape, dtype, arg, call), dtype))
  if (data$kind == "array") return(pack_numbers(values_of_array(data$value, shape, arg, call), dtype))
  check_rank(data$kind, length(shape), shape, arg, call)
  config <- engine_config(data)
  if (!is.null(config$seed)) key <- seed_key(config$seed)
  if (is.null(config$input_axes) || is.null(config$output_axes)) {
    config$input_axes <- input_axes
    config$output_axes <- output_axes
  } else {
    check_axes_within(c(config$input_axes, config$output_axes), length(shape), arg, call)
  }
  fill_initial_values(config, as.double(shape), dtype == "float64", key, stream)
}

# What the engine computes: a few kinds, and the named ones as their cases.
engine_config <- function(data) {
  scaling <- function(scale, mode, distribution) {
    c(list(kind = "variance_scaling", scale = scale, mode = mode, distribution = distribution), data$config)
  }
  switch(data$kind,
    zeros = list(kind = "constant", value = 0),
    ones = list(kind = "constant", value = 1),
    glorot_normal = scaling(1, "fan_avg", "truncated_normal"),
    glorot_uniform = scaling(1, "fan_avg", "uniform"),
    he_normal = scaling(2, "fan_in", "truncated_normal"),
    he_uniform = scaling(2, "fan_in", "uniform"),
    lecun_normal = scaling(1, "fan_in", "truncated_normal"),
    lecun_uniform = scaling(1, "fan_in", "uniform"),
    c(list(kind = data$kind), data$config)
  )
}

check_rank <- function(kind, rank, shape, arg, call = NULL) {
  if (kind == "identity" && rank != 2L) {
    abort_attentive("shape", sprintf("`%s` is the identity, which is for matrices only, not for dim %s.", arg, format_shape(shape)),
      hint = "For kernels of more axes: `initializer_orthogonal()`, or an array of your own.", arg = arg, call = call
    )
  }
  if (kind == "orthogonal" && rank < 2L) {
    abort_attentive("shape", sprintf("`%s` is orthogonal, which needs at least two dimensions, not dim %s.", arg, format_shape(shape)),
      arg = arg, call = call
    )
  }
}

check_axes_within <- function(axes, rank, arg, call = NULL) {
  if (all(axes <= rank)) return(invisible())
  abort_attentive("shape", sprintf("`%s` names axis %d of a kernel with %d axes.", arg, max(axes), rank), arg = arg, call = call)
}

values_of_array <- function(value, shape, arg, call = NULL) {
  if (length(array_shape(value)) == length(shape) && all(array_shape(value) == shape)) return(value + 0)
  abort_attentive("shape",
    sprintf(
      "`%s` is an array of dim %s, but a weight of dim %s is to be filled.", arg, format_shape(array_shape(value)), format_shape(shape)
    ),
    hint = "All kernels (or biases) of a layer get the same initializer; `set_weights()` sets each one.", arg = arg, call = call
  )
}

values_of_function <- function(fun, shape, dtype, arg, call = NULL) {
  takes <- names(formals(args(fun)))
  value <- rlang::try_fetch(
    if ("dtype" %in% takes) {
      fun(shape, dtype = dtype)
    } else if (length(takes) > 1L && takes[[2L]] != "...") {
      fun(shape, dtype)
    } else {
      fun(shape)
    },
    error = function(e) {
      abort_attentive("argument", sprintf("`%s` is a function that fails for the shape %s.", arg, format_shape(shape)),
        hint = readable(conditionMessage(e)), arg = arg, call = call
      )
    }
  )
  if (inherits(value, "attentive_variable")) value <- as.array(value)
  fits <- (is.numeric(value) || is.logical(value)) && !is.factor(value) &&
    length(array_shape(value)) == length(shape) && all(array_shape(value) == shape)
  if (fits && !anyNA(value)) return(value + 0)
  abort_attentive("shape",
    sprintf(
      "`%s` is a function; for the shape %s it must return an array of that dim%s.", arg, format_shape(shape),
      if (fits) " without missing values" else paste(", not", describe(value))
    ),
    hint = if (!fits) "Such as `array(runif(prod(shape)), shape)`.", arg = arg, call = call
  )
}

# init(c(4, 3)): a new key at each call, unless the object has a seed.
call_initializer <- function(specification, shape, dtype = NULL, call = NULL) {
  if (missing(shape)) abort_missing("shape", "the sizes of the array", call)
  shape <- as_shape(shape, "shape", call)
  if (anyNA(shape) || any(shape < 0L)) {
    abort_attentive("shape", sprintf("All sizes in `shape` must be known here: %s.", format_shape(shape)), arg = "shape", call = call)
  }
  dtype <- if (is.null(dtype)) "float64" else check_dtype(dtype, call)
  random <- "seed" %in% names(specification$config) && is.null(specification$config$seed)
  object <- new_specification(specification$family, specification$kind, specification$config, fun = specification$fun, value = specification$value)
  bytes <- initial_values(object, shape, dtype, if (random) draw_key() else c(0, 0), 0L, arg = "initializer", call = call)
  unpack_numbers(bytes, shape, dtype)
}
