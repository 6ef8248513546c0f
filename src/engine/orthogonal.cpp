// The orthogonal initializer, apart from the others because it is the one file
// of the engine that includes Eigen.
#include <algorithm>

#include <Eigen/Householder>

#include "initializers.h"
#include "parallel.h"
#include "random.h"
#include "tensor.h"

namespace attentive {

namespace {

// Columns of normal numbers become orthonormal: Q of the QR decomposition by Householder
// reflections, with the sign that makes the diagonal of R positive. Without it the factor
// would depend on the algorithm and not be uniformly distributed. Column by column, because
// Eigen's blocked decomposition takes longer to compile than all else in this folder.
void orthonormalize(Eigen::Map<Eigen::MatrixXd> q, const Execution &execution) {
  const Eigen::Index rows = q.rows(), cols = q.cols();
  Eigen::VectorXd scales(cols), signs(cols), scratch(cols);
  for_in_order(cols, execution, [&](Index k) {
    double diagonal = 0;
    q.col(k).tail(rows - k).makeHouseholderInPlace(scales[k], diagonal);
    signs[k] = diagonal < 0 ? -1 : 1;
    q.bottomRightCorner(rows - k, cols - k - 1)
        .applyHouseholderOnTheLeft(q.col(k).tail(rows - k - 1), scales[k], scratch.data());
  });
  Eigen::MatrixXd reflections = q;
  q.setIdentity();
  for_in_order(cols, execution, [&](Index done) {
    const Eigen::Index k = cols - 1 - done;
    q.bottomRightCorner(rows - k, cols - k)
        .applyHouseholderOnTheLeft(reflections.col(k).tail(rows - k - 1), scales[k],
                                   scratch.data());
  });
  for (Eigen::Index k = 0; k < cols; ++k)
    q.col(k) *= signs[k];
}

} // namespace

template <class T>
void fill_orthogonal(double gain, Index rows, Index cols, RandomSource source, T *out,
                     const Execution &execution) {
  if (rows == 0 || cols == 0)
    return;
  const Index longer = std::max(rows, cols), shorter = std::min(rows, cols);
  Buffer<double> q(longer * shorter);
  fill_normal(source.key, source.stream, 0, 1, q.data(), longer * shorter, execution);
  orthonormalize({q.data(), longer, shorter}, execution);
  for (Index i = 0; i < longer; ++i)
    for (Index j = 0; j < shorter; ++j)
      out[rows >= cols ? i * cols + j : j * cols + i] = static_cast<T>(gain * q[j * longer + i]);
}

template void fill_orthogonal(double, Index, Index, RandomSource, float *, const Execution &);
template void fill_orthogonal(double, Index, Index, RandomSource, double *, const Execution &);

} // namespace attentive
