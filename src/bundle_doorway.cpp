// Sources compiled as one: headers and templates that they share are compiled once, which
// halves the time that an installation takes. Each is complete by itself, as the engine's
// tests compile it.
#include "r_attention.cpp"
#include "r_engine.cpp"
#include "r_mask.cpp"
#include "r_program.cpp"
#include "r_safetensors.cpp"
#include "r_siblings.cpp"
#include "r_specifications.cpp"
#include "r_training.cpp"
#include "r_variable.cpp"
