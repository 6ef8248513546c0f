// Projections of weights onto what they are allowed to be, in place; applied
// after an optimizer step.
#pragma once

#include <vector>

#include "tensor.h"

namespace attentive {

// w *= (rate * clip(n, min, max) + (1 - rate) * n) / (1e-7 + n), n being the
// norm of w over some axes. The maximum norm is {0, max, 1}, the unit norm
// {1, 1, 1}. A zero vector stays zero.
struct NormConstraint {
  double min = 0, max = 1, rate = 1;
};

// w is row-major of this shape; axes are 0-based, inside the rank, each once.
template <class T>
void constrain_norm(const NormConstraint &options, const std::vector<Index> &shape,
                    const std::vector<Index> &axes, T *w);

// w = max(w, 0); NaN stays NaN.
template <class T> void constrain_non_negative(T *w, Index size);

} // namespace attentive
