#include "constraints.h"

#include <algorithm>
#include <cmath>

namespace attentive {

namespace {

// Which norm an element belongs to: row-major strides over the axes that are
// kept, 0 over those that are summed.
struct Groups {
  std::vector<Index> strides;
  Index count = 1;

  Groups(const std::vector<Index> &shape, const std::vector<Index> &axes)
      : strides(shape.size(), 0) {
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (std::find(axes.begin(), axes.end(), static_cast<Index>(axis)) != axes.end())
        continue;
      strides[axis] = count;
      count = checked_product(count, shape[axis]);
    }
  }
};

// body(offset of the row, group of its first element) for every row along the
// last axis, in the order of memory.
template <class Body>
void for_each_row(const std::vector<Index> &shape, const Groups &groups, const Body &body) {
  const std::size_t outer = shape.size() - 1;
  Index rows = 1;
  for (std::size_t axis = 0; axis < outer; ++axis)
    rows *= shape[axis];
  std::vector<Index> position(outer, 0);
  Index group = 0;
  for (Index row = 0; row < rows; ++row) {
    body(row * shape[outer], group);
    for (std::size_t axis = outer; axis-- > 0;) {
      group += groups.strides[axis];
      if (++position[axis] < shape[axis])
        break;
      group -= groups.strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
}

template <class T> double squares(const T *w, Index length) {
  double sum = 0;
  for (Index i = 0; i < length; ++i)
    sum += static_cast<double>(w[i]) * static_cast<double>(w[i]);
  return sum;
}

} // namespace

template <class T>
void constrain_norm(const NormConstraint &options, const std::vector<Index> &shape,
                    const std::vector<Index> &axes, T *w) {
  constexpr double kEpsilon = 1e-7;
  if (shape.empty())
    return;
  const Groups groups(shape, axes);
  const Index length = shape.back(), step = groups.strides.back();
  Buffer<double> scale(groups.count, 0.0);
  for_each_row(shape, groups, [&](Index offset, Index group) {
    if (step == 0) {
      scale[group] += squares(w + offset, length);
      return;
    }
    for (Index i = 0; i < length; ++i) {
      const auto value = static_cast<double>(w[offset + i]);
      scale[group + i * step] += value * value;
    }
  });
  for (Index g = 0; g < groups.count; ++g) {
    const double norm = std::sqrt(scale[g]);
    // max, then min, as clip does; both let NaN through.
    const double clipped = std::min(std::max(norm, options.min), options.max);
    scale[g] = (options.rate * clipped + (1 - options.rate) * norm) / (kEpsilon + norm);
  }
  for_each_row(shape, groups, [&](Index offset, Index group) {
    for (Index i = 0; i < length; ++i)
      w[offset + i] = static_cast<T>(static_cast<double>(w[offset + i]) * scale[group + i * step]);
  });
}

template <class T> void constrain_non_negative(T *w, Index size) {
  for (Index i = 0; i < size; ++i)
    w[i] = w[i] < T(0) ? T(0) : w[i];
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void constrain_norm(const NormConstraint &, const std::vector<Index> &,                 \
                               const std::vector<Index> &, T *);                                   \
  template void constrain_non_negative(T *, Index);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
