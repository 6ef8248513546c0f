# Initializers: distributions against theory, shapes, seeds, and R's random stream.

million <- list(c(1000, 1000), c(100, 100, 100), c(20, 50, 40, 25))

# Bounds of six standard errors of the estimate: pinned seeds, so each check always holds or never does.
expect_distribution <- function(x, mean, variance, kurtosis, low = -Inf, high = Inf, label) {
  n <- length(x)
  expect_lt(abs(base::mean(x) - mean), 6 * sqrt(variance / n), label = paste(label, "mean"))
  expect_lt(abs(stats::var(as.vector(x)) / variance - 1), 6 * sqrt((kurtosis - 1) / n), label = paste(label, "variance"))
  expect_gte(min(x), low, label = paste(label, "minimum"))
  expect_lte(max(x), high, label = paste(label, "maximum"))
}

# Variance and kurtosis of a standard normal cut at two standard deviations.
cut_variance <- 1 - 4 * stats::dnorm(2) / (2 * stats::pnorm(2) - 1)
cut_kurtosis <- (3 - (2 * 2^3 + 6 * 2) * stats::dnorm(2) / (2 * stats::pnorm(2) - 1)) / cut_variance^2

test_that("uniform and normal draws have the mean, variance and bounds of theory", {
  for (shape in million) {
    label <- format_shape(shape)
    expect_distribution(initializer_random_uniform(-1, 3, seed = 1)(shape), 1, 16 / 12, 1.8, -1, 3, label = label)
    expect_distribution(initializer_random_normal(0.5, 2, seed = 2)(shape), 0.5, 4, 3, label = label)
    x <- initializer_truncated_normal(0.5, 2, seed = 3)(shape)
    expect_distribution(x, 0.5, 4 * cut_variance, cut_kurtosis, -3.5, 4.5, label = label)
    expect_gt(max(x), 4.49) # it fills the range up to the cut
    expect_identical(dim(x), as.integer(shape))
  }
})

test_that("scaled draws have the variance that their fans ask for", {
  scaled <- list(
    glorot_uniform = list(2, "average", "uniform"), glorot_normal = list(2, "average", "normal"),
    he_uniform = list(2, "in", "uniform"), he_normal = list(2, "in", "normal"),
    lecun_uniform = list(1, "in", "uniform"), lecun_normal = list(1, "in", "normal")
  )
  for (shape in million) {
    rank <- length(shape)
    field <- prod(shape[seq_len(rank - 2)])
    fans <- field * shape[c(rank - 1, rank)]
    for (name in names(scaled)) {
      rule <- scaled[[name]]
      variance <- if (rule[[2]] == "average") 2 / sum(fans) else rule[[1]] / fans[[1]]
      x <- specification_constructor("initializer", name)(seed = 11)(shape)
      if (rule[[3]] == "uniform") {
        expect_distribution(x, 0, variance, 1.8, -sqrt(3 * variance), sqrt(3 * variance), label = name)
      } else {
        cut <- 2 * sqrt(variance) / 0.87962566103423978
        expect_distribution(x, 0, variance, cut_kurtosis, -cut, cut, label = name)
      }
    }
  }
})

test_that("variance scaling takes every mode and distribution", {
  shape <- c(200, 500)
  n <- c(fan_in = 200, fan_out = 500, fan_avg = 350)
  for (mode in names(n)) {
    variance <- 3 / n[[mode]]
    draw <- function(distribution) initializer_variance_scaling(3, mode, distribution, seed = 5)(shape)
    expect_distribution(draw("uniform"), 0, variance, 1.8, -sqrt(3 * variance), sqrt(3 * variance), label = mode)
    expect_distribution(draw("untruncated_normal"), 0, variance, 3, label = mode)
    cut <- 2 * sqrt(variance) / 0.87962566103423978
    expect_distribution(draw("truncated_normal"), 0, variance, cut_kurtosis, -cut, cut, label = mode)
    expect_identical(draw("normal"), draw("Truncated_Normal"))
  }
})

test_that("orthogonal kernels are orthogonal, whatever their rank", {
  for (shape in list(c(40, 12), c(12, 40), c(9, 9), c(6, 5, 10), c(2, 3, 50), c(3, 2, 4, 10), c(1, 5), c(5, 1))) {
    x <- initializer_orthogonal(gain = 1.5, seed = 4)(shape)
    expect_identical(dim(x), as.integer(shape))
    # the engine's rows: all axes but the last, row-major
    m <- t(matrix(aperm(x), shape[[length(shape)]]))
    gram <- if (nrow(m) >= ncol(m)) crossprod(m) else tcrossprod(m)
    expect_lt(max(abs(gram - 1.5^2 * diag(nrow(gram)))), 1e-12)
  }
  # uniformly distributed, so the sign of no entry is fixed
  corner <- vapply(1:200, function(seed) initializer_orthogonal(seed = seed)(c(3, 3))[1, 1], 0)
  expect_gt(sum(corner > 0), 60)
  expect_gt(sum(corner < 0), 60)
})

test_that("constants and the identity", {
  expect_identical(initializer_constant(0.1)(c(2, 3)), array(0.1, c(2, 3)))
  expect_identical(initializer_zeros()(3), array(0, 3))
  expect_identical(initializer_ones()(shape(2, 1)), array(1, c(2, 1)))
  expect_identical(initializer_identity(0.5)(c(3, 3)), 0.5 * diag(3))
  expect_identical(initializer_identity()(c(2, 3)), diag(1, 2, 3))
  expect_error(initializer_identity()(4), class = "attentive_error_shape")
  expect_error(initializer_identity()(c(2, 2, 2)), class = "attentive_error_shape")
  expect_error(initializer_orthogonal()(4), class = "attentive_error_shape")
})

test_that("set.seed() governs draws, a seed overrides it", {
  draw <- initializer_he_normal()
  withr::with_seed(1, {
    a <- draw(c(4, 3))
    b <- draw(c(4, 3))
  })
  withr::with_seed(1, expect_identical(draw(c(4, 3)), a))
  expect_false(any(a == b))
  seeded <- initializer_he_normal(seed = 1)
  expect_identical(seeded(c(4, 3)), seeded(c(4, 3)))
  expect_identical(seeded(c(4, 3)), initializer_he_normal(seed = 1)(c(4, 3)))
  expect_false(any(seeded(c(4, 3)) == initializer_he_normal(seed = 2)(c(4, 3))))
})

test_that("R's stream advances by two draws, however many values are made", {
  after <- function(code) {
    withr::with_seed(7, {
      force(code)
      stats::runif(1)
    })
  }
  third <- withr::with_seed(7, stats::runif(3)[[3]])
  expect_identical(after(initializer_he_normal()(3)), third)
  expect_identical(after(initializer_random_uniform()(c(300, 200))), third)
  first <- withr::with_seed(7, stats::runif(1))
  expect_identical(after(initializer_he_normal(seed = 1)(c(300, 200))), first)
  expect_identical(after(initializer_zeros()(3)), first)
  build <- function(...) layer_multi_head_attention(...)$build(c(NA, NA, 6), c(NA, NA, 6))
  expect_identical(after(build(num_heads = 2, key_dim = 3)), third)
  expect_identical(after(build(num_heads = 8, key_dim = 64)), third)
  expect_identical(after(build(num_heads = 2, key_dim = 3, seed = 1)), first)
})

# Philox4x32-10 as its authors describe it, on 16-bit halves, so that doubles hold every product exactly.
philox <- function(counter, key) {
  halves <- function(x) c(x %/% 65536, x %% 65536)
  multiply <- function(a, b) { # high and low word of the product of two words
    a <- halves(a)
    b <- halves(b)
    middle <- a[[1]] * b[[2]] + a[[2]] * b[[1]] + (a[[2]] * b[[2]]) %/% 65536
    c(a[[1]] * b[[1]] + middle %/% 65536, (middle %% 65536) * 65536 + (a[[2]] * b[[2]]) %% 65536)
  }
  xor <- function(...) {
    Reduce(function(a, b) sum(bitwXor(halves(a), halves(b)) * c(65536, 1)), list(...))
  }
  for (round in 1:10) {
    first <- multiply(0xD2511F53, counter[[1]])
    second <- multiply(0xCD9E8D57, counter[[3]])
    counter <- c(xor(second[[1]], counter[[2]], key[[1]]), second[[2]], xor(first[[1]], counter[[4]], key[[2]]), first[[2]])
    key <- (key + c(0x9E3779B9, 0xBB67AE85)) %% 2^32
  }
  counter
}

test_that("bits are the same on every platform: those of the published generator", {
  expect_identical(philox(c(0, 0, 0, 0), c(0, 0)), c(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8))
  # the first state of SplitMix64
  expect_identical(random_seed_key(0), c(0xE220A839, 0x7B1DCDAF))
  x <- initializer_random_uniform(0, 1, seed = 0)(c(2, 3))
  # the numbers of block b of stream 2^63 (initial values, the first variable), row-major; 53 bits of two words
  uniforms <- unlist(lapply(0:2, function(block) {
    words <- philox(c(block, 0, 0, 2^31), c(0x7B1DCDAF, 0xE220A839))
    (words[c(2, 4)] * 2^21 + words[c(1, 3)] %/% 2^11) / 2^53
  }))
  expect_identical(x, matrix(uniforms, 2, byrow = TRUE))
})

test_that("single precision is the rounded double", {
  for (object in list(initializer_he_normal(1), initializer_random_uniform(seed = 2), initializer_orthogonal(seed = 3))) {
    double <- object(c(20, 10))
    expect_identical(object(c(20, 10), "float32"), unpack_numbers(pack_numbers(double, "float32"), c(20L, 10L), "float32"))
    expect_false(identical(double, object(c(20, 10), "float32")))
  }
})

test_that("the kernels of one seeded initializer differ, and the same seed gives the same layer", {
  make <- function(dtype = "float32") {
    layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_initializer = initializer_he_normal(seed = 1), dtype = dtype)
    layer$build(c(NA, NA, 6), c(NA, NA, 6))
    get_weights(layer)
  }
  w <- make()
  expect_identical(w, make())
  # also where the first call builds the layer, with any number of threads
  called <- function(threads) {
    layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3, kernel_initializer = initializer_he_normal(seed = 1))
    layer(noise(2, 5, 6), threads = threads)
    get_weights(layer)
  }
  expect_identical(called(1), w)
  expect_identical(called(2), w)
  expect_false(any(w[[1]] == w[[3]]))
  expect_false(any(w[[1]] == w[[5]]))
  expect_false(any(w[[3]] == w[[5]]))
  expect_lt(max(abs(w[[1]] - make("float64")[[1]])), 1e-7)
})

test_that("layers tell the fans of their kernels", {
  # [32, 4, 16]: 32 in, 64 out; [4, 16, 32]: 64 in, 32 out; Keras's limit since 3.15 is 0.25 for both
  layer <- layer_multi_head_attention(num_heads = 4, key_dim = 16, seed = 1)
  layer$build(c(NA, NA, 32), c(NA, NA, 32))
  w <- get_weights(layer)
  for (kernel in w[c(1, 3, 5, 7)]) {
    expect_lte(max(abs(kernel)), 0.25)
    expect_gt(max(abs(kernel)), 0.249)
  }
  he <- layer_multi_head_attention(num_heads = 4, key_dim = 16, kernel_initializer = initializer_he_uniform(1))
  he$build(c(NA, NA, 32), c(NA, NA, 32))
  w <- get_weights(he)
  expect_equal(max(abs(w[[1]])), sqrt(6 / 32), tolerance = 0.005)
  expect_equal(max(abs(w[[7]])), sqrt(6 / 64), tolerance = 0.005)
})

test_that("wrong arguments are errors that name them", {
  expect_snapshot(error = TRUE, {
    initializer_random_normal(stddev = -1)
    initializer_random_uniform(1, 0)
    initializer_variance_scaling(scale = 0)
    initializer_variance_scaling(mode = "fan_inn")
    initializer_variance_scaling(distribution = "cauchy")
    initializer_he_normal(seed = 1.5)
    initializer_constant("a")
    initializer_ones()(c(2, NA))
    initializer_ones()(c(2, 3), "float16")
    initializer_identity()(c(2, 2, 2))
  })
})
