# Random objects into random arguments: each call ends in a result or in one of the package's own errors, nothing else. The seed is
# pinned; a failure prints the very call. ATTENTIVE_GARBAGE sets another number of calls for a longer search.

calls <- as.integer(Sys.getenv("ATTENTIVE_GARBAGE", "2000"))

# One random call as an expression, in which some arguments are garbage and the others right.
random_call <- function() {
  target <- sample(c("constructor", "call", "first call", "list", "set_weights", "assign", "build", "shape", "from_config", "generics"), 1,
    prob = c(5, 6, 2, 2, 2, 1, 2, 1, 2, 1))
  spoil <- function(arguments, extra = character()) {
    known <- c(names(arguments), extra)
    for (name in sample(known, min(length(known), sample(c(1, 1, 1, 2, 3), 1)))) arguments[name] <- list(random_garbage(known))
    arguments
  }
  constructor <- c(
    "inputs", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes", "kernel_initializer", "bias_initializer", "kernel_regularizer",
    "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "seed", "use_gate", "sliding_window", "flash_attention",
    "name", "trainable", "dtype", "autocast", "unknown"
  )
  masks <- c("query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores", "training", "use_causal_mask", "threads", "object", "odd")
  as_call <- function(fun, arguments) as.call(c(list(fun), arguments))
  switch(target,
    constructor = as_call(quote(layer_multi_head_attention), spoil(alist(num_heads = 2, key_dim = 3), constructor)),
    call = as_call(quote(layer), spoil(alist(query = x, value = y), c("key", masks))),
    "first call" = as_call(quote(fresh()), spoil(alist(query = x, value = y), c("key", masks))),
    list = as_call(quote(layer_multi_head_attention), list(as_call(quote(list), spoil(alist(query = x, value = y), c("key", masks))), 2, 3)),
    set_weights = if (stats::runif(1) < 0.5) as_call(quote(set_weights), list(quote(layer), random_garbage("kernel"))) else
      as_call(quote(set_weights), list(quote(layer), as_call(quote(replace), list(quote(weights), sample.int(9, 1), as_call(quote(list), list(random_garbage("a"))))))),
    assign = as_call(quote(layer$weights[[sample.int(8, 1)]]$assign), list(random_garbage("a"))),
    build = as_call(quote(fresh()$build), spoil(alist(query_shape = c(NA, NA, 6), value_shape = c(NA, NA, 3)), c("key_shape", "odd"))),
    shape = as_call(quote(fresh()$compute_output_shape), spoil(alist(query_shape = c(NA, NA, 6), value_shape = c(NA, NA, 3)), c("key_shape", "odd"))),
    from_config = if (stats::runif(1) < 0.4) as_call(quote(from_config), list(random_garbage(c("config", "class_name")))) else
      as_call(quote(from_config), list(as_call(quote(list), list(class_name = "MultiHeadAttention", config = as_call(quote(list), spoil(alist(num_heads = 2, key_dim = 3), constructor)))))),
    generics = as_call(as.name(sample(c("get_weights", "count_params", "get_config", "shape", "read_safetensors"), 1)), list(random_garbage("a")))
  )
}

# Was the error R's own, before the package was reached: an argument that cannot be evaluated, or named twice?
made_elsewhere <- function(condition, code, scene) {
  arguments <- as.list(code)[-1]
  evaluated <- tryCatch(
    {
      for (argument in arguments) eval(argument, scene)
      TRUE
    },
    error = function(e) FALSE
  )
  !evaluated || grepl("matched by multiple actual arguments|matches multiple formal arguments", conditionMessage(condition))
}

test_that("random objects in random arguments end in a result or a classed error", {
  withr::local_seed(2024)
  withr::local_options(warn = 1)
  scene <- new.env(parent = environment())
  scene$x <- array(sin(1:48), c(2, 4, 6))
  scene$y <- array(cos(1:30), c(2, 5, 3))
  scene$layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
  scene$layer(scene$x, scene$y)
  scene$weights <- get_weights(scene$layer)
  scene$fresh <- function() layer_multi_head_attention(num_heads = 2, key_dim = 3)
  i <- results <- errors <- 0
  while (results + errors < calls) {
    i <- i + 1
    code <- random_call()
    before <- get_weights(scene$layer)
    warned <- character()
    condition <- tryCatch(
      withCallingHandlers(
        {
          eval(code, scene)
          NULL
        },
        warning = function(w) {
          warned <<- c(warned, conditionMessage(w))
          invokeRestart("muffleWarning")
        }
      ),
      error = identity
    )
    classed <- inherits(condition, "attentive_error")
    # an argument that is itself an error, or a call that R refuses before the package sees it, proves nothing
    if (!is.null(condition) && !classed && made_elsewhere(condition, code, scene)) next
    if (is.null(condition)) results <- results + 1 else errors <- errors + 1
    shown <- paste(deparse(code), collapse = " ")
    expect(is.null(condition) || classed, sprintf(
      "call %d: `%s` gave %s: %s", i, shown, class(condition)[1], if (is.null(condition)) "" else conditionMessage(condition)
    ))
    if (classed) {
      expect(validUTF8(conditionMessage(condition)) && nchar(conditionMessage(condition)) < 2000, sprintf("call %d: `%s` gave a message that cannot be read.", i, shown))
      expect(identical(get_weights(scene$layer), before), sprintf("call %d: `%s` failed and changed the weights.", i, shown))
    }
    allowed <- grepl("not known here are ignored", warned)
    expect(length(warned) <= 1 && all(allowed), sprintf("call %d: `%s` warned: %s", i, shown, toString(warned)))
  }
  expect_gt(errors, 0.5 * calls)
  expect_gt(results, 0.02 * calls)
})

test_that("an evaluated or called piece of garbage would be seen", {
  expect_error(from_config(list(class_name = "MultiHeadAttention", config = list(num_heads = quote(stop("evaluated")), key_dim = 2))),
    class = "attentive_error_argument")
})
