// Sources compiled as one: headers and templates that they share are compiled once, which
// halves the time that an installation takes. Each is complete by itself, as the engine's
// tests compile it.
#include "engine/node_activation.cpp"
#include "engine/node_compare.cpp"
#include "engine/node_dropout.cpp"
#include "engine/node_function.cpp"
#include "engine/node_merge.cpp"
#include "engine/node_normalization.cpp"
#include "engine/node_pooling.cpp"
#include "engine/node_select.cpp"
#include "engine/node_sort.cpp"
