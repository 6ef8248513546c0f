# What initializers, regularizers and constraints share: forms, configuration, saving.

golden <- readRDS(test_path("golden", "specifications.rds"))

test_that("fans follow Keras's rule", {
  cases <- Filter(function(case) case$what == "fans", golden)
  expect_length(cases, 5)
  for (case in cases) expect_equal(unname(kernel_fans(case$shape, list())), c(case$fan_in, case$fan_out))
  expect_equal(unname(kernel_fans(c(6, 2, 5), list(input_axes = 1, output_axes = 2:3))), c(6, 10))
})

test_that("every spelling of a name is the object with its defaults", {
  for (family in names(specification_kinds)) {
    for (kind in names(specification_kinds[[family]])) {
      entry <- specification_kinds[[family]][[kind]]
      object <- object_of_name(family, kind)
      for (name in c(kind, entry$class_name, entry$aliases, paste0(family, "_", kind), toupper(kind))) {
        expect_equal(resolver(family)(name), object, label = name)
      }
      expect_equal(resolver(family)(specification_constructor(family, kind)), specification_constructor(family, kind)(), label = kind)
    }
  }
  expect_equal(as_regularizer("l1l2"), regularizer_l1_l2(0.01, 0.01))
  expect_equal(as_regularizer(regularizer_l1_l2), regularizer_l1_l2(0, 0))
  expect_equal(as_initializer("uniform"), initializer_random_uniform())
  expect_equal(as_initializer(NULL), initializer_glorot_uniform())
  expect_null(as_regularizer(NULL))
  expect_null(as_constraint(NULL))
})

test_that("every object survives its configuration, JSON and saveRDS()", {
  for (object in some_specifications()) {
    resolve <- resolver(family_of(object))
    label <- format(object)
    expect_equal(from_config(get_config(object)), object, label = label)
    expect_equal(resolve(serialize_spec(object)), object, label = label)
    expect_equal(resolve(through_json(serialize_spec(object))), object, label = label)
    config <- through_json(get_config(object))
    expect_equal(from_config(list(class_name = attr(get_config(object), "class_name"), config = config)), object, label = label)
    expect_equal(through_rds(object), object, label = label)
    expect_identical(format(eval(parse(text = label))), label)
    expect_identical(formals(through_rds(object)), formals(object))
  }
})

test_that("what works before saving works the same afterwards", {
  shape <- c(4, 3)
  for (object in some_specifications()) {
    argument <- if (family_of(object) == "initializer") shape else matrix(sin(1:12), 4)
    again <- through_rds(object)
    withr::with_seed(1, expected <- object(argument))
    withr::with_seed(1, expect_identical(again(argument), expected, label = format(object)))
  }
})

test_that("the configuration is Keras's, keys in its order", {
  expect_identical(
    serialize_spec(initializer_glorot_uniform()),
    list(
      module = "keras.initializers", class_name = "GlorotUniform",
      config = list(seed = NULL, input_axes = NULL, output_axes = NULL), registered_name = NULL
    )
  )
  expect_named(
    get_config(initializer_variance_scaling()), c("seed", "scale", "mode", "distribution", "input_axes", "output_axes")
  )
  expect_named(get_config(constraint_minmaxnorm()), c("min_value", "max_value", "rate", "axis"))
  expect_identical(as.character(jsonlite::toJSON(serialize_spec(initializer_zeros())$config)), "{}")
  # what newer and older versions of Keras write
  old <- list(class_name = "GlorotUniform", config = list(seed = list(class_name = "SeedGenerator", config = list(seed = 5))))
  expect_equal(as_initializer(old), initializer_glorot_uniform(5))
  axes <- as_initializer(list(class_name = "HeNormal", config = list(seed = 1, input_axes = list(0, 1), output_axes = list(2))))
  expect_equal(axes$input_axes, 1:2)
  expect_equal(keras_config(specification_data(axes))$input_axes, list(0, 1))
  wide <- initial_values(axes, c(10, 10, 50), "float64", c(0, 0), 0, input_axes = 1, output_axes = 2:3)
  expect_equal(stats::sd(readBin(wide, "double", 5000)), sqrt(2 / 100), tolerance = 0.05)
  expect_warning(as_regularizer(list(class_name = "L2", config = list(l2 = 1, l3 = 2))), "l3")
})

test_that("arrays, numbers and R functions are initializers", {
  values <- array(sin(1:24), c(2, 3, 4))
  object <- as_initializer(values)
  expect_identical(object(c(2, 3, 4)), values)
  expect_error(object(c(4, 3, 2)), class = "attentive_error_shape")
  expect_equal(as_initializer(through_json(serialize_spec(object)))(c(2, 3, 4)), values, tolerance = 1e-14)
  expect_identical(as_initializer(1:3)(3), array(as.double(1:3), 3))
  expect_identical(as_initializer(0.5)(c(2, 2)), matrix(0.5, 2, 2))
  expect_error(as_initializer(c(1, NA)), class = "attentive_error_argument")

  fun <- function(shape, dtype) array(seq_len(prod(shape)), shape)
  expect_identical(as_initializer(fun)(c(2, 3)), matrix(as.double(1:6), 2))
  seen <- NULL
  as_initializer(function(size, ..., dtype) {
    seen <<- list(size, dtype)
    array(0, size)
  })(c(2, 2), "float32")
  expect_equal(seen, list(c(2, 2), "float32"))
  expect_identical(as_initializer(function(s) array(1, s))(2), array(1, 2))
  expect_equal(as_initializer(serialize_spec(as_initializer(fun)))(c(2, 3)), fun(c(2, 3)))
  expect_error(as_initializer(through_json(serialize_spec(as_initializer(fun)))), class = "attentive_error_config")
  own <- list(InitializerFunction = fun)
  expect_equal(as_initializer(through_json(serialize_spec(as_initializer(fun))), custom_objects = own)(2), array(c(1, 2), 2))
})

# Every form x every argument: the layer is the one that the object gives.
forms <- list(
  initializer = list(
    object = initializer_he_normal(), snake = "he_normal", class = "HeNormal", suffix = "initializer_he_normal",
    uncalled = initializer_he_normal, list = list(class_name = "HeNormal", config = list(seed = NULL)), config = get_config(initializer_he_normal())
  ),
  constant = list(
    object = initializer_constant(0.5), number = 0.5, "function" = function(shape, dtype) array(0.5, shape), one = function(shape) array(0.5, shape),
    list = list(class_name = "Constant", config = list(value = 0.5))
  ),
  regularizer = list(
    object = regularizer_l1_l2(0.01, 0.01), snake = "l1_l2", class = "L1L2", plain = "l1l2",
    "function" = function(x) 0.01 * sum(abs(x)) + 0.01 * sum(x^2),
    custom = regularizer_custom(function(x) 0.01 * sum(abs(x)) + 0.01 * sum(x^2)),
    list = list(class_name = "L1L2", config = list(l1 = 0.01, l2 = 0.01))
  ),
  uncalled_regularizer = list(object = regularizer_l2(0.01), uncalled = regularizer_l2, snake = "l2", class = "L2"),
  constraint = list(
    object = constraint_nonneg(), suffix = "nonneg", snake = "non_neg", class = "NonNeg", uncalled = constraint_nonneg,
    "function" = function(w) pmax(w, 0), instance = Constraint("Rectify", call = function(w) w * (w > 0))(),
    class_uncalled = Constraint("Rectify", call = function(w) w * (w > 0)), list = list(class_name = "NonNeg")
  ),
  norm = list(
    object = constraint_maxnorm(2, axis = 1), suffix = "maxnorm", snake = "max_norm", class = "MaxNorm", uncalled = constraint_maxnorm,
    list = list(class_name = "MaxNorm", config = list(max_value = 2, axis = 0))
  )
)
arguments <- list(
  kernel_initializer = c("initializer", "constant"), bias_initializer = c("initializer", "constant"),
  kernel_regularizer = c("regularizer", "uncalled_regularizer"), bias_regularizer = c("regularizer", "uncalled_regularizer"),
  activity_regularizer = c("regularizer", "uncalled_regularizer"), kernel_constraint = c("constraint", "norm"),
  bias_constraint = c("constraint", "norm")
)
x <- array(sin(1:48), c(2, 4, 6))

# All that a specification can change: weights, output, losses, and what its constraint makes of a kernel.
behaviour <- function(argument, form) {
  layer <- withr::with_seed(1, {
    layer <- do.call(layer_multi_head_attention, c(list(num_heads = 2, key_dim = 3, dtype = "float64"), stats::setNames(list(form), argument)))
    output <- layer(x, x)
    layer
  })
  w <- array(sin(1:36 * 3), c(6, 2, 3))
  constraint <- layer[[if (grepl("constraint", argument)) argument else "kernel_constraint"]]
  list(weights = get_weights(layer), output = output, losses = unlist(layer$losses), constrained = if (!is.null(constraint)) constraint(w))
}

test_that("every form in every argument gives the layer that the object gives", {
  cells <- 0
  for (argument in names(arguments)) {
    for (set in arguments[[argument]]) {
      expected <- behaviour(argument, forms[[set]]$object)
      for (form in names(forms[[set]])) {
        actual <- behaviour(argument, forms[[set]][[form]])
        for (part in names(expected)) {
          expect_equal(actual[[part]], expected[[part]], tolerance = 1e-13, label = paste(argument, set, form, part))
        }
        cells <- cells + 1
      }
      expect_false(identical(expected, behaviour(argument, if (grepl("initializer", argument)) "ones")), label = argument)
    }
  }
  expect_gt(cells, 80)
})

test_that("NULL is the default of the argument", {
  for (argument in names(arguments)) {
    default <- eval(formals(layer_multi_head_attention)[[argument]])
    expect_equal(behaviour(argument, NULL), behaviour(argument, default), label = argument)
  }
})

test_that("a layer's configuration brings its specifications back", {
  layer <- layer_multi_head_attention(
    num_heads = 2, key_dim = 3, kernel_initializer = initializer_he_normal(3), bias_initializer = 0.25, kernel_regularizer = regularizer_l1(0.01),
    bias_regularizer = regularizer_l2(1 / 3), activity_regularizer = "l1_l2", kernel_constraint = constraint_maxnorm(0.5, c(1, 2)),
    bias_constraint = "nonneg"
  )
  config <- get_config(layer)
  expect_alike(from_config(config), layer)
  again <- from_config(list(class_name = "MultiHeadAttention", config = through_json(config)))
  expect_alike(again, layer)
  expect_identical(again$kernel_regularizer$l1, 0.01)
  expect_identical(config$kernel_regularizer$config$l1, 0.01)
  expect_alike(through_rds(layer), layer)
})

test_that("what cannot be read is an error that names the argument", {
  layer <- function(...) layer_multi_head_attention(num_heads = 2, key_dim = 3, ...)
  expect_snapshot(error = TRUE, {
    layer(kernel_initializer = "he_nrmal")
    layer(bias_initializer = "HeNrmal")
    layer(kernel_regularizer = "he_normal")
    layer(kernel_constraint = "")
    layer(kernel_initializer = ~.x)
    layer(activity_regularizer = ~ sum(.x))
    layer(kernel_initializer = TRUE)
    layer(kernel_initializer = NA)
    layer(kernel_regularizer = 0.01)
    layer(kernel_constraint = 2)
    layer(kernel_initializer = regularizer_l1)
    layer(kernel_regularizer = constraint_nonneg())
    layer(kernel_initializer = function() 1)
    layer(kernel_initializer = list(1))
    layer(kernel_initializer = list(class_name = "Foo"))
    layer(kernel_initializer = list(class_name = "HeNormal", config = list(seed = 0.5)))
    layer(kernel_initializer = list(class_name = "HeNormal", config = "a"))
    layer(kernel_initializer = list(class_name = "HeNormal", config = list(1)))
    layer(kernel_initializer = structure(1, class = "attentive_initializer"))
    layer(kernel_initializer = rawToChar(as.raw(c(0x68, 0xff))))
    layer(kernel_constraint = data.frame(a = 1))
  })
  fresh_names()
  small <- array(0, c(1, 2, 4))
  expect_snapshot(error = TRUE, {
    layer(kernel_initializer = array(0, c(4, 2, 3)))(small, small)
    layer(kernel_initializer = function(shape) 1:3)(small, small)
    layer(bias_initializer = function(shape) array(NA_real_, shape))(small, small)
  })
})

test_that("a failed build leaves the layer as it was", {
  first <- TRUE
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, bias_initializer = function(shape) {
    if (first) stop("not now")
    array(1, shape)
  })
  condition <- expect_error(layer(x, x), "`bias_initializer` is a function that fails.*not now", class = "attentive_error_argument")
  expect_identical(condition$arg, "bias_initializer")
  expect_false(layer$built)
  expect_identical(get_weights(layer), list())
  first <- FALSE
  expect_identical(dim(layer(x, x)), dim(x))
})

test_that("constructing a layer with default specifications makes nothing", {
  expect_identical(as_initializer("glorot_uniform"), as_initializer("GlorotUniform"))
  expect_identical(as_initializer("zeros"), as_initializer("zero"))
})

# Gradient descent by hand, eight steps: penalties, their gradients and constraints as Keras's optimizer sees them.
test_that("losses, gradients and constraints train as in Keras", {
  specification <- function(x) {
    if (is.list(x)) return(do.call(switch(paste(sort(names(x)), collapse = " "), "l1 l2" = regularizer_l1_l2, l1 = regularizer_l1, l2 = regularizer_l2), x))
    if (grepl("^max_norm-", x)) constraint_maxnorm(as.numeric(sub("max_norm-", "", x))) else x
  }
  cases <- readRDS(test_path("golden", "gradient_descent.rds"))
  expect_length(cases, 4)
  for (case in cases) {
    layer <- do.call(layer_multi_head_attention, c(case$args, lapply(case$specification, specification), list(dtype = "float64")))
    layer$build(dim(case$query), dim(case$value))
    set_weights(layer, case$weights_before)
    losses <- numeric()
    after <- list()
    for (step in 1:8) {
      error <- layer(case$query, case$value) - case$y
      losses[[step]] <- mean(error^2) + sum(unlist(layer$losses))
      gradients <- get_gradients(layer, case$query, case$value, upstream = 2 * error / length(error), losses = TRUE)
      moved <- Map(function(w, d) w - case$optimizer_args$learning_rate * d, get_weights(layer), gradients$weights)
      set_weights(layer, Map(function(w, variable) if (is.null(variable$constraint)) w else variable$constraint(w), moved, layer$weights))
      after[[step]] <- get_weights(layer)
    }
    expect_close(losses, as.vector(case$losses), 1e-12, case$name)
    for (i in seq_along(after[[1]])) {
      expect_close(after[[1]][[i]], case$weights_after[[1]][[i]], 1e-12, case$name)
      expect_close(after[[8]][[i]], case$weights_after[[2]][[i]], 1e-12, case$name)
    }
  }
})
