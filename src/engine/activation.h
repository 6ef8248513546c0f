// Activation functions: value and gradient.
#pragma once

#include <map>
#include <string>

#include "parallel.h"
#include "tensor.h"

namespace attentive {

// Numbers that some of the functions take; `has_max` tells whether relu is cut.
struct ActivationNumbers {
  double negative_slope = 0, max_value = 0, threshold = 0, value = 0, alpha = 1, b = 4;
  bool has_max = false;
};

// One function of one number, applied to n of them.
template <class T> struct ElementRule {
  void (*forward)(const T *x, T *y, Index n, const ActivationNumbers &numbers) = nullptr;
  // d_x[n] (+)= d_y[n] * slope at x[n], where y = f(x)
  void (*backward)(const T *x, const T *y, const T *d_y, T *d_x, Index n, bool accumulate,
                   const ActivationNumbers &numbers) = nullptr;
  bool needs_x = true; // false: backward reads only y, so forward may work in place
};

// Further functions (unary_rules.cpp) into the table of find_element_rule().
template <class T> void add_unary_rules(std::map<std::string, ElementRule<T>> &rules);

// Null where `name` is no such function.
template <class T> const ElementRule<T> *find_element_rule(const std::string &name);

// Along one axis: x[outer, size, inner].
enum class AxisFunction { softmax, log_softmax, sparsemax };

// backward reads y alone: d_x[...] (+)= ...
template <class T>
void axis_function_forward(AxisFunction function, const T *x, T *y, Index outer, Index size,
                           Index inner, const Execution &execution);
template <class T>
void axis_function_backward(AxisFunction function, const T *y, const T *d_y, T *d_x,
                            bool accumulate, Index outer, Index size, Index inner,
                            const Execution &execution);

} // namespace attentive
