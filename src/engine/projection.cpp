#include "projection.h"

#include "kernels/table.h"

#include <algorithm>
#include <cmath>

namespace attentive {
namespace {

// rows of this many entries, contiguous
template <class T> MatrixView<T> matrix(T *data, Index rows, Index columns) {
  return {data, rows, columns, columns, 1};
}

template <class T> bool all_finite(const T *row, Index size) {
  constexpr int kStep = 16; // a fixed length: compilers use vectors
  T sums[kStep] = {};       // 0, or NaN where an entry is not finite
  Index i = 0;
  for (; i + kStep <= size; i += kStep)
    for (int j = 0; j < kStep; ++j)
      sums[j] += row[i + j] * T(0);
  for (; i < size; ++i)
    sums[0] += row[i] * T(0);
  return std::all_of(sums, sums + kStep, [](T sum) { return sum == T(0); });
}

template <class T> bool all_zero(const T *row, Index size) {
  return std::all_of(row, row + size, [](T value) { return value == T(0); });
}

// x with the rows zeroed that hold NaN or Inf and get no gradient; empty, and x
// itself serves, where there is no such row.
template <class T>
Buffer<T> without_unseen_rows(const T *x, const T *d_y, Index rows, Index features, Index columns) {
  Buffer<T> copy;
  for (Index m = 0; m < rows; ++m) {
    if (all_finite(x + m * features, features) || !all_zero(d_y + m * columns, columns))
      continue;
    if (copy.empty()) {
      copy = Buffer<T>(checked_product(rows, features));
      std::copy(x, x + rows * features, copy.data());
    }
    std::fill_n(copy.data() + m * features, features, T(0));
  }
  return copy;
}

// sums[P] of y[M, P] over the rows
template <class T>
void column_sums(const T *y, Index rows, Index columns, T *sums) {
  kernels<T>().rows.column_sums(rows, columns, y, sums);
}

} // namespace

template <class T>
void projection_forward(const T *x, Dense<const T> dense, Index rows, Index features, Index columns,
                        T *y, const Execution &execution) {
  matmul<T>(matrix(x, rows, features), matrix(dense.kernel, features, columns),
            matrix(y, rows, columns), dense.bias, MatmulOptions(), execution);
}

template <class T>
void projection_backward_weights(const T *x, const T *d_y, Index rows, Index features,
                                 Index columns, Dense<T> d_dense, const Execution &execution) {
  if (d_dense.kernel != nullptr) {
    const auto multiply = [&](const T *seen) {
      matmul<T>(matrix(seen, rows, features).transposed(), matrix(d_y, rows, columns),
                matrix(d_dense.kernel, features, columns), nullptr, MatmulOptions(), execution);
    };
    multiply(x);
    // NaN and Inf of x show, also times 0: only then rows are looked at
    if (!all_finite(d_dense.kernel, features * columns)) {
      const Buffer<T> cleaned = without_unseen_rows(x, d_y, rows, features, columns);
      if (!cleaned.empty())
        multiply(cleaned.data());
    }
  }
  if (d_dense.bias != nullptr)
    column_sums(d_y, rows, columns, d_dense.bias);
}

template <class T>
void projection_backward_input(const T *d_y, Dense<const T> dense, Index rows, Index features,
                               Index columns, bool accumulate, T *d_x, const Execution &execution) {
  MatmulOptions options;
  options.accumulate = accumulate;
  matmul<T>(matrix(d_y, rows, columns), matrix(dense.kernel, features, columns).transposed(),
            matrix(d_x, rows, features), nullptr, options, execution);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void projection_forward<T>(const T *, Dense<const T>, Index, Index, Index, T *,         \
                                      const Execution &);                                          \
  template void projection_backward_weights<T>(const T *, const T *, Index, Index, Index,          \
                                               Dense<T>, const Execution &);                       \
  template void projection_backward_input<T>(const T *, Dense<const T>, Index, Index, Index, bool, \
                                             T *, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
