// The hot loops of layer normalisation, a row of numbers after the other: a
// row's results depend on nothing but the row.
//
// Letters: R rows, N numbers of a row.
#pragma once

#include "../tensor.h"

namespace attentive {

template <class T> struct NormalizationRows {
  Index rows = 0, size = 0; // R, N
  const T *x = nullptr;     // [R, N]
  const T *gamma = nullptr; // [N] or null
  const T *beta = nullptr;  // [N] or null
  T *center = nullptr;      // [R]: the mean, or 0
  T *scale = nullptr;       // [R]: 1 / sqrt(mean of squared distances + epsilon)
  T epsilon = 0;
  bool around_mean = true; // else center is 0
  bool subtracts = true;   // y is made of x - center, else of x
};

template <class T> struct NormalizationKernels {
  // center, scale and y[R, N]
  void (*forward)(const NormalizationRows<T> &rows, T *y) = nullptr;
  // With g = d_y gamma:
  //   subtracts   d_x (+)= scale (g - mean(g) - u mean(g u)), u = (x - center) scale
  //   else        d_x (+)= scale g - scale^3 (x - center) mean(g x)
  void (*backward)(const NormalizationRows<T> &rows, const T *d_y, T *d_x,
                   bool accumulate) = nullptr;
  // d_gamma[N] = sum of d_y times the normalised x, d_beta[N] = sum of d_y, over
  // the rows in order
  void (*weights)(const NormalizationRows<T> &rows, const T *d_y, T *d_gamma, T *d_beta) = nullptr;
};

} // namespace attentive
