// Penalties on weights and activities: value and gradient.
#pragma once

#include "parallel.h"
#include "tensor.h"

namespace attentive {

// l1 * sum |x| + l2 * sum x^2
struct ElementPenalty {
  double l1 = 0, l2 = 0;
};

// Sums are taken in double, in the order of memory.
template <class T> double penalty(const ElementPenalty &options, const T *x, Index size);
// d_x += upstream * (l1 * sign(x) + 2 * l2 * x), sign(0) being 0.
template <class T>
void penalty_backward(const ElementPenalty &options, const T *x, Index size, double upstream,
                      T *d_x);

// factor * mean over pairs i != j of |<u_i, u_j>|, u_i being the rows (or the
// columns) of x[rows, cols] divided by their norms; a zero vector stays zero.
// 0 where there is no pair. Their number grows with the square of the vectors'.
struct OrthogonalPenalty {
  double factor = 0;
  bool columns = false;
};

template <class T>
double penalty(const OrthogonalPenalty &options, const T *x, Index rows, Index cols,
               const Execution &execution = Execution());
// d_x += upstream * gradient
template <class T>
void penalty_backward(const OrthogonalPenalty &options, const T *x, Index rows, Index cols,
                      double upstream, T *d_x, const Execution &execution = Execution());

} // namespace attentive
