// Axes in another order.
#pragma once

#include "node.h"

namespace attentive {

// to = x with axis order[i] as its i-th axis; dims are those of x.
template <class T>
void permute(const T *x, const Dims &dims, const std::vector<std::size_t> &order, T *to,
             const Execution &execution);

// The way back: to (+)= y, dims being those of `to`.
template <class T>
void unpermute(const T *y, const Dims &dims, const std::vector<std::size_t> &order,
               GradientPlace<T> to, const Execution &execution);

} // namespace attentive
