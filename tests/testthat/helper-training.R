# Small models and the textbook of their training, in plain R.

# One dense layer without activation, in double precision.
linear_model <- function(features = 3, units = 1, ...) {
  input <- keras_input(features, dtype = "float64")
  keras_model(input, layer_dense(input, units, dtype = "float64", ...))
}

# A small classifier with attention and, maybe, dropout.
small_classifier <- function(dropout = 0, classes = 3, dtype = "float32", seed = 1) {
  set.seed(seed)
  input <- keras_input(c(5, 4), dtype = dtype)
  a <- layer_multi_head_attention(num_heads = 2, key_dim = 2, dropout = dropout, dtype = dtype)(input, input)
  x <- layer_add(list(input, a), dtype = dtype)
  x <- layer_flatten(x, dtype = dtype)
  if (dropout > 0) x <- layer_dropout(x, dropout, dtype = dtype)
  keras_model(input, layer_dense(x, classes, activation = "softmax", dtype = dtype))
}

# The optimizers, as their formulas stand in ?optimizer_sgd. `state` holds what
# is remembered of one weight.
textbook_step <- function(kind, o, w, g, state, t) {
  if (!is.null(o$clipvalue)) g <- pmin(pmax(g, -o$clipvalue), o$clipvalue)
  if (!is.null(o$clipnorm)) g <- g * o$clipnorm / max(sqrt(sum(g^2)), o$clipnorm)
  if (!is.null(o$weight_decay)) w <- w - w * o$weight_decay * o$learning_rate
  zero <- g * 0
  rate <- o$learning_rate
  if (kind == "sgd") {
    if (o$momentum == 0) return(list(w = w - rate * g))
    m <- o$momentum * (if (is.null(state$m)) zero else state$m) - rate * g
    return(list(w = w + if (o$nesterov) o$momentum * m - rate * g else m, state = list(m = m)))
  }
  if (kind == "rmsprop") {
    if (is.null(state)) state <- list(v = zero, m = zero, a = zero)
    v <- o$rho * state$v + (1 - o$rho) * g^2
    a <- o$rho * state$a + (1 - o$rho) * g
    d <- if (o$centered) v - a^2 else v
    step <- rate * g / sqrt(d + o$epsilon)
    m <- o$momentum * state$m + step
    return(list(w = w - if (o$momentum > 0) m else step, state = list(v = v, m = m, a = a)))
  }
  if (kind %in% names(adaptive_steps)) return(adaptive_steps[[kind]](o, w, g, state, t))
  if (is.null(state)) state <- list(m = zero, v = zero, most = zero)
  m <- state$m + (1 - o$beta_1) * (g - state$m)
  v <- state$v + (1 - o$beta_2) * (g^2 - state$v)
  most <- pmax(state$most, v)
  w <- w - rate * sqrt(1 - o$beta_2^t) / (1 - o$beta_1^t) * m / (sqrt(if (o$amsgrad) most else v) + o$epsilon)
  list(w = w, state = list(m = m, v = v, most = most))
}

adaptive_steps <- list(
  adagrad = function(o, w, g, state, t) {
    a <- (if (is.null(state)) o$initial_accumulator_value else state$a) + g^2
    list(w = w - o$learning_rate * g / sqrt(a + o$epsilon), state = list(a = a))
  },
  adadelta = function(o, w, g, state, t) {
    if (is.null(state)) state <- list(a = 0, b = 0)
    a <- o$rho * state$a + (1 - o$rho) * g^2
    d <- -sqrt(state$b + o$epsilon) * g / sqrt(a + o$epsilon)
    list(w = w + o$learning_rate * d, state = list(a = a, b = o$rho * state$b + (1 - o$rho) * d^2))
  },
  adamax = function(o, w, g, state, t) {
    if (is.null(state)) state <- list(m = 0, u = 0)
    m <- state$m + (g - state$m) * (1 - o$beta_1)
    u <- pmax(o$beta_2 * state$u, abs(g))
    list(w = w - o$learning_rate * m / ((1 - o$beta_1^t) * (u + o$epsilon)), state = list(m = m, u = u))
  },
  nadam = function(o, w, g, state, t) {
    if (is.null(state)) state <- list(m = 0, v = 0)
    mu <- function(t) o$beta_1 * (1 - 0.5 * 0.96^t)
    m <- state$m + (g - state$m) * (1 - o$beta_1)
    v <- state$v + (g^2 - state$v) * (1 - o$beta_2)
    m_hat <- mu(t + 1) * m / (1 - prod(mu(seq_len(t + 1)))) + (1 - mu(t)) * g / (1 - prod(mu(seq_len(t))))
    list(w = w - o$learning_rate * m_hat / (sqrt(v / (1 - o$beta_2^t)) + o$epsilon), state = list(m = m, v = v))
  },
  lion = function(o, w, g, state, t) {
    m <- if (is.null(state)) 0 else state$m
    list(w = w - o$learning_rate * sign(m * o$beta_1 + g * (1 - o$beta_1)), state = list(m = m * o$beta_2 + g * (1 - o$beta_2)))
  },
  ftrl = function(o, w, g, state, t) {
    if (is.null(state)) state <- list(a = o$initial_accumulator_value, z = 0)
    p <- o$learning_rate_power
    rate <- o$learning_rate
    a <- state$a + g^2
    z <- state$z + g + 2 * o$l2_shrinkage_regularization_strength * w - (a^-p - state$a^-p) / rate * w
    l1 <- o$l1_regularization_strength
    w <- (pmin(pmax(z, -l1), l1) - z) / (2 * (o$l2_regularization_strength + o$beta / (2 * rate)) + a^-p / rate)
    list(w = w, state = list(a = a, z = z))
  },
  lamb = function(o, w, g, state, t) {
    if (is.null(state)) state <- list(m = 0, v = 0)
    m <- state$m + (g - state$m) * (1 - o$beta_1)
    v <- state$v + (g^2 - state$v) * (1 - o$beta_2)
    d <- m / (1 - o$beta_1^t) / (sqrt(v / (1 - o$beta_2^t)) + o$epsilon)
    norms <- sqrt(c(sum(w^2), sum(d^2)))
    ratio <- if (all(norms > 0)) norms[[1]] / norms[[2]] else 1
    list(w = w - ratio * o$learning_rate * d, state = list(m = m, v = v))
  }
)

# The linear model's kernel and bias after `steps` steps on all rows, by the textbook.
textbook_training <- function(optimizer, kernel, bias, x, y, steps) {
  o <- get_config(optimizer)
  kind <- sub("_.*", "", sub("optimizer_", "", format(optimizer)))
  kind <- sub("\\(.*", "", kind)
  states <- list(NULL, NULL)
  for (t in seq_len(steps)) {
    error <- sweep(x %*% kernel, 2, bias, "+") - y
    upstream <- 2 * error / length(error)
    gradients <- list(t(x) %*% upstream, colSums(upstream))
    if (!is.null(o$global_clipnorm)) {
      norm <- sqrt(sum(unlist(gradients)^2))
      gradients <- lapply(gradients, function(g) g * min(1, o$global_clipnorm / norm))
    }
    one <- textbook_step(kind, o, kernel, gradients[[1]], states[[1]], t)
    two <- textbook_step(kind, o, bias, gradients[[2]], states[[2]], t)
    kernel <- one$w
    bias <- two$w
    states <- list(one$state, two$state)
  }
  list(kernel, bias)
}

# The same over `epochs` rounds through batches in order, with accumulation,
# running means and learning rates by step. `finish` says that fit() ends here.
textbook_batches <- function(optimizer, kernel, bias, x, y, size, epochs, finish = TRUE) {
  o <- get_config(optimizer)
  kind <- sub("adam_w", "adam", sub("\\(.*", "", sub("optimizer_", "", format(optimizer))))
  schedule <- o$learning_rate
  every <- if (is.null(o$gradient_accumulation_steps)) 1 else o$gradient_accumulation_steps
  w <- list(kernel, bias)
  states <- list(NULL, NULL)
  sums <- list(0, 0)
  means <- w
  batches <- rep(split(seq_len(nrow(x)), (seq_len(nrow(x)) - 1) %/% size), epochs)
  for (s in seq_along(batches)) {
    o$learning_rate <- if (is.function(schedule)) schedule(s - 1) else schedule
    rows <- batches[[s]]
    error <- sweep(x[rows, , drop = FALSE] %*% w[[1]], 2, w[[2]], "+") - y[rows, , drop = FALSE]
    upstream <- 2 * error / length(error)
    sums <- Map(`+`, sums, list(t(x[rows, , drop = FALSE]) %*% upstream, colSums(upstream)))
    before <- (s - 1) %/% every
    if (s %% every == 0) {
      g <- lapply(sums, `/`, every)
      sums <- list(0, 0)
      if (!is.null(o$global_clipnorm)) g <- lapply(g, `*`, min(1, o$global_clipnorm / sqrt(sum(unlist(g)^2))))
      for (i in 1:2) {
        made <- textbook_step(kind, o, w[[i]], g[[i]], states[[i]], before + 1)
        w[[i]] <- made$w
        states[i] <- list(made$state)
      }
    }
    if (o$use_ema) {
      kept <- if (before == 0) 0 else o$ema_momentum
      means <- Map(function(a, w) kept * a + (1 - kept) * w, means, w)
      if (!is.null(o$ema_overwrite_frequency) && (before + 1) %% o$ema_overwrite_frequency == 0) w <- means
    }
  }
  if (o$use_ema && finish) means else w
}
