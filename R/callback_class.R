# Classes of callbacks that users write, on the bridge of class-bridge.R.

#' A class of callbacks of one's own
#'
#' `Callback()` makes a class; its value is the function that makes callbacks of it, with the arguments of the method `initialize`.
#'
#' @details
#' Methods see `self`, `private` and `super`, as in [R6::R6Class()]. `on_epoch_begin(epoch, logs)`, `on_train_batch_end(batch, logs)`, `on_train_end(logs)` and so on are
#' called as described for `callback_lambda()` in [callbacks]: numbers begin at 1, `logs` is a named list of the metrics so far, and a method that takes fewer arguments gets fewer.
#' `on_batch_begin` and `on_batch_end` are other names of `on_train_batch_begin` and `on_train_batch_end`.
#'
#' `self$model` is the model; `self$model$stop_training <- TRUE` ends the training after the batch. `self$params` is a list of `epochs`, `steps` and `verbose`.
#'
#' @param classname The name of the class.
#' @param on_epoch_begin,on_epoch_end,on_train_begin,on_train_end,on_batch_begin,on_batch_end,on_predict_begin,on_predict_end,on_predict_batch_begin Methods.
#' @param on_predict_batch_end,on_test_begin,on_test_end,on_test_batch_begin,on_test_batch_end,on_train_batch_begin,on_train_batch_end Methods.
#' @param ...,public More methods and fields, by name.
#' @param private Private methods and fields: a named list.
#' @param inherit `NULL`, or what an earlier call of `Callback()` gave.
#' @param parent_env The environment around the methods.
#' @return A function that makes a callback for [fit()][fit.attentive_model].
#' @section Errors: `attentive_error_argument` where a method is no function. An error in a method ends the training with an `attentive_error_callback`.
#' @source The documentation of `keras.callbacks.Callback`.
#' @family training
#' @examples
#' callback_count <- Callback("Count",
#'   initialize = function() self$batches <- 0,
#'   on_train_batch_end = function(batch, logs) self$batches <- self$batches + 1,
#'   on_train_end = function(logs) cat("batches:", self$batches, "\n")
#' )
#' callback_count()
#' @export
Callback <- function(classname, on_epoch_begin = NULL, on_epoch_end = NULL, on_train_begin = NULL, on_train_end = NULL, on_batch_begin = NULL,
                     on_batch_end = NULL, on_predict_begin = NULL, on_predict_end = NULL, on_predict_batch_begin = NULL,
                     on_predict_batch_end = NULL, on_test_begin = NULL, on_test_end = NULL, on_test_batch_begin = NULL,
                     on_test_batch_end = NULL, on_train_batch_begin = NULL, on_train_batch_end = NULL, ..., public = list(),
                     private = list(), inherit = NULL, parent_env = parent.frame()) {
  call <- environment()
  force(parent_env)
  methods <- Filter(Negate(is.null), mget(callback_methods(), envir = call))
  define_class("callback", classname, c(methods, list(...), public), private, inherit, parent_env, call)
}

# What a class inherits from at the bottom; see class-bridge.R.
make_callback_base <- function() R6::R6Class("Callback", lock_objects = FALSE, public = list(model = NULL, params = NULL))

batch_aliases <- c(on_train_batch_begin = "on_batch_begin", on_train_batch_end = "on_batch_end")
callback_methods <- function() c(training_hooks, unname(batch_aliases))

# An instance of a class of the user's, as a callback.
new_class_callback <- function(instance, class_name, constructor, arguments) {
  new_callback("class", list(instance = instance, class_name = class_name))
}

# The methods of an instance for a hook.
hook_methods <- function(instance, hook) {
  names <- c(hook, batch_aliases[hook])
  Filter(is.function, lapply(names[!is.na(names)], function(name) .subset2(instance, name)))
}

callback_hooks.attentive_callback_class <- function(self) {
  Filter(function(hook) length(hook_methods(self$instance, hook)) > 0L, training_hooks)
}

callback_act.attentive_callback_class <- function(self, hook, run, at) {
  instance <- self$instance
  instance$model <- new_shell(run$self)
  instance$params <- list(epochs = run$epochs, steps = run$steps, verbose = run$verbose)
  for (method in hook_methods(instance, hook)) call_with(method, c(if (!is.null(at)) list(at), list(run$logs)))
}
