// Sources compiled as one: headers and templates that they share are compiled once, which
// halves the time that an installation takes. Each is complete by itself, as the engine's
// tests compile it.
#include "engine/node_attention.cpp"
#include "engine/node_convolution.cpp"
#include "engine/node_embedding.cpp"
#include "engine/node_mask.cpp"
#include "engine/node_multi_head.cpp"
#include "engine/node_penalty.cpp"
#include "engine/node_product.cpp"
#include "engine/node_shape.cpp"
#include "engine/node_steps.cpp"
