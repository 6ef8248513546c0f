#include "regularizers.h"

#include <algorithm>
#include <cmath>

namespace attentive {

namespace {

double sign(double x) { return static_cast<double>(x > 0) - static_cast<double>(x < 0); }

double inner_product(const double *a, const double *b, Index size) {
  double sum = 0;
  for (Index i = 0; i < size; ++i)
    sum += a[i] * b[i];
  return sum;
}

// The vectors whose angles count, [count, size], divided by their norms.
struct UnitVectors {
  Index count, size;
  Buffer<double> rows, norms;

  const double *row(Index i) const { return rows.data() + i * size; }
  double pairs() const { return static_cast<double>(count) * static_cast<double>(count - 1); }
};

// Entry k of vector i is x[i * vector_stride + k * entry_stride].
struct VectorStrides {
  Index vector, entry;
};

VectorStrides strides_of(const OrthogonalPenalty &options, Index cols) {
  return options.columns ? VectorStrides{1, cols} : VectorStrides{cols, 1};
}

template <class T>
UnitVectors unit_vectors(const OrthogonalPenalty &options, const T *x, Index rows, Index cols) {
  constexpr double kSmallestNorm = 1e-12;
  UnitVectors units{options.columns ? cols : rows, options.columns ? rows : cols, {}, {}};
  units.rows = Buffer<double>(checked_product(rows, cols));
  units.norms = Buffer<double>(units.count);
  const VectorStrides strides = strides_of(options, cols);
  for (Index i = 0; i < units.count; ++i) {
    double *row = units.rows.data() + i * units.size;
    for (Index k = 0; k < units.size; ++k)
      row[k] = static_cast<double>(x[i * strides.vector + k * strides.entry]);
    units.norms[i] = std::max(std::sqrt(inner_product(row, row, units.size)), kSmallestNorm);
    for (Index k = 0; k < units.size; ++k)
      row[k] /= units.norms[i];
  }
  return units;
}

} // namespace

template <class T> double penalty(const ElementPenalty &options, const T *x, Index size) {
  double absolutes = 0, squares = 0;
  for (Index i = 0; i < size; ++i) {
    const auto value = static_cast<double>(x[i]);
    absolutes += std::fabs(value);
    squares += value * value;
  }
  // A coefficient of 0 switches its sum off, also where that is infinite.
  return (options.l1 != 0 ? options.l1 * absolutes : 0) +
         (options.l2 != 0 ? options.l2 * squares : 0);
}

template <class T>
void penalty_backward(const ElementPenalty &options, const T *x, Index size, double upstream,
                      T *d_x) {
  const double l1 = upstream * options.l1, l2 = 2 * upstream * options.l2;
  for (Index i = 0; i < size; ++i) {
    const auto value = static_cast<double>(x[i]);
    const double gradient = (l1 != 0 ? l1 * sign(value) : 0) + (l2 != 0 ? l2 * value : 0);
    d_x[i] = static_cast<T>(static_cast<double>(d_x[i]) + gradient);
  }
}

template <class T>
double penalty(const OrthogonalPenalty &options, const T *x, Index rows, Index cols,
               const Execution &execution) {
  const UnitVectors units = unit_vectors(options, x, rows, cols);
  if (units.count < 2)
    return 0;
  double sum = 0;
  for_in_order(units.count, execution, [&](Index i) {
    for (Index j = 0; j < i; ++j)
      sum += std::fabs(inner_product(units.row(i), units.row(j), units.size));
  });
  return options.factor * 2 * sum / units.pairs();
}

template <class T>
void penalty_backward(const OrthogonalPenalty &options, const T *x, Index rows, Index cols,
                      double upstream, T *d_x, const Execution &execution) {
  const UnitVectors units = unit_vectors(options, x, rows, cols);
  if (units.count < 2)
    return;
  const double weight = upstream * options.factor * 2 / units.pairs();
  const VectorStrides strides = strides_of(options, cols);
  parallel_for(units.count, execution, [&](Index i, int) {
    Buffer<double> d_unit(units.size, 0.0);
    for (Index j = 0; j < units.count; ++j) {
      if (j == i)
        continue;
      const double s = weight * sign(inner_product(units.row(i), units.row(j), units.size));
      for (Index k = 0; k < units.size; ++k)
        d_unit[k] += s * units.row(j)[k];
    }
    // u = x / |x|: what is parallel to u does not change it.
    const double parallel = inner_product(d_unit.data(), units.row(i), units.size);
    for (Index k = 0; k < units.size; ++k) {
      T &d = d_x[i * strides.vector + k * strides.entry];
      d = static_cast<T>(static_cast<double>(d) +
                         (d_unit[k] - parallel * units.row(i)[k]) / units.norms[i]);
    }
  });
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template double penalty(const ElementPenalty &, const T *, Index);                               \
  template void penalty_backward(const ElementPenalty &, const T *, Index, double, T *);           \
  template double penalty(const OrthogonalPenalty &, const T *, Index, Index, const Execution &);  \
  template void penalty_backward(const OrthogonalPenalty &, const T *, Index, Index, double, T *,  \
                                 const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
