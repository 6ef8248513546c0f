// Initial values of variables. Values are computed in double from counter-based
// bits and rounded once, so float and double variables of one key agree.
// Shapes are row-major, rank 0 and more.
#pragma once

#include <vector>

#include "parallel.h"
#include "tensor.h"

namespace attentive {

using Shape = std::vector<Index>;

// How many inputs one output sees, and the other way round. Double, because
// the average of the two can be half a number.
struct Fans {
  double in = 1, out = 1;
};

// Keras's rule for a kernel of which nothing is known but its shape: a vector
// counts twice, a matrix is [in, out], the leading axes of a higher rank are
// the receptive field of a convolution.
Fans fans_of(const Shape &shape);
// Products over the axes (0-based) that the layer names.
Fans fans_of(const Shape &shape, const std::vector<Index> &input_axes,
             const std::vector<Index> &output_axes);

enum class FanMode { in, out, average };
enum class Distribution { uniform, truncated_normal, untruncated_normal };

// Variance scale / n, n being the chosen fan but at least 1 (Glorot and Bengio
// 2010, He et al. 2015, LeCun et al. 1998).
struct VarianceScaling {
  double scale = 1;
  FanMode mode = FanMode::in;
  Distribution distribution = Distribution::truncated_normal;
};

// Which numbers of the counter-based generator to use: see random.h.
struct RandomSource {
  std::uint64_t key = 0, stream = 0;
};

// Key of a seed that a user gives. Near seeds have unrelated keys.
std::uint64_t key_of_seed(std::int64_t seed);

template <class T>
void fill_variance_scaling(const VarianceScaling &options, Fans fans, RandomSource source, T *out,
                           Index size, const Execution &execution = Execution());

// out[rows, cols]: gain on the diagonal, 0 elsewhere.
template <class T> void fill_identity(double gain, Index rows, Index cols, T *out);

// out[rows, cols], rows the product of all axes but the last: gain times the
// orthonormal factor of a matrix of normals, with the signs that make it
// uniformly distributed (Saxe et al. 2014; Mezzadri 2007). Columns are
// orthonormal where rows >= cols, rows otherwise. On one thread; execution says
// whether it is interrupted.
template <class T>
void fill_orthogonal(double gain, Index rows, Index cols, RandomSource source, T *out,
                     const Execution &execution = Execution());

} // namespace attentive
