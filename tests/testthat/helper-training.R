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
  if (is.null(state)) state <- list(m = zero, v = zero, most = zero)
  m <- state$m + (1 - o$beta_1) * (g - state$m)
  v <- state$v + (1 - o$beta_2) * (g^2 - state$v)
  most <- pmax(state$most, v)
  w <- w - rate * sqrt(1 - o$beta_2^t) / (1 - o$beta_1^t) * m / (sqrt(if (o$amsgrad) most else v) + o$epsilon)
  list(w = w, state = list(m = m, v = v, most = most))
}

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
