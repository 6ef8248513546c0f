# Writes inst/keras3-names.csv: the names that the R package keras3 exports, the family that each belongs to, and
# the names of its arguments. keras3_compatibility() compares them with what this package has.
#
#   Rscript tools/keras3-table.R [keras3_VERSION.tar.gz]
#
# Without a file the sources are fetched from R's repositories. Nothing of keras3 is run.

local({
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  sys.source(file.path(if (length(file) == 1L) dirname(file) else "tools", "setup.R"), envir = globalenv())
})
root <- package_root()
work <- tempfile("keras3")
dir.create(work)
tarball <- commandArgs(TRUE)
if (length(tarball) == 0L) {
  repos <- getOption("repos")
  repos[repos == "@CRAN@"] <- "https://cloud.r-project.org"
  tarball <- utils::download.packages("keras3", work, repos = repos, type = "source", quiet = TRUE)[[1L, 2L]]
}
utils::untar(tarball[[1L]], exdir = work)
sources <- file.path(work, "keras3")
version <- read.dcf(file.path(sources, "DESCRIPTION"), "Version")[[1L]]

# What is exported, without operators.
exported <- function() {
  lines <- grep("^export\\(", readLines(file.path(sources, "NAMESPACE")), value = TRUE)
  names <- gsub("^export\\(\"?|\"?\\)$", "", lines)
  sort(grep("^[A-Za-z]", names, value = TRUE), method = "radix")
}

# The arguments of the functions that the sources define at top level.
arguments_of <- function(names) {
  found <- list()
  for (file in list.files(file.path(sources, "R"), "\\.R$", full.names = TRUE)) {
    for (line in as.list(parse(file, keep.source = FALSE))) {
      defines <- is.call(line) && as.character(line[[1L]])[[1L]] %in% c("<-", "=") && is.name(line[[2L]]) && is.call(line[[3L]])
      if (defines && identical(line[[3L]][[1L]], as.name("function"))) found[[as.character(line[[2L]])]] <- names(line[[3L]][[2L]])
    }
  }
  # of a generic that comes from elsewhere, those of the method for models
  vapply(names, function(name) paste(c(found[[name]], if (is.null(found[[name]])) found[[paste0(name, ".keras.src.models.model.Model")]]), collapse = " "), "")
}

# The concepts of the help page of each name.
concepts_of <- function(names) {
  concepts <- list()
  for (file in list.files(file.path(sources, "man"), "\\.Rd$", full.names = TRUE)) {
    lines <- readLines(file)
    fields <- function(tag) gsub(sprintf("^\\\\%s\\{|\\}.*$", tag), "", grep(sprintf("^\\\\%s\\{", tag), lines, value = TRUE))
    for (alias in fields("alias")) concepts[[alias]] <- c(concepts[[alias]], fields("concept"))
  }
  lapply(stats::setNames(names, names), function(name) concepts[[name]])
}

# The family is that of the first rule that a name, or a concept of its help page, fits.
rules <- c(
  "name ^(py_|np_array|use_|install_keras|r_to_py|tuple|import$|iter|as_iterator|keras$|export_savedmodel|zip_lists|newaxis)" = "Python",
  "name ^(named_list|active_property|mark_active|all_dims|layer_(flax|jax|torch|tfsm))" = "Python", "name ^(flag|run_dir|tensorboard)" = "Python",
  "name ^layer_(attention|additive_attention|multi_head_attention|group_query)" = "attention layers",
  "name ^(application_|imagenet_)" = "pre-trained image models", "name ^dataset_" = "data sets",
  "name ^rnn_|bidirectional|time_distributed" = "recurrent layers", "name ^(image_|op_image_)" = "images", "concept image|audio preprocessing" = "image and audio layers",
  "concept conv" = "convolutional layers", "concept rnn" = "recurrent layers", "name ^layer_.*(conv|lstm|gru)" = "convolutional layers",
  "concept preprocessing layers" = "preprocessing layers", "name ^layer_.*pool" = "pooling layers", "concept merging layers" = "merging layers",
  "concept normalization layers" = "normalization layers", "concept reshaping layers" = "reshaping layers",
  "concept regularization layers" = "regularization layers", "name ^layer_activation" = "activation layers", "name ^layer_" = "other layers",
  "name ^activation_" = "activations", "name ^learning_rate_" = "learning rates", "name ^optimizer_" = "optimizers", "name ^loss_" = "losses",
  "name ^metric_|^custom_metric" = "metrics", "name ^callback_" = "callbacks", "name ^initializer_" = "initializers", "name ^regularizer_" = "regularizers",
  "name ^constraint_" = "constraints", "name ^random_" = "random numbers", "concept nn ops" = "operations of networks", "name ^op_" = "operations on tensors",
  "name ^config_" = "settings", "concept saving|serialization" = "saving", "concept model|layer methods" = "models",
  "name ^(clone_model|compile|fit|evaluate|get_|set_random|freeze|unfreeze|clear_session|generate)" = "models", "name ^(timeseries|text_|audio_|split_dataset|pack_x|unpack_x)" = "data sets",
  "name ^(to_categorical|pad_sequences|normalize|array_reshape|shape|as_tensor|keras_variable)" = "data",
  "name ^(Layer|Model|Callback|Metric|Loss|Constraint|LearningRateSchedule)|_class$" = "own classes"
)

family_of <- function(name, concepts) {
  for (rule in names(rules)) {
    pattern <- sub("^[a-z]+ ", "", rule)
    if (any(grepl(pattern, if (startsWith(rule, "name")) name else concepts))) return(rules[[rule]])
  }
  "other"
}

names <- exported()
table <- data.frame(name = names, family = unname(mapply(family_of, names, concepts_of(names))), arguments = unname(arguments_of(names)))
# arguments are compared for what may be here
house <- new.env()
sys.source(file.path(root, "R", "compatibility.R"), house)
table$arguments[table$family %in% house$outside_families] <- ""
target <- file.path(root, "inst", "keras3-names.csv")
dir.create(dirname(target), showWarnings = FALSE)
writeLines(c(paste("# Names exported by keras3", version), "name,family,arguments", do.call(paste, c(table, sep = ","))), target)
cat(sprintf("%d names of keras3 %s\n", nrow(table), version))
print(table(table$family))
