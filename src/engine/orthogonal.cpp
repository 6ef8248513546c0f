// The orthogonal initializer, apart from the others because it is the one file
// of the engine that includes Eigen.
#include <algorithm>

#include <Eigen/QR>

#include "initializers.h"
#include "random.h"

namespace attentive {

template <class T>
void fill_orthogonal(double gain, Index rows, Index cols, RandomSource source, T *out) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
  if (rows == 0 || cols == 0)
    return;
  const Index longer = std::max(rows, cols), shorter = std::min(rows, cols);
  Matrix normals(longer, shorter);
  fill_normal(source.key, source.stream, 0, 1, normals.data(), longer * shorter);
  const Eigen::HouseholderQR<Matrix> qr(normals);
  const Matrix q = qr.householderQ() * Matrix::Identity(longer, shorter);
  const bool tall = rows >= cols;
  for (Index i = 0; i < longer; ++i)
    for (Index j = 0; j < shorter; ++j) {
      // Without the sign the factor would depend on the algorithm and not be
      // uniformly distributed.
      const double sign = qr.matrixQR()(j, j) < 0 ? -1 : 1;
      out[tall ? i * cols + j : j * cols + i] = static_cast<T>(gain * sign * q(i, j));
    }
}

template void fill_orthogonal(double, Index, Index, RandomSource, float *);
template void fill_orthogonal(double, Index, Index, RandomSource, double *);

} // namespace attentive
