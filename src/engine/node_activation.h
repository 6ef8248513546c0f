// The activation of a layer, from the options of its node.
#pragma once

#include <cmath>

#include "activation.h"
#include "node_loops.h"

namespace attentive {

template <class T> class LayerActivation {
public:
  // `options` hold its numbers, see nodes.h. std::invalid_argument where there
  // is no activation of that name.
  LayerActivation(const std::string &name, const NodeOptions &options);

  bool linear() const { return linear_; }
  // Whether backward reads x; if not, forward may work in place.
  bool needs_x() const { return rule_ != nullptr && rule_->needs_x; }

  void forward(const T *x, T *y, const Dims &dims, const Execution &execution) const;
  void backward(const T *x, const T *y, const T *d_y, GradientPlace<T> d_x, const Dims &dims,
                const Execution &execution) const;

private:
  const ElementRule<T> *rule_ = nullptr; // null: a function along an axis
  AxisFunction axis_function_ = AxisFunction::softmax;
  ActivationNumbers numbers_;
  double axis_;
  bool linear_ = false;
};

} // namespace attentive
