// Sizes that are known only when a node is planned: those of an axis of an
// input, and whole numbers computed from them.
#pragma once

#include <stdexcept>

#include "node.h"

namespace attentive {

// `rules` are steps of three numbers for a stack: {0, n, 0} puts the number n
// on it, {1, i, a} the size of axis a of input i; {2, 0, 0} adds the two on top,
// {3, 0, 0} subtracts, {4, 0, 0} multiplies, {5, 0, 0} divides and rounds down;
// {6, 0, 0} takes the result off: the next size.
template <class T, class Links>
std::vector<Index> sizes_of(const std::vector<double> &rules, const Run<T> &run,
                            const Links &inputs) {
  std::vector<Index> stack, sizes;
  const auto take = [&] {
    if (stack.empty())
      throw std::invalid_argument("a rule of a size lacks a number");
    const Index top = stack.back();
    stack.pop_back();
    return top;
  };
  for (std::size_t at = 0; at + 2 < rules.size(); at += 3) {
    const int step = static_cast<int>(rules[at]);
    if (step == 0) {
      stack.push_back(static_cast<Index>(rules[at + 1]));
      continue;
    }
    if (step == 1) {
      const int value = inputs.at(static_cast<std::size_t>(rules[at + 1]));
      const Dims &dims = run.values[static_cast<std::size_t>(value)].dims;
      stack.push_back(dims.at(static_cast<std::size_t>(rules[at + 2])));
      continue;
    }
    const Index b = take();
    if (step == 6) {
      sizes.push_back(b);
      continue;
    }
    const Index a = take();
    if (step == 5 && b == 0)
      throw std::invalid_argument("a size is divided by 0");
    stack.push_back(step == 2   ? a + b
                    : step == 3 ? a - b
                    : step == 4 ? a * b
                                : a / b - (a % b != 0 && (a < 0) != (b < 0)));
  }
  return sizes;
}

} // namespace attentive
