// Sources compiled as one: headers and templates that they share are compiled once, which
// halves the time that an installation takes. Each is complete by itself, as the engine's
// tests compile it.
#include "engine/batch.cpp"
#include "engine/broadcast.cpp"
#include "engine/custom_values.cpp"
#include "engine/losses.cpp"
#include "engine/metric_sums.cpp"
#include "engine/metrics.cpp"
#include "engine/optimizer.cpp"
#include "engine/predict.cpp"
#include "engine/program.cpp"
#include "engine/training.cpp"
