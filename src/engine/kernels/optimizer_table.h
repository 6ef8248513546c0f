// The hot loop of the Adam optimizer, see optimizer.h.
#pragma once

#include "../tensor.h"

namespace attentive {

template <class T> struct AdamArrays {
  const T *gradient = nullptr;
  T *momentum = nullptr, *velocity = nullptr;
  T *largest = nullptr; // the largest velocity so far, or null
  T *weight = nullptr;
};

template <class T> struct OptimizerKernels {
  // momentum += (g - momentum) * fresh_1
  // velocity += (g^2 - velocity) * fresh_2
  // weight -= momentum * rate / (sqrt(velocity or largest) + epsilon)
  void (*adam)(Index size, const AdamArrays<T> &arrays, T fresh_1, T fresh_2, T rate,
               T epsilon) = nullptr;
};

} // namespace attentive
