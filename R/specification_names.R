# Built when the package is: every spelling that is taken as it stands, with
# the object that it means. Layers with default arguments cost two look-ups.

kind_names <- lapply(
  stats::setNames(nm = names(specification_kinds)),
  function(family) {
    kinds <- specification_kinds[[family]]
    spellings <- lapply(names(kinds), function(kind) {
      unique(plain_name(c(kind, kinds[[kind]]$class_name, kinds[[kind]]$aliases), family))
    })
    as.list(stats::setNames(rep(names(kinds), lengths(spellings)), unlist(spellings)))
  }
)

# The bare string means Keras's documented 0.01 for both parts of l1_l2; the
# function's own defaults are 0, as in keras3.
object_of_name <- function(family, kind) {
  if (family == "regularizer" && kind == "l1_l2") return(regularizer_l1_l2(0.01, 0.01))
  specification_constructor(family, kind)()
}

objects_of_names <- function(family) {
  kinds <- specification_kinds[[family]]
  objects <- new.env(parent = emptyenv())
  for (kind in names(kinds)) {
    object <- object_of_name(family, kind)
    for (name in c(kind, kinds[[kind]]$class_name, kinds[[kind]]$aliases)) assign(name, object, envir = objects)
  }
  objects
}

known_initializers <- objects_of_names("initializer")
known_regularizers <- objects_of_names("regularizer")
known_constraints <- objects_of_names("constraint")

known_specifications <- function(family) {
  switch(family, initializer = known_initializers, regularizer = known_regularizers, constraint = known_constraints)
}
