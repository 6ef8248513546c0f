// Input and output projections: y = x kernel + bias on rows of features, and
// their backward pass.
#pragma once

#include "matmul.h"

namespace attentive {

// kernel [D, P] and bias [P], row-major; a layer's [D, H, K] is P = H * K
// columns, its output kernel [H, V, E] has D = H * V rows. Null bias: none.
template <class T> struct Dense { T *kernel = nullptr, *bias = nullptr; };

// y[M, P] = x[M, D] kernel[D, P] + bias[P]
template <class T>
void projection_forward(const T *x, Dense<const T> dense, Index rows, Index features, Index columns,
                        T *y, const Execution &execution);

// d_kernel[D, P] = x^T d_y and d_bias[P] = column sums of d_y. A row of x whose
// d_y is exactly 0 cannot be seen, not even a NaN in it. Null: not wanted.
template <class T>
void projection_backward_weights(const T *x, const T *d_y, Index rows, Index features,
                                 Index columns, Dense<T> d_dense, const Execution &execution);

// d_x[M, D] = d_y kernel^T, or d_x += with accumulate.
template <class T>
void projection_backward_input(const T *d_y, Dense<const T> dense, Index rows, Index features,
                               Index columns, bool accumulate, T *d_x, const Execution &execution);

} // namespace attentive
