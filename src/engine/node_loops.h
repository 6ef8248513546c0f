// Loops and sizes that several nodes need. Work is cut by sizes alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/table.h"
#include "nodes.h"
#include "number_text.h"

namespace attentive {

// to[i] (+)= value(i) for first <= i < last
template <class T, class F>
void write_gradient(GradientPlace<T> to, Index first, Index last, const F &value) {
  if (to.accumulate)
    for (Index i = first; i < last; ++i)
      to.data[i] += value(i);
  else
    for (Index i = first; i < last; ++i)
      to.data[i] = value(i);
}

// to[n] (+)= from[n]
template <class T>
void pass_gradient(const T *from, GradientPlace<T> to, Index n, const Execution &execution) {
  if (to.data != nullptr)
    for_parts(n, kElementsOfTask, execution, [&](Index first, Index last) {
      if (to.accumulate)
        kernels<T>().rows.add_to(last - first, from + first, to.data + first);
      else
        std::copy(from + first, from + last, to.data + first);
    });
}

inline std::size_t resolve_axis(double axis, const Dims &dims) {
  const auto rank = static_cast<Index>(dims.size());
  const Index place = static_cast<Index>(axis) + (axis < 0 ? rank : 0);
  if (place < 0 || place >= rank)
    throw std::invalid_argument("there is no such axis");
  return static_cast<std::size_t>(place);
}

// Sizes around an axis: dims = [outer, size, inner].
struct AxisSplit {
  Index outer = 1, size = 1, inner = 1;
};
inline AxisSplit split_at(const Dims &dims, std::size_t axis) {
  AxisSplit split;
  split.size = dims[axis];
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (i != axis)
      (i < axis ? split.outer : split.inner) *= dims[i];
  return split;
}

// The place in an axis of this size, from 0, that a number means: counted from
// `base`, or from the end where it is negative.
inline Index place_in(Index size, double number, double base) {
  const double place = number < 0 ? number + static_cast<double>(size) : number - base;
  if (!(place >= 0 && place < static_cast<double>(size)) || place != std::floor(place))
    throw std::invalid_argument("there is no place " + number_text(number) +
                                " in an axis of size " + std::to_string(size));
  return static_cast<Index>(place);
}

// A node with the same dims out as in.
template <class T> class SameShapeNode : public Node<T> {
public:
  using Node<T>::Node;
  void plan(Run<T> &run) override { this->output(run).dims = this->input(run).dims; }
};

} // namespace attentive
