// What each position of an output counts in its loss and metrics: its mask,
// sample weights, labels to be ignored.
#pragma once

#include "dataset.h"
#include "losses.h"

namespace attentive {

template <class T> struct WeightSource {
  const MaskValue *mask = nullptr;                 // of the prediction
  const DatasetColumn<T> *sample_weight = nullptr; // or null
  const Index *rows = nullptr;
  const T *labels = nullptr; // with ignore: those positions count as masked
  double ignore = 0;
};

struct PositionWeights {
  Buffer<double> numbers; // one a position
  double kept = 1;        // share of the positions that the mask keeps
  bool masked = false;    // there was a mask
};

// `leading` are the axes of the positions, samples first. The numbers are mask
// times sample weight. std::invalid_argument where they do not fit.
template <class T>
PositionWeights position_weights(const Dims &leading, const WeightSource<T> &source);

} // namespace attentive
