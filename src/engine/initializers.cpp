#include "initializers.h"

#include <algorithm>
#include <cmath>

#include "random.h"

namespace attentive {

namespace {

double product(const Shape &shape, const std::vector<Index> &axes) {
  double total = 1;
  for (Index axis : axes)
    total *= static_cast<double>(shape.at(static_cast<std::size_t>(axis)));
  return total;
}

// Finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

} // namespace

Fans fans_of(const Shape &shape) {
  const std::size_t rank = shape.size();
  if (rank == 0)
    return {};
  const auto last = static_cast<double>(shape[rank - 1]);
  if (rank == 1)
    return {last, last};
  double field = 1;
  for (std::size_t axis = 0; axis + 2 < rank; ++axis)
    field *= static_cast<double>(shape[axis]);
  return {static_cast<double>(shape[rank - 2]) * field, last * field};
}

Fans fans_of(const Shape &shape, const std::vector<Index> &input_axes,
             const std::vector<Index> &output_axes) {
  return {product(shape, input_axes), product(shape, output_axes)};
}

std::uint64_t key_of_seed(std::int64_t seed) {
  return mix(static_cast<std::uint64_t>(seed) + 0x9E3779B97F4A7C15u);
}

template <class T>
void fill_variance_scaling(const VarianceScaling &options, Fans fans, RandomSource source, T *out,
                           Index size, const Execution &execution) {
  // Standard deviation of a standard normal cut at +-2.
  constexpr double kTruncatedDeviation = 0.87962566103423978;
  double fan = (fans.in + fans.out) / 2;
  if (options.mode == FanMode::in)
    fan = fans.in;
  else if (options.mode == FanMode::out)
    fan = fans.out;
  const double variance = options.scale / std::max(1.0, fan);
  const double deviation = std::sqrt(variance), limit = std::sqrt(3 * variance);
  switch (options.distribution) {
  case Distribution::uniform:
    fill_uniform(source.key, source.stream, -limit, limit, out, size, execution);
    break;
  case Distribution::truncated_normal:
    fill_truncated_normal(source.key, source.stream, 0, deviation / kTruncatedDeviation, out, size,
                          execution);
    break;
  case Distribution::untruncated_normal:
    fill_normal(source.key, source.stream, 0, deviation, out, size, execution);
    break;
  }
}

template <class T> void fill_identity(double gain, Index rows, Index cols, T *out) {
  std::fill(out, out + rows * cols, T(0));
  for (Index i = 0; i < std::min(rows, cols); ++i)
    out[i * cols + i] = static_cast<T>(gain);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void fill_variance_scaling(const VarianceScaling &, Fans, RandomSource, T *, Index,     \
                                      const Execution &);                                          \
  template void fill_identity(double, Index, Index, T *);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
