// The hot loops over rows of numbers: sums and layer normalization.
#pragma once

#include "../tensor.h"

namespace attentive {

// Rows of `size` numbers under layer normalization. With s = 1 / sqrt(variance + epsilon),
//   y = (x - center) s gamma + beta; without `centers` x is not shifted; without
//   `measures_center` the center is 0 in the variance too.
template <class T> struct RowNormalization {
  Index rows = 0, size = 0;
  bool centers = true, measures_center = true;
  T epsilon = 0;
  const T *gamma = nullptr, *beta = nullptr; // or null
  const T *x = nullptr;
  T *center = nullptr, *scale = nullptr; // [rows]; written forward, read backward
};

template <class T> struct RowKernels {
  // y = a + b
  void (*add)(Index size, const T *a, const T *b, T *y) = nullptr;
  // y += x
  void (*add_to)(Index size, const T *x, T *y) = nullptr;
  // sums[columns] over the rows of y[rows, columns], always in the same order
  void (*column_sums)(Index rows, Index columns, const T *y, T *sums) = nullptr;

  void (*normalize)(const RowNormalization<T> &norm, T *y) = nullptr;
  // d_x = or +=; see node_normalization.cpp
  void (*normalize_backward)(const RowNormalization<T> &norm, const T *d_y, bool accumulate,
                             T *d_x) = nullptr;
  // d_gamma[size] and d_beta[size] are overwritten; for some hundred rows at most
  void (*normalize_weights)(const RowNormalization<T> &norm, const T *d_y, T *d_gamma,
                            T *d_beta) = nullptr;
};

} // namespace attentive
