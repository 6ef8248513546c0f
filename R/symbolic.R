# Symbolic tensors: nothing makes one yet; the question can already be asked.
is_symbolic <- function(x) inherits(x, "attentive_tensor")
