# Random keys. All random numbers of the package come from the engine's
# counter-based generator, under a key that is drawn from R's stream once per
# layer; so set.seed() governs them all, and R's stream advances by two draws
# however large the layer is.

# A key: the two halves of 64 bits, as doubles in [0, 2^32).
draw_key <- function() floor(stats::runif(2L) * 4294967296)

# The key of a seed; R's stream is not touched.
seed_key <- function(seed) random_seed_key(seed)
