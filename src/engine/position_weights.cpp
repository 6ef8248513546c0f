#include "position_weights.h"

#include <algorithm>
#include <stdexcept>

namespace attentive {
namespace {

// How many positions share one entry of an array of these dims, whose axes are
// the first ones of the positions; axes of size 1 at the end do not count.
Index positions_each(const Dims &leading, Dims dims, const char *what) {
  while (dims.size() > 1 && dims.back() == 1)
    dims.pop_back();
  bool fits = dims.size() <= leading.size();
  for (std::size_t i = 0; fits && i < dims.size(); ++i)
    fits = dims[i] == leading[i];
  // [samples] and a single sample
  if (!fits)
    throw std::invalid_argument(std::string("the ") + what + " does not fit the prediction");
  Index each = 1;
  for (std::size_t i = dims.size(); i < leading.size(); ++i)
    each *= leading[i];
  return each;
}

} // namespace

template <class T>
PositionWeights position_weights(const Dims &leading, const WeightSource<T> &source) {
  const Index positions = count(leading);
  PositionWeights weights;
  weights.numbers = Buffer<double>(positions, 1.0);
  double *w = weights.numbers.data();
  if (source.mask != nullptr) {
    const Index each = positions_each(leading, source.mask->dims, "mask");
    for (Index n = 0; n < positions; ++n)
      w[n] = source.mask->data[n / each] != 0;
    weights.masked = true;
  }
  if (source.labels != nullptr) {
    for (Index n = 0; n < positions; ++n)
      w[n] = static_cast<double>(source.labels[n]) == source.ignore ? 0 : w[n];
    weights.masked = true;
  }
  if (weights.masked) {
    double kept = 0;
    for (Index n = 0; n < positions; ++n)
      kept += w[n];
    weights.kept = positions == 0 ? 1 : kept / static_cast<double>(positions);
  }
  if (source.sample_weight != nullptr) {
    const DatasetColumn<T> &column = *source.sample_weight;
    const Index each = positions_each(leading, column.batch_dims(leading[0]), "sample weight");
    const Index row = std::max<Index>(column.row_size(), 1); // without numbers, no position
    for (Index n = 0; n < positions; ++n) {
      const Index at = n / each;
      w[n] *= static_cast<double>(column.data[source.rows[at / row] * row + at % row]);
    }
  }
  return weights;
}

template PositionWeights position_weights<float>(const Dims &, const WeightSource<float> &);
template PositionWeights position_weights<double>(const Dims &, const WeightSource<double> &);

} // namespace attentive
