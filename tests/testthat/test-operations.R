# Operations on numbers, arrays and symbolic tensors, each against R.

test_that("arithmetic and comparisons broadcast from the right", {
  set.seed(1)
  formulas <- list(
    add = `+`, subtract = `-`, multiply = `*`, divide = `/`, maximum = pmax, minimum = pmin, floor_divide = `%/%`, mod = `%%`,
    power = function(a, b) abs(a)^b, equal = `==`, not_equal = `!=`, greater = `>`, greater_equal = `>=`, less = `<`, less_equal = `<=`,
    logical_and = function(a, b) a != 0 & b != 0, logical_or = function(a, b) a != 0 | b != 0, logical_xor = function(a, b) xor(a != 0, b != 0)
  )
  for (round in 1:40) {
    name <- pick(names(formulas))
    common <- random_shape()
    part <- function() {
      size <- common
      size[runif(length(size)) < 0.3] <- 1
      array(round(rnorm(prod(size)), 1), size)
    }
    a <- part()
    b <- part()
    if (name == "power") a <- abs(a) + 0.1
    if (name %in% c("divide", "floor_divide", "mod")) b[b == 0] <- 0.5
    size <- pmax(dim(a), dim(b))
    wide <- function(x) attentive:::broadcast(x, dim(x), size)
    op <- getExportedValue("attentive", paste0("op_", name))
    made <- op(a, b)
    expect_equal(made, array(formulas[[name]](wide(a), wide(b)), size), tolerance = 1e-12, info = name)
    expect_identical(is.logical(made), is.logical(formulas[[name]](1, 1)), info = name)
    if (length(common) > 1) both_ways(op, a, b, info = name, open = FALSE)
  }
  expect_equal(op_add(array(1:6, c(2, 3)), 1:3), array(1:6, c(2, 3)) + rep(1:3, each = 2))
  expect_identical(op_add(1L, 2L), 3L)
  expect_identical(op_divide(1L, 2L), 0.5)
  expect_identical(dim(op_add(1, array(2, c(1, 1)))), c(1L, 1L))
  for (fun in c(op_add, op_subtract, op_multiply, op_divide, op_maximum, op_minimum)) {
    expect_slopes(fun, wave(c(2, 3, 2)) + 2, wave(c(1, 1, 2), 0.3) + 2.3)
  }
  expect_slopes(op_mod, wave(c(2, 3)), wave(c(2, 3), 0.4) + 3)
})

test_that("operators and R's functions are operations", {
  a <- wave(c(3, 4)) + 1.5
  b <- wave(c(3, 4), 0.4) + 1.5
  x <- keras_input(4, dtype = "float64")
  y <- keras_input(4, dtype = "float64")
  expressions <- alist(
    x %/% y, x %% y, x > y, x >= 1, 2 < x, x <= y, x == y, x != y, !(x > y), (x > y) & (x > 1), (x > y) | (x > 1), -x, x^y, expm1(x), log1p(x), log2(x), log10(x),
    sign(x - 1.5), floor(x), ceiling(x), round(x), round(x, 1), sin(x), cos(x), tan(x / 2), asin(x / 3), acos(x / 3), atan(x), sinh(x), cosh(x), tanh(x)
  )
  for (e in expressions) {
    tensor <- eval(e)
    expected <- eval(e, list(x = a, y = b))
    expect_equal(keras_model(list(x, y), tensor)(list(a, b)), expected + 0, tolerance = 1e-12, info = deparse(e))
    expect_identical(tensor$dtype, if (is.logical(expected)) "bool" else "float64", info = deparse(e))
  }
  skip_if(getRversion() < "4.3.0")
  m <- wave(c(4, 2))
  expect_equal(keras_model(x, x %*% m)(a), a %*% m, tolerance = 1e-12)
})

test_that("functions of one number are R's", {
  x <- array(seq(0.05, 0.95, length.out = 12), c(3, 4))
  erf <- function(x) 2 * stats::pnorm(x * sqrt(2)) - 1
  formulas <- list(
    abs = abs, square = function(x) x^2, sqrt = sqrt, rsqrt = function(x) 1 / sqrt(x), reciprocal = function(x) 1 / x, exp = exp, expm1 = expm1, log = log, log1p = log1p,
    log2 = log2, log10 = log10, sign = sign, floor = floor, ceil = ceiling, sin = sin, cos = cos, tan = tan, arcsin = asin, arccos = acos, arctan = atan, sinh = sinh,
    cosh = cosh, tanh = tanh, erf = erf, negative = `-`, round = round, relu = function(x) pmax(x, 0), sigmoid = stats::plogis, silu = function(x) x * stats::plogis(x),
    softplus = function(x) log1p(exp(x)), softsign = function(x) x / (1 + abs(x)), softmax = function(x) exp(x) / rowSums(exp(x)),
    log_softmax = function(x) x - log(rowSums(exp(x))), elu = function(x) ifelse(x > 0, x, expm1(x)), leaky_relu = function(x) ifelse(x > 0, x, 0.2 * x),
    isnan = is.nan, isinf = is.infinite, isfinite = is.finite, logical_not = `!`
  )
  for (name in names(formulas)) {
    op <- getExportedValue("attentive", paste0("op_", name))
    expect_equal(both_ways(op, x, info = name), formulas[[name]](x), tolerance = 1e-10, info = name)
    if (!is.logical(formulas[[name]](x))) expect_slopes(op, x, info = name)
  }
  expect_equal(op_gelu(x), x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), tolerance = 1e-12)
  expect_equal(op_gelu(x, approximate = FALSE), x * stats::pnorm(x), tolerance = 1e-12)
  expect_equal(op_softmax(x, axis = 1), sweep(exp(x), 2, colSums(exp(x)), "/"), tolerance = 1e-12)
  expect_equal(both_ways(function(x) op_clip(x, 0.2, 0.7), x), pmin(pmax(x, 0.2), 0.7))
  expect_equal(op_clip(x, 0.2, matrix(0.5, 3, 1)), pmin(pmax(x, 0.2), 0.5))
  expect_equal(op_round(c(0.5, 1.5, 2.346), 2), array(c(0.5, 1.5, 2.35)), tolerance = 1e-12)
  expect_identical(op_round(c(-2.5, 0.5, 1.5)), array(c(-2, 0, 2)))
  expect_identical(op_cast(c(-1.7, 0, 2.2), "int32"), array(c(-1L, 0L, 2L)))
  expect_identical(op_cast(c(-1.7, 0), "bool"), array(c(TRUE, FALSE)))
  expect_identical(op_isnan(c(NaN, 1, NA)), array(c(TRUE, FALSE, TRUE)))
  expect_equal(op_where(c(TRUE, FALSE), 1, c(10, 20)), array(c(1, 20)))
  expect_slopes(function(a, b) op_where(op_greater(a, 0.5), a * b, b), x, wave(c(3, 4)))
  expect_slopes(function(a) op_clip(a, 0.2, 0.7), x + 0.001)
  stopped <- keras_input(batch_shape = dim(x), dtype = "float64")
  case <- list(model = keras_model(stopped, stopped * op_stop_gradient(stopped)), arrays = list(x), names = "x")
  expect_equal(model_gradients(case, list(x * 0 + 1))$inputs$x, x, tolerance = 1e-12)
})

test_that("reductions over any axes are those of apply()", {
  set.seed(2)
  plain <- list(
    sum = sum, mean = mean, max = max, min = min, prod = prod, var = function(x) mean((x - mean(x))^2), std = function(x) sqrt(mean((x - mean(x))^2)),
    logsumexp = function(x) log(sum(exp(x))), any = function(x) any(x != 0), all = function(x) all(x != 0)
  )
  for (round in 1:40) {
    name <- pick(names(plain))
    size <- random_shape()
    x <- array(rnorm(prod(size)), size)
    if (name %in% c("any", "all")) x[runif(length(x)) < 0.5] <- 0
    axes <- if (chance(0.2)) NULL else sort(sample(length(size), sample(length(size), 1)))
    keepdims <- chance(0.5)
    op <- getExportedValue("attentive", paste0("op_", name))
    kept <- if (is.null(axes)) integer() else setdiff(seq_along(size), axes)
    expected <- if (length(kept) == 0) plain[[name]](x) else array(apply(x, kept, plain[[name]]), size[kept])
    if (keepdims) expected <- array(expected, replace(size, if (is.null(axes)) seq_along(size) else axes, 1))
    given <- if (!is.null(axes) && chance(0.3)) axes - length(size) - 1 else axes
    fun <- function(x) op(x, axis = given, keepdims = keepdims)
    info <- paste(name, paste(size, collapse = "x"), paste(given, collapse = ","))
    expect_equal(fun(x), expected, tolerance = 1e-10, info = info)
    if (length(size) > 1) {
      both_ways(fun, x, info = info)
      if (!name %in% c("any", "all")) expect_slopes(fun, x + 1e-3 * seq_along(x), info = info)
    }
  }
  x <- rbind(c(3, 9, 9), c(7, 1, 2))
  expect_identical(op_argmax(x, axis = 2), array(c(2L, 1L)))
  expect_identical(op_argmin(x, axis = -1, zero_indexed = TRUE), array(c(0L, 1L)))
  expect_identical(op_argmax(x), 2L) # row-major
  expect_identical(dim(op_argmax(x, axis = 1, keepdims = TRUE)), c(1L, 3L))
  expect_identical(op_sum(c(TRUE, TRUE, FALSE)), 2L)
  expect_equal(op_logsumexp(c(1000, 1000)), 1000 + log(2))
  expect_equal(op_logsumexp(c(-Inf, -Inf)), -Inf)
  expect_equal(both_ways(function(x) op_cumsum(x, axis = 2), x), t(apply(x, 1, cumsum)))
  expect_equal(op_cumsum(x), array(cumsum(t(x))))
  expect_slopes(function(x) op_cumsum(x, axis = 1), x)
})

test_that("a model with operations keeps them over a configuration, a clone and a file", {
  x <- keras_input(shape(NA, 4), name = "x")
  sizes <- op_shape(x)
  h <- op_reshape(layer_dense(x, 6), list(sizes[[1]], sizes[[2]], 2, 3)) |> op_transpose(c(1, 3, 2, 4))
  scores <- op_softmax(op_matmul(h, op_transpose(h, c(1, 2, 4, 3))) / sqrt(3))
  y <- op_concatenate(list(op_sum(op_matmul(scores, h), axis = 3), op_max(op_where(h > 0, h, 0), axis = 3)), axis = -1)
  z <- op_stack(list(op_mean(x, axis = c(2, 3)), op_argmax(x[, , 1], axis = 2)), axis = 2)
  n <- op_expand_dims(op_cast(op_arange(sizes[[2]]), "float32"), 2) * x[, , 2:3] + op_take(x, c(1, 1), axis = 3)
  model <- keras_model(x, list(y, z, n, op_pad(op_tile(x, c(1, 1, 2)), list(c(0, 0), c(1, 2), c(0, 0)))))
  a <- wave(c(3, 5, 4))
  expected <- fill_weights(model)(a)
  copies <- list(from_config(get_config(model)), clone_model(model))
  for (copy in copies) expect_equal(set_weights(copy, get_weights(model))(a), expected)
  file <- tempfile()
  saveRDS(model, file)
  again <- readRDS(file)
  unlink(file)
  expect_equal(again(a), expected)
  expect_equal(predict(model, a, batch_size = 2), expected, tolerance = 1e-6)
  b <- wave(c(2, 3, 4))
  expect_equal(again(b), model(b))
})
