// Hot loops over numbers one by one. What comes out for a number has the same
// bits wherever it stands.
#pragma once

#include "../tensor.h"

namespace attentive {

// Functions whose loops are worth their own vectors; the others are in
// activation.cpp. NaN goes through each of them.
enum class Curve { relu, sigmoid, tanh, gelu, tanh_gelu, silu, count };

template <class T> struct CurveKernels {
  void (*forward)(const T *x, T *y, Index n) = nullptr; // y may be x
  // d_x (+)= d_y * slope; relu, sigmoid and tanh read y only, the others x too
  void (*backward)(const T *x, const T *y, const T *d_y, T *d_x, Index n,
                   bool accumulate) = nullptr;
};

template <class T> struct ElementwiseKernels {
  CurveKernels<T> curves[static_cast<int>(Curve::count)];

  // y (+)= a * b, y (+)= x * factor; y may be a, b or x
  void (*multiply)(const T *a, const T *b, T *y, Index n, bool accumulate) = nullptr;
  void (*scale)(const T *x, T factor, T *y, Index n, bool accumulate) = nullptr;
  // y[i] (+)= x[i] * factor where bit i % 32 of kept[i / 32] is set, else 0
  void (*keep)(const T *x, const std::uint32_t *kept, T factor, T *y, Index n,
               bool accumulate) = nullptr;
};

} // namespace attentive
