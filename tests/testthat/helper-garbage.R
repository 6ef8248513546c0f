# Random R objects, of every type and many odd kinds; each is made by an expression that can be printed and run again.

garbage_makers <- alist(
  NULL, NA, NA_integer_, NA_real_, NA_character_, NaN, Inf, -Inf, TRUE, FALSE, 0, 1, 2, 3L, -1, -2L, 0.5, 1e-300, 1e300, -1e15, 2^31, 2^53 + 1,
  .Machine$integer.max, 1i, as.raw(7), "", "a", "zeros", "float32", "\u00fc\u4e2d", "\xff\xfe", strrep("x", 1e4),
  integer(), double(), character(), logical(), complex(), raw(), list(), 1:3, c(2, 3), c(1.5, NA), 1:1000, c(TRUE, NA), letters, as.raw(1:9),
  c(a = 1, b = 2), c(1i, NA), list(1), list(NULL), list(list()), list(list(list(1))), list(a = 1, b = "x"), list(1, "a", NULL, mean), list(2, 3),
  pairlist(a = 1), as.name("x"), quote(f(x)), quote(expr = ), quote({ stop("evaluated") }), expression(a, b), y ~ x, ~ x, mean, sum, `if`, function(x) stop("called"),
  function() NULL, new.env(), globalenv(), emptyenv(), structure(new.env(), class = "attentive_variable_not"),
  factor("a"), factor(c("x", "y"), levels = c("y", "x")), ordered(1:2), Sys.Date(), as.POSIXct(0, origin = "1970-01-01", tz = "UTC"), as.POSIXlt(0, origin = "1970-01-01", tz = "UTC"),
  as.difftime(1, units = "hours"), numeric_version("1.2"), data.frame(), data.frame(a = 1:2, b = 3:4), table(c(1, 1, 2)), stats::ts(1:4), I(2), I(list(1)),
  structure(1, class = "odd"), structure(list(), class = "odd"), structure(2, class = c("attentive_layer")), structure(list(), class = "keras_shape"),
  structure(1:3, class = "integer64"), structure(list(1), class = "attentive_specification"), structure("x", class = "attentive_tensor"),
  methods::getClass("numeric"), methods::new("numeric"), stdin(), .Machine, quote(x)[[1]],
  matrix(0, 2, 2), matrix(TRUE, 4, 5), matrix(1:6, 2), matrix("a"), matrix(list(), 0, 0), matrix(NA, 2, 5), matrix(0, 0, 5), matrix(c(0, -1e9), 4, 5), diag(3),
  array(0, 3), array(1, c(1, 1, 1)), array(0, c(0, 4, 6)), array(0, c(2, 0, 6)), array(0, c(2, 4, 0)), array(1:48, c(2, 4, 6)), array(TRUE, c(2, 4, 6)),
  array(NA, c(2, 4, 6)), array(NaN, c(2, 5, 3)), array(1e308, c(2, 4, 6)), array(1i, c(2, 4, 6)), array("a", c(2, 4, 6)), array(list(1), c(2, 4, 6)), array(as.raw(1), c(2, 4, 6)),
  array(0.5, c(2, 4, 6)), array(0.5, c(2, 5, 3)), array(0.5, c(2, 2, 4, 5)), array(0, c(1, 2, 3, 4, 5)), array(0, rep(1, 20)),
  structure(array(0, c(2, 4, 6)), class = "odd"), structure(array(0, c(2, 4, 6)), extra = "attribute"), structure(1:48, dim = c(2L, 4L, 6L)),
  array(1, c(2, 4, 6), list(NULL, letters[1:4], NULL)), structure(array(1, c(2, 4, 6)), tsp = NULL, comment = "hm"), Matrix_like(), altrep_array(), s4_object(), r6_object(),
  shape(NA, 4, 6), shape(), list(NULL, 4, 6), list(2, 4, 6), c(NA, NA, 6), c(2, 4, 6), c(2, -1, 6), c(2, 4, 1e10), list(c(2, 4, 6), c(2, 5, 3)), list("2", 4, 6),
  layer_multi_head_attention(num_heads = 1, key_dim = 1), layer_multi_head_attention, initializer_ones(), regularizer_l2(), constraint_nonneg(),
  list(module = "keras.initializers", class_name = "Zeros", config = list()), list(class_name = "Nope", config = list()), list(class_name = NULL), list(class_name = mean, config = 1),
  list(class_name = "MultiHeadAttention", config = list(num_heads = quote(stop("evaluated")), key_dim = 2)), list(class_name = "MultiHeadAttention", config = list(1, 2)),
  structure(list(num_heads = 1, key_dim = 1, key_dim = 2), class_name = "MultiHeadAttention"), structure(list(num_heads = 1), class_name = NA), structure(list(), class_name = c("a", "b"))
)

# An integer sequence that R keeps as its two ends, with dims.
altrep_array <- function() {
  x <- 1:48
  attr(x, "dim") <- c(2L, 4L, 6L)
  x
}

s4_object <- function() {
  methods::setClass("attentiveGarbage", representation(x = "numeric"), where = environment())
  methods::new("attentiveGarbage", x = 1)
}

r6_object <- function() R6::R6Class("Odd", public = list(dim = c(2, 4, 6), class_name = "MultiHeadAttention"))$new()

# Looks like an array to dim() and like nothing to everything else.
Matrix_like <- function() structure(list(1, 2), class = "looksLikeArray")

# A maker, or a list of several of them, sometimes named as something known or unknown.
random_garbage <- function(names) {
  one <- function() garbage_makers[[sample.int(length(garbage_makers), 1)]]
  if (stats::runif(1) > 0.12) return(one())
  parts <- replicate(sample.int(4, 1), one(), simplify = FALSE)
  if (stats::runif(1) < 0.6) names(parts) <- sample(c(names, "unknown", "", "query"), length(parts), replace = TRUE)
  as.call(c(as.name("list"), parts))
}
