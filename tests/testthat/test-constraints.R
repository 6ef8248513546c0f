# Constraints: Keras's numbers, R functions, and classes of one's own.

golden <- readRDS(test_path("golden", "specifications.rds"))

test_that("constraints give Keras's numbers", {
  cases <- Filter(function(case) case$what == "constraint", golden)
  expect_length(cases, 16)
  for (case in cases) {
    object <- do.call(specification_constructor("constraint", gsub("_", "", case$kind)), as.list(case$args))
    expect_close(object(case$x), case$value, 1e-10, case$name)
    bytes <- pack_numbers(case$x, "float64")
    expect_close(unpack_numbers(constrained(object, bytes, dim(case$x)), dim(case$x), "float64"), case$value, 1e-10, case$name)
    expect_identical(bytes, pack_numbers(case$x, "float64")) # a copy was constrained
    single <- constrained(object, pack_numbers(case$x, "float32"), dim(case$x), "float32")
    expect_close(unpack_numbers(single, dim(case$x), "float32"), case$value, 1e-6, case$name)
  }
})

test_that("numbers are not truncated, axes may count from the end", {
  w <- matrix(c(3, 4, 0.3, 0.4), 2)
  expect_close(constraint_maxnorm(0.5)(w), matrix(c(0.3, 0.4, 0.3, 0.4), 2), 1e-6)
  expect_identical(constraint_maxnorm(0.5)$max_value, 0.5)
  expect_identical(constraint_unitnorm(-2)(w), constraint_unitnorm(1)(w))
  expect_identical(constraint_unitnorm(c(1, 2))(w), constraint_unitnorm(c(-1, -2))(w))
  expect_identical(constraint_nonneg()(c(a = -1, b = 2)), c(a = 0, b = 2))
  expect_identical(constraint_maxnorm(1)(matrix(0L, 2, 2)), matrix(0, 2, 2))
})

test_that("get_config() writes axes as Keras does", {
  expect_identical(get_config(constraint_unitnorm(1))$axis, 0L)
  expect_equal(get_config(constraint_maxnorm(axis = c(1, 3)))$axis, list(0, 2))
  expect_equal(get_config(constraint_maxnorm(axis = -1))$axis, -1)
  expect_equal(as_constraint(list(class_name = "MaxNorm", config = list(max_value = 1, axis = 1)))$axis, 2)
})

test_that("an R function is a constraint", {
  half <- as_constraint(function(w) w / 2)
  expect_identical(half(matrix(1:4, 2)), matrix(1:4, 2) / 2)
  expect_error(as_constraint(function(w) sum(w))(1:4), class = "attentive_error_shape")
  expect_error(as_constraint(function(w) "a")(1), class = "attentive_error_shape")
})

test_that("Constraint() makes classes", {
  Total <- Constraint("Total",
    initialize = function(total = 1, offset) {
      self$total <- total
      private$offset <- if (missing(offset)) 0 else offset
    },
    call = function(w) private$shifted(self$total * w / sum(w)),
    private = list(offset = NULL, shifted = function(w) w + private$offset)
  )
  expect_named(formals(Total), c("total", "offset"))
  object <- Total(2)
  expect_s3_class(object, c("Total", "attentive_constraint"))
  expect_equal(object(c(1, 3)), c(0.5, 1.5))
  expect_equal(Total(offset = 1)(c(1, 3)), c(1.25, 1.75))
  expect_identical(object$total, 2)
  expect_output(print(object), "Total(total = 2)", fixed = TRUE)
  object$total <- 4
  expect_equal(object(c(1, 3)), c(1, 3))
  expect_identical(do.call(Total, list(3))$total, 3)

  Shifted <- Constraint("Shifted", call = function(w) super$call(w) - 1, inherit = Total)
  expect_equal(Shifted(2)(c(1, 3)), c(-0.5, 0.5))
  Unit <- Constraint("Unit", call = function(w) -super$call(w), inherit = constraint_unitnorm)
  expect_identical(Unit(2)(diag(2)), -constraint_unitnorm(2)(diag(2)))
})

test_that("objects of one's own class are configured, saved and given to layers", {
  Scale <- Constraint("Scale", initialize = function(by) self$by <- by, call = function(w) w * self$by)
  object <- Scale(2)
  expect_equal(unclass(get_config(object))$by, 2)
  expect_alike(from_config(get_config(object)), object)
  expect_alike(through_rds(object), object)
  expect_identical(through_rds(object)(1:3), c(2, 4, 6))
  layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_constraint = object)
  config <- get_config(layer)
  expect_alike(from_config(config), layer)
  json <- list(class_name = "MultiHeadAttention", config = through_json(config))
  expect_error(from_config(json), class = "attentive_error_config")
  expect_alike(from_config(json, custom_objects = list(Scale = Scale))$kernel_constraint, object)

  Own <- Constraint("Own", initialize = function(a) private$a <- a, private = list(a = 0), get_config = function() list(a = private$a + 1))
  expect_equal(get_config(Own(1))$a, 2)
  NoArguments <- Constraint("NoArguments", call = function(w) abs(w))
  expect_identical(as_constraint(NoArguments)(-1), 1)
})

test_that("wrong use is an error that says what to do", {
  Needs <- Constraint("Needs", initialize = function(a) self$a <- a)
  expect_snapshot(error = TRUE, {
    constraint_maxnorm(-1)
    constraint_maxnorm(axis = 0)
    constraint_maxnorm(axis = c(1, 1))
    constraint_maxnorm(axis = 3)(diag(2))
    constraint_minmaxnorm(2, 1)
    constraint_minmaxnorm(rate = 1.5)
    constraint_unitnorm(1.5)
    Constraint("A", call = 3)
    Constraint("A", function(w) w, 4)
    Constraint(1)
    Constraint("A", inherit = regularizer_l1)
    layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_constraint = Needs)
    layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_regularizer = Needs)
    Needs(1)$b <- regularizer_l1()$b
  })
})
