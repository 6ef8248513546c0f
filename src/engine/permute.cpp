#include "permute.h"

#include "parallel.h"

namespace attentive {
namespace {

// body(ordered, original, step): row of the ordered tensor at `ordered`, whose
// numbers are `step` apart in the original from `original` on.
template <class Body>
void for_rows(const Dims &dims, const std::vector<std::size_t> &order, const Execution &execution,
              const Body &body) {
  if (dims.empty()) // a single number, and no axis to be its row
    return body(0, 0, 1, 1);
  std::vector<Index> stride(dims.size(), 1), size, step;
  for (std::size_t i = dims.size() - 1; i-- > 0;)
    stride[i] = stride[i + 1] * dims[i + 1];
  for (std::size_t axis : order) {
    size.push_back(dims[axis]);
    step.push_back(stride[axis]);
  }
  const Index width = size.back(), rows = width == 0 ? 0 : count(dims) / width;
  for_row_parts(rows, width, execution, [&](Index first, Index last) {
    for (Index row = first; row < last; ++row) {
      Index rest = row, original = 0;
      for (std::size_t i = size.size() - 1; i-- > 0;) {
        original += rest % size[i] * step[i];
        rest /= size[i];
      }
      body(row * width, original, step.back(), width);
    }
  });
}

} // namespace

template <class T>
void permute(const T *x, const Dims &dims, const std::vector<std::size_t> &order, T *to,
             const Execution &execution) {
  for_rows(dims, order, execution, [=](Index ordered, Index original, Index step, Index n) {
    for (Index i = 0; i < n; ++i)
      to[ordered + i] = x[original + i * step];
  });
}

template <class T>
void unpermute(const T *y, const Dims &dims, const std::vector<std::size_t> &order,
               GradientPlace<T> to, const Execution &execution) {
  for_rows(dims, order, execution, [=](Index ordered, Index original, Index step, Index n) {
    for (Index i = 0; i < n; ++i) {
      T &place = to.data[original + i * step];
      place = to.accumulate ? place + y[ordered + i] : y[ordered + i];
    }
  });
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void permute<T>(const T *, const Dims &, const std::vector<std::size_t> &, T *,         \
                           const Execution &);                                                     \
  template void unpermute<T>(const T *, const Dims &, const std::vector<std::size_t> &,            \
                             GradientPlace<T>, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
