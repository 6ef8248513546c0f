#include "random.h"

#include <cmath>

namespace attentive {

namespace {

// cos and sin of a whole turn times u, 0 <= u < 1. u is cut to an eighth of a
// turn before it meets pi; the cut is exact, so that also the values near 0
// have all their digits, which cos(2 * pi * u) would not give.
struct Direction {
  double cosine, sine;
};

Direction direction_of(double u) {
  constexpr double kTwoPi = 6.283185307179586476925;
  const double quarter = std::floor(u * 4 + 0.5); // 0 ... 4, exact
  const double rest = u - quarter * 0.25;         // in [-1/8, 1/8], exact
  const double c = std::cos(kTwoPi * rest), s = std::sin(kTwoPi * rest);
  switch (static_cast<int>(quarter) & 3) {
  case 0:
    return {c, s};
  case 1:
    return {-s, c};
  case 2:
    return {-c, -s};
  default:
    return {s, -c};
  }
}

// Two independent normals from one block (Box and Muller 1958): a direction
// and a distance whose square is exponential. 1 - u is in (0, 1], exact.
std::array<double, 2> normal_pair(std::uint64_t key, std::uint64_t stream, std::uint64_t block) {
  const PhiloxCounter bits = random_block(key, stream, block);
  const double distance = std::sqrt(-2 * std::log(1 - uniform_from_words(bits[0], bits[1])));
  const Direction direction = direction_of(uniform_from_words(bits[2], bits[3]));
  return {distance * direction.cosine, distance * direction.sine};
}

// out[i] = value(i), in tasks
template <class T, class F>
void fill_tasks(T *out, Index n, const Execution &execution, const F &value) {
  for_parts(n, kElementsOfTask, execution, [&](Index first, Index last) {
    for (Index i = first; i < last; ++i)
      out[i] = static_cast<T>(value(static_cast<std::uint64_t>(i)));
  });
}

} // namespace

double random_uniform(std::uint64_t key, std::uint64_t stream, std::uint64_t i) {
  const PhiloxCounter bits = random_block(key, stream, i / 2);
  return i % 2 == 0 ? uniform_from_words(bits[0], bits[1]) : uniform_from_words(bits[2], bits[3]);
}

double random_normal(std::uint64_t key, std::uint64_t stream, std::uint64_t i) {
  return normal_pair(key, stream, i / 2)[i % 2];
}

double random_truncated_normal(std::uint64_t key, std::uint64_t stream, std::uint64_t i) {
  // Attempts have counters of their own above the index. One block in 500 has
  // no number within two standard deviations, so the loop ends.
  for (std::uint64_t attempt = 0;; ++attempt)
    for (double value : normal_pair(key, stream, i | attempt << 48))
      if (std::fabs(value) <= 2)
        return value;
}

template <class T>
void fill_uniform(std::uint64_t key, std::uint64_t stream, double low, double high, T *out, Index n,
                  const Execution &execution) {
  // Around the middle, so that a range symmetric about 0 has the same bits
  // with and without fused multiply-add.
  const double middle = low / 2 + high / 2, half = high / 2 - low / 2;
  fill_tasks(out, n, execution, [=](std::uint64_t i) {
    return middle + half * (2 * random_uniform(key, stream, i) - 1);
  });
}

template <class T>
void fill_normal(std::uint64_t key, std::uint64_t stream, double mean, double sd, T *out, Index n,
                 const Execution &execution) {
  fill_tasks(out, n, execution,
             [=](std::uint64_t i) { return mean + sd * random_normal(key, stream, i); });
}

template <class T>
void fill_truncated_normal(std::uint64_t key, std::uint64_t stream, double mean, double sd, T *out,
                           Index n, const Execution &execution) {
  fill_tasks(out, n, execution,
             [=](std::uint64_t i) { return mean + sd * random_truncated_normal(key, stream, i); });
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void fill_uniform(std::uint64_t, std::uint64_t, double, double, T *, Index,             \
                             const Execution &);                                                   \
  template void fill_normal(std::uint64_t, std::uint64_t, double, double, T *, Index,              \
                            const Execution &);                                                    \
  template void fill_truncated_normal(std::uint64_t, std::uint64_t, double, double, T *, Index,    \
                                      const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
