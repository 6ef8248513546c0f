// The numbers that a loss depends on, in groups (an input, a weight), and their exact
// derivatives.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "dual.h"

namespace attentive_test {

template <class T> using Leaves = std::vector<std::vector<T>>;

template <class To, class From> Leaves<To> convert(const Leaves<From> &leaves) {
  Leaves<To> result;
  for (const std::vector<From> &leaf : leaves) {
    result.emplace_back();
    for (From x : leaf)
      result.back().push_back(static_cast<To>(x));
  }
  return result;
}

// To numbers that both types can hold.
inline void round_to_float(std::vector<double> &numbers) {
  for (double &x : numbers)
    x = static_cast<double>(static_cast<float>(x));
}
inline void round_to_float(Leaves<double> &leaves) {
  for (std::vector<double> &leaf : leaves)
    round_to_float(leaf);
}

// d loss(leaves) / d every number, in the precision of Real, by dual numbers: a few
// of them at a time.
constexpr int kDualLanes = 8;
template <class Real, class Loss> Leaves<Real> gradient_by_duals(const Leaves<double> &at, Loss loss) {
  using Scalar = Dual<Real, kDualLanes>;
  Leaves<Scalar> leaves = convert<Scalar>(at);
  Leaves<Real> gradient;
  for (std::vector<Scalar> &leaf : leaves) {
    gradient.emplace_back();
    for (std::size_t first = 0; first < leaf.size(); first += kDualLanes) {
      const std::size_t lanes = std::min<std::size_t>(kDualLanes, leaf.size() - first);
      for (std::size_t lane = 0; lane < lanes; ++lane)
        leaf[first + lane].d[lane] = 1;
      const Scalar value = loss(leaves);
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        leaf[first + lane].d[lane] = 0;
        gradient.back().push_back(value.d[lane]);
      }
    }
  }
  return gradient;
}

} // namespace attentive_test
