// Sources compiled as one: headers and templates that they share are compiled once, which
// halves the time that an installation takes. Each is complete by itself, as the engine's
// tests compile it.
#include "engine/node_batch_normalization.cpp"
#include "engine/node_dense.cpp"
#include "engine/node_fill.cpp"
#include "engine/node_matmul.cpp"
#include "engine/node_noise.cpp"
#include "engine/node_plain_attention.cpp"
#include "engine/node_reduce.cpp"
#include "engine/node_slice.cpp"
