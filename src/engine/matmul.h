// Matrix product.
#pragma once

#include "parallel.h"
#include "tensor.h"

namespace attentive {

// Entry (i, j) is data[i * row_stride + j * col_stride]; one of the two
// strides is 1, so a transpose is an exchange of strides.
template <class T> struct MatrixView {
  T *data = nullptr;
  Index rows = 0, cols = 0, row_stride = 0, col_stride = 1;
  MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};

struct MatmulOptions {
  bool accumulate = false; // c += a b instead of c = a b
};

// c[M, N] = a[M, K] b[K, N] + bias[N] (bias may be null). c is row-major.
// The value of a row of c does not depend on how many other rows there are.
template <class T>
void matmul(MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c, const T *bias,
            const MatmulOptions &options, const Execution &execution);

} // namespace attentive
