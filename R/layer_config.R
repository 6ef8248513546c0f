# Configurations of layers: what `get_config()` gives, and which constructor a class name stands for.

#' Configuration of an object
#'
#' `get_config()` gives what is needed to make the same object again, without weights; `from_config()` makes it. Names, order and nesting
#' of the entries are those of Keras.
#'
#' @param object A layer, a model, an initializer, regularizer or constraint, an optimizer, a learning rate schedule, a loss or a metric.
#' @param config What `get_config()` gave; or a list with `class_name` and `config`, as Keras writes it into its files. Unknown entries,
#'   which a newer version may have written, are ignored with a warning.
#' @param custom_objects Classes and functions of your own that the configuration names, as `list(Name = Name)`.
#' @return `get_config()`: a named list, with the class name in the attribute `class_name`. `from_config()`: a new object, not built.
#' @section Errors:
#' `attentive_error_config` where no class name is given or known.
#' @examples
#' layer <- layer_multi_head_attention(num_heads = 2, key_dim = 3)
#' config <- get_config(layer)
#' config$num_heads
#' from_config(config)
#' @export
get_config <- function(object) UseMethod("get_config")

#' @export
get_config.default <- function(object) {
  abort_argument(object, "object", "a layer, an initializer, a regularizer or a constraint", call = environment())
}

#' @export
get_config.attentive_layer <- function(object) {
  self <- layer_self(object)
  structure(
    c(list(name = self$name, trainable = self$trainable, dtype = dtype_config(self$dtype)), layer_config(self)),
    class_name = self$class_name
  )
}

dtype_config <- function(dtype) {
  list(module = "keras", class_name = "DTypePolicy", config = list(name = dtype), registered_name = NULL)
}

# Every class that a configuration may name: its constructor and the names that it takes in `...`.
layer_constructors <- function() {
  grouped <- list(make = "layer_group_query_attention", dots = multi_head_dots)
  list(
    MultiHeadAttention = list(make = "layer_multi_head_attention", dots = multi_head_dots),
    GroupQueryAttention = grouped,
    GroupedQueryAttention = grouped, # Keras's own name of the class; files say the other
    Attention = list(make = "layer_attention", dots = unprojected_dots),
    AdditiveAttention = list(make = "layer_additive_attention", dots = c("seed", unprojected_dots)),
    Dense = list(make = "layer_dense"),
    Embedding = list(make = "layer_embedding"),
    Dropout = list(make = "layer_dropout"),
    Activation = list(make = "layer_activation"),
    LayerNormalization = list(make = "layer_layer_normalization", axis = "axis"),
    Flatten = list(make = "layer_flatten"),
    Reshape = list(make = "layer_reshape"),
    GlobalAveragePooling1D = list(make = "layer_global_average_pooling_1d"),
    GlobalMaxPooling1D = list(make = "layer_global_max_pooling_1d"),
    Add = list(make = "layer_add"),
    Subtract = list(make = "layer_subtract"),
    Multiply = list(make = "layer_multiply"),
    Average = list(make = "layer_average"),
    Maximum = list(make = "layer_maximum"),
    Minimum = list(make = "layer_minimum"),
    Concatenate = list(make = "layer_concatenate", axis = "axis"),
    Dot = list(make = "layer_dot", axis = "axes"),
    Lambda = list(make = "layer_lambda"),
    EinsumDense = list(make = "layer_einsum_dense"),
    Conv1D = list(make = "layer_conv_1d"),
    AveragePooling1D = list(make = "layer_average_pooling_1d"),
    MaxPooling1D = list(make = "layer_max_pooling_1d"),
    BatchNormalization = list(make = "layer_batch_normalization", axis = "axis"),
    RMSNormalization = list(make = "layer_rms_normalization", axis = "axis"),
    UnitNormalization = list(make = "layer_unit_normalization", axis = "axis"),
    SpatialDropout1D = list(make = "layer_spatial_dropout_1d"),
    GaussianNoise = list(make = "layer_gaussian_noise"),
    GaussianDropout = list(make = "layer_gaussian_dropout"),
    ReLU = list(make = "layer_activation_relu"),
    LeakyReLU = list(make = "layer_activation_leaky_relu"),
    ELU = list(make = "layer_activation_elu"),
    PReLU = list(make = "layer_activation_parametric_relu", axis = "shared_axes"),
    Softmax = list(make = "layer_activation_softmax", axis = "axis"),
    Identity = list(make = "layer_identity"),
    Rescaling = list(make = "layer_rescaling"),
    ActivityRegularization = list(make = "layer_activity_regularization"),
    Masking = list(make = "layer_masking"),
    Permute = list(make = "layer_permute"),
    RepeatVector = list(make = "layer_repeat_vector"),
    UpSampling1D = list(make = "layer_upsampling_1d"),
    ZeroPadding1D = list(make = "layer_zero_padding_1d"),
    Cropping1D = list(make = "layer_cropping_1d"),
    TimeDistributed = list(make = "layer_time_distributed")
  )
}

#' @rdname get_config
#' @export
from_config <- function(config, custom_objects = NULL) {
  if (is.object(config)) config <- NULL # no list that can be read
  class_name <- attr(config, "class_name", exact = TRUE)
  if (is.null(class_name) && is.list(config) && is.list(config[["config"]])) {
    class_name <- config[["class_name"]]
    config <- config[["config"]]
  }
  if (!is.list(config) || !is.character(class_name) || length(class_name) != 1L || is.na(class_name)) {
    abort_attentive("config", "`config` must be a list as `get_config()` gives it, with the class name.",
      hint = "After a detour through JSON, give `list(class_name =, config =)`.", call = environment()
    )
  }
  custom <- custom_layer_class(class_name, config, custom_objects)
  if (!is.null(custom)) return(layer_from_class(custom, config, custom_objects))
  if (class_name %in% c("Functional", "Sequential", "Model")) return(model_from_config(class_name, config, custom_objects, environment()))
  trainer <- training_object_of_class(class_name, config)
  if (is.null(trainer)) trainer <- measure_of_class(class_name, config)
  if (!is.null(trainer)) return(trainer)
  constructors <- layer_constructors()
  make <- constructors[[class_name]]$make
  if (class_name == "Identity" && is.null(config$name)) make <- NULL # the initializer: layers have names
  if (is.null(make)) {
    specification <- specification_of_class(class_name, config, custom_objects)
    if (!is.null(specification)) return(specification)
  }
  if (is.null(make)) {
    abort_attentive("config", sprintf("The class \"%s\" is not known.", class_name),
      hint = c(
        nearest_hint(class_name, names(constructors)), paste0("Known classes: ", or_list(names(constructors)), "."),
        sprintf("A class of your own is given as `custom_objects = list(%s = constructor)`.", if (make.names(class_name) == class_name) class_name else "Name")
      ), call = environment()
    )
  }
  known <- c(setdiff(names(formals(make)), c("inputs", "object", "...")), constructors[[class_name]]$dots, common_arguments)
  config <- config[!vapply(config, is.null, NA)]
  # Keras counts axes from 0, the constructors from 1
  axis <- constructors[[class_name]]$axis
  if (!is.null(axis) && !is.null(config[[axis]])) config[[axis]] <- r_axes(config[[axis]])
  warn_unknown_entries(setdiff(names(config), known))
  config <- read_specifications(config[intersect(names(config), known)], custom_objects)
  if (is.list(config$layer)) config$layer <- from_config(config$layer, custom_objects) # of a wrapper
  do.call(make, config, quote = TRUE)
}

warn_unknown_entries <- function(unknown) {
  if (length(unknown) == 0L) return(invisible())
  rlang::warn(sprintf("Entries of the configuration that are not known here are ignored: %s.", paste(unknown, collapse = ", ")))
}
